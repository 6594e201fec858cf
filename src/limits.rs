//! [`Limits`]: every number that bounds something, what it bounds, and what the client sees when it is reached.

use core::time::Duration;

/// Bytes that a connection may buffer without a share of `buffered`; [`CONNECTION`] counts them. So also while other
/// connections use up all of `buffered`, an ordinary request is read, and a client that leaves is noticed.
pub(crate) const OWN_BUFFER: usize = 1024;

/// How many frames a message has at most: for polls, the whole answer of a poll, for event streams, for WebSockets, and one
/// for the bytes around it.
const FRAMES: usize = if cfg!(feature = "ws") { 5 } else { 4 };

/// Bytes of memory that a head takes for each header field, to know where its name and value stand.
pub(crate) const FIELD: usize = 16;

/// The number of header fields whose memory [`CONNECTION`] counts.
pub(crate) const FIELDS: usize = 64;

/// Bytes that a topic of a hub takes beside its name: itself, and its places in the tables and orders.
pub(crate) const TOPIC: usize = 1024;

/// Bytes that a hub takes to know what one topic that has left has lost, and one key.
const FORGOTTEN: usize = 512;

/// Bytes that a subscription takes for each of its topics beyond the first, which [`CONNECTION`] counts.
const FOLLOWED: usize = 48;

/// Bytes that a subscription that waits takes more for each of those: its place among all that wait for the topic.
const AWAITED: usize = 48;

/// Bytes that [`Limits::worst_case`] counts for the task, the socket and the state of one connection.
const CONNECTION: usize = 4 * 1024;

/// The most bytes that one call reads from a connection, and the largest size of the read buffer that all connections of a
/// thread share.
pub(crate) const READ: usize = 16 * 1024;

/// Bytes that a thread keeps for the connections that it serves: 16 KiB to read to, 16 KiB of its last answer, and of its last
/// request what a connection has for itself.
pub(crate) const THREAD: usize = 36 * 1024;

