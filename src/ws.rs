//! [`WebSocket`]: messages over an upgraded connection. The only file that names async-tungstenite.

use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::error::ProtocolError;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};
use futures_lite::io::{AsyncRead, AsyncWrite};
use futures_lite::{Stream, future, ready};

use crate::conn::Conn;
use crate::error::{Error, Phase, Result};
use crate::exchange::Exchange;
use crate::limits::{Limits, STARVED, TURNS};
use crate::proto::Fault;
use crate::proto::ws::{Upgrade, is_upgrade, offered};
use crate::server::Server;
use crate::sweep::deadline;
use crate::wait::Wait;

/// Bytes that the engine reads at once. Its default of 128 KiB is allocated per socket, and zeroed per read.
const ENGINE_READ: usize = 1024;

/// Bytes that the engine may keep for control frames above one message that is being written.
const ENGINE_SPARE: usize = 1024;

/// A WebSocket (RFC 6455). It pings every [`Limits::ping`](crate::Limits::ping) while it waits, and gives up a
/// peer that does not answer within [`Limits::pong`](crate::Limits::pong).
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
    engine: WebSocketStream<Socket<'c>>,
    /// A message that came during a wait.
    received: Option<Payload>,
    /// When the next ping is due.
    ping_by: Instant,
    /// When the answer to the last ping is due, until it comes.
    pong_by: Option<Instant>,
    /// Whether the peer can still be waited for.
    open: bool,
    /// Messages in a row, whether or not there was a wait between them.
    turns: u8,
}

/// What one WebSocket message carries.
///
/// # Examples
///
/// ```
/// use tidings::Payload;
///
/// assert_eq!(Payload::from("hello"), Payload::Text("hello".to_owned()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl From<&str> for Payload {
    fn from(text: &str) -> Payload {
        Payload::Text(text.to_owned())
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Payload {
        Payload::Text(text)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Payload {
        Payload::Binary(bytes)
    }
}

impl<'c> Exchange<'c> {
    /// Whether the request is meant as a WebSocket upgrade, right or wrong.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Exchange, Response};
    /// async fn app(ex: Exchange<'_>) -> tidings::Result<()> {
    ///     match ex.is_upgrade() {
    ///         true => ex.upgrade(None).await?.close(1000, "").await,
    ///         false => ex.reply(Response::text("a page")).await,
    ///     }
    /// }
    /// ```
    pub fn is_upgrade(&self) -> bool {
        is_upgrade(self.head())
    }

    /// Hands the connection over to WebSocket (RFC 6455, 4.2), with one of the subprotocols that the client
    /// offered or none.
    ///
    /// # Errors
    ///
    /// [`Fault::UpgradeRequired`], [`Fault::WebSocketVersion`] and [`Fault::Handshake`] if the request is no
    /// good upgrade, [`Error::Full`] if no place among the held requests is free: the answer is still owed, and
    /// [`Conn::fail`] gives it. [`Error::Misuse`] for a subprotocol that was not offered.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::Exchange;
    ///
    /// async fn echo(ex: Exchange<'_>) -> tidings::Result<()> {
    ///     let mut socket = ex.upgrade(None).await?;
    ///     while let Some(message) = socket.recv().await? {
    ///         socket.send(message).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn upgrade(mut self, protocol: Option<&str>) -> Result<WebSocket<'c>> {
        let upgrade = Upgrade::of(self.head())?;
        if protocol.is_some_and(|name| !offered(self.head()).unwrap_or_default().contains(&name)) {
            return Err(Error::Misuse("the subprotocol was not offered"));
        }
        if !self.hold() {
            return Err(Error::Full);
        }
        let conn = self.conn;
        conn.kept = 0;
        let date = conn.seat.server.date();
        let early = conn.http.upgrade(&upgrade.accept, protocol, date.as_deref(), &mut conn.out);
        conn.flush().await?;
        let limits = conn.limits();
        let (config, ping_by) = (config(limits), deadline(limits.ping));
        let socket = Socket { taken: early.len(), starved_by: None, write_by: None, conn };
        let engine = WebSocketStream::from_partially_read(socket, early, Role::Server, Some(config)).await;
        Ok(WebSocket { engine, received: None, ping_by, pong_by: None, open: true, turns: 0 })
    }
}

fn config(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(ENGINE_READ)
        .write_buffer_size(0)
        .max_write_buffer_size(
            limits.message.max(limits.history_bytes).saturating_mul(4).saturating_add(ENGINE_SPARE),
        )
        .max_message_size(Some(limits.message))
        .max_frame_size(Some(limits.message))
}

