//! [`Head`]: a request line and its header fields, as the embedder sees them. `head_reader.rs` parses them.

use core::ops::Range;
use std::borrow::Cow;

use super::body::Framing;
use super::facts::Facts;
use super::fields::Field;
use super::head_reader::HeadReader;
use super::request_line::RequestLine;
use super::step::Step;
use super::text::ascii;
#[cfg(feature = "ws")]
use super::text::elements;
use super::uri;
use super::version::Version;
use crate::error::Fault;
use crate::limits::{FIELDS, Limits, OWN_BUFFER};

/// The head of a request: the request line and the header fields.
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
    /// The head as it was received; the ranges below point into it.
    bytes: Vec<u8>,
    /// Where the method stands.
    method: Range<usize>,
    /// Where the request-target stands.
    target: Range<usize>,
    /// Where the path stands.
    path: Path,
    /// Where the raw query stands.
    query: Range<usize>,
    /// The version in the request line; a 1.x above 1.1 is taken as 1.1.
    version: Version,
    /// Where the fields stand, in the order in which they were received.
    fields: Vec<Field>,
    /// What the fields say about the connection and the body.
    facts: Facts,
}

/// A path: mostly it stands in the head.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Path {
    /// The path stands in the head, at this place.
    Here(Range<usize>),
    /// The path that was percent-encoded in the head, or left out.
    Decoded(Box<str>),
}

impl Path {
    /// The path of a request-target. If an absolute-form has none, its path is `/`, or `*` for OPTIONS (RFC 9112, 3.2.4).
    fn new(line: &RequestLine, bytes: &[u8]) -> Path {
        let path = line.path();
        match &bytes[path.clone()] {
            [] if line.query().is_empty() && &bytes[line.method.clone()] == b"OPTIONS" => {
                Path::Decoded("*".into())
            }
            [] => Path::Decoded("/".into()),
            raw if raw.contains(&b'%') => Path::Decoded(uri::decode(ascii(raw), false).into()),
            _ => Path::Here(path),
        }
    }
}

impl Head {
    /// The head that an exchange shows after it has dropped its own.
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

    /// Parses the head at the start of `input`; returns it with the number of bytes that it takes.
    ///
    /// # Errors
    ///
    /// The first fault in the order of the bytes.
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
        let mut head = Head::EMPTY;
        let mut reader = HeadReader::new(Vec::new());
        let Step::Complete(used) = reader.read(input, limits)? else { return Ok(Step::NeedMore) };
        head.set(&mut input[..used].to_vec(), &mut reader);
        Ok(Step::Complete((head, used)))
    }

    /// Makes it the head that `reader` has found in these bytes. `bytes` gets the memory that the head had.
    pub(super) fn set(&mut self, bytes: &mut Vec<u8>, reader: &mut HeadReader) {
        let HeadReader { line, fields } = reader;
        core::mem::swap(&mut self.bytes, bytes);
        self.fields = core::mem::take(&mut fields.at);
        (self.method, self.target, self.query) = (line.method.clone(), line.target(), line.query());
        self.path = Path::new(line, &self.bytes);
        (self.version, self.facts) = (line.version, fields.facts.clone());
    }

    /// The memory of its fields.
    pub(super) fn take_fields(&mut self) -> Vec<Field> {
        core::mem::take(&mut self.fields)
    }

    /// Makes it empty. Its memory stays with it.
    pub(crate) fn clear(&mut self) {
        let (mut bytes, mut fields) = (core::mem::take(&mut self.bytes), core::mem::take(&mut self.fields));
        bytes.clear();
        fields.clear();
        *self = Head { bytes, fields, ..Head::EMPTY };
    }

    /// Whether its memory is no more than each connection has for itself.
    pub(crate) fn is_small(&self) -> bool {
        self.bytes.capacity() <= OWN_BUFFER && self.fields.capacity() <= FIELDS
    }

    /// The method, as it was received: methods are case-sensitive (RFC 9110, 9.1).
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
        match &self.bytes[self.method.clone()] {
            // The usual ones without a look at each byte.
            b"GET" => "GET",
            b"POST" => "POST",
            method => ascii(method),
        }
    }

    /// The request-target, as it was received (RFC 9112, 3.2).
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

    /// The path, percent-decoded. Bytes that are not UTF-8 become U+FFFD. The path is `*` for `OPTIONS *`, which asks about
    /// the whole server.
    ///
    /// An encoded slash is decoded as well: a handler that tells `%2F` from `/` looks at [`target`](Head::target).
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

    /// The first value of `name` in the query, decoded as `application/x-www-form-urlencoded` (`+` is a blank). It is `None`
    /// if the query has no such name, and empty if the name has no value.
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

    /// All values of `name` in the query, in the order of the query, decoded as [`query`](Head::query) does.
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
        // Mostly there is none, and nothing to be split.
        let query = Some(self.query.clone()).filter(|query| !query.is_empty());
        let pairs = query.map(|query| ascii(&self.bytes[query]).split('&'));
        pairs
            .into_iter()
            .flatten()
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(move |(key, _)| uri::decode(key, true) == name)
            .map(|(_, value)| uri::decode(value, true))
    }

    /// The value of the first field with this name, whose letters may be in either case. It is `None` if there is no such
    /// field, or if its value is not UTF-8.
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

    /// The name and the value of each field, in the order in which they were received. A field that was repeated is repeated
    /// here.
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
        self.fields.iter().map(|field| (ascii(self.slice(field.name)), self.slice(field.value)))
    }

    fn slice(&self, (start, end): (u32, u32)) -> &[u8] {
        &self.bytes[start as usize..end as usize]
    }

    /// The HTTP version of the request.
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

    /// The values of all fields with this name, whose letters may be in either case, in the order in which they were received.
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
    /// assert!(ex.head().values("via").eq([b"1.1 a", b"1.1 b"]));
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let is_named = |field: &&Field| self.slice(field.name).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_named).map(|field| self.slice(field.value))
    }

    /// The elements of the list that all fields with this name make together. Empty elements are left out: a recipient
    /// ignores them (RFC 9110, 5.6.1.2).
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

    /// Whether the client wants to keep the connection after the response (RFC 9112, 9.3).
    pub(crate) fn keep_alive(&self) -> bool {
        let Facts { version, close, keep_alive, .. } = self.facts;
        !close && (version == Version::Http11 || keep_alive)
    }

    /// How many bytes of memory the head takes, counted against [`Limits::buffered`].
    pub(crate) fn len(&self) -> usize {
        let decoded = if let Path::Decoded(path) = &self.path { path.len() } else { 0 };
        self.bytes.len() + decoded
    }
}

impl Default for Head {
    /// A head that is empty, and without memory.
    fn default() -> Head {
        Head::EMPTY
    }
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
