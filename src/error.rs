//! What can go wrong, whose doing it is, and the status that says so on the wire.

use core::fmt;
use std::io;

/// A result of this crate.
///
/// # Examples
///
/// ```
/// fn port(text: &str) -> tidings::Result<u16> {
///     text.parse().map_err(tidings::Error::other)
/// }
/// assert!(port("3000").is_ok());
/// assert!(port("http").is_err());
/// ```
pub type Result<T> = core::result::Result<T, Error>;

/// Why something was not done.
///
/// # Examples
///
/// ```
/// use tidings::{Error, Fault};
///
/// assert_eq!(Error::from(Fault::BodyTooLarge).status(), 413);
/// assert_eq!(Error::Full.status(), 503);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke the protocol.
    Fault(Fault),
    /// We were asked to write something that is not legal; the text says what.
    Misuse(&'static str),
    /// A deadline passed; see the times in [`Limits`](crate::Limits).
    Timeout(Phase),
    /// The message is above [`Limits::published`](crate::Limits::published), or a name above
    /// [`Limits::name`](crate::Limits::name).
    TooLarge,
    /// A limit on a count or on memory is reached; trying later may help.
    Full,
    /// The topic has a [`Producer`](crate::Producer), which alone publishes in it.
    Running,
    /// The topic has ended.
    Ended,
    /// The hub is closed for good.
    Closed,
    /// Reading or writing failed.
    Io(io::Error),
    /// An error of the embedder's own; see [`Error::other`].
    Other(Box<dyn std::error::Error + Send + Sync>),
}

/// What a connection was doing when its time ran out.
///
/// # Examples
///
/// ```
/// use tidings::{Error, Phase};
///
/// let error = Error::Timeout(Phase::Write);
/// assert_eq!(error.to_string(), "the peer does not read");
/// let gone = matches!(error, Error::Timeout(Phase::Write | Phase::Pong) | Error::Io(_));
/// assert!(gone);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Reading a request head.
    Head,
    /// Reading a request body.
    Body,
    /// Writing to a peer that does not read.
    Write,
    /// Reading a WebSocket message.
    Message,
    /// Waiting for the answer to a WebSocket ping.
    Pong,
}

