//! [`WebSocket`]: messages over an upgraded connection, its heartbeats and deadlines.
//!
//! What reads and writes frames is an `Engine`: ours over `proto::frame`, or async-tungstenite with the feature
//! `tungstenite`.

#[cfg(not(feature = "tungstenite"))]
mod engine;
mod heart;
mod payload;
#[cfg(feature = "tungstenite")]
mod tungstenite;
mod upgrade;

use core::future::{Future, pending, poll_fn};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_lite::future;

#[cfg(not(feature = "tungstenite"))]
use self::engine::Engine;
use self::heart::Heart;
pub use self::payload::Payload;
#[cfg(feature = "tungstenite")]
use self::tungstenite::Engine;
use crate::conn::wait::{Held, Wait};
use crate::error::{Error, Result};
use crate::proto::frame::{Opcode, is_close_code, push_frame};
use crate::server::Server;
use crate::server::clock::Moment;

/// A WebSocket (RFC 6455). It pings every [`Limits::ping`](crate::Limits::ping) while it waits, and gives up a
/// peer from which then nothing comes within [`Limits::pong`](crate::Limits::pong). Pings of the peer's are answered while
/// it waits.
///
/// # Examples
///
/// ```
/// # use tidings::{Conn, Limits, Payload, Server};
/// # smol::block_on(async {
/// # let server = Server::new(Limits::DEFAULT);
/// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
/// #     b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
/// #     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
/// #     \x81\x82\0\0\0\0hi\x88\x82\0\0\0\0\x03\xe8".to_vec()));
/// # let mut conn = Conn::new(io, &server);
/// # let ex = conn.next().await?.expect("a request");
/// let mut socket = ex.upgrade(None).await?;
/// socket.send("who is there?").await?;
/// assert_eq!(socket.recv().await?, Some(Payload::from("hi")));
/// socket.close(1000, "bye").await?;
/// # tidings::Result::Ok(()) }).unwrap();
/// ```
pub struct WebSocket<'c> {
    engine: Engine<'c>,
    /// A message that came during a wait.
    received: Option<Payload>,
    heart: Heart,
    /// When the message under way must be whole; `None` until one was waited for.
    message_by: Option<Moment>,
    /// Whether the peer can still be waited for.
    open: bool,
    /// Why we have closed; told when the close is written.
    failed: Option<Box<Error>>,
}

/// What an engine read.
enum Came {
    Message(Payload),
    /// The peer's close; the answer waits to be written, unless ours came first.
    Close,
    /// A part of a message, or control frames.
    Part,
}