/// What a server and a hub grant: sizes in bytes, counts, and times. The defaults suit a device with little memory.
///
/// A size or count of zero grants none. A time of zero is over at once: only bytes that have arrived already are read, and
/// only bytes that the client takes at once are written. `usize::MAX` and `Duration::MAX` mean no limit. A field for which
/// zero or the largest value means something else says so.
///
/// # Examples
///
/// ```
/// use tidings::Limits;
///
/// let mut limits = Limits::DEFAULT;
/// limits.connections = 10_000;
/// limits.held = 10_000;
/// assert!(limits.worst_case() > Limits::DEFAULT.worst_case());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a request head; values above 4 GiB mean 4 GiB. A client with a larger head sees 414 if the request line
    /// alone does not fit, else 431, and a close. It also bounds the pipelined bytes that are kept while a response is
    /// pending: if as many arrive, they are discarded, and the connection closes after the response. Default: 8 KiB.
    pub head: usize,
    /// Header fields of a request. A client that sends more sees 431 and a close. Default: 64.
    pub headers: usize,
    /// Bytes of a request body, decoded. A client with a larger body sees 413 and a close. If the handler does not read the
    /// body, it is also the most bytes that are read and discarded to keep the connection. Default: 64 KiB.
    pub body: usize,
    /// Bytes of a chunked body that are not data: extensions, leading zeros and trailers together. A client that sends more
    /// sees 400 and a close. Default: 4 KiB.
    pub chunk_overhead: usize,
    /// Time for a whole request head. It begins with the accept for the first request of a connection, with the first byte
    /// of the head for the others. A client that has sent no byte sees a silent close, another one 408. Default: 5 s.
    pub head_time: Duration,
    /// Time for a whole request body, from the moment that the handler first reads it; a client that is slower sees 408 and
    /// a close. Time for a whole WebSocket message, from its first byte; a client that is slower sees close 1008. While a
    /// request is held, it is also how long pipelined bytes and an unread body may stay if they take more than 1 KiB: then
    /// they are discarded, and the connection closes after the response. Default: 10 s.
    pub body_time: Duration,
    /// Time that a connection may be idle between two requests. The client sees a silent close. Zero: a further request is
    /// answered only if it has arrived already. Default: 30 s.
    pub idle: Duration,
    /// Time for progress in writing: within it, a client must take 16 KiB of the bytes that wait to be written, or all of
    /// them if they are fewer. A client that is slower is cut off. So a response of n bytes may last for n / 16 KiB (rounded
    /// up) times `write_time`. Time in which no future writes (between two writes of a handler, or after a write was dropped
    /// half way) does not count. Zero: a client that does not take all bytes at once is cut off.
    ///
    /// For connections that [`Server::serve`](crate::Server::serve) accepts on Linux, it is also the time within which the
    /// client of a held request must acknowledge the bytes that were sent to it, but at least 1 s: a client that has vanished
    /// is noticed within `ping` and `write_time` together. Default: 10 s.
    pub write_time: Duration,
    /// Time that a connection lingers: after the half-close it is still read, so that the last response is not lost to a
    /// reset. It is also how long `WebSocket::close` waits for the client's close. Default: 2 s.
    pub linger: Duration,
    /// Time that a long poll waits for something new. The client sees a response without messages. Zero: a long poll is a
    /// short poll, and clients ask again at once. Default: 25 s.
    pub poll_wait: Duration,
    /// Time between two heartbeats: an SSE comment or id, a WebSocket ping. Zero: no heartbeat is sent (see
    /// [`heartbeat`](Limits::heartbeat)), and a client that has vanished is noticed by the kernel alone, as if `ping` had its
    /// default. Default: 15 s.
    pub ping: Duration,
    /// Time within which a WebSocket ping must be followed by a pong, or by any other bytes of the client. A client that is
    /// silent is cut off. Zero: a client is cut off at its first heartbeat, unless bytes of it arrive at that moment.
    /// `Duration::MAX`: no client need answer. Default: 20 s.
    pub pong: Duration,
    /// The shortest and the longest time that clients are told to wait by `retry:` and `Retry-After`. Each connection draws
    /// its own, so that clients do not all come back at once after a restart. If the longest is below the shortest, all draw
    /// the shortest. Zero: clients come back at once. Default: 2 s and 5 s.
    pub retry: (Duration, Duration),
    /// The longest life of an SSE stream; each stream draws 80 to 100 % of it. The client sees a clean end, and resumes.
    /// Zero: a stream ends after the first event and the messages that are kept. `None` means no limit. Default: `None`.
    pub stream_age: Option<Duration>,
    /// Connections that are served at once. A client beyond them sees 503 with `Retry-After`. Default: 256.
    pub connections: usize,
    /// Connections, among those, whose request may be held at once: by long polls, event streams, WebSockets. Beyond them an
    /// event stream gets the messages that are kept and an end, a long poll gets new messages or else 503, a WebSocket 503.
    /// Default: 192.
    pub held: usize,
    /// Connections at once from one IPv4 address or one IPv6 /64, if [`Server::serve`](crate::Server::serve) accepts them. A
    /// client beyond them sees 503 with `Retry-After`. `None` means no limit. Default: `None`.
    pub per_ip: Option<usize>,
    /// Bytes that all connections together have received and not yet used, beyond 1 KiB that each connection has for itself.
    /// While they are used up, reading pauses. If that lasts until a deadline, the client sees 503 or close 1013. A head, a
    /// body or a message that is larger than `buffered` is refused so at once. Default: 1 MiB.
    pub buffered: usize,
    /// Topics of a hub. When a message is published in a new topic beyond them, the topic whose end is the oldest leaves, or
    /// else the one whose last message is the oldest, but none with subscribers or a producer; a subscriber that resumes in
    /// the topic that left is told `gap`. If no topic can leave, the publisher sees [`Error::Full`](crate::Error::Full), and
    /// the client 503. So does the subscriber of a new topic if as many topics exist. Zero: both are always refused. Default:
    /// 256.
    pub topics: usize,
    /// Bytes of a topic's name, of a key, and of the reason of an end. The publisher of a longer one sees
    /// [`Error::TooLarge`](crate::Error::TooLarge), and the client 413. Default: 256.
    pub name: usize,
    /// Topics of one subscription. The embedder that asks for more sees [`Error::Misuse`](crate::Error::Misuse), and the
    /// client 500; a client that lists more for [`transport::any`](crate::transport::any) sees 400. Zero: nobody can
    /// subscribe. Default: 64.
    pub subscription: usize,
    /// Topics that have left and of which a hub still knows what they have lost, and keys of topics that exist. Beyond them
    /// the oldest is forgotten: a subscriber that resumes in such a topic may be told a gap that is none, and if the topic
    /// comes back without a key, the hub does not know that it had some. Default: 1,024.
    pub forgotten: usize,
    /// Messages that are kept per topic. Beyond them the oldest leaves; a subscriber that has not read it is told `gap`.
    /// Zero: to publish or to subscribe is [`Error::Misuse`](crate::Error::Misuse), which the client sees as 500, for
    /// nothing would be kept between two polls. Default: 128.
    pub history: usize,
    /// Bytes that a hub keeps: messages with their keys, event names and places, and the frames made of them. Beyond them the
    /// oldest message of the hub leaves, but never the newest; a subscriber that has not read it is told `gap`. Default:
    /// 64 KiB.
    pub history_bytes: usize,
    /// Bytes of a message that is published, as it is written: a character that JSON escapes takes up to 6 bytes, a line end
    /// in an event stream 7. The publisher of a message that is larger, or larger than `history_bytes`, sees
    /// [`Error::TooLarge`](crate::Error::TooLarge), and the client 413. Default: 16 KiB.
    pub published: usize,
    /// Bytes of one batch of several messages, as they are written; a larger message is a batch of its own. A slow reader
    /// holds one batch. Default: 4 KiB.
    pub batch: usize,
    /// How long a message is kept. An older one leaves when the hub is next used; a subscriber that has not read it is told
    /// `gap`. `None` means no limit. Default: `None`.
    pub message_age: Option<Duration>,
    /// How long a topic without subscribers is kept after its end, or else after its last message. `None` means no limit.
    /// Default: `None`.
    pub topic_age: Option<Duration>,
    /// Bytes of a WebSocket message from a client. A client with a larger message sees close 1009. Default: 64 KiB.
    pub message: usize,
}

