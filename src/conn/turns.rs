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
    /// The source that the next held wait polls first.
    pub(crate) first: Source,
}

/// What can end a held wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Source {
    #[default]
    Future,
    Client,
    Shutdown,
}

impl Source {
    /// All sources, this one first. The source behind the one that ended a wait is the first in the next wait.
    pub(crate) fn in_turn(self) -> [Source; 3] {
        match self {
            Source::Future => [Source::Future, Source::Client, Source::Shutdown],
            Source::Client => [Source::Client, Source::Shutdown, Source::Future],
            Source::Shutdown => [Source::Shutdown, Source::Future, Source::Client],
        }
    }
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
