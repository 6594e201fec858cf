//! What happens to a [`WebSocket`] while it waits: messages, its heartbeat, deadlines, the end.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Came, Heart, WebSocket};
use crate::conn::wait::Wait;
use crate::error::{Error, Phase, Result};
use crate::server::clock::Moment;

impl WebSocket<'_> {
    /// Does what an event asks for. Apart from `wait`, of which there is one for each future, and in memory of its own.
    pub(super) async fn settle(&mut self, event: Result<Event>) -> Result<Event> {
        match event {
            Err(error) => return Err(self.refuse(error).await),
            Ok(Event::Heartbeat) => self.beat().await?,
            // Our half of the close goes out, if the peer still reads.
            Ok(Event::Left) => _ = self.engine.flush().await,
            Ok(Event::Readable | Event::Elapsed | Event::Shutdown) => {}
        }
        event
    }

    /// What happens beside the future that is waited for.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>, by: Moment) -> Poll<Result<Event>> {
        if let Poll::Ready(event) = self.poll_message(cx) {
            return Poll::Ready(event);
        }
        self.engine.conn_mut().seat.turns = 0;
        let message_by = self.message_by();
        let (conn, now) = (self.engine.conn(), self.now());
        if matches!(self.heart, Heart::Pong(by) if now >= by) {
            return Poll::Ready(Err(Error::Timeout(Phase::Pong)));
        }
        if message_by.is_some_and(|by| now >= by) {
            let error = if conn.seat.starved { Error::Full } else { Error::Timeout(Phase::Message) };
            return Poll::Ready(Err(error));
        }
        let soonest = by.min(self.heart.due()).min(message_by.unwrap_or(Moment::NEVER));
        let due = conn.poll_due(cx, soonest);
        if conn.is_draining() {
            return Poll::Ready(Ok(Event::Shutdown));
        }
        due.map(|()| Ok(if now >= by { Event::Elapsed } else { Event::Heartbeat }))
    }

    pub(super) fn now(&self) -> Moment {
        self.engine.conn().seat.now()
    }

    pub(super) fn deadline(&self, within: Duration) -> Moment {
        self.engine.conn().seat.deadline(within)
    }

    /// What the peer sent, or the end.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event>> {
        match self.poll_message(cx) {
            Poll::Pending if self.engine.conn().is_draining() => Poll::Ready(Ok(Event::Shutdown)),
            event => event,
        }
    }

    /// When the message under way must be whole. A peer may send pongs between its fragments, so that its pings say
    /// nothing about it.
    fn message_by(&mut self) -> Option<Moment> {
        let patience = self.server().limits().body_time;
        match self.engine.is_under_way() {
            true if self.message_by.is_none() => self.message_by = Some(self.deadline(patience)),
            true => {}
            false => self.message_by = None,
        }
        self.message_by
    }

    /// Reads until a message is whole, the peer has gone, or it has had its turn.
    pub(super) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event>> {
        loop {
            match (&self.received, self.open) {
                (Some(_), _) => return Poll::Ready(Ok(Event::Readable)),
                (None, false) => return Poll::Ready(Ok(Event::Left)),
                (None, true) => ready!(self.poll_read(cx))?,
            }
        }
    }

    /// Reads once.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let read = ready!(self.engine.poll_read(cx));
        // Who sends is alive; a pong may have to wait behind a large message.
        if let Heart::Pong(_) = self.heart {
            self.heart = Heart::Ping(self.deadline(self.server().limits().ping));
        }
        self.open = matches!(read, Ok(Came::Message(_) | Came::Part));
        match read? {
            Came::Message(message) => (self.received, self.message_by) = (Some(message), None),
            Came::Close => {}
            // A peer that sends without end must not keep the thread.
            Came::Part => ready!(self.engine.conn_mut().poll_turn(cx)),
        }
        Poll::Ready(Ok(()))
    }

    /// Pings when that is due.
    async fn beat(&mut self) -> Result<()> {
        match self.heart {
            Heart::Ping(by) if self.now() >= by => self.ping().await,
            _ => Ok(()),
        }
    }
}

/// What ends a wait beside its future.
pub(super) enum Event {
    Readable,
    /// It goes on, when a ping was sent.
    Heartbeat,
    Elapsed,
    Left,
    Shutdown,
}

impl Event {
    /// How the wait ends, if it does.
    pub(super) fn into_wait<T>(self) -> Option<Wait<T>> {
        Some(match self {
            Event::Heartbeat => return None,
            Event::Readable => Wait::Readable,
            Event::Elapsed => Wait::Elapsed,
            Event::Left => Wait::Left,
            Event::Shutdown => Wait::Shutdown,
        })
    }
}
