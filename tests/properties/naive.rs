//! The same bytes read by parsers that are slow, short and not ours. They panic at what must never be written or
//! accepted.

use std::str::from_utf8;

/// A request head as its lines say it.
pub struct Head<'b> {
    pub method: &'b [u8],
    pub target: &'b [u8],
    /// The `x` of `HTTP/1.x`.
    pub minor: u8,
    pub fields: Vec<(&'b [u8], &'b [u8])>,
    /// How many bytes it took.
    pub used: usize,
}

/// Reads a head; `None` if it is not whole or not of this shape.
pub fn head(bytes: &[u8]) -> Option<Head<'_>> {
    let before = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let end = before + find(&bytes[before..], b"\r\n\r\n")?;
    let mut lines = Lines { bytes: &bytes[..end + 2], at: before };
    let mut words = lines.next()?.split(|b| *b == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let [minor @ b'0'..=b'9'] = version.strip_prefix(b"HTTP/1.")? else { return None };
    let field = |line: &'_ [u8]| line.iter().position(|b| *b == b':').map(|at| (at, at + 1));
    let fields = lines.map(|line| field(line).map(|(name, value)| (&line[..name], trim(&line[value..]))));
    let fields = fields.collect::<Option<Vec<_>>>()?;
    words.next().is_none().then_some(Head { method, target, minor: minor - b'0', fields, used: end + 4 })
}

impl<'b> Head<'b> {
    /// All values of a field.
    pub fn values(&self, name: &str) -> Vec<&'b [u8]> {
        let named = |field: &&(&[u8], &[u8])| field.0.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(named).map(|(_, value)| *value).collect()
    }

    /// The elements of all lists of a field, in lower case.
    pub fn list(&self, name: &str) -> Vec<Vec<u8>> {
        let values = self.values(name).into_iter().map(<[u8]>::to_ascii_lowercase);
        values
            .flat_map(|value| value.split(|b| *b == b',').map(|e| trim(e).to_vec()).collect::<Vec<_>>())
            .collect()
    }
}

/// A chunked body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    pub data: Vec<u8>,
    /// How many bytes it took.
    pub used: usize,
    /// How many of them are leading zeros, extensions and trailers.
    pub beside: usize,
}

/// Reads a chunked body (RFC 9112, 7.1); `None` if it is not whole.
pub fn chunks(bytes: &[u8]) -> Option<Chunks> {
    let (mut found, mut lines) = (Chunks::default(), Lines { bytes, at: 0 });
    loop {
        let line = lines.next()?;
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let zeros = line.iter().take_while(|b| **b == b'0').count();
        assert!(matches!(trim(&line[digits..]), [] | [b';', ..]), "behind a chunk size");
        assert!(!line.ends_with(b" ") && !line.ends_with(b"\t"), "a blank that belongs to no extension");
        found.beside += zeros.min(digits.saturating_sub(1)) + line.len() - digits;
        let digits = from_utf8(&line[..digits]).expect("digits");
        let size = usize::from_str_radix(digits, 16).expect("a chunk size");
        if size == 0 {
            break;
        }
        found.data.extend_from_slice(bytes.get(lines.at..lines.at.checked_add(size)?)?);
        lines.at += size;
        assert_eq!(lines.next()?, b"", "a chunk is longer than its size");
    }
    loop {
        let trailer = lines.next()?;
        if trailer.is_empty() {
            found.used = lines.at;
            return Some(found);
        }
        assert!(trailer.contains(&b':'), "a trailer without a colon");
        found.beside += trailer.len() + 2;
    }
}

/// An answer as a client reads it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Whether it says where its body ends.
    pub framed: bool,
    /// How many bytes it took.
    pub used: usize,
}

impl Answer {
    /// The value of a field that may stand once.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| &value[..]);
        assert!(values.next().is_none(), "{name} stands twice");
        value
    }

    /// Whether `Connection` has this option.
    pub fn has_option(&self, option: &str) -> bool {
        let options = self.field("connection").unwrap_or_default();
        options.split(|b| *b == b',').any(|o| trim(o).eq_ignore_ascii_case(option.as_bytes()))
    }
}

/// Reads an answer with httparse; `None` if it is not whole.
pub fn answer(bytes: &[u8], head_only: bool) -> Option<Answer> {
    let mut slots = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Response::new(&mut slots);
    let httparse::Status::Complete(start) = parsed.parse(bytes).expect("a legal answer") else { return None };
    let head = &bytes[..start];
    assert!(head.ends_with(b"\r\n\r\n") && lone_ends(head) == 0, "line ends: {}", head.escape_ascii());
    assert_eq!(parsed.version, Some(1));
    let fields = parsed.headers.iter().map(|h| (h.name.to_owned(), h.value.to_vec())).collect();
    let status = parsed.code.expect("a status");
    let mut answer = Answer { status, fields, body: Vec::new(), framed: true, used: start };
    let bodiless = matches!(status, 100..=199 | 204 | 304);
    let length = answer.field("content-length").map(|n| from_utf8(n).expect("a length").to_owned());
    let coding = answer.field("transfer-encoding").map(<[u8]>::to_vec);
    assert!(length.is_none() || coding.is_none(), "two framings");
    // RFC 9110, 8.6 and RFC 9112, 6.1.
    assert!(status == 304 || !bodiless || (length.is_none() && coding.is_none()), "a framing without a body");
    let (body, used) = match (length, coding) {
        _ if head_only || bodiless => (Vec::new(), 0),
        (Some(length), _) => {
            let length = length.parse().expect("a length");
            (bytes[start..].get(..length)?.to_vec(), length)
        }
        (None, Some(coding)) => {
            assert_eq!(coding, b"chunked");
            let Chunks { data, used, .. } = chunks(&bytes[start..])?;
            (data, used)
        }
        (None, None) => {
            answer.framed = false;
            (bytes[start..].to_vec(), bytes.len() - start)
        }
    };
    (answer.body, answer.used) = (body, start + used);
    Some(answer)
}

/// Lines that end in CRLF; one that does not end is not there.
struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Iterator for Lines<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let rest = &self.bytes[self.at..];
        let line = &rest[..find(rest, b"\r\n")?];
        self.at += line.len() + 2;
        Some(line)
    }
}

pub fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// How many CR and LF are not half of a CRLF.
pub fn lone_ends(bytes: &[u8]) -> usize {
    let ends = bytes.iter().filter(|b| matches!(b, b'\r' | b'\n')).count();
    ends - 2 * bytes.windows(2).filter(|w| w == b"\r\n").count()
}

/// Without the blanks around it.
pub fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = bytes.iter().position(|b| !blank(b)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|b| !blank(b)).map_or(start, |at| at + 1);
    &bytes[start..end]
}

/// A token (RFC 9110, 5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    let delimiters = b"\"(),/:;<=>?@[\\]{}";
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_graphic() && !delimiters.contains(b))
}
