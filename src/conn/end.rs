//! [`End`]: how a [`Conn`] ends. Decided in one place, and carried out in one: the last answer, the half-close, and the
//! wait until the peer has seen it.

use core::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::Conn;
use crate::error::Error;
use crate::proto::http1::{Receiving, Sending};
use crate::proto::response::Response;

/// How a connection ends.
#[derive(Debug)]
pub(crate) enum End<'e> {
    /// The peer is told of an error, if no answer was begun; then as `Clean`.
    Told(&'e Error),
    /// What was written goes out, the writing half is closed, and the peer may see all of that.
    Clean,
    /// The stream is broken, or nobody waits any more: nothing more is written.
    Cut,
}

/// How far an end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The connection goes on.
    Open,
    /// What was written goes out, and the half-close follows; then it may linger.
    HalfClose { linger: bool },
    /// The writing half is closed; input is thrown away until the peer has seen that, so that a reset does not take
    /// our last answer away.
    Linger,
    /// Nothing more happens.
    Over,
}

impl Conn {
    /// Tells the peer of an error, if no answer was begun, and closes: half-closes, and reads on for a while so
    /// that the answer is not lost to a reset. The error of an exchange goes here.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, the next call of [`next`](Conn::next) goes on closing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Exchange, Fault, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.0\r\n\r\n".to_vec()));
    /// async fn app(_: Exchange<'_>) -> tidings::Result<()> {
    ///     Err(Fault::Topic.into())
    /// }
    ///
    /// # let mut conn = Conn::new(io, &server);
    /// while let Some(ex) = conn.next().await? {
    ///     if let Err(error) = app(ex).await {
    ///         conn.fail(&error).await; // The client sees a 404, and a close.
    ///     }
    /// }
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn fail(&mut self, error: &Error) {
        self.end(End::Told(error));
        Box::pin(self.close()).await;
    }

    /// As [`fail`](Conn::fail), and hands the error back.
    pub(crate) async fn refuse(&mut self, error: Error) -> Error {
        self.fail(&error).await;
        error
    }

    /// Ends the connection; [`close`](Conn::close) carries it out. What ends already goes on as it was, unless it is cut.
    pub(crate) fn end(&mut self, how: End<'_>) {
        self.seat.release();
        // Between two requests nothing is under way for which to linger.
        let mut linger = !matches!(self.http.state().receiving, Receiving::First | Receiving::Idle);
        if let (End::Told(error), Ending::Open) = (&how, self.ending) {
            linger |= self.tell(error);
        }
        self.ending = match (how, self.ending) {
            (End::Cut, _) => Ending::Over,
            (_, Ending::Open) => Ending::HalfClose { linger },
            (_, ending) => ending,
        };
        if self.ending == Ending::Over {
            self.out.clear();
        }
        self.forget();
    }

    /// Nothing more is read or answered.
    fn forget(&mut self) {
        self.http.close();
        self.request = None;
        self.seat.settle(0);
    }

    /// Writes the last answer, which tells of an error, if one can be given still.
    fn tell(&mut self, error: &Error) -> bool {
        // Behind an answer that was begun nothing is written, and what waits of it stays where it is.
        if !matches!(self.http.state().sending, Sending::Idle | Sending::Owed) {
            return false;
        }
        let mut answer = self.last_answer(error);
        self.add_headers(&mut answer);
        let date = self.seat.server.date();
        self.http.refuse(&answer, date.as_deref(), self.out.bytes())
    }

    /// What the peer is told of an error: all about its own faults, nothing about ours.
    fn last_answer(&self, error: &Error) -> Response {
        match error {
            Error::Fault(fault) => Response::fault(*fault),
            Error::Misuse(_) | Error::Other(_) | Error::Io(_) => Response::error(500, "the server failed"),
            Error::Full => Response::error(503, error).header("Retry-After", self.seat.server.retry_after()),
            _ => Response::error(error.status(), error),
        }
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending != Ending::Open
    }

    /// Carries out how the connection ends. Whoever drops this goes on with it at the next call.
    pub(crate) async fn close(&mut self) {
        if self.flush().await.is_ok() {
            poll_fn(|cx| self.poll_close(cx)).await;
        }
        self.ending = Ending::Over;
    }

    /// Closes the writing half, and reads until the peer has seen that, within [`Limits::linger`](crate::Limits::linger).
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Ending::HalfClose { linger } = self.ending {
            match self.io.poll_close(cx, self.http.state().ended) {
                Poll::Ready(_) => self.half_closed(linger),
                Poll::Pending => return self.poll_receive_due(cx),
            }
        }
        while self.ending == Ending::Linger {
            // A flood must not keep the thread.
            ready!(self.turns.poll_give_way(cx));
            match self.poll_fill(cx) {
                Poll::Ready(Ok(n)) if n > 0 => self.turns.take(1),
                Poll::Ready(_) => break,
                Poll::Pending => return self.poll_receive_due(cx),
            }
            if self.poll_receive_due(cx).is_ready() {
                break;
            }
        }
        Poll::Ready(())
    }

    /// The writing half is closed. Of a peer that has ended its input nothing is to be waited for.
    pub(super) fn half_closed(&mut self, linger: bool) {
        self.ending = if linger && !self.http.state().ended { Ending::Linger } else { Ending::Over };
        self.forget();
    }
}