impl WebSocket<'_> {
    /// The next message; `None` when the peer has closed, or the server shuts down (which closes with 1001).
    ///
    /// # Errors
    ///
    /// What the peer did wrong, after it was closed with the code that says so: 1002, 1007 or 1009.
    /// [`Error::Timeout`] if it answers no pings, or if a message is not whole within
    /// [`Limits::body_time`](crate::Limits::body_time) (1008); [`Error::Full`] (1013) if all that time there is no room
    /// to read it to; [`Error::Io`].
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again: no message is lost, a half-read one goes on.
    ///
    /// # Examples
    ///
    /// See [`Exchange::upgrade`](crate::Exchange::upgrade).
    pub async fn recv(&mut self) -> Result<Option<Payload>> {
        // What a wait has told of is not lost to a shutdown.
        if let Some(message) = self.received.take() {
            return Ok(Some(message));
        }
        // A busy peer's next message comes while the others have their turn, and is then read without the reactor.
        future::yield_now().await;
        self.engine.conn_mut().eager = true;
        loop {
            match self.wait(pending::<()>(), Duration::MAX).await? {
                Wait::Readable => return Ok(self.received.take()),
                Wait::Left => return Ok(None),
                Wait::Shutdown => {
                    Box::pin(self.close(1001, "shutdown")).await?;
                    return Ok(None);
                }
                Wait::Ready(()) | Wait::Elapsed => {}
            }
        }
    }

    /// Waits for `future`, at most `within`; [`Wait::Readable`] when the peer sent a message, which
    /// [`recv`](WebSocket::recv) then returns at once. Pings and their answers go on meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](WebSocket::recv).
    ///
    /// # Cancel safety
    ///
    /// It may be dropped if `future` may.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidings::{Hub, Payload, Wait, WebSocket};
    ///
    /// async fn chat(mut socket: WebSocket<'_>, hub: &Hub) -> tidings::Result<()> {
    ///     let mut room = hub.subscribe(&["room"], None)?;
    ///     loop {
    ///         match socket.wait(room.next(), Duration::MAX).await? {
    ///             Wait::Ready(Some(batch)) => {
    ///                 for message in &batch.messages {
    ///                     socket.send(message.data()).await?;
    ///                 }
    ///             }
    ///             Wait::Readable => {
    ///                 if let Some(Payload::Text(text)) = socket.recv().await? {
    ///                     hub.publish("room", text)?;
    ///                 }
    ///             }
    ///             _ => return socket.close(1001, "bye").await,
    ///         }
    ///     }
    /// }
    /// ```
    pub fn wait<F: Future>(
        &mut self,
        future: F,
        within: Duration,
    ) -> impl Future<Output = Result<Wait<F::Output>>> {
        Held::new(self, future, within)
    }

    /// Sends one message.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] if the peer does not read within [`Limits::write_time`](crate::Limits::write_time),
    /// [`Error::Io`], also when the peer has closed.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, the rest of the message goes out with the next one, or not at all.
    ///
    /// # Examples
    ///
    /// See [`Exchange::upgrade`](crate::Exchange::upgrade).
    pub async fn send(&mut self, message: impl Into<Payload>) -> Result<()> {
        self.engine.push(message.into())?;
        self.flush().await
    }

    /// The frame of a text, ready to be sent to many by [`send_framed`](WebSocket::send_framed).
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(tidings::WebSocket::frame("hi"), b"\x81\x02hi");
    /// ```
    pub fn frame(text: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        push_frame(Opcode::Text, text.as_bytes(), &mut frame);
        frame
    }

    /// Sends texts that were framed by [`frame`](WebSocket::frame), one or several behind each other, in one write if
    /// the peer takes it. So a message that goes to many is framed once.
    ///
    /// # Errors
    ///
    /// Those of [`send`](WebSocket::send), and [`Error::Misuse`] for bytes that are something else, of which none is
    /// sent.
    ///
    /// # Cancel safety
    ///
    /// That of [`send`](WebSocket::send).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{Batch, Frame, WebSocket};
    ///
    /// async fn send_all(socket: &mut WebSocket<'_>, batch: &Batch) -> tidings::Result<()> {
    ///     let mut frames = Vec::new();
    ///     for message in &batch.messages {
    ///         // The first reader makes the frame, all the others share it.
    ///         let frame = message.frame(Frame::WebSocket, |message| WebSocket::frame(message.data()));
    ///         frames.extend_from_slice(frame);
    ///     }
    ///     socket.send_framed(&frames).await
    /// }
    /// ```
    pub async fn send_framed(&mut self, frames: &[u8]) -> Result<()> {
        poll_fn(|cx| Poll::Ready(self.engine.poll_push_framed(cx, frames))).await?;
        self.flush().await
    }

    /// Sends a ping; its answer is due within [`Limits::pong`](crate::Limits::pong), and seen while waiting.
    ///
    /// # Errors
    ///
    /// Those of [`send`](WebSocket::send).
    ///
    /// # Cancel safety
    ///
    /// That of [`send`](WebSocket::send).
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    /// #     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
    /// #     \x8a\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// let mut socket = ex.upgrade(None).await?;
    /// // Earlier than the next heartbeat: the answer, or its absence, is seen while waiting.
    /// socket.ping().await?;
    /// assert!(socket.recv().await?.is_none());
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn ping(&mut self) -> Result<()> {
        if let Heart::Ping(_) = self.heart {
            self.heart = Heart::Pong(self.deadline(self.server().limits().pong));
        }
        self.engine.push_ping()?;
        self.flush().await
    }

    /// Closes with a code (RFC 6455, 7.4) and a reason of at most 123 bytes, and waits for the peer's close, at
    /// most [`Limits::linger`](crate::Limits::linger).
    ///
    /// # Errors
    ///
    /// Those of [`send`](WebSocket::send), and [`Error::Misuse`] for a code that must not be sent.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, the peer's close is not waited for.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn app(mut socket: tidings::WebSocket<'_>) -> tidings::Result<()> {
    /// socket.close(1008, "you are not to send here").await
    /// # }
    /// ```
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<()> {
        if !is_close_code(code) || reason.len() > 123 {
            return Err(Error::Misuse("the close code or its reason is not legal"));
        }
        if !self.open {
            return Ok(());
        }
        (self.open, self.received) = (false, None);
        self.engine.push_close(code, reason)?;
        self.flush().await?;
        let by = self.deadline(self.server().limits().linger);
        poll_fn(|cx| self.poll_closed(cx, by)).await;
        Ok(())
    }

    /// Reads until the peer's close, at most so long; a message is too late to be answered.
    fn poll_closed(&mut self, cx: &mut Context<'_>, by: Moment) -> Poll<()> {
        loop {
            match self.engine.poll_read(cx) {
                Poll::Ready(Ok(Came::Message(_) | Came::Part)) => {
                    if self.engine.conn().poll_due(cx, by).is_ready() {
                        return Poll::Ready(());
                    }
                    let turns = &mut self.engine.conn_mut().turns;
                    turns.take(1);
                    ready!(turns.poll_give_way(cx));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.engine.conn().poll_due(cx, by),
            }
        }
    }

    /// Waits until the peer has closed or the server shuts down; messages are thrown away.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](WebSocket::recv).
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    /// #     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
    /// #     \x81\x82\0\0\0\0hi\x88\x82\0\0\0\0\x03\xe8".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// let mut socket = ex.upgrade(None).await?;
    /// socket.send("the only news").await?;
    /// socket.closed().await?;
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn closed(&mut self) -> Result<()> {
        while self.recv().await?.is_some() {}
        Ok(())
    }

    /// The server that the request came to.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    /// #     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// let socket = ex.upgrade(None).await?;
    /// let heartbeat = socket.server().limits().ping;
    /// # assert_eq!(heartbeat, Limits::DEFAULT.ping);
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn server(&self) -> &Server {
        &self.engine.conn().seat.server
    }
}

impl core::fmt::Debug for WebSocket<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WebSocket").field("open", &self.open).finish_non_exhaustive()
    }
}
