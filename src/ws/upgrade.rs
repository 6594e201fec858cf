//! [`Exchange::upgrade`]: from a request to a [`WebSocket`].

use super::heart::Heart;
use super::{Engine, WebSocket};
use crate::conn::exchange::Exchange;
use crate::error::{Error, Fault, HandshakeFault, Result};
use crate::proto::http1::Receiving;
use crate::proto::ws::{Upgrade, is_upgrade, offered};

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
    /// [`Fault::UpgradeRequired`](crate::Fault::UpgradeRequired),
    /// [`Fault::WebSocketVersion`](crate::Fault::WebSocketVersion) and
    /// [`Fault::Handshake`](crate::Fault::Handshake) if the request is no good upgrade, [`Error::Full`] if no place
    /// among the held requests is free: the answer is still owed, and [`Conn::fail`](crate::Conn::fail) gives it.
    /// [`Error::Misuse`] for a subprotocol that was not offered.
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
        let request = conn.request.take().unwrap_or_default();
        let (accept, date) = (&upgrade.accept, conn.seat.server.date());
        let early = conn.http.upgrade(accept, protocol, date.as_deref(), &request.headers, conn.out.bytes());
        drop(request);
        // It is held already, but from now on heartbeats are written.
        conn.hold();
        conn.flush().await?;
        let heart = Heart::Ping(conn.seat.deadline(conn.limits().heartbeat()));
        let engine = Engine::new(conn, early).await;
        Ok(WebSocket { engine, received: None, heart, message_by: None, open: true, failed: None })
    }
}
