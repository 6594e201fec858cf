//! Long poll: what is new, or the next message.

use super::Options;
use super::cursor::poll_cursor;
use super::poll::{answer, done, nothing};
use crate::{Batch, Exchange, Hub, Id, Response, Result, Subscription, Wait};

/// Answers as [`poll`](super::poll) does, but holds the request while nothing is new, for at most
/// [`Limits::poll_wait`](crate::Limits::poll_wait). A request without a cursor is held until the next message. HEAD is
/// never held.
///
/// An answer without messages says why in `Tidings-Reason`:
///
/// | reason | status | when |
/// | --- | --- | --- |
/// | `timeout` | 200 or 304 | the request was held for `poll_wait` |
/// | `left` | 200 or 304 | the client has ended its half of the connection |
/// | `shutdown` | 200 or 304 | the server shuts down |
/// | `done` | 200 with `"done":true`, also to `If-None-Match` | all topics have ended, and the client has all of them that is kept |
/// | `closed` | 503 | the hub is closed, and all that it keeps is behind the cursor |
/// | `full` | 503 | no place among the [held](crate::Limits::held) requests is free |
///
/// Whichever comes before its time has `Retry-After` as well, which is all but `timeout`: a client that asked again at
/// once would be answered at once, for ever. 304 is for a cursor that came by `If-None-Match`.
///
/// # Errors
///
/// The errors of [`poll`](super::poll).
///
/// # Examples
///
/// ```
/// use tidings::{Exchange, Hub, Response, transport};
///
/// async fn app(ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
///     match (ex.method(), ex.path()) {
///         ("GET" | "HEAD", "/wait") => transport::long_poll(ex, hub, &["news"]).await,
///         _ => ex.reply(Response::new(404)).await,
///     }
/// }
/// ```
pub fn long_poll(ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> impl Future<Output = Result<()>> {
    run(ex, hub, topics, Options::DEFAULT)
}

/// Answers a long poll.
pub(super) fn run(
    ex: Exchange<'_>,
    hub: &Hub,
    topics: &[&str],
    options: Options,
) -> impl Future<Output = Result<()>> {
    // The beginning and the answers are boxed: a future takes as much memory as its largest part while it waits. An
    // `async fn` would also keep its arguments.
    let begun = Box::pin(begin(ex, hub, topics, options));
    async move {
        let Some(mut held) = begun.await? else { return Ok(()) };
        let patience = held.ex.server().limits().poll_wait;
        let end = held.ex.wait(held.news.next(), patience).await?;
        Box::pin(held.end(end)).await
    }
}

/// Answers what can be answered at once; else the request is held.
async fn begin<'c, 'h>(
    mut ex: Exchange<'c>,
    hub: &'h Hub,
    topics: &[&str],
    options: Options,
) -> Result<Option<Held<'c, 'h>>> {
    let (after, conditional) = poll_cursor(ex.head(), hub)?;
    let mut news = options.follow(hub, topics, after)?;
    // Asked before the messages are read: one that is published in between must not be missed.
    let closed = hub.is_closed();
    if let Some(batch) = news.try_next() {
        answer(ex, hub, news, batch).await?;
    } else if news.is_done() {
        finish(ex, news.cursor()).await?;
    } else if closed {
        refuse(ex, CLOSED).await?;
    } else if ex.method() == "HEAD" {
        ex.reply(nothing(news.cursor(), conditional)).await?;
    } else if ex.hold() {
        ex.forget_head();
        return Ok(Some(Held { ex, hub, news, conditional }));
    } else {
        refuse(ex, ("full", "too many requests are held, try later\n")).await?;
    }
    Ok(None)
}

/// A request that is held.
struct Held<'c, 'h> {
    ex: Exchange<'c>,
    hub: &'h Hub,
    news: Subscription,
    /// Whether the client understands a 304.
    conditional: bool,
}

impl Held<'_, '_> {
    /// Answers when the wait has ended.
    async fn end(mut self, end: Wait<Option<Batch>>) -> Result<()> {
        let reason = match end {
            Wait::Ready(Some(batch)) => return answer(self.ex, self.hub, self.news, batch).await,
            Wait::Ready(None) if self.news.is_done() => return finish(self.ex, self.news.cursor()).await,
            Wait::Ready(None) => return refuse(self.ex, CLOSED).await,
            // A client that has ended its half still reads.
            Wait::Left => "left",
            Wait::Shutdown => "shutdown",
            Wait::Elapsed | Wait::Readable => "timeout",
        };
        // A message may have come together with the end of the wait.
        if let Some(batch) = self.news.try_next() {
            return answer(self.ex, self.hub, self.news, batch).await;
        }
        let mut nothing = nothing(self.news.cursor(), self.conditional).header("Tidings-Reason", reason);
        if reason != "timeout" {
            nothing = nothing.header("Retry-After", self.ex.server().retry_after());
        }
        self.ex.reply(nothing).await
    }
}

/// Answers that all topics have ended; to a conditional request as well, for a 304 has no body to say so in.
async fn finish(ex: Exchange<'_>, next: Id) -> Result<()> {
    let done = done(next, false).header("Retry-After", ex.server().retry_after());
    ex.reply(done).await
}

/// Why nothing will come: the value of `Tidings-Reason`, and a sentence.
type Refusal = (&'static str, &'static str);

const CLOSED: Refusal = ("closed", "the hub is closed\n");

/// Answers that nothing will come: the client is to ask again later.
async fn refuse(ex: Exchange<'_>, (reason, sentence): Refusal) -> Result<()> {
    let later = Response::text(sentence)
        .with_status(503)
        .header("Cache-Control", "no-store")
        .header("Retry-After", ex.server().retry_after())
        .header("Tidings-Reason", reason);
    ex.reply(later).await
}
