//! The sending side of [`Http1`]: whole responses, streamed ones, refusals, and the upgrade.

use super::super::content::Content;
use super::super::response::{Coding, Persistence, Response, chunk_data, push_chunk};
use super::super::version::Version;
#[cfg(feature = "ws")]
use super::super::{headers::Headers, response::push_field};
use super::{Http1, Pieces, ReceivingSide, SendingSide, StreamedBody, Terms};
use crate::error::Error;
use crate::limits::Limits;

impl Http1 {
    /// Whether the connection can persist after a response that begins now.
    fn may_keep(&self, terms: Terms, limits: &Limits) -> bool {
        let readable = match &self.receiving {
            // A client that still waits for a 100 may send its body or leave it out, so the next byte could be either's.
            ReceivingSide::Body(decoder) => !terms.expects_continue && decoder.may_drain(limits),
            ReceivingSide::Complete => true,
            ReceivingSide::First | ReceivingSide::Next | ReceivingSide::Discard | ReceivingSide::Over => {
                false
            }
        };
        terms.keep && readable && !(self.ended && self.input.len() == 0)
    }

    /// Appends the head of a whole response; returns its body, which is to be written behind the head, from where it is.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if no request is to be answered, or if the response is not legal. Then nothing was appended, and the
    /// request is still to be answered.
    pub fn respond(
        &mut self,
        answer: Response,
        date: Option<&str>,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Result<Content, Error> {
        let SendingSide::Owed(terms) = self.sending else { return Err(Error::Misuse("no answer is owed")) };
        let keep = self.may_keep(terms, limits) && !answer.asks_to_close();
        let coding = match answer.may_have_content() {
            true => Coding::Length(answer.content().len()),
            false => Coding::None,
        };
        // Make room once for the head, and for the body if that is small.
        out.reserve(answer.head_size() + answer.content().len().min(1024));
        answer.write_head(coding, Persistence::of(keep, terms.version), date, out)?;
        self.sending = if keep { SendingSide::Sent } else { SendingSide::Over };
        Ok(if terms.head_only { Content::EMPTY } else { answer.into_content() })
    }

    /// Appends the head of a streamed response, whose body is chunked for HTTP/1.1, and lasts until the close for HTTP/1.0.
    /// The content that is returned is empty.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if no request is to be answered, or if the response is not legal or has a body of its own. Then
    /// nothing was appended, and the request is still to be answered.
    pub fn start(
        &mut self,
        answer: Response,
        date: Option<&str>,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Result<Content, Error> {
        let SendingSide::Owed(terms) = self.sending else { return Err(Error::Misuse("no answer is owed")) };
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
        self.sending = SendingSide::Streaming(StreamedBody { pieces, keep });
        Ok(Content::EMPTY)
    }

    /// Which bytes of a chunk, as [`push_chunk`] makes one, are to be written: all of them, the data, or none.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if no stream was begun, or if this is no chunk.
    pub fn chunk<'b>(&self, chunk: &'b [u8]) -> Result<&'b [u8], Error> {
        let SendingSide::Streaming(stream) = self.sending else {
            return Err(Error::Misuse("no stream was begun"));
        };
        let data = chunk_data(chunk).ok_or(Error::Misuse("this is no chunk"))?;
        Ok(match stream.pieces {
            Pieces::Chunked => chunk,
            Pieces::Plain => data,
            Pieces::Dropped => &[],
        })
    }

