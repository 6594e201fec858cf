//! The fields of a head: httparse splits them, and what it leaves to us (line ends, `Host`, framing, expectations,
//! their number) is judged field by field, in the order of the bytes, as far as they have come.

use super::body::Framing;
use super::class::TOKEN;
use super::step::Step;
use super::text::{ascii, elements, is_value_byte, place};
use super::uri;
use super::version::Version;
use crate::error::Fault;
use crate::limits::Limits;

/// Where a field's name and value stand in the head. Half of a `Range`, since there are many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: (u32, u32),
    pub(super) value: (u32, u32),
}

/// The fields of a head.
pub(super) struct Fields {
    /// Where each stands, in their order.
    pub(super) at: Vec<Field>,
    pub(super) facts: Facts,
    /// Where the last line that was read ends.
    pub(super) end: usize,
}

/// What the fields say about the connection and the body, gathered field by field.
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

/// So many fields are split on the stack, in 2 KiB.
const FEW: usize = 64;

impl Fields {
    /// Reads the fields that begin at `start`, and the empty line behind them.
    pub(super) fn parse(
        bytes: &[u8],
        start: usize,
        version: Version,
        limits: &Limits,
    ) -> Result<Step<Fields>, Fault> {
        let block = &bytes[start..];
        // A field takes three bytes at least.
        let most = limits.headers.min(block.len() / 3);
        // On the stack where they have room there: one allocation less per request.
        let (mut few, mut many);
        let slots = if most <= FEW {
            few = [httparse::EMPTY_HEADER; FEW];
            &mut few[..most]
        } else {
            many = vec![httparse::EMPTY_HEADER; most];
            &mut many[..]
        };
        let parsed = httparse::parse_headers(block, slots).map(|status| status.is_complete());
        // Judge what httparse got through before its own verdict, so that the first fault in the order of the
        // bytes is the one that is told, however the bytes are cut.
        let found = slots.iter().take_while(|slot| !slot.name.is_empty());
        let at = Vec::with_capacity(found.clone().count());
        let mut fields = Fields { at, facts: Facts::new(version), end: start };
        for slot in found {
            fields.admit(bytes, slot)?;
        }
        fields.judge_open_line(&bytes[fields.end..], limits)?;
        match parsed {
            Ok(true) if bytes[fields.end..].starts_with(b"\r\n") => fields.end += 2,
            Ok(true) => return Err(Fault::LineEnd),
            Ok(false) => return Ok(Step::NeedMore),
            Err(_) => return Err(Fault::Field),
        }
        Ok(Step::Complete(fields))
    }

    /// Takes a field that httparse found to its end, be that CRLF or a bare LF, which is none (RFC 9112, 2.2).
    fn admit(&mut self, bytes: &[u8], field: &httparse::Header<'_>) -> Result<(), Fault> {
        let (name, value) = (place(bytes, field.name.as_bytes()), place(bytes, field.value));
        let line_end = value.end + blanks(&bytes[value.end..]);
        let ends = bytes[line_end..].starts_with(b"\r\n");
        self.facts.admit(field.name, &bytes[value.start..line_end], ends)?;
        if !ends {
            return Err(Fault::LineEnd);
        }
        let short = |range: core::ops::Range<usize>| (range.start as u32, range.end as u32);
        self.at.push(Field { name: short(name), value: short(value) });
        self.end = line_end + 2;
        Ok(())
    }

    /// Judges the line behind the last whole field: a next byte must be able to make it right. What is wrong about
    /// its form is left to httparse.
    fn judge_open_line(&self, line: &[u8], limits: &Limits) -> Result<(), Fault> {
        match line.first() {
            Some(b'\r') => return self.facts.finish(),
            Some(b) if TOKEN.has(*b) && self.at.len() == limits.headers => {
                return Err(Fault::TooManyFields);
            }
            _ => {}
        }
        let name = length(line, |b| TOKEN.has(b));
        let Some(rest) = line[name..].strip_prefix(b":") else { return Ok(()) };
        let value = &rest[blanks(rest)..];
        let (value, behind) = value.split_at(length(value, is_value_byte));
        self.facts.clone().admit(ascii(&line[..name]), value, behind.first() == Some(&b'\r'))
    }
}

/// How many bytes at the front are such.
fn length(bytes: &[u8], such: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|b| !such(*b)).unwrap_or(bytes.len())
}

/// How many blanks stand at the front.
fn blanks(bytes: &[u8]) -> usize {
    length(bytes, |b| matches!(b, b' ' | b'\t'))
}

impl Facts {
    pub(super) const fn new(version: Version) -> Facts {
        let framing = Framing::None;
        Facts { version, host: false, framing, close: false, keep_alive: false, expects_continue: false }
    }

    /// Takes one more field into account, of whose value this much has come; `all` says whether that is all. The
    /// start of a value passes if it can still become legal.
    fn admit(&mut self, name: &str, value: &[u8], all: bool) -> Result<(), Fault> {
        // A blank ends a word as the end of the line does; behind it only a list goes on.
        let word = value.trim_ascii_end();
        let whole = all || word.len() < value.len();
        if name.eq_ignore_ascii_case("host") {
            // An empty value is what a client sends for a URI without an authority (RFC 9112, 3.2).
            if self.host || !(word.is_empty() || uri::is_authority(word, whole)) {
                return Err(Fault::Host);
            }
            self.host = true;
        } else if name.eq_ignore_ascii_case("content-length") {
            self.framing = self.framing.with_length(word, whole)?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.framing = self.framing.with_coding(value, all, self.version)?;
        } else if name.eq_ignore_ascii_case("connection") {
            self.close |= elements(value).any(|e| e.eq_ignore_ascii_case(b"close"));
            self.keep_alive |= elements(value).any(|e| e.eq_ignore_ascii_case(b"keep-alive"));
        } else if name.eq_ignore_ascii_case("expect") && self.version == Version::Http11 {
            let expected = if whole { Some(&b"100-continue"[..]) } else { b"100-continue".get(..word.len()) };
            if !expected.is_some_and(|expected| expected.eq_ignore_ascii_case(word)) {
                return Err(Fault::Expectation);
            }
            self.expects_continue = true;
        }
        Ok(())
    }

    /// Checks what can only be known at the end of the head.
    fn finish(&self) -> Result<(), Fault> {
        if self.version == Version::Http11 && !self.host { Err(Fault::Host) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_as_large_as_it_is_counted() {
        assert_eq!(size_of::<Field>(), crate::limits::FIELD);
    }
}
