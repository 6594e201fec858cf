//! [`Lease`]: one connection's share of the bytes that all may buffer, [`Limits::buffered`](crate::Limits::buffered).

use std::sync::atomic::Ordering;

use super::Server;
use crate::limits::OWN_BUFFER;

/// How much of `buffered` a connection has: what it keeps above [`OWN_BUFFER`].
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// In half a word: nobody keeps 4 GiB of one connection's.
    bytes: u32,
    /// Whether the last try to read found no room.
    starved: bool,
}

impl Lease {
    /// Whether the last try to read found no room in `buffered`.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    /// Whether that was in vain for good: all of `buffered` is this connection's, so that none can come free.
    pub(super) fn is_all(&self, server: &Server) -> bool {
        self.starved && self.bytes as usize >= server.shared.limits.buffered
    }

    /// Leases up to `most` bytes beside the `used` ones; returns how many.
    pub(super) fn take(&mut self, server: &Server, used: usize, most: usize) -> usize {
        let own = OWN_BUFFER.saturating_sub(used).min(most);
        let (mut granted, wanted) = (0, most - own);
        if wanted > 0 {
            let limit = server.shared.limits.buffered;
            // What is used beyond the lease is to be settled first.
            let owed = used.saturating_sub(OWN_BUFFER).saturating_sub(self.bytes as usize);
            let grant = |buffered: usize| {
                granted = wanted.min(limit.saturating_sub(buffered).saturating_sub(owed));
                Some(buffered + granted)
            };
            let buffered = &server.shared.counts.buffered;
            let _ = buffered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grant);
            self.set(self.bytes as usize + granted);
        }
        self.starved = most > 0 && own + granted == 0;
        own + granted
    }

    /// Whether there is room for the `used` bytes; they are leased then.
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

    /// Sets the lease to what is really used.
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
