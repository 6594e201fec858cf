//! [`Input`]: the bytes that a connection has received and not yet used.

use std::cell::Cell;

use super::head::Head;
use super::head_reader::HeadReader;
use super::step::Step;
use crate::error::Fault;
pub(crate) use crate::limits::READ;
use crate::limits::{Limits, OWN_BUFFER};

/// The bytes that were received and not yet used. It is one word, which owns nothing while there are none, and never more
/// memory than the bytes take, or than each connection has for itself anyway ([`OWN_BUFFER`]). (Else one byte behind a large
/// body would keep the memory of the whole body, uncounted.)
#[derive(Debug, Default)]
pub(super) struct Input(Option<Box<Received>>);

#[derive(Debug, Default)]
struct Received {
    bytes: Vec<u8>,
    /// How many bytes at the front were used. They are dropped when the connection reads again, or counts the bytes that it
    /// keeps: to drop each piece of a body by itself would move all bytes behind it.
    used: usize,
    /// How many bytes at the front were used, or are handed out as data.
    taken: usize,
    /// The head at the front, as far as it was read.
    head: Option<Box<HeadReader>>,
}

thread_local! {
    /// The memory of this thread's last input, for its next one: it saves two allocations for each request.
    static SPARE: Cell<Option<Box<Received>>> = const { Cell::new(None) };
}

impl Input {
    pub(super) const EMPTY: Input = Input(None);

    /// How many bytes were not handed out.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |received| received.bytes.len() - received.taken)
    }

    /// All bytes that were not used, including those that are handed out.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_ref().and_then(|received| received.bytes.get(received.used..)).unwrap_or_default()
    }

    /// Appends bytes that were received. Bytes that were used or handed out before are dropped.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.drop_taken();
        if bytes.is_empty() {
            return;
        }
        let received = self.0.get_or_insert_with(|| SPARE.take().unwrap_or_default());
        // Exactly so many, so that the bytes received bound the memory. Reads are large, so there are few of them.
        received.bytes.reserve_exact(bytes.len());
        received.bytes.extend_from_slice(bytes);
    }

    /// Hands out the first `taken` bytes: they stay until they are used or dropped.
    pub(super) fn hand_out(&mut self, taken: usize) {
        if let Some(received) = &mut self.0 {
            received.taken = received.used + taken;
        }
    }

    /// Counts the bytes that are handed out as used.
    pub(super) fn use_taken(&mut self) {
        if let Some(received) = &mut self.0 {
            received.used = received.taken;
        }
    }

    /// Drops the bytes that were used or are handed out.
    #[inline]
    pub(super) fn drop_taken(&mut self) {
        match &mut self.0 {
            Some(received) if received.taken == received.bytes.len() => self.clear(),
            Some(received) if received.taken > 0 => received.drop_taken(),
            _ => {}
        }
    }

    /// Drops all bytes; their memory is for the thread's next input.
    pub(super) fn clear(&mut self) {
        if let Some(mut received) = self.0.take().filter(|received| received.bytes.capacity() <= OWN_BUFFER) {
            received.bytes.clear();
            (received.used, received.taken, received.head) = (0, 0, None);
            SPARE.set(Some(received));
        }
    }

    /// Drops the first `used` bytes.
    pub(super) fn drop_front(&mut self, used: usize) {
        self.hand_out(used);
        self.drop_taken();
    }

    /// Takes a head off the front, once it is whole; `head` is then that head.
    pub(super) fn take_head(&mut self, head: &mut Head, limits: &Limits) -> Result<Step<()>, Fault> {
        self.drop_taken();
        let Some(received) = &mut self.0 else { return Ok(Step::NeedMore) };
        let mut begun = received.head.take();
        let mut new = HeadReader::new(head.take_fields());
        let reader = begun.as_deref_mut().unwrap_or(&mut new);
        let Step::Complete(end) = reader.read(&received.bytes, limits)? else {
            received.head = Some(begun.unwrap_or_else(|| Box::new(new)));
            return Ok(Step::NeedMore);
        };
        // Mostly nothing follows the head, and its bytes need not be copied. If something does, they must be: else the head
        // would keep the memory of the bytes that follow.
        if end == received.bytes.len() {
            head.set(&mut received.bytes, reader);
            self.clear();
        } else {
            head.set(&mut received.bytes[..end].to_vec(), reader);
            self.drop_front(end);
        }
        Ok(Step::Complete(()))
    }

    /// Takes all bytes that were not handed out.
    #[cfg(feature = "ws")]
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        self.drop_taken();
        self.0.take().map(|received| received.bytes).unwrap_or_default()
    }
}

impl Received {
    fn drop_taken(&mut self) {
        self.bytes.drain(..self.taken);
        self.bytes.shrink_to_fit();
        (self.used, self.taken) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(input: &Input) -> usize {
        input.0.as_ref().map_or(0, |received| received.bytes.capacity())
    }

    #[test]
    fn what_was_used_leaves_no_room_behind() {
        let mut input = Input::EMPTY;
        input.push(&[0; 1000]);
        input.hand_out(999);
        input.drop_taken();
        assert_eq!((input.len(), owned(&input)), (1, 1));
        input.push(&[0; 999]);
        input.drop_front(990);
        assert_eq!((input.len(), owned(&input)), (10, 10));
        input.hand_out(9);
        input.push(&[0; 4]);
        assert_eq!((input.len(), owned(&input)), (5, 5));
        input.drop_front(5);
        assert_eq!((input.len(), owned(&input)), (0, 0));
    }

    #[test]
    fn pieces_are_handed_out_where_they_stand() {
        let mut input = Input::EMPTY;
        let bytes: Vec<u8> = (0..=255).collect();
        input.push(&bytes);
        let end = input.bytes().as_ptr_range().end;
        for used in 0..255u8 {
            assert_eq!(input.bytes()[0], used);
            input.hand_out(1);
            assert_eq!((input.len(), input.bytes()[0]), (usize::from(255 - used), used));
            input.use_taken();
            // Nothing was moved: neither within its memory, nor to another.
            assert_eq!((input.bytes().as_ptr_range().end, owned(&input)), (end, 256));
        }
        input.drop_taken();
        assert_eq!((input.bytes(), owned(&input)), (&[255][..], 1));
    }

    #[test]
    fn a_head_behind_another_keeps_no_room_of_it() {
        let (mut input, get) = (Input::EMPTY, b"GET / HTTP/1.0\r\n\r\n");
        input.push(&[&get[..], get, &get[..3]].concat());
        for left in [get.len() + 3, 3] {
            let mut head = Head::default();
            assert_eq!(input.take_head(&mut head, &Limits::DEFAULT), Ok(Step::Complete(())));
            assert_eq!((head.len(), input.len(), owned(&input)), (get.len(), left, left));
        }
        assert_eq!(input.take_head(&mut Head::default(), &Limits::DEFAULT), Ok(Step::NeedMore));
    }
}
