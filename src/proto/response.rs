//! [`Response`], and how it is encoded: the status line, the header fields, the framing of its body.

use core::fmt::Display;
use std::borrow::Cow;

use super::content::Content;
use super::field_lines::FieldLines;
use super::headers::Headers;
use super::version::Version;
use crate::error::{Error, Fault, Result};

/// A response to a request: a status, header fields, a body.
///
/// The connection writes `Content-Length`, `Transfer-Encoding` and `Date` itself. A response to which one of them was added
/// is refused with [`Error::Misuse`] when it is to be written. So is a response with a field that is not legal, so that no
/// value from a client can split a response.
///
/// # Examples
///
/// ```
/// use tidings::Response;
///
/// let answer = Response::text("21.5").header("Cache-Control", "no-store");
/// assert_eq!(answer.status(), 200);
/// ```
#[derive(Clone, Debug)]
pub struct Response {
    /// 200 to 599.
    status: u16,
    pub(crate) headers: Headers,
    /// Why the response can't be written, if a field was added that is not legal.
    misuse: Option<&'static str>,
    /// The body of a whole response; empty in a streamed one.
    content: Content,
}

const TEXT: FieldLines = FieldLines::new("Content-Type: text/plain; charset=utf-8\r\n");

const HTML: FieldLines = FieldLines::new("Content-Type: text/html; charset=utf-8\r\n");

const JSON: FieldLines = FieldLines::new("Content-Type: application/json\r\n");

/// How the body of a response is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// There is no body, since the status has none.
    None,
    /// The body has this `Content-Length`.
    Length(usize),
    /// The body has `Transfer-Encoding: chunked`.
    Chunked,
    /// The body lasts until the connection closes, for HTTP/1.0.
    UntilClose,
}

impl Response {
    /// A response with this status, 200 to 599, and no body. Another status is refused with [`Error::Misuse`] when the
    /// response is to be written.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(tidings::Response::new(404).status(), 404);
    /// ```
    pub fn new(status: u16) -> Response {
        Response { status, headers: Headers::EMPTY, misuse: None, content: Content::EMPTY }
    }

    /// A 200 with plain text (`text/plain; charset=utf-8`).
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(tidings::Response::text(42).status(), 200);
    /// ```
    pub fn text(text: impl Display) -> Response {
        Response::with_type(&TEXT, text.to_string().into_bytes())
    }

    /// A 200 with a page (`text/html; charset=utf-8`).
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(tidings::Response::html("<p>hello").status(), 200);
    /// ```
    pub fn html(html: impl Into<Cow<'static, str>>) -> Response {
        Response::with_type(&HTML, html.into())
    }

