//! Values of header fields, and where they are split.

/// Splits in front of the first `byte`, or at the end.
pub(super) fn split_before(bytes: &[u8], byte: u8) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|b| *b == byte).unwrap_or(bytes.len()))
}

/// Splits at each `separator` that stands in no quoted string (RFC 9110, 5.6.4).
pub(super) fn split_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut place = Place::Plain;
    text.split(move |byte| {
        let at = matches!(place, Place::Plain) && *byte == separator;
        place = match (&place, byte) {
            (Place::Plain, b'"') | (Place::Escaped, _) => Place::Quoted,
            (Place::Quoted, b'"') => Place::Plain,
            (Place::Quoted, b'\\') => Place::Escaped,
            (Place::Plain, _) => Place::Plain,
            (Place::Quoted, _) => Place::Quoted,
        };
        at
    })
}

/// Where a byte of a field value stands.
enum Place {
    /// Outside of quotes.
    Plain,
    /// In a quoted string.
    Quoted,
    /// Behind a backslash in a quoted string.
    Escaped,
}
