//! [`Http1`]: the server's half of one HTTP/1.1 connection as a state machine. Read this file first.
//!
//! Bytes that came go in by [`Http1::receive`], requests come out of [`Http1::head`] and [`Http1::data`], and
//! the bytes of an answer are appended to a buffer of the caller's. [`Http1::state`] says at any time what the machine
//! is at, as one value with both sides in it; to ask changes nothing. The two sides move on their own (a body is read
//! while the answer streams, pipelined bytes wait behind it), and meet at the end of an exchange:
//!
//! | receiving  | means                                          | leaves by                                            |
//! | ---------- | ---------------------------------------------- | ---------------------------------------------------- |
//! | `First`    | no byte of the connection's first request came | a byte → `Head`; the end → `Over`                    |
//! | `Idle`     | no byte of the next request came               | a byte → `Head`; the end → `Over`                    |
//! | `Head`     | part of a head came                            | a head → `Body` or `Complete`; a fault, the end → `Over` |
//! | `Body`     | data is to come, or to be thrown away          | its end → `Complete`; a fault, `discard` → `Over`    |
//! | `Complete` | the whole request was read                     | the answer was sent, `head` is called → `Idle` or `Head`; `discard` → `Discard` |
//! | `Discard`  | pipelined bytes are thrown away                | `close` → `Over`                                     |
//! | `Over`     | all that comes is thrown away                  |                                                      |
//!
//! | sending     | means                                 | leaves by                                            |
//! | ----------- | ------------------------------------- | ---------------------------------------------------- |
//! | `Idle`      | no request waits for an answer        | a head → `Owed`; `refuse`, `close` → `Over`          |
//! | `Owed`      | the answer was not begun              | `respond` → `Sent` or `Over`; `start` → `Streaming`  |
//! | `Streaming` | its head was sent, pieces follow      | `finish` → `Sent` or `Over`                          |
//! | `Sent`      | the answer is whole, another may come | `head` → `Idle`                                      |
//! | `Over`      | the last answer was given             |                                                      |

mod answer;

use core::ops::Range;

use super::body::{Decoder, Framing, Piece};
use super::head::Head;
use super::input::{Input, READ};
use super::step::Step;
use super::version::Version;
use crate::error::Fault;
use crate::limits::Limits;

/// The server's half of one HTTP/1.1 connection, without I/O.
#[derive(Debug)]
pub struct Http1 {
    /// What was received and not yet used. At most [`Limits::head`] or one read, whichever is more. What was handed
    /// out of it as data is dropped when more is received.
    input: Input,
    /// Whether the peer ended its input.
    ended: bool,
    reader: Reader,
    writer: Writer,
}

/// What a connection is at, on both of its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What is to come from the peer.
    pub receiving: Receiving,
    /// What is to go to the peer.
    pub sending: Sending,
    /// Whether the peer ended its input: what was received is still answered.
    pub ended: bool,
}

/// What is to come from the peer. The table above has what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table of the module has them")]
pub enum Receiving {
    First,
    Idle,
    Head,
    Body,
    Complete,
    Discard,
    Over,
}

/// What is to go to the peer. The table above has what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table of the module has them")]
pub enum Sending {
    Idle,
    Owed,
    Streaming,
    Sent,
    Over,
}

/// The receiving side, with what it carries along.
#[derive(Debug)]
enum Reader {
    /// `First`, or `Head` once a byte is there.
    First,
    /// `Idle`, or `Head` once a byte is there.
    Next,
    // Boxed, since most connections are not in a body.
    Body(Box<Decoder>),
    Complete,
    Discard,
    Over,
}

/// The sending side, with what it carries along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Idle,
    Owed(Terms),
    Streaming(Stream),
    Sent,
    Over,
}

/// What a request says about its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    version: Version,
    /// HEAD: the answer's head only.
    head_only: bool,
    /// Whether the connection may go on afterwards.
    keep: bool,
    /// Whether the client still waits for a 100.
    expects_continue: bool,
}

/// A streamed answer of which the head was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stream {
    pieces: Pieces,
    keep: bool,
}

/// How the pieces of a streamed answer are written. (Less than a `Coding`, which would make every connection larger.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    /// As chunks.
    Chunked,
    /// As they are, until the close.
    Plain,
    /// Not at all: an answer to HEAD, or one that has no content.
    Dropped,
}

/// What a step towards the next request found.
#[derive(Debug)]
pub enum Turn {
    /// A request; its answer is owed now.
    Head(Head),
    /// More bytes are needed.
    NeedMore,
    /// There will be no further request.
    End,
}

impl Http1 {
    /// A connection on which nothing has happened.
    pub fn new() -> Http1 {
        Http1 { input: Input::EMPTY, ended: false, reader: Reader::First, writer: Writer::Idle }
    }

    /// What the connection is at.
    pub fn state(&self) -> State {
        let receiving = match self.reader {
            Reader::First if self.is_between() => Receiving::First,
            Reader::Next if self.is_between() => Receiving::Idle,
            Reader::First | Reader::Next => Receiving::Head,
            Reader::Body(_) => Receiving::Body,
            Reader::Complete => Receiving::Complete,
            Reader::Discard => Receiving::Discard,
            Reader::Over => Receiving::Over,
        };
        let sending = match self.writer {
            Writer::Idle => Sending::Idle,
            Writer::Owed(_) => Sending::Owed,
            Writer::Streaming(_) => Sending::Streaming,
            Writer::Sent => Sending::Sent,
            Writer::Over => Sending::Over,
        };
        State { receiving, sending, ended: self.ended }
    }

    /// Whether no byte of the next request has come. An empty line in front of it is none (RFC 9112, 2.2): some
    /// clients send one behind a body.
    fn is_between(&self) -> bool {
        matches!(self.input.bytes(), b"" | b"\r" | b"\r\n")
    }