    /// A 200 with JSON that is already text (`application/json`).
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(tidings::Response::json(r#"{"ok":true}"#).status(), 200);
    /// ```
    pub fn json(json: impl Into<String>) -> Response {
        Response::with_type(&JSON, json.into().into_bytes())
    }

    fn with_type(kind: &FieldLines, body: impl Into<Content>) -> Response {
        Response::new(200).field_lines(kind).body(body)
    }

    /// The response that tells a client of its fault. The connection closes after it.
    pub(crate) fn fault(fault: Fault) -> Response {
        let answer = Response::error(fault.status(), fault);
        match fault {
            // RFC 9110, 15.5.22 and RFC 6455, 4.4.
            Fault::UpgradeRequired | Fault::WebSocketVersion => answer
                .header("Sec-WebSocket-Version", "13")
                .header("Upgrade", "websocket")
                .header("Connection", "Upgrade"),
            _ => answer,
        }
    }

    /// A response with a status and one sentence.
    pub(crate) fn error(status: u16, sentence: impl Display) -> Response {
        Response { status, ..Response::text(format_args!("{sentence}\n")) }
            .header("Cache-Control", "no-store")
    }

    /// Changes the status.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(tidings::Response::text("made").with_status(201).status(), 201);
    /// ```
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Response {
        self.status = status;
        self
    }

    /// Adds a header field. A field of which a response has one at most (`Content-Type`, `ETag`, `Location` and the like)
    /// replaces an earlier one of that name, also one that a constructor has set.
    ///
    /// # Examples
    ///
    /// ```
    /// let page = tidings::Response::text("a,b\n1,2\n").header("Content-Type", "text/csv");
    /// let see_other = tidings::Response::new(303).header("Location", "/");
    /// ```
    #[must_use]
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Response {
        self.add(&name.into(), &value.into());
        self
    }

    /// Adds fields that were checked when the program was compiled, which takes less time; see [`FieldLines`]. Of a field of
    /// which a response has one at most, the one that is there already stays.
    ///
    /// # Examples
    ///
    /// See [`FieldLines`].
    #[must_use]
    pub fn field_lines(mut self, fields: &FieldLines) -> Response {
        self.headers.add_lines(fields);
        self
    }

    fn add(&mut self, name: &str, value: &str) {
        if let Err(Error::Misuse(why)) = self.headers.add(name, value) {
            self.misuse = Some(why);
        }
    }

    /// Sets the body: text or bytes that are static, owned or shared. They are written from where they are; see
    /// [`Content`].
    ///
    /// # Examples
    ///
    /// ```
    /// let icon = tidings::Response::new(200).header("Content-Type", "image/png").body(&b"\x89PNG"[..]);
    /// ```
    #[must_use]
    pub fn body(mut self, body: impl Into<Content>) -> Response {
        self.content = body.into();
        self
    }

    /// Makes a clone of the response cheap: its fields and its body are shared then.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::Response;
    ///
    /// // Each request for the page is answered with a clone.
    /// let page = Response::text("# Hello\n").header("Content-Type", "text/markdown").shared();
    /// let answer = page.clone();
    /// ```
    #[must_use]
    pub fn shared(mut self) -> Response {
        self.headers.share();
        self.content.share();
        self
    }

    /// The status.
    ///
    /// # Examples
    ///
    /// ```
    /// let answer = tidings::Response::text("made").with_status(201);
    /// assert!((200..300).contains(&answer.status()));
    /// ```
    pub fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn content(&self) -> &[u8] {
        self.content.bytes()
    }

    pub(super) fn into_content(self) -> Content {
        self.content
    }

    /// Whether this status has a body at all (RFC 9110, 6.4.1).
    pub(super) fn may_have_content(&self) -> bool {
        !matches!(self.status, 100..=199 | 204 | 304)
    }

    /// Whether the handler has asked for the connection to be closed.
    pub(super) fn asks_to_close(&self) -> bool {
        self.headers.closes()
    }

    /// About how many bytes the head takes (the fields, and some for the status line, the date and the framing), so that the
    /// write buffer need not grow step by step.
    pub(super) fn head_size(&self) -> usize {
        160 + self.headers.lines().len()
    }

    /// Checks that this response may be written.
    fn check(&self) -> Result<()> {
        if !matches!(self.status, 200..=599) {
            return Err(Error::Misuse("a status must be 200 to 599"));
        }
        if let Some(why) = self.misuse {
            return Err(Error::Misuse(why));
        }
        if (!self.may_have_content() || self.status == 205) && !self.content().is_empty() {
            return Err(Error::Misuse("this status has no body"));
        }
        Ok(())
    }

    /// Appends the head to `out`; on an error, `out` is as it was.
    pub(super) fn write_head(
        &self,
        coding: Coding,
        end: Persistence,
        date: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.check()?;
        push_status_line(self.status, out);
        out.extend_from_slice(self.headers.lines().as_bytes());
        if let Some(date) = date {
            push_field("Date", date, out);
        }
        let added = match end {
            Persistence::Default => "",
            Persistence::KeepAlive => "keep-alive",
            Persistence::Close => "close",
        };
        if !added.is_empty() || self.headers.has_options() {
            push_field("Connection", &self.headers.connection(added), out);
        }
        match coding {
            Coding::Length(length) => {
                out.extend_from_slice(b"Content-Length: ");
                push_number(length as u64, out);
                out.extend_from_slice(b"\r\n");
            }
            Coding::Chunked => push_field("Transfer-Encoding", "chunked", out),
            Coding::None | Coding::UntilClose => {}
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// What the response says about the connection after it (RFC 9112, 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// The connection persists, which is the default of HTTP/1.1.
    Default,
    /// The connection persists, and a client of HTTP/1.0 has to be told so.
    KeepAlive,
    /// The connection closes.
    Close,
}

impl Persistence {
    /// What to say to a client of this version; `keep` is whether the connection persists.
    pub(super) fn of(keep: bool, version: Version) -> Persistence {
        match (keep, version) {
            (false, _) => Persistence::Close,
            (true, Version::Http10) => Persistence::KeepAlive,
            (true, Version::Http11) => Persistence::Default,
        }
    }
}

fn push_status_line(status: u16, out: &mut Vec<u8>) {
    match status {
        // The usual one in one piece.
        200 => out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
        _ => {
            out.extend_from_slice(b"HTTP/1.1 ");
            push_number(status.into(), out);
            out.push(b' ');
            out.extend_from_slice(reason(status).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

pub(super) fn push_field(name: &str, value: &str, out: &mut Vec<u8>) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends one chunk (RFC 9112, 7.1). Empty data appends nothing: an empty chunk would end the body.
pub(crate) fn push_chunk(data: &[u8], out: &mut Vec<u8>) {
    if !data.is_empty() {
        // Make room once: the size has at most 16 digits, and two CRLFs follow.
        out.reserve(data.len() + 20);
        push_hex(data.len(), out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

/// The data of a chunk that [`push_chunk`] has made; `None` if this is no such chunk.
pub(super) fn chunk_data(chunk: &[u8]) -> Option<&[u8]> {
    let Some(digits) = chunk.iter().position(|b| *b == b'\r') else {
        return chunk.is_empty().then_some(chunk);
    };
    let size = chunk[..digits].iter().try_fold(0, |size: usize, digit| {
        let digit = char::from(*digit).to_digit(16)? as usize;
        size.checked_mul(16)?.checked_add(digit)
    });
    let data = chunk[digits..].strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")?;
    (size == Some(data.len()) && !data.is_empty()).then_some(data)
}

fn push_hex(number: usize, out: &mut Vec<u8>) {
    if number >= 16 {
        push_hex(number / 16, out);
    }
    out.push(b"0123456789abcdef"[number % 16]);
}

/// The reason phrase (RFC 9110, 15, and RFC 6585); empty for a status without one.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400..=499 => client_reason(status),
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => "",
    }
}

fn client_reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        _ => "",
    }
}

fn push_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_would_split_the_response_is_refused() {
        for (name, value) in [("X", "a\r\nY: b"), ("X\r\n", "a"), ("", "a"), ("X", "a\0"), ("Date", "now")] {
            let mut out = Vec::new();
            let answer = Response::new(200).header(name, value);
            let written = answer.write_head(Coding::Length(0), Persistence::Default, None, &mut out);
            assert!(matches!(written, Err(Error::Misuse(_))), "{name}: {value}");
            assert!(out.is_empty());
        }
    }

    #[test]
    fn a_fault_is_told_by_its_sentence() {
        let answer = Response::fault(Fault::Handshake(crate::error::HandshakeFault::Key));
        assert_eq!(answer.content(), b"Sec-WebSocket-Key must be there once, and be 16 bytes in base64\n");
    }

    #[test]
    fn chunks_have_their_length_in_hex() {
        let mut out = Vec::new();
        push_chunk(&[b'a'; 26], &mut out);
        push_chunk(b"", &mut out);
        assert_eq!(out, [&b"1a\r\n"[..], &[b'a'; 26], b"\r\n"].concat());
    }

    #[test]
    fn the_data_of_a_chunk_is_what_it_was_made_of() {
        for length in [0, 1, 9, 10, 15, 16, 255, 256, 70_000] {
            let (data, mut chunk) = (vec![b'\n'; length], Vec::new());
            push_chunk(&data, &mut chunk);
            assert_eq!(chunk_data(&chunk), Some(&data[..]));
        }
        for other in
            ["a", "\r\n", "0\r\n\r\n", "1\r\nab\r\n", "2\r\na\r\n", "g\r\na\r\n", "1\na\r\n", "1\r\na"]
        {
            assert_eq!(chunk_data(other.as_bytes()), None, "{other:?}");
        }
        let endless = "f".repeat(17) + "\r\na\r\n";
        assert_eq!(chunk_data(endless.as_bytes()), None);
    }
}
