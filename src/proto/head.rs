//! Bytes to a [`Head`]: the request line is read here, the fields in `fields.rs`.

use core::ops::Range;
use std::borrow::Cow;

use super::body::Framing;
use super::class::TOKEN;
use super::fields::{Facts, Field, Fields};
use super::step::Step;
#[cfg(feature = "ws")]
use super::text::elements;
use super::text::{ascii, place};
use super::uri;
use super::version::Version;
use crate::error::Fault;
use crate::limits::Limits;

/// A request line and its header fields.
///
/// # Examples
///
/// ```
/// # use tidings::{Conn, Limits, Server};
/// # smol::block_on(async {
/// # let server = Server::new(Limits::DEFAULT);
/// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
/// #     b"GET /a%20b?x=1&x=2 HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n".to_vec()));
/// # let mut conn = Conn::new(io, &server);
/// # let exchange = conn.next().await?.expect("a request");
/// let head = exchange.head();
/// assert_eq!(head.method(), "GET");
/// assert_eq!(head.path(), "/a b");
/// assert_eq!(head.query("x").as_deref(), Some("1"));
/// assert_eq!(head.header("accept"), Some("text/html"));
/// # tidings::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The head as it came; everything below points into it.
    bytes: Vec<u8>,
    /// Where the method stands.
    method: Range<usize>,
    /// Where the request-target stands.
    target: Range<usize>,
    /// Where the path stands.
    path: Path,
    /// Where the raw query stands.
    query: Range<usize>,
    /// What the request line says, 1.x above 1.1 taken as 1.1.
    version: Version,
    /// Where the fields stand, in their order.
    fields: Vec<Field>,
    /// What the fields say about the connection and the body.
    facts: Facts,
}

/// A path: mostly it is just as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Path {
    /// It stands in the head.
    Here(Range<usize>),
    /// It was percent-encoded, or left out.
    Decoded(Box<str>),
}

impl Head {
    /// What an exchange shows that has given its head back.
    pub(crate) const EMPTY: Head = Head {
        bytes: Vec::new(),
        method: 0..0,
        target: 0..0,
        path: Path::Here(0..0),
        query: 0..0,
        version: Version::Http11,
        fields: Vec::new(),
        facts: Facts::new(Version::Http11),
    };

    /// Reads a head at the start of `input`; returns it with the number of bytes that it took.
    ///
    /// # Errors
    ///
    /// The first fault in the order of the bytes, however they were cut.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{Head, Limits, proto::Step};
    ///
    /// let input = b"GET / HTTP/1.1\r\nHost: h\r\n\r\nand more";
    /// let Step::Complete((head, taken)) = Head::parse(input, &Limits::DEFAULT)? else { panic!() };
    /// assert_eq!((head.path(), &input[taken..]), ("/", &b"and more"[..]));
    /// assert_eq!(Head::parse(&input[..20], &Limits::DEFAULT)?, Step::NeedMore);
    /// # Ok::<(), tidings::Fault>(())
    /// ```
    #[doc(hidden)]
    pub fn parse(input: &[u8], limits: &Limits) -> Result<Step<(Head, usize)>, Fault> {
        Ok(match Head::read(input, limits)? {
            Step::Complete((line, fields)) => {
                let used = fields.end;
                Step::Complete((Head::new(input[..used].to_vec(), line, fields), used))
            }
            Step::NeedMore => Step::NeedMore,
        })
    }

    /// Takes a head off the front of `input`.
    pub(super) fn take(input: &mut Vec<u8>, limits: &Limits) -> Result<Step<Head>, Fault> {
        let Step::Complete((line, fields)) = Head::read(input, limits)? else { return Ok(Step::NeedMore) };
        // Mostly nothing follows it, and then its bytes need not be copied. Else they must be: it would keep the room
        // of what follows.
        let bytes = match fields.end == input.len() {
            true => core::mem::take(input),
            false => input.drain(..fields.end).collect(),
        };
        Ok(Step::Complete(Head::new(bytes, line, fields)))
    }

    fn read(input: &[u8], limits: &Limits) -> Result<Step<(RequestLine, Fields)>, Fault> {
        // Places in a head are 32 bits wide.
        let most = limits.head.min(u32::MAX as usize);
        let window = &input[..input.len().min(most)];
        let start = match skip_empty_line(window)? {
            Step::Complete(start) => start,
            Step::NeedMore if window.len() == most => return Err(Fault::TargetTooLong),
            Step::NeedMore => return Ok(Step::NeedMore),
        };
        let line = match RequestLine::parse(window, start)? {
            Step::Complete(line) => line,
            Step::NeedMore if window.len() == most => return Err(Fault::TargetTooLong),
            Step::NeedMore => return Ok(Step::NeedMore),
        };
        match Fields::parse(window, line.end, line.version, limits)? {
            Step::Complete(fields) => Ok(Step::Complete((line, fields))),
            Step::NeedMore if window.len() == most => Err(Fault::HeadTooLarge),
            Step::NeedMore => Ok(Step::NeedMore),
        }
    }

