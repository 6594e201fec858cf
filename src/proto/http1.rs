//! [`Http1`]: the server's half of one HTTP/1.1 connection as a state machine. Read this file first.
//!
//! Received bytes go in by [`Http1::receive`], requests come out of [`Http1::head`] and [`Http1::data`], and the bytes
//! of a response are appended to a buffer of the caller's. [`Http1::state`] is one value with the states of both sides;
//! to ask for it changes nothing. The two sides move on their own (a body is read while the response streams, pipelined
//! bytes wait behind it), and meet at the end of an exchange:
//!
//! | receiving  | means                                          | leaves by                                            |
//! | ---------- | ---------------------------------------------- | ---------------------------------------------------- |
//! | `First`    | no byte of the connection's first request came | a byte → `Head`; the end → `Over`                    |
//! | `Idle`     | no byte of the next request came               | a byte → `Head`; the end → `Over`                    |
//! | `Head`     | part of a head came                            | a head → `Body` or `Complete`; a fault, the end → `Over` |
//! | `Body`     | data is to come, or to be discarded            | its end → `Complete`; a fault, `discard` → `Over`    |
//! | `Complete` | the whole request was read                     | the answer was sent, `head` is called → `Idle` or `Head`; `discard` → `Discard` |
//! | `Discard`  | pipelined bytes are discarded                  | `close` → `Over`                                     |
//! | `Over`     | all further bytes are discarded                |                                                      |
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

use super::body::{BodyDecoder, Framing, Piece};
use super::head::Head;
use super::input::{Input, READ};
use super::step::Step;
use super::version::Version;
use crate::error::Fault;
use crate::limits::Limits;

/// The server's half of one HTTP/1.1 connection, without I/O.
#[derive(Debug)]
pub struct Http1 {
    /// The bytes that were received and not yet used: at most [`Limits::head`] or one read, whichever is more. Bytes that
    /// are handed out as data are dropped when more are received.
    input: Input,
    /// Whether the client has ended its input.
    ended: bool,
    receiving: ReceivingSide,
    sending: SendingSide,
}

/// The states of both sides of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The state of the receiving side.
    pub receiving: Receiving,
    /// The state of the sending side.
    pub sending: Sending,
    /// Whether the client has ended its input: requests that were received are still answered.
    pub ended: bool,
}

/// The state of the receiving side. The first table of the module says what each state means.
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

/// The state of the sending side. The second table of the module says what each state means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table of the module has them")]
pub enum Sending {
    Idle,
    Owed,
    Streaming,
    Sent,
    Over,
}

/// The receiving side: its state, and the data that belongs to that.
#[derive(Debug)]
enum ReceivingSide {
    /// `First`, or `Head` once a byte is there.
    First,
    /// `Idle`, or `Head` once a byte is there.
    Next,
    // Boxed, since most connections read no body.
    Body(Box<BodyDecoder>),
    Complete,
    Discard,
    Over,
}

/// The sending side: its state, and the data that belongs to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SendingSide {
    Idle,
    Owed(Terms),
    Streaming(StreamedBody),
    Sent,
    Over,
}

/// What a request says about its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    version: Version,
    /// Whether only the head of the response is sent, since the method is HEAD.
    head_only: bool,
    /// Whether the connection may persist after the response.
    keep: bool,
    /// Whether the client still waits for a 100.
    expects_continue: bool,
}

/// A streamed response whose head was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StreamedBody {
    pieces: Pieces,
    keep: bool,
}

/// How the pieces of a streamed body are written. (A `Coding` would make every connection larger.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    /// Each piece is a chunk.
    Chunked,
    /// The pieces are written as they are, until the close.
    Plain,
    /// The pieces are not written: the response is to a HEAD, or its status has no body.
    Dropped,
}

/// What a step towards the head of the next request found.
#[derive(Debug)]
pub enum NextHead {
    /// The head of a request is whole, and the request is to be answered now.
    Whole,
    /// More bytes are needed.
    NeedMore,
    /// There will be no further request.
    End,
}

impl Http1 {
    /// The state machine of a connection on which no byte was received.
    pub fn new() -> Http1 {
        Http1 {
            input: Input::EMPTY,
            ended: false,
            receiving: ReceivingSide::First,
            sending: SendingSide::Idle,
        }
    }

    /// The states of both sides.
    // Inlined, since mostly one side is looked at, and the other need not be computed.
    #[inline]
    pub fn state(&self) -> State {
        let receiving = match self.receiving {
            ReceivingSide::First if self.is_between() => Receiving::First,
            ReceivingSide::Next if self.is_between() => Receiving::Idle,
            ReceivingSide::First | ReceivingSide::Next => Receiving::Head,
            ReceivingSide::Body(_) => Receiving::Body,
            ReceivingSide::Complete => Receiving::Complete,
            ReceivingSide::Discard => Receiving::Discard,
            ReceivingSide::Over => Receiving::Over,
        };
        let sending = match self.sending {
            SendingSide::Idle => Sending::Idle,
            SendingSide::Owed(_) => Sending::Owed,
            SendingSide::Streaming(_) => Sending::Streaming,
            SendingSide::Sent => Sending::Sent,
            SendingSide::Over => Sending::Over,
        };
        State { receiving, sending, ended: self.ended }
    }

    /// Whether no byte of the next request was received. An empty line before a request is not part of it (RFC 9112, 2.2):
    /// some clients send one behind a body.
    #[inline]
    fn is_between(&self) -> bool {
        matches!(self.input.bytes(), b"" | b"\r" | b"\r\n")
    }

