//! Short poll: what is new, at once.

use core::fmt::Write;
use core::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Options;
use super::cursor::poll_cursor;
use super::json::message_json;
use crate::{Batch, Exchange, FieldLines, Frame, Hub, Id, Published, Reply, Response, Result, Subscription};

/// Answers at once with what the hub keeps behind the request's cursor, as
/// `{"messages":[{"id","topic","data"}],"next":ID,"gap":false}` with `ETag: "ID"`. A message that was published with an
/// `event` or a `key` has these members too. Without a cursor the answer has all that is kept.
///
/// If messages may be missing, it is `"gap":true,"until":ID`; see [gaps](super#gaps). An answer of many messages goes out
/// in pieces, and what leaves meanwhile is missing too: `until` is the greatest of what was told by then.
///
/// The end of a topic is `{"id","topic","done":true,"reason"}` among the messages, the removal of a key's value
/// `{"id","topic","key","removed":true}`. When all topics have ended, and the client has all of them that is kept, the
/// answer itself has `"done":true` behind its `gap`: it needs no further poll.
///
/// While nothing is new, a cursor by `If-None-Match` is answered 304, and any other 200 with no messages. If nothing new
/// will come, both have `Tidings-Reason: done`, for all topics have ended, or `Tidings-Reason: closed`, for the hub is
/// closed.
///
/// `If-None-Match` is a list (RFC 9110, 13.1.2): one tag that matches is enough. A tag with an ending that a compressing
/// proxy has added, such as `-gzip`, is the tag without it. A tag that this hub did not give out is a gap, if no other tag
/// is there.
///
/// # Errors
///
/// [`Fault::Cursor`](crate::Fault::Cursor) (400) for an `?after=` that is no id (an empty one is no cursor), and the
/// errors of [`Hub::read`] and [`Exchange::reply`].
///
/// # Examples
///
/// ```
/// use tidings::{Exchange, Hub, Response, transport};
///
/// async fn app(ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
///     match (ex.method(), ex.path()) {
///         ("GET" | "HEAD", "/poll") => transport::poll(ex, hub, &["news"]).await,
///         _ => ex.reply(Response::new(404)).await,
///     }
/// }
/// ```
pub fn poll(ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> impl Future<Output = Result<()>> {
    run(ex, hub, topics, Options::DEFAULT)
}

/// Answers a short poll.
pub(super) async fn run(ex: Exchange<'_>, hub: &Hub, topics: &[&str], options: Options) -> Result<()> {
    let (after, conditional) = poll_cursor(ex.head(), hub)?;
    let mut news = options.read(hub, topics, after)?;
    // Asked before the messages are read: one that is published in between must not be missed.
    let closed = hub.is_closed();
    match news.try_next() {
        Some(batch) => answer(ex, hub, news, batch).await,
        None if news.is_done() => ex.reply(done(news.cursor(), conditional)).await,
        None if closed => {
            ex.reply(nothing(news.cursor(), conditional).header("Tidings-Reason", "closed")).await
        }
        None => ex.reply(nothing(news.cursor(), conditional)).await,
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

const FRESH: FieldLines = FieldLines::new("Cache-Control: no-store\r\n");

const JSON: FieldLines = FieldLines::new("Content-Type: application/json\r\n");

/// The head of a poll's answer.
fn head(tag: String) -> Response {
    Response::new(200).field_lines(&FRESH).header("ETag", tag)
}

/// Makes it an answer with a body.
fn json(head: Response, body: Vec<u8>) -> Response {
    head.field_lines(&JSON).body(body)
}

/// The answer that nothing is new.
pub(super) fn nothing(next: Id, conditional: bool) -> Response {
    empty(next, conditional, false)
}

/// The answer that nothing is new and nothing will come, for all topics have ended.
pub(super) fn done(next: Id, conditional: bool) -> Response {
    empty(next, conditional, true).header("Tidings-Reason", "done")
}

fn empty(next: Id, conditional: bool, done: bool) -> Response {
    let tag = tag(next);
    if conditional {
        return head(tag).with_status(304);
    }
    let body = whole(&[], &tag, None, done);
    json(head(tag), body)
}

/// An answer that is given whole, or is sent batch by batch.
pub(super) enum Answer<'c> {
    Whole(Reply<'c>),
    InPieces(Pin<Box<dyn Future<Output = Result<()>> + Send + 'c>>),
}

impl Future for Answer<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut *self {
            Answer::Whole(reply) => Pin::new(reply).poll(cx),
            Answer::InPieces(rest) => rest.as_mut().poll(cx),
        }
    }
}

/// Answers with a batch and what is kept behind it. If that is all, the answer goes out whole. Else it goes out batch by
/// batch, so that a client that reads slowly keeps one of them in memory and not the history.
pub(super) fn answer<'c>(ex: Exchange<'c>, hub: &Hub, news: Subscription, batch: Batch) -> Answer<'c> {
    let last = hub.last();
    if batch.next < last {
        return Answer::InPieces(Box::pin(send_batches(ex, news, batch, last)));
    }
    let answer = ready(&batch).unwrap_or_else(|| {
        let tag = tag(batch.next);
        let body = whole(&batch.messages, &tag, batch.gap, news.is_done());
        json(head(tag), body)
    });
    Answer::Whole(ex.reply(answer))
}

