//! [`BodyDecoder`]: finds the data of a request body, by its length or in its chunks (RFC 9112, 6 and 7).

use core::ops::Range;

use super::class::TOKEN;
use super::text::is_value_byte;
use crate::error::Fault;
use crate::limits::Limits;

/// How a request body is framed. It is never guessed: a head whose framing is unclear is a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The request has no body.
    None,
    /// The body has this many bytes.
    Length(u64),
    /// The body comes in chunks (RFC 9112, 7.1).
    Chunked,
}

/// What one step of the decoder found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Data, at this place of the input.
    Data(Range<usize>),
    /// All of the input is used, and the body goes on.
    NeedMore,
    /// The body is over; the bytes that follow belong to the next request.
    End,
}

/// Finds the data of one request body. The data does not depend on how the input is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyDecoder {
    next: NextByte,
    /// Bytes of data that have come, counted against [`Limits::body`].
    total: u64,
    /// Bytes of extensions, leading zeros and trailers that have come, counted against [`Limits::chunk_overhead`].
    overhead: usize,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextByte {
    /// Data of a body with a length, of which so many bytes are to come.
    Length(u64),
    /// The first digit of a chunk size.
    SizeStart,
    /// A further digit of this chunk size, or the byte that ends it.
    Size(u64),
    /// A byte of a chunk extension (RFC 9112, 7.1.1) behind this size.
    Extension(u64, Extension),
    /// The LF behind this size.
    SizeLf(u64),
    /// Data of a chunk, of which so many bytes are to come.
    Data(u64),
    /// The CR behind the data.
    DataCr,
    /// The LF behind the data.
    DataLf,
    /// The start of a trailer field, or of the last line.
    Trailer,
    /// A trailer's name.
    TrailerName,
    /// A trailer's value.
    TrailerValue,
    /// The LF behind a trailer.
    TrailerLf,
    /// The LF of the last line.
    LastLf,
    /// Nothing.
    Nothing,
}

/// What the next byte of a chunk extension is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// A blank, or the `;` of an extension.
    Before,
    NameStart,
    Name,
    /// A blank behind the name, or the `=`, `;` or CR that follows the blanks.
    NameEnd,
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    QuotedEnd,
}

impl BodyDecoder {
    /// A decoder for a body with this framing.
    pub fn new(framing: Framing) -> BodyDecoder {
        let next = match framing {
            Framing::None | Framing::Length(0) => NextByte::Nothing,
            Framing::Length(length) => NextByte::Length(length),
            Framing::Chunked => NextByte::SizeStart,
        };
        BodyDecoder { next, total: 0, overhead: 0 }
    }

    /// Whether the whole body was read.
    pub fn is_done(&self) -> bool {
        self.next == NextByte::Nothing
    }

    /// Whether the rest of the body may be read and discarded within the limits, as far as its size is known.
    pub(super) fn may_drain(&self, limits: &Limits) -> bool {
        match self.next {
            NextByte::Length(left) => left <= limits.body as u64,
            _ => true,
        }
    }

    /// Finds the next piece of data; returns how many bytes of the input are used up with it.
    ///
    /// # Errors
    ///
    /// The first fault in the order of the bytes. The decoder is of no use after it.
    pub fn step(&mut self, input: &[u8], limits: &Limits) -> Result<(usize, Piece), Fault> {
        let mut used = 0;
        loop {
            if self.next == NextByte::Nothing {
                return Ok((used, Piece::End));
            }
            if let NextByte::Length(left) | NextByte::Data(left) = self.next {
                return self.data(input, used, left, limits);
            }
            let Some(byte) = input.get(used) else { return Ok((used, Piece::NeedMore)) };
            self.next = self.after(*byte, limits)?;
            used += 1;
        }
    }

