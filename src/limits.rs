//! Every number that bounds something: what it bounds, and what the peer sees when it is hit.

use core::time::Duration;

/// Bytes that a connection may buffer without a share of `buffered`; they are in [`CONNECTION`]. So an ordinary
/// request is read, and a peer is heard when it leaves, also while others use up all of `buffered`.
pub(crate) const OWN_BUFFER: usize = 1024;

/// How many frames there are of a message: for polls, for event streams, for WebSockets. (And what stands around it.)
const FRAMES: usize = if cfg!(feature = "ws") { 4 } else { 3 };

/// Bytes that the place of a header field takes.
pub(crate) const FIELD: usize = 16;

/// So many header fields are in [`CONNECTION`].
const FIELDS: usize = 64;

/// What a topic of a hub takes beside its name: itself, and its places in the tables and orders.
pub(crate) const TOPIC: usize = 1024;

/// What a hub takes to know what one forgotten topic has lost, and one key.
const FORGOTTEN: usize = 512;

/// What a reader takes for each topic that it follows, beside the first, which is in [`CONNECTION`].
const FOLLOWED: usize = 96;

/// What a connection is counted as in [`Limits::worst_case`] for its task, its socket and its state, in bytes.
const CONNECTION: usize = 4 * 1024;

/// What the server grants: sizes in bytes, counts, and times. The defaults, in brackets, suit a device with little memory.
///
/// A size or count of zero grants none, and a time of zero is over at once: only what has come already is read, and only what
/// the peer takes at once is written. `usize::MAX` and `Duration::MAX` are without end. Where a field means something else by
/// one of them, it says so.
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
    /// Bytes of a request head (8 KiB; 4 GiB at most). The peer sees 414 if the request line alone does not fit, else 431,
    /// and a close. What a client sends early, while its answer is held, is kept while it is less; if it is more than
    /// 1 KiB, then for `body_time`.
    pub head: usize,
    /// Header fields of a request (64). The peer sees 431 and a close.
    pub headers: usize,
    /// Bytes of a request body, decoded (64 KiB). The peer sees 413 and a close. Also the most that is read and thrown
    /// away of a body that nobody asked for.
    pub body: usize,
    /// Bytes of a chunked body that are not data: extensions, leading zeros and trailers, all together (4 KiB). The peer
    /// sees 400 and a close.
    pub chunk_overhead: usize,
    /// Time for a whole request head, from the accept or from its first byte (5 s). The peer sees a silent close if it
    /// sent nothing, else 408.
    pub head_time: Duration,
    /// Time for a whole request body, from the first time it is asked for: the peer sees 408 and a close. Time for a
    /// whole WebSocket message, from its first byte: the peer sees close 1008. (10 s.)
    pub body_time: Duration,
    /// Time that a connection may wait between two requests (30 s). The peer sees a silent close. Zero: only requests that
    /// are there already follow.
    pub idle: Duration,
    /// Time in which a peer must take 16 KiB of what is written to it, or all that is left (10 s). It is cut off. Zero: so is
    /// each peer that does not take all at once. On Linux, also the time in which the peer of a held request must
    /// acknowledge what was sent to it; one that has vanished is noticed within `ping` and `write_time` (at least 1 s).
    pub write_time: Duration,
    /// Time that a closing connection is still read from, so that our last answer is not lost to a reset (2 s).
    pub linger: Duration,
    /// Time that a long poll waits (25 s). The peer sees an empty answer. Zero: a long poll is a short one, and clients ask
    /// again at once.
    pub poll_wait: Duration,
    /// Time between two heartbeats: an SSE comment or id, a WebSocket ping (15 s). Zero: there are none; see
    /// [`heartbeat`](Limits::heartbeat).
    pub ping: Duration,
    /// Time for the answer to a WebSocket ping, or for anything else that its peer sends (20 s). The peer is cut off. Zero:
    /// so is each peer from which nothing came for `ping`. `Duration::MAX`: no answer is needed.
    pub pong: Duration,
    /// The shortest and the longest `retry:` and `Retry-After` (2 s and 5 s); each connection draws its own, so that a
    /// restart makes no storm. If the longest is the shorter of the two, all draw the other. Zero: clients come back at once.
    pub retry: (Duration, Duration),
    /// The longest life of an SSE stream (none); each draws 80 to 100 % of it. The peer sees a clean end and resumes. Zero:
    /// a stream ends behind the first event and what is kept.
    pub stream_age: Option<Duration>,
    /// Connections (256). The peer sees 503 with `Retry-After`.
    pub connections: usize,
    /// Connections (of those above) whose answer may be held: long polls, event streams, WebSockets (192). An event
    /// stream beyond them gets history and an end, a long poll what is new or 503, a WebSocket 503.
    pub held: usize,
    /// Connections from one IPv4 address or one IPv6 /64, where [`Server::serve`](crate::Server::serve) accepts
    /// them (no limit). The peer sees 503 with `Retry-After`.
    pub per_ip: Option<usize>,
    /// Bytes received and not yet used, over all connections, beside 1 KiB that each has for itself (1 MiB). While others
    /// use them up, reading pauses; the peer sees 503 or close 1013 if it lasts, and at once if its head, body or message
    /// is larger than all of it.
    pub buffered: usize,
    /// Topics of a hub (256). For a new one that is published in the topic leaves whose end is the oldest, else the one
    /// that was published in the longest ago, but none that has readers or a producer (who resumes in it is told `gap`).
    /// Where none can leave the publisher sees [`Error::Full`](crate::Error::Full), on the wire 503; so does a reader of a
    /// new one where no place is free. Zero: there is none, and all of that is refused.
    pub topics: usize,
    /// Bytes of a topic's name, of a key, and of the reason of an end (256). The publisher sees
    /// [`Error::TooLarge`](crate::Error::TooLarge), on the wire 413.
    pub name: usize,
    /// Topics of one subscription (64). The embedder sees [`Error::Misuse`](crate::Error::Misuse), on the wire 500; a client
    /// of [`transport::any`](crate::transport::any) 400. Zero: nothing can be read.
    pub subscription: usize,
    /// Topics that are not there any more, of which a hub knows what they have lost; and keys of topics that are there
    /// (1,024). Beyond them the oldest is forgotten: who then resumes in a topic that is not there may be told a gap that
    /// is none, and of a topic that comes back without a key it is not known that it had some.
    pub forgotten: usize,
    /// Messages kept per topic (128). The oldest leaves; a reader that still wanted it is told `gap`. Zero: all that
    /// publishes or reads is refused ([`Error::Misuse`](crate::Error::Misuse), 500), for between two polls there would be
    /// nothing to go on from.
    pub history: usize,
    /// Bytes that a hub keeps: of messages with their keys, event names and places, and of the frames made of them (64
    /// KiB). The oldest message of the hub leaves, but not the newest; a reader that still wanted it is told `gap`.
    pub history_bytes: usize,
    /// Bytes of the largest message that may be published, as it is written (16 KiB): a character that JSON escapes takes
    /// up to 6 bytes, a line end in an event stream 7. The publisher sees [`Error::TooLarge`](crate::Error::TooLarge), on
    /// the wire 413; so for one that is larger than `history_bytes`.
    pub published: usize,
    /// Bytes that a reader gets at once of several messages, as they are written (4 KiB). A reader whose peer is slow holds one
    /// batch, or one message, while it writes.
    pub batch: usize,
    /// How long a message is kept (no limit). What is too old goes when the hub is used the next time; a reader that
    /// still wanted it is told `gap`.
    pub message_age: Option<Duration>,
    /// How long a topic is kept after its end, or else after its last message, while nobody reads it (no
    /// limit).
    pub topic_age: Option<Duration>,
    /// Bytes of a WebSocket message from a client (64 KiB). The peer sees close 1009.
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

    /// The most memory in bytes that one server and one hub with these limits take, whatever clients do.
    ///
    /// It is `buffered`, what the hub keeps, and for each connection its state, one batch of messages (as published, and as
    /// it is being written), the places of more than 64 header fields, and of those that are held the topics that they
    /// follow. The hub keeps `history_bytes`, the frames of the newest message, each topic with its name, and what is known
    /// of those that it has forgotten. With the feature `tungstenite` there is, for each WebSocket, also one message of the
    /// client's, which that engine keeps room for. What the embedder's own code keeps is not in it: a body or a message
    /// that is whole is the embedder's, and so are subscriptions beside those of held connections, and bounds that were set
    /// for topics.
    ///
    /// # Examples
    ///
    /// ```
    /// println!("at most {} KiB", tidings::Limits::DEFAULT.worst_case() / 1024);
    /// ```
    pub const fn worst_case(&self) -> usize {
        let batch = if self.largest() > self.batch { self.largest() } else { self.batch };
        let fields = FIELD.saturating_mul(self.most_fields().saturating_sub(FIELDS));
        let each = fields.saturating_add(batch.saturating_mul(2));
        let states = self.connections.saturating_add(self.refusals()).saturating_mul(CONNECTION);
        let connections = states.saturating_add(self.connections.saturating_mul(each));
        let follows = self.subscription.saturating_sub(1).saturating_mul(FOLLOWED);
        let held = self.held.saturating_mul(follows);
        let sockets = if cfg!(feature = "tungstenite") { self.held.saturating_mul(self.message) } else { 0 };
        let all = self.buffered.saturating_add(self.hub_bytes()).saturating_add(connections);
        all.saturating_add(held).saturating_add(sockets)
    }

    /// The most that a hub takes.
    const fn hub_bytes(&self) -> usize {
        let topics = self.topics.saturating_mul(self.name.saturating_add(TOPIC));
        let forgotten = self.forgotten.saturating_mul(FORGOTTEN);
        let messages = self.history_bytes.saturating_add(self.largest().saturating_mul(FRAMES));
        messages.saturating_add(topics).saturating_add(forgotten)
    }

    /// Time between two heartbeats: [`ping`](Limits::ping), or for ever if that is zero.
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

    /// The most fields that a head can have: each takes four bytes at least.
    pub(crate) const fn most_fields(&self) -> usize {
        if self.headers < self.head / 4 { self.headers } else { self.head / 4 }
    }

    /// The largest message that a hub takes, in bytes as it is written.
    pub(crate) const fn largest(&self) -> usize {
        if self.published < self.history_bytes { self.published } else { self.history_bytes }
    }

    /// How many connections above the limit may be told so at once; beyond them a socket is closed unanswered.
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
