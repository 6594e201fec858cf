//! [`Http1`]: the server's half of one HTTP/1.1 connection as a state machine. Read this file first.
//!
//! Bytes that came go in by [`Http1::receive`], requests come out of [`Http1::head`] and [`Http1::data`], and
//! the bytes of an answer are appended to a buffer of the caller's. The receiving and the sending half move on
//! their own, and meet at the end of an exchange:
//!
//! | receiving  | means                                 | leaves by                                            |
//! | ---------- | ------------------------------------- | ---------------------------------------------------- |
//! | `Head`     | a head is to come                     | a head → `Body` or `Complete`; a fault, the end → `Over` |
//! | `Body`     | data is to come, or to be drained     | its end → `Complete`; a fault → `Over`               |
//! | `Complete` | the whole request was read            | the answer was sent, `head` is called → `Head`       |
//! | `Over`     | nothing more is read                  |                                                      |
//!
//! | sending     | means                                | leaves by                                            |
//! | ----------- | ------------------------------------ | ---------------------------------------------------- |
//! | `Idle`      | no request waits for an answer       | a head → `Owed`; a refusal → `Over`                  |
//! | `Owed`      | the answer was not begun             | `respond` → `Sent` or `Over`; `start` → `Streaming`  |
//! | `Streaming` | its head was sent, pieces follow     | `finish` → `Sent` or `Over`                          |
//! | `Sent`      | the answer is whole, another may come | `head` → `Idle`                                     |
//! | `Over`      | nothing more is sent                 |                                                      |

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
    receiving: Receiving,
    sending: Sending,
}

#[derive(Debug)]
enum Receiving {
    Head,
    // Boxed, since most connections are not in a body.
    Body(Box<Decoder>),
    Complete,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
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
    /// Whether something that came behind the request was thrown away.
    torn: bool,
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

/// What the connection does next.
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
        Http1 { input: Input::EMPTY, ended: false, receiving: Receiving::Head, sending: Sending::Idle }
    }

    /// How many bytes [`receive`](Http1::receive) takes now; 0 if something must be used first.
    pub fn room(&self, limits: &Limits) -> usize {
        let most = match self.receiving {
            Receiving::Body(_) => READ,
            Receiving::Head | Receiving::Complete => limits.head,
            Receiving::Over => 0,
        };
        if self.ended { 0 } else { most.saturating_sub(self.input.len()) }
    }

    /// Takes bytes that came from the peer, at most [`room`](Http1::room).
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// The peer ended its input. What was received is still answered.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether the peer ended its input.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether no byte of the next request has come. An empty line in front of it is none (RFC 9112, 2.2): some
    /// clients send one behind a body.
    pub fn is_between(&self) -> bool {
        matches!(self.input.bytes(), b"" | b"\r" | b"\r\n")
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
        match self.sending {
            Sending::Idle | Sending::Sent => {}
            Sending::Owed(_) | Sending::Streaming(_) | Sending::Over => return Ok(Turn::End),
        }
        while let Receiving::Body(_) = self.receiving {
            if self.data(limits)? == Piece::NeedMore {
                return Ok(Turn::NeedMore);
            }
        }
        if let Receiving::Complete = self.receiving {
            (self.receiving, self.sending) = (Receiving::Head, Sending::Idle);
        }
        let turn = self.parse(limits);
        if !matches!(turn, Ok(Turn::Head(_) | Turn::NeedMore)) {
            self.receiving = Receiving::Over;
        }
        turn
    }

    fn parse(&mut self, limits: &Limits) -> Result<Turn, Fault> {
        if let Receiving::Over = self.receiving {
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
        self.receiving = match head.framing() {
            Framing::None => Receiving::Complete,
            framing => Receiving::Body(Box::new(Decoder::new(framing))),
        };
        self.sending = Sending::Owed(Terms {
            version: head.version(),
            head_only: head.method() == "HEAD",
            keep: head.keep_alive(),
            expects_continue: head.expects_continue(),
            torn: false,
        });
    }

    /// The next piece of the request's body; [`bytes`](Http1::bytes) has the data until the next call.
    ///
    /// # Errors
    ///
    /// A fault of the peer's; nothing more is read.
    pub fn data(&mut self, limits: &Limits) -> Result<Piece, Fault> {
        self.input.use_taken();
        let Receiving::Body(decoder) = &mut self.receiving else {
            return if let Receiving::Over = self.receiving {
                Err(Fault::Incomplete)
            } else {
                Ok(Piece::End)
            };
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
                    self.receiving = Receiving::Complete;
                }
                Ok(piece)
            }
            Err(fault) => {
                self.receiving = Receiving::Over;
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
        let welcome = matches!(&self.receiving, Receiving::Body(decoder) if decoder.may_drain(limits));
        if let Sending::Owed(terms) = &mut self.sending {
            if terms.expects_continue && !welcome {
                return;
            }
            if terms.expects_continue && self.input.bytes().is_empty() {
                out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            terms.expects_continue = false;
        }
    }

    /// Whether an answer is owed that was not begun.
    pub fn owes(&self) -> bool {
        matches!(self.sending, Sending::Owed(_))
    }

    /// Whether the last answer was given.
    pub fn has_said_all(&self) -> bool {
        self.sending == Sending::Over
    }

    /// Whether a streamed answer was begun and not finished.
    pub fn is_streaming(&self) -> bool {
        matches!(self.sending, Sending::Streaming(_))
    }

    /// Whether the rest of a body that nobody read is to be thrown away.
    pub fn is_draining(&self) -> bool {
        matches!((&self.receiving, self.sending), (Receiving::Body(_), Sending::Sent))
    }

    /// Whether there is a body that can be read still, before the answer.
    pub fn may_read_body(&self) -> bool {
        matches!((&self.receiving, self.sending), (Receiving::Body(_), Sending::Owed(_)))
    }

    /// Throws away what was received and not yet used. The answer is the last, for nobody knows what comes next.
    pub fn overflow(&mut self) {
        self.make_last();
        if let Sending::Owed(terms) = &mut self.sending {
            terms.torn = true;
        }
        self.input = Input::EMPTY;
        if let Receiving::Body(_) = self.receiving {
            self.receiving = Receiving::Over;
        }
    }

    /// This answer is the last: the connection closes after it.
    pub fn make_last(&mut self) {
        match &mut self.sending {
            Sending::Owed(terms) => terms.keep = false,
            Sending::Streaming(stream) => stream.keep = false,
            Sending::Idle | Sending::Sent => self.sending = Sending::Over,
            Sending::Over => {}
        }
    }
}

impl Default for Http1 {
    fn default() -> Http1 {
        Http1::new()
    }
}
