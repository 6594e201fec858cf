//! Server-Sent Events: a stream that an EventSource reads (WHATWG HTML, 9.2).

use std::time::{Duration, Instant};

use super::cursor::stream_cursor;
use super::json::{gap_json, message_json};
use crate::{
    Batch, BodyWriter, Error, Event, Exchange, Frame, Hub, Id, Published, Response, Result, Subscription,
    Wait,
};

/// Streams what is published, each message as an event with its id. The first bytes are `retry:` and the cursor;
/// a heartbeat comes every [`Limits::ping`](crate::Limits::ping) without a message, with the cursor if it moved.
/// A gap is `event: gap`. With `?envelope=1`, `data:` is the JSON object that a WebSocket gets.
///
/// A last comment says why the stream ends: `shutdown`, `closed`, `age`, `full`. When the hub is closed, the
/// EventSource that comes back when all is told gets 204, so that it stops. Where no request can be held, the stream ends
/// after the history, and the EventSource comes back after `retry:`.
///
/// # Errors
///
/// Those of [`Hub::subscribe`] and [`BodyWriter::write`].
///
/// # Examples
///
/// ```
/// use tidings::{Exchange, Hub, Response, transport};
///
/// async fn app(ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
///     match (ex.method(), ex.path()) {
///         ("GET", "/events") => transport::sse(ex, hub, &["news"]).await,
///         _ => ex.reply(Response::new(404)).await,
///     }
/// }
/// ```
pub fn sse(ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> impl Future<Output = Result<()>> {
    // The beginning and the end are boxed: a stream takes the memory of its largest part for as long as it lives. So
    // does what an `async fn` is given.
    let opened = Box::pin(open(ex, hub, topics));
    async move {
        let Some(mut feed) = opened.await? else { return Ok(()) };
        let end = loop {
            let wait = feed.wait().await?;
            if let Some(end) = feed.push_next(wait)? {
                break end;
            }
        };
        match end {
            End::Left => Ok(()),
            End::Reason(reason) => Box::pin(last_word(feed.stream, reason)).await,
        }
    }
}

/// How a stream ends.
enum End {
    /// The client has left.
    Left,
    /// It is told why.
    Reason(&'static str),
}

/// Begins the stream, unless the answer is complete without one.
async fn open<'c>(mut ex: Exchange<'c>, hub: &Hub, topics: &[&str]) -> Result<Option<Feed<'c>>> {
    let mut news = hub.subscribe(topics, stream_cursor(ex.head()))?;
    let first = news.try_next();
    if first.is_none() && hub.is_closed() {
        ex.reply(Response::new(204).header("Cache-Control", "no-store")).await?;
        return Ok(None);
    }
    let envelope = ex.head().query("envelope").as_deref() == Some("1");
    let (head_only, held) = (ex.method() == "HEAD", ex.hold());
    let age = ex.server().limits().stream_age;
    let end = age.and_then(|age| Instant::now().checked_add(age - age / 1000 * fastrand::u32(..200)));
    let (told, stream) = (news.cursor(), ex.stream(head()).await?);
    if head_only {
        stream.finish().await?;
        return Ok(None);
    }
    let mut feed = Feed { stream, news, told, end, envelope };
    feed.begin(first)?;
    if !held {
        feed.tell_all(hub.last()).await?;
        return Ok(None);
    }
    Ok(Some(feed))
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
    /// The cursor that the client has.
    told: Id,
    /// When the stream has lived long enough.
    end: Option<Instant>,
    /// The data is the JSON object that a WebSocket gets.
    envelope: bool,
}

impl Feed<'_> {
    /// Puts down the first bytes: when to come back, and from where.
    fn begin(&mut self, batch: Option<Batch>) -> Result<()> {
        // Rounded up: 0 would be at once.
        let retry = self.stream.server().draw_retry().saturating_add(Duration::from_nanos(999_999));
        let retry = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
        let first = Event::new().retry(retry);
        self.told = batch.as_ref().map_or(self.news.cursor(), |batch| batch.from);
        match batch.as_ref().is_some_and(|batch| batch.gap) {
            // The gap's event carries the cursor: who had it before would resume without hearing of the gap.
            true => self.push(&first)?,
            false => self.push(&first.id(&self.told.to_string()))?,
        }
        batch.map_or(Ok(()), |batch| self.push_batch(&batch))
    }

    /// Writes what was pushed, and waits for what is to be told next.
    fn wait(&mut self) -> impl Future<Output = Result<Wait<Option<Batch>>>> {
        let heartbeat = self.stream.server().limits().ping;
        let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
        self.stream.wait(self.news.next(), left.unwrap_or(heartbeat).min(heartbeat))
    }

    /// Puts down what the wait has brought, unless that is the end.
    fn push_next(&mut self, wait: Wait<Option<Batch>>) -> Result<Option<End>> {
        match wait {
            Wait::Ready(Some(batch)) => self.push_batch(&batch)?,
            Wait::Ready(None) => return Ok(Some(End::Reason("closed"))),
            Wait::Shutdown => return Ok(Some(End::Reason("shutdown"))),
            Wait::Left => return Ok(Some(End::Left)),
            Wait::Elapsed if self.is_old() => {}
            Wait::Elapsed | Wait::Readable => self.push_heartbeat()?,
        }
        // After a message as well: there may always be one.
        Ok(self.is_old().then_some(End::Reason("age")))
    }

    /// Whether the stream has lived long enough.
    fn is_old(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Tells all up to `last`, and that it can't be held. No more: for who reads slowly there would always be more.
    async fn tell_all(mut self, last: Id) -> Result<()> {
        while self.news.cursor() < last {
            let Some(batch) = self.news.try_next() else { break };
            self.push_batch(&batch)?;
            // What is written is not to be kept beside it while the peer reads.
            drop(batch);
            self.stream.flush().await?;
        }
        last_word(self.stream, "full").await
    }

    /// The cursor if it moved since it was last told, else a comment.
    fn push_heartbeat(&mut self) -> Result<()> {
        let cursor = self.news.cursor();
        if self.told == cursor {
            return self.push(&Event::comment(""));
        }
        self.told = cursor;
        self.push(&Event::new().id(&cursor.to_string()))
    }

    fn push_batch(&mut self, batch: &Batch) -> Result<()> {
        self.told = batch.next;
        if batch.gap {
            let (id, data) = (batch.from.to_string(), gap_json(batch));
            self.push(&Event::data(&data).name("gap").id(&id))?;
        }
        for message in &batch.messages {
            if self.envelope {
                let json = message.frame(Frame::Json, message_json);
                self.stream.push(&event(message, core::str::from_utf8(json).unwrap_or_default()))?;
            } else {
                self.stream.push(message.frame(Frame::Sse, |message| event(message, message.data())))?;
            }
        }
        Ok(())
    }

    fn push(&mut self, event: &Event<'_>) -> Result<()> {
        self.stream.push(&event.encode()?)
    }
}

fn event(message: &Published, data: &str) -> Vec<u8> {
    let id = message.id().to_string();
    let event = Event::data(data).id(&id);
    // The hub has checked the event name, so this can't fail.
    match message.event() {
        Some(name) => event.name(name).encode(),
        None => event.encode(),
    }
    .unwrap_or_default()
}

/// Says why the stream ends, and ends it.
async fn last_word(mut stream: BodyWriter<'_>, reason: &str) -> Result<()> {
    match stream.event(&Event::comment(reason)).await {
        Err(error @ Error::Misuse(_)) => Err(error),
        // The peer may be gone by now.
        Err(_) => Ok(()),
        Ok(()) => stream.finish().await,
    }
}
