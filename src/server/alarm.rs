//! [`Alarm`]: wakes a task at one moment of a server's clock.

use core::pin::Pin;
use std::future::Future;
use std::task::{Context, Poll};
use std::time::Instant;

use async_io::Timer;

use super::clock::Moment;
use super::manual_clock::{ManualClock, Waiter};

/// Wakes a task at one moment of a server's clock, also if no task runs [`tick`](super::Server::tick).
pub(super) enum Alarm {
    /// The instant at which the clock began, and a timer of the reactor.
    System(Instant, Timer),
    /// A task that waits for a test's clock, and the moment that it waits for.
    Manual(Waiter, Moment),
}

impl Alarm {
    pub(super) fn system(start: Instant) -> Alarm {
        Alarm::System(start, Timer::never())
    }

    pub(super) fn manual(clock: ManualClock) -> Alarm {
        Alarm::Manual(clock.waiter(), Moment::NEVER)
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

    /// Ready when the moment has come; until then the task is to be woken at that moment.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Alarm::System(_, timer) => Pin::new(timer).poll(cx).map(|_| ()),
            Alarm::Manual(waiter, moment) => waiter.poll(cx, *moment),
        }
    }
}
