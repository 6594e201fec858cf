//! Server-Sent Events: a stream that an EventSource reads (WHATWG HTML, 9.2).

use std::time::{Duration, Instant};

use super::{gap_json, message_json, stream_cursor};
use crate::{Batch, BodyWriter, Error, Event, Exchange, Frame, Hub, Id, Published, Response, Result, Wait};

/// Streams what is published, each message as an event with its id. The first bytes are `retry:` and the cursor;
/// a heartbeat comes every [`Limits::ping`](crate::Limits::ping) without a message, with the cursor if it moved.
/// A gap is `event: gap`. With `?envelope=1`, `data:` is the JSON object that a WebSocket gets.
///
/// A last comment says why the stream ends: `shutdown`, `closed`, `age`, `full`. When the hub is closed, the
/// EventSource that comes back is told 204, so that it stops. Where no request can be held, the stream ends
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
pub async fn sse(mut ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> Result<()> {
    if hub.is_closed() {
        return ex.reply(Response::new(204).header("Cache-Control", "no-store")).await;
    }
    let mut news = hub.subscribe(topics, stream_cursor(ex.head()))?;
    let envelope = ex.head().query("envelope").as_deref() == Some("1");
    let (head_only, held) = (ex.method() == "HEAD", ex.hold());
    let retry = ex.server().draw_retry();
    let heartbeat = ex.server().limits().ping;
    let end =
        ex.server().limits().stream_age.map(|age| Instant::now() + age.mul_f64(0.8 + 0.2 * fastrand::f64()));
    let mut stream = ex.stream(head()).await?;
    if head_only {
        return stream.finish().await;
    }
    let mut batch = news.try_next();
    let mut told = batch.as_ref().map_or(news.cursor(), |batch| batch.from);
    let (first, cursor) = (Event::new().retry(retry.as_millis() as u64), told.to_string());
    // With a gap to tell, the gap's event carries the cursor: who had it before would resume without hearing of it.
    let mut bytes = match &batch {
        Some(batch) if batch.gap => first.encode()?,
        _ => first.id(&cursor).encode()?,
    };
    loop {
        while let Some(new) = batch {
            push_batch(&new, envelope, &mut bytes)?;
            told = new.next;
            stream.write(&bytes).await?;
            bytes.clear();
            batch = news.try_next();
        }
        stream.write(&bytes).await?;
        // Give the memory back for the wait.
        bytes = Vec::new();
        if !held {
            return last_word(stream, "full").await;
        }
        let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        batch = match stream.wait(news.next(), heartbeat.min(left)).await? {
            Wait::Ready(Some(batch)) => Some(batch),
            Wait::Ready(None) => return last_word(stream, "closed").await,
            Wait::Shutdown => return last_word(stream, "shutdown").await,
            Wait::Left => return Ok(()),
            Wait::Elapsed if left <= heartbeat => return last_word(stream, "age").await,
            Wait::Elapsed | Wait::Readable => {
                bytes = beat(&mut told, news.cursor())?;
                None
            }
        };
    }
}

fn head() -> Response {
    Response::new(200)
        .header("Content-Type", "text/event-stream")
        // Not `no-cache` as most do: without a validator it says nothing that `no-store` does not.
        .header("Cache-Control", "no-store, no-transform")
        // Reverse proxies that collect an answer before they pass it on would hold the events back.
        .header("X-Accel-Buffering", "no")
}

/// A heartbeat, with the cursor if it moved since it was last told.
fn beat(told: &mut Id, cursor: Id) -> Result<Vec<u8>> {
    if *told == cursor {
        return Event::comment("").encode();
    }
    *told = cursor;
    Event::new().id(&cursor.to_string()).encode()
}

fn push_batch(batch: &Batch, envelope: bool, bytes: &mut Vec<u8>) -> Result<()> {
    if batch.gap {
        let (id, data) = (batch.from.to_string(), gap_json(batch));
        bytes.extend_from_slice(&Event::data(&data).name("gap").id(&id).encode()?);
    }
    for message in &batch.messages {
        if envelope {
            let json = message.frame(Frame::Json, message_json);
            bytes.extend_from_slice(&event(message, core::str::from_utf8(json).unwrap_or_default()));
        } else {
            bytes.extend_from_slice(message.frame(Frame::Sse, |message| event(message, message.data())));
        }
    }
    // A stream that is cut between two batches resumes behind this one, also where its last message is of a
    // topic with ids below those of another.
    Ok(())
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
