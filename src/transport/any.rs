//! One path for all four transports.

use super::Options;
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
/// followed. There may be more of them than [`Limits::subscription`](crate::Limits::subscription) if requests name which.
///
/// # Errors
///
/// [`Fault::Topic`] (404) for a topic that is not among `topics`, [`Fault::TooManyTopics`] (400) for more than a
/// subscription may have, and the errors of the transport.
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
pub fn any(ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> impl Future<Output = Result<()>> {
    run(ex, hub, topics, Options::DEFAULT)
}

/// Answers by the transport that the request asks for.
pub(super) async fn run(ex: Exchange<'_>, hub: &Hub, topics: &[&str], options: Options) -> Result<()> {
    let topics = chosen(ex.head(), topics, hub.limits().subscription)?;
    #[cfg(feature = "ws")]
    if ex.is_upgrade() {
        return options.websocket(ex, hub, &topics).await;
    }
    if accepts_events(ex.head()) {
        return options.sse(ex, hub, &topics).await;
    }
    match ex.head().query("wait").as_deref() {
        Some("1") => options.long_poll(ex, hub, &topics).await,
        _ => options.poll(ex, hub, &topics).await,
    }
}

/// The topics of `?topic=`, which must be among `allowed`; all of `allowed` if the query names none. At most so many.
fn chosen<'a>(head: &Head, allowed: &[&'a str], most: usize) -> Result<Vec<&'a str>> {
    let mut topics: Vec<&str> = Vec::new();
    // A form whose choice is still open sends an empty one.
    for wanted in head.queries("topic").filter(|wanted| !wanted.is_empty()) {
        // A head has room for a thousand repetitions, and `allowed` may be long.
        if topics.iter().any(|topic| *topic == wanted) {
            continue;
        }
        let topic = allowed.iter().find(|topic| **topic == wanted).ok_or(Fault::Topic)?;
        if topics.len() == most {
            return Err(Fault::TooManyTopics.into());
        }
        topics.push(topic);
    }
    match topics.is_empty() {
        true if allowed.len() > most => Err(Fault::TooManyTopics.into()),
        true => Ok(allowed.to_vec()),
        false => Ok(topics),
    }
}
