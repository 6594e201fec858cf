//! [`End`]: how a [`Conn`] ends. [`Conn::end`] alone decides it, and [`Conn::close`] alone carries it out: the last
//! response, the half-close, and lingering until the client has seen both.

use core::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::Conn;
use crate::error::Error;
use crate::proto::http1::{Receiving, Sending};
use crate::proto::response::Response;

/// How a connection ends.
#[derive(Debug)]
pub(crate) enum End<'e> {
    /// The client is told of an error, if no response has begun; then as `Clean`.
    Told(&'e Error),
    /// The write buffer is written, then the half-close follows, and the connection lingers.
    Clean,
    /// The connection is cut off, since its stream is broken or its time is up: nothing more is written.
    Cut,
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The connection goes on.
    Open,
    /// The write buffer is being written, and the half-close follows; then the connection may linger.
    HalfClose { linger: bool },
    /// The writing half is closed. Input is read and discarded until the client ends it, so that the last response is not
    /// lost to a reset.
    Linger,
    /// Nothing is read or written any more.
    Over,
}

impl Conn {
    /// Tells the client of an error by its [status](Error::status), if no response has begun, and closes the connection: it
    /// half-closes, and lingers for at most [`Limits::linger`](crate::Limits::linger), so that the response is not lost to a
    /// reset. An accept loop calls this with the error that a handler returns.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after its first poll, the next call of [`next`](Conn::next) goes on closing.
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

    /// Does what [`fail`](Conn::fail) does, and returns the error.
    pub(crate) async fn fail_with(&mut self, error: Error) -> Error {
        self.fail(&error).await;
        error
    }

    /// Decides how the connection ends; [`close`](Conn::close) carries it out. If the connection is ending already, only
    /// [`End::Cut`] changes how.
    pub(crate) fn end(&mut self, how: End<'_>) {
        self.seat.release();
        // Between two requests the client waits for no response, so there is nothing to linger for.
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
        self.drop_request();
    }

    /// No further request is read or answered: drops all that was kept for one.
    fn drop_request(&mut self) {
        self.http.close();
        self.end_request();
        self.seat.settle(0);
    }

    /// Puts a last response that tells of an error into the write buffer; false if another response has begun.
    fn tell(&mut self, error: &Error) -> bool {
        // Behind an answer that was begun nothing is written, and what waits of it stays where it is.
        if !matches!(self.http.state().sending, Sending::Idle | Sending::Owed) {
            return false;
        }
        let mut response = self.last_response(error);
        self.add_headers(&mut response);
        let date = self.seat.server.date();
        self.http.refuse(&response, date.as_deref(), self.out.bytes())
    }

    /// The response that tells the client of an error: everything about its own faults, nothing about the server's.
    fn last_response(&self, error: &Error) -> Response {
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

    /// Carries out the end of the connection. If the future is dropped, the next call goes on with it.
    pub(crate) async fn close(&mut self) {
        if self.flush().await.is_ok() {
            poll_fn(|cx| self.poll_close(cx)).await;
        }
        self.ending = Ending::Over;
    }

    /// Closes the writing half, and lingers within [`Limits::linger`](crate::Limits::linger).
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Ending::HalfClose { linger } = self.ending {
            match self.io.poll_close(cx, self.http.state().ended) {
                Poll::Ready(_) => self.half_closed(linger),
                Poll::Pending => return self.poll_receive_due(cx),
            }
        }
        while self.ending == Ending::Linger {
            // A client that sends without end must not keep the thread.
            ready!(self.turns.poll_give_way(cx));
            match self.poll_fill(cx) {
                Poll::Ready(Ok(n)) if n > 0 => self.turns.count(1),
                Poll::Ready(_) => break,
                Poll::Pending => return self.poll_receive_due(cx),
            }
            if self.poll_receive_due(cx).is_ready() {
                break;
            }
        }
        Poll::Ready(())
    }

    /// The writing half is closed. If the client has ended its input already, there is nothing to linger for.
    pub(super) fn half_closed(&mut self, linger: bool) {
        self.ending = if linger && !self.http.state().ended { Ending::Linger } else { Ending::Over };
        self.drop_request();
    }
}
