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

use core::ops::Range;

use super::body::{Decoder, Framing, Piece};
use super::head::{Head, Version};
use super::input::Input;
use super::response::{Coding, Persistence, Response, push_chunk};
use super::{Fault, Step};
#[cfg(feature = "ws")]
use super::{headers::Headers, response::push_field};
use crate::error::Error;
use crate::limits::{Limits, READ};

/// The server's half of one HTTP/1.1 connection, without I/O.
#[derive(Debug)]
pub struct Http1 {
    /// What was received and not yet used. At most [`Limits::head`] or one read, whichever is more. What was handed
    /// out of it as data is dropped at the next step.
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
        self.input.drop_taken();
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
        self.input.drop_taken();
        match self.input.edit(|bytes| Head::take(bytes, limits))? {
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
        self.input.drop_taken();
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

    /// Drops what was handed out as data, as the next step would.
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

    /// Whether the connection can go on after an answer that is given now.
    fn may_keep(&self, terms: Terms, limits: &Limits) -> bool {
        let readable = match &self.receiving {
            // A client that still waits for a 100 may send its body after all, or not: nobody can tell.
            Receiving::Body(decoder) => !terms.expects_continue && decoder.may_drain(limits),
            Receiving::Complete => true,
            Receiving::Head | Receiving::Over => false,
        };
        terms.keep && readable && !(self.ended && self.input.len() == 0)
    }

    /// Appends a whole answer.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`], with nothing appended and the answer still owed.
    pub fn respond(
        &mut self,
        answer: &Response,
        date: Option<&str>,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Sending::Owed(terms) = self.sending else { return Err(Error::Misuse("no answer is owed")) };
        let keep = self.may_keep(terms, limits) && !answer.asks_to_close();
        let content = if terms.head_only { &[] } else { answer.content() };
        out.reserve_exact(answer.head_size() + content.len());
        let coding = match answer.may_have_content() {
            true => Coding::Length(answer.content().len()),
            false => Coding::None,
        };
        answer.write_head(coding, Persistence::of(keep, terms.version), date, out)?;
        out.extend_from_slice(content);
        self.sending = if keep { Sending::Sent } else { Sending::Over };
        Ok(())
    }

    /// Appends the head of a streamed answer, chunked for HTTP/1.1, closed at its end for HTTP/1.0.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`], with nothing appended and the answer still owed.
    pub fn start(
        &mut self,
        answer: &Response,
        date: Option<&str>,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Sending::Owed(terms) = self.sending else { return Err(Error::Misuse("no answer is owed")) };
        if !answer.content().is_empty() {
            return Err(Error::Misuse("the body of a stream is written to its BodyWriter"));
        }
        let coding = match (answer.may_have_content(), terms.version) {
            (false, _) => Coding::None,
            (true, Version::Http11) => Coding::Chunked,
            (true, Version::Http10) => Coding::UntilClose,
        };
        let keep = self.may_keep(terms, limits) && !answer.asks_to_close() && coding != Coding::UntilClose;
        answer.write_head(coding, Persistence::of(keep, terms.version), date, out)?;
        let pieces = match coding {
            Coding::Chunked if !terms.head_only => Pieces::Chunked,
            Coding::UntilClose if !terms.head_only => Pieces::Plain,
            _ => Pieces::Dropped,
        };
        self.sending = Sending::Streaming(Stream { pieces, keep });
        Ok(())
    }

    /// Appends a piece of a streamed answer; nothing for HEAD.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if no streamed answer was begun.
    pub fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let Sending::Streaming(stream) = self.sending else {
            return Err(Error::Misuse("no stream was begun"));
        };
        match stream.pieces {
            Pieces::Chunked => push_chunk(data, out),
            Pieces::Plain => out.extend_from_slice(data),
            Pieces::Dropped => {}
        }
        Ok(())
    }

