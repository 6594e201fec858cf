//! [`Engine`]: reads and writes the messages of a WebSocket, by `proto::frame`, and answers pings and closes.

use core::task::{Context, Poll, ready};
use std::io;

use super::{Came, Payload};
use crate::conn::Conn;
use crate::conn::turns::TURNS;
use crate::conn::write_buffer::WriteBuffer;
use crate::error::Fault;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::proto::frame::{Found, FrameDecoder, Opcode, push_close, push_frame, split_text};
use crate::proto::input::READ;
use crate::server::clock::Moment;
use crate::server::seat::Seat;

/// Bytes that may wait to be written when a ping is answered. While more bytes wait, only the latest ping is kept, and
/// answered when they are written. `CONNECTION` in `limits.rs` counts these bytes.
const PONGS: usize = 1024;

/// Reads and writes the messages of a WebSocket.
pub(super) struct Engine<'c> {
    conn: &'c mut Conn,
    inbound: Inbound,
}

/// The frames that the client sent, and the control frames that answer them.
#[derive(Default)]
struct Inbound {
    decoder: FrameDecoder,
    /// Bytes that arrived behind a whole message, until they are decoded. Boxed, since most WebSockets have none.
    rest: Option<Box<Rest>>,
    /// The payload of the latest ping, while too many bytes wait to be written before its pong.
    ping: Option<Box<[u8]>>,
    /// Whether the server's close is in the write buffer, or was written: no frame may follow it.
    closed: bool,
}

/// Bytes that arrived and were not decoded.
struct Rest {
    bytes: Vec<u8>,
    /// How many bytes at the front are decoded.
    decoded: usize,
}

impl Rest {
    fn of(bytes: Vec<u8>) -> Option<Box<Rest>> {
        if bytes.is_empty() { None } else { Some(Box::new(Rest { bytes, decoded: 0 })) }
    }
}

impl<'c> Engine<'c> {
    /// The engine of a connection whose upgrade was accepted; `early` are the bytes that arrived behind the handshake.
    pub(super) async fn new(conn: &'c mut Conn, early: Vec<u8>) -> Engine<'c> {
        let mut engine = Engine { conn, inbound: Inbound { rest: Rest::of(early), ..Inbound::default() } };
        engine.count_owned();
        engine
    }

    pub(super) fn conn(&self) -> &Conn {
        self.conn
    }

    pub(super) fn conn_mut(&mut self) -> &mut Conn {
        self.conn
    }

    /// Whether a message has begun that is not whole.
    pub(super) fn is_under_way(&self) -> bool {
        self.inbound.decoder.is_under_way()
    }

    /// Reads once, or goes on decoding the bytes that the last read left.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Came>> {
        let Some(rest) = self.inbound.rest.take() else { return self.poll_fill(cx) };
        let came = self.inbound.decode_rest(rest, self.conn.seat.server.limits(), &mut self.conn.out);
        self.count_owned();
        Poll::Ready(came)
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Came>> {
        // Mostly nothing has arrived. Whoever finds no room looks at that again, whatever has arrived.
        let Conn { io, eager, seat, .. } = &mut *self.conn;
        if !seat.is_starved() && io.poll_arrival(cx, eager).is_pending() {
            return Poll::Pending;
        }
        let owned = self.inbound.owned();
        // Room for one read, and for a large message to grow.
        let granted = self.conn.seat.lease(owned, READ.max(owned / 2));
        if granted == 0 {
            return if self.conn.seat.has_all() { Poll::Ready(Err(Error::Full)) } else { Poll::Pending };
        }
        let (inbound, mut came) = (&mut self.inbound, Ok(Came::NeedMore));
        let Conn { io, eager, seat: Seat { server, .. }, out, .. } = &mut *self.conn;
        let read = io.poll_receive(cx, eager, granted, |bytes| {
            came = inbound.receive(bytes, owned + granted, server.limits(), out);
        });
        self.count_owned();
        let read = ready!(read)?;
        if read == READ {
            // Such a read may have thousands of frames.
            self.conn.turns.count(TURNS);
        }
        match read {
            0 => Poll::Ready(Err(Fault::Unclosed.into())),
            _ => Poll::Ready(came),
        }
    }

    /// Sets the lease to the bytes that arrived and were not yet handed to the handler.
    fn count_owned(&mut self) {
        self.conn.seat.settle(self.inbound.owned());
    }

    /// Nothing more is received, and the bytes that arrived are of no use.
    pub(super) fn forget(&mut self) {
        (self.inbound.decoder, self.inbound.rest) = (FrameDecoder::default(), None);
        self.count_owned();
    }

    /// Adds a message to the bytes that are to be written.
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
        self.inbound.closed = true;
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
        match self.inbound.closed || self.conn.is_ending() {
            true => Err(io::Error::from(io::ErrorKind::NotConnected).into()),
            false => Ok(()),
        }
    }

