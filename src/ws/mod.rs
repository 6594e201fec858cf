//! [`WebSocket`]: messages over an upgraded connection, with heartbeats and deadlines.
//!
//! An `Engine` reads and writes the frames: this crate's own over `proto::frame`, or async-tungstenite with the feature
//! `tungstenite`.

#[cfg(not(feature = "tungstenite"))]
mod engine;
mod heart;
mod payload;
#[cfg(feature = "tungstenite")]
mod tungstenite;
mod upgrade;

use core::future::{Future, pending, poll_fn};
use core::ops::ControlFlow;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_lite::{Stream, future};

#[cfg(not(feature = "tungstenite"))]
use self::engine::Engine;
use self::heart::Heart;
pub use self::payload::Payload;
#[cfg(feature = "tungstenite")]
use self::tungstenite::Engine;
use crate::conn::wait::{Held, HeldWait, Wait, wait_each};
use crate::error::{Error, Result};
use crate::proto::frame::{Opcode, is_close_code, push_frame};
use crate::server::Server;
use crate::server::clock::Moment;

/// A WebSocket (RFC 6455). While the handler waits for it, it sends a ping every [`Limits::ping`](crate::Limits::ping),
/// cuts the client off if then nothing arrives within [`Limits::pong`](crate::Limits::pong), and answers the client's pings.
/// While the handler does something else, none of that happens.
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
    /// A message that arrived during a wait, until `recv` returns it.
    received: Option<Payload>,
    heart: Heart,
    /// When the message under way must be whole; `None` until a wait has met one.
    message_by: Option<Moment>,
    /// Whether the client may still send messages: neither side has closed.
    open: bool,
    /// The error for which the server has closed; returned when the close is written.
    failed: Option<Box<Error>>,
}

/// What an engine has read.
enum Came {
    /// A whole message.
    Message(Payload),
    /// The client's close. The close that answers it is to be written, unless the server's close came first.
    Close,
    /// No whole message: a part of one, or control frames.
    NeedMore,
}

