//! What can go wrong, whose doing it is, and the status that says so on the wire.

use core::fmt;
use std::io;

use crate::proto::Fault;

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
    /// The message is above a quarter of [`Limits::history_bytes`](crate::Limits::history_bytes).
    TooLarge,
    /// A limit on a count or on memory is reached; trying later may help.
    Full,
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
            Error::TooLarge => f.write_str("the message is too large for the history"),
            Error::Full => f.write_str("a limit is reached, try later"),
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
