//! The URI grammar (RFC 3986) as far as a request needs it: targets, authorities, percent-decoding.
//!
//! [`Target`] and [`Authority`] judge the bytes that have arrived, go on where they stopped, and find the first byte that
//! cannot stand at its place. A part that is short and can only be judged as a whole (a scheme, an address, a `%XX`) is
//! looked at again when more of it has arrived.

use core::net::Ipv6Addr;
use core::ops::Range;
use std::borrow::Cow;

use super::class::{Class, PATH, QUERY, REG_NAME};
use super::step::Step;
use super::text::prefix_length;

/// The schemes that an origin server answers for in absolute-form (RFC 9110, 4.2).
const SCHEMES: [&[u8]; 2] = [b"http://", b"https://"];

/// How many bytes a part of a target has, once its end has arrived; the error is the place of the first byte that cannot
/// stand in it.
type Part = Result<Step<usize>, usize>;

/// A request-target as far as it has arrived (RFC 9112, 3.2): in origin-form, absolute-form or asterisk-form. (Authority-form
/// belongs to CONNECT, which is refused.)
#[derive(Clone, Debug)]
pub(super) struct Target {
    within: Within,
    /// How many bytes of the target are judged.
    judged: usize,
    /// Where the path begins, or would begin if it is empty.
    path: Option<usize>,
    /// Where the query begins.
    query: Option<usize>,
}

/// Where in a target the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Start,
    /// Behind the asterisk.
    Asterisk,
    Authority(Authority),
    Path,
    Query,
}

impl Target {
    pub(super) const NEW: Target = Target { within: Within::Start, judged: 0, path: None, query: None };

    /// Judges the target at the start of `bytes`. Returns the place of the first byte that is no part of the target, once
    /// that byte has arrived.
    pub(super) fn read(&mut self, bytes: &[u8], method: &[u8]) -> Option<usize> {
        while let Some(rest) = bytes.get(self.judged..).filter(|rest| !rest.is_empty()) {
            match self.read_part(rest, method) {
                Ok(Step::Complete(length)) => self.judged += length,
                Ok(Step::NeedMore) => return None,
                Err(place) => return Some(self.judged + place),
            }
        }
        None
    }

    #[cfg(test)]
    pub(super) fn judged(&self) -> usize {
        self.judged
    }

    /// Whether the target may end at this place.
    pub(super) fn may_end(&self, place: usize) -> bool {
        let whole = match self.within {
            Within::Start => false,
            Within::Authority(authority) => authority.may_end(),
            Within::Asterisk | Within::Path | Within::Query => true,
        };
        whole && place == self.judged
    }

    /// Where the path stands; empty if the target has none.
    pub(super) fn path(&self) -> Range<usize> {
        let end = self.query.map_or(self.judged, |query| query - 1);
        self.path.unwrap_or(end)..end
    }

    /// Where the query stands, if the target has one.
    pub(super) fn query(&self) -> Option<Range<usize>> {
        self.query.map(|query| query..self.judged)
    }

    fn read_part(&mut self, rest: &[u8], method: &[u8]) -> Part {
        match (self.within, rest[0]) {
            (Within::Start, b'/') => self.enter(Within::Path, 0),
            (Within::Start, b'*') if method == b"OPTIONS" => self.enter(Within::Asterisk, 1),
            (Within::Start, _) => {
                let scheme = scheme(rest)?;
                if let Step::Complete(_) = scheme {
                    self.within = Within::Authority(Authority::Start);
                }
                Ok(scheme)
            }
            (Within::Authority(authority), b'/') if authority.may_end() => self.enter(Within::Path, 0),
            (Within::Authority(authority), b'?') if authority.may_end() => self.enter(Within::Path, 0),
            (Within::Authority(mut authority), _) => {
                let part = authority.read_part(rest);
                self.within = Within::Authority(authority);
                part
            }
            (Within::Path, b'?') => {
                (self.within, self.query) = (Within::Query, Some(self.judged + 1));
                Ok(Step::Complete(1))
            }
            (Within::Path, _) => encoded(rest, PATH),
            (Within::Query, _) => encoded(rest, QUERY),
            (Within::Asterisk, _) => Err(0),
        }
    }

    fn enter(&mut self, within: Within, length: usize) -> Part {
        (self.within, self.path) = (within, Some(self.judged));
        Ok(Step::Complete(length))
    }
}

/// Reads `http://` or `https://`, whose letters may be in either case.
fn scheme(bytes: &[u8]) -> Part {
    let alike =
        |scheme: &[u8]| scheme.iter().zip(bytes).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    let mut longest = 0;
    for scheme in SCHEMES {
        longest = longest.max(alike(scheme));
        if alike(scheme) == scheme.len() {
            return Ok(Step::Complete(scheme.len()));
        }
    }
    if longest == bytes.len() { Ok(Step::NeedMore) } else { Err(longest) }
}

