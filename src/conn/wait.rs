//! [`Wait`]: how the wait of a held request has ended. [`HeldWait`]: the one future that waits so.

use core::future::{Future, poll_fn};
use core::ops::ControlFlow;
use core::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_lite::{Stream, StreamExt};
use pin_project_lite::pin_project;

use super::Conn;
use super::turns::Source;
use crate::error::{Error, Result};
use crate::server::clock::Moment;

/// How a wait has ended.
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
#[non_exhaustive]
pub enum Wait<T> {
    /// The future was ready, with this value.
    Ready(T),
    /// The time is up.
    Elapsed,
    /// The client has sent a message, which `recv` returns at once. Only the wait of a WebSocket ends so.
    Readable,
    /// The client has gone, or has ended its input.
    Left,
    /// The server shuts down: now is the time for a last word. Each further wait ends so again, until the time of the
    /// shutdown is up and the connection is cut off.
    Shutdown,
}

/// A connection whose request is held: an ordinary one, or a WebSocket.
pub(crate) trait Held {
    fn conn(&mut self) -> &mut Conn;

    /// Writes all bytes that wait to be written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// No future writes any more: see [`Patience`](super::patience::Patience).
    fn pause(&mut self) {
        self.conn().pause();
    }

    /// Reads until the client has sent a message, or has left.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<Heard>>;

    /// By when the peer must have read some of what waits to be written.
    fn write_by(&mut self) -> Moment {
        self.conn().out.by()
    }

    /// By when the handler must use the bytes that the client has sent: they take room from other connections.
    fn unused_by(&mut self) -> Moment;

    /// The handler has not used those bytes in time.
    fn give_up(&mut self);

    /// Gives up bytes that were not used in time, whatever else happens on the connection.
    fn spare(&mut self) {
        let by = self.unused_by();
        if self.conn().seat.is_past(by) {
            self.give_up();
        }
    }

    /// When [`act`](Held::act) is to be called, whatever the wait is for.
    fn act_by(&mut self) -> Moment {
        Moment::NEVER
    }

    /// Does what is due beside the wait, such as a heartbeat.
    fn act(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What was heard from a client.
pub(crate) enum Heard {
    /// A message of a WebSocket.
    #[cfg(feature = "ws")]
    Message,
    /// The client has gone, or has ended its input.
    End,
}

impl Held for Conn {
    fn conn(&mut self) -> &mut Conn {
        self
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Conn::poll_flush(self, cx)
    }

    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<Heard>> {
        self.poll_end_of_input(cx).map(|()| Ok(Heard::End))
    }

    fn unused_by(&mut self) -> Moment {
        Conn::unused_by(self)
    }

    fn give_up(&mut self) {
        self.discard();
    }
}

pin_project! {
    /// Waits for a future, and watches the client and the server meanwhile. A future written by hand, since each held
    /// request has one in its memory: as an `async fn` it took three times as much.
    pub(crate) struct HeldWait<'p, H: Held, F> {
        held: &'p mut H,
        #[pin]
        future: F,
        by: Moment,
    }

    impl<H: Held, F> PinnedDrop for HeldWait<'_, H, F> {
        fn drop(this: Pin<&mut Self>) {
            this.project().held.pause();
        }
    }
}

impl<'p, H: Held, F> HeldWait<'p, H, F> {
    pub(crate) fn new(held: &'p mut H, future: F, within: Duration) -> HeldWait<'p, H, F> {
        let by = held.conn().seat.deadline(within);
        HeldWait { held, future, by }
    }
}

impl<H: Held, F: Future> Future for HeldWait<'_, H, F> {
    type Output = Result<Wait<F::Output>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        poll_wait(&mut **this.held, this.future, *this.by, cx)
    }
}

/// Waits for one item of `source` after another until `end`, and calls `each` with how each wait has ended; `Elapsed` is a
/// heartbeat. Returns what `each` breaks with; `None` when `end` has come. One future for many items: to make one for each
/// takes as long as all else that a waiting client costs.
pub(crate) fn wait_each<H: Held, S: Stream + Unpin, R>(
    held: &mut H,
    source: &mut S,
    end: Moment,
    mut each: impl FnMut(&mut H, &mut S, Wait<Option<S::Item>>) -> Result<ControlFlow<R>>,
) -> impl Future<Output = Result<Option<R>>> {
    let mut by = held.conn().next_heartbeat().min(end);
    let waits = Waits { held };
    poll_fn(move |cx| {
        let held = &mut *waits.held;
        loop {
            let wait = ready!(poll_wait(held, pin!(source.next()), by, cx))?;
            if let Wait::Elapsed = wait {
                if held.conn().seat.is_past(end) {
                    return Poll::Ready(Ok(None));
                }
                by = held.conn().next_heartbeat().min(end);
            }
            if let ControlFlow::Break(value) = each(held, source, wait)? {
                return Poll::Ready(Ok(Some(value)));
            }
            // Behind an item as well: of a busy source there is always one.
            if held.conn().seat.is_past(end) {
                return Poll::Ready(Ok(None));
            }
        }
    })
}

