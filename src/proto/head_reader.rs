//! [`HeadReader`]: a head as far as it has arrived. Bytes that are judged are not looked at again, however the head is cut.

use super::fields::{Field, Fields};
use super::request_line::RequestLine;
use super::step::Step;
use crate::error::Fault;
use crate::limits::Limits;

/// A head as far as it has arrived.
#[derive(Clone, Debug)]
pub(super) struct HeadReader {
    pub(super) line: RequestLine,
    /// The field lines, which begin once the request line is whole.
    pub(super) fields: Fields,
}

impl HeadReader {
    /// A reader that keeps its fields in `memory`, which is empty.
    pub(super) fn new(memory: Vec<Field>) -> HeadReader {
        HeadReader { line: RequestLine::NEW, fields: Fields::new(memory) }
    }

    /// Goes on reading the head at the start of `input`, which is all that has arrived; returns how many bytes the head takes.
    pub(super) fn read(&mut self, input: &[u8], limits: &Limits) -> Result<Step<usize>, Fault> {
        // A place in a head is a `u32`.
        let most = limits.head.min(u32::MAX as usize);
        let window = &input[..input.len().min(most)];
        let full = window.len() == most;
        if let Step::NeedMore = self.line.read(window)? {
            return if full { Err(Fault::TargetTooLong) } else { Ok(Step::NeedMore) };
        }
        if self.fields.end == 0 {
            self.fields.begin(self.line.end, self.line.version);
        }
        match self.fields.read(window, limits)? {
            Step::Complete(()) => Ok(Step::Complete(self.fields.end)),
            Step::NeedMore if full => Err(Fault::HeadTooLarge),
            Step::NeedMore => Ok(Step::NeedMore),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roomy() -> Limits {
        let mut limits = Limits::DEFAULT;
        (limits.head, limits.headers) = (1 << 20, 1 << 20);
        limits
    }

    /// How many bytes a reader looks at, at most, when more comes: those that it has not judged.
    fn looks_at(reader: &HeadReader, came: usize) -> usize {
        let judged = match reader.fields.end {
            0 => reader.line.judged(),
            _ => reader.fields.judged(),
        };
        came - judged
    }

    /// Reads a head byte by byte; returns how many bytes were looked at in all, and where the head ends.
    fn read_byte_by_byte(head: &[u8]) -> (usize, Result<Step<usize>, Fault>) {
        let (mut reader, mut looked, limits) = (HeadReader::new(Vec::new()), 0, roomy());
        for came in 1..=head.len() {
            looked += looks_at(&reader, came);
            match reader.read(&head[..came], &limits) {
                Ok(Step::NeedMore) => {}
                step => return (looked, step),
            }
        }
        (looked, Ok(Step::NeedMore))
    }

    #[test]
    fn what_is_judged_is_not_looked_at_again() {
        let many = |part: &str| part.repeat(10_000 / part.len());
        let field = |field: &str| format!("GET / HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n");
        for head in [
            format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", many("A")),
            format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", many("a")),
            format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", many("%41")),
            format!("GET /?{} HTTP/1.1\r\nHost: h\r\n\r\n", many("a=b&")),
            format!("GET http://{}:{}80/ HTTP/1.1\r\nHost: h\r\n\r\n", many("a"), many("0")),
            format!("GET / HTTP/1.1\r\nHost: {}:{}80{}\r\n\r\n", many("%41"), many("0"), many(" ")),
            field(&format!("{}a:", many("a:\r\n"))),
            field(&format!("{}: a", many("a"))),
            field(&format!("a:{}b", many(" "))),
            field(&format!("a: {}{}", many("b"), many(" "))),
            field(&format!("Content-Length: {}5{}", many("0"), many(" "))),
            field(&format!("Expect: {}", many("100-continue, "))),
            field(&format!("Connection: {}", many("close, "))),
        ] {
            let (looked, step) = read_byte_by_byte(head.as_bytes());
            assert_eq!(step, Ok(Step::Complete(head.len())), "{:.60}", head);
            assert!(looked < 3 * head.len(), "{looked} bytes of {}: {:.60}", head.len(), head);
        }
        let coding = field(&format!("Transfer-Encoding: {}", many("gzip, ")));
        let (looked, step) = read_byte_by_byte(coding.as_bytes());
        assert!(step == Err(Fault::TransferEncoding) && looked < 2 * coding.len(), "{looked}");
    }

    #[test]
    fn lines_that_are_whole_are_not_needed_any_more() {
        let head = b"GET /a?b HTTP/1.1\r\nHost: h\r\nA: b\r\nContent-Length: 5\r\n\r\n";
        let (mut reader, mut bytes) = (HeadReader::new(Vec::new()), head.to_vec());
        for came in 1..head.len() {
            assert_eq!(reader.read(&bytes[..came], &roomy()), Ok(Step::NeedMore));
            // Another look at a line that is over would find this.
            if head[..came].ends_with(b"\r\n") {
                bytes[..came].fill(0);
            }
        }
        assert_eq!(reader.read(&bytes, &roomy()), Ok(Step::Complete(head.len())));
    }
}