impl Limits {
    /// The defaults, for a device with little memory.
    pub const DEFAULT: Limits = Limits {
        head: 8 * 1024,
        headers: 64,
        body: 64 * 1024,
        chunk_overhead: 4 * 1024,
        head_time: Duration::from_secs(5),
        body_time: Duration::from_secs(10),
        idle: Duration::from_secs(30),
        write_time: Duration::from_secs(10),
        linger: Duration::from_secs(2),
        poll_wait: Duration::from_secs(25),
        ping: Duration::from_secs(15),
        pong: Duration::from_secs(20),
        retry: (Duration::from_secs(2), Duration::from_secs(5)),
        stream_age: None,
        connections: 256,
        held: 192,
        per_ip: None,
        buffered: 1024 * 1024,
        topics: 256,
        name: 256,
        subscription: 64,
        forgotten: 1024,
        history: 128,
        history_bytes: 64 * 1024,
        published: 16 * 1024,
        batch: 4 * 1024,
        message_age: None,
        topic_age: None,
        message: 64 * 1024,
    };

    /// The most memory in bytes that one server and one hub with these limits take, whatever clients do. It is `usize::MAX`
    /// if the sum is larger.
    ///
    /// It is the sum of:
    ///
    /// - `buffered`, or less if all connections together can't have as much: received bytes that were not yet used, of each a
    ///   head, and behind it another one, a body and 16 KiB, or a message;
    /// - for the hub, `history_bytes`, the frames of the newest message (which may be beyond those), 1 KiB and twice `name` for
    ///   each of `topics`, its name and the reason of its end, and 512 bytes for each of `forgotten`;
    /// - for each connection 4 KiB for its task, its socket and its state, also while it is refused;
    /// - for each connection one batch of messages, twice: as it was published, and as it is being written;
    /// - for each connection 16 bytes per header field above 64;
    /// - for each connection 48 bytes per topic of its subscription above one, and for each held request 48 more, where a
    ///   subscription has no more than `topics`;
    /// - with the feature `tungstenite`, one client message for each WebSocket, since that engine keeps room for one;
    /// - for the thread 36 KiB: the read buffer of all its connections, and the memory of its last request and its last answer,
    ///   which it keeps for the next ones. Where connections are served on several threads, each further thread that reads or
    ///   writes takes as much.
    ///
    /// Memory of the embedder is not in it: the future of the handler beyond that of the transports; a request body or a
    /// WebSocket message once the handler has it; the bodies of responses, be they static, shared or owned
    /// ([`Content`](crate::Content)); bytes that [`BodyWriter::push`](crate::BodyWriter::push) adds before they are
    /// written; subscriptions beside those of held requests; bounds that were set for single topics.
    ///
    /// # Examples
    ///
    /// ```
    /// println!("at most {} KiB", tidings::Limits::DEFAULT.worst_case() / 1024);
    /// ```
    pub const fn worst_case(&self) -> usize {
        let batch = if self.largest() > self.batch { self.largest() } else { self.batch };
        let follows = self.followed().saturating_sub(1);
        let fields = FIELD.saturating_mul(self.most_fields().saturating_sub(FIELDS));
        let each =
            fields.saturating_add(batch.saturating_mul(2)).saturating_add(follows.saturating_mul(FOLLOWED));
        let states = self.connections.saturating_add(self.refusals()).saturating_mul(CONNECTION);
        let connections = states.saturating_add(self.connections.saturating_mul(each));
        let held = self.held.saturating_mul(follows.saturating_mul(AWAITED));
        let sockets = if cfg!(feature = "tungstenite") { self.held.saturating_mul(self.message) } else { 0 };
        let received = self.connections.saturating_mul(self.received());
        let buffered = if self.buffered < received { self.buffered } else { received };
        let all = buffered.saturating_add(self.hub_bytes()).saturating_add(connections);
        all.saturating_add(held).saturating_add(sockets).saturating_add(THREAD)
    }

