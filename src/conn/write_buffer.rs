//! [`WriteBuffer`]: the bytes that a connection is to write, and the deadline for progress with them.

use core::cell::Cell;
use std::io::IoSlice;
use std::time::Duration;

use super::patience::Patience;
use crate::limits::{FIELD, FIELDS, OWN_BUFFER, THREAD};
use crate::proto::content::Content;
use crate::proto::input::READ;
use crate::server::clock::Moment;

/// Bytes that a client must take within [`Limits::write_time`](crate::Limits::write_time), or all that are left if they are
/// fewer. To take one byte now and then is no progress.
pub(crate) const PROGRESS: usize = 16 * 1024;

/// Content of up to so many bytes is copied behind its head, so that both are one write. Larger content is written from
/// where it is.
const COPIED: usize = 1024;

/// The most memory in bytes that a thread keeps for its next answer.
const REUSED: usize = 16 * 1024;

/// What a thread keeps fits in what is counted for it: the read buffer, this, a head and its fields, an input, and what lies
/// around them.
const _: () = assert!(READ + REUSED + 2 * OWN_BUFFER + FIELDS * FIELD + 1024 <= THREAD);

/// The bytes that a connection is to write. It is one word, which owns nothing while there are none.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer(Option<Box<Outgoing>>);

#[derive(Debug, Default)]
struct Outgoing {
    bytes: Vec<u8>,
    /// Content that is written behind the bytes, from where it is.
    content: Content,
    /// How many bytes of both are written.
    written: usize,
    /// The progress that the client must make; `None` until it lets bytes wait.
    progress: Option<Progress>,
    /// Whether the end of the stream follows the content.
    last: bool,
}

/// The progress that a client must make.
#[derive(Debug)]
struct Progress {
    /// How many more bytes the client must take.
    left: usize,
    /// The time in which it must take them.
    patience: Patience,
}

thread_local! {
    /// The memory of this thread's last write buffer, for its next one: it saves two allocations for each response and each
    /// event. A connection that waits for a slow reader gives spare memory back here.
    static SPARE: Cell<Option<Box<Outgoing>>> = const { Cell::new(None) };
}

impl WriteBuffer {
    /// Whether nothing was added since the buffer was cleared. Bytes that are written stay until the stream has flushed them.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The bytes, to append to. Bytes that are written are dropped here: else they would stay as long as a slow reader lets
    /// other bytes wait.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        let outgoing = self.outgoing();
        outgoing.keep_content();
        if outgoing.written > 0 {
            outgoing.bytes.drain(..core::mem::take(&mut outgoing.written));
        }
        &mut outgoing.bytes
    }

    /// Appends the body of a response.
    pub(crate) fn push(&mut self, content: Content) {
        match content.bytes() {
            bytes if bytes.len() <= COPIED => self.bytes().extend_from_slice(bytes),
            _ => {
                self.bytes();
                self.outgoing().content = content;
            }
        }
    }

    fn outgoing(&mut self) -> &mut Outgoing {
        self.0.get_or_insert_with(|| SPARE.take().unwrap_or_default())
    }

    /// How many bytes are not written yet.
    pub(crate) fn left(&self) -> usize {
        self.0.as_ref().map_or(0, |outgoing| outgoing.left())
    }

    /// The bytes that are not written yet, in two parts, of which either may be empty.
    pub(crate) fn rest(&self) -> [IoSlice<'_>; 2] {
        let parts = self.0.as_ref().map_or([&[][..], &[]], |outgoing| outgoing.rest());
        parts.map(IoSlice::new)
    }

    /// Counts so many more bytes as written.
    pub(crate) fn advance(&mut self, written: usize) {
        let outgoing = self.outgoing();
        outgoing.written += written;
        outgoing.progress.take_if(|progress| {
            progress.left = progress.left.saturating_sub(written);
            progress.left == 0
        });
    }

    /// The client lets the rest wait. Returns the deadline for its progress, which is `within` from the first time that it
    /// let these bytes wait. Memory that the rest does not need goes back to the thread.
    pub(crate) fn wait(&mut self, within: Duration, now: impl FnOnce() -> Moment) -> Moment {
        let outgoing = self.outgoing();
        outgoing.shrink();
        let left = outgoing.left().min(PROGRESS);
        let patience = Patience::Left(within);
        outgoing.progress.get_or_insert(Progress { left, patience }).patience.resume(now)
    }

    /// No future writes any more: see [`Patience`].
    pub(crate) fn pause(&mut self, now: impl FnOnce() -> Moment) {
        if let Some(progress) = self.0.as_mut().and_then(|outgoing| outgoing.progress.as_mut()) {
            progress.patience.pause(now);
        }
    }

    /// The deadline for the client's progress; never, if it need make none.
    pub(crate) fn by(&self) -> Moment {
        let progress = self.0.as_ref().and_then(|outgoing| outgoing.progress.as_ref());
        progress.map_or(Moment::NEVER, |progress| progress.patience.by())
    }

    /// The end of the stream follows the bytes and the content.
    pub(crate) fn make_last(&mut self) {
        self.outgoing().last = true;
    }

    pub(crate) fn is_last(&self) -> bool {
        self.0.as_ref().is_some_and(|outgoing| outgoing.last)
    }

    /// Empties the buffer: all bytes are written, or none of them is to be written any more.
    pub(crate) fn clear(&mut self) {
        let Some(mut outgoing) = self.0.take() else { return };
        if outgoing.bytes.capacity() <= REUSED {
            let mut bytes = core::mem::take(&mut outgoing.bytes);
            bytes.clear();
            *outgoing = Outgoing { bytes, ..Outgoing::default() };
            SPARE.set(Some(outgoing));
        }
    }
}

