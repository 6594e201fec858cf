//! [`Facts`]: what the header fields of a request say about the connection and the body.

use super::body::Framing;
use super::text::elements;
use super::uri::Authority;
use super::value::{CHUNKED, Element, Value, expects};
use super::version::Version;
use crate::error::Fault;

/// What the header fields say about the connection and the body, gathered field by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) version: Version,
    /// Whether `Host` was there.
    host: bool,
    /// How the body is framed.
    pub(super) framing: Framing,
    /// Whether `Connection` has `close`.
    pub(super) close: bool,
    /// Whether `Connection` has `keep-alive`.
    pub(super) keep_alive: bool,
    /// Whether the client waits for a 100 before it sends the body.
    pub(super) expects_continue: bool,
}

impl Facts {
    pub(super) const fn new(version: Version) -> Facts {
        let framing = Framing::None;
        Facts { version, host: false, framing, close: false, keep_alive: false, expects_continue: false }
    }

    /// Begins the value of the field with this name, if such a field may stand here.
    pub(super) fn begin_value(&self, name: &[u8]) -> Result<Value, Fault> {
        // Most fields are told from these by the length of their name alone.
        let (known, value): (&[u8], _) = match name.len() {
            4 => (b"host", Value::Host(Authority::Start)),
            6 => (b"expect", Value::Expect(Element::EMPTY, false)),
            10 => (b"connection", Value::Connection),
            14 => (b"content-length", Value::Length(None)),
            17 => (b"transfer-encoding", Value::Coding(Element::EMPTY, false)),
            _ => return Ok(Value::Other),
        };
        if name.eq_ignore_ascii_case(known) { self.allow(value) } else { Ok(Value::Other) }
    }

    fn allow(&self, value: Value) -> Result<Value, Fault> {
        match (value, self.framing, self.version) {
            (Value::Host(_), _, _) if self.host => Err(Fault::Host),
            // RFC 9112, 6.3 lets us refuse a second `Content-Length` even if it is equal; and two that differ only in their
            // leading zeros may be different for another parser.
            (Value::Length(_), Framing::Length(_), _) => Err(Fault::ContentLength),
            (Value::Coding(..), Framing::Chunked, _) => Err(Fault::TransferEncoding),
            (Value::Coding(..), _, Version::Http10) => Err(Fault::TransferEncoding),
            (Value::Length(_), Framing::Chunked, _) => Err(Fault::TwoFramings),
            (Value::Coding(..), Framing::Length(_), _) => Err(Fault::TwoFramings),
            // In HTTP/1.0, `Expect` must be ignored (RFC 9110, 10.1.1).
            (Value::Expect(..), _, Version::Http10) => Ok(Value::Other),
            (value, _, _) => Ok(value),
        }
    }

    /// Takes a whole value into account. `bytes` is the value, of which `judged` bytes are judged.
    pub(super) fn finish_value(&mut self, value: Value, judged: usize, bytes: &[u8]) -> Result<(), Fault> {
        match value {
            // The value ends within an address, or within a `%XX`.
            Value::Host(_) if judged < bytes.len() => return Err(Fault::Host),
            // A client sends an empty `Host` for a URI without an authority (RFC 9112, 3.2).
            Value::Host(_) | Value::HostEnd => self.host = true,
            Value::Length(Some(length)) | Value::LengthEnd(length) => self.framing = Framing::Length(length),
            Value::Length(None) => return Err(Fault::ContentLength),
            Value::Coding(last, listed) => self.framing = coding(last.is_whole(CHUNKED), listed)?,
            Value::Expect(last, before) => self.expects_continue |= expects(last, before)?,
            Value::Connection => {
                self.close |= elements(bytes).any(|e| e.eq_ignore_ascii_case(b"close"));
                self.keep_alive |= elements(bytes).any(|e| e.eq_ignore_ascii_case(b"keep-alive"));
            }
            Value::Other => {}
        }
        Ok(())
    }

    /// Checks what only the end of the head can show: whether a field is missing.
    pub(super) fn check_whole(&self) -> Result<(), Fault> {
        if self.version == Version::Http11 && !self.host { Err(Fault::Host) } else { Ok(()) }
    }
}

/// The framing of a `Transfer-Encoding`: `chunked`, once and alone (RFC 9112, 6.1).
fn coding(ends_chunked: bool, listed: bool) -> Result<Framing, Fault> {
    match (ends_chunked, listed) {
        (true, false) => Ok(Framing::Chunked),
        (true, true) => Err(Fault::UnknownCoding),
        (false, _) => Err(Fault::TransferEncoding),
    }
}
