//! [`Exchange::upgrade`]: turns a request into a [`WebSocket`].

use super::heart::Heart;
use super::{Engine, WebSocket};
use crate::conn::exchange::Exchange;
use crate::conn::request::Request;
use crate::error::{Error, Fault, HandshakeFault, Result};
use crate::proto::http1::Receiving;
use crate::proto::ws::{Upgrade, is_upgrade, offered};

impl<'c> Exchange<'c> {
    /// Whether the request is meant as a WebSocket upgrade, be it legal or not: it has `Upgrade: websocket` or one of the
    /// fields that only a handshake has.
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

    /// Accepts a WebSocket upgrade (RFC 6455, 4.2), with `protocol` as its subprotocol or with none. From now on the
    /// request is held.
    ///
    /// # Errors
    ///
    /// [`Fault::UpgradeRequired`](crate::Fault::UpgradeRequired),
    /// [`Fault::WebSocketVersion`](crate::Fault::WebSocketVersion) or
    /// [`Fault::Handshake`](crate::Fault::Handshake) if the request is no legal upgrade. [`Error::Full`] if
    /// [`Limits::held`](crate::Limits::held) requests are held. [`Error::Misuse`] if the client has not offered `protocol`.
    /// After these the request is still to be answered, which [`Conn::fail`](crate::Conn::fail) does.
    /// [`Error::Timeout`] or [`Error::Io`] if the 101 can't be written.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the connection has no WebSocket, and ends.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, there is no WebSocket: the next [`Conn::next`](crate::Conn::next) writes the rest of the 101, and
    /// closes.
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
        if self.conn.http.state().receiving != Receiving::Complete {
            // Frames are missing that the client has sent too early.
            return Err(Fault::Handshake(HandshakeFault::Early).into());
        }
        if protocol.is_some_and(|name| !offered(self.head()).unwrap_or_default().contains(&name)) {
            return Err(Error::Misuse("the subprotocol was not offered"));
        }
        if !self.hold() {
            return Err(Error::Full);
        }
        let conn = self.conn;
        let request = conn.request.take().unwrap_or_else(Request::new);
        let (accept, date) = (&upgrade.accept, conn.seat.server.date());
        let early = conn.http.upgrade(accept, protocol, date.as_deref(), &request.headers, conn.out.bytes());
        request.end();
        // The permit is held already. This tells the kernel that heartbeats are written from now on.
        conn.hold();
        conn.flush().await?;
        let heart = Heart::Ping(conn.seat.deadline(conn.limits().heartbeat()));
        let engine = Engine::new(conn, early).await;
        Ok(WebSocket { engine, received: None, heart, message_by: None, open: true, failed: None })
    }
}
