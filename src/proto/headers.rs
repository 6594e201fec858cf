//! [`Headers`]: the header fields of a response, checked and encoded as they are added.

use std::sync::Arc;

use super::field_kind::{Kind, kind};
use super::field_lines::FieldLines;
use super::text::{is_token, is_value_byte};
use crate::error::{Error, Result};

/// The header fields of a response, except those that the connection writes.
#[derive(Clone, Debug)]
pub struct Headers {
    /// The field lines as they are written. [`FieldLines`] that are the only ones are not copied.
    lines: Lines,
    /// Which singletons are among the lines, a bit each; see [`Kind::Singleton`].
    singletons: u16,
    /// The options of `Connection`, to which the connection adds its own.
    connection: String,
    /// Whether the handler has added the option `close`.
    closes: bool,
}

/// Field lines, each with its CRLF, by who owns them.
#[derive(Clone, Debug)]
enum Lines {
    Static(&'static str),
    Shared(Arc<str>),
    Owned(String),
}

impl Lines {
    fn as_str(&self) -> &str {
        match self {
            Lines::Static(lines) => lines,
            Lines::Shared(lines) => lines,
            Lines::Owned(lines) => lines,
        }
    }

    /// Appends lines.
    fn append<'l>(&mut self, more: impl IntoIterator<Item = &'l str>) {
        let mut own = match core::mem::replace(self, Lines::Static("")) {
            Lines::Owned(lines) => lines,
            lines => {
                // Make room for several fields at once: to grow with each of them takes longer than everything else here.
                let mut own = String::with_capacity(lines.as_str().len() + 160);
                own.push_str(lines.as_str());
                own
            }
        };
        own.extend(more);
        *self = Lines::Owned(own);
    }
}

/// The bit of a singleton; 0 for other fields.
fn bit(name: &str) -> u16 {
    if let Kind::Singleton(bit) = kind(name.as_bytes()) { bit } else { 0 }
}

impl Headers {
    /// No fields.
    pub(crate) const EMPTY: Headers =
        Headers { lines: Lines::Static(""), singletons: 0, connection: String::new(), closes: false };

    /// Adds a field, or replaces it if it is a singleton. A field that is not legal, or not the handler's to set, is
    /// [`Error::Misuse`].
    pub(crate) fn add(&mut self, name: &str, value: &str) -> Result<()> {
        if !is_token(name.as_bytes()) || !value.bytes().all(is_value_byte) {
            return Err(Error::Misuse("a header field is not legal"));
        }
        match kind(name.as_bytes()) {
            Kind::Singleton(bit) => self.make_room_for(name, bit),
            Kind::Connection => {
                value.split(',').map(str::trim_ascii).for_each(|option| self.add_option(option));
                return Ok(());
            }
            Kind::Ours => {
                return Err(Error::Misuse("Content-Length, Transfer-Encoding and Date are not yours to set"));
            }
            Kind::Handshake => {
                return Err(Error::Misuse("the fields of the WebSocket handshake are not yours to set"));
            }
            Kind::Other => {}
        }
        self.lines.append([name, ": ", value, "\r\n"]);
        Ok(())
    }

    /// Removes the singleton that is there, for another one.
    fn make_room_for(&mut self, name: &str, bit: u16) {
        if self.singletons & bit != 0 {
            let others = self.each().filter(|line| !name_of(line).eq_ignore_ascii_case(name));
            self.lines = Lines::Owned(others.collect());
        }
        self.singletons |= bit;
    }

    /// Adds fields that were checked before; a singleton that is here already stays.
    pub(super) fn add_lines(&mut self, fields: &FieldLines) {
        match self.lines().is_empty() {
            true => (self.lines, self.singletons) = (Lines::Static(fields.lines), fields.singletons),
            false => self.append_lines(fields.lines, fields.singletons),
        }
    }

    fn append_lines(&mut self, lines: &str, singletons: u16) {
        let here = self.singletons;
        match here & singletons == 0 {
            true => self.lines.append([lines]),
            false => {
                let is_new = |line: &&str| bit(name_of(line)) & here == 0;
                self.lines.append(lines.split_inclusive('\n').filter(is_new));
            }
        }
        self.singletons |= singletons;
    }

    /// Adds all fields of `other`, except singletons that are here already.
    pub(crate) fn append(&mut self, other: &Headers) {
        if !other.lines().is_empty() {
            self.append_lines(other.lines(), other.singletons);
        }
        self.closes |= other.closes;
        if !other.connection.is_empty() {
            push_option(&mut self.connection, &other.connection);
        }
    }

    /// The field lines, each with its CRLF.
    fn each(&self) -> impl Iterator<Item = &str> {
        self.lines().split_inclusive('\n')
    }

    /// Adds an option of `Connection`. `keep-alive` is ignored: the connection alone knows whether it persists.
    fn add_option(&mut self, option: &str) {
        match option.to_ascii_lowercase().as_str() {
            "close" => self.closes = true,
            "keep-alive" | "" => {}
            _ => push_option(&mut self.connection, option),
        }
    }

    /// The field lines that may stand in a 101. `Upgrade` may not: the handshake writes it itself.
    #[cfg(feature = "ws")]
    pub(super) fn lines_of_upgrade(&self) -> impl Iterator<Item = &str> {
        self.each().filter(|line| !name_of(line).eq_ignore_ascii_case("upgrade"))
    }

    /// Makes a clone cheap.
    pub(super) fn share(&mut self) {
        if let Lines::Owned(lines) = &self.lines {
            self.lines = Lines::Shared(lines.as_str().into());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines().is_empty() && self.connection.is_empty() && !self.closes
    }

    pub(super) fn lines(&self) -> &str {
        self.lines.as_str()
    }

    /// Whether the handler has asked for the connection to be closed.
    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    /// Whether the handler has added options of `Connection` that the connection is to write.
    pub(super) fn has_options(&self) -> bool {
        !self.connection.is_empty()
    }

    /// The value of the one `Connection` field: the handler's options, and the one that the connection adds.
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

impl Default for Headers {
    /// No fields.
    fn default() -> Headers {
        Headers::EMPTY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_legal_is_not_added() {
        let mut headers = Headers::EMPTY;
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
        let (mut headers, mut more) = (Headers::EMPTY, Headers::EMPTY);
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
        let (mut headers, mut more) = (Headers::EMPTY, Headers::EMPTY);
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