impl WebSocket<'_> {
    /// The next message; `None` when the client has closed, or when the server shuts down (`recv` then closes with 1001).
    ///
    /// # Errors
    ///
    /// If there is a close code for the error, the WebSocket was closed with it. [`Error::Fault`] if the client broke the
    /// protocol (1002), sent text that is not UTF-8 (1007) or too large a message (1009). [`Error::Timeout`] if the client
    /// does not answer pings (no close), is a slow reader (no close), or if a message is not whole within
    /// [`Limits::body_time`](crate::Limits::body_time) (1008). [`Error::Full`] (1013) if in that time there was no room in
    /// [`Limits::buffered`](crate::Limits::buffered) to read it. [`Error::Io`] if reading or writing fails.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped and `recv` called again: no message is lost, and a message that is half read goes on.
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

    /// Waits for `future`, at most for the time `within`, or until the client has sent a message: then the result is
    /// [`Wait::Readable`], and [`recv`](WebSocket::recv) returns the message at once. Bytes that wait to be written are
    /// written first, and that time counts. Heartbeats go on meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](WebSocket::recv).
    ///
    /// # Cancel safety
    ///
    /// The wait may be dropped if `future` may be dropped.
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
        HeldWait::new(self, future, within)
    }

    /// Sends one message.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] if the client makes no progress in reading for [`Limits::write_time`](crate::Limits::write_time).
    /// [`Error::Io`] if writing fails, or if either side has closed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before its first poll, nothing is sent. If it is dropped later, the next call that writes or
    /// waits sends the rest of the message; without such a call the client may get only a part of it.
    ///
    /// # Examples
    ///
    /// See [`Exchange::upgrade`](crate::Exchange::upgrade).
    pub async fn send(&mut self, message: impl Into<Payload>) -> Result<()> {
        if let Err(error) = self.engine.push(message.into()) {
            return Box::pin(self.conn().fail_in_turn(error)).await;
        }
        self.flush().await
    }

    /// Encodes a text as a frame, which [`send_framed`](WebSocket::send_framed) can send to many clients.
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

    /// Sends one or several frames that were encoded by [`frame`](WebSocket::frame), in one write if the client takes them
    /// all at once. So a message for many clients is encoded once.
    ///
    /// # Errors
    ///
    /// Those of [`send`](WebSocket::send). [`Error::Misuse`] if the bytes are anything but whole text frames; none of them
    /// is sent.
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
    ///         frames.extend_from_slice(&frame);
    ///     }
    ///     socket.send_framed(&frames).await
    /// }
    /// ```
    pub async fn send_framed(&mut self, frames: &[u8]) -> Result<()> {
        if let Err(error) = self.push_framed(frames) {
            return Box::pin(self.conn().fail_in_turn(error)).await;
        }
        self.flush().await
    }

    /// Writes frames that [`frame`](WebSocket::frame) has made, as far as the client takes them at once. The next send or wait
    /// writes the rest, within [`Limits::write_time`](crate::Limits::write_time). The write buffer has no limit: a handler that
    /// pushes and neither sends nor waits takes memory without end.
    ///
    /// # Errors
    ///
    /// Those of [`send_framed`](WebSocket::send_framed), except that no time can be up.
    ///
    /// # Examples
    ///
    /// See [`wait_each`](WebSocket::wait_each).
    pub fn push_framed(&mut self, frames: &[u8]) -> Result<()> {
        self.engine.push_framed(frames)
    }

    /// Waits for one item of `source` after another, as [`wait`](WebSocket::wait) waits for one value, and calls `each` with how
    /// each wait has ended. `Elapsed` comes every [`heartbeat`](crate::Limits::heartbeat), whatever else has come. What `each`
    /// pushes is written before the next wait ends. Returns what `each` breaks with; `None` when `end` has come.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](WebSocket::wait), and those that `each` returns.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped if a wait for the next item of `source` may be dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow::{Break, Continue};
    /// use tidings::{Subscription, Wait, WebSocket};
    ///
    /// async fn feed(mut socket: WebSocket<'_>, mut news: Subscription) -> tidings::Result<()> {
    ///     let fed = socket.wait_each(&mut news, None, |socket, _, wait| {
    ///         match wait {
    ///             Wait::Ready(Some(batch)) => {
    ///                 for message in &batch.messages {
    ///                     socket.push_framed(&WebSocket::frame(message.data()))?;
    ///                 }
    ///             }
    ///             Wait::Elapsed => {}
    ///             _ => return Ok(Break(())),
    ///         }
    ///         Ok(Continue(()))
    ///     });
    ///     fed.await?;
    ///     socket.close(1000, "bye").await
    /// }
    /// ```
    pub fn wait_each<S: Stream + Unpin, R>(
        &mut self,
        source: &mut S,
        end: Option<Instant>,
        each: impl FnMut(&mut Self, &mut S, Wait<Option<S::Item>>) -> Result<ControlFlow<R>>,
    ) -> impl Future<Output = Result<Option<R>>> {
        let end = self.engine.conn().seat.moment(end);
        wait_each(self, source, end, each)
    }

    /// Sends a ping. A pong, or other bytes of the client, must arrive within [`Limits::pong`](crate::Limits::pong); a later
    /// wait sees to that.
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
    /// // Earlier than the next heartbeat. Whether a pong arrives shows in the wait.
    /// socket.ping().await?;
    /// assert!(socket.recv().await?.is_none());
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn ping(&mut self) -> Result<()> {
        if let Heart::Ping(_) = self.heart {
            self.heart = Heart::Pong(self.deadline(self.server().limits().pong));
        }
        if let Err(error) = self.engine.push_ping() {
            return Box::pin(self.conn().fail_in_turn(error)).await;
        }
        self.flush().await
    }

    /// Closes with a code (RFC 6455, 7.4) and a reason of at most 123 bytes. Then waits for the client's close, at most for
    /// [`Limits::linger`](crate::Limits::linger); messages that arrive before it are discarded. If the WebSocket is closed
    /// already, nothing happens.
    ///
    /// # Errors
    ///
    /// Those of [`send`](WebSocket::send). [`Error::Misuse`] for a code that must not be sent, or a longer reason.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the client's close is not waited for; the next [`Conn::next`](crate::Conn::next) goes on
    /// writing the server's.
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

    /// Reads until the client has closed, or until `by`. Messages are discarded.
    fn poll_closed(&mut self, cx: &mut Context<'_>, by: Moment) -> Poll<()> {
        loop {
            match self.engine.poll_read(cx) {
                Poll::Ready(Ok(Came::Message(_) | Came::NeedMore)) => {
                    if self.engine.conn().poll_due(cx, by).is_ready() {
                        return Poll::Ready(());
                    }
                    let turns = &mut self.engine.conn_mut().turns;
                    turns.count(1);
                    ready!(turns.poll_give_way(cx));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.engine.conn().poll_due(cx, by),
            }
        }
    }

    /// Waits until the client has closed or the server shuts down. Messages are discarded.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](WebSocket::recv).
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped and `closed` called again.
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

    /// The server of this connection.
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
