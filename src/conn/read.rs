//! How a [`Conn`] reads: into the state machine, by a deadline, and only what there is room for.

use core::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Conn, Life};
use crate::error::{Error, Phase, Result};
use crate::limits::SPARE;
use crate::proto::input::READ;
use crate::server::Stage;
use crate::server::clock::Moment;

/// How often a connection looks again for room while `buffered` is used up.
const STARVED: Duration = Duration::from_millis(50);

impl Conn {
    /// Bytes that the exchange keeps: the head, and the body as far as it is collected.
    pub(super) fn kept(&self) -> usize {
        self.request.as_ref().map_or(0, |request| request.size())
    }

    /// Reads once while a head, or the rest of an unwanted body, is to come.
    pub(super) fn poll_read_head(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        match self.life {
            Life::Fresh(by) | Life::Idle(by) | Life::Head(by) | Life::Drain(by) => self.poll_read_by(cx, by),
            Life::Exchange(_) | Life::Closing(_) | Life::Over => Poll::Ready(Read::Some),
        }
    }

    /// Reads once into the state machine. While nothing was begun, a shutdown is due at once.
    fn poll_read_by(&mut self, cx: &mut Context<'_>, by: Moment) -> Poll<Read> {
        match self.poll_fill(cx) {
            Poll::Ready(Ok(_)) => return Poll::Ready(Read::Some),
            Poll::Ready(Err(error)) => return Poll::Ready(Read::Failed(error)),
            Poll::Pending => self.seat.turns = 0,
        }
        if self.poll_due(cx, by).is_ready() {
            return Poll::Ready(Read::Due);
        }
        let idle = matches!(self.life, Life::Fresh(_) | Life::Idle(_));
        if idle && self.is_draining() { Poll::Ready(Read::Due) } else { Poll::Pending }
    }

    /// Ready when `by` has come or the server cuts everything; while there is no room to read to, the task is woken
    /// now and then to look again.
    pub(crate) fn poll_due(&self, cx: &mut Context<'_>, by: Moment) -> Poll<()> {
        let soonest = if self.seat.starved { by.min(self.seat.deadline(STARVED)) } else { by };
        ready!(self.seat.poll_due(cx, soonest));
        match self.seat.now() >= by || self.seat.server.stage() == Stage::Cut {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Moves what the peer sent into the state machine; `Ready(0)` is the end of its input.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Who waits for more has used it, and it counts no more from here on.
        self.http.drop_data();
        let room = self.http.room(self.limits());
        let used = self.http.buffered() + self.kept();
        let granted = self.seat.lease(used, room.min(READ));
        if granted == 0 {
            return Poll::Pending;
        }
        let http = &mut self.http;
        let read = self.io.poll_receive(cx, &mut self.seat.eager, granted, |bytes| http.receive(bytes));
        if let Poll::Ready(Ok(0)) = read {
            self.http.end();
        }
        self.seat.settle(self.http.buffered() + self.kept());
        read
    }

    /// Reads a piece of the body, within its time.
    pub(crate) async fn read_body(&mut self) -> Result<()> {
        let by = self.body_deadline();
        match poll_fn(|cx| self.poll_read_by(cx, by)).await {
            Read::Some => Ok(()),
            Read::Due if self.seat.starved || self.seat.server.stage() == Stage::Cut => Err(Error::Full),
            Read::Due => Err(Error::Timeout(Phase::Body)),
            Read::Failed(error) => Err(self.broken(error)),
        }
    }

    /// By when the request's body must have come: its time begins when it is first asked for, or in the way.
    pub(super) fn body_deadline(&mut self) -> Moment {
        let by = match self.life {
            Life::Exchange(Some(by)) => by,
            _ => self.seat.deadline(self.limits().body_time),
        };
        self.life = Life::Exchange(Some(by));
        by
    }

    /// Throws away what the peer of a held request sends beyond the room that there is for it, and makes the answer
    /// the last: who does not read on never hears that the peer has left. A body that the handler may yet read is
    /// spared while its time lasts.
    pub(crate) fn poll_overflow(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.http.may_read_body() && self.seat.now() < self.body_deadline() {
            // Looks again now and then.
            self.seat.starved = true;
            return Poll::Pending;
        }
        self.http.overflow();
        self.seat.settle(self.kept());
        let read = ready!(self.io.poll_receive(cx, &mut self.seat.eager, READ, |_| {}));
        match read {
            Ok(0) => self.http.end(),
            // A flood must not keep the thread.
            Ok(_) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Err(_) => {}
        }
        Poll::Ready(read)
    }

    /// Throws away what has come early when it was kept for [`Limits::body_time`], if others could have its room: a stream
    /// may have no end.
    pub(crate) fn drop_early(&mut self) {
        let early = self.http.buffered();
        if early > 0
            && early + self.kept() > SPARE
            && !self.http.may_read_body()
            && self.seat.now() >= self.body_deadline()
        {
            self.http.overflow();
            self.seat.settle(self.kept());
        }
    }

    /// Whether nothing is read, for want of room.
    pub(crate) fn is_deaf(&self) -> bool {
        self.seat.starved || self.http.room(self.limits()) == 0
    }
}

/// How a read ended.
pub(super) enum Read {
    /// Something came, or the end of the input.
    Some,
    /// The time is up.
    Due,
    /// The connection is broken.
    Failed(io::Error),
}
