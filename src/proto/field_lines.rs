//! [`FieldLines`]: header fields that are the same in each response, checked when the program is compiled.

use super::class::TOKEN;
use super::field_kind::{Kind, kind};
use super::text::is_value_byte;

/// Header fields that are the same in each response: checked once, when the program is compiled, and written as they are.
///
/// # Examples
///
/// ```
/// use tidings::{FieldLines, Response};
///
/// const JSON: FieldLines = FieldLines::new("Content-Type: application/json\r\nCache-Control: no-store\r\n");
///
/// let answer = Response::new(200).field_lines(&JSON).body(r#"{"ok":true}"#);
/// ```
///
/// A field that is not legal does not compile:
///
/// ```compile_fail
/// # use tidings::FieldLines;
/// const HALF: FieldLines = FieldLines::new("Content-Type");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FieldLines {
    pub(super) lines: &'static str,
    /// Which singletons are among the lines, a bit each.
    pub(super) singletons: u16,
}

impl FieldLines {
    /// The fields in these lines, each `NAME: VALUE` and CRLF.
    ///
    /// # Panics
    ///
    /// If a line is not legal, if a field is the connection's or the handshake's to write, or if it stands twice and must not;
    /// see [`Response`](crate::Response). In a `const`, as it is meant, that is an error of the compiler.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::FieldLines;
    /// const FRESH: FieldLines = FieldLines::new("Cache-Control: no-store\r\n");
    /// ```
    pub const fn new(lines: &'static str) -> FieldLines {
        let (bytes, mut at, mut singletons) = (lines.as_bytes(), 0, 0);
        while at < bytes.len() {
            let name = at;
            while at < bytes.len() && TOKEN.has(bytes[at]) {
                at += 1;
            }
            singletons = with(singletons, kind(bytes.split_at(at).0.split_at(name).1));
            assert!(
                at > name && at + 1 < bytes.len() && bytes[at] == b':' && bytes[at + 1] == b' ',
                "not NAME: VALUE"
            );
            at += 2;
            while at < bytes.len() && is_value_byte(bytes[at]) {
                at += 1;
            }
            assert!(
                at + 1 < bytes.len() && bytes[at] == b'\r' && bytes[at + 1] == b'\n',
                "a line does not end in CRLF"
            );
            at += 2;
        }
        FieldLines { lines, singletons }
    }
}

/// The singletons with one more field.
const fn with(singletons: u16, kind: Kind) -> u16 {
    match kind {
        Kind::Singleton(bit) => {
            assert!(singletons & bit == 0, "a field stands twice of which a response has one at most");
            singletons | bit
        }
        Kind::Other => singletons,
        Kind::Connection | Kind::Ours | Kind::Handshake => panic!("this field is not yours to set"),
    }
}
