//! The event streams of `ai_stream.rs`: `/sse`, which plays a text to each who asks, and an answer that is followed. Both
//! begin at the start, or behind what the client has.

use std::future::pending;
use std::time::Duration;

use serde_json::{Value, json};
use tidings::{BodyWriter, Event, Exchange, Hub, Id, Published, Response, Wait};

/// Characters of a piece: a page that types 33 a second has typed it when the next one comes.
const PIECE: usize = 30;

/// Streams a text by events whose data are JSON strings, so that a piece may have line breaks; then `event: done`.
pub(crate) async fn play(ex: Exchange<'_>, text: &str, every: Duration) -> tidings::Result<()> {
    // An id that is not ours is as good as none.
    let has: usize = ex.head().header("last-event-id").and_then(|id| id.parse().ok()).unwrap_or(0);
    if has >= pieces(text, PIECE).count() {
        return ex.reply(Response::new(204)).await;
    }
    let Some(mut stream) = begin(ex).await? else { return Ok(()) };
    for (n, piece) in (1..).zip(pieces(text, PIECE)).skip(has) {
        stream.event(&Event::data(&Value::from(piece).to_string()).id(&n.to_string())).await?;
        if stream.wait(pending::<()>(), every).await? != Wait::Elapsed {
            return Ok(());
        }
    }
    stream.event(&Event::data("[DONE]").name("done")).await?;
    stream.finish().await
}

/// Streams an answer as it is written, to its end.
pub(crate) async fn follow(ex: Exchange<'_>, hub: &Hub, id: &str) -> tidings::Result<()> {
    let has = ex.head().header("last-event-id").filter(|id| !id.is_empty());
    // An id that can't be read is from elsewhere, so there is a gap.
    let after = has.map_or(Id::EARLIEST, |id| id.parse().unwrap_or(Id::MAX));
    let mut news = hub.follow(&[id], Some(after))?;
    if news.is_done() {
        return ex.reply(Response::new(204)).await;
    }
    let Some(mut stream) = begin(ex).await? else { return Ok(()) };
    let heartbeat = stream.server().limits().heartbeat();
    loop {
        match stream.wait(news.next(), heartbeat).await? {
            Wait::Ready(Some(batch)) => {
                if let Some(until) = batch.gap {
                    let gap = json!({ "gap": true, "until": until.to_string() }).to_string();
                    stream.event(&Event::data(&gap).name("gap")).await?;
                }
                for message in &batch.messages {
                    stream.write(&event(message)?).await?;
                }
            }
            Wait::Elapsed => stream.event(&Event::comment("")).await?,
            _ => return stream.finish().await,
        }
    }
}

/// A piece of an answer, or its end, as an event.
fn event(message: &Published) -> tidings::Result<Vec<u8>> {
    let (id, text) = (message.id().to_string(), message.data());
    if !message.is_end() {
        return Event::data(text).id(&id).encode();
    }
    let end = json!({ "topic": message.topic(), "done": true, "reason": text }).to_string();
    Event::data(&end).name("done").id(&id).encode()
}

/// Begins a stream; `None` if the answer is complete already.
async fn begin(mut ex: Exchange<'_>) -> tidings::Result<Option<BodyWriter<'_>>> {
    let (held, retry) = (ex.method() != "HEAD" && ex.hold(), ex.server().draw_retry());
    let mut stream = ex.stream(head("text/event-stream")).await?;
    stream.event(&Event::new().retry(retry.as_millis() as u64)).await?;
    if !held {
        // Where too many are held: after a 503 an EventSource would never come back, so it does after `retry:`.
        return stream.finish().await.map(|()| None);
    }
    Ok(Some(stream))
}

/// The head of a stream, which proxies pass on as it comes.
pub(crate) fn head(kind: &'static str) -> Response {
    let head = Response::new(200).header("Content-Type", kind).header("X-Accel-Buffering", "no");
    head.header("Cache-Control", "no-store, no-transform")
}

/// Cuts text after so many characters at most, as JavaScript counts them, wherever that is.
pub(crate) fn pieces(mut text: &str, length: usize) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let mut units = 0;
        let mut fits = |c: char| (units += c.len_utf16(), units <= length).1;
        let (piece, rest) = text.split_at(text.find(|c| !fits(c)).unwrap_or(text.len()));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}
