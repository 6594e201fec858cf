//! [`Server`]: what all connections share, which is limits, deadlines, counters, the date, the shutdown.

mod addresses;
mod alarm;
pub(crate) mod clock;
mod date;
pub(crate) mod deadlines;
mod lease;
mod manual_clock;
pub(crate) mod permit;
pub(crate) mod seat;
mod shutdown;
mod stats;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::{Duration, Instant};

use self::addresses::{Addresses, Network};
use self::clock::Clock;
use self::date::Date;
use self::deadlines::Deadlines;
pub use self::manual_clock::ManualClock;
use self::seat::Seat;
pub(crate) use self::shutdown::Stage;
use self::stats::Counts;
pub use self::stats::Stats;
use crate::limits::Limits;

/// The longest time that a client is told to wait, 584 million years: the largest number of 64 bits, in the milliseconds of
/// `retry:`. In the seconds of `Retry-After` it can still be rounded up.
const LONGEST_RETRY: Duration = Duration::from_millis(u64::MAX);

/// What all connections of a server share: its limits, deadlines, counters, and its shutdown. A clone is another handle to
/// the same server.
///
/// # Examples
///
/// [`serve`](Server::serve) has an accept loop. An accept loop of your own is made of these parts:
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
    pub(crate) deadlines: Deadlines,
    pub(crate) counts: Counts,
    /// The [`Stage`] as a number, which never falls.
    stage: AtomicU8,
    date: Date,
    /// How many connections each network has; empty unless [`Limits::per_ip`] is set.
    addresses: Addresses,
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
        Server::on(Clock::default(), limits)
    }

    /// A server whose clock a test advances: until then no deadline passes, no heartbeat is sent and no `Date` changes.
    ///
    /// # Examples
    ///
    /// See [`ManualClock`].
    #[doc(hidden)]
    pub fn with_clock(limits: Limits, clock: &ManualClock) -> Server {
        Server::on(Clock::Manual(clock.clone()), limits)
    }

    fn on(clock: Clock, limits: Limits) -> Server {
        let shared = Shared {
            limits,
            deadlines: Deadlines::new(clock),
            counts: Counts::default(),
            stage: AtomicU8::new(Stage::Running as u8),
            date: Date::default(),
            addresses: Addresses::default(),
        };
        Server { shared: Arc::new(shared) }
    }

    /// The limits of this server.
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

    /// Wakes each connection at its deadlines and heartbeats; never returns. [`serve`](Server::serve) runs this future
    /// itself. An accept loop of your own must run it too, once per server: without it no deadline passes and no heartbeat
    /// is sent.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped. No deadline passes until `tick` is called again; deadlines that are due by then pass at once.
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
        self.shared.deadlines.run().await;
    }

    /// Counts one more connection, from this address if it is known; the seat says whether the connection is served.
    pub(crate) fn seat(&self, client: Option<IpAddr>) -> Seat {
        Seat::new(self.clone(), client.map(Network::of))
    }

    /// Counts one more connection from a network; false, and nothing counted, if the network has
    /// [`Limits::per_ip`] connections.
    fn admit(&self, network: Network) -> bool {
        self.shared.limits.per_ip.is_none_or(|most| self.shared.addresses.admit(network, most))
    }

    /// Counts one connection less from a network.
    fn dismiss(&self, network: Network) {
        if self.shared.limits.per_ip.is_some() {
            self.shared.addresses.dismiss(network);
        }
    }

    /// The value of the `Date` field; `None` without a valid clock.
    pub(crate) fn date(&self) -> Option<Arc<str>> {
        self.shared.date.at(self.shared.deadlines.clock.wall())
    }

    /// The time by which this server measures its deadlines. A handler with deadlines of its own reads the time here, so that
    /// in a test both follow one clock.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidings::{Limits, Server};
    /// # let server = Server::new(Limits::DEFAULT);
    /// let end = server.now() + Duration::from_secs(3600);
    /// let left = end.saturating_duration_since(server.now());
    /// # assert!(left <= Duration::from_secs(3600));
    /// ```
    pub fn now(&self) -> Instant {
        self.shared.deadlines.clock.instant()
    }

    /// A random time between the shortest and the longest [`Limits::retry`], drawn anew at each call. If the longest is below
    /// the shortest, each call returns the shortest.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Limits, Server};
    /// # let server = Server::new(Limits::DEFAULT);
    /// let retry = server.draw_retry();
    /// let (least, most) = server.limits().retry;
    /// assert!(least <= retry && retry <= most);
    /// ```
    pub fn draw_retry(&self) -> Duration {
        let (least, most) = self.shared.limits.retry;
        (least + random_up_to(most.saturating_sub(least))).min(LONGEST_RETRY)
    }

    /// A value for the field `Retry-After` (RFC 9110, 10.2.3): a time from [`draw_retry`](Server::draw_retry) in whole
    /// seconds, rounded up.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Limits, Response, Server};
    /// # let server = Server::new(Limits::DEFAULT);
    /// let later = Response::new(503).header("Retry-After", server.retry_after());
    /// # assert!((2..=5).contains(&server.retry_after().parse().unwrap()));
    /// ```
    pub fn retry_after(&self) -> String {
        // Without floats: formatting a float takes 20 KiB of code.
        self.draw_retry().saturating_add(Duration::from_nanos(999_999_999)).as_secs().to_string()
    }
}

/// A random time up to `whole`, in whole milliseconds.
fn random_up_to(whole: Duration) -> Duration {
    // Without floats, whose arithmetic takes 2 KiB of code.
    Duration::from_millis(fastrand::u64(..=u64::try_from(whole.as_millis()).unwrap_or(u64::MAX)))
}
