//! [`RequestLine`]: the first line of a head, read as it arrives (RFC 9112, 3).

use core::ops::Range;

use super::class::TOKEN;
use super::step::Step;
use super::text::prefix_length;
use super::uri::Target;
use super::version::Version;
use crate::error::Fault;

/// A request line as far as it has arrived.
#[derive(Clone, Debug)]
pub(super) struct RequestLine {
    next: NextByte,
    /// How many bytes of the input are judged; once the line is whole, where it ends.
    pub(super) end: usize,
    /// Where the method stands.
    pub(super) method: Range<usize>,
    /// Where the request-target begins.
    start: usize,
    target: Target,
    pub(super) version: Version,
}

/// What the next byte is, or is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextByte {
    /// An empty line, or the method.
    Start,
    Method,
    Target,
    /// The version and the line end.
    Version,
    Nothing,
}

impl RequestLine {
    pub(super) const NEW: RequestLine = RequestLine {
        next: NextByte::Start,
        end: 0,
        method: 0..0,
        start: 0,
        target: Target::NEW,
        version: Version::Http11,
    };

    /// Goes on reading. `bytes` is the head as far as it has arrived.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Step<()>, Fault> {
        loop {
            let step = match self.next {
                NextByte::Start => self.skip_empty_line(bytes),
                NextByte::Method => self.read_method(bytes),
                NextByte::Target => self.read_target(bytes),
                NextByte::Version => self.read_version(bytes),
                NextByte::Nothing => return Ok(Step::Complete(())),
            };
            if let Step::NeedMore = step? {
                return Ok(Step::NeedMore);
            }
        }
    }

    /// How many bytes of the input are never looked at again.
    #[cfg(test)]
    pub(super) fn judged(&self) -> usize {
        match self.next {
            NextByte::Target => self.start + self.target.judged(),
            _ => self.end,
        }
    }

    /// Where the request-target stands.
    pub(super) fn target(&self) -> Range<usize> {
        self.within_target(0..self.target.query().unwrap_or(self.target.path()).end)
    }

    /// Where the path stands; empty if the target has none.
    pub(super) fn path(&self) -> Range<usize> {
        self.within_target(self.target.path())
    }

    /// Where the query stands; empty if the target has none.
    pub(super) fn query(&self) -> Range<usize> {
        self.target.query().map_or(0..0, |query| self.within_target(query))
    }

    fn within_target(&self, range: Range<usize>) -> Range<usize> {
        self.start + range.start..self.start + range.end
    }

    /// Counts `length` more bytes as judged; `next` comes next.
    fn step_to(&mut self, length: usize, next: NextByte) -> Result<Step<()>, Fault> {
        self.end += length;
        self.next = next;
        Ok(Step::Complete(()))
    }

    /// Skips one empty line before the request line, as RFC 9112, 2.2 asks; a second one is a fault.
    fn skip_empty_line(&mut self, bytes: &[u8]) -> Result<Step<()>, Fault> {
        let length = match bytes {
            [] | [b'\r'] => return Ok(Step::NeedMore),
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => return Err(Fault::LineEnd),
            _ => 0,
        };
        self.method = length..length;
        self.step_to(length, NextByte::Method)
    }

    fn read_method(&mut self, bytes: &[u8]) -> Result<Step<()>, Fault> {
        self.end += prefix_length(&bytes[self.end..], TOKEN);
        let Some(byte) = bytes.get(self.end) else { return Ok(Step::NeedMore) };
        self.method.end = self.end;
        if *byte != b' ' || self.method.is_empty() {
            return Err(self.fault(self.end, *byte));
        }
        if &bytes[self.method.clone()] == b"CONNECT" {
            return Err(Fault::Connect);
        }
        self.start = self.end + 1;
        self.step_to(1, NextByte::Target)
    }

    fn read_target(&mut self, bytes: &[u8]) -> Result<Step<()>, Fault> {
        let target = &bytes[self.start..];
        let Some(place) = self.target.read(target, &bytes[self.method.clone()]) else {
            return Ok(Step::NeedMore);
        };
        match target[place] {
            b' ' if self.target.may_end(place) => self.step_to(place + 1, NextByte::Version),
            byte if byte.is_ascii_graphic() || (byte == b' ' && place > 0) => {
                Err(Fault::Target { at: place as u32 + 1, byte })
            }
            byte => Err(self.fault(self.start + place, byte)),
        }
    }

    fn fault(&self, place: usize, byte: u8) -> Fault {
        Fault::RequestLine { at: (place - self.method.start) as u32 + 1, byte }
    }

    /// Reads `HTTP/1.x CRLF`. (It is short, so its first bytes are looked at again when more of it arrives.)
    fn read_version(&mut self, bytes: &[u8]) -> Result<Step<()>, Fault> {
        let form = b"HTTP/1.x\r\n";
        // The usual one without a look at each byte.
        if bytes[self.end..].starts_with(b"HTTP/1.1\r\n") {
            return self.step_to(form.len(), NextByte::Nothing);
        }
        for (place, (expected, byte)) in form.iter().zip(&bytes[self.end..]).enumerate() {
            match (expected, byte) {
                (b'1', b'0' | b'2'..=b'9') => return Err(Fault::Version),
                (b'x', b'0') => self.version = Version::Http10,
                (b'x', b'1'..=b'9') => {}
                (expected, byte) if expected == byte && *expected != b'x' => {}
                _ => return Err(self.fault(self.end + place, *byte)),
            }
        }
        match bytes.len() - self.end < form.len() {
            true => Ok(Step::NeedMore),
            false => self.step_to(form.len(), NextByte::Nothing),
        }
    }
}
