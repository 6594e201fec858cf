//! [`Server::shutdown`], and the [`Stage`] that a shutdown has reached.

use core::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future;

use super::Server;
use super::clock::Moment;

/// The stage of a server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// No shutdown has begun.
    Running,
    /// Requests that have begun are answered, and no further request is read.
    Draining,
    /// All connections are cut off.
    Cut,
}

impl Server {
    /// Shuts the server down gracefully. The server reads no further request: idle connections are closed at once, the
    /// others after the response that is under way. A client whose request is held is told why it ends: an event stream
    /// by a comment, a WebSocket by close 1001, a long poll by `Tidings-Reason`. Connections that are still open after
    /// `within` are cut off: whatever a handler waits for or writes there fails from then on.
    ///
    /// `shutdown` returns when no connection is left, or when the last ones were cut off.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the shutdown goes on, but no connection is cut off.
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
        // The shutdown has an alarm of its own, which needs neither `tick` nor a connection that runs.
        let clock = &self.shared.deadlines.clock;
        let mut alarm = clock.alarm();
        alarm.set(clock.now().after(within));
        self.enter_stage(Stage::Draining);
        future::or(self.emptied(Stage::Cut), poll_fn(|cx| alarm.poll(cx))).await;
        self.enter_stage(Stage::Cut);
    }

    fn enter_stage(&self, stage: Stage) {
        self.shared.stage.fetch_max(stage as u8, Ordering::SeqCst);
        self.shared.deadlines.wake_entries();
    }

    /// Waits until no connection is left, or until the shutdown has reached this stage.
    pub(crate) async fn emptied(&self, stage: Stage) {
        let entry = self.shared.deadlines.entry();
        poll_fn(|cx| {
            entry.arm(cx, Moment::NEVER);
            // Look at both after arming: a change between the two would wake nobody.
            if self.is_empty() || self.stage() >= stage { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn is_empty(&self) -> bool {
        let counts = &self.shared.counts;
        counts.connections.load(Ordering::SeqCst) + counts.refusals.load(Ordering::SeqCst) == 0
    }

    /// Called when a connection has ended: if it was the last one, wakes the tasks that wait for that.
    pub(crate) fn connection_ended(&self) {
        if self.stage() > Stage::Running && self.is_empty() {
            self.shared.deadlines.wake_entries();
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
