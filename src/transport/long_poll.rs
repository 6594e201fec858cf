//! Long poll: what is new, or the next thing that is.

use super::poll::{answer, nothing};
use super::{full, poll_cursor};
use crate::{Exchange, Hub, Result, Wait};

/// Answers like [`poll`](super::poll), but waits up to [`Limits::poll_wait`](crate::Limits::poll_wait) while
/// there is nothing new; without a cursor it waits for the next message. An empty answer says why in
/// `Tidings-Reason`: `timeout`, `shutdown`, `closed`. Where no request can be held it answers what is new, or
/// 503 with `Retry-After`.
///
/// # Errors
///
/// Those of [`poll`](super::poll).
///
/// # Examples
///
/// ```
/// use tidings::{Exchange, Hub, Response, transport};
///
/// async fn app(ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
///     match (ex.method(), ex.path()) {
///         ("GET", "/wait") => transport::long_poll(ex, hub, &["news"]).await,
///         _ => ex.reply(Response::new(404)).await,
///     }
/// }
/// ```
pub async fn long_poll(mut ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> Result<()> {
    let (after, conditional) = poll_cursor(ex.head(), hub)?;
    let mut news = hub.subscribe(topics, after)?;
    // The answers are boxed, for what waits takes the memory of its largest part.
    if let Some(batch) = news.try_next() {
        return Box::pin(answer(ex, hub, news, batch, None)).await;
    }
    if !ex.hold() {
        let retry = ex.server().draw_retry();
        return Box::pin(ex.reply(full(retry))).await;
    }
    ex.forget_head();
    let patience = ex.server().limits().poll_wait;
    let reason = match ex.wait(news.next(), patience).await? {
        Wait::Ready(Some(batch)) => return Box::pin(answer(ex, hub, news, batch, None)).await,
        Wait::Ready(None) => "closed",
        Wait::Shutdown => "shutdown",
        // Who has only ended its input still reads.
        Wait::Elapsed | Wait::Left | Wait::Readable => "timeout",
    };
    // It may have come together with the end of the wait.
    if let Some(batch) = news.try_next() {
        return Box::pin(answer(ex, hub, news, batch, None)).await;
    }
    Box::pin(nothing(ex, news.cursor(), conditional, Some(reason))).await
}
