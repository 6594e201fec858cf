//! [`Wait`]: how a wait beside a held connection ended, and the one future that waits.

use core::future::Future;
use core::pin::Pin;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::Conn;
use super::turns::Source;
use crate::error::{Error, Result};
use crate::server::Stage;
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
    /// The server shuts down: say the last word. Whoever waits on is told so again, and is cut off when the time of the
    /// shutdown is up.
    Shutdown,
}

/// Who is at the other end of a held wait: the client of an exchange, or of a WebSocket.
pub(crate) trait Peer {
    fn conn(&mut self) -> &mut Conn;

    /// Writes what is to be written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// Nobody waits any more for the peer to read.
    fn pause(&mut self) {
        self.conn().pause();
    }

    /// What the peer sent, or that it has left.
    fn poll_peer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Sent>>;

    /// By when the peer must have read some of what waits to be written.
    fn write_by(&mut self) -> Moment {
        self.conn().out.by()
    }

    /// When [`act`](Peer::act) is to be called, whatever the wait is for.
    fn act_by(&mut self) -> Moment;

    /// Does what is due by itself, such as a heartbeat.
    fn act(&mut self) -> Result<()>;
}

/// What came from a peer.
pub(crate) enum Sent {
    /// Only a WebSocket's peer sends any.
    #[cfg(feature = "ws")]
    Message,
    /// It has gone, or ended its input.
    End,
}

impl Peer for Conn {
    fn conn(&mut self) -> &mut Conn {
        self
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Conn::poll_flush(self, cx)
    }

    fn poll_peer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Sent>> {
        self.poll_left(cx).map(|()| Ok(Sent::End))
    }

    fn act_by(&mut self) -> Moment {
        self.unused_by()
    }

    fn act(&mut self) -> Result<()> {
        if self.unused_by() <= self.seat.now() {
            self.discard();
        }
        Ok(())
    }
}

pin_project! {
    /// Waits for a future, and watches the peer and the server meanwhile. Written by hand, since it lies in the
    /// memory of every held connection: as an `async fn` it took three times as much.
    pub(crate) struct Held<'p, P: Peer, F> {
        peer: &'p mut P,
        #[pin]
        future: F,
        by: Moment,
    }

    impl<P: Peer, F> PinnedDrop for Held<'_, P, F> {
        fn drop(this: Pin<&mut Self>) {
            this.project().peer.pause();
        }
    }
}

impl<'p, P: Peer, F> Held<'p, P, F> {
    pub(crate) fn new(peer: &'p mut P, future: F, within: Duration) -> Held<'p, P, F> {
        let by = peer.conn().seat.deadline(within);
        Held { peer, future, by }
    }
}

impl<P: Peer, F: Future> Future for Held<'_, P, F> {
    type Output = Result<Wait<F::Output>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // Whoever never has to wait gives way to other connections here, also one that ignores how its waits end.
        ready!(this.peer.conn().turns.poll_give_way(cx));
        let end = loop {
            if let Err(error) = this.peer.conn().keep() {
                break Err(error);
            }
            // While the peer does not read there is nothing to ask the future for.
            let mut flushed = this.peer.poll_flush(cx)?;
            let writes = flushed.is_pending();
            let future = Some(this.future.as_mut()).filter(|_| !writes);
            if let Poll::Ready(end) = poll_sources(&mut **this.peer, future, cx) {
                break end;
            }
            // What was read may ask for an answer, as a ping does.
            if flushed.is_ready() && !this.peer.conn().out.is_empty() {
                flushed = this.peer.poll_flush(cx)?;
            }
            match poll_time(&mut **this.peer, cx, *this.by, flushed.is_pending()) {
                Poll::Pending => {
                    this.peer.conn().turns.rest();
                    return Poll::Pending;
                }
                Poll::Ready(Some(end)) => break Ok(end),
                Poll::Ready(None) => {
                    if let Err(error) = this.peer.act() {
                        break Err(error);
                    }
                }
            }
        };
        this.peer.conn().turns.take(1);
        Poll::Ready(end)
    }
}

/// The future, the peer and a shutdown, each first in its turn: none can hide another by having always something to say.
/// There is no future to ask while the peer does not read, and no shutdown to tell.
fn poll_sources<P: Peer, F: Future>(
    peer: &mut P,
    future: Option<Pin<&mut F>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Wait<F::Output>>> {
    let Some(mut future) = future else { return peer.poll_peer(cx).map_ok(Sent::into_wait) };
    let first = core::mem::take(&mut peer.conn().turns.first);
    for source in first.on() {
        let end = match source {
            Source::Future => future.as_mut().poll(cx).map(|value| Ok(Wait::Ready(value))),
            Source::Peer => peer.poll_peer(cx).map_ok(Sent::into_wait),
            Source::Shutdown if peer.conn().is_draining() => Poll::Ready(Ok(Wait::Shutdown)),
            Source::Shutdown => Poll::Pending,
        };
        if end.is_ready() {
            peer.conn().turns.first = source.on()[1];
            return end;
        }
    }
    Poll::Pending
}

/// The end of the wait by time or by a shutdown, or `None` if something else is due. While something waits to be written
/// that goes out first.
fn poll_time<P: Peer, T>(
    peer: &mut P,
    cx: &mut Context<'_>,
    by: Moment,
    writes: bool,
) -> Poll<Option<Wait<T>>> {
    let ends_by = if writes { Moment::NEVER } else { by };
    let soonest = ends_by.min(peer.write_by()).min(peer.act_by());
    let conn = peer.conn();
    let due = conn.poll_due(cx, soonest);
    // Look for a shutdown behind that: one between the two would wake nobody.
    if conn.is_draining() && !writes {
        return Poll::Ready(Some(Wait::Shutdown));
    }
    due.map(|()| if conn.seat.now() >= by && !writes { Some(Wait::Elapsed) } else { None })
}

impl Sent {
    fn into_wait<T>(self) -> Wait<T> {
        match self {
            #[cfg(feature = "ws")]
            Sent::Message => Wait::Readable,
            Sent::End => Wait::Left,
        }
    }
}

impl Conn {
    /// Keeps a place among the held for this wait, unless the server has cut everything.
    fn keep(&mut self) -> Result<()> {
        match self.seat.server.stage() {
            Stage::Cut => {
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server has shut down").into())
            }
            _ if self.hold() => Ok(()),
            _ => Err(Error::Full),
        }
    }
}