    /// Appends a piece of a streamed body; nothing if the response has no body.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if no streamed response has begun.
    pub fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let SendingSide::Streaming(stream) = self.sending else {
            return Err(Error::Misuse("no stream was begun"));
        };
        match stream.pieces {
            Pieces::Chunked => push_chunk(data, out),
            Pieces::Plain => out.extend_from_slice(data),
            Pieces::Dropped => {}
        }
        Ok(())
    }

    /// Appends the end of a streamed body.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let SendingSide::Streaming(stream) = self.sending {
            if stream.pieces == Pieces::Chunked {
                out.extend_from_slice(b"0\r\n\r\n");
            }
            self.sending = if stream.keep { SendingSide::Sent } else { SendingSide::Over };
        }
    }

    /// Appends a last response, unless another has begun, and ends the connection. Returns whether it was appended.
    pub fn refuse(&mut self, answer: &Response, date: Option<&str>, out: &mut Vec<u8>) -> bool {
        let terms = match self.sending {
            SendingSide::Idle => Some((Version::Http11, false)),
            SendingSide::Owed(terms) => Some((terms.version, terms.head_only)),
            SendingSide::Streaming(_) | SendingSide::Sent | SendingSide::Over => None,
        };
        self.close();
        let Some((version, head_only)) = terms else { return false };
        let coding = Coding::Length(answer.content().len());
        let written = answer.write_head(coding, Persistence::of(false, version), date, out).is_ok();
        if written && !head_only {
            out.extend_from_slice(answer.content());
        }
        written
    }

    /// Ends the connection: nothing more is received or sent.
    pub fn close(&mut self) {
        (self.receiving, self.sending) = (ReceivingSide::Over, SendingSide::Over);
        self.input.clear();
    }

    /// Appends the 101 that accepts a WebSocket upgrade, and ends HTTP on this connection; returns the bytes that were
    /// received behind the head.
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
        more.lines_of_upgrade().for_each(|line| out.extend_from_slice(line.as_bytes()));
        out.extend_from_slice(b"\r\n");
        let rest = self.input.take_rest();
        self.close();
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::head::Head;
    use super::super::{NextHead, Sending};
    use super::*;

    /// A machine that owes the answer to this request.
    fn owing(request: &str) -> Http1 {
        let mut http = Http1::new();
        http.receive(request.as_bytes());
        assert!(matches!(http.head(&mut Head::default(), &Limits::DEFAULT), Ok(NextHead::Whole)));
        http
    }

    #[test]
    fn what_is_not_owed_is_misuse() {
        let (mut http, mut out, answer) = (Http1::new(), Vec::new(), Response::new(200));
        http.push_continue(&Limits::DEFAULT, &mut out);
        assert!(matches!(
            http.respond(answer.clone(), None, &Limits::DEFAULT, &mut out),
            Err(Error::Misuse(_))
        ));
        assert!(matches!(http.start(answer, None, &Limits::DEFAULT, &mut out), Err(Error::Misuse(_))));
        assert!(matches!(http.write(b"x", &mut out), Err(Error::Misuse(_))));
        http.finish(&mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn a_stream_has_no_body_of_its_own() {
        let (mut http, mut out) = (owing("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Vec::new());
        let started = http.start(Response::text("x"), None, &Limits::DEFAULT, &mut out);
        assert!(
            matches!(started, Err(Error::Misuse(_)))
                && http.state().sending == Sending::Owed
                && out.is_empty()
        );
    }

    #[test]
    fn a_stream_for_http_1_0_is_the_last_answer() {
        let request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        let (mut http, mut out) = (owing(request), Vec::new());
        http.start(Response::new(200), None, &Limits::DEFAULT, &mut out).unwrap();
        http.finish(&mut out);
        assert_eq!(out, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        assert!(matches!(http.head(&mut Head::default(), &Limits::DEFAULT), Ok(NextHead::End)));
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
        assert!(
            !http.refuse(&Response::new(700), None, &mut out)
                && out.is_empty()
                && http.state().sending != Sending::Owed
        );
    }

    #[test]
    fn a_stream_may_ask_for_the_close() {
        let (mut http, mut out) = (owing("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Vec::new());
        let answer = Response::new(200).header("Connection", "close");
        http.start(answer, None, &Limits::DEFAULT, &mut out).unwrap();
        http.finish(&mut out);
        assert!(
            out.ends_with(b"chunked\r\n\r\n0\r\n\r\n")
                && matches!(http.head(&mut Head::default(), &Limits::DEFAULT), Ok(NextHead::End))
        );
    }
}