    /// Appends the end of a streamed answer.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Sending::Streaming(stream) = self.sending {
            if stream.pieces == Pieces::Chunked {
                out.extend_from_slice(b"0\r\n\r\n");
            }
            self.sending = if stream.keep { Sending::Sent } else { Sending::Over };
        }
    }

    /// Appends a last answer if one can still be given, and ends the connection. True if it was appended.
    pub fn refuse(&mut self, answer: &Response, date: Option<&str>, out: &mut Vec<u8>) -> bool {
        let (version, head_only) = match self.sending {
            Sending::Idle => (Version::Http11, false),
            Sending::Owed(terms) => (terms.version, terms.head_only),
            Sending::Streaming(_) | Sending::Sent | Sending::Over => {
                self.abandon();
                return false;
            }
        };
        self.abandon();
        let coding = Coding::Length(answer.content().len());
        let written = answer.write_head(coding, Persistence::of(false, version), date, out).is_ok();
        if written && !head_only {
            out.extend_from_slice(answer.content());
        }
        written
    }

    /// Ends the connection as it is.
    pub fn abandon(&mut self) {
        (self.receiving, self.sending) = (Receiving::Over, Sending::Over);
        self.input = Input::EMPTY;
    }

    /// Whether the connection may be handed over: nothing that came behind the request was thrown away.
    #[cfg(feature = "ws")]
    pub fn may_upgrade(&self) -> bool {
        matches!(self.sending, Sending::Owed(Terms { torn: false, .. }))
    }

    /// Appends the 101 that hands the connection to WebSocket; returns what came behind the head.
    #[cfg(feature = "ws")]
    pub fn upgrade(
        &mut self,
        accept: &str,
        protocol: Option<&str>,
        date: Option<&str>,
        more: &Headers,
        out: &mut Vec<u8>,
    ) -> Vec<u8> {
        let connection = more.connection("Upgrade");
        let fields = [
            ("Upgrade", Some("websocket")),
            ("Connection", Some(&connection)),
            ("Sec-WebSocket-Accept", Some(accept)),
            ("Sec-WebSocket-Protocol", protocol),
            ("Date", date),
        ];
        out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
        for (name, value) in fields {
            value.iter().for_each(|value| push_field(name, value, out));
        }
        out.extend_from_slice(more.lines().as_bytes());
        out.extend_from_slice(b"\r\n");
        self.input.drop_taken();
        let rest = self.input.edit(core::mem::take);
        self.abandon();
        rest
    }
}

impl Default for Http1 {
    fn default() -> Http1 {
        Http1::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that owes the answer to this request.
    fn owing(request: &str) -> Http1 {
        let mut http = Http1::new();
        http.receive(request.as_bytes());
        assert!(matches!(http.head(&Limits::DEFAULT), Ok(Turn::Head(_))));
        http
    }

    #[test]
    fn what_is_not_owed_is_misuse() {
        let (mut http, mut out, answer) = (Http1::new(), Vec::new(), Response::new(200));
        http.go_on(&Limits::DEFAULT, &mut out);
        assert!(matches!(http.respond(&answer, None, &Limits::DEFAULT, &mut out), Err(Error::Misuse(_))));
        assert!(matches!(http.start(&answer, None, &Limits::DEFAULT, &mut out), Err(Error::Misuse(_))));
        assert!(matches!(http.write(b"x", &mut out), Err(Error::Misuse(_))));
        http.finish(&mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn a_stream_has_no_body_of_its_own() {
        let (mut http, mut out) = (owing("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Vec::new());
        let started = http.start(&Response::text("x"), None, &Limits::DEFAULT, &mut out);
        assert!(matches!(started, Err(Error::Misuse(_))) && http.owes() && out.is_empty());
    }

    #[test]
    fn a_stream_for_http_1_0_is_the_last_answer() {
        let request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        let (mut http, mut out) = (owing(request), Vec::new());
        http.start(&Response::new(200), None, &Limits::DEFAULT, &mut out).unwrap();
        http.finish(&mut out);
        assert_eq!(out, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        assert!(matches!(http.head(&Limits::DEFAULT), Ok(Turn::End)));
    }

    #[test]
    fn a_refusal_of_head_has_no_body() {
        let (mut http, mut out) = (owing("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"), Vec::new());
        assert!(http.refuse(&Response::text("no").with_status(503), None, &mut out));
        assert!(out.ends_with(b"Content-Length: 2\r\n\r\n"));
    }
    #[test]
    fn a_refusal_that_is_not_legal_says_nothing() {
        let (mut http, mut out) = (owing("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Vec::new());
        assert!(!http.refuse(&Response::new(700), None, &mut out) && out.is_empty() && !http.owes());
    }

    #[test]
    fn a_stream_may_ask_for_the_close() {
        let (mut http, mut out) = (owing("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Vec::new());
        let answer = Response::new(200).header("Connection", "close");
        http.start(&answer, None, &Limits::DEFAULT, &mut out).unwrap();
        http.finish(&mut out);
        assert!(
            out.ends_with(b"chunked\r\n\r\n0\r\n\r\n")
                && matches!(http.head(&Limits::DEFAULT), Ok(Turn::End))
        );
    }
}