/// Sends a batch and what is kept behind it, up to `last`. That is the cursor in the head: the answer has all up to it, or
/// tells of a gap.
async fn send_batches(ex: Exchange<'_>, mut news: Subscription, batch: Batch, last: Id) -> Result<()> {
    let (tag, mut body, mut any, mut gap) = (tag(last), START.to_vec(), false, None);
    let mut stream = ex.stream(json(head(tag.clone()), Vec::new())).await?;
    let mut more = Some(batch);
    while let Some(mut batch) = more {
        gap = gap.max(batch.gap);
        batch.messages.retain(|message| message.id() <= last);
        push_messages(&batch.messages, &mut any, &mut body);
        let next = batch.next;
        stream.push(&body)?;
        // Its copy is enough while the client reads.
        drop((batch, core::mem::take(&mut body)));
        stream.flush().await?;
        more = if next < last { news.try_next() } else { None };
    }
    // An end behind the answer's cursor is for the next one to tell.
    push_end(&tag, gap, news.is_done() && news.cursor() <= last, &mut body);
    stream.write(&body).await?;
    stream.finish().await
}

/// The answer with one message, if that is all there is: made once for all who wait for it.
fn ready(batch: &Batch) -> Option<Response> {
    let ([message], None) = (&*batch.messages, batch.gap) else { return None };
    // The end of a topic may be the end of all, which is said of each reader by itself.
    if message.id() != batch.next || message.is_end() {
        return None;
    }
    let Ready(answer) = message.kept(|message| {
        let tag = tag(message.id());
        let body = whole(&batch.messages, &tag, None, false);
        let bytes = size_of::<Ready>() + 2 * tag.len() + body.len() + 128;
        (Ready(json(head(tag), body).shared()), bytes)
    })?;
    Some(answer.clone())
}

/// The answer that a message has ready. A type of its own, since a program may keep responses of its own with a message.
struct Ready(Response);

/// How an answer's body starts.
const START: &[u8] = b"{\"messages\":[";

/// The body of an answer that goes out whole.
fn whole(messages: &[Arc<Published>], tag: &str, gap: Option<Id>, done: bool) -> Vec<u8> {
    let frames = messages.iter().map(|message| message.frame(Frame::Json, message_json).len() + 1);
    // What stands around the messages takes 56 bytes at most, and the id of a gap 43.
    let mut body = Vec::with_capacity(frames.sum::<usize>() + tag.len() + gap.map_or(56, |_| 99));
    body.extend_from_slice(START);
    push_messages(messages, &mut false, &mut body);
    push_end(tag, gap, done, &mut body);
    body
}

/// Appends messages. `any` says whether one was appended before; a batch may have none.
fn push_messages(messages: &[Arc<Published>], any: &mut bool, body: &mut Vec<u8>) {
    for message in messages {
        if core::mem::replace(any, true) {
            body.push(b',');
        }
        body.extend_from_slice(&message.frame(Frame::Json, message_json));
    }
}

/// Appends what stands behind the messages.
fn push_end(next: &str, gap: Option<Id>, done: bool, body: &mut Vec<u8>) {
    let until = gap.map(tag);
    let gap = match &until {
        Some(until) => ["true,\"until\":", until],
        None => ["false", ""],
    };
    for part in ["],\"next\":", next, ",\"gap\":", gap[0], gap[1], if done { ",\"done\":true}" } else { "}" }]
    {
        body.extend_from_slice(part.as_bytes());
    }
}
