//! Long poll: what is new, or the next message.

use super::Options;
use super::cursor::poll_cursor;
use super::poll::{Answer, answer, done, nothing};
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
    // What needs no wait is done in functions: a future takes as much memory as its largest part while it waits, and an
    // `async fn` would also keep its arguments.
    let mut begun = begin(ex, hub, topics, options);
    async move {
        let end = match &mut begun {
            Ok(Begun::Held(held)) => Some(held.wait().await?),
            _ => None,
        };
        finish(begun, end)?.await
    }
}

/// How a long poll begins.
enum Begun<'c, 'h> {
    Answered(Answer<'c>),
    Held(Held<'c, 'h>),
}

/// Answers what can be answered at once; else the request is held.
fn begin<'c, 'h>(
    mut ex: Exchange<'c>,
    hub: &'h Hub,
    topics: &[&str],
    options: Options,
) -> Result<Begun<'c, 'h>> {
    let (after, conditional) = poll_cursor(ex.head(), hub)?;
    let mut news = options.follow(hub, topics, after)?;
    // Asked before the messages are read: one that is published in between must not be missed.
    let closed = hub.is_closed();
    Ok(Begun::Answered(if let Some(batch) = news.try_next() {
        answer(ex, hub, news, batch)
    } else if news.is_done() {
        all_done(ex, news.cursor())
    } else if closed {
        refuse(ex, CLOSED)
    } else if ex.method() == "HEAD" {
        Answer::Whole(ex.reply(nothing(news.cursor(), conditional)))
    } else if ex.hold() {
        ex.forget_head();
        return Ok(Begun::Held(Held { ex, hub, news, conditional }));
    } else {
        refuse(ex, ("full", "too many requests are held, try later\n"))
    }))
}

/// The answer of a request that was held until `end`, or was answered at once.
fn finish<'c>(begun: Result<Begun<'c, '_>>, end: Option<Wait<Option<Batch>>>) -> Result<Answer<'c>> {
    Ok(match (begun?, end) {
        (Begun::Answered(answer), _) => answer,
        (Begun::Held(held), end) => held.answer(end.unwrap_or(Wait::Elapsed)),
    })
}

/// A request that is held.
struct Held<'c, 'h> {
    ex: Exchange<'c>,
    hub: &'h Hub,
    news: Subscription,
    /// Whether the client understands a 304.
    conditional: bool,
}

impl<'c> Held<'c, '_> {
    /// Waits for the next message.
    fn wait(&mut self) -> impl Future<Output = Result<Wait<Option<Batch>>>> {
        let patience = self.ex.server().limits().poll_wait;
        self.ex.wait(self.news.next(), patience)
    }

    /// Answers when the wait has ended.
    fn answer(mut self, end: Wait<Option<Batch>>) -> Answer<'c> {
        let reason = match end {
            Wait::Ready(Some(batch)) => return answer(self.ex, self.hub, self.news, batch),
            Wait::Ready(None) if self.news.is_done() => return all_done(self.ex, self.news.cursor()),
            Wait::Ready(None) => return refuse(self.ex, CLOSED),
            // A client that has ended its half still reads.
            Wait::Left => "left",
            Wait::Shutdown => "shutdown",
            Wait::Elapsed | Wait::Readable => "timeout",
        };
        // A message may have come together with the end of the wait.
        if let Some(batch) = self.news.try_next() {
            return answer(self.ex, self.hub, self.news, batch);
        }
        let mut nothing = nothing(self.news.cursor(), self.conditional).header("Tidings-Reason", reason);
        if reason != "timeout" {
            nothing = nothing.header("Retry-After", self.ex.server().retry_after());
        }
        Answer::Whole(self.ex.reply(nothing))
    }
}

/// Answers that all topics have ended; to a conditional request as well, for a 304 has no body to say so in.
fn all_done(ex: Exchange<'_>, next: Id) -> Answer<'_> {
    let done = done(next, false).header("Retry-After", ex.server().retry_after());
    Answer::Whole(ex.reply(done))
}

/// Why nothing will come: the value of `Tidings-Reason`, and a sentence.
type Refusal = (&'static str, &'static str);

const CLOSED: Refusal = ("closed", "the hub is closed\n");

/// Answers that nothing will come: the client is to ask again later.
fn refuse(ex: Exchange<'_>, (reason, sentence): Refusal) -> Answer<'_> {
    let later = Response::text(sentence)
        .with_status(503)
        .header("Cache-Control", "no-store")
        .header("Retry-After", ex.server().retry_after())
        .header("Tidings-Reason", reason);
    Answer::Whole(ex.reply(later))
}
