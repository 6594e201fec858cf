//! Short poll: what is new, at once.

use std::io::Write;

use super::{message_json, poll_cursor};
use crate::{Batch, Exchange, Frame, Hub, Id, Response, Result, Subscription};

/// Answers at once with what is kept behind the request's cursor, as
/// `{"messages":[{"id","topic","data"}],"next":ID,"gap":bool}` with `ETag: "ID"`; without a cursor with all that
/// is kept. Nothing new is 304 if the cursor came by `If-None-Match`, else 200 with no messages.
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
        None => nothing(ex, news.cursor(), conditional, None).await,
    }
}

/// The head of a poll's answer.
fn head(next: Id, reason: Option<&'static str>) -> Response {
    let head = Response::new(200).header("Cache-Control", "no-store").header("ETag", format!("\"{next}\""));
    match reason {
        Some(reason) => head.header("Tidings-Reason", reason),
        None => head,
    }
}

/// Answers that nothing is new.
pub(super) async fn nothing(
    ex: Exchange<'_>,
    next: Id,
    conditional: bool,
    reason: Option<&'static str>,
) -> Result<()> {
    let head = head(next, reason);
    if conditional {
        return ex.reply(head.with_status(304)).await;
    }
    let body = format!(r#"{{"messages":[],"next":"{next}","gap":false}}"#);
    ex.reply(head.header("Content-Type", "application/json").body(body.into_bytes())).await
}

/// Answers with a batch and what else there is. One batch goes out whole; more go out one by one, so that a
/// peer that reads slowly pins one of them and not the history.
pub(super) async fn answer(
    ex: Exchange<'_>,
    hub: &Hub,
    mut news: Subscription,
    mut batch: Batch,
    reason: Option<&'static str>,
) -> Result<()> {
    let (last, mut body, mut gap) = (hub.last(), b"{\"messages\":[".to_vec(), batch.gap);
    let mut more = news.try_next();
    if more.is_none() {
        let next = batch.next;
        body.reserve_exact(batch_size(&batch) + END);
        push_messages(&batch, &mut body);
        push_end(next, gap, &mut body);
        return ex.reply(head(next, reason).header("Content-Type", "application/json").body(body)).await;
    }
    // The cursor goes out first: all up to here, or a gap.
    let mut stream = ex.stream(head(last, reason).header("Content-Type", "application/json")).await?;
    loop {
        batch.messages.retain(|message| message.id() <= last);
        push_messages(&batch, &mut body);
        stream.write(&body).await?;
        match more.filter(|_| batch.next < last) {
            Some(next) => (batch, body) = (next, vec![b',']),
            None => break,
        }
        gap |= batch.gap;
        more = news.try_next();
    }
    body.clear();
    push_end(last, gap, &mut body);
    stream.write(&body).await?;
    stream.finish().await
}

/// Room for the end of an answer's body.
const END: usize = 80;

/// About how many bytes the messages of a batch take.
fn batch_size(batch: &Batch) -> usize {
    batch.messages.iter().map(|message| message.frame(Frame::Json, message_json).len() + 1).sum()
}

fn push_messages(batch: &Batch, body: &mut Vec<u8>) {
    for (place, message) in batch.messages.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(message.frame(Frame::Json, message_json));
    }
}

fn push_end(next: Id, gap: bool, body: &mut Vec<u8>) {
    // Writing to a Vec can't fail.
    let _ = write!(body, r#"],"next":"{next}","gap":{gap}}}"#);
}