    /// How many bytes [`receive`](Http1::receive) takes now; 0 if something must be used first.
    pub fn room(&self, limits: &Limits) -> usize {
        let most = match self.reader {
            Reader::Body(_) | Reader::Discard | Reader::Over => READ,
            Reader::First | Reader::Next | Reader::Complete => limits.head,
        };
        if self.ended { 0 } else { most.saturating_sub(self.input.len()) }
    }

    /// Takes bytes that came from the peer, at most [`room`](Http1::room), and throws them away where
    /// [`state`](Http1::state) says so.
    pub fn receive(&mut self, bytes: &[u8]) {
        match self.reader {
            Reader::Discard | Reader::Over => self.input = Input::EMPTY,
            _ => self.input.push(bytes),
        }
    }

    /// The peer ended its input. What was received is still answered.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// How many bytes are received and not yet used.
    pub fn buffered(&self) -> usize {
        self.input.len()
    }

    /// The next request, once the last answer is sent. What is left of the last body is thrown away first.
    ///
    /// # Errors
    ///
    /// A fault of the peer's; [`refuse`](Http1::refuse) tells it, and nothing more is read.
    pub fn head(&mut self, limits: &Limits) -> Result<Turn, Fault> {
        match self.writer {
            Writer::Idle | Writer::Sent => {}
            Writer::Owed(_) | Writer::Streaming(_) | Writer::Over => return Ok(Turn::End),
        }
        while let Reader::Body(_) = self.reader {
            if self.data(limits)? == Piece::NeedMore {
                return Ok(Turn::NeedMore);
            }
        }
        if let Reader::Complete = self.reader {
            (self.reader, self.writer) = (Reader::Next, Writer::Idle);
        }
        let turn = self.parse(limits);
        if !matches!(turn, Ok(Turn::Head(_) | Turn::NeedMore)) {
            self.reader = Reader::Over;
        }
        turn
    }

    fn parse(&mut self, limits: &Limits) -> Result<Turn, Fault> {
        if let Reader::Discard | Reader::Over = self.reader {
            return Ok(Turn::End);
        }
        match self.input.take_head(limits)? {
            Step::Complete(head) => {
                self.begin(&head);
                Ok(Turn::Head(head))
            }
            Step::NeedMore if !self.ended => Ok(Turn::NeedMore),
            Step::NeedMore if self.is_between() => Ok(Turn::End),
            Step::NeedMore => Err(Fault::Incomplete),
        }
    }

    fn begin(&mut self, head: &Head) {
        self.reader = match head.framing() {
            Framing::None | Framing::Length(0) => Reader::Complete,
            framing => Reader::Body(Box::new(Decoder::new(framing))),
        };
        self.writer = Writer::Owed(Terms {
            version: head.version(),
            head_only: head.method() == "HEAD",
            keep: head.keep_alive(),
            expects_continue: head.expects_continue(),
        });
    }

    /// The next piece of the request's body; [`bytes`](Http1::bytes) has the data until the next call.
    ///
    /// # Errors
    ///
    /// A fault of the peer's; nothing more is read.
    pub fn data(&mut self, limits: &Limits) -> Result<Piece, Fault> {
        self.input.use_taken();
        let decoder = match &mut self.reader {
            Reader::Body(decoder) => decoder,
            Reader::Over => return Err(Fault::Incomplete),
            _ => return Ok(Piece::End),
        };
        let step = decoder.step(self.input.bytes(), limits).and_then(|(used, piece)| match piece {
            Piece::NeedMore if self.ended => Err(Fault::Incomplete),
            piece => Ok((used, piece)),
        });
        match step {
            Ok((used, Piece::Data(range))) => {
                self.input.hand_out(used);
                Ok(Piece::Data(range))
            }
            Ok((used, piece)) => {
                self.input.discard(used);
                if piece == Piece::End {
                    self.reader = Reader::Complete;
                }
                Ok(piece)
            }
            Err(fault) => {
                (self.reader, self.input) = (Reader::Over, Input::EMPTY);
                Err(fault)
            }
        }
    }

    /// Drops what was handed out as data, so that it takes no memory any more.
    pub fn drop_data(&mut self) {
        self.input.drop_taken();
    }

    /// The data of a piece.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.input.bytes().get(range).unwrap_or_default()
    }

    /// Appends `100 Continue` if the client waits for it, none of its body came (RFC 9110, 10.1.1), and it is not
    /// known to be too large.
    pub fn go_on(&mut self, limits: &Limits, out: &mut Vec<u8>) {
        let welcome = matches!(&self.reader, Reader::Body(decoder) if decoder.may_drain(limits));
        if let Writer::Owed(terms) = &mut self.writer {
            if terms.expects_continue && !welcome {
                return;
            }
            if terms.expects_continue && self.input.bytes().is_empty() {
                out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            terms.expects_continue = false;
        }
    }

    /// Throws away what was received and not yet used, and all that comes from now on. The answer is the last, for
    /// nobody knows what was thrown away.
    pub fn discard(&mut self) {
        self.make_last();
        self.input = Input::EMPTY;
        self.reader = match self.reader {
            Reader::Complete | Reader::Discard => Reader::Discard,
            _ => Reader::Over,
        };
    }

    /// This answer is the last: the connection closes after it.
    pub fn make_last(&mut self) {
        match &mut self.writer {
            Writer::Owed(terms) => terms.keep = false,
            Writer::Streaming(stream) => stream.keep = false,
            Writer::Idle | Writer::Sent => self.writer = Writer::Over,
            Writer::Over => {}
        }
    }
}

impl Default for Http1 {
    fn default() -> Http1 {
        Http1::new()
    }
}
