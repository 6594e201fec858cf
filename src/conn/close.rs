//! How a [`Conn`] ends: the last answer, the half-close, and the wait until the peer has seen it.

use core::future::poll_fn;
use std::task::{Context, Poll};

use super::{Conn, Life};
use crate::error::Error;
use crate::proto::input::READ;
use crate::proto::response::Response;
use crate::server::clock::Moment;

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
        self.tell(error);
        if self.flush().await.is_ok() {
            Box::pin(self.close()).await;
        }
    }

    /// Tells the peer of an error, if no answer was begun: the last that it is told.
    pub(super) fn tell(&mut self, error: &Error) {
        self.seat.release();
        if let Life::Over = self.life {
            // It is broken: nothing can be told.
            self.http.abandon();
        }
        if self.http.is_streaming() {
            self.life = Life::Over;
        }
        let mut answer = self.last_answer(error);
        self.add_headers(&mut answer);
        let date = self.seat.server.date();
        self.http.refuse(&answer, date.as_deref(), self.out.bytes());
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

    /// Closes with care: half-closes, then reads until the peer has seen it.
    pub(crate) async fn close(&mut self) {
        if !matches!(self.life, Life::Closing(_) | Life::Over) {
            let gone = self.http.has_ended();
            self.shut().await;
            if !gone {
                self.life = Life::Closing(self.seat.deadline(self.limits().linger));
            }
        }
        let Life::Closing(by) = self.life else { return };
        self.http.abandon();
        self.seat.settle(0);
        poll_fn(|cx| self.poll_linger(cx, by)).await;
        self.life = Life::Over;
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>, by: Moment) -> Poll<()> {
        match self.io.poll_receive(cx, &mut self.seat.eager, READ, |_| {}) {
            Poll::Ready(Ok(n)) if n > 0 => {
                // Thrown away; yield, so that a flood does not keep the thread.
                cx.waker().wake_by_ref();
                if self.seat.now() < by { Poll::Pending } else { Poll::Ready(()) }
            }
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.seat.poll_due(cx, by),
        }
    }

    /// Closes the writing half.
    pub(super) async fn shut(&mut self) {
        let by = self.seat.deadline(self.limits().linger);
        let gone = self.http.has_ended();
        self.http.abandon();
        self.seat.settle(0);
        poll_fn(|cx| match self.io.poll_close(cx, gone) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.seat.poll_due(cx, by),
        })
        .await;
        // Not before: whoever drops this goes on with it at the next call.
        self.life = Life::Over;
    }
}
