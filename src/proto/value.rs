//! [`Value`]: the value of a field that says something about the connection or the body. It is judged as it arrives, so that
//! it is refused by the byte that makes it wrong.

use super::text::is_blank;
use super::uri::Authority;
use crate::error::Fault;

/// The value of a field as far as it is judged.
///
/// The variants say whose value it is, and what may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A field that says nothing about the connection or the body.
    Other,
    /// `Connection`, of which no value is wrong.
    Connection,
    /// `Host`, which may be empty.
    Host(Authority),
    /// `Host`: the blanks behind the host.
    HostEnd,
    /// `Content-Length`: the number that its digits make; `None` before the first digit.
    Length(Option<u64>),
    /// `Content-Length`: the blanks behind this number.
    LengthEnd(u64),
    /// `Transfer-Encoding`: the current element, and whether there is one before it.
    Coding(Element, bool),
    /// `Expect`: the current element, and whether an element before it is `100-continue`.
    Expect(Element, bool),
}

impl Value {
    /// Judges further bytes of the value. Returns how many of them are judged for good.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut judged = 0;
        if let Value::Host(authority) = self {
            let end;
            (judged, end) = authority.read(bytes);
            let Some(end) = end else { return Ok(judged) };
            if end != judged || !authority.may_end() {
                return Err(Fault::Host);
            }
            *self = Value::HostEnd;
        }
        for byte in &bytes[judged..] {
            *self = self.after(*byte)?;
        }
        Ok(bytes.len())
    }

    fn after(self, byte: u8) -> Result<Value, Fault> {
        match (self, byte) {
            (Value::Host(_) | Value::HostEnd, b' ' | b'\t') => Ok(Value::HostEnd),
            (Value::Host(_) | Value::HostEnd, _) => Err(Fault::Host),
            (Value::Length(Some(number)) | Value::LengthEnd(number), b' ' | b'\t') => {
                Ok(Value::LengthEnd(number))
            }
            (Value::Length(number), b'0'..=b'9') => {
                let number =
                    number.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(u64::from(byte - b'0')));
                // A number above 64 bits is no length of a body.
                number.map(|number| Value::Length(Some(number))).ok_or(Fault::ContentLength)
            }
            (Value::Length(_) | Value::LengthEnd(_), _) => Err(Fault::ContentLength),
            // Whether an unknown coding is a 501 or a 400 depends on the last coding (RFC 9112, 6.1 and 6.3), so it is
            // refused when the list is whole. An empty element is refused at once: not all parsers ignore it.
            (Value::Coding(first, false), b',') if first.is_empty() || first.is_whole(CHUNKED) => {
                Err(Fault::TransferEncoding)
            }
            (Value::Coding(..), b',') => Ok(Value::Coding(Element::EMPTY, true)),
            (Value::Coding(element, listed), _) => Ok(Value::Coding(element.after(byte, CHUNKED), listed)),
            (Value::Expect(element, before), b',') => {
                Ok(Value::Expect(Element::EMPTY, expects(element, before)?))
            }
            (Value::Expect(element, before), _) => match element.after(byte, CONTINUE) {
                Element(None) => Err(Fault::Expectation),
                element => Ok(Value::Expect(element, before)),
            },
            (Value::Other | Value::Connection, _) => Ok(self),
        }
    }
}

/// The one coding that is known here.
pub(super) const CHUNKED: &[u8] = b"chunked";

/// The one expectation that is known here.
const CONTINUE: &[u8] = b"100-continue";

/// Whether this element or one before it is `100-continue`. Empty elements are ignored (RFC 9110, 5.6.1.2).
pub(super) fn expects(element: Element, before: bool) -> Result<bool, Fault> {
    match element.is_empty() {
        true => Ok(before),
        false if element.is_whole(CONTINUE) => Ok(true),
        false => Err(Fault::Expectation),
    }
}

/// An element of a list as far as it has arrived: so many bytes of the one known word, or `None` for another word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element(Option<u8>);

impl Element {
    pub(super) const EMPTY: Element = Element(Some(0));

    pub(super) fn is_empty(self) -> bool {
        self == Element::EMPTY
    }

    pub(super) fn is_whole(self, known: &[u8]) -> bool {
        self.0.is_some_and(|length| usize::from(length) == known.len())
    }

    fn after(self, byte: u8, known: &[u8]) -> Element {
        let Some(length) = self.0 else { return self };
        Element(match known.get(usize::from(length)) {
            Some(expected) if expected.eq_ignore_ascii_case(&byte) => Some(length + 1),
            Some(_) if length > 0 => None,
            // Blanks may stand around the word.
            _ => is_blank(byte).then_some(length),
        })
    }
}
