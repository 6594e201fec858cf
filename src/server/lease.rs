//! [`Lease`]: one connection's share of the bytes that all connections may buffer together,
//! [`Limits::buffered`](crate::Limits::buffered).

use std::sync::atomic::Ordering;

use super::Server;
use crate::limits::OWN_BUFFER;

/// One connection's share of `buffered`: the bytes that it keeps beyond [`OWN_BUFFER`].
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// How many bytes are leased. Half a word, since no connection keeps 4 GiB.
    bytes: u32,
    /// Whether the last [`grant`](Lease::grant) found no room in `buffered`.
    starved: bool,
}

impl Lease {
    /// Whether the last [`grant`](Lease::grant) found no room in `buffered`.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    /// Whether no room can ever come free: the connection is starved though it has leased all of `buffered`.
    pub(super) fn has_all(&self, server: &Server) -> bool {
        self.starved && self.bytes as usize >= server.shared.limits.buffered
    }

    /// Leases up to `most` bytes in addition to the `used` ones; returns how many may be received.
    pub(super) fn grant(&mut self, server: &Server, used: usize, most: usize) -> usize {
        let own = OWN_BUFFER.saturating_sub(used).min(most);
        let (mut granted, wanted) = (0, most - own);
        if wanted > 0 {
            let limit = server.shared.limits.buffered;
            // Bytes that are used beyond the lease come first.
            let owed = used.saturating_sub(OWN_BUFFER).saturating_sub(self.bytes as usize);
            let add = |buffered: usize| {
                granted = wanted.min(limit.saturating_sub(buffered).saturating_sub(owed));
                Some(buffered + granted)
            };
            let buffered = &server.shared.counts.buffered;
            let _ = buffered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
            self.set(self.bytes as usize + granted);
        }
        self.starved = most > 0 && own + granted == 0;
        own + granted
    }

    /// Leases as many bytes as are `used`; false, and nothing leased, if there is no room for them.
    pub(super) fn fit(&mut self, server: &Server, used: usize) -> bool {
        let more = used.saturating_sub(OWN_BUFFER).saturating_sub(self.bytes as usize);
        let limit = server.shared.limits.buffered;
        let add = |buffered: usize| buffered.checked_add(more).filter(|sum| *sum <= limit);
        let buffered = &server.shared.counts.buffered;
        let fits = more == 0 || buffered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        if fits {
            self.set(self.bytes as usize + more);
        }
        fits
    }

    /// Sets the lease to the number of bytes that are used.
    pub(super) fn settle(&mut self, server: &Server, used: usize) {
        let (buffered, before) = (&server.shared.counts.buffered, self.bytes as usize);
        self.set(used.saturating_sub(OWN_BUFFER));
        self.starved = false;
        match self.bytes as usize {
            now if now < before => _ = buffered.fetch_sub(before - now, Ordering::Relaxed),
            now if now > before => _ = buffered.fetch_add(now - before, Ordering::Relaxed),
            _ => {}
        }
    }

    fn set(&mut self, bytes: usize) {
        self.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    }
}
