//! [`Seat`]: one connection's place in its server. What it takes of the shared limits is given back with it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::addresses::Network;
use super::clock::Moment;
use super::{Server, Stage};
use crate::limits::SPARE;

/// One connection's place in its server.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) server: Server,
    /// The key of the connection's entry in the deadlines; half a word, since there is no memory for 2^32 of them.
    key: u32,
    pub(crate) standing: Standing,
    /// Requests, messages and writes in a row without a wait.
    pub(crate) turns: u8,
    /// Whether the last try to read found no room in `buffered`.
    pub(crate) starved: bool,
    /// Whether the peer's next bytes may be there already: they are to be tried for before they are waited for.
    pub(crate) eager: bool,
    /// The network it came from, while that is counted.
    network: Option<Network>,
    /// How many bytes it is counted with in `buffered`: what it uses above [`SPARE`].
    leased: usize,
}

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

impl Seat {
    pub(crate) fn take(server: Server, network: Option<Network>) -> Seat {
        let (limits, counts) = (&server.shared.limits, &server.shared.counts);
        counts.accepted.fetch_add(1, Ordering::Relaxed);
        let admitted = network.is_none_or(|network| server.admit(network));
        let standing = if admitted && take_one(&counts.connections, limits.connections) {
            Standing::Served
        } else {
            counts.refused.fetch_add(1, Ordering::Relaxed);
            match take_one(&counts.refusals, limits.refusals()) {
                true => Standing::Refused,
                false => Standing::Dropped,
            }
        };
        let key = server.shared.deadlines.enter() as u32;
        let network = network.filter(|_| admitted);
        Seat { network, server, key, standing, turns: 0, starved: false, eager: false, leased: 0 }
    }

    pub(crate) fn now(&self) -> Moment {
        self.server.shared.deadlines.now()
    }

    /// The moment that is `within` from now.
    pub(crate) fn deadline(&self, within: Duration) -> Moment {
        self.now().after(within)
    }

    /// Ready when `by` has come or the server cuts everything; else wakes the task then.
    pub(crate) fn poll_due(&self, cx: &mut Context<'_>, by: Moment) -> Poll<()> {
        if self.now() >= by {
            return Poll::Ready(());
        }
        self.server.shared.deadlines.arm(self.key as usize, by, cx.waker());
        // Look after arming: a shutdown between the two would wake nobody.
        if self.server.stage() == Stage::Cut { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Counts this connection among the held; false if there are enough of them.
    pub(crate) fn hold(&mut self) -> bool {
        if self.standing != Standing::Held
            && take_one(&self.server.shared.counts.held, self.server.shared.limits.held)
        {
            self.standing = Standing::Held;
        }
        self.is_held()
    }

    /// Whether a place among the held requests is taken.
    pub(crate) fn is_held(&self) -> bool {
        self.standing == Standing::Held
    }

    /// Counts it among the held no more.
    pub(crate) fn release(&mut self) {
        if self.is_held() {
            self.server.shared.counts.held.fetch_sub(1, Ordering::Relaxed);
            self.standing = Standing::Served;
        }
    }

    /// Leases up to `most` bytes beside the `used` ones; returns how many.
    pub(crate) fn lease(&mut self, used: usize, most: usize) -> usize {
        let spare = SPARE.saturating_sub(used).min(most);
        let (mut granted, wanted) = (0, most - spare);
        if wanted > 0 {
            let limit = self.server.shared.limits.buffered;
            // What is used beyond the lease is to be settled first.
            let owed = used.saturating_sub(SPARE).saturating_sub(self.leased);
            let grant = |buffered: usize| {
                granted = wanted.min(limit.saturating_sub(buffered).saturating_sub(owed));
                Some(buffered + granted)
            };
            let buffered = &self.server.shared.counts.buffered;
            let _ = buffered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grant);
            self.leased += granted;
        }
        self.starved = most > 0 && spare + granted == 0;
        spare + granted
    }

    /// Whether there is room for the `used` bytes; they are leased then.
    pub(crate) fn fit(&mut self, used: usize) -> bool {
        let more = used.saturating_sub(SPARE).saturating_sub(self.leased);
        let limit = self.server.shared.limits.buffered;
        let add = |buffered: usize| buffered.checked_add(more).filter(|sum| *sum <= limit);
        let buffered = &self.server.shared.counts.buffered;
        let fits = more == 0 || buffered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        if fits {
            self.leased += more;
        }
        fits
    }

    /// Sets the lease to what is really used.
    pub(crate) fn settle(&mut self, used: usize) {
        let buffered = &self.server.shared.counts.buffered;
        let used = used.saturating_sub(SPARE);
        if used < self.leased {
            buffered.fetch_sub(self.leased - used, Ordering::Relaxed);
        } else if used > self.leased {
            buffered.fetch_add(used - self.leased, Ordering::Relaxed);
        }
        self.leased = used;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.release();
        self.settle(0);
        self.server.shared.deadlines.leave(self.key as usize);
        if let Some(network) = self.network {
            self.server.dismiss(network);
        }
        let counts = &self.server.shared.counts;
        match self.standing {
            Standing::Served | Standing::Held => counts.connections.fetch_sub(1, Ordering::SeqCst),
            Standing::Refused => counts.refusals.fetch_sub(1, Ordering::SeqCst),
            Standing::Dropped => return,
        };
        self.server.left();
    }
}

/// Adds one if that is within the limit.
fn take_one(count: &AtomicUsize, limit: usize) -> bool {
    let add = |n: usize| (n < limit).then_some(n + 1);
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add).is_ok()
}
