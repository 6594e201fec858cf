//! What `Accept` says of event streams.

use super::field::{split_before, split_unquoted};
use crate::Head;

/// Whether `Accept` wishes for an event stream: whether a media range names it, with a weight above 0 (RFC 9110,
/// 12.4.2). `*/*` and `text/*` do not name it.
pub(super) fn accepts_events(head: &Head) -> bool {
    let ranges = head.values("accept").flat_map(|value| split_unquoted(value, b','));
    // The range with the most parameters decides (RFC 9110, 12.5.1).
    ranges.filter_map(wish).max().is_some_and(|(_, wished)| wished)
}

/// How many parameters a media range has that names event streams, and whether its weight is above 0.
fn wish(range: &[u8]) -> Option<(usize, bool)> {
    let mut parts = split_unquoted(range, b';').map(<[u8]>::trim_ascii);
    if !parts.next()?.eq_ignore_ascii_case(b"text/event-stream") {
        return None;
    }
    let mut parameters = 0;
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, value) = split_before(part, b'=');
        if name.trim_ascii().eq_ignore_ascii_case(b"q") {
            // What follows the weight is no parameter of the range.
            return Some((parameters, !is_zero(value)));
        }
        parameters += 1;
    }
    Some((parameters, true))
}

/// Whether this is `=0`, with up to any number of zeros behind a point.
fn is_zero(value: &[u8]) -> bool {
    let weight = value.strip_prefix(b"=").unwrap_or(value).trim_ascii();
    weight.starts_with(b"0") && weight.iter().all(|b| matches!(b, b'0' | b'.'))
}
