//! How a [`Conn`] writes: within its time, and in turn with the others.

use core::future::Future;
use core::pin::Pin;
use std::io;
use std::task::{Context, Poll, ready};

use super::{Conn, Life};
use crate::error::{Error, Phase, Result};

/// After this many requests or frames in a row without a wait, a connection lets the others go first.
pub(crate) const TURNS: u8 = 16;

/// Stands in for no turns when a connection has let the others go first, or waited for its peer to read: it is to look
/// whether that has left, before it goes on with what is always ready.
pub(crate) const LOOK: u8 = 0x80;

impl Conn {
    /// Writes what is to be written, within [`Limits::write_time`]. Cancel-safe.
    pub(crate) fn flush(&mut self) -> Flush<'_> {
        Flush { conn: self }
    }

    /// Counts what was done without a look at the peer; whether it was much.
    pub(crate) fn count_turn(&mut self) -> bool {
        self.seat.turns = self.seat.turns.saturating_add(1);
        self.seat.turns > TURNS
    }

    /// Counts a request, a message or a write, and lets the others go first after some without a wait.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.seat.turns = self.seat.turns.saturating_add(1);
        if self.seat.turns % LOOK < TURNS {
            return Poll::Ready(());
        }
        self.seat.turns = LOOK;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let last = self.out.is_last();
        while !self.out.rest().is_empty() {
            let written = match last {
                true => self.io.poll_write_last(cx, self.out.rest()),
                false => self.io.poll_write(cx, self.out.rest()),
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.out.advance(n),
            }
        }
        ready!(self.io.poll_flush(cx))?;
        // One that takes its time, and the failure of one, is no matter of the answer's.
        if last && self.io.poll_close(cx, false).is_ready() {
            self.life = match self.http.has_ended() {
                true => Life::Over,
                false => Life::Closing(self.seat.deadline(self.limits().linger)),
            };
        }
        self.out.clear();
        Poll::Ready(Ok(()))
    }

    /// Writes what is to be written, within its time.
    pub(crate) fn poll_flush_by(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // Mostly the peer takes it at once, and no time has to be looked up.
        let error = match self.poll_flush(cx) {
            Poll::Ready(Ok(())) => return self.poll_turn(cx).map(Ok),
            Poll::Ready(Err(error)) => Error::from(error),
            Poll::Pending => {
                self.seat.turns = LOOK;
                let seat = &self.seat;
                let by = self.out.by(|| seat.deadline(seat.server.limits().write_time));
                ready!(seat.poll_due(cx, by));
                Error::Timeout(Phase::Write)
            }
        };
        Poll::Ready(Err(self.unwritten(error)))
    }

    /// Nobody waits for the rest.
    pub(crate) fn unwritten(&mut self, error: Error) -> Error {
        self.out.clear();
        self.http.abandon();
        self.life = Life::Over;
        error
    }
}

/// Writes what is to be written. By hand, since it lies in the memory of whatever writes: as an `async fn` it took three
/// times as much.
pub(crate) struct Flush<'c> {
    conn: &'c mut Conn,
}

impl Future for Flush<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.conn.out.is_empty() {
            true => {
                self.conn.out.clear();
                Poll::Ready(Ok(()))
            }
            false => self.conn.poll_flush_by(cx),
        }
    }
}