/// What comes next in `uri-host [":" port]`, whose host must not be empty (RFC 3986, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authority {
    /// The first byte of the host.
    Start,
    /// A further byte of a name, or the colon before the port.
    Name,
    /// The colon before the port, behind an address in brackets.
    Literal,
    /// A digit of the port, of which this number has arrived.
    Port(u16),
}

impl Authority {
    /// Judges the bytes that have arrived. Returns how many of them are judged for good, and the place of the first byte that
    /// is no part of the authority, once that byte has arrived.
    pub(super) fn read(&mut self, bytes: &[u8]) -> (usize, Option<usize>) {
        let mut judged = 0;
        while let Some(rest) = bytes.get(judged..).filter(|rest| !rest.is_empty()) {
            match self.read_part(rest) {
                Ok(Step::Complete(length)) => judged += length,
                Ok(Step::NeedMore) => break,
                Err(place) => return (judged, Some(judged + place)),
            }
        }
        (judged, None)
    }

    /// Whether the authority may end here, if all bytes that have arrived are judged.
    pub(super) fn may_end(self) -> bool {
        self != Authority::Start
    }

    fn read_part(&mut self, rest: &[u8]) -> Part {
        let (next, part) = match (*self, rest[0]) {
            (Authority::Start, b'[') => (Authority::Literal, literal(rest)),
            (Authority::Name | Authority::Literal, b':') => (Authority::Port(0), Ok(Step::Complete(1))),
            (Authority::Start | Authority::Name, _) => (Authority::Name, encoded(rest, REG_NAME)),
            (Authority::Port(port), b'0'..=b'9') => return self.add_digits(port, rest),
            (Authority::Literal | Authority::Port(_), _) => return Err(0),
        };
        if let Ok(Step::Complete(_)) = part {
            *self = next;
        }
        part
    }

    /// Reads digits of a port, which is at most 65535, however many zeros it begins with.
    fn add_digits(&mut self, mut port: u16, rest: &[u8]) -> Part {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).enumerate();
        let mut length = 0;
        for (place, digit) in digits {
            let more = port.checked_mul(10).and_then(|port| port.checked_add(u16::from(digit - b'0')));
            port = more.ok_or(place)?;
            length = place + 1;
        }
        *self = Authority::Port(port);
        Ok(Step::Complete(length))
    }
}

/// Reads an IPv6 address in brackets.
fn literal(bytes: &[u8]) -> Part {
    let end = bytes.iter().position(|b| *b == b']');
    let address = &bytes[1..end.unwrap_or(bytes.len())];
    match end {
        Some(end) if parses(address, "") => Ok(Step::Complete(end + 1)),
        None if may_become_address(address) => Ok(Step::NeedMore),
        _ => {
            let hopeless = |length: &usize| !may_become_address(&address[..*length]);
            // The first `length` bytes behind the bracket end at `length`.
            Err((1..=address.len()).find(hopeless).unwrap_or(address.len() + 1))
        }
    }
}

/// Whether these bytes are the start of an IPv6 address. If they are, one of the endings below makes them an address.
fn may_become_address(start: &[u8]) -> bool {
    ["", ":", "::", "0", "0.0", "0.0.0", ".0", ".0.0", ".0.0.0"].iter().any(|rest| parses(start, rest))
}

fn parses(start: &[u8], rest: &str) -> bool {
    // No address has more than 45 bytes, so this bounds the copy.
    let start = core::str::from_utf8(start).ok().filter(|start| start.len() <= 45);
    start.is_some_and(|start| format!("{start}{rest}").parse::<Ipv6Addr>().is_ok())
}

/// Reads bytes of this class up to the next `%XX`, or one `%XX`.
fn encoded(bytes: &[u8], legal: Class) -> Part {
    let length = prefix_length(bytes, legal);
    match bytes.get(length) {
        _ if length > 0 => Ok(Step::Complete(length)),
        Some(b'%') => escape(bytes),
        _ => Err(0),
    }
}

/// Reads one `%XX`.
fn escape(bytes: &[u8]) -> Part {
    let digits = bytes.iter().skip(1).take(2);
    match digits.clone().position(|b| !b.is_ascii_hexdigit()) {
        Some(place) => Err(1 + place),
        None if digits.len() < 2 => Ok(Step::NeedMore),
        None => Ok(Step::Complete(3)),
    }
}

