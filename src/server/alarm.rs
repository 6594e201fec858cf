//! [`Alarm`]: wakes a task at one moment of a server's clock.

use core::pin::Pin;
use std::future::Future;
use std::task::{Context, Poll};
use std::time::Instant;

use async_io::Timer;

use super::clock::Moment;
use super::manual_clock::{ManualClock, Waiting};

/// Wakes a task at one moment of a server's clock, also where nobody runs [`tick`](super::Server::tick).
pub(super) enum Alarm {
    /// Where the clock's time begins, and a timer of the reactor.
    System(Instant, Timer),
    /// A place among the tasks that wait for a test's clock, and the moment that this one waits for.
    Manual(Waiting, Moment),
}

impl Alarm {
    pub(super) fn system(start: Instant) -> Alarm {
        Alarm::System(start, Timer::never())
    }

    pub(super) fn manual(clock: ManualClock) -> Alarm {
        Alarm::Manual(clock.waiting(), Moment::NEVER)
    }

    pub(super) fn set(&mut self, to: Moment) {
        match self {
            Alarm::System(start, timer) => match to.since_start().and_then(|wait| start.checked_add(wait)) {
                Some(instant) => timer.set_at(instant),
                None => *timer = Timer::never(),
            },
            Alarm::Manual(_, moment) => *moment = to,
        }
    }

    /// Ready when the moment has come; else the task is woken then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Alarm::System(_, timer) => Pin::new(timer).poll(cx).map(|_| ()),
            Alarm::Manual(waiting, moment) => waiting.poll(cx, *moment),
        }
    }
}
