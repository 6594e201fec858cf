//! [`Engine`]: reads and writes the messages of a WebSocket, by async-tungstenite, which no other file names.

use core::pin::Pin;
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::error::ProtocolError;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Error as WsError, Message};
use futures_lite::Stream;
use futures_lite::io::{AsyncRead, AsyncWrite};
use futures_sink::Sink;

use super::{Came, Payload};
use crate::conn::Conn;
use crate::conn::end::End;
use crate::conn::patience::Patience;
use crate::conn::write_buffer::PROGRESS;
use crate::error::Fault;
use crate::error::{Error, Phase, Result};
use crate::limits::Limits;
use crate::proto::frame::split_text;
use crate::server::clock::Moment;

/// Bytes that tungstenite reads at once. Its default of 128 KiB is allocated per socket, and zeroed per read.
const ENGINE_READ: usize = 1024;

/// Bytes that tungstenite may keep for control frames, beyond one message that is being written.
const CONTROL_ROOM: usize = 1024;

/// Reads and writes the messages of a WebSocket.
pub(super) struct Engine<'c> {
    stream: WebSocketStream<Socket<'c>>,
    /// The messages that are to be written.
    out: VecDeque<Message>,
    /// Whether the stream may have a message that it has not flushed.
    flushes: bool,
}

impl<'c> Engine<'c> {
    /// The engine of a connection whose upgrade was accepted; `early` are the bytes that arrived behind the handshake.
    pub(super) async fn new(conn: &'c mut Conn, early: Vec<u8>) -> Engine<'c> {
        let config = config(conn.limits());
        let socket = Socket { taken: early.len(), patience: None, conn };
        let stream = WebSocketStream::from_partially_read(socket, early, Role::Server, Some(config)).await;
        Engine { stream, out: VecDeque::new(), flushes: false }
    }

    pub(super) fn conn(&self) -> &Conn {
        self.stream.get_ref().conn
    }

    pub(super) fn conn_mut(&mut self) -> &mut Conn {
        self.stream.get_mut().conn
    }

    /// Whether a message has begun that is not whole.
    pub(super) fn is_under_way(&self) -> bool {
        self.stream.get_ref().taken > 0
    }

    /// Reads one frame.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Came>> {
        let read = ready!(Pin::new(&mut self.stream).poll_next(cx));
        let socket = self.stream.get_mut();
        Poll::Ready(Ok(match read.transpose().map_err(error)? {
            Some(Message::Text(text)) => {
                socket.count_taken(0);
                Came::Message(Payload::from(text.as_str()))
            }
            Some(Message::Binary(bytes)) => {
                socket.count_taken(0);
                Came::Message(Payload::from(bytes.to_vec()))
            }
            // Tungstenite answers pings and closes itself, when it is polled again.
            Some(Message::Ping(payload) | Message::Pong(payload)) => {
                socket.discount_control(payload.len());
                Came::NeedMore
            }
            // Nothing behind it is read, and its answer is to be written.
            Some(Message::Close(_)) => {
                socket.count_taken(0);
                self.flushes = true;
                Came::Close
            }
            Some(Message::Frame(_)) => Came::NeedMore,
            None => Came::Close,
        }))
    }

    /// Nothing more is received. (Tungstenite keeps what it holds of a message.)
    pub(super) fn forget(&mut self) {}

    /// Adds a message to those that are to be written.
    pub(super) fn push(&mut self, message: Payload) -> Result<()> {
        self.push_back(match message {
            Payload::Text(text) => Message::Text(text.into()),
            Payload::Binary(bytes) => Message::Binary(bytes.into()),
        })
    }

    pub(super) fn push_ping(&mut self) -> Result<()> {
        self.push_back(Message::Ping(Vec::new().into()))
    }

    pub(super) fn push_close(&mut self, code: u16, reason: &str) -> Result<()> {
        let close = CloseFrame { code: code.into(), reason: reason.into() };
        self.push_back(Message::Close(Some(close)))
    }

    fn push_back(&mut self, message: Message) -> Result<()> {
        self.may_write()?;
        self.out.push_back(message);
        Ok(())
    }

    /// Whether a frame may follow: none does behind a part of one that was cut off.
    fn may_write(&self) -> Result<()> {
        match self.conn().is_ending() {
            true => Err(io::Error::from(io::ErrorKind::NotConnected).into()),
            false => Ok(()),
        }
    }

    /// Takes ready-made text frames.
    pub(super) fn push_framed(&mut self, frames: &[u8]) -> Result<()> {
        let (mut rest, mut texts) = (frames, VecDeque::new());
        while !rest.is_empty() {
            let framed =
                split_text(rest).and_then(|(text, rest)| Some((core::str::from_utf8(text).ok()?, rest)));
            let (text, behind) = framed.ok_or(Error::Misuse("these are no whole text frames"))?;
            texts.push_back(Message::text(text));
            rest = behind;
        }
        self.may_write()?;
        self.out.append(&mut texts);
        Ok(())
    }

