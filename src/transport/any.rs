//! One path for all four transports.

use super::chosen;
use crate::{Exchange, Head, Hub, Result};

/// Answers by the transport that the request asks for: an upgrade by WebSocket, `Accept: text/event-stream` by
/// [`sse`](super::sse), `?wait=1` by [`long_poll`](super::long_poll), everything else by [`poll`](super::poll).
/// `?topic=`, which may be repeated, picks from `topics`.
///
/// # Errors
///
/// [`Fault::Topic`](crate::Fault::Topic) (404) for a topic that is not among `topics`, and those of the
/// transport.
///
/// # Examples
///
/// ```
/// use tidings::{Exchange, Hub, Response, transport};
///
/// async fn app(ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
///     match (ex.method(), ex.path()) {
///         ("GET", "/feed") => transport::any(ex, hub, &["news", "weather"]).await,
///         _ => ex.reply(Response::new(404)).await,
///     }
/// }
/// ```
pub async fn any(ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> Result<()> {
    let topics = chosen(ex.head(), topics)?;
    #[cfg(feature = "ws")]
    if ex.is_upgrade() {
        return super::websocket(ex, hub, &topics).await;
    }
    if accepts_events(ex.head()) {
        return super::sse(ex, hub, &topics).await;
    }
    match ex.head().query("wait").as_deref() {
        Some("1") => super::long_poll(ex, hub, &topics).await,
        _ => super::poll(ex, hub, &topics).await,
    }
}

/// Whether `Accept` names event streams; `*/*` does not.
fn accepts_events(head: &Head) -> bool {
    let accept = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case("accept"));
    accept.flat_map(|(_, value)| value.split(|b| *b == b',')).any(|range| {
        let kind = range.split(|b| *b == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    })
}
