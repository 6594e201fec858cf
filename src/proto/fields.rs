//! [`Fields`]: the field lines of a head, read one by one as they come (RFC 9112, 5).

use super::class::TOKEN;
use super::facts::Facts;
use super::step::Step;
use super::text::{blanks, is_blank, length, value_length};
use super::value::Value;
use super::version::Version;
use crate::error::Fault;
use crate::limits::Limits;

/// Where a field's name and value stand in the head. Half of a `Range`, since there are many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: (u32, u32),
    pub(super) value: (u32, u32),
}

/// The field lines of a head as far as they have come.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    next: Next,
    /// How much of the input is judged; where the head ends once it is whole.
    pub(super) end: usize,
    /// Where each whole field stands, in their order.
    pub(super) at: Vec<Field>,
    pub(super) facts: Facts,
    /// Where the line begins that is being read.
    line: usize,
    /// Where its name ends.
    colon: usize,
    /// Where its value begins.
    start: usize,
    value: Value,
    /// How much of the input the value is judged to.
    judged: usize,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The start of a line.
    Line,
    /// One more of a name, or the colon.
    Name,
    /// A blank before the value, or the value.
    Blanks,
    /// One more of a value, or the CR.
    Value,
    /// The LF behind a field.
    Lf,
    /// The LF of the empty line.
    LastLf,
    Nothing,
}

impl Fields {
    /// Those that begin at `start`.
    pub(super) fn new(start: usize, version: Version) -> Fields {
        let facts = Facts::new(version);
        let (next, at, value) = (Next::Line, Vec::new(), Value::Other);
        Fields { next, end: start, at, facts, line: start, colon: start, start, value, judged: start }
    }

    /// Goes on reading: `bytes` is all that has come of the head.
    pub(super) fn read(&mut self, bytes: &[u8], limits: &Limits) -> Result<Step<()>, Fault> {
        while self.next != Next::Nothing {
            if let Step::NeedMore = self.read_line(bytes, limits)? {
                return Ok(Step::NeedMore);
            }
        }
        Ok(Step::Complete(()))
    }

    /// Goes on reading a line, from what is next in it to its end.
    fn read_line(&mut self, bytes: &[u8], limits: &Limits) -> Result<Step<()>, Fault> {
        if self.next == Next::Line {
            let Some(byte) = bytes.get(self.end) else { return Ok(Step::NeedMore) };
            self.begin_line(*byte, limits)?;
        }
        if self.next == Next::Name {
            self.end += length(&bytes[self.end..], TOKEN);
            let Some(byte) = bytes.get(self.end) else { return Ok(Step::NeedMore) };
            self.end_name(*byte, bytes)?;
        }
        if self.next == Next::Blanks {
            self.end += blanks(&bytes[self.end..]);
            if self.end == bytes.len() {
                return Ok(Step::NeedMore);
            }
            (self.start, self.judged, self.next) = (self.end, self.end, Next::Value);
        }
        if self.next == Next::Value {
            self.end += value_length(&bytes[self.end..]);
            if self.value != Value::Other {
                self.judged += self.value.read(&bytes[self.judged..self.end])?;
            }
            let Some(byte) = bytes.get(self.end) else { return Ok(Step::NeedMore) };
            self.end_value(*byte, bytes)?;
        }
        match (bytes.get(self.end), self.next) {
            (None, _) => return Ok(Step::NeedMore),
            (Some(b'\n'), Next::LastLf) => self.go_on(1, Next::Nothing),
            (Some(b'\n'), _) => self.end_line(bytes, limits),
            (Some(byte), _) => return Err(self.fault(*byte)),
        }
        Ok(Step::Complete(()))
    }

    /// This byte, which comes next, is not legal.
    fn fault(&self, byte: u8) -> Fault {
        let (line, at) = (self.at.len() as u32 + 1, (self.end - self.line) as u32 + 1);
        Fault::Field { line, at, byte }
    }

    /// How much of the input is not looked at again but for the name of a field, once, when its colon comes, and a value
    /// that is a list, once, when it is whole.
    #[cfg(test)]
    pub(super) fn judged(&self) -> usize {
        match self.next {
            Next::Value if self.value != Value::Other => self.judged,
            _ => self.end,
        }
    }

    /// So much more is judged, and this comes next.
    fn go_on(&mut self, length: usize, next: Next) {
        self.end += length;
        self.next = next;
    }

    fn begin_line(&mut self, byte: u8, limits: &Limits) -> Result<(), Fault> {
        self.line = self.end;
        match byte {
            b'\r' => {
                self.facts.check()?;
                self.go_on(1, Next::LastLf);
            }
            b'\n' => return Err(Fault::LineEnd),
            byte if !TOKEN.has(byte) => return Err(self.fault(byte)),
            _ if self.at.len() >= limits.headers => return Err(Fault::TooManyFields),
            _ => self.next = Next::Name,
        }
        Ok(())
    }

    fn end_name(&mut self, byte: u8, bytes: &[u8]) -> Result<(), Fault> {
        if byte != b':' {
            return Err(self.fault(byte));
        }
        self.colon = self.end;
        self.value = self.facts.begin(&bytes[self.line..self.colon])?;
        self.go_on(1, Next::Blanks);
        Ok(())
    }

    fn end_value(&mut self, byte: u8, bytes: &[u8]) -> Result<(), Fault> {
        match byte {
            b'\r' => {}
            b'\n' => return Err(Fault::LineEnd),
            byte => return Err(self.fault(byte)),
        }
        if self.value != Value::Other {
            self.facts.finish(self.value, self.judged - self.start, &bytes[self.start..self.end])?;
        }
        self.go_on(1, Next::Lf);
        Ok(())
    }

    fn end_line(&mut self, bytes: &[u8], limits: &Limits) {
        // Without the CR and the blanks before it.
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
        self.go_on(1, Next::Line);
    }

    /// Makes room for as many fields as seem to come, at most twice as many as there are, and never for more than are
    /// counted in [`Limits::worst_case`].
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
