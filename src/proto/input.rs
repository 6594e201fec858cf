//! [`Input`]: the bytes that a connection has received.

/// The most that one call reads from a connection, in bytes, and the largest that the read buffer gets which a thread
/// shares among its connections.
pub(crate) const READ: usize = 16 * 1024;

/// What was received and not yet used: a word, which owns nothing while there is nothing, and no more room than what is
/// there takes. (One byte behind a large body would keep the room of all of it, and nobody would count that.)
#[derive(Debug, Default)]
pub(super) struct Input(Option<Box<Received>>);

#[derive(Debug, Default)]
struct Received {
    bytes: Vec<u8>,
    /// How much of their front was handed out as data.
    taken: usize,
}

impl Input {
    pub(super) const EMPTY: Input = Input(None);

    /// How much was not handed out.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |received| received.bytes.len() - received.taken)
    }

    /// All that is there, what was handed out as well.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |received| &received.bytes)
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let received = self.0.get_or_insert_default();
        // Exact, so that the bytes received bound the memory; amortized by the reads being large.
        received.bytes.reserve_exact(bytes.len());
        received.bytes.extend_from_slice(bytes);
    }

    /// Hands out so much of the front: it stays until [`drop_taken`](Input::drop_taken).
    pub(super) fn hand_out(&mut self, taken: usize) {
        // unreachable: data is handed out of what is there.
        let Some(received) = &mut self.0 else { return };
        received.taken = taken;
    }

    /// Drops what was handed out.
    pub(super) fn drop_taken(&mut self) {
        let taken = self.0.as_ref().map_or(0, |received| received.taken);
        self.discard(taken);
    }

    /// Drops so much of the front.
    pub(super) fn discard(&mut self, used: usize) {
        let Some(received) = &mut self.0 else { return };
        if used >= received.bytes.len() {
            self.0 = None;
        } else {
            received.bytes.drain(..used);
            received.bytes.shrink_to_fit();
            received.taken = 0;
        }
    }

    /// Lets `take` have the bytes, and take out what it uses.
    pub(super) fn edit<T>(&mut self, take: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let Some(received) = &mut self.0 else { return take(&mut Vec::new()) };
        let taken = take(&mut received.bytes);
        match received.bytes.is_empty() {
            true => self.0 = None,
            false => received.bytes.shrink_to_fit(),
        }
        taken
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
        input.edit(|bytes| bytes.drain(..990).count());
        assert_eq!((input.len(), owned(&input)), (10, 10));
        input.discard(10);
        assert_eq!((input.len(), owned(&input)), (0, 0));
    }
}
