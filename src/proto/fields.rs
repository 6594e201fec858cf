//! [`Fields`]: the header fields of a request, read line by line as they arrive (RFC 9112, 5).

use super::class::TOKEN;
use super::facts::Facts;
use super::step::Step;
use super::text::{blanks, is_blank, prefix_length, value_length};
use super::value::Value;
use super::version::Version;
use crate::error::Fault;
use crate::limits::Limits;

/// Where a field's name and value stand in the head. As pairs of `u32` they take half the memory of two `Range`s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: (u32, u32),
    pub(super) value: (u32, u32),
}

/// The field lines of a head as far as they have arrived.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    next: NextByte,
    /// How many bytes of the input are judged; once the head is whole, where it ends.
    pub(super) end: usize,
    /// Where each whole field stands, in the order of the head.
    pub(super) at: Vec<Field>,
    pub(super) facts: Facts,
    /// Where the line begins that is being read.
    line: usize,
    /// Where the name in that line ends.
    colon: usize,
    /// Where the value in that line begins.
    start: usize,
    value: Value,
    /// The place in the input up to which the value is judged.
    judged: usize,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextByte {
    /// The first byte of a line.
    Line,
    /// A further byte of a name, or the colon.
    Name,
    /// A blank before the value, or the first byte of the value.
    Blanks,
    /// A further byte of a value, or the CR.
    Value,
    /// The LF behind a field.
    Lf,
    /// The LF of the empty line.
    LastLf,
    Nothing,
}

impl Fields {
    /// The field lines of a head whose request line is not whole. `at` is empty, and may have memory.
    pub(super) fn new(at: Vec<Field>) -> Fields {
        let (next, facts, value) = (NextByte::Line, Facts::new(Version::Http11), Value::Other);
        Fields { next, end: 0, at, facts, line: 0, colon: 0, start: 0, value, judged: 0 }
    }

    /// The field lines begin at `start`.
    pub(super) fn begin(&mut self, start: usize, version: Version) {
        (self.end, self.facts.version) = (start, version);
    }

    /// Goes on reading. `bytes` is the head as far as it has arrived.
    pub(super) fn read(&mut self, bytes: &[u8], limits: &Limits) -> Result<Step<()>, Fault> {
        while self.next != NextByte::Nothing {
            if let Step::NeedMore = self.read_line(bytes, limits)? {
                return Ok(Step::NeedMore);
            }
        }
        Ok(Step::Complete(()))
    }

    /// Goes on reading a line, from its next byte to its end.
    fn read_line(&mut self, bytes: &[u8], limits: &Limits) -> Result<Step<()>, Fault> {
        if self.next == NextByte::Line {
            let Some(byte) = bytes.get(self.end) else { return Ok(Step::NeedMore) };
            self.begin_line(*byte, limits)?;
        }
        if self.next == NextByte::Name {
            self.end += prefix_length(&bytes[self.end..], TOKEN);
            let Some(byte) = bytes.get(self.end) else { return Ok(Step::NeedMore) };
            self.end_name(*byte, bytes)?;
        }
        if self.next == NextByte::Blanks {
            self.end += blanks(&bytes[self.end..]);
            if self.end == bytes.len() {
                return Ok(Step::NeedMore);
            }
            (self.start, self.judged, self.next) = (self.end, self.end, NextByte::Value);
        }
        if self.next == NextByte::Value {
            self.end += value_length(&bytes[self.end..]);
            if self.value != Value::Other {
                self.judged += self.value.read(&bytes[self.judged..self.end])?;
            }
            let Some(byte) = bytes.get(self.end) else { return Ok(Step::NeedMore) };
            self.end_value(*byte, bytes)?;
        }
        match (bytes.get(self.end), self.next) {
            (None, _) => return Ok(Step::NeedMore),
            (Some(b'\n'), NextByte::LastLf) => self.step_to(1, NextByte::Nothing),
            (Some(b'\n'), _) => self.end_line(bytes, limits),
            (Some(byte), _) => return Err(self.fault(*byte)),
        }
        Ok(Step::Complete(()))
    }

    /// The fault of the next byte, which is not legal at its place.
    fn fault(&self, byte: u8) -> Fault {
        let (line, at) = (self.at.len() as u32 + 1, (self.end - self.line) as u32 + 1);
        Fault::Field { line, at, byte }
    }

    /// How many bytes of the input are never looked at again. There are two exceptions, each looked at once more: the name
    /// of a field when its colon arrives, and a value that is a list when it is whole.
    #[cfg(test)]
    pub(super) fn judged(&self) -> usize {
        match self.next {
            NextByte::Value if self.value != Value::Other => self.judged,
            _ => self.end,
        }
    }

    /// Counts `length` more bytes as judged; `next` comes next.
    fn step_to(&mut self, length: usize, next: NextByte) {
        self.end += length;
        self.next = next;
    }

    fn begin_line(&mut self, byte: u8, limits: &Limits) -> Result<(), Fault> {
        self.line = self.end;
        match byte {
            b'\r' => {
                self.facts.check_whole()?;
                self.step_to(1, NextByte::LastLf);
            }
            b'\n' => return Err(Fault::LineEnd),
            byte if !TOKEN.has(byte) => return Err(self.fault(byte)),
            _ if self.at.len() >= limits.headers => return Err(Fault::TooManyFields),
            _ => self.next = NextByte::Name,
        }
        Ok(())
    }

    fn end_name(&mut self, byte: u8, bytes: &[u8]) -> Result<(), Fault> {
        if byte != b':' {
            return Err(self.fault(byte));
        }
        self.colon = self.end;
        self.value = self.facts.begin_value(&bytes[self.line..self.colon])?;
        self.step_to(1, NextByte::Blanks);
        Ok(())
    }

    fn end_value(&mut self, byte: u8, bytes: &[u8]) -> Result<(), Fault> {
        match byte {
            b'\r' => {}
            b'\n' => return Err(Fault::LineEnd),
            byte => return Err(self.fault(byte)),
        }
        if self.value != Value::Other {
            self.facts.finish_value(self.value, self.judged - self.start, &bytes[self.start..self.end])?;
        }
        self.step_to(1, NextByte::Lf);
        Ok(())
    }

    fn end_line(&mut self, bytes: &[u8], limits: &Limits) {
        // The value ends before the CR, and before the blanks in front of that.
        let mut end = self.end - 1;
        while end > self.start && is_blank(bytes[end - 1]) {
            end -= 1;
        }
        if self.at.len() == self.at.capacity() {
            self.grow(bytes.len() - self.end, limits);
        }
        self.at.push(Field {
            name: (self.line as u32, self.colon as u32),
            value: (self.start as u32, end as u32),
        });
        self.step_to(1, NextByte::Line);
    }

    /// Makes room for as many fields as the `left` bytes are likely to hold, or for twice as many as there are, and never for
    /// more than [`Limits::worst_case`] counts.
    #[cold]
    fn grow(&mut self, left: usize, limits: &Limits) {
        let most = limits.most_fields();
        let likely = (left / 32).max(self.at.len()).max(1);
        self.at.reserve_exact(likely.min(most.saturating_sub(self.at.len())));
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
