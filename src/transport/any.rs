//! One path for all four transports.

use super::accept::accepts_events;
use crate::{Exchange, Fault, Head, Hub, Result};

/// Answers by the transport that the request asks for. The first of these that holds decides:
///
/// 1. the request is a WebSocket upgrade: `websocket`;
/// 2. `Accept` names `text/event-stream` with a weight above 0: [`sse`](super::sse);
/// 3. the query has `wait=1`: [`long_poll`](super::long_poll);
/// 4. else [`poll`](super::poll).
///
/// `?topic=`, which may be repeated, picks from `topics`. Without one, or with an empty one only, all of `topics` are
/// followed.
///
/// # Errors
///
/// [`Fault::Topic`] (404) for a topic that is not among `topics`, and the errors of the transport.
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

/// The topics of `?topic=`, which must be among `allowed`; all of `allowed` if the query names none.
fn chosen<'a>(head: &Head, allowed: &[&'a str]) -> Result<Vec<&'a str>> {
    let mut topics = Vec::new();
    // A form whose choice is still open sends an empty one.
    for wanted in head.queries("topic").filter(|wanted| !wanted.is_empty()) {
        let topic = allowed.iter().find(|topic| **topic == wanted).ok_or(Fault::Topic)?;
        // A head has room for a thousand repetitions.
        if !topics.contains(topic) {
            topics.push(*topic);
        }
    }
    Ok(if topics.is_empty() { allowed.to_vec() } else { topics })
}