    fn data(&mut self, input: &[u8], at: usize, left: u64, limits: &Limits) -> Result<(usize, Piece), Fault> {
        // Refuse a size that is too large before the first byte of its data is used.
        if !self.fits(left, limits) {
            return Err(Fault::BodyTooLarge);
        }
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - at);
        if len == 0 {
            return Ok((at, Piece::NeedMore));
        }
        self.total += len as u64;
        self.next = match (self.next, left - len as u64) {
            (NextByte::Length(_), 0) => NextByte::Nothing,
            (NextByte::Length(_), left) => NextByte::Length(left),
            (_, 0) => NextByte::DataCr,
            (_, left) => NextByte::Data(left),
        };
        Ok((at + len, Piece::Data(at..at + len)))
    }

    /// Whether so many more bytes of data are within [`Limits::body`].
    fn fits(&self, size: u64, limits: &Limits) -> bool {
        self.total.saturating_add(size) <= limits.body as u64
    }

    /// What comes after one more byte of framing. Each byte is compared, none is skipped.
    fn after(&mut self, byte: u8, limits: &Limits) -> Result<NextByte, Fault> {
        match (self.next, byte) {
            (NextByte::SizeStart, _) => {
                digit(byte).ok_or(Fault::Chunk(byte)).and_then(|size| self.sized(size, limits))
            }
            (NextByte::Size(size), _) => self.size(size, byte, limits),
            (NextByte::Extension(size, at), _) => {
                self.count(limits)?;
                at.after(size, byte).ok_or(Fault::Chunk(byte))
            }
            (NextByte::SizeLf(0), b'\n') => Ok(NextByte::Trailer),
            (NextByte::SizeLf(size), b'\n') => Ok(NextByte::Data(size)),
            (NextByte::DataCr, b'\r') => Ok(NextByte::DataLf),
            (NextByte::DataLf, b'\n') => Ok(NextByte::SizeStart),
            (NextByte::LastLf, b'\n') => Ok(NextByte::Nothing),
            (NextByte::Trailer, b'\r') => Ok(NextByte::LastLf),
            (NextByte::Trailer | NextByte::TrailerName | NextByte::TrailerValue | NextByte::TrailerLf, _) => {
                self.count(limits)?;
                self.trailer(byte)
            }
            _ => Err(Fault::Chunk(byte)),
        }
    }

    fn size(&mut self, size: u64, byte: u8, limits: &Limits) -> Result<NextByte, Fault> {
        match (digit(byte), byte) {
            (Some(digit), _) => {
                if size == 0 {
                    self.count(limits)?;
                }
                let size = size.checked_mul(16).ok_or(Fault::BodyTooLarge)?;
                self.sized(size + digit, limits)
            }
            (None, b'\r') => Ok(NextByte::SizeLf(size)),
            (None, _) => {
                let next = Extension::Before.after(size, byte).ok_or(Fault::Chunk(byte))?;
                self.count(limits)?;
                Ok(next)
            }
        }
    }

    /// What comes behind a digit of a size. Further digits make no size smaller, so a size that is too large is refused here.
    fn sized(&self, size: u64, limits: &Limits) -> Result<NextByte, Fault> {
        if self.fits(size, limits) { Ok(NextByte::Size(size)) } else { Err(Fault::BodyTooLarge) }
    }

    fn trailer(&self, byte: u8) -> Result<NextByte, Fault> {
        match (self.next, byte) {
            (NextByte::Trailer | NextByte::TrailerName, b) if TOKEN.has(b) => Ok(NextByte::TrailerName),
            (NextByte::TrailerName, b':') => Ok(NextByte::TrailerValue),
            (NextByte::TrailerValue, b'\r') => Ok(NextByte::TrailerLf),
            (NextByte::TrailerValue, b) if is_value_byte(b) => Ok(NextByte::TrailerValue),
            (NextByte::TrailerLf, b'\n') => Ok(NextByte::Trailer),
            _ => Err(Fault::Chunk(byte)),
        }
    }

    /// Counts one byte that is not data.
    fn count(&mut self, limits: &Limits) -> Result<(), Fault> {
        self.overhead += 1;
        if self.overhead > limits.chunk_overhead { Err(Fault::ChunkOverhead) } else { Ok(()) }
    }
}

impl Extension {
    /// What comes after one more byte of an extension. Blanks around `;` and `=` are legal (RFC 9110, 5.6.3). A blank that
    /// stands before neither is a fault, since parsers differ about it.
    fn after(self, size: u64, byte: u8) -> Option<NextByte> {
        use Extension::{Before, Name, NameEnd, NameStart, Quoted, QuotedEnd, QuotedPair, Value, ValueStart};
        let next = match (self, byte) {
            (Before | Name | NameEnd | Value | QuotedEnd, b';') => NameStart,
            (Name | NameEnd, b'=') => ValueStart,
            (Name | Value | QuotedEnd, b'\r') => return Some(NextByte::SizeLf(size)),
            (NameStart | ValueStart | Before | NameEnd, b' ' | b'\t') => self,
            (Name, b' ' | b'\t') => NameEnd,
            (Value | QuotedEnd, b' ' | b'\t') => Before,
            (NameStart | Name, b) if TOKEN.has(b) => Name,
            (ValueStart, b'"') => Quoted,
            (ValueStart | Value, b) if TOKEN.has(b) => Value,
            (Quoted, b'"') => QuotedEnd,
            (Quoted, b'\\') => QuotedPair,
            (Quoted | QuotedPair, b) if is_value_byte(b) => Quoted,
            _ => return None,
        };
        Some(NextByte::Extension(size, next))
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}
