//! How a server ends: [`Server::shutdown`], and how far it has come.

use core::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future;

use super::Server;
use super::clock::Moment;

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Not begun.
    Running,
    /// What is begun is finished, nothing new begins.
    Draining,
    /// Every connection ends at once.
    Cut,
}

impl Server {
    /// Ends the server: no further request is taken, idle connections close, what is being answered is finished,
    /// and each stream gets its last word (an SSE comment, close 1001, an answer with `Tidings-Reason`). What is
    /// still open after `within` is cut off. Returns when no connection is left, or they were cut.
    ///
    /// # Cancel safety
    ///
    /// The shutdown goes on if it is dropped, but nothing is cut off then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Limits, Server};
    /// # smol::block_on(async {
    /// let server = Server::new(Limits::DEFAULT);
    /// server.shutdown(std::time::Duration::from_secs(1)).await;
    /// # });
    /// ```
    pub async fn shutdown(&self, within: Duration) {
        // An alarm of its own: it comes also where nobody runs `tick`.
        let clock = &self.shared.deadlines.clock;
        let mut alarm = clock.alarm();
        alarm.set(clock.now().after(within));
        self.enter_stage(Stage::Draining);
        future::or(self.emptied(Stage::Cut), poll_fn(|cx| alarm.poll(cx))).await;
        self.enter_stage(Stage::Cut);
    }

    fn enter_stage(&self, stage: Stage) {
        self.shared.stage.fetch_max(stage as u8, Ordering::SeqCst);
        self.shared.deadlines.wake_all();
    }

    /// Waits until no connection is left, or the shutdown has come so far.
    pub(crate) async fn emptied(&self, stage: Stage) {
        let entry = self.shared.deadlines.entry();
        poll_fn(|cx| {
            entry.arm(cx, Moment::NEVER);
            // Look behind that: what comes between the two would wake nobody.
            if self.is_empty() || self.stage() >= stage { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn is_empty(&self) -> bool {
        let counts = &self.shared.counts;
        counts.connections.load(Ordering::SeqCst) + counts.refusals.load(Ordering::SeqCst) == 0
    }

    /// Tells who waits for it that the last connection may be gone.
    pub(crate) fn left(&self) {
        if self.stage() > Stage::Running && self.is_empty() {
            self.shared.deadlines.wake_all();
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.shared.stage.load(Ordering::SeqCst) {
            0 => Stage::Running,
            1 => Stage::Draining,
            _ => Stage::Cut,
        }
    }
}
