//! How a request body is framed, and the decoder that finds its data: length and chunked (RFC 9112, 6 and 7).

use core::ops::Range;

use super::class::TOKEN;
use super::text::is_value_byte;
use crate::error::Fault;
use crate::limits::Limits;

/// How a body is framed. There is never a guess: what is unclear was a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// This many bytes.
    Length(u64),
    /// Chunks (RFC 9112, 7.1).
    Chunked,
}

/// What a decoder found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Data, at this place of the input.
    Data(Range<usize>),
    /// All input is used and the body goes on.
    NeedMore,
    /// The body is over; what follows belongs to the next request.
    End,
}

/// Finds the data of one body in pieces of input, however they are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoder {
    state: State,
    /// Bytes of data so far, counted against [`Limits::body`].
    total: u64,
    /// Bytes that are not data so far, counted against [`Limits::chunk_overhead`].
    overhead: usize,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Data of a body with a length: this much is to come.
    Length(u64),
    /// A digit of a chunk size; none has come yet.
    SizeStart,
    /// A digit of a chunk size, or what ends it.
    Size(u64),
    /// A chunk extension (RFC 9112, 7.1.1) behind this size.
    Extension(u64, Extension),
    /// The LF behind this size.
    SizeLf(u64),
    /// Data of a chunk: this much is to come.
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
    Done,
}

/// What the next byte of a chunk extension is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// A blank, or the `;` of an extension.
    Before,
    NameStart,
    Name,
    /// A blank behind the name, or what follows it.
    NameEnd,
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    QuotedEnd,
}

impl Decoder {
    /// A decoder for a body framed so.
    pub fn new(framing: Framing) -> Decoder {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::SizeStart,
        };
        Decoder { state, total: 0, overhead: 0 }
    }

    /// Whether the whole body was read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether what is left may be read and thrown away within the limits, as far as it is known.
    pub(super) fn may_drain(&self, limits: &Limits) -> bool {
        match self.state {
            State::Length(left) => left <= limits.body as u64,
            _ => true,
        }
    }

    /// Finds the next piece of data; returns how much of the input is used up with it.
    ///
    /// # Errors
    ///
    /// The first fault in the order of the bytes. The decoder is of no use after it.
    pub fn step(&mut self, input: &[u8], limits: &Limits) -> Result<(usize, Piece), Fault> {
        let mut used = 0;
        loop {
            if self.state == State::Done {
                return Ok((used, Piece::End));
            }
            if let State::Length(left) | State::Data(left) = self.state {
                return self.data(input, used, left, limits);
            }
            let Some(byte) = input.get(used) else { return Ok((used, Piece::NeedMore)) };
            self.state = self.after(*byte, limits)?;
            used += 1;
        }
    }

    fn data(&mut self, input: &[u8], at: usize, left: u64, limits: &Limits) -> Result<(usize, Piece), Fault> {
        // Refuse a size that is too large before the first byte of it is used.
        if !self.fits(left, limits) {
            return Err(Fault::BodyTooLarge);
        }
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - at);
        if len == 0 {
            return Ok((at, Piece::NeedMore));
        }
        self.total += len as u64;
        self.state = match (self.state, left - len as u64) {
            (State::Length(_), 0) => State::Done,
            (State::Length(_), left) => State::Length(left),
            (_, 0) => State::DataCr,
            (_, left) => State::Data(left),
        };
        Ok((at + len, Piece::Data(at..at + len)))
    }

    /// Whether so many bytes of data more are within [`Limits::body`].
    fn fits(&self, size: u64, limits: &Limits) -> bool {
        self.total.saturating_add(size) <= limits.body as u64
    }

    /// The state after one more byte of framing. Each byte is compared, none is skipped.
    fn after(&mut self, byte: u8, limits: &Limits) -> Result<State, Fault> {
        match (self.state, byte) {
            (State::SizeStart, _) => {
                digit(byte).ok_or(Fault::Chunk(byte)).and_then(|size| self.sized(size, limits))
            }
            (State::Size(size), _) => self.size(size, byte, limits),
            (State::Extension(size, at), _) => {
                self.count(limits)?;
                at.after(size, byte).ok_or(Fault::Chunk(byte))
            }
            (State::SizeLf(0), b'\n') => Ok(State::Trailer),
            (State::SizeLf(size), b'\n') => Ok(State::Data(size)),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::SizeStart),
            (State::LastLf, b'\n') => Ok(State::Done),
            (State::Trailer, b'\r') => Ok(State::LastLf),
            (State::Trailer | State::TrailerName | State::TrailerValue | State::TrailerLf, _) => {
                self.count(limits)?;
                self.trailer(byte)
            }
            _ => Err(Fault::Chunk(byte)),
        }
    }

    fn size(&mut self, size: u64, byte: u8, limits: &Limits) -> Result<State, Fault> {
        match (digit(byte), byte) {
            (Some(digit), _) => {
                if size == 0 {
                    self.count(limits)?;
                }
                let size = size.checked_mul(16).ok_or(Fault::BodyTooLarge)?;
                self.sized(size + digit, limits)
            }
            (None, b'\r') => Ok(State::SizeLf(size)),
            (None, _) => {
                let next = Extension::Before.after(size, byte).ok_or(Fault::Chunk(byte))?;
                self.count(limits)?;
                Ok(next)
            }
        }
    }

    /// The state behind a digit: more of them make no size smaller, so one that is too large is refused here.
    fn sized(&self, size: u64, limits: &Limits) -> Result<State, Fault> {
        if self.fits(size, limits) { Ok(State::Size(size)) } else { Err(Fault::BodyTooLarge) }
    }

    fn trailer(&self, byte: u8) -> Result<State, Fault> {
        match (self.state, byte) {
            (State::Trailer | State::TrailerName, b) if TOKEN.has(b) => Ok(State::TrailerName),
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, b) if is_value_byte(b) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::Trailer),
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
    /// The state after one more byte. Blanks around `;` and `=` are removed (RFC 9110, 5.6.3); one that stands before
    /// neither is a fault, since parsers differ about it.
    fn after(self, size: u64, byte: u8) -> Option<State> {
        use Extension::{Before, Name, NameEnd, NameStart, Quoted, QuotedEnd, QuotedPair, Value, ValueStart};
        let next = match (self, byte) {
            (Before | Name | NameEnd | Value | QuotedEnd, b';') => NameStart,
            (Name | NameEnd, b'=') => ValueStart,
            (Name | Value | QuotedEnd, b'\r') => return Some(State::SizeLf(size)),
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
        Some(State::Extension(size, next))
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}
