//! [`Server::shutdown`], and the [`Stage`] that it has reached.

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
    /// Requests that have begun are answered, and no new one is taken.
    Draining,
    /// Each connection ends at once, whatever it is doing.
    Cut,
}

impl Server {
    /// Shuts the server down gracefully. It takes no further request: connections that are idle are closed at once, the
    /// others behind the answer that they are giving. A client whose request is held is told why it ends: an event stream
    /// by a comment, a WebSocket by close 1001, a long poll by `Tidings-Reason`. Connections that are still open after
    /// `within` are cut off: whatever a handler waits for or writes there fails from then on.
    ///
    /// It returns when no connection is left, or when the last ones have been cut off.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, the server still shuts down, but no connection is cut off.
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
        // Its own alarm needs neither `tick` nor a connection that runs.
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

    /// Waits until no connection is left, or until the shutdown has reached a stage.
    pub(crate) async fn emptied(&self, stage: Stage) {
        let entry = self.shared.deadlines.entry();
        poll_fn(|cx| {
            entry.arm(cx, Moment::NEVER);
            // Look after arming: what happens between the two would wake nobody.
            if self.is_empty() || self.stage() >= stage { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn is_empty(&self) -> bool {
        let counts = &self.shared.counts;
        counts.connections.load(Ordering::SeqCst) + counts.refusals.load(Ordering::SeqCst) == 0
    }

    /// Called when a connection has ended: wakes those that wait for the last one.
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
