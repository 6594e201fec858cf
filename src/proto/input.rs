//! [`Input`]: the bytes that a connection has received.

/// What was received and not yet used: a word, which owns nothing while there is nothing.
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
            received.taken = 0;
        }
    }

    /// Lets `take` have the bytes, and take out what it uses.
    pub(super) fn edit<T>(&mut self, take: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let Some(received) = &mut self.0 else { return take(&mut Vec::new()) };
        let taken = take(&mut received.bytes);
        if received.bytes.is_empty() {
            self.0 = None;
        }
        taken
    }
}
