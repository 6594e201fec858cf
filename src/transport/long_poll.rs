//! Long poll: what is new, or the next thing that is.

use super::cursor::poll_cursor;
use super::full;
use super::poll::{answer, nothing};
use crate::{Batch, Exchange, Hub, Result, Subscription, Wait};

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
pub fn long_poll(ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> impl Future<Output = Result<()>> {
    // The beginning and the answers are boxed: what waits takes the memory of its largest part. So does what an
    // `async fn` is given.
    let begun = Box::pin(begin(ex, hub, topics));
    async move {
        let Some(mut held) = begun.await? else { return Ok(()) };
        let patience = held.ex.server().limits().poll_wait;
        let end = held.ex.wait(held.news.next(), patience).await?;
        Box::pin(held.end(end)).await
    }
}

/// Answers if there is something to say; else the request is held.
async fn begin<'c, 'h>(mut ex: Exchange<'c>, hub: &'h Hub, topics: &[&str]) -> Result<Option<Held<'c, 'h>>> {
    let (after, conditional) = poll_cursor(ex.head(), hub)?;
    let mut news = hub.subscribe(topics, after)?;
    if let Some(batch) = news.try_next() {
        answer(ex, hub, news, batch, None).await?;
    } else if ex.hold() {
        ex.forget_head();
        return Ok(Some(Held { ex, hub, news, conditional }));
    } else {
        let retry_after = ex.server().retry_after();
        ex.reply(full(retry_after)).await?;
    }
    Ok(None)
}

/// A request that waits.
struct Held<'c, 'h> {
    ex: Exchange<'c>,
    hub: &'h Hub,
    news: Subscription,
    /// Whether a 304 will do.
    conditional: bool,
}

impl Held<'_, '_> {
    /// Answers when its wait has ended.
    async fn end(mut self, end: Wait<Option<Batch>>) -> Result<()> {
        let reason = match end {
            Wait::Ready(Some(batch)) => return answer(self.ex, self.hub, self.news, batch, None).await,
            Wait::Ready(None) => "closed",
            Wait::Shutdown => "shutdown",
            // Who has only ended its input still reads.
            Wait::Elapsed | Wait::Left | Wait::Readable => "timeout",
        };
        // It may have come together with the end of the wait.
        match self.news.try_next() {
            Some(batch) => answer(self.ex, self.hub, self.news, batch, None).await,
            None => self.ex.reply(nothing(self.news.cursor(), self.conditional, Some(reason))).await,
        }
    }
}
