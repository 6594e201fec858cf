//! [`Value`]: the value of a field that says something about the connection or the body, judged as it comes, so that
//! what no byte can mend any more is refused at once.

use super::text::is_blank;
use super::uri::Authority;
use crate::error::Fault;

/// The value of a field as far as it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Of a field that says nothing here.
    Other,
    /// A `Connection`: it is never wrong.
    Connection,
    /// A `Host`, which may be empty.
    Host(Authority),
    /// The blanks behind a host.
    HostEnd,
    /// The number that the digits of a `Content-Length` make; `None` before the first.
    Length(Option<u64>),
    /// The blanks behind that number.
    LengthEnd(u64),
    /// A `Transfer-Encoding`: an element, and whether there is one before it.
    Coding(Element, bool),
    /// An `Expect`: an element, and whether `100-continue` is one before it.
    Expect(Element, bool),
}

impl Value {
    /// Judges what comes next, behind the blanks before the value. Returns how much of it is judged for good.
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
                // What no integer holds is no length either.
                number.map(|number| Value::Length(Some(number))).ok_or(Fault::ContentLength)
            }
            (Value::Length(_) | Value::LengthEnd(_), _) => Err(Fault::ContentLength),
            // Of an unknown coding only the last one says whether it is a 501 or a 400 (RFC 9112, 6.1 and 6.3), so it is
            // refused when the list is whole. An empty element is none that other parsers pass over as we would.
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

/// Whether `100-continue` is expected by this element or one before it. Empty ones are ignored (RFC 9110, 5.6.1.2).
pub(super) fn expects(element: Element, before: bool) -> Result<bool, Fault> {
    match element.is_empty() {
        true => Ok(before),
        false if element.is_whole(CONTINUE) => Ok(true),
        false => Err(Fault::Expectation),
    }
}

/// An element of a list as far as it has come: so many bytes of the word that is known, or another word.
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
            // Blanks stand around it.
            _ => is_blank(byte).then_some(length),
        })
    }
}
