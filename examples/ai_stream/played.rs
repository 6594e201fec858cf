//! What `/sse` of `ai_stream.rs` plays to each who asks, from the start or from behind what a client has: a text that is no
//! topic, by events that are made by hand. And how a text is cut.

use std::future::pending;
use std::time::Duration;

use serde_json::Value;
use tidings::{Event, Exchange, Response, Wait};

/// Characters of a piece: a page that types 33 a second has typed it when the next one comes.
const PIECE: usize = 30;

/// Streams a text by events whose data are JSON strings, so that a piece may have line breaks; then `event: done`.
pub(crate) async fn play(mut ex: Exchange<'_>, text: &str, every: Duration) -> tidings::Result<()> {
    // An id that is not ours is as good as none.
    let has: usize = ex.head().header("last-event-id").and_then(|id| id.parse().ok()).unwrap_or(0);
    if has >= pieces(text, PIECE).count() {
        return ex.reply(Response::new(204)).await;
    }
    let (held, retry) = (ex.method() != "HEAD" && ex.hold(), ex.server().draw_retry());
    let mut stream = ex.stream(head("text/event-stream")).await?;
    stream.event(&Event::new().retry(retry.as_millis() as u64)).await?;
    if !held {
        // Where too many are held: after a 503 an EventSource would never come back, so it does after `retry:`.
        return stream.finish().await;
    }
    for (n, piece) in (1..).zip(pieces(text, PIECE)).skip(has) {
        stream.event(&Event::data(&Value::from(piece).to_string()).id(&n.to_string())).await?;
        if stream.wait(pending::<()>(), every).await? != Wait::Elapsed {
            return Ok(());
        }
    }
    stream.event(&Event::data("[DONE]").name("done")).await?;
    stream.finish().await
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