    fn new(bytes: Vec<u8>, line: RequestLine, fields: Fields) -> Head {
        let RequestLine { method, target, version, .. } = line;
        let (path, query) = uri::split_target(&bytes[method.clone()], &bytes[target.clone()]);
        let path = match uri::decode(ascii(path), false) {
            Cow::Borrowed(_) if target.contains(&place(&bytes, path).start) => {
                Path::Here(place(&bytes, path))
            }
            decoded => Path::Decoded(decoded.into()),
        };
        let query = if query.is_empty() { 0..0 } else { place(&bytes, query) };
        Head { method, target, path, query, version, fields: fields.at, facts: fields.facts, bytes }
    }

    /// The method, as it came: methods are case-sensitive (RFC 9110, 9.1).
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"get / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// assert_eq!(ex.head().method(), "get");
    /// assert_ne!(ex.head().method(), "GET");
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn method(&self) -> &str {
        ascii(&self.bytes[self.method.clone()])
    }

    /// The request-target, as it came (RFC 9112, 3.2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET /a%2Fb?x=1 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// assert_eq!(ex.head().target(), "/a%2Fb?x=1");
    /// assert_eq!(ex.head().path(), "/a/b");
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn target(&self) -> &str {
        ascii(&self.bytes[self.target.clone()])
    }

    /// The path, percent-decoded; what is not UTF-8 in it is U+FFFD. `*` for OPTIONS of the whole server.
    ///
    /// An encoded slash is decoded as well: who tells `%2F` from `/` looks at [`target`](Head::target).
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET /caf%C3%A9/%FF?x=1 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// assert_eq!(ex.head().path(), "/café/\u{fffd}");
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn path(&self) -> &str {
        match &self.path {
            Path::Here(range) => ascii(&self.bytes[range.clone()]),
            Path::Decoded(path) => path,
        }
    }

    /// The first value of `name` in the query, decoded as a form is (`+` is a blank).
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET /?q=two+words&all HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// let head = ex.head();
    /// assert_eq!(head.query("q").as_deref(), Some("two words"));
    /// assert_eq!(head.query("all").as_deref(), Some(""));
    /// assert_eq!(head.query("page"), None);
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        self.queries(name).next()
    }

    /// All values of `name` in the query, in their order, decoded as a form is.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET /?topic=news&x=1&topic=weather HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// let topics: Vec<_> = ex.head().queries("topic").collect();
    /// assert_eq!(topics, ["news", "weather"]);
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn queries<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = Cow<'a, str>> + use<'a, 'n> {
        ascii(&self.bytes[self.query.clone()])
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(move |(key, _)| uri::decode(key, true) == name)
            .map(|(_, value)| uri::decode(value, true))
    }

    /// The value of the first field called `name`, in any case; `None` if there is none or it is not UTF-8.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.1\r\nHost: h\r\nX-Token: s3cret\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// assert_eq!(ex.head().header("x-token"), Some("s3cret"));
    /// assert_eq!(ex.head().header("Cookie"), None);
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.values(name).next()?;
        core::str::from_utf8(value).ok()
    }

    /// All fields in their order, repeated ones repeated.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.1\r\nHost: h\r\nVia: 1.1 a\r\nVia: 1.1 b\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// let via = ex.head().headers().filter(|(name, _)| name.eq_ignore_ascii_case("via"));
    /// let values: Vec<&[u8]> = via.map(|(_, value)| value).collect();
    /// assert_eq!(values, [b"1.1 a", b"1.1 b"]);
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| (ascii(self.part(field.name)), self.part(field.value)))
    }

    fn part(&self, (start, end): (u32, u32)) -> &[u8] {
        &self.bytes[start as usize..end as usize]
    }

    /// The version of the request.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server, Version};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// assert_eq!(ex.head().version(), Version::Http11);
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn version(&self) -> Version {
        self.version
    }

    /// All values of the fields called `name`.
    pub(crate) fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.headers().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The elements of the list that the fields called `name` make together, but for empty ones, which a recipient
    /// ignores (RFC 9110, 5.6.1.2).
    #[cfg(feature = "ws")]
    pub(crate) fn list<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.values(name).flat_map(elements).filter(|element| !element.is_empty())
    }

    /// How the body is framed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// use tidings::proto::body::Framing;
    ///
    /// assert_eq!(ex.head().framing(), Framing::Length(5));
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    #[doc(hidden)]
    pub fn framing(&self) -> Framing {
        self.facts.framing
    }

    /// Whether the client waits for a 100 before it sends the body.
    pub(crate) fn expects_continue(&self) -> bool {
        self.facts.expects_continue && self.facts.framing != Framing::None
    }

    /// Whether the client wants to go on after the answer (RFC 9112, 9.3).
    pub(crate) fn keep_alive(&self) -> bool {
        let Facts { version, close, keep_alive, .. } = self.facts;
        !close && (version == Version::Http11 || keep_alive)
    }

    /// The bytes that the head takes, for who counts them.
    pub(crate) fn len(&self) -> usize {
        let decoded = if let Path::Decoded(path) = &self.path { path.len() } else { 0 };
        self.bytes.len() + decoded
    }
}

