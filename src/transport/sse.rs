//! Server-Sent Events: a stream that an EventSource reads (WHATWG HTML, 9.2).

use core::ops::ControlFlow::{self, Break, Continue};
use std::time::{Duration, Instant};

use super::Options;
use super::cursor::stream_cursor;
use super::json::{gap_json, message_json, notice_json};
use crate::{
    Batch, BodyWriter, Error, Event, Exchange, Frame, Hub, Id, Published, Response, Result, Subscription,
    Wait,
};

/// Streams what is published: each message is an event with its id, and with its event name if it has one. The cursor is
/// in `Last-Event-ID`, else in `?last_event_id=`, `?lastEventId=` or `?after=`; an empty one is none, and one that is no
/// id is a gap.
///
/// The first event has no data: it is `retry:` and the cursor. Every [`Limits::ping`](crate::Limits::ping) a heartbeat
/// follows: the cursor if it moved since the client was last told, else a comment. With `?envelope=1` the data of a message
/// is the JSON object that a WebSocket gets.
///
/// Three events have a name and data of their own. An end and a removal have their ids.
///
/// | event | data | when |
/// | --- | --- | --- |
/// | `gap` | `{"gap":true,"until":ID,"next":ID}` | messages may be missing; see [gaps](super#gaps) |
/// | `done` | `{"topic":TOPIC,"done":true,"reason":TEXT}` | a topic has ended |
/// | `removed` | `{"topic":TOPIC,"key":KEY,"removed":true}` | the value of a key is no more |
///
/// The last event is a comment that says why the stream ends:
///
/// | comment | when |
/// | --- | --- |
/// | `done` | all topics have ended, and all of them that is kept was sent |
/// | `closed` | the hub is closed, and all that it keeps was sent |
/// | `shutdown` | the server shuts down |
/// | `age` | the stream has lived for [`Limits::stream_age`](crate::Limits::stream_age) |
/// | `left` | the client has ended its half of the connection |
/// | `full` | no place among the [held](crate::Limits::held) requests is free; what is kept was sent |
///
/// An EventSource comes back after `retry:`. If nothing is new and nothing can come, since all topics have ended or the hub
/// is closed, it gets 204, so that it stops.
///
/// # Errors
///
/// The errors of [`Hub::subscribe`] and [`BodyWriter::write`].
///
/// # Examples
///
/// ```
/// use tidings::{Exchange, Hub, Response, transport};
///
/// async fn app(ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
///     match (ex.method(), ex.path()) {
///         ("GET" | "HEAD", "/events") => transport::sse(ex, hub, &["news"]).await,
///         _ => ex.reply(Response::new(404)).await,
///     }
/// }
/// ```
pub fn sse(ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> impl Future<Output = Result<()>> {
    run(ex, hub, topics, Options::DEFAULT)
}

/// Answers with an event stream.
pub(super) fn run(
    ex: Exchange<'_>,
    hub: &Hub,
    topics: &[&str],
    options: Options,
) -> impl Future<Output = Result<()>> {
    // The beginning and the end are boxed: a stream takes as much memory as its largest part for as long as it lives. An
    // `async fn` would also keep its arguments.
    let opened = Box::pin(open(ex, hub, topics, options));
    async move {
        let Some((mut feed, end)) = opened.await? else { return Ok(()) };
        let reason = feed.follow(end).await?;
        Box::pin(last_word(feed.stream, reason.unwrap_or("age"))).await
    }
}

/// Begins the stream, and says when it has lived long enough; `None` if the answer is complete already.
async fn open<'c>(
    mut ex: Exchange<'c>,
    hub: &Hub,
    topics: &[&str],
    options: Options,
) -> Result<Option<(Feed<'c>, Option<Instant>)>> {
    let mut news = options.follow(hub, topics, stream_cursor(ex.head()))?;
    // Asked before the messages are read: one that is published in between must not be missed.
    let closed = hub.is_closed();
    let first = news.try_next();
    if first.is_none() && (closed || news.is_done()) {
        ex.reply(Response::new(204).header("Cache-Control", "no-store")).await?;
        return Ok(None);
    }
    if ex.method() == "HEAD" {
        ex.stream(head()).await?.finish().await?;
        return Ok(None);
    }
    let envelope = ex.head().query("envelope").as_deref() == Some("1");
    let (held, age) = (ex.hold(), ex.server().limits().stream_age);
    let end = age.and_then(|age| ex.server().now().checked_add(lifetime(age)));
    let (told, stream) = (news.cursor(), ex.stream(head()).await?);
    let mut feed = Feed { stream, news, client: Client { told, envelope } };
    feed.begin(first)?;
    if !held {
        feed.tell_all(hub.last()).await?;
        return Ok(None);
    }
    Ok(Some((feed, end)))
}

/// How long a stream lives, 80 to 100 % of `age`: so those that began together do not come back together.
fn lifetime(age: Duration) -> Duration {
    age - age / 1000 * fastrand::u32(..200)
}

/// The answer's head.
fn head() -> Response {
    Response::new(200)
        .header("Content-Type", "text/event-stream")
        // Not `no-cache` as most do: without a validator it says nothing that `no-store` does not.
        .header("Cache-Control", "no-store, no-transform")
        // Reverse proxies that collect an answer before they pass it on would hold the events back.
        .header("X-Accel-Buffering", "no")
}

/// A stream under way.
struct Feed<'c> {
    stream: BodyWriter<'c>,
    news: Subscription,
    client: Client,
}

/// What the client has, and what it wants.
struct Client {
    /// The cursor that it has.
    told: Id,
    /// The data is the JSON object that a WebSocket gets.
    envelope: bool,
}

