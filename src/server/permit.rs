//! [`Permit`]: one connection's share of what is counted: connections and held requests.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Server;

/// One connection's share of what a server counts. Its owner gives it back.
#[derive(Debug)]
pub(crate) struct Permit(Standing);

/// How a connection is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is served.
    Served,
    /// It is served, and its request is counted among the held.
    Held,
    /// It is told that there is no room.
    Refused,
    /// Even too many are being told: it is dropped.
    Dropped,
}

impl Permit {
    /// A permit for one more connection; `admitted` is whether its network may have one more.
    pub(super) fn take(server: &Server, admitted: bool) -> Permit {
        let (limits, counts) = (&server.shared.limits, &server.shared.counts);
        counts.accepted.fetch_add(1, Ordering::Relaxed);
        let standing = if admitted && take_one(&counts.connections, limits.connections) {
            Standing::Served
        } else {
            counts.refused.fetch_add(1, Ordering::Relaxed);
            match take_one(&counts.refusals, limits.refusals()) {
                true => Standing::Refused,
                false => Standing::Dropped,
            }
        };
        Permit(standing)
    }

    pub(crate) fn standing(&self) -> Standing {
        self.0
    }

    /// Counts this connection among the held; false if there are enough of them.
    pub(super) fn hold(&mut self, server: &Server) -> bool {
        if self.0 == Standing::Served && take_one(&server.shared.counts.held, server.shared.limits.held) {
            self.0 = Standing::Held;
        }
        self.0 == Standing::Held
    }

    /// Counts it among the held no more.
    pub(super) fn release(&mut self, server: &Server) {
        if self.0 == Standing::Held {
            server.shared.counts.held.fetch_sub(1, Ordering::Relaxed);
            self.0 = Standing::Served;
        }
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&mut self, server: &Server) {
        self.release(server);
        let counts = &server.shared.counts;
        match core::mem::replace(&mut self.0, Standing::Dropped) {
            Standing::Served | Standing::Held => counts.connections.fetch_sub(1, Ordering::SeqCst),
            Standing::Refused => counts.refusals.fetch_sub(1, Ordering::SeqCst),
            Standing::Dropped => return,
        };
        server.left();
    }
}

/// Adds one if that is within the limit.
fn take_one(count: &AtomicUsize, limit: usize) -> bool {
    let add = |n: usize| (n < limit).then_some(n + 1);
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add).is_ok()
}