/// Skips one empty line before the request line, as RFC 9112, 2.2 asks; a second one is a fault.
fn skip_empty_line(bytes: &[u8]) -> Result<Step<usize>, Fault> {
    match bytes {
        [] | [b'\r'] => Ok(Step::NeedMore),
        [b'\r', b'\n', ..] => Ok(Step::Complete(2)),
        [b'\r' | b'\n', ..] => Err(Fault::LineEnd),
        _ => Ok(Step::Complete(0)),
    }
}

struct RequestLine {
    method: Range<usize>,
    target: Range<usize>,
    version: Version,
    /// Where the fields begin.
    end: usize,
}

impl RequestLine {
    /// Reads the request line that begins at `start`. (httparse refuses 1.2 and takes a bare LF, so it is ours.)
    fn parse(bytes: &[u8], start: usize) -> Result<Step<RequestLine>, Fault> {
        let Some(method) = word(bytes, start, |b| TOKEN.has(b)) else { return Ok(Step::NeedMore) };
        let method = method?;
        if &bytes[method.clone()] == b"CONNECT" {
            return Err(Fault::Connect);
        }
        let Step::Complete(target) = parse_target(bytes, &method)? else { return Ok(Step::NeedMore) };
        match parse_version(&bytes[target.end + 1..])? {
            Step::Complete((version, len)) => {
                let end = target.end + 1 + len;
                Ok(Step::Complete(RequestLine { method, target, version, end }))
            }
            Step::NeedMore => Ok(Step::NeedMore),
        }
    }
}

/// Reads the request-target behind the method and its blank.
fn parse_target(bytes: &[u8], method: &Range<usize>) -> Result<Step<Range<usize>>, Fault> {
    let start = method.end + 1;
    let rest = bytes.get(start..).unwrap_or_default();
    let len = rest.iter().position(|b| !b.is_ascii_graphic()).unwrap_or(rest.len());
    // What has come is judged before what ends it, so that the verdict does not hang on the cut between them.
    let end = rest.get(len);
    if len == 0 && end.is_some() {
        return Err(Fault::RequestLine);
    }
    if !uri::is_target(&bytes[method.clone()], &rest[..len], end == Some(&b' ')) {
        return Err(Fault::Target);
    }
    match end {
        None => Ok(Step::NeedMore),
        Some(b' ') => Ok(Step::Complete(start..start + len)),
        Some(_) => Err(Fault::RequestLine),
    }
}

/// The word from `start` to the next blank. `None` if its end has not come; a fault if it is empty or has an
/// illegal byte.
fn word(bytes: &[u8], start: usize, legal: impl Fn(u8) -> bool) -> Option<Result<Range<usize>, Fault>> {
    let rest = bytes.get(start..)?;
    let len = rest.iter().position(|b| !legal(*b))?;
    if rest[len] == b' ' && len > 0 { Some(Ok(start..start + len)) } else { Some(Err(Fault::RequestLine)) }
}

/// Reads `HTTP/1.x CRLF`; returns the version and the bytes it took.
fn parse_version(bytes: &[u8]) -> Result<Step<(Version, usize)>, Fault> {
    let mut version = Version::Http11;
    for (place, expected) in b"HTTP/1.x\r\n".iter().enumerate() {
        let Some(byte) = bytes.get(place) else { return Ok(Step::NeedMore) };
        match (expected, byte) {
            (b'1', b'0' | b'2'..=b'9') => return Err(Fault::Version),
            (b'x', b'0') => version = Version::Http10,
            (b'x', b'1'..=b'9') => {}
            (b'x', _) => return Err(Fault::RequestLine),
            (expected, byte) if expected == byte => {}
            _ => return Err(Fault::RequestLine),
        }
    }
    Ok(Step::Complete((version, 10)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoded_path_is_counted_beside_the_bytes() {
        let len = |input: &[u8]| match Head::parse(input, &Limits::DEFAULT) {
            Ok(Step::Complete((head, _))) => head.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(len(b"GET /a HTTP/1.0\r\n\r\n"), 19);
        assert_eq!(len(b"GET /%61 HTTP/1.0\r\n\r\n"), 21 + 2);
    }
}
