//! [`Clock`] and [`Moment`]: how old things are. Monotonic, and read only where an age is set, or a producer has no reader.

use core::time::Duration;
use std::time::Instant;

/// A moment, in microseconds since the hub's start; before it they are negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i64);

impl Moment {
    /// Before all others: of what happened while no age was set.
    pub(super) const UNKNOWN: Moment = Moment(i64::MIN);

    /// So much later. What lies beyond the range never comes.
    pub(super) fn later(self, by: Duration) -> Moment {
        Moment(self.0.saturating_add(micros(by)))
    }

    /// So much earlier, but never unknown.
    pub(super) fn earlier(self, by: Duration) -> Moment {
        Moment(self.0.saturating_sub(micros(by)).max(i64::MIN + 1))
    }

    /// The time since another moment.
    pub(super) fn since(self, other: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(other.0).max(0) as u64)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// The hub's clock.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    /// By how much a test has put it forward.
    #[cfg(test)]
    pub(super) forward: Duration,
    /// How often it was read.
    #[cfg(test)]
    pub(super) reads: core::cell::Cell<usize>,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock {
            start: Instant::now(),
            #[cfg(test)]
            forward: Duration::ZERO,
            #[cfg(test)]
            reads: core::cell::Cell::new(0),
        }
    }

    pub(super) fn now(&self) -> Moment {
        let now = Moment(0).later(self.start.elapsed());
        #[cfg(test)]
        let now = {
            self.reads.set(self.reads.get() + 1);
            now.later(self.forward)
        };
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_beyond_the_range() {
        let moment = Moment(5);
        assert_eq!(moment.later(Duration::MAX), Moment(i64::MAX));
        assert!(moment.earlier(Duration::MAX) > Moment::UNKNOWN);
        assert_eq!(moment.since(Moment::UNKNOWN), Duration::from_micros(i64::MAX as u64));
        assert_eq!(Moment(5).since(Moment(7)), Duration::ZERO);
        assert_eq!(moment.later(Duration::from_millis(1)).since(moment), Duration::from_millis(1));
    }
}
