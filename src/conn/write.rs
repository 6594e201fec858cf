//! How a [`Conn`] writes: within [`Limits::write_time`](crate::Limits::write_time), and in turn with other connections.

use core::future::Future;
use core::pin::Pin;
use std::io;
use std::task::{Context, Poll, ready};

use super::Conn;
use super::end::End;
use super::wait::Held;
use crate::error::{Error, Phase, Result};
use crate::server::Stage;

impl Conn {
    /// Writes the write buffer, within [`Limits::write_time`](crate::Limits::write_time). Cancel-safe.
    pub(crate) fn flush(&mut self) -> Flush<'_, Conn> {
        Flush { held: self }
    }

    /// Returns this error, after other connections had their turn: a handler may ignore the error and go on.
    pub(crate) async fn fail_in_turn(&mut self, error: Error) -> Result<()> {
        self.flush().await?;
        Err(error)
    }

    /// An error if the server has cut all connections off. A connection that is ending may still write its last response.
    pub(crate) fn check_cut(&self) -> Result<()> {
        match self.seat.server.stage() {
            Stage::Cut if !self.is_ending() => {
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server has shut down").into())
            }
            _ => Ok(()),
        }
    }

    /// No future writes any more: see [`Patience`](super::patience::Patience).
    #[inline]
    pub(crate) fn pause(&mut self) {
        if !self.out.is_empty() {
            let seat = &self.seat;
            self.out.pause(|| seat.now());
        }
    }

    /// Writes bytes from where they are, unless `more` are to follow or others wait already; what is not written at once goes
    /// into the write buffer, and a flush must follow.
    pub(crate) fn push_bytes(&mut self, mut bytes: &[u8], more: bool) -> Result<()> {
        self.check_cut()?;
        if self.out.is_empty() && !more {
            match self.io.write_now(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) => {
                    self.end(End::Cut);
                    return Err(error.into());
                }
            }
        }
        if !bytes.is_empty() {
            self.out.bytes().extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Writes as many bytes as the peer takes now.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.out.left() > 0 {
            match ready!(self.io.poll_write_parts(cx, self.out.rest(), self.out.is_last()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.out.advance(n),
            }
        }
        ready!(self.io.poll_flush(cx))?;
        // The response is written, whether or not the half-close is pending or has failed.
        let last = self.out.is_last() && self.io.poll_close(cx, false).is_ready();
        self.out.clear();
        if last {
            self.half_closed(true);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes the write buffer, within its deadline.
    #[inline]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.out.is_empty() {
            true => Poll::Ready(Ok(())),
            false => self.poll_flush_all(cx),
        }
    }

    fn poll_flush_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // Mostly the peer takes all bytes at once, and the clock need not be read.
        let error = match self.poll_write(cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Error::from(error),
            Poll::Pending => {
                self.turns.rest();
                let seat = &self.seat;
                let by = self.out.wait(seat.server.limits().write_time, || seat.now());
                ready!(self.seat.poll_due(cx, by));
                Error::Timeout(Phase::Write)
            }
        };
        self.end(End::Cut);
        Poll::Ready(Err(error))
    }
}

/// Writes all bytes that wait to be written. A future written by hand, since each future that writes has one in its memory:
/// as an `async fn` it took three times as much.
pub(crate) struct Flush<'p, H: Held> {
    pub(crate) held: &'p mut H,
}

impl<H: Held> Future for Flush<'_, H> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let conn = self.held.conn();
        // A handler that never has to wait, or goes on after an error, lets other connections go first here.
        ready!(conn.turns.poll_give_way(cx));
        conn.turns.count(1);
        conn.check_cut()?;
        loop {
            let flushed = self.held.poll_flush(cx);
            if flushed.is_ready() {
                return flushed;
            }
            // A client that reads slowly but steadily is written to for as long as it likes.
            let due = self.held.write_by().min(self.held.unused_by());
            ready!(self.held.conn().poll_due(cx, due));
            self.held.spare();
        }
    }
}

impl<H: Held> Drop for Flush<'_, H> {
    fn drop(&mut self) {
        self.held.pause();
    }
}