    /// The most bytes that a connection has received and not yet used: a head, and behind it another one, a body with what one
    /// read brings, or a message.
    const fn received(&self) -> usize {
        let body = self.body.saturating_add(READ);
        let data = if body > self.message { body } else { self.message };
        self.head.saturating_add(if data > self.head { data } else { self.head })
    }

    /// The most memory in bytes that a hub takes.
    const fn hub_bytes(&self) -> usize {
        let topics = self.topics.saturating_mul(self.name.saturating_mul(2).saturating_add(TOPIC));
        let forgotten = self.forgotten.saturating_mul(FORGOTTEN);
        let messages = self.history_bytes.saturating_add(self.largest().saturating_mul(FRAMES));
        messages.saturating_add(topics).saturating_add(forgotten)
    }

    /// Time between two heartbeats: [`ping`](Limits::ping), or `Duration::MAX`, which is never, if `ping` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidings::Limits;
    ///
    /// let mut limits = Limits::DEFAULT;
    /// assert_eq!(limits.heartbeat(), limits.ping);
    /// limits.ping = Duration::ZERO;
    /// assert_eq!(limits.heartbeat(), Duration::MAX);
    /// ```
    pub const fn heartbeat(&self) -> Duration {
        if self.ping.is_zero() { Duration::MAX } else { self.ping }
    }

    /// The most fields that a head can have: each field takes at least four bytes of it.
    pub(crate) const fn most_fields(&self) -> usize {
        if self.headers < self.head / 4 { self.headers } else { self.head / 4 }
    }

    /// The most topics that a subscription has.
    const fn followed(&self) -> usize {
        if self.subscription < self.topics { self.subscription } else { self.topics }
    }

    /// Bytes of the largest message that a hub takes, as it is written.
    pub(crate) const fn largest(&self) -> usize {
        if self.published < self.history_bytes { self.published } else { self.history_bytes }
    }

    /// How many connections above the limit may be refused with a 503 at once; beyond them a socket is closed without a
    /// response.
    pub(crate) const fn refusals(&self) -> usize {
        self.connections / 8 + 1
    }
}

impl Default for Limits {
    /// [`Limits::DEFAULT`].
    fn default() -> Limits {
        Limits::DEFAULT
    }
}
