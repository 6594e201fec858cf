//! [`Wait`]: how a wait beside a held connection ended, and the future that waits.

use core::future::Future;
use core::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::conn::Conn;
use crate::error::{Error, Result};
use crate::server::clock::Moment;

/// How a wait ended.
///
/// # Examples
///
/// ```
/// # use tidings::{Conn, Limits, Server, Wait};
/// # smol::block_on(async {
/// # let server = Server::new(Limits::DEFAULT);
/// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
/// #     b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
/// # let mut conn = Conn::new(io, &server);
/// # let mut ex = conn.next().await?.expect("a request");
/// use std::{future::pending, time::Duration};
///
/// assert_eq!(ex.wait(async { 7 }, Duration::MAX).await?, Wait::Ready(7));
/// // This client has ended its input.
/// assert_eq!(ex.wait(pending::<()>(), Duration::MAX).await?, Wait::Left);
/// # tidings::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait<T> {
    /// What was waited for is there.
    Ready(T),
    /// The time is up.
    Elapsed,
    /// The peer sent a message; only a WebSocket says so, and its `recv` returns it at once.
    Readable,
    /// The peer has gone, or ended its input.
    Left,
    /// The server shuts down.
    Shutdown,
}

pin_project! {
    /// Waits for a future, and watches the peer and the server meanwhile. Written by hand, since it lies in the
    /// memory of every held connection: as an `async fn` it took three times as much.
    pub(crate) struct Waiting<'c, F> {
        conn: &'c mut Conn,
        #[pin]
        future: F,
        by: Moment,
    }
}

impl<'c, F> Waiting<'c, F> {
    pub(crate) fn new(conn: &'c mut Conn, future: F, within: Duration) -> Waiting<'c, F> {
        let by = conn.seat.deadline(within);
        Waiting { conn, future, by }
    }
}

impl<F: Future> Future for Waiting<'_, F> {
    type Output = Result<Wait<F::Output>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Wait<F::Output>>> {
        let this = self.project();
        match this.conn.out.is_empty() {
            true => this.conn.out.clear(),
            false => ready!(this.conn.poll_flush_by(cx))?,
        }
        if !this.conn.hold() {
            return Poll::Ready(Err(Error::Full));
        }
        // Now and then the end comes first: a future that is always ready must not hide it.
        if this.conn.count_turn() {
            if let Poll::Ready(end) = this.conn.poll_end(cx) {
                return Poll::Ready(Ok(end));
            }
        }
        match this.future.poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(Wait::Ready(value))),
            Poll::Pending => this.conn.poll_event(cx, *this.by).map(Ok),
        }
    }
}

impl Conn {
    /// What happens beside the future that is waited for.
    fn poll_event<T>(&mut self, cx: &mut Context<'_>, by: Moment) -> Poll<Wait<T>> {
        if self.poll_left(cx).is_ready() {
            return Poll::Ready(Wait::Left);
        }
        self.seat.turns = 0;
        let due = self.poll_due(cx, by);
        // Look for a shutdown behind that: one between the two would wake nobody.
        if self.is_draining() { Poll::Ready(Wait::Shutdown) } else { due.map(|()| Wait::Elapsed) }
    }

    /// The end alone.
    fn poll_end<T>(&mut self, cx: &mut Context<'_>) -> Poll<Wait<T>> {
        match (self.poll_left(cx), self.is_draining()) {
            (Poll::Ready(()), _) => Poll::Ready(Wait::Left),
            (Poll::Pending, true) => Poll::Ready(Wait::Shutdown),
            (Poll::Pending, false) => Poll::Pending,
        }
    }

    /// Reads what the peer sends early, until it has left.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.drop_early();
        while !self.http.has_ended() {
            let read = match self.poll_fill(cx) {
                Poll::Pending if self.is_deaf() => self.poll_overflow(cx),
                read => read,
            };
            match ready!(read) {
                Ok(n) if n > 0 => {}
                _ => break,
            }
        }
        Poll::Ready(())
    }
}
