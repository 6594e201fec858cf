//! [`Headers`]: the fields of an answer, checked and written down as they are added.

use super::text::{is_token, is_value_byte};
use crate::error::{Error, Result};

/// The fields of an answer, but for those that the connection writes.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// As they go out, each with its line end.
    lines: String,
    /// Which of [`SINGLETONS`] are among them, a bit each.
    singletons: u16,
    /// The options of `Connection`, which the connection completes.
    connection: String,
    /// Whether one of them is `close`.
    closes: bool,
}

/// Fields of which an answer has one at most: a second one takes the place of the first. (Not `Set-Cookie`, `Vary` and other
/// lists, of which each may have its own line: RFC 9110, 5.3.)
const SINGLETONS: [&str; 15] = [
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Origin",
    "Access-Control-Max-Age",
    "Age",
    "Content-Location",
    "Content-Range",
    "Content-Type",
    "ETag",
    "Expires",
    "Last-Modified",
    "Location",
    "Retry-After",
    "Server",
    "Strict-Transport-Security",
    "X-Accel-Buffering",
];

/// The bit of a singleton; none for other fields.
fn bit(name: &str) -> u16 {
    let is = |singleton: &&str| singleton.len() == name.len() && singleton.eq_ignore_ascii_case(name);
    SINGLETONS.iter().position(is).map_or(0, |place| 1 << place)
}

impl Headers {
    /// Adds a field.
    pub(crate) fn add(&mut self, name: &str, value: &str) -> Result<()> {
        check(name, value)?;
        if name.eq_ignore_ascii_case("connection") {
            value.split(',').map(str::trim_ascii).for_each(|option| self.add_option(option));
            return Ok(());
        }
        if self.lines.is_empty() {
            // Room for some at once: growing step by step takes longer than all else here.
            self.lines.reserve(160);
        }
        let bit = bit(name);
        if self.singletons & bit != 0 {
            let others = self.each().filter(|line| !name_of(line).eq_ignore_ascii_case(name));
            self.lines = others.collect();
        }
        self.singletons |= bit;
        [name, ": ", value, "\r\n"].iter().for_each(|part| self.lines.push_str(part));
        Ok(())
    }

    /// Adds all of another's, but for singletons that are here already.
    pub(crate) fn append(&mut self, other: &Headers) {
        if self.singletons & other.singletons == 0 {
            self.lines.push_str(&other.lines);
        } else {
            let here = self.singletons;
            other
                .each()
                .filter(|line| bit(name_of(line)) & here == 0)
                .for_each(|line| self.lines.push_str(line));
        }
        self.singletons |= other.singletons;
        self.closes |= other.closes;
        if !other.connection.is_empty() {
            push_option(&mut self.connection, &other.connection);
        }
    }

    /// The lines, each with its end.
    fn each(&self) -> impl Iterator<Item = &str> {
        self.lines.split_inclusive('\n')
    }

    /// Adds an option of `Connection`. Whether it persists is for the connection to say.
    fn add_option(&mut self, option: &str) {
        match option.to_ascii_lowercase().as_str() {
            "close" => self.closes = true,
            "keep-alive" | "" => {}
            _ => push_option(&mut self.connection, option),
        }
    }

    /// The lines that may stand in a 101: without `Upgrade`, which the handshake writes itself.
    #[cfg(feature = "ws")]
    pub(super) fn lines_of_upgrade(&self) -> impl Iterator<Item = &str> {
        self.each().filter(|line| !name_of(line).eq_ignore_ascii_case("upgrade"))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.connection.is_empty() && !self.closes
    }

    pub(super) fn lines(&self) -> &str {
        &self.lines
    }

    /// Whether the answer itself asks for the connection to be closed.
    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    /// The options of the one `Connection`: what the answer has itself and what the connection adds.
    pub(super) fn connection(&self, added: &str) -> String {
        let mut options = self.connection.clone();
        if !added.is_empty() {
            push_option(&mut options, added);
        }
        options
    }
}

fn push_option(options: &mut String, more: &str) {
    options.push_str(if options.is_empty() { "" } else { ", " });
    options.push_str(more);
}

/// The name in a field line.
fn name_of(line: &str) -> &str {
    line.split(':').next().unwrap_or_default()
}

/// Is it legal to add this field to an answer?
fn check(name: &str, value: &str) -> Result<()> {
    if !is_token(name.as_bytes()) || !value.bytes().all(is_value_byte) {
        return Err(Error::Misuse("a header field is not legal"));
    }
    let any = |names: &[&str]| {
        names.iter().any(|other| other.len() == name.len() && other.eq_ignore_ascii_case(name))
    };
    if any(&["content-length", "transfer-encoding", "date"]) {
        return Err(Error::Misuse("Content-Length, Transfer-Encoding and Date are not yours to set"));
    }
    if any(&["sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-protocol"]) {
        return Err(Error::Misuse("the fields of the WebSocket handshake are not yours to set"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_legal_is_not_added() {
        let mut headers = Headers::default();
        for (name, value) in [
            ("X", "a\r\nY: b"),
            ("X\r\n", "a"),
            ("", "a"),
            ("X", "a\0"),
            ("Date", "now"),
            ("sec-websocket-accept", "x"),
        ] {
            assert!(matches!(headers.add(name, value), Err(Error::Misuse(_))), "{name}: {value}");
        }
        assert!(headers.is_empty());
    }

    #[test]
    fn a_singleton_takes_the_place_of_the_last_one() {
        let (mut headers, mut more) = (Headers::default(), Headers::default());
        for (name, value) in [("Vary", "A"), ("ETag", "1"), ("etag", "2"), ("Vary", "B"), ("X", "a")] {
            headers.add(name, value).expect("legal");
        }
        assert_eq!(headers.lines(), "Vary: A\r\netag: 2\r\nVary: B\r\nX: a\r\n");
        for (name, value) in [("ETag", "3"), ("Vary", "C"), ("Content-Type", "b")] {
            more.add(name, value).expect("legal");
        }
        headers.append(&more);
        let all = "Vary: A\r\netag: 2\r\nVary: B\r\nX: a\r\nVary: C\r\nContent-Type: b\r\n";
        assert_eq!(headers.lines(), all);
    }

    #[test]
    fn there_is_one_connection() {
        let (mut headers, mut more) = (Headers::default(), Headers::default());
        assert_eq!((headers.connection(""), headers.connection("close")), (String::new(), "close".into()));
        headers.add("Connection", "X-Hop").expect("legal");
        more.add("connection", "X-Other").expect("legal");
        headers.append(&more);
        assert_eq!(headers.connection("keep-alive"), "X-Hop, X-Other, keep-alive");
        headers.add("Connection", "x, CLOSE").expect("legal");
        assert!(headers.closes() && headers.lines().is_empty() && !headers.is_empty());
        headers.add("Connection", "keep-alive,").expect("legal");
        assert_eq!(headers.connection("close"), "X-Hop, X-Other, x, close");
    }
}
