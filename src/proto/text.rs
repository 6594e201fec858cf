//! What all of this folder asks of bytes: is it a token, a value, where it stands, the elements of a list.

use core::ops::Range;

use super::class::TOKEN;

/// Text of which the parser has proved that it is ASCII.
pub(super) fn ascii(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}

/// Where `part`, a slice of `whole`, stands in it.
pub(super) fn place(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

/// Is this a token (RFC 9110, 5.6.2)?
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| TOKEN.has(*b))
}

/// May this stand in a field value (RFC 9110, 5.5)?
pub(super) const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Splits a list at its commas, without the blanks (RFC 9110, 5.6.1).
pub(super) fn elements(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii)
}
