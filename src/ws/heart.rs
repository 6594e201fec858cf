//! [`Heart`]: the heartbeat of a [`WebSocket`], and what else happens while one waits: deadlines, and the last close.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Came, WebSocket};
use crate::conn::Conn;
use crate::conn::wait::{Heard, Held};
use crate::conn::write::Flush;
use crate::error::{Error, Phase, Result};
use crate::proto::frame::close_code;
use crate::server::clock::Moment;

/// What the heartbeat waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heart {
    /// The moment at which the next ping is to be sent.
    Ping(Moment),
    /// The moment by which a pong, or other bytes of the client, must have arrived.
    Pong(Moment),
}

impl Heart {
    fn due(self) -> Moment {
        let (Heart::Ping(due) | Heart::Pong(due)) = self;
        due
    }
}

impl Held for WebSocket<'_> {
    fn conn(&mut self) -> &mut Conn {
        self.engine.conn_mut()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = ready!(self.engine.poll_flush(cx));
        // What fails here has cut the connection off.
        self.open &= flushed.is_ok();
        // The error that came first is the one to tell.
        Poll::Ready(self.failed.take().map_or(flushed, |error| Err(*error)))
    }

    fn pause(&mut self) {
        self.engine.pause();
    }

    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<Heard>> {
        match ready!(self.poll_message(cx)) {
            Ok(Heard::Message) => return Poll::Ready(Ok(Heard::Message)),
            // The close that answers the client's is written, if the client still reads.
            Ok(Heard::End) => _ = ready!(self.engine.poll_flush(cx)),
            Err(error) => {
                self.close_for(error);
                ready!(self.poll_flush(cx))?;
            }
        }
        Poll::Ready(Ok(Heard::End))
    }

    fn write_by(&mut self) -> Moment {
        self.engine.write_by()
    }

    fn unused_by(&mut self) -> Moment {
        if self.open { self.message_by() } else { Moment::NEVER }
    }

    fn give_up(&mut self) {
        let late = self.engine.conn().late(Phase::Message);
        self.close_for(late);
    }

    fn act_by(&mut self) -> Moment {
        // Behind an end nothing is due but that it is written.
        if self.open { self.heart.due() } else { Moment::NEVER }
    }

    fn act(&mut self) -> Result<()> {
        let (now, pong) = (self.now(), self.server().limits().pong);
        match self.heart {
            _ if !self.open => {}
            Heart::Pong(by) if by <= now => self.close_for(Error::Timeout(Phase::Pong)),
            Heart::Ping(by) if by <= now => {
                self.heart = Heart::Pong(self.deadline(pong));
                self.engine.push_ping()?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl WebSocket<'_> {
    /// Closes because of an error, with the close code that tells of it if there is one; the next flush returns the error.
    fn close_for(&mut self, error: Error) {
        let code = match &error {
            Error::Fault(fault) => Some(close_code(*fault)),
            Error::Timeout(Phase::Message) => Some(1008),
            Error::Full => Some(1013),
            _ => None,
        };
        self.open = false;
        self.engine.forget();
        if let Some(code) = code {
            // This fails if the server's close was sent already: then there is nothing to add.
            let _ = self.engine.push_close(code, &error.to_string());
        }
        self.failed = Some(Box::new(error));
    }

    /// Writes the bytes that were pushed, within [`Limits::write_time`](crate::Limits::write_time).
    pub(super) fn flush(&mut self) -> Flush<'_, Self> {
        Flush { held: self }
    }

    pub(super) fn now(&self) -> Moment {
        self.engine.conn().seat.now()
    }

    pub(super) fn deadline(&self, within: Duration) -> Moment {
        self.engine.conn().seat.deadline(within)
    }

    /// When the message under way must be whole; never, if there is none. (The heartbeat does not bound a message, since a
    /// client may send pongs between its fragments.)
    fn message_by(&mut self) -> Moment {
        let patience = self.server().limits().body_time;
        match self.engine.is_under_way() {
            true if self.message_by.is_none() => self.message_by = Some(self.deadline(patience)),
            true => {}
            false => self.message_by = None,
        }
        self.message_by.unwrap_or(Moment::NEVER)
    }

    /// Reads until a message is whole, the client has closed, or other connections are to go first.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Heard>> {
        loop {
            match (&self.received, self.open) {
                (Some(_), _) => return Poll::Ready(Ok(Heard::Message)),
                (None, false) => return Poll::Ready(Ok(Heard::End)),
                (None, true) => ready!(self.poll_read(cx))?,
            }
        }
    }

    /// Reads once.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // A client that sends without end must not keep the thread.
        ready!(self.conn().turns.poll_give_way(cx));
        let read = ready!(self.engine.poll_read(cx));
        // A client that sends anything is alive: its pong may have to wait behind a large message.
        if let Heart::Pong(_) = self.heart {
            self.heart = Heart::Ping(self.deadline(self.server().limits().heartbeat()));
        }
        self.open = matches!(read, Ok(Came::Message(_) | Came::NeedMore));
        match read? {
            Came::Message(message) => (self.received, self.message_by) = (Some(message), None),
            Came::Close => {}
            Came::NeedMore => self.conn().turns.count(1),
        }
        Poll::Ready(Ok(()))
    }
}