    /// How many bytes [`receive`](Http1::receive) takes now; 0 if received bytes must be used first.
    pub fn room(&self, limits: &Limits) -> usize {
        let most = match self.receiving {
            ReceivingSide::Body(_) | ReceivingSide::Discard | ReceivingSide::Over => READ,
            // If `head` is zero, one byte must be received to tell the client.
            ReceivingSide::First | ReceivingSide::Next | ReceivingSide::Complete => limits.head.max(1),
        };
        if self.ended { 0 } else { most.saturating_sub(self.input.len()) }
    }

    /// Takes bytes of the client, at most [`room`](Http1::room), and discards them in the states `Discard` and `Over`.
    pub fn receive(&mut self, bytes: &[u8]) {
        match self.receiving {
            ReceivingSide::Discard | ReceivingSide::Over => self.input.clear(),
            _ => self.input.push(bytes),
        }
    }

    /// The client has ended its input. Requests that were received are still answered.
    pub fn end_input(&mut self) {
        self.ended = true;
    }

    /// How many bytes were received and not yet used.
    pub fn buffered(&self) -> usize {
        self.input.len()
    }

    /// Makes `head` the head of the next request, once that has arrived and the last response is whole. The rest of the last
    /// request's body is discarded first. `head` must be empty; its memory is used.
    ///
    /// # Errors
    ///
    /// A fault of the client; [`refuse`](Http1::refuse) tells the client of it, and nothing more is read.
    pub fn head(&mut self, head: &mut Head, limits: &Limits) -> Result<NextHead, Fault> {
        match self.sending {
            SendingSide::Idle | SendingSide::Sent => {}
            SendingSide::Owed(_) | SendingSide::Streaming(_) | SendingSide::Over => return Ok(NextHead::End),
        }
        while let ReceivingSide::Body(_) = self.receiving {
            if self.data(limits)? == Piece::NeedMore {
                return Ok(NextHead::NeedMore);
            }
        }
        if let ReceivingSide::Complete = self.receiving {
            (self.receiving, self.sending) = (ReceivingSide::Next, SendingSide::Idle);
        }
        let next = self.parse(head, limits);
        if !matches!(next, Ok(NextHead::Whole | NextHead::NeedMore)) {
            self.receiving = ReceivingSide::Over;
        }
        next
    }

    fn parse(&mut self, head: &mut Head, limits: &Limits) -> Result<NextHead, Fault> {
        if let ReceivingSide::Discard | ReceivingSide::Over = self.receiving {
            return Ok(NextHead::End);
        }
        match self.input.take_head(head, limits)? {
            Step::Complete(()) => {
                self.begin_request(head);
                Ok(NextHead::Whole)
            }
            Step::NeedMore if !self.ended => Ok(NextHead::NeedMore),
            Step::NeedMore if self.is_between() => Ok(NextHead::End),
            Step::NeedMore => Err(Fault::Incomplete),
        }
    }

    fn begin_request(&mut self, head: &Head) {
        self.receiving = match head.framing() {
            Framing::None | Framing::Length(0) => ReceivingSide::Complete,
            framing => ReceivingSide::Body(Box::new(BodyDecoder::new(framing))),
        };
        self.sending = SendingSide::Owed(Terms {
            version: head.version(),
            head_only: head.method() == "HEAD",
            keep: head.keep_alive(),
            expects_continue: head.expects_continue(),
        });
    }

    /// The next piece of the request's body; [`bytes`](Http1::bytes) has its data until the next call.
    ///
    /// # Errors
    ///
    /// A fault of the client; nothing more is read.
    pub fn data(&mut self, limits: &Limits) -> Result<Piece, Fault> {
        self.input.use_taken();
        let decoder = match &mut self.receiving {
            ReceivingSide::Body(decoder) => decoder,
            ReceivingSide::Over => return Err(Fault::Incomplete),
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
                self.input.drop_front(used);
                if piece == Piece::End {
                    self.receiving = ReceivingSide::Complete;
                }
                Ok(piece)
            }
            Err(fault) => {
                self.receiving = ReceivingSide::Over;
                self.input.clear();
                Err(fault)
            }
        }
    }

    /// Drops the bytes that are handed out as data, so that they take no memory any more.
    pub fn drop_data(&mut self) {
        self.input.drop_taken();
    }

    /// The data of a piece, which stands at this place.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.input.bytes().get(range).unwrap_or_default()
    }

    /// Appends `100 Continue` if the client waits for it, no byte of the body was received (RFC 9110, 10.1.1), and the body
    /// is not known to be too large.
    pub fn push_continue(&mut self, limits: &Limits, out: &mut Vec<u8>) {
        let welcome = matches!(&self.receiving, ReceivingSide::Body(decoder) if decoder.may_drain(limits));
        if let SendingSide::Owed(terms) = &mut self.sending {
            if terms.expects_continue && !welcome {
                return;
            }
            if terms.expects_continue && self.input.bytes().is_empty() {
                out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            terms.expects_continue = false;
        }
    }

    /// Discards the bytes that were received and not yet used, and all further bytes. The response is the last, since the
    /// discarded bytes may be requests.
    pub fn discard(&mut self) {
        self.make_last();
        self.input.clear();
        self.receiving = match self.receiving {
            ReceivingSide::Complete | ReceivingSide::Discard => ReceivingSide::Discard,
            _ => ReceivingSide::Over,
        };
    }

    /// Makes this response the last: the connection closes after it.
    pub fn make_last(&mut self) {
        match &mut self.sending {
            SendingSide::Owed(terms) => terms.keep = false,
            SendingSide::Streaming(stream) => stream.keep = false,
            SendingSide::Idle | SendingSide::Sent => self.sending = SendingSide::Over,
            SendingSide::Over => {}
        }
    }
}

impl Default for Http1 {
    fn default() -> Http1 {
        Http1::new()
    }
}