impl Outgoing {
    fn left(&self) -> usize {
        self.bytes.len() + self.content.bytes().len() - self.written
    }

    fn rest(&self) -> [&[u8]; 2] {
        let (bytes, content) = (&self.bytes[..], self.content.bytes());
        let behind = self.written.saturating_sub(bytes.len());
        [&bytes[self.written.min(bytes.len())..], &content[behind..]]
    }

    /// Copies the rest of the content behind the bytes, since other bytes are to follow it. (The content may be half written
    /// if the future that wrote it was dropped.)
    fn keep_content(&mut self) {
        if !self.content.bytes().is_empty() {
            let [bytes, content] = self.rest();
            self.bytes = [bytes, content].concat();
            (self.content, self.written) = (Content::EMPTY, 0);
        }
    }

    /// Keeps little more memory than the remaining bytes take, for the client may let them wait for long.
    fn shrink(&mut self) {
        let left = self.bytes.len().saturating_sub(self.written);
        if self.bytes.capacity() <= left + left / 4 {
            return;
        }
        let kept = self.bytes[self.bytes.len() - left..].to_vec();
        self.written = self.written.saturating_sub(self.bytes.len());
        let bytes = core::mem::replace(&mut self.bytes, kept);
        WriteBuffer(Some(Box::new(Outgoing { bytes, ..Outgoing::default() }))).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::clock::Clock;

    fn text(buffer: &WriteBuffer) -> Vec<u8> {
        buffer.rest().map(|part| part.to_vec()).concat()
    }

    fn owned(buffer: &WriteBuffer) -> usize {
        buffer.0.as_ref().map_or(0, |outgoing| outgoing.bytes.capacity())
    }

    #[test]
    fn what_is_written_leaves_while_something_waits() {
        let mut buffer = WriteBuffer::default();
        for _ in 0..1000 {
            buffer.bytes().extend_from_slice(b"0123456789");
            buffer.advance(buffer.left() - 5);
            assert_eq!(text(&buffer), b"56789");
        }
        assert!(buffer.bytes().capacity() < 100);
    }

    #[test]
    fn large_content_stays_where_it_is() {
        let shared: std::sync::Arc<[u8]> = vec![b'x'; 100_000].into();
        let mut buffer = WriteBuffer::default();
        buffer.bytes().extend_from_slice(b"head");
        buffer.push(shared.clone().into());
        assert_eq!((buffer.left(), buffer.rest()[1].as_ptr()), (100_004, shared.as_ptr()));
        buffer.advance(3);
        assert_eq!(&*buffer.rest()[0], b"d");
        buffer.advance(2);
        assert_eq!((buffer.rest()[0].len(), buffer.rest()[1].len()), (0, 99_999));
        assert!(owned(&buffer) < 100);
        // Whatever comes behind it is written behind it.
        buffer.advance(99_990);
        buffer.bytes().extend_from_slice(b"next");
        assert_eq!(text(&buffer), b"xxxxxxxxxnext");
    }

    #[test]
    fn who_waits_for_its_peer_keeps_no_spare_memory() {
        let now = Clock::default().now();
        let mut buffer = WriteBuffer::default();
        buffer.bytes().extend_from_slice(&[b'x'; 10_000]);
        buffer.advance(9_990);
        buffer.wait(Duration::MAX, || now);
        assert!(owned(&buffer) <= 20, "{}", owned(&buffer));
        assert_eq!(text(&buffer), [b'x'; 10]);
        // The next one gets it.
        let mut next = WriteBuffer::default();
        assert!(next.bytes().capacity() >= 10_000);
    }

    #[test]
    fn a_deadline_is_about_progress() {
        let (start, second) = (Clock::default().now(), Duration::from_secs(1));
        let at = |seconds| start.after(second * seconds);
        let mut buffer = WriteBuffer::default();
        buffer.bytes().extend_from_slice(&[b'x'; 40_000]);
        assert_eq!(buffer.wait(second, || at(0)), at(1));
        // Neither a few bytes nor what is added gives it more time.
        buffer.advance(PROGRESS - 1);
        buffer.bytes().extend_from_slice(b"more");
        assert_eq!(buffer.wait(second, || at(5)), at(1));
        buffer.advance(1);
        assert_eq!((buffer.by(), buffer.wait(second, || at(5))), (Moment::NEVER, at(6)));
        // The rest may be less.
        buffer.advance(PROGRESS);
        assert_eq!(buffer.wait(second, || at(7)), at(8));
        buffer.advance(buffer.left());
        assert_eq!((buffer.left(), buffer.by()), (0, Moment::NEVER));
    }
}
