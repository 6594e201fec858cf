//! The four transports, each an ordinary function over the public API: copy one to change it.
//!
//! | | cursor | nothing new | gap |
//! | --- | --- | --- | --- |
//! | [`poll`] | `?after=ID`, else `If-None-Match: "ID"` | 304 or no messages, at once | `"gap":true` |
//! | [`long_poll`] | the same | the same, after [`Limits::poll_wait`](crate::Limits::poll_wait) | `"gap":true`, at once |
//! | [`sse`] | `Last-Event-ID`, else `?last_event_id=`, `?lastEventId=`, `?after=` | a heartbeat | `event: gap` |
//! | `websocket` | `?after=ID` | a ping | a frame with `"gap":true` |
//!
//! An id that one of them gave is a cursor for all of them. No cursor means from now on (short poll: all that is
//! kept), `earliest` means all that is kept.

mod accept;
mod any;
mod cursor;
mod field;
mod json;
mod long_poll;
mod poll;
mod sse;
#[cfg(feature = "ws")]
mod ws;

pub use self::any::any;
pub use self::long_poll::long_poll;
pub use self::poll::poll;
pub use self::sse::sse;
#[cfg(feature = "ws")]
pub use self::ws::websocket;

use crate::Response;

/// The answer when no request can be held: come back later.
fn full(retry_after: String) -> Response {
    Response::text("too many requests are held, try later\n")
        .with_status(503)
        .header("Retry-After", retry_after)
        .header("Cache-Control", "no-store")
        .header("Tidings-Reason", "full")
}