/// Decodes percent-encoding and, if `plus` is set, `+` as a blank. Bytes that are then not UTF-8 become U+FFFD.
pub(super) fn decode(text: &str, plus: bool) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%' || (plus && b == b'+')) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, hex_pair(tail)) {
            (b'%', Some(value)) => {
                decoded.push(value);
                rest = &tail[2..];
            }
            (b'+', _) if plus => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the target is whole; the error is the place of the byte that is not legal.
    fn judge(method: &str, text: &str) -> Result<bool, usize> {
        let mut target = Target::NEW;
        match target.read(text.as_bytes(), method.as_bytes()) {
            Some(place) => Err(place),
            None => Ok(target.may_end(text.len())),
        }
    }

    #[test]
    fn every_prefix_of_a_legal_target_may_still_become_one() {
        let plain = [
            "/",
            "/a%20b?c=%41&d",
            "/[|]^?{`\\}",
            "http://h/x",
            "HTTPS://[::1]:80?q",
            "http://a.b:1",
            "http://%41:",
        ];
        let addresses =
            ["1:2:3:4:5:6:7:8", "::", "1::8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::5:6:7:abcd"];
        let mixed = ["::1.20.255.0", "1:2:3:4:5:6:1.2.3.4", "::2:3:4:5:6:1.2.3.4", "1:2:3:4:5::1.2.3.4"];
        let literals = addresses.iter().chain(&mixed).map(|address| format!("http://[{address}]"));
        for target in plain.into_iter().map(str::to_owned).chain(literals) {
            assert_eq!(judge("GET", &target), Ok(true), "{target}");
            let mut cut = Target::NEW;
            for end in 0..=target.len() {
                assert!(judge("GET", &target[..end]).is_ok(), "{target} cut at {end}");
                assert_eq!(cut.read(&target.as_bytes()[..end], b"GET"), None, "{target} from {end} on");
            }
            assert!(cut.may_end(target.len()), "{target} byte by byte");
        }
    }

    #[test]
    fn a_hopeless_prefix_is_refused_at_its_last_byte() {
        for target in [
            "*",
            "a",
            "hp",
            "httpx",
            "http:/a",
            "f",
            "/#",
            "/%g",
            "/%4g",
            "/\\",
            "/{",
            "/?<",
            "/%4?",
            "http://:",
            "http://[g",
            "http://u@",
            "http://h%4/",
            "http://h%4?",
            "http://h:6553a",
            "http://h:65536",
            "http://[:1",
            "http://[:::",
            "http://[1::2::",
            "http://[1]",
            "http://[]",
            "http://[::]a",
            "http://[12345",
            "http://[1:2:3:4:5:6:7:8:",
            "http://[1:2:3:4:5:6:7:1.",
            "http://[1:2:3:4:5:1.",
            "http://[::256.",
            "http://[::1..",
            "http://[::1.2.3.4:",
        ] {
            for behind in ["", "/a]b%20"] {
                let whole = format!("{target}{behind}");
                assert_eq!(judge("GET", &whole), Err(target.len() - 1), "{whole}");
            }
            let mut cut = Target::NEW;
            let found = (1..=target.len()).find_map(|end| cut.read(&target.as_bytes()[..end], b"GET"));
            assert_eq!(found, Some(target.len() - 1), "{target} byte by byte");
        }
        for open in ["", "h", "https:/", "http://", "http://[::1", "http://h%4", "/%", "/%4"] {
            assert_eq!(judge("GET", open), Ok(false), "{open} is not whole");
        }
    }

    #[test]
    fn ports_end_at_65535() {
        for (text, legal) in
            [("h:65535", true), ("h:", true), ("h:00080", true), ("h:65536", false), (":80", false)]
        {
            let mut authority = Authority::Start;
            assert_eq!(authority.read(text.as_bytes()) == (text.len(), None), legal, "{text}");
        }
    }

    #[test]
    fn decoding_never_fails() {
        assert_eq!(decode("a%20b+c", true), "a b c");
        assert_eq!(decode("a%20b+c", false), "a b+c");
        assert_eq!(decode("a%2", false), "a%2");
        assert_eq!(decode("%ff%", false), "\u{fffd}%");
        assert_eq!(decode("%E4%BD%A0", false), "你");
    }

    #[test]
    fn a_target_has_a_path_and_a_query() {
        for (method, text, path, query) in [
            ("GET", "http://h?q=1", "", Some("q=1")),
            ("GET", "http://h", "", None),
            ("GET", "http://h:80/a", "/a", None),
            ("OPTIONS", "*", "*", None),
            ("GET", "/a%20?b?c", "/a%20", Some("b?c")),
            ("GET", "/?", "/", Some("")),
        ] {
            let mut target = Target::NEW;
            assert_eq!(target.read(text.as_bytes(), method.as_bytes()), None);
            assert_eq!((&text[target.path()], target.query().map(|at| &text[at])), (path, query), "{text}");
        }
    }
}
