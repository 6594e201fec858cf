//! [`Stats`]: the statistics of a server, and the [`Counts`] from which they are read.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::Server;

/// The counters of a server, over all its connections.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Connections that are served now.
    pub(crate) connections: AtomicUsize,
    /// Connections that are being refused with a 503 now.
    pub(crate) refusals: AtomicUsize,
    /// Connections, among those that are served, whose request is held now.
    pub(crate) held: AtomicUsize,
    /// Bytes that were received and not yet used, beyond the 1 KiB that each connection has for itself.
    pub(crate) buffered: AtomicUsize,
    /// Connections accepted since the start, refused ones included.
    pub(crate) accepted: AtomicU64,
    /// Connections refused since the start.
    pub(crate) refused: AtomicU64,
    /// Requests received since the start.
    pub(crate) requests: AtomicU64,
}

/// The statistics of a server at one moment.
///
/// # Examples
///
/// ```
/// # use tidings::{Limits, Server};
/// let server = Server::new(Limits::DEFAULT);
/// assert_eq!(server.stats().connections, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are served now; at most [`Limits::connections`](crate::Limits::connections).
    pub connections: usize,
    /// Connections, among those, whose request is held now; at most [`Limits::held`](crate::Limits::held).
    pub held: usize,
    /// Bytes that were received and not yet used, beyond the 1 KiB that each connection has for itself; at most
    /// [`Limits::buffered`](crate::Limits::buffered).
    pub buffered: usize,
    /// Connections accepted since the start, refused ones included.
    pub accepted: u64,
    /// Connections refused since the start.
    pub refused: u64,
    /// Requests received since the start.
    pub requests: u64,
}

impl Server {
    /// The statistics of this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(Vec::new()));
    /// let server = Server::new(Limits::DEFAULT);
    /// drop(Conn::new(io, &server));
    /// let stats = server.stats();
    /// assert_eq!((stats.accepted, stats.connections), (1, 0));
    /// ```
    pub fn stats(&self) -> Stats {
        let counts = &self.shared.counts;
        Stats {
            connections: counts.connections.load(Ordering::Relaxed),
            held: counts.held.load(Ordering::Relaxed),
            buffered: counts.buffered.load(Ordering::Relaxed),
            accepted: counts.accepted.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
            requests: counts.requests.load(Ordering::Relaxed),
        }
    }
}
