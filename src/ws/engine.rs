//! [`Engine`]: a connection as a WebSocket, by the frames of `proto`. It moves bytes, and answers what is to be
//! answered.

use core::task::{Context, Poll, ready};
use std::io;

use super::{Came, Payload};
use crate::conn::Conn;
use crate::conn::end::End;
use crate::conn::turns::TURNS;
use crate::conn::write_buffer::WriteBuffer;
use crate::error::Fault;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::proto::frame::{Decoder, Found, Opcode, push_close, push_frame, split_text};
use crate::proto::input::READ;
use crate::server::clock::Moment;
use crate::server::seat::Seat;

/// Bytes that may wait to be written on a WebSocket when a ping is answered; beyond them only the latest ping is, when
/// they are gone. They are in [`CONNECTION`].
const PONGS: usize = 1024;

/// A connection as a WebSocket.
pub(super) struct Engine<'c> {
    conn: &'c mut Conn,
    frames: Frames,
}

/// What came, and what it asks for.
#[derive(Default)]
struct Frames {
    decoder: Decoder,
    /// What came behind a whole message, until it is decoded. Boxed, since most have none.
    rest: Option<Box<Rest>>,
    /// The payload of the latest ping, while too much waits to be written for its answer.
    ping: Option<Box<[u8]>>,
    /// Whether our close was written, or is about to be: nothing goes out behind it.
    closed: bool,
}

/// Bytes that came and are not decoded.
struct Rest {
    bytes: Vec<u8>,
    /// How much of their front is decoded.
    decoded: usize,
}

impl Rest {
    fn of(bytes: Vec<u8>) -> Option<Box<Rest>> {
        if bytes.is_empty() { None } else { Some(Box::new(Rest { bytes, decoded: 0 })) }
    }
}