/// A connection that waits, until this is dropped.
struct Waits<'p, H: Held> {
    held: &'p mut H,
}

impl<H: Held> Drop for Waits<'_, H> {
    fn drop(&mut self) {
        self.held.pause();
    }
}

/// Waits for a future until `by`.
fn poll_wait<H: Held, F: Future>(
    held: &mut H,
    mut future: Pin<&mut F>,
    by: Moment,
    cx: &mut Context<'_>,
) -> Poll<Result<Wait<F::Output>>> {
    // A handler that never has to wait lets other connections go first here, also if it ignores how its waits end.
    ready!(held.conn().turns.poll_give_way(cx));
    let end = loop {
        if let Err(error) = held.conn().ensure_held() {
            break Err(error);
        }
        // While bytes wait to be written, the future's value could not be used.
        let mut flushed = held.poll_flush(cx)?;
        let writes = flushed.is_pending();
        let future = Some(future.as_mut()).filter(|_| !writes);
        if let Poll::Ready(end) = poll_sources(held, future, cx) {
            held.spare();
            break end;
        }
        // The read may have pushed an answer, such as a pong.
        if flushed.is_ready() && !held.conn().out.is_empty() {
            flushed = held.poll_flush(cx)?;
        }
        match poll_time(held, cx, by, flushed.is_pending()) {
            Poll::Pending => {
                held.conn().turns.rest();
                return Poll::Pending;
            }
            Poll::Ready(Some(end)) => break Ok(end),
            Poll::Ready(None) => {
                held.spare();
                if let Err(error) = held.act() {
                    break Err(error);
                }
            }
        }
    };
    held.conn().turns.count(1);
    Poll::Ready(end)
}

/// Polls the three sources of a wait: the future, the client, the shutdown. Each is first in its turn, so that none can hide
/// another by always being ready. `future` is `None` while bytes wait to be written: then no shutdown is told either.
fn poll_sources<H: Held, F: Future>(
    held: &mut H,
    future: Option<Pin<&mut F>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Wait<F::Output>>> {
    let Some(mut future) = future else { return held.poll_client(cx).map_ok(Heard::into_wait) };
    let first = core::mem::take(&mut held.conn().turns.first);
    for source in first.in_turn() {
        let end = match source {
            Source::Future => future.as_mut().poll(cx).map(|value| Ok(Wait::Ready(value))),
            Source::Client => held.poll_client(cx).map_ok(Heard::into_wait),
            Source::Shutdown if held.conn().is_draining() => Poll::Ready(Ok(Wait::Shutdown)),
            Source::Shutdown => Poll::Pending,
        };
        if end.is_ready() {
            held.conn().turns.first = source.in_turn()[1];
            return end;
        }
    }
    Poll::Pending
}

/// The end of the wait by time or by a shutdown, or `None` if something else is due. `writes` is whether bytes wait to be
/// written: as long as they do, the wait does not end.
fn poll_time<H: Held, T>(
    held: &mut H,
    cx: &mut Context<'_>,
    by: Moment,
    writes: bool,
) -> Poll<Option<Wait<T>>> {
    let ends_by = if writes { Moment::NEVER } else { by };
    let soonest = ends_by.min(held.write_by()).min(held.unused_by()).min(held.act_by());
    let conn = held.conn();
    let due = conn.poll_due(cx, soonest);
    // Look for a shutdown behind that: one between the two would wake nobody.
    if conn.is_draining() && !writes {
        return Poll::Ready(Some(Wait::Shutdown));
    }
    due.map(|()| if conn.seat.is_past(by) && !writes { Some(Wait::Elapsed) } else { None })
}

impl Heard {
    fn into_wait<T>(self) -> Wait<T> {
        match self {
            #[cfg(feature = "ws")]
            Heard::Message => Wait::Readable,
            Heard::End => Wait::Left,
        }
    }
}

impl Conn {
    /// When a client that hears nothing else is to hear a heartbeat.
    fn next_heartbeat(&self) -> Moment {
        self.seat.deadline(self.limits().heartbeat())
    }

    /// Takes a permit to hold the request, or keeps it, unless the server has cut all connections off.
    fn ensure_held(&mut self) -> Result<()> {
        self.check_cut()?;
        if self.hold() { Ok(()) } else { Err(Error::Full) }
    }
}
