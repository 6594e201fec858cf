//! [`Turns`]: fairness among the connections of a thread, and among the sources for which one connection waits.

use std::task::{Context, Poll};

/// After this many requests, messages or writes in a row without a wait, a connection lets the others go first.
pub(crate) const TURNS: u8 = 16;

/// What a connection has done in a row, and whose turn is next. A connection that always has something to do must neither
/// keep the thread, nor let one of its own sources hide the other.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// How many requests, messages and writes there were in a row without a wait.
    taken: u8,
    /// Whether the next held wait looks at its client before its future, since the last one ended by its future.
    pub(crate) client_first: bool,
}

impl Turns {
    /// Counts a request, a message or a write: one turn, or more if it took long.
    pub(crate) fn count(&mut self, turns: u8) {
        self.taken = self.taken.saturating_add(turns);
    }

    /// The connection waits, so that the others have their turn anyway.
    pub(crate) fn rest(&mut self) {
        self.taken = 0;
    }

    /// Lets the other connections go first, once, after [`TURNS`] turns in a row.
    pub(crate) fn poll_give_way(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.taken < TURNS {
            return Poll::Ready(());
        }
        self.taken = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