impl<'c> Engine<'c> {
    /// A connection whose upgrade was accepted, and what came behind the request.
    pub(super) async fn new(conn: &'c mut Conn, early: Vec<u8>) -> Engine<'c> {
        let mut engine = Engine { conn, frames: Frames { rest: Rest::of(early), ..Frames::default() } };
        engine.settle();
        engine
    }

    pub(super) fn conn(&self) -> &Conn {
        self.conn
    }

    pub(super) fn conn_mut(&mut self) -> &mut Conn {
        self.conn
    }

    /// Whether a message was begun that is not whole.
    pub(super) fn is_under_way(&self) -> bool {
        self.frames.decoder.is_under_way()
    }

    /// Reads once, or decodes what is left of the last time.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Came>> {
        let Some(rest) = self.frames.rest.take() else { return self.poll_fill(cx) };
        let came = self.frames.decode_rest(rest, self.conn.seat.server.limits(), &mut self.conn.out);
        self.settle();
        Poll::Ready(came)
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Came>> {
        let owned = self.frames.owned();
        // What is read, and what a large message may grow by.
        let granted = self.conn.seat.lease(owned, READ.max(owned / 2));
        if granted == 0 {
            return Poll::Pending;
        }
        let (frames, mut came) = (&mut self.frames, Ok(Came::Part));
        let Conn { io, eager, seat: Seat { server, .. }, out, .. } = &mut *self.conn;
        let read = io.poll_receive(cx, eager, granted, |bytes| {
            came = frames.take(bytes, owned + granted, server.limits(), out);
        });
        self.settle();
        let read = ready!(read)?;
        if read == READ {
            // There may be thousands of frames in it.
            self.conn.turns.take(TURNS);
        }
        match read {
            0 => Poll::Ready(Err(Fault::Unclosed.into())),
            _ => Poll::Ready(came),
        }
    }

    /// Counts what is owned: bytes that came and are not handed on.
    fn settle(&mut self) {
        self.conn.seat.settle(self.frames.owned());
    }

    /// Takes a message to be written.
    pub(super) fn push(&mut self, message: Payload) -> Result<()> {
        match message {
            Payload::Text(text) => self.push_frame(Opcode::Text, text.as_bytes()),
            Payload::Binary(bytes) => self.push_frame(Opcode::Binary, &bytes),
        }
    }

    pub(super) fn push_ping(&mut self) -> Result<()> {
        self.push_frame(Opcode::Ping, b"")
    }

    pub(super) fn push_close(&mut self, code: u16, reason: &str) -> Result<()> {
        self.may_write()?;
        self.frames.closed = true;
        push_close(code, reason, self.conn.out.bytes());
        Ok(())
    }

    fn push_frame(&mut self, opcode: Opcode, payload: &[u8]) -> Result<()> {
        self.may_write()?;
        push_frame(opcode, payload, self.conn.out.bytes());
        Ok(())
    }

    /// Whether a frame may follow: none does behind a close, or behind a part of one that was cut off.
    fn may_write(&self) -> Result<()> {
        match self.frames.closed || self.conn.is_ending() {
            true => Err(io::Error::from(io::ErrorKind::NotConnected).into()),
            false => Ok(()),
        }
    }

    /// Writes what was pushed, and answers that waited.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            ready!(self.conn.poll_flush(cx))?;
            if !self.frames.answer_last(&mut self.conn.out) {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// By when the peer must have read some of what waits.
    pub(super) fn write_by(&self) -> Moment {
        self.conn.out.by()
    }

    /// Nobody waits any more for the peer to read.
    pub(super) fn pause(&mut self) {
        self.conn.pause();
    }

    /// Takes ready-made text frames: writes them straight from where they are if nothing is to go before them, and keeps
    /// what the peer does not take.
    pub(super) fn poll_push_framed(&mut self, cx: &mut Context<'_>, frames: &[u8]) -> Result<()> {
        let mut rest = frames;
        while !rest.is_empty() {
            (_, rest) = split_text(rest).ok_or(Error::Misuse("these are no whole text frames"))?;
        }
        self.may_write()?;
        let mut bytes = frames;
        if self.conn.out.is_empty() && !bytes.is_empty() {
            match self.conn.io.poll_write(cx, bytes) {
                Poll::Ready(Ok(written)) => bytes = &bytes[written..],
                Poll::Ready(Err(error)) => {
                    self.conn.end(End::Cut);
                    return Err(error.into());
                }
                Poll::Pending => {}
            }
        }
        // Also if nothing is left, for the stream is to be flushed.
        self.conn.out.bytes().extend_from_slice(bytes);
        Ok(())
    }
}

impl Frames {
    /// How many bytes of memory it owns of what came.
    fn owned(&self) -> usize {
        self.decoder.owned() + self.rest.as_ref().map_or(0, |rest| rest.bytes.capacity())
    }

    /// Takes what was read, up to the end of a message; the decoder may grow to `room`.
    fn take(&mut self, bytes: &[u8], room: usize, limits: &Limits, out: &mut WriteBuffer) -> Result<Came> {
        let (used, came) = self.decode(bytes, room, limits, out)?;
        if let Came::Message(_) = came {
            self.rest = Rest::of(bytes[used..].to_vec());
        }
        Ok(came)
    }

    /// Goes on with what was read and is left.
    fn decode_rest(&mut self, mut rest: Box<Rest>, limits: &Limits, out: &mut WriteBuffer) -> Result<Came> {
        // The decoder takes over part of what is given back here, so it needs no room of its own.
        let (used, came) = self.decode(&rest.bytes[rest.decoded..], 0, limits, out)?;
        rest.decoded += used;
        if rest.decoded < rest.bytes.len() && matches!(came, Came::Message(_)) {
            self.rest = Some(rest);
        }
        Ok(came)
    }

    /// Decodes up to the end of a message, and answers the control frames on the way.
    fn decode(
        &mut self,
        bytes: &[u8],
        room: usize,
        limits: &Limits,
        out: &mut WriteBuffer,
    ) -> Result<(usize, Came)> {
        let mut used = 0;
        loop {
            let (more, found) = self.decoder.step(&bytes[used..], room, limits)?;
            used += more;
            let came = match found {
                Found::Text(text) => Came::Message(Payload::Text(text)),
                Found::Binary(bytes) => Came::Message(Payload::Binary(bytes)),
                Found::Close(close) => {
                    self.answer_close(close.map(|(code, _)| code), out);
                    Came::Close
                }
                Found::End => Came::Close,
                Found::NeedMore => Came::Part,
                Found::Ping(payload) => {
                    self.answer(payload, out);
                    continue;
                }
                Found::Pong(_) => continue,
            };
            return Ok((used, came));
        }
    }

    /// Answers a ping. If a peer does not read, only the latest gets an answer (RFC 6455, 5.5.3).
    fn answer(&mut self, payload: Vec<u8>, out: &mut WriteBuffer) {
        if out.left() + payload.len() < PONGS && self.ping.is_none() && !self.closed {
            push_frame(Opcode::Pong, &payload, out.bytes());
        } else {
            self.ping = Some(payload.into());
        }
    }

    /// Answers the ping that had to wait; whether there was one.
    fn answer_last(&mut self, out: &mut WriteBuffer) -> bool {
        let Some(payload) = self.ping.take().filter(|_| !self.closed) else { return false };
        push_frame(Opcode::Pong, &payload, out.bytes());
        true
    }

    /// Answers a close with one, unless ours came first.
    fn answer_close(&mut self, code: Option<u16>, out: &mut WriteBuffer) {
        if !core::mem::replace(&mut self.closed, true) {
            match code {
                Some(code) => push_close(code, "", out.bytes()),
                None => push_frame(Opcode::Close, b"", out.bytes()),
            }
        }
    }
}
