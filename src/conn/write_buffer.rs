//! [`Out`]: the bytes that a connection is about to write.

use core::cell::Cell;

use crate::proto::input::READ;
use crate::server::clock::Moment;

/// The bytes that a connection is about to write: a word, which owns nothing while there are none.
#[derive(Debug, Default)]
pub(crate) struct Out(Option<Box<Pending>>);

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// How many of them are written.
    written: usize,
    /// When all must be, from when the peer first let them wait.
    by: Option<Moment>,
    /// Whether the end of the stream follows them.
    last: bool,
}

thread_local! {
    /// The memory that this thread's last answer was written from, for the next one. (It saves two allocations for each
    /// answer and each event.)
    static SPARE: Cell<Option<Box<Pending>>> = const { Cell::new(None) };
}

impl Out {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|pending| pending.bytes.is_empty())
    }

    /// Where to append; what is appended has its own time to be written. What is written leaves, or it would stay for as
    /// long as a slow peer lets something wait.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        let pending = self.pending();
        pending.by = None;
        pending.bytes.drain(..core::mem::take(&mut pending.written));
        &mut pending.bytes
    }

    fn pending(&mut self) -> &mut Pending {
        self.0.get_or_insert_with(|| SPARE.take().unwrap_or_default())
    }

    /// What is not written yet.
    pub(crate) fn rest(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |pending| &pending.bytes[pending.written..])
    }

    /// So many of the rest were written.
    pub(crate) fn advance(&mut self, written: usize) {
        self.pending().written += written;
    }

    /// When all must be written: `patience` from the first time that this is asked.
    pub(crate) fn by(&mut self, patience: impl FnOnce() -> Moment) -> Moment {
        *self.pending().by.get_or_insert_with(patience)
    }

    /// The end of the stream follows what is there.
    pub(crate) fn make_last(&mut self) {
        self.pending().last = true;
    }

    pub(crate) fn is_last(&self) -> bool {
        self.0.as_ref().is_some_and(|pending| pending.last)
    }

    /// All is written, or nobody wants it.
    pub(crate) fn clear(&mut self) {
        let Some(mut pending) = self.0.take() else { return };
        if pending.bytes.capacity() <= READ {
            pending.bytes.clear();
            (pending.written, pending.by, pending.last) = (0, None, false);
            SPARE.set(Some(pending));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_leaves_while_something_waits() {
        let mut out = Out::default();
        for _ in 0..1000 {
            out.bytes().extend_from_slice(b"0123456789");
            let waiting = out.rest().len();
            out.advance(waiting - 5);
            assert_eq!(out.rest(), b"56789");
        }
        assert!(out.bytes().capacity() < 100);
    }
}
