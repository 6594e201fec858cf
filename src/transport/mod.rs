//! The four transports, each an ordinary function over the public API: copy one to change it.
//!
//! | | cursor | nothing new | gap |
//! | --- | --- | --- | --- |
//! | [`poll`] | `?after=ID`, else `If-None-Match: "ID"` | 304 or no messages, at once | `"gap":true` |
//! | [`long_poll`] | the same | the same, after [`Limits::poll_wait`](crate::Limits::poll_wait) | `"gap":true`, at once |
//! | [`sse`] | `Last-Event-ID`, else `?last_event_id=`, `?lastEventId=`, `?after=` | a heartbeat | `event: gap` |
//! | `websocket` | `?after=ID` | a ping | a frame with `"gap":true` |
//!
//! An id that one of them gave is a cursor for all of them. No cursor means from now on (short poll: all that is
//! kept), `earliest` means all that is kept.

mod any;
mod long_poll;
mod poll;
mod sse;
#[cfg(feature = "ws")]
mod ws;

pub use self::any::any;
pub use self::long_poll::long_poll;
pub use self::poll::poll;
pub use self::sse::sse;
#[cfg(feature = "ws")]
pub use self::ws::websocket;

use crate::{Batch, Fault, Head, Hub, Id, Published, Response, Result};

/// The cursor in `?after=`.
fn after(head: &Head) -> Result<Option<Id>> {
    let after = head.query("after").map(|text| text.parse().map_err(|_| Fault::Cursor));
    Ok(after.transpose()?)
}

/// The cursor of a poll, and whether it came by `If-None-Match`, so that 304 is understood.
fn poll_cursor(head: &Head, hub: &Hub) -> Result<(Option<Id>, bool)> {
    if let Some(id) = after(head)? {
        return Ok((Some(id), false));
    }
    let mut newest = None;
    for tag in values(head, "if-none-match").flat_map(tags) {
        // `*` is whatever there is now.
        let id = if tag == b"*" { hub.last() } else { cursor(tag) };
        newest = newest.max(Some(id));
    }
    Ok((newest, newest.is_some()))
}

/// The values of a field.
fn values<'a>(head: &'a Head, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    head.headers().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The opaque parts of a list of entity tags, weak or not (RFC 9110, 13.1.2).
fn tags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(|tag| {
        let tag = tag.trim_ascii();
        let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
        tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\"")).unwrap_or(tag)
    })
}

/// The cursor that these bytes are. One that can't be read is from elsewhere, so a gap.
fn cursor(text: &[u8]) -> Id {
    core::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(Id::MAX)
}

/// The cursor of an event stream: a 400 for one that can't be read would keep an EventSource away for ever.
fn stream_cursor(head: &Head) -> Option<Id> {
    // The field is empty for a client that has no id, and then the query may know one.
    if let Some(value) = values(head, "last-event-id").find(|value| !value.is_empty()) {
        return Some(cursor(value));
    }
    let query = |name: &&str| head.query(name).filter(|text| !text.is_empty());
    let text = ["last_event_id", "lastEventId", "after"].iter().find_map(query)?;
    Some(cursor(text.as_bytes()))
}

/// The JSON object of a message: `{"id":ID,"topic":TOPIC,"data":TEXT}`, with `event` and `key` if it has them.
fn message_json(message: &Published) -> Vec<u8> {
    let mut json = Vec::with_capacity(64 + message.data().len());
    let id = message.id().to_string();
    let members = [
        ("{\"id\":", Some(&*id)),
        (",\"topic\":", Some(message.topic())),
        (",\"event\":", message.event()),
        (",\"key\":", message.key()),
        (",\"data\":", Some(message.data())),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            json.extend_from_slice(name.as_bytes());
            push_json(value, &mut json);
        }
    }
    json.push(b'}');
    json
}

/// Appends text as a JSON string.
fn push_json(text: &str, out: &mut Vec<u8>) {
    // Writing a string to a Vec can't fail.
    let _ = serde_json::to_writer(out, text);
}

/// The JSON object that tells of a gap: the oldest message that is kept, and the cursor from which to go on.
fn gap_json(batch: &Batch) -> String {
    match batch.messages.first() {
        Some(oldest) => format!(r#"{{"gap":true,"oldest":"{}","next":"{}"}}"#, oldest.id(), batch.from),
        None => format!(r#"{{"gap":true,"oldest":null,"next":"{}"}}"#, batch.from),
    }
}

/// The topics of a request: those of `?topic=` if there are any, which must be among `allowed`.
fn chosen<'a>(head: &Head, allowed: &[&'a str]) -> Result<Vec<&'a str>> {
    let mut topics = Vec::new();
    for wanted in head.queries("topic") {
        let topic = allowed.iter().find(|topic| **topic == wanted).ok_or(Fault::Topic)?;
        // A head has room for a thousand repetitions.
        if !topics.contains(topic) {
            topics.push(*topic);
        }
    }
    Ok(if topics.is_empty() { allowed.to_vec() } else { topics })
}

/// The answer when no request can be held: come back later.
fn full(retry_after: String) -> Response {
    Response::text("too many requests are held, try later\n")
        .with_status(503)
        .header("Retry-After", retry_after)
        .header("Cache-Control", "no-store")
        .header("Tidings-Reason", "full")
}
