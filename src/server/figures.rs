//! [`Stats`]: a server's figures, and the counters that they are read from.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::Server;

/// What all connections count together.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Connections that are served.
    pub(crate) connections: AtomicUsize,
    /// Connections that are being told that there is no room.
    pub(crate) refusals: AtomicUsize,
    /// Connections whose answer may be held.
    pub(crate) held: AtomicUsize,
    /// Bytes received and not yet used.
    pub(crate) buffered: AtomicUsize,
    /// Connections since the start.
    pub(crate) accepted: AtomicU64,
    /// Connections refused since the start.
    pub(crate) refused: AtomicU64,
    /// Requests since the start.
    pub(crate) requests: AtomicU64,
}

/// A server's figures at one moment.
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
    /// Connections that are served now; bounded by [`Limits::connections`].
    pub connections: usize,
    /// Connections (of those) whose answer is held or streamed; bounded by [`Limits::held`].
    pub held: usize,
    /// Bytes received and not yet used; bounded by [`Limits::buffered`].
    pub buffered: usize,
    /// Connections since the start, refused ones included.
    pub accepted: u64,
    /// Connections refused since the start.
    pub refused: u64,
    /// Requests since the start.
    pub requests: u64,
}

impl Server {
    /// The figures of this moment.
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