impl WebSocket<'_> {
    /// The next message; `None` when the peer has closed, or the server shuts down (which closes with 1001).
    ///
    /// # Errors
    ///
    /// What the peer did wrong, after it was closed with the code that says so: 1002, 1007 or 1009.
    /// [`Error::Timeout`] if it answers no pings, [`Error::Full`] (1013) if there is no room to read to,
    /// [`Error::Io`].
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again: no message is lost, a half-read one goes on.
    ///
    /// # Examples
    ///
    /// See [`Exchange::upgrade`].
    pub async fn recv(&mut self) -> Result<Option<Payload>> {
        // A peer that sends without end must not keep the thread.
        self.turns += 1;
        if self.turns >= TURNS {
            self.turns = 0;
            future::yield_now().await;
        }
        loop {
            match self.wait(pending::<()>(), Duration::MAX).await? {
                Wait::Readable => return Ok(self.received.take()),
                Wait::Left => return Ok(None),
                Wait::Shutdown => {
                    self.close(1001, "shutdown").await?;
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
    pub async fn wait<F: Future>(&mut self, future: F, within: Duration) -> Result<Wait<F::Output>> {
        let by = deadline(within);
        let mut future = pin!(future);
        loop {
            let event = poll_fn(|cx| {
                if let Poll::Ready(value) = future.as_mut().poll(cx) {
                    return Poll::Ready(Ok(Some(Wait::Ready(value))));
                }
                self.poll_event(cx, by).map_ok(|event| event.map(Event::into_wait))
            });
            match event.await {
                Ok(Some(wait)) => return Ok(wait),
                Ok(None) => self.beat().await?,
                Err(error) => return Err(self.refuse(error).await),
            }
        }
    }

    /// What happens beside the future that is waited for; `None` when a heartbeat is due.
    fn poll_event(&mut self, cx: &mut Context<'_>, by: Instant) -> Poll<Result<Option<Event>>> {
        match self.poll_message(cx) {
            Poll::Ready(Ok(event)) => return Poll::Ready(Ok(Some(event))),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {}
        }
        let now = Instant::now();
        if self.pong_by.is_some_and(|by| now >= by) {
            return Poll::Ready(Err(Error::Timeout(Phase::Pong)));
        }
        let socket = self.engine.get_ref();
        let again = socket.starved_by.map(|_| now + STARVED);
        let soonest = again.into_iter().chain([by, self.pong_by.unwrap_or(self.ping_by)]).min();
        let due = socket.conn.seat.poll_due(cx, soonest);
        if socket.conn.is_draining() {
            return Poll::Ready(Ok(Some(Event::Shutdown)));
        }
        due.map(|()| Ok((now >= by).then_some(Event::Elapsed)))
    }

    /// Reads until a message is whole, the peer has gone, or it has had its turn.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event>> {
        for _ in 0..TURNS {
            match (&self.received, self.open) {
                (Some(_), _) => return Poll::Ready(Ok(Event::Readable)),
                (None, false) => return Poll::Ready(Ok(Event::Left)),
                (None, true) => {
                    let read = ready!(Pin::new(&mut self.engine).poll_next(cx));
                    self.take(read)?;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes over what the engine has read.
    fn take(&mut self, read: Option<core::result::Result<WsMessage, WsError>>) -> Result<()> {
        let socket = self.engine.get_mut();
        match read.transpose() {
            Ok(Some(WsMessage::Text(text))) => {
                socket.settle(0);
                self.received = Some(Payload::from(text.as_str()));
            }
            Ok(Some(WsMessage::Binary(bytes))) => {
                socket.settle(0);
                self.received = Some(Payload::from(bytes.to_vec()));
            }
            // The engine answers pings and closes by itself, when it is polled again.
            Ok(Some(WsMessage::Ping(payload))) => socket.forget(payload.len()),
            Ok(Some(WsMessage::Pong(payload))) => {
                socket.forget(payload.len());
                self.pong_by = None;
            }
            Ok(Some(_)) => {}
            Ok(None) => self.open = false,
            Err(error) => {
                self.open = false;
                return Err(engine_error(error));
            }
        }
        Ok(())
    }

    /// Pings when that is due.
    async fn beat(&mut self) -> Result<()> {
        let now = Instant::now();
        if now >= self.ping_by && self.pong_by.is_none() {
            self.ping().await?;
        }
        Ok(())
    }

    /// Closes with the code that says what was wrong.
    async fn refuse(&mut self, error: Error) -> Error {
        let code = match error {
            Error::Fault(Fault::NotUtf8) => 1007,
            Error::Fault(Fault::MessageTooLarge) => 1009,
            Error::Fault(_) => 1002,
            Error::Full => 1013,
            _ => return error,
        };
        // The error that came first is the one to tell.
        let _ = self.write(close_frame(code, &error.to_string())).await;
        error
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
    /// See [`Exchange::upgrade`].
    pub async fn send(&mut self, message: impl Into<Payload>) -> Result<()> {
        let message = match message.into() {
            Payload::Text(text) => WsMessage::Text(text.into()),
            Payload::Binary(bytes) => WsMessage::Binary(bytes.into()),
        };
        self.write(message).await
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
        let limits = self.server().limits();
        let (ping_by, pong_by) = (deadline(limits.ping), deadline(limits.pong));
        self.ping_by = ping_by;
        self.pong_by.get_or_insert(pong_by);
        self.write(WsMessage::Ping(Vec::new().into())).await
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
        if !CloseCode::from(code).is_allowed() || reason.len() > 123 {
            return Err(Error::Misuse("the close code or its reason is not legal"));
        }
        if !self.open {
            return Ok(());
        }
        self.write(close_frame(code, reason)).await?;
        let by = deadline(self.server().limits().linger);
        poll_fn(|cx| match self.poll_message(cx) {
            Poll::Ready(Ok(Event::Readable)) => {
                // Too late to be answered.
                self.received = None;
                cx.waker().wake_by_ref();
                if Instant::now() < by { Poll::Pending } else { Poll::Ready(()) }
            }
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.engine.get_ref().conn.seat.poll_due(cx, Some(by)),
        })
        .await;
        self.open = false;
        Ok(())
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
        &self.engine.get_ref().conn.seat.server
    }

    async fn write(&mut self, message: WsMessage) -> Result<()> {
        let by = deadline(self.server().limits().write_time);
        self.engine.get_mut().write_by = Some(by);
        let sent = self.engine.send(message).await.map_err(engine_error);
        self.engine.get_mut().write_by = None;
        sent
    }
}

impl core::fmt::Debug for WebSocket<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WebSocket").field("open", &self.open).finish_non_exhaustive()
    }
}

/// What ends a wait beside its future.
enum Event {
    Readable,
    Elapsed,
    Left,
    Shutdown,
}

impl Event {
    fn into_wait<T>(self) -> Wait<T> {
        match self {
            Event::Readable => Wait::Readable,
            Event::Elapsed => Wait::Elapsed,
            Event::Left => Wait::Left,
            Event::Shutdown => Wait::Shutdown,
        }
    }
}

fn close_frame(code: u16, reason: &str) -> WsMessage {
    WsMessage::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))
}

/// Whose doing an engine's error is.
fn engine_error(error: WsError) -> Error {
    match error {
        WsError::Io(error) if error.kind() == io::ErrorKind::TimedOut => Error::Timeout(Phase::Write),
        WsError::Io(error) if error.kind() == io::ErrorKind::OutOfMemory => Error::Full,
        WsError::Io(error) => Error::Io(error),
        WsError::Capacity(_) => Error::Fault(Fault::MessageTooLarge),
        WsError::Utf8(_) => Error::Fault(Fault::NotUtf8),
        WsError::Protocol(ProtocolError::SendAfterClosing) => Error::Io(io::ErrorKind::NotConnected.into()),
        WsError::Protocol(_) => Error::Fault(Fault::Frame),
        error => Error::Io(io::Error::new(io::ErrorKind::NotConnected, error)),
    }
}

/// The connection as the engine sees it: counts what it reads, and bounds how long it writes.
struct Socket<'c> {
    conn: &'c mut Conn,
    /// Bytes read since the last whole message: what the engine holds of a part of one.
    taken: usize,
    /// While there is no room to read to: when to give up.
    starved_by: Option<Instant>,
    /// When the write under way must be done.
    write_by: Option<Instant>,
}

impl Socket<'_> {
    /// The engine holds this much of a message that is not whole.
    fn settle(&mut self, taken: usize) {
        self.taken = taken;
        // It refuses a longer message, so the rest of what was read is frame heads that it has dropped.
        let most = self.conn.limits().message.saturating_add(ENGINE_READ);
        self.conn.seat.settle(taken.min(most));
    }

    /// A control frame was read and dropped: its head, its mask and its payload.
    fn forget(&mut self, payload: usize) {
        self.settle(self.taken.saturating_sub(6 + payload));
    }

    /// A write that waits: is its time up?
    fn bound<T>(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match (write, self.write_by) {
            (Poll::Pending, Some(by)) => {
                self.conn.seat.poll_due(cx, Some(by)).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
            (write, _) => write,
        }
    }
}

impl AsyncRead for Socket<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let most = buf.len();
        let used = self.taken.min(self.conn.limits().message.saturating_add(ENGINE_READ));
        let granted = self.conn.seat.lease(used, most);
        if granted == 0 && most > 0 {
            let patience = self.conn.limits().body_time;
            let by = *self.starved_by.get_or_insert_with(|| deadline(patience));
            // The wait that this read is part of looks again soon.
            return if Instant::now() < by {
                Poll::Pending
            } else {
                Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()))
            };
        }
        self.starved_by = None;
        let read = Pin::new(&mut self.conn.io).poll_read(cx, &mut buf[..granted]);
        let taken = self.taken + if let Poll::Ready(Ok(n)) = read { n } else { 0 };
        self.settle(taken);
        read
    }
}

impl AsyncWrite for Socket<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.conn.io).poll_write(cx, buf);
        self.bound(cx, write)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.conn.io).poll_flush(cx);
        self.bound(cx, flush)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn.io).poll_close(cx)
    }
}
