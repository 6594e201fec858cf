//! Short poll: what is new, at once.

use core::fmt::Write;
use std::sync::Arc;

use super::cursor::poll_cursor;
use super::json::message_json;
use crate::{Batch, Exchange, Frame, Hub, Id, Published, Response, Result, Subscription};

/// Answers at once with what is kept behind the request's cursor, as
/// `{"messages":[{"id","topic","data"}],"next":ID,"gap":bool}` with `ETag: "ID"`; without a cursor with all that
/// is kept. A message has an `event` and a `key` if it was published with them. Nothing new is 304 if the cursor came
/// by `If-None-Match`, else 200 with no messages.
///
/// # Errors
///
/// [`Fault::Cursor`](crate::Fault::Cursor), and those of [`Hub::subscribe`] and [`Exchange::reply`].
///
/// # Examples
///
/// ```
/// use tidings::{Exchange, Hub, Response, transport};
///
/// async fn app(ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
///     match (ex.method(), ex.path()) {
///         ("GET", "/poll") => transport::poll(ex, hub, &["news"]).await,
///         _ => ex.reply(Response::new(404)).await,
///     }
/// }
/// ```
pub async fn poll(ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> Result<()> {
    let (after, conditional) = poll_cursor(ex.head(), hub)?;
    let mut news = hub.subscribe(topics, after.or(Some(Id::EARLIEST)))?;
    match news.try_next() {
        Some(batch) => Box::pin(answer(ex, hub, news, batch, None)).await,
        None => ex.reply(nothing(news.cursor(), conditional, None)).await,
    }
}

/// A cursor as an entity tag, which is a JSON string as well.
fn tag(next: Id) -> String {
    // Room for the longest: growing step by step costs as much as all the rest of the head.
    let mut tag = String::with_capacity(43);
    // Writing to a String can't fail.
    let _ = write!(tag, "\"{next}\"");
    tag
}

/// The head of a poll's answer.
fn head(tag: String, reason: Option<&'static str>) -> Response {
    let head = Response::new(200).header("Cache-Control", "no-store").header("ETag", tag);
    match reason {
        Some(reason) => head.header("Tidings-Reason", reason),
        None => head,
    }
}

/// Makes it an answer with these messages.
fn json(head: Response, body: Vec<u8>) -> Response {
    head.header("Content-Type", "application/json").body(body)
}

/// The answer that nothing is new.
pub(super) fn nothing(next: Id, conditional: bool, reason: Option<&'static str>) -> Response {
    let tag = tag(next);
    if conditional {
        return head(tag, reason).with_status(304);
    }
    let body = whole(&[], &tag, false);
    json(head(tag, reason), body)
}

/// Answers with a batch and what else there is. One batch goes out whole; more go out one by one, so that a
/// peer that reads slowly pins one of them and not the history.
pub(super) async fn answer(
    ex: Exchange<'_>,
    hub: &Hub,
    mut news: Subscription,
    batch: Batch,
    reason: Option<&'static str>,
) -> Result<()> {
    let last = hub.last();
    if batch.next >= last {
        let tag = tag(batch.next);
        let body = whole(&batch.messages, &tag, batch.gap);
        // What is copied is not to be kept beside it while the peer reads.
        drop(batch);
        return ex.reply(json(head(tag, reason), body)).await;
    }
    // The cursor goes out first: all up to here, or a gap.
    let (tag, mut body, mut any, mut gap) = (tag(last), START.to_vec(), false, false);
    let mut stream = ex.stream(json(head(tag.clone(), reason), Vec::new())).await?;
    let mut more = Some(batch);
    while let Some(mut batch) = more {
        gap |= batch.gap;
        batch.messages.retain(|message| message.id() <= last);
        push_messages(&batch.messages, &mut any, &mut body);
        let next = batch.next;
        drop(batch);
        stream.write(&body).await?;
        body.clear();
        more = if next < last { news.try_next() } else { None };
    }
    push_end(&tag, gap, &mut body);
    stream.write(&body).await?;
    stream.finish().await
}

/// How an answer's body starts.
const START: &[u8] = b"{\"messages\":[";

/// The body of an answer that goes out whole.
fn whole(messages: &[Arc<Published>], tag: &str, gap: bool) -> Vec<u8> {
    let frames = messages.iter().map(|message| message.frame(Frame::Json, message_json).len() + 1);
    // What stands around the messages takes 42 bytes at most.
    let mut body = Vec::with_capacity(frames.sum::<usize>() + tag.len() + 42);
    body.extend_from_slice(START);
    push_messages(messages, &mut false, &mut body);
    push_end(tag, gap, &mut body);
    body
}

/// Appends messages; `any` says whether one stands before them, and a batch may have none.
fn push_messages(messages: &[Arc<Published>], any: &mut bool, body: &mut Vec<u8>) {
    for message in messages {
        if core::mem::replace(any, true) {
            body.push(b',');
        }
        body.extend_from_slice(message.frame(Frame::Json, message_json));
    }
}

fn push_end(tag: &str, gap: bool, body: &mut Vec<u8>) {
    for part in ["],\"next\":", tag, if gap { ",\"gap\":true}" } else { ",\"gap\":false}" }] {
        body.extend_from_slice(part.as_bytes());
    }
}