    /// Writes what was pushed, and answers that waited.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            ready!(self.conn.poll_flush(cx))?;
            if !self.inbound.answer_latest_ping(&mut self.conn.out) {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// By when the client must have taken some of the bytes that wait to be written.
    pub(super) fn write_by(&self) -> Moment {
        self.conn.out.by()
    }

    /// The handler does not write any more for now: see [`Patience`](crate::conn::patience::Patience).
    pub(super) fn pause(&mut self) {
        self.conn.pause();
    }

    /// Writes text frames that are encoded already, as far as the client takes them at once, and keeps the rest.
    pub(super) fn push_framed(&mut self, frames: &[u8]) -> Result<()> {
        let mut rest = frames;
        while !rest.is_empty() {
            (_, rest) = split_text(rest).ok_or(Error::Misuse("these are no whole text frames"))?;
        }
        self.may_write()?;
        self.conn.push_bytes(frames, false)
    }
}

impl Inbound {
    /// How many bytes of memory are owned for bytes that arrived.
    fn owned(&self) -> usize {
        self.decoder.owned() + self.rest.as_ref().map_or(0, |rest| rest.bytes.capacity())
    }

    /// Decodes bytes that were read, and keeps those behind the end of a message; the decoder may grow to `room` bytes.
    fn receive(&mut self, bytes: &[u8], room: usize, limits: &Limits, out: &mut WriteBuffer) -> Result<Came> {
        let (used, came) = self.decode(bytes, room, limits, out)?;
        if let Came::Message(_) = came {
            self.rest = Rest::of(bytes[used..].to_vec());
        }
        Ok(came)
    }

    /// Goes on decoding the bytes that the last read left.
    fn decode_rest(&mut self, mut rest: Box<Rest>, limits: &Limits, out: &mut WriteBuffer) -> Result<Came> {
        // The decoder takes over bytes that are leased already, so it needs no further room.
        let (used, came) = self.decode(&rest.bytes[rest.decoded..], 0, limits, out)?;
        rest.decoded += used;
        if rest.decoded < rest.bytes.len() && matches!(came, Came::Message(_)) {
            self.rest = Some(rest);
        }
        Ok(came)
    }

    /// Decodes up to the end of a message, and answers the control frames before it.
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
                Found::NeedMore => Came::NeedMore,
                Found::Ping(payload) => {
                    self.answer_ping(payload, out);
                    continue;
                }
                Found::Pong(_) => continue,
            };
            return Ok((used, came));
        }
    }

    /// Answers a ping. If the client is a slow reader, only its latest ping is answered (RFC 6455, 5.5.3).
    fn answer_ping(&mut self, payload: Vec<u8>, out: &mut WriteBuffer) {
        if out.left() + payload.len() < PONGS && self.ping.is_none() && !self.closed {
            push_frame(Opcode::Pong, &payload, out.bytes());
        } else {
            self.ping = Some(payload.into());
        }
    }

    /// Answers the ping that had to wait; false if there is none.
    fn answer_latest_ping(&mut self, out: &mut WriteBuffer) -> bool {
        let Some(payload) = self.ping.take().filter(|_| !self.closed) else { return false };
        push_frame(Opcode::Pong, &payload, out.bytes());
        true
    }

    /// Answers the client's close with the same code, unless the server's close came first.
    fn answer_close(&mut self, code: Option<u16>, out: &mut WriteBuffer) {
        if !core::mem::replace(&mut self.closed, true) {
            match code {
                Some(code) => push_close(code, "", out.bytes()),
                None => push_frame(Opcode::Close, b"", out.bytes()),
            }
        }
    }
}
