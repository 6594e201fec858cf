//! The cursor of a request: in its query, in `If-None-Match`, in `Last-Event-ID`.

use std::borrow::Cow;

use super::field::split_before;
use crate::{Fault, Head, Hub, Id, Result};

/// The cursor in `?after=`.
pub(super) fn after(head: &Head) -> Result<Option<Id>> {
    let after = query(head, "after").map(|text| text.parse().map_err(|_| Fault::Cursor));
    Ok(after.transpose()?)
}

/// The cursor of a poll, and whether it came by `If-None-Match`: then the client understands a 304.
pub(super) fn poll_cursor(head: &Head, hub: &Hub) -> Result<(Option<Id>, bool)> {
    if let Some(id) = after(head)? {
        return Ok((Some(id), false));
    }
    let tagged = tagged(head, hub);
    Ok((tagged, tagged.is_some()))
}

/// The cursor of an event stream. One that can't be read is a gap: an EventSource never comes back from a 400.
pub(super) fn stream_cursor(head: &Head) -> Option<Id> {
    let cursor = |text: &str| text.parse().unwrap_or(Id::MAX);
    if let Some(value) = head.values("last-event-id").find(|value| !value.is_empty()) {
        return Some(cursor(&String::from_utf8_lossy(value)));
    }
    let text = ["last_event_id", "lastEventId", "after"].iter().find_map(|name| query(head, name))?;
    Some(cursor(&text))
}

/// The first value of `name` in the query that is not empty: a page that has no cursor yet sends an empty one.
fn query<'a>(head: &'a Head, name: &str) -> Option<Cow<'a, str>> {
    head.queries(name).find(|value| !value.is_empty())
}

/// The cursor in `If-None-Match` (RFC 9110, 13.1.2): the newest tag that this log can have given out. If there are only
/// others, it is one of them, so a gap.
fn tagged(head: &Head, hub: &Hub) -> Option<Id> {
    let mut tags = head.values("if-none-match").flat_map(tags).peekable();
    tags.peek()?;
    let last = hub.last();
    let id = |tag| match tag {
        // Whatever there is now.
        Tag::Any => last,
        Tag::Opaque(tag) => tag_id(&String::from_utf8_lossy(tag)).unwrap_or(Id::MAX),
    };
    tags.map(id).max_by_key(|id| (*id <= last, *id))
}

/// The id in an entity tag of ours. A proxy that compresses may have added an ending to it, such as `-gzip`.
fn tag_id(tag: &str) -> Option<Id> {
    let seq = tag.split_once('-').map_or("", |(_, seq)| seq);
    let ending = seq.trim_start_matches(|c: char| c.is_ascii_digit());
    tag.strip_suffix(ending)?.parse().ok()
}

/// An element of `If-None-Match`.
enum Tag<'a> {
    /// `*`, which every tag matches.
    Any,
    /// What stands between the quotes of an entity tag.
    Opaque(&'a [u8]),
}

/// The elements of a value of `If-None-Match`: entity tags, weak or not (RFC 9110, 8.8.3).
fn tags(mut list: &[u8]) -> impl Iterator<Item = Tag<'_>> {
    core::iter::from_fn(move || {
        let tag;
        (tag, list) = split_tag(list)?;
        Some(tag)
    })
}

/// Splits the first element off; an empty one is skipped (RFC 9110, 5.6.1.2).
fn split_tag(list: &[u8]) -> Option<(Tag<'_>, &[u8])> {
    let start = list.iter().position(|b| !matches!(b, b',' | b' ' | b'\t'))?;
    let element = &list[start..];
    let tag = element.strip_prefix(b"W/").unwrap_or(element);
    if let Some(quoted) = tag.strip_prefix(b"\"") {
        // A comma between the quotes belongs to the tag. What stands behind them a proxy has added.
        let (tag, rest) = split_before(quoted, b'"');
        return Some((Tag::Opaque(tag), split_before(rest, b',').1));
    }
    let (tag, rest) = split_before(tag, b',');
    match tag.trim_ascii_end() {
        b"*" => Some((Tag::Any, rest)),
        // Not legal, but as people write it by hand.
        tag => Some((Tag::Opaque(tag), rest)),
    }
}
