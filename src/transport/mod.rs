//! The four transports, each an ordinary function over the public API: copy one to change it.
//!
//! # Cursors
//!
//! An id that one of them gave is a cursor for all of them: the client goes on behind it. `earliest` is the cursor before
//! all that is kept. Without a cursor a client reads from now on; only a short poll then gets all that is kept.
//! [`Options::start`] says otherwise, and [`Options::must_exist`] makes a topic that is not there 404.
//!
//! | | the cursor of a request | a cursor that is no id | nothing is new | a gap |
//! | --- | --- | --- | --- | --- |
//! | [`poll`] | `?after=ID`, else `If-None-Match: "ID"` | 400 in `?after=`, a gap in `If-None-Match` | 304 or 200 with no messages, at once | `"gap":true,"until":ID` |
//! | [`long_poll`] | the same | the same | the same, after [`Limits::poll_wait`](crate::Limits::poll_wait) | the same, at once |
//! | [`sse`] | `Last-Event-ID: ID`, else `?last_event_id=ID`, `?lastEventId=ID`, `?after=ID` | a gap | a heartbeat | `event: gap`, whose data is `{"gap":true,"until":ID,"next":ID}` |
//! | `websocket` | `?after=ID` | 400 | a ping | the same object in a frame |
//!
//! An empty cursor is none, and the next place is looked at.
//!
//! # Gaps
//!
//! A client is told of a gap when messages may be missing behind its cursor: it was too slow for what is kept, its cursor
//! is of another log, or it asked for all that is kept and values of keys have left. It may rely on this:
//!
//! - Each message of its topics behind its cursor comes, or was replaced by a newer value of its key that comes, or has an
//!   id that is at most `until`. So who fetches all up to `until` from elsewhere misses nothing.
//! - What is missing may lie between the messages that come, and is told once: what comes later may have a hole up to that
//!   same id without a further gap.
//! - `next` is the cursor from which to go on: who resumes there gets the messages behind it that are kept. In a poll it is
//!   the cursor behind the messages of the answer, and `until` may be above it.
//! - For a cursor of another log `until` is at least where this log began.
//! - A false alarm is possible, a false calm is not. An id is compared by epoch and then by number, as [`Id`](crate::Id) is.
//!
//! # Ends
//!
//! A topic that has ended ([`Producer`](crate::Producer)) says so by its last message. As any other it has an id, and comes
//! to whoever is behind it, however late: first all that is kept, then the end with its reason (`finished`, `dropped`,
//! `panicked`, or the producer's own). A client of several topics goes on until all have ended. Then each transport says that
//! nothing more will come: a poll by `"done":true` beside `gap`, an event stream and a WebSocket by ending. An EventSource
//! comes back once more, and is told to stop by 204.
//!
//! A poll says it in the answer that has the last end, or, if that goes out in pieces while others publish, at the latest in
//! the next. If the end itself has left the history, the client has a gap up to it, and then gets it all the same: it is known
//! for as long as the topic is.
//!
//! # Endings
//!
//! What each ending looks like on the wire. `Retry-After` is a time of [`Limits::retry`](crate::Limits::retry) in whole
//! seconds, rounded up; each answer draws its own.
//!
//! | | [`poll`] | [`long_poll`] | [`sse`] | `websocket` |
//! | --- | --- | --- | --- | --- |
//! | messages are there | 200 with them | 200 with them | goes on | goes on |
//! | nothing came in time | – | 200 or 304, `Tidings-Reason: timeout` | goes on | goes on |
//! | the client has ended its half | 200 or 304; the connection closes | 200 or 304, `Tidings-Reason: left`, `Retry-After`, `Connection: close` with the last answer | comment `left`, last chunk; the connection closes | close 1002 (none with the feature `tungstenite`) |
//! | the server shuts down | 200 or 304, `Connection: close` | 200 or 304, `Tidings-Reason: shutdown`, `Retry-After`, `Connection: close` | comment `shutdown`, last chunk; the connection closes | close 1001 `shutdown` |
//! | a topic has ended | its end among the messages | the same, at once | `event: done` | its end in a frame |
//! | all topics have ended, nothing is new | 200 or 304, `Tidings-Reason: done` | 200, `Tidings-Reason: done`, `Retry-After`, at once | comment `done`, last chunk; 204 at the next request | close 1000 `done` |
//! | the hub is closed, nothing is new | 200 or 304, `Tidings-Reason: closed` | 503, `Tidings-Reason: closed`, `Retry-After` | comment `closed`, last chunk; 204 at the next request | close 1000 `closed` |
//! | no place to be held is free | 200 or 304 | 503, `Tidings-Reason: full`, `Retry-After` | what is kept, comment `full`, last chunk | 503, `Retry-After`, `Connection: close` |
//! | [`Limits::stream_age`](crate::Limits::stream_age) has passed | – | – | comment `age`, last chunk | – |
//! | the client sent a message | – | – | – | close 1008 `this is a feed: nothing is to be sent` |
//! | a topic is not there, and [must be](Options::must_exist) | 404 | 404 | 404 | 404 |
//! | HEAD | the head of GET | the head of GET, at once | the head of GET | 400 or 426 |
//!
//! An answer that is chunked for HTTP/1.1 ends with its last chunk; for HTTP/1.0 it ends with the connection. A client that
//! does not read within [`Limits::write_time`](crate::Limits::write_time), or whose connection broke, is told nothing.

mod accept;
mod any;
mod cursor;
mod field;
mod json;
mod long_poll;
mod options;
mod poll;
mod sse;
#[cfg(feature = "ws")]
mod ws;

pub use self::any::any;
pub use self::long_poll::long_poll;
pub use self::options::Options;
pub use self::poll::poll;
pub use self::sse::sse;
#[cfg(feature = "ws")]
pub use self::ws::websocket;
