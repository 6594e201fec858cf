//! What several parsers ask of bytes: whether they are a token, how many of them may stand in a value, the elements of a
//! list.

use super::class::{Class, TOKEN};

/// Bytes as text. The parser has proved that they are ASCII.
pub(super) fn ascii(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}

/// Whether these bytes are a token (RFC 9110, 5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && prefix_length(bytes, TOKEN) == bytes.len()
}

/// How many bytes at the front are of this class. Four bytes are looked up together, which takes half the instructions.
pub(super) fn prefix_length(bytes: &[u8], class: Class) -> usize {
    let mut rest = bytes;
    while let [a, b, c, d, tail @ ..] = rest {
        if !class.has_all(*a, *b, *c, *d) {
            break;
        }
        rest = tail;
    }
    let last = rest.iter().position(|b| !class.has(*b)).unwrap_or(rest.len());
    bytes.len() - rest.len() + last
}

/// Whether this byte may stand in a field value (RFC 9110, 5.5).
pub(super) const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// How many bytes at the front may stand in a field value. Values are most of a head, so eight bytes are looked at together.
pub(super) fn value_length(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((eight, tail)) = rest.split_first_chunk::<8>() {
        match first_control(u64::from_le_bytes(*eight)) {
            None => rest = tail,
            Some(place) if eight[place] == b'\t' => rest = &rest[place + 1..],
            Some(place) => return bytes.len() - rest.len() + place,
        }
    }
    let last = rest.iter().position(|b| !is_value_byte(*b)).unwrap_or(rest.len());
    bytes.len() - rest.len() + last
}

/// The place of the first of eight bytes that is below a blank, or is DEL. The first byte is in the lowest bits. (A
/// subtraction borrows from the bytes behind the one that it marks, so only the first mark can be relied on.)
const fn first_control(word: u64) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let delete = word ^ (ONES * 0x7f);
    let below = word.wrapping_sub(ONES * 0x20) & !word;
    let marks = (below | (delete.wrapping_sub(ONES) & !delete)) & (ONES * 0x80);
    if marks == 0 { None } else { Some(marks.trailing_zeros() as usize / 8) }
}

/// Whether this byte is a space or a tab (RFC 9110, 5.6.3); both are called blanks.
pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// How many bytes at the front are blanks.
pub(super) fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !is_blank(*b)).unwrap_or(bytes.len())
}

/// The elements of a list, without the blanks around them (RFC 9110, 5.6.1).
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_at_the_first_byte_that_cannot_stand_in_it() {
        for length in 0..20 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    for others in [b'a', b' ', b'\t', 0xff] {
                        let mut bytes = vec![others; length];
                        bytes[place] = byte;
                        let expected = if is_value_byte(byte) { length } else { place };
                        assert_eq!(value_length(&bytes), expected, "{byte} at {place} of {length}");
                    }
                }
            }
        }
    }
}