impl Feed<'_> {
    /// Adds the first event, with the time after which to come back and the cursor, and then a batch.
    fn begin(&mut self, batch: Option<Batch>) -> Result<()> {
        // Rounded up: 0 would be at once.
        let retry = self.stream.server().draw_retry().saturating_add(Duration::from_nanos(999_999));
        let retry = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
        let first = Event::new().retry(retry);
        let told = batch.as_ref().map_or(self.news.cursor(), |batch| batch.from);
        self.client.told = told;
        match batch.as_ref().is_some_and(|batch| batch.gap.is_some()) {
            // The gap's event carries the cursor. A client that had it before could resume without hearing of the gap.
            true => push(&mut self.stream, &first)?,
            false => push(&mut self.stream, &first.id(&told.to_string()))?,
        }
        batch.map_or(Ok(()), |batch| self.client.push_batch(&mut self.stream, &batch))
    }

    /// Tells the client what comes, until something ends the stream; returns why, or `None` if it has lived long enough.
    fn follow(&mut self, end: Option<Instant>) -> impl Future<Output = Result<Option<&'static str>>> {
        let Feed { stream, news, client } = self;
        stream.wait_each(news, end, move |stream, news, wait| client.push_next(stream, news, wait))
    }

    /// Sends all up to `last`, and ends the stream since it can't be held. It sends no more than that: for a client that
    /// reads slowly there would always be more.
    async fn tell_all(mut self, last: Id) -> Result<()> {
        while self.news.cursor() < last {
            let Some(batch) = self.news.try_next() else { break };
            self.client.push_batch(&mut self.stream, &batch)?;
            // Its copy is enough while the client reads.
            drop(batch);
            self.stream.flush().await?;
        }
        let reason = if self.news.is_done() { "done" } else { "full" };
        last_word(self.stream, reason).await
    }
}

impl Client {
    /// Adds what a wait has brought; breaks with the reason if the stream ends.
    fn push_next(
        &mut self,
        stream: &mut BodyWriter<'_>,
        news: &Subscription,
        wait: Wait<Option<Batch>>,
    ) -> Result<ControlFlow<&'static str>> {
        match wait {
            Wait::Ready(Some(batch)) => self.push_batch(stream, &batch)?,
            Wait::Ready(None) => return Ok(Break(if news.is_done() { "done" } else { "closed" })),
            Wait::Shutdown => return Ok(Break("shutdown")),
            // A client that has ended its half still reads.
            Wait::Left => return Ok(Break("left")),
            Wait::Elapsed | Wait::Readable => self.push_heartbeat(stream, news.cursor())?,
        }
        Ok(Continue(()))
    }

    /// Adds the cursor if it moved since the client was last told, else a comment.
    fn push_heartbeat(&mut self, stream: &mut BodyWriter<'_>, cursor: Id) -> Result<()> {
        if self.told == cursor {
            return push(stream, &Event::comment(""));
        }
        self.told = cursor;
        push(stream, &Event::new().id(&cursor.to_string()))
    }

    /// Adds the gap of a batch, if it has one, and its messages.
    fn push_batch(&mut self, stream: &mut BodyWriter<'_>, batch: &Batch) -> Result<()> {
        self.told = batch.next;
        if let Some(gap) = gap_json(batch) {
            push(stream, &Event::data(&gap).name("gap").id(&batch.from.to_string()))?;
        }
        let mut left = batch.messages.len();
        for message in &batch.messages {
            left -= 1;
            if self.envelope {
                let json = message.frame(Frame::Json, message_json);
                stream.push(&event(message, &json))?;
            } else {
                stream.push_framed(&message.frame(Frame::Sse, plain_event), left > 0)?;
            }
        }
        Ok(())
    }
}

fn push(stream: &mut BodyWriter<'_>, event: &Event<'_>) -> Result<()> {
    stream.push(&event.encode()?)
}

/// A message as a framed event whose data is its text, or, of an end or a removal, which would be nothing without a topic or a
/// key, an object.
fn plain_event(message: &Published) -> Vec<u8> {
    BodyWriter::frame(&match message.is_end() || message.is_removed() {
        true => event(message, &notice_json(message)),
        false => event(message, message.data().as_bytes()),
    })
}

/// A message as an event with this data.
fn event(message: &Published, data: &[u8]) -> Vec<u8> {
    let (id, data) = (message.id().to_string(), core::str::from_utf8(data).unwrap_or_default());
    let event = Event::data(data).id(&id);
    let name = match message {
        _ if message.is_end() => Some("done"),
        _ if message.is_removed() => Some("removed"),
        _ => message.event(),
    };
    // The hub has checked the event name, so this can't fail.
    match name {
        Some(name) => event.name(name).encode(),
        None => event.encode(),
    }
    .unwrap_or_default()
}

/// Writes why the stream ends, and ends it.
async fn last_word(mut stream: BodyWriter<'_>, reason: &str) -> Result<()> {
    match stream.event(&Event::comment(reason)).await {
        Err(error @ Error::Misuse(_)) => Err(error),
        // The client may have gone by now, and then there is nobody to tell.
        Err(_) => Ok(()),
        Ok(()) => stream.finish().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_began_together_end_apart_and_in_time() {
        let age = Duration::from_secs(1_000_000);
        let lifetimes: Vec<Duration> = (0..100).map(|_| lifetime(age)).collect();
        assert!(lifetimes.iter().all(|lifetime| (age * 4 / 5..=age).contains(lifetime)), "{lifetimes:?}");
        let early = lifetimes.iter().filter(|lifetime| **lifetime < age * 9 / 10).count();
        assert!((1..100).contains(&early), "{lifetimes:?}");
        for age in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            assert!(lifetime(age) >= age / 5 * 4);
        }
    }
}
