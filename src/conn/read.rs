//! How a [`Conn`] reads: into the state machine, within a deadline, and only as many bytes as there is room for.

use core::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Conn;
use super::end::End;
use crate::error::{Error, Phase, Result};
use crate::limits::OWN_BUFFER;
use crate::proto::http1::{Receiving, Sending};
use crate::proto::input::READ;
use crate::server::Stage;
use crate::server::clock::Moment;

/// How long a connection waits, while `buffered` is used up, before it looks for room again.
const STARVED: Duration = Duration::from_millis(50);

/// How a read ended.
pub(super) enum Read {
    /// Bytes arrived, or the client ended its input.
    Some,
    /// The deadline has passed.
    Due,
    /// Reading failed.
    Failed(io::Error),
}

impl Conn {
    /// How many bytes the exchange keeps: the head, and the body as far as it is collected.
    pub(super) fn kept(&self) -> usize {
        self.request.as_ref().map_or(0, |request| request.size())
    }

    /// The deadline of the phase that the state machine is in: by then the client must have sent the head, the body or the
    /// next request. A phase begins when its deadline is first asked for; that of the first head begins with the accept.
    pub(super) fn receive_by(&mut self) -> Moment {
        let of = self.http.state().receiving;
        let goes_on = self.due_for == of || (self.due_for, of) == (Receiving::First, Receiving::Head);
        if let Some(by) = self.due.filter(|_| goes_on) {
            return by;
        }
        let limits = self.limits();
        let by = self.seat.deadline(match of {
            Receiving::First | Receiving::Head => limits.head_time,
            Receiving::Idle => limits.idle,
            Receiving::Body | Receiving::Complete | Receiving::Discard => limits.body_time,
            Receiving::Over => limits.linger,
        });
        (self.due, self.due_for) = (Some(by), of);
        by
    }

    /// Reads once, a part of a head or a body. Between two requests, a shutdown is a deadline that has passed.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        match self.poll_fill(cx) {
            Poll::Ready(Ok(_)) => return Poll::Ready(Read::Some),
            Poll::Ready(Err(error)) => return Poll::Ready(Read::Failed(error)),
            Poll::Pending => self.turns.rest(),
        }
        // If no room can ever come free, there is nothing to wait for.
        if self.seat.has_all() || self.poll_receive_due(cx).is_ready() {
            return Poll::Ready(Read::Due);
        }
        let idle = matches!(self.http.state().receiving, Receiving::First | Receiving::Idle);
        if idle && self.is_draining() { Poll::Ready(Read::Due) } else { Poll::Pending }
    }

    /// Ready when the deadline of the present phase has passed.
    pub(super) fn poll_receive_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let by = self.receive_by();
        self.poll_due(cx, by)
    }

    /// Ready when `by` has come or the server cuts all connections off. While there is no room to read to, the task is woken
    /// every [`STARVED`] as well, to look for room.
    pub(crate) fn poll_due(&self, cx: &mut Context<'_>, by: Moment) -> Poll<()> {
        match (self.seat.is_past(by), self.seat.is_starved()) {
            (true, _) => Poll::Ready(()),
            (false, true) => self.seat.arm(cx, by.min(self.seat.deadline(STARVED))),
            (false, false) => self.seat.arm(cx, by),
        }
    }

    /// Counts what is kept of what the peer has sent. What was handed out as data is dropped.
    pub(super) fn settle(&mut self) {
        self.http.drop_data();
        self.seat.settle(self.http.buffered() + self.kept());
    }

    /// Moves what the peer sent into the state machine; `Ready(0)` is the end of its input.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Mostly nothing has arrived. Whoever finds no room looks at that again, whatever has arrived.
        if !self.seat.is_starved() && self.io.poll_arrival(cx, &mut self.eager).is_pending() {
            self.settle();
            return Poll::Pending;
        }
        // A handler that reads on has used the data that was handed out: it is counted no more.
        self.http.drop_data();
        let room = self.http.room(self.limits()).min(READ);
        let granted = match self.http.state().receiving {
            // Bytes that are discarded take no room.
            Receiving::Discard | Receiving::Over => {
                self.settle();
                room
            }
            _ => self.seat.lease(self.http.buffered() + self.kept(), room),
        };
        if granted == 0 {
            return Poll::Pending;
        }
        let http = &mut self.http;
        let read = self.io.poll_receive(cx, &mut self.eager, granted, |bytes| http.receive(bytes));
        if let Poll::Ready(Ok(0)) = read {
            self.http.end_input();
        }
        self.settle();
        read
    }

    /// Reads a piece of the body, within [`Limits::body_time`](crate::Limits::body_time).
    pub(crate) async fn read_body(&mut self) -> Result<()> {
        match poll_fn(|cx| self.poll_read(cx)).await {
            Read::Some => Ok(()),
            Read::Due if self.seat.server.stage() == Stage::Cut => Err(Error::Full),
            Read::Due => Err(self.late(Phase::Body)),
            Read::Failed(error) => {
                self.end(End::Cut);
                Err(error.into())
            }
        }
    }

    /// The error of a deadline that has passed: the server's, if it had no room to read to, else the client's.
    pub(crate) fn late(&self, phase: Phase) -> Error {
        if self.seat.is_starved() { Error::Full } else { Error::Timeout(phase) }
    }

    /// Reads pipelined bytes beside a pending answer, until the peer has gone or ended its input.
    pub(crate) fn poll_end_of_input(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.http.state().ended && !self.is_ending() {
            // A flood must not keep the thread.
            ready!(self.turns.poll_give_way(cx));
            match self.poll_fill(cx) {
                Poll::Ready(Ok(n)) if n > 0 => self.turns.count(1),
                Poll::Ready(_) => break,
                Poll::Pending if self.cannot_read() && !self.may_read_body() => self.discard(),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// The deadline by which pipelined bytes, or a body that the handler may yet read, must be used, since other connections
    /// could use their room. Never, if they fit into the bytes that each connection has for itself.
    pub(crate) fn unused_by(&mut self) -> Moment {
        let buffered = self.http.buffered();
        if buffered == 0 || buffered + self.kept() <= OWN_BUFFER {
            return Moment::NEVER;
        }
        match self.http.state().receiving {
            Receiving::Body | Receiving::Complete => self.receive_by(),
            _ => Moment::NEVER,
        }
    }

    /// Discards all bytes that were received and not used, and all that arrive from now on; the response is the last. (To
    /// read nothing instead would mean never to notice that the client leaves.)
    pub(crate) fn discard(&mut self) {
        self.http.discard();
        self.settle();
    }

    /// Whether there is a body that the handler can still read.
    fn may_read_body(&self) -> bool {
        let state = self.http.state();
        (state.receiving, state.sending) == (Receiving::Body, Sending::Owed)
    }

    /// Whether there is no room to read to.
    fn cannot_read(&self) -> bool {
        self.seat.is_starved() || self.http.room(self.limits()) == 0
    }
}
