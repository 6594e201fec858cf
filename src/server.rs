//! [`Server`]: what all connections share. Limits, the sweeper, counts, the date, shutdown.

use core::future::poll_fn;
use core::num::NonZeroU64;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_io::Timer;
use futures_lite::future;

use crate::limits::Limits;
use crate::moment::Moment;
use crate::proto::response::imf_date;
use crate::seat::Seat;
use crate::sweep::Sweep;

/// What all connections of one server share; a clone is another handle to the same.
///
/// # Examples
///
/// An accept loop of one's own; [`serve`](Server::serve) is the short way.
///
/// ```
/// use tidings::{Conn, Exchange, Limits, Response, Server};
///
/// async fn app(ex: Exchange<'_>) -> tidings::Result<()> {
///     ex.reply(Response::text("hello")).await
/// }
///
/// async fn converse(mut conn: Conn) -> tidings::Result<()> {
///     while let Some(ex) = conn.next().await? {
///         if let Err(error) = app(ex).await {
///             conn.fail(&error).await;
///             break;
///         }
///     }
///     Ok(())
/// }
///
/// # smol::block_on(async {
/// let server = Server::new(Limits::DEFAULT);
/// let deadlines = smol::spawn({
///     let server = server.clone();
///     async move { server.tick().await }
/// });
/// let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let address = listener.local_addr()?;
/// # let client = smol::spawn(async move {
/// #     use smol::io::{AsyncReadExt, AsyncWriteExt};
/// #     let mut stream = smol::net::TcpStream::connect(address).await.unwrap();
/// #     stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
/// #     let mut answer = String::new();
/// #     stream.read_to_string(&mut answer).await.unwrap();
/// #     assert!(answer.ends_with("hello"));
/// # });
/// // In a program this line is the body of a loop.
/// let (stream, _) = listener.accept().await?;
/// smol::spawn(converse(Conn::new(stream, &server))).detach();
/// # client.await;
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) sweep: Sweep,
    pub(crate) counts: Counts,
    /// A [`Stage`] as a number.
    stage: AtomicU8,
    /// The second that `Date` was last made for, and what it was.
    date: Mutex<(u64, Option<Arc<str>>)>,
    /// Connections by address, while `per_ip` is set.
    addresses: Mutex<HashMap<Network, usize>>,
}

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

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Not begun.
    Running,
    /// What is begun is finished, nothing new begins.
    Draining,
    /// Every connection ends at once.
    Cut,
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
    /// A server with these limits.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Limits, Server};
    /// let mut limits = Limits::DEFAULT;
    /// limits.body = 1024;
    /// let server = Server::new(limits);
    /// assert_eq!(server.limits().body, 1024);
    /// ```
    pub fn new(limits: Limits) -> Server {
        let shared = Shared {
            limits,
            sweep: Sweep::default(),
            counts: Counts::default(),
            stage: AtomicU8::new(Stage::Running as u8),
            date: Mutex::new((0, None)),
            addresses: Mutex::new(HashMap::new()),
        };
        Server { shared: Arc::new(shared) }
    }

    /// The limits.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{Hub, Limits, Server};
    ///
    /// let server = Server::new(Limits::DEFAULT);
    /// let hub = Hub::new(server.limits());
    /// ```
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

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

    /// Keeps the deadlines of all connections, for ever. [`serve`](Server::serve) runs it; an accept loop of
    /// one's own must, once per server, or no deadline and no heartbeat ever comes.
    ///
    /// # Cancel safety
    ///
    /// Dropping it stops the deadlines until it is called again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Limits, Server};
    /// # smol::block_on(async {
    /// let server = Server::new(Limits::DEFAULT);
    /// let accept = async { /* accept, and converse with each client */ };
    /// smol::future::or(server.tick(), accept).await;
    /// # });
    /// ```
    pub async fn tick(&self) {
        self.shared.sweep.run().await;
    }

    /// Ends the server: no further request is taken, idle connections close, what is being answered is finished,
    /// and each stream gets its last word (an SSE comment, close 1001, an answer with `Tidings-Reason`). What is
    /// still open after `within` is cut off. Returns when no connection is left, or they were cut.
    ///
    /// # Cancel safety
    ///
    /// The shutdown goes on if it is dropped, but nothing is cut off then.
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
        self.enter_stage(Stage::Draining);
        let patience = async {
            Timer::after(within).await;
        };
        future::or(self.emptied(Stage::Cut), patience).await;
        self.enter_stage(Stage::Cut);
    }

    fn enter_stage(&self, stage: Stage) {
        self.shared.stage.fetch_max(stage as u8, Ordering::SeqCst);
        self.shared.sweep.wake_all();
    }

    /// Waits until no connection is left, or the shutdown has come so far.
    pub(crate) async fn emptied(&self, stage: Stage) {
        let place = self.shared.sweep.place();
        poll_fn(|cx| {
            place.arm(cx, Moment::NEVER);
            // Look behind that: what comes between the two would wake nobody.
            if self.is_empty() || self.stage() >= stage { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn is_empty(&self) -> bool {
        let counts = &self.shared.counts;
        counts.connections.load(Ordering::SeqCst) + counts.refusals.load(Ordering::SeqCst) == 0
    }

    /// Tells who waits for it that the last connection may be gone.
    pub(crate) fn left(&self) {
        if self.stage() > Stage::Running && self.is_empty() {
            self.shared.sweep.wake_all();
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.shared.stage.load(Ordering::SeqCst) {
            0 => Stage::Running,
            1 => Stage::Draining,
            _ => Stage::Cut,
        }
    }

    /// A place for one more connection, or one to tell it that there is none.
    pub(crate) fn seat(&self, peer: Option<IpAddr>) -> Seat {
        Seat::take(self.clone(), peer.map(Network::of))
    }

    /// Counts one more connection from a network; false if there are enough.
    pub(crate) fn admit(&self, network: Network) -> bool {
        let Some(most) = self.shared.limits.per_ip else { return true };
        let mut addresses = self.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(network).or_insert(0);
        let admitted = *count < most;
        *count += usize::from(admitted);
        if *count == 0 {
            addresses.remove(&network);
        }
        admitted
    }

    /// Counts one connection less from a network.
    pub(crate) fn dismiss(&self, network: Network) {
        if self.shared.limits.per_ip.is_none() {
            return;
        }
        let mut addresses = self.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&network);
            }
        }
    }

    /// The value of `Date`, made once a second; `None` without a valid clock.
    pub(crate) fn date(&self) -> Option<Arc<str>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let mut date = self.shared.date.lock().unwrap_or_else(PoisonError::into_inner);
        if date.0 != now {
            *date = (now, imf_date(now).map(Arc::from));
        }
        date.1.clone()
    }

    /// A time between the shortest and the longest retry, another one at each call.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Limits, Response, Server};
    /// # let server = Server::new(Limits::DEFAULT);
    /// let retry = server.draw_retry();
    /// let answer = Response::new(503).header("Retry-After", retry.as_secs().to_string());
    /// # let (least, most) = server.limits().retry;
    /// # assert!(least <= retry && retry <= most);
    /// ```
    pub fn draw_retry(&self) -> Duration {
        let (least, most) = self.shared.limits.retry;
        least + part(most.saturating_sub(least))
    }
}