    /// Writes the messages that were pushed.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.out.is_empty() && !self.flushes {
            return Poll::Ready(Ok(()));
        }
        self.flushes = true;
        let flushed = ready!(self.poll_write(cx)).map_err(error);
        self.flushes = false;
        self.conn_mut().turns.count(1);
        Poll::Ready(flushed)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<core::result::Result<(), WsError>> {
        while !self.out.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_ready(cx))?;
            if let Some(message) = self.out.pop_front() {
                // The stream keeps the bytes that the client does not take now.
                let size = message.len();
                self.stream.get_mut().begin_write(size);
                Pin::new(&mut self.stream).start_send(message)?;
            }
        }
        Sink::poll_flush(Pin::new(&mut self.stream), cx)
    }

    /// By when the client must have taken some of the bytes that wait to be written.
    pub(super) fn write_by(&self) -> Moment {
        self.stream.get_ref().patience.map_or(Moment::NEVER, Patience::by)
    }

    /// The handler does not write any more for now: see [`Patience`](crate::conn::patience::Patience).
    pub(super) fn pause(&mut self) {
        let socket = self.stream.get_mut();
        let now = socket.conn.seat.now();
        socket.patience.iter_mut().for_each(|patience| patience.pause(|| now));
    }
}

fn config(limits: &Limits) -> WebSocketConfig {
    let most = limits.message.max(limits.history_bytes).saturating_mul(4).saturating_add(CONTROL_ROOM);
    WebSocketConfig::default()
        .read_buffer_size(ENGINE_READ)
        .write_buffer_size(0)
        .max_write_buffer_size(most)
        .max_message_size(Some(limits.message))
        // Tungstenite applies this limit to control frames as well.
        .max_frame_size(Some(limits.message.max(125)))
}

/// The error of this crate that says whose doing it is.
fn error(error: WsError) -> Error {
    match error {
        WsError::Io(error) if error.kind() == io::ErrorKind::TimedOut => Error::Timeout(Phase::Write),
        WsError::Io(error) => Error::Io(error),
        WsError::Capacity(_) => Error::Fault(Fault::MessageTooLarge),
        WsError::Utf8(_) => Error::Fault(Fault::NotUtf8),
        WsError::Protocol(ProtocolError::SendAfterClosing) => Error::Io(io::ErrorKind::NotConnected.into()),
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Error::Fault(Fault::Unclosed),
        WsError::Protocol(_) => Error::Fault(Fault::Frame),
        error => Error::Io(io::Error::new(io::ErrorKind::NotConnected, error)),
    }
}

/// The connection as tungstenite sees it: counts the bytes that are read, and bounds the time of writing.
struct Socket<'c> {
    conn: &'c mut Conn,
    /// Bytes read since the last whole message: tungstenite holds them as a part of the next one.
    taken: usize,
    /// How long what waits to be written may still take: a message, or what the stream answers by itself.
    patience: Option<Patience>,
}

impl Socket<'_> {
    /// Sets the lease: tungstenite holds this many bytes of a message that is not whole.
    fn count_taken(&mut self, taken: usize) {
        self.taken = taken;
        // Tungstenite refuses a longer message, so further bytes were frame heads, which it has dropped.
        let most = self.conn.limits().message.saturating_add(ENGINE_READ);
        self.conn.seat.settle(taken.min(most));
    }

    /// Discounts a control frame that was read and dropped: its head, its mask and its payload.
    fn discount_control(&mut self, payload: usize) {
        self.count_taken(self.taken.saturating_sub(6 + payload));
    }

    /// A message of this size is to be written: each [`PROGRESS`] bytes of it have their own time.
    fn begin_write(&mut self, size: usize) {
        let pieces = u32::try_from(size / PROGRESS + 1).unwrap_or(u32::MAX);
        let time = self.conn.limits().write_time.saturating_mul(pieces);
        self.patience.get_or_insert(Patience::Left(time));
    }

    /// A write that has failed, or waits until its time is up, cuts the connection off.
    fn bound<T>(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let error = match write {
            Poll::Ready(Ok(_)) => return write,
            Poll::Ready(Err(error)) => error,
            Poll::Pending => {
                let time = Patience::Left(self.conn.limits().write_time);
                let by = self.patience.get_or_insert(time).resume(|| self.conn.seat.now());
                ready!(self.conn.seat.poll_due(cx, by));
                io::ErrorKind::TimedOut.into()
            }
        };
        self.conn.end(End::Cut);
        Poll::Ready(Err(error))
    }
}

impl AsyncRead for Socket<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let most = buf.len();
        let used = self.taken.min(self.conn.limits().message.saturating_add(ENGINE_READ));
        let granted = self.conn.seat.lease(used, most);
        if self.conn.seat.is_starved() {
            return Poll::Pending;
        }
        let conn = &mut *self.conn;
        let read = conn.io.poll_read(cx, &mut conn.eager, &mut buf[..granted]);
        let taken = self.taken + if let Poll::Ready(Ok(n)) = read { n } else { 0 };
        self.count_taken(taken);
        read
    }
}

impl AsyncWrite for Socket<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let write = self.conn.io.poll_write(cx, buf);
        self.bound(cx, write)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = self.conn.io.poll_flush(cx);
        let flushed = ready!(self.bound(cx, flush));
        // All that waited is written.
        self.patience = None;
        Poll::Ready(flushed)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conn.io.poll_close(cx, false)
    }
}
