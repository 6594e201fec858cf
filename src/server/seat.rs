//! [`Seat`]: what one connection has of its server, which is a deadline, a permit and a lease. All are given back when it is
//! dropped.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::addresses::Network;
use super::clock::Moment;
use super::lease::Lease;
use super::permit::{Permit, Standing};
use super::{Server, Stage};

/// What one connection has of its server.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) server: Server,
    permit: Permit,
    /// The network that the connection came from, if it is counted in [`Limits::per_ip`](crate::Limits::per_ip).
    network: Option<Network>,
    lease: Lease,
    /// The key of the connection's entry in the deadlines; half a word, since there is no memory for 2^32 entries.
    key: u32,
}

impl Seat {
    pub(crate) fn new(server: Server, network: Option<Network>) -> Seat {
        let counted = network.is_some();
        let key = server.shared.deadlines.enter() as u32;
        let network = network.filter(|network| server.admit(*network));
        let permit = Permit::new(&server, network.is_some() || !counted);
        Seat { permit, network, lease: Lease::default(), key, server }
    }

    pub(crate) fn now(&self) -> Moment {
        self.server.shared.deadlines.now()
    }

    /// The moment that is `within` from now.
    pub(crate) fn deadline(&self, within: Duration) -> Moment {
        self.now().after(within)
    }

    /// This time as a moment; never, if there is none.
    pub(crate) fn moment(&self, at: Option<Instant>) -> Moment {
        at.map_or(Moment::NEVER, |at| self.server.shared.deadlines.clock.moment(at))
    }

    /// Whether `by` is known to have come; see [`Deadlines::is_past`](super::deadlines::Deadlines::is_past).
    pub(crate) fn is_past(&self, by: Moment) -> bool {
        self.server.shared.deadlines.is_past(by)
    }

    /// Ready when `by` has come or the server cuts everything; else the task is woken then.
    pub(crate) fn poll_due(&self, cx: &mut Context<'_>, by: Moment) -> Poll<()> {
        if self.is_past(by) { Poll::Ready(()) } else { self.arm(cx, by) }
    }

    /// Has the task woken at `by`, or at once if that is past; ready if the server cuts everything.
    pub(crate) fn arm(&self, cx: &mut Context<'_>, by: Moment) -> Poll<()> {
        self.server.shared.deadlines.arm(self.key as usize, by, cx.waker());
        // Look at the stage after arming: a shutdown between the two would wake nobody.
        if self.server.stage() == Stage::Cut { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(crate) fn standing(&self) -> Standing {
        self.permit.standing()
    }

    /// Takes a permit to hold the request; false if [`Limits::held`](crate::Limits::held) requests are held.
    pub(crate) fn hold(&mut self) -> bool {
        self.permit.hold(&self.server)
    }

    /// Gives the permit to hold the request back.
    pub(crate) fn release(&mut self) {
        self.permit.release(&self.server);
    }

    /// Leases up to `most` bytes in addition to the `used` ones; returns how many may be received.
    pub(crate) fn lease(&mut self, used: usize, most: usize) -> usize {
        self.lease.grant(&self.server, used, most)
    }

    /// Leases as many bytes as are `used`; false, and nothing leased, if there is no room for them.
    pub(crate) fn fit(&mut self, used: usize) -> bool {
        self.lease.fit(&self.server, used)
    }

    /// Sets the lease to the number of bytes that are used.
    pub(crate) fn settle(&mut self, used: usize) {
        self.lease.settle(&self.server, used);
    }

    /// Whether the last [`lease`](Seat::lease) found no room in `buffered`.
    pub(crate) fn is_starved(&self) -> bool {
        self.lease.is_starved()
    }

    /// Whether no room can ever come free: the connection is starved though it has leased all of `buffered`.
    pub(crate) fn has_all(&self) -> bool {
        self.lease.has_all(&self.server)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lease.settle(&self.server, 0);
        self.server.shared.deadlines.leave(self.key as usize);
        if let Some(network) = self.network {
            self.server.dismiss(network);
        }
        self.permit.give_back(&self.server);
    }
}