/// A random part of a time, to the millisecond.
fn part(whole: Duration) -> Duration {
    // Without floats, which take 2 KiB of code.
    Duration::from_millis(fastrand::u64(..=u64::try_from(whole.as_millis()).unwrap_or(u64::MAX)))
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 one. A word, since each connection has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(NonZeroU64);

impl Network {
    /// What an IPv4 address is above: `0:1::/32` is nobody's.
    const V4: NonZeroU64 = NonZeroU64::MIN.saturating_add(u32::MAX as u64);

    fn of(peer: IpAddr) -> Network {
        Network(match peer.to_canonical() {
            IpAddr::V4(v4) => Network::V4 | u64::from(u32::from(v4)),
            // The loopback's is 0.
            IpAddr::V6(v6) => NonZeroU64::new((u128::from(v6) >> 64) as u64).unwrap_or(NonZeroU64::MIN),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Network {
        Network::of(address.parse().expect("an address"))
    }

    #[test]
    fn one_address_of_ipv4_or_64_bits_of_ipv6_are_a_network() {
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::2"));
        let apart = [
            "0.0.0.0",
            "0.0.0.1",
            "192.0.2.1",
            "255.255.255.255",
            "::1",
            "2001:db8:1:2::1",
            "2001:db8:1:3::1",
        ];
        for (place, one) in apart.iter().enumerate() {
            assert!(apart[place + 1..].iter().all(|other| of(one) != of(other)), "{one}");
        }
    }
}
