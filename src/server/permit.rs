//! [`Permit`]: whether a connection is served, and whether its request may be held; both are counted.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Server;

/// The permit of one connection: it counts among [`Limits::connections`](crate::Limits::connections), and while its request
/// is held among [`Limits::held`](crate::Limits::held). The owner calls [`give_back`](Permit::give_back).
#[derive(Debug)]
pub(crate) struct Permit(Standing);

/// What a connection is permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The connection is served.
    Served,
    /// The connection is served, and its request is held.
    Held,
    /// The connection is refused with a 503.
    Refused,
    /// The connection is closed without a response, since too many others are being refused.
    Dropped,
}

impl Permit {
    /// The permit of one more connection; `admitted` is whether its network may have one more.
    pub(super) fn new(server: &Server, admitted: bool) -> Permit {
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

    /// Permits the connection to hold its request; false if [`Limits::held`](crate::Limits::held) requests are held.
    pub(super) fn hold(&mut self, server: &Server) -> bool {
        if self.0 == Standing::Served && take_one(&server.shared.counts.held, server.shared.limits.held) {
            self.0 = Standing::Held;
        }
        self.0 == Standing::Held
    }

    /// The connection holds no request any more.
    pub(super) fn release(&mut self, server: &Server) {
        if self.0 == Standing::Held {
            server.shared.counts.held.fetch_sub(1, Ordering::Relaxed);
            self.0 = Standing::Served;
        }
    }

    /// The connection has ended: it is counted no more.
    pub(super) fn give_back(&mut self, server: &Server) {
        self.release(server);
        let counts = &server.shared.counts;
        match core::mem::replace(&mut self.0, Standing::Dropped) {
            Standing::Served | Standing::Held => counts.connections.fetch_sub(1, Ordering::SeqCst),
            Standing::Refused => counts.refusals.fetch_sub(1, Ordering::SeqCst),
            Standing::Dropped => return,
        };
        server.connection_ended();
    }
}

/// Adds one to a count, if the sum is within the limit.
fn take_one(count: &AtomicUsize, limit: usize) -> bool {
    let add = |n: usize| (n < limit).then_some(n + 1);
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add).is_ok()
}