impl Error {
    /// Wraps an error of the embedder's own; on the wire it is a 500 without details.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = tidings::Error::other("the sensor is gone");
    /// assert_eq!(error.status(), 500);
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Other(error.into())
    }

    /// The HTTP status that says this on the wire, where anything can still be said.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{Error, Phase};
    ///
    /// assert_eq!(Error::Timeout(Phase::Body).status(), 408);
    /// assert_eq!(Error::TooLarge.status(), 413);
    /// assert_eq!(Error::Misuse("a bug of ours").status(), 500);
    /// ```
    pub fn status(&self) -> u16 {
        match self {
            Error::Fault(fault) => fault.status(),
            Error::Timeout(_) => 408,
            Error::TooLarge => 413,
            Error::Running | Error::Ended => 409,
            Error::Full | Error::Closed => 503,
            Error::Misuse(_) | Error::Io(_) | Error::Other(_) => 500,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Fault(fault) => fault.fmt(f),
            Error::Misuse(what) => f.write_str(what),
            Error::Timeout(Phase::Head) => f.write_str("the request head took too long"),
            Error::Timeout(Phase::Body) => f.write_str("the request body took too long"),
            Error::Timeout(Phase::Write) => f.write_str("the peer does not read"),
            Error::Timeout(Phase::Message) => f.write_str("the message took too long"),
            Error::Timeout(Phase::Pong) => f.write_str("the peer does not answer pings"),
            Error::TooLarge => f.write_str("the message or a name is too large"),
            Error::Full => f.write_str("a limit is reached, try later"),
            Error::Running => f.write_str("the topic has a producer"),
            Error::Ended => f.write_str("the topic has ended"),
            Error::Closed => f.write_str("the hub is closed"),
            Error::Io(error) => error.fmt(f),
            Error::Other(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            Error::Other(error) => Some(&**error),
            _ => None,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        Error::Fault(fault)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

/// Every way in which a peer can be wrong, each with a status and a sentence. Where one byte makes it wrong, the fault has
/// that byte and its place, counted from 1, and says so when it is displayed.
///
/// # Examples
///
/// ```
/// use tidings::Fault;
///
/// assert_eq!(Fault::Host.status(), 400);
/// assert_eq!(Fault::Version.to_string(), "only HTTP/1.0 and HTTP/1.1 are spoken here");
/// let backslash = Fault::Target { at: 12, byte: b'\\' };
/// assert_eq!(backslash.to_string(), "byte 12 of the request target, 0x5c, is not legal");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Not `METHOD SP TARGET SP HTTP/1.x CRLF` (RFC 9112, 3).
    RequestLine {
        /// The place in the line.
        at: u32,
        /// What stands there.
        byte: u8,
    },
    /// A major version other than 1 (RFC 9110, 15.6.6).
    Version,
    /// A request target outside the grammar (RFC 9112, 3.2), or a blank before it is whole.
    Target {
        /// The place in the target.
        at: u32,
        /// What stands there.
        byte: u8,
    },
    /// A request line that does not fit into [`Limits::head`](crate::Limits::head).
    TargetTooLong,
    /// CONNECT: this is no proxy (RFC 9110, 9.3.6).
    Connect,
    /// A field line outside the grammar, obs-fold and blanks before the colon included (RFC 9112, 5).
    Field {
        /// Which field line.
        line: u32,
        /// The place in it.
        at: u32,
        /// What stands there.
        byte: u8,
    },
    /// A CR or LF that is not half of a CRLF (RFC 9112, 2.2).
    LineEnd,
    /// More bytes than [`Limits::head`](crate::Limits::head).
    HeadTooLarge,
    /// More fields than [`Limits::headers`](crate::Limits::headers).
    TooManyFields,
    /// `Host` missing, repeated or outside the grammar (RFC 9112, 3.2).
    Host,
    /// `Content-Length` is not one number (RFC 9112, 6.3).
    ContentLength,
    /// `Transfer-Encoding` in HTTP/1.0, or `chunked` not last or not alone (RFC 9112, 6.1).
    TransferEncoding,
    /// A transfer coding that we do not know (RFC 9112, 6.1).
    UnknownCoding,
    /// Both `Transfer-Encoding` and `Content-Length` (RFC 9112, 6.1).
    TwoFramings,
    /// A chunk, extension or trailer outside the grammar (RFC 9112, 7.1): this byte cannot stand where it does.
    Chunk(u8),
    /// More bytes beside the data than [`Limits::chunk_overhead`](crate::Limits::chunk_overhead).
    ChunkOverhead,
    /// More bytes than [`Limits::body`](crate::Limits::body).
    BodyTooLarge,
    /// A body or a WebSocket message that should be text is not UTF-8.
    NotUtf8,
    /// An `Expect` other than `100-continue` (RFC 9110, 10.1.1).
    Expectation,
    /// The input ended in the middle of a request.
    Incomplete,
    /// The resource speaks WebSocket only, and this is no upgrade to it.
    UpgradeRequired,
    /// A WebSocket version other than 13 (RFC 6455, 4.4).
    WebSocketVersion,
    /// A WebSocket handshake that is none (RFC 6455, 4.2.1); what is wrong about it.
    Handshake(HandshakeFault),
    /// A WebSocket frame outside the grammar: reserved bits, an unknown opcode, a length not in its shortest form
    /// (RFC 6455, 5.2).
    Frame,
    /// A WebSocket frame of a client without a mask (RFC 6455, 5.1).
    Unmasked,
    /// A WebSocket message that begins inside another, or goes on without a beginning (RFC 6455, 5.4).
    Fragments,
    /// A control frame in fragments, or with more than 125 bytes (RFC 6455, 5.5).
    ControlFrame,
    /// A close frame with half a code, or with one that must not be sent (RFC 6455, 7.4).
    CloseFrame,
    /// The end of a WebSocket's input without a close frame (RFC 6455, 7.1.5).
    Unclosed,
    /// A WebSocket message above [`Limits::message`](crate::Limits::message).
    MessageTooLarge,
    /// A cursor in the query that is not an id.
    Cursor,
    /// A topic that this resource does not have.
    Topic,
    /// More topics than [`Limits::subscription`](crate::Limits::subscription).
    TooManyTopics,
}

impl Fault {
    /// The HTTP status that tells the peer.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::Fault;
    ///
    /// assert_eq!(Fault::Host.status(), 400);
    /// assert_eq!(Fault::HeadTooLarge.status(), 431);
    /// ```
    pub const fn status(self) -> u16 {
        match self {
            Fault::Topic => 404,
            Fault::BodyTooLarge => 413,
            Fault::TargetTooLong => 414,
            Fault::Expectation => 417,
            Fault::UpgradeRequired | Fault::WebSocketVersion => 426,
            Fault::HeadTooLarge | Fault::TooManyFields => 431,
            Fault::Connect | Fault::UnknownCoding => 501,
            Fault::Version => 505,
            _ => 400,
        }
    }

    /// The sentence that tells the peer, without the place of a byte.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{Fault, Response};
    ///
    /// let fault = Fault::Cursor;
    /// assert_eq!(fault.sentence(), "the cursor is not an id");
    /// let answer = Response::text(fault.sentence()).with_status(fault.status());
    /// ```
    pub const fn sentence(self) -> &'static str {
        match self {
            Fault::RequestLine { .. } => "the request line is not METHOD TARGET HTTP/1.1",
            Fault::Version => "only HTTP/1.0 and HTTP/1.1 are spoken here",
            Fault::Target { .. } => "the request target is not legal",
            Fault::TargetTooLong => "the request line is too long",
            Fault::Connect => "this is not a proxy",
            Fault::Field { .. } => "a header field is not NAME: VALUE",
            Fault::LineEnd => "a line does not end in CRLF",
            Fault::HeadTooLarge => "the request head is too large",
            Fault::TooManyFields => "the request has too many header fields",
            Fault::Host => "Host must be there once, and legal",
            Fault::ContentLength => "Content-Length is not one number",
            Fault::TransferEncoding => "Transfer-Encoding must be chunked, once and last, in HTTP/1.1",
            Fault::UnknownCoding => "Transfer-Encoding has a coding that is not known here",
            Fault::TwoFramings => "Transfer-Encoding and Content-Length exclude each other",
            Fault::Chunk(_) => "the chunked body is not legal",
            Fault::ChunkOverhead => "the chunked body has too much beside its data",
            Fault::BodyTooLarge => "the request body is too large",
            Fault::NotUtf8 => "the text is not UTF-8",
            Fault::Expectation => "Expect has something other than 100-continue",
            Fault::Incomplete => "the request ended too early",
            Fault::UpgradeRequired => "this resource speaks WebSocket only",
            Fault::WebSocketVersion => "Sec-WebSocket-Version must be there once, and be 13",
            Fault::Handshake(fault) => fault.sentence(),
            Fault::Frame => {
                "a WebSocket frame has reserved bits, an unknown opcode or a length in a longer form"
            }
            Fault::Unmasked => "a client's WebSocket frames must be masked",
            Fault::Fragments => "the fragments of a WebSocket message are out of order",
            Fault::ControlFrame => "a control frame has at most 125 bytes and no fragments",
            Fault::CloseFrame => "the code of the close must not be sent",
            Fault::Unclosed => "the WebSocket ended without a close",
            Fault::MessageTooLarge => "the message is too large",
            Fault::Cursor => "the cursor is not an id",
            Fault::Topic => "there is no such topic here",
            Fault::TooManyTopics => "the request follows too many topics",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::RequestLine { at, byte } => {
                write!(f, "byte {at} of the request line, 0x{byte:02x}, is not legal")
            }
            Fault::Target { at, byte } => {
                write!(f, "byte {at} of the request target, 0x{byte:02x}, is not legal")
            }
            Fault::Field { line, at, byte } => {
                write!(f, "byte {at} of header field {line}, 0x{byte:02x}, is not legal")
            }
            Fault::Chunk(byte) => write!(f, "0x{byte:02x} is not legal at its place in the chunked body"),
            fault => f.write_str(fault.sentence()),
        }
    }
}

impl std::error::Error for Fault {}

/// What is wrong about a WebSocket handshake (RFC 6455, 4.2.1).
///
/// # Examples
///
/// ```
/// use tidings::{Fault, HandshakeFault};
///
/// let fault = Fault::Handshake(HandshakeFault::Key);
/// assert_eq!(fault.status(), 400);
/// assert_eq!(fault.to_string(), "Sec-WebSocket-Key must be there once, and be 16 bytes in base64");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeFault {
    /// The method is not GET.
    Method,
    /// The version is not HTTP/1.1.
    Version,
    /// The request has a body.
    Body,
    /// `Connection` does not list `upgrade`.
    Connection,
    /// `Upgrade` does not list `websocket`.
    Upgrade,
    /// `Sec-WebSocket-Key` is missing, repeated, or not 16 bytes in base64.
    Key,
    /// `Sec-WebSocket-Extensions` is outside the grammar (RFC 6455, 9.1).
    Extensions,
    /// `Sec-WebSocket-Protocol` has something that is no token, or one token twice.
    Protocols,
    /// Frames came before the answer, and had to be thrown away.
    Early,
}

impl HandshakeFault {
    /// The sentence that tells the peer.
    const fn sentence(self) -> &'static str {
        match self {
            HandshakeFault::Method => "a WebSocket handshake is a GET",
            HandshakeFault::Version => "a WebSocket handshake is in HTTP/1.1",
            HandshakeFault::Body => "a WebSocket handshake has no body",
            HandshakeFault::Connection => "Connection does not list upgrade",
            HandshakeFault::Upgrade => "Upgrade does not list websocket",
            HandshakeFault::Key => "Sec-WebSocket-Key must be there once, and be 16 bytes in base64",
            HandshakeFault::Extensions => "Sec-WebSocket-Extensions is not a list of extensions",
            HandshakeFault::Protocols => "Sec-WebSocket-Protocol is not a list of distinct tokens",
            HandshakeFault::Early => "WebSocket frames came before the handshake was answered",
        }
    }
}
