//! [`Turns`]: fairness, among the connections of a thread, and between what one of them waits for.

use std::task::{Context, Poll};

/// After this many requests, messages or writes in a row without a wait, a connection lets the others go first.
pub(crate) const TURNS: u8 = 16;

/// What a connection has done in a row, and whose turn is next. Who always has something to do must neither keep the thread
/// nor hide from itself what else there is.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Requests, messages and writes in a row without a wait.
    taken: u8,
    /// What a held wait looks at first.
    pub(crate) first: Source,
}

/// What a held wait looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Source {
    #[default]
    Future,
    Peer,
    Shutdown,
}

impl Source {
    /// All of them, this one first. The one behind that which ended a wait is the first in the next.
    pub(crate) fn on(self) -> [Source; 3] {
        match self {
            Source::Future => [Source::Future, Source::Peer, Source::Shutdown],
            Source::Peer => [Source::Peer, Source::Shutdown, Source::Future],
            Source::Shutdown => [Source::Shutdown, Source::Future, Source::Peer],
        }
    }
}

impl Turns {
    /// Counts a request, a message or a write: one turn, or more if it took long.
    pub(crate) fn take(&mut self, turns: u8) {
        self.taken = self.taken.saturating_add(turns);
    }

    /// The connection waits: others have their turn anyway.
    pub(crate) fn rest(&mut self) {
        self.taken = 0;
    }

    /// Lets the others go first, once, when it was the connection's turn often enough.
    pub(crate) fn poll_give_way(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.taken < TURNS {
            return Poll::Ready(());
        }
        self.taken = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
