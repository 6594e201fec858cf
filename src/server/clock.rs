//! [`Moment`]: a point of a server's time. [`Clock`]: what tells a server the time.

use core::num::NonZeroU64;
use std::time::{Duration, Instant, SystemTime};

use super::alarm::Alarm;
use super::manual_clock::ManualClock;

/// A point of a server's time: nanoseconds since its clock began, of which 64 bits last for 584 years. A moment takes half
/// the memory of an `Instant`, and each connection has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(NonZeroU64);

impl Moment {
    /// When the clock began.
    pub(super) const START: Moment = Moment(NonZeroU64::MIN);
    /// The moment that never comes.
    pub(crate) const NEVER: Moment = Moment(NonZeroU64::MAX);

    /// The moment that is `wait` later.
    pub(crate) fn after(self, wait: Duration) -> Moment {
        // As `as_nanos` has it, but in half the instructions, since 64 bits are enough.
        let nanos = wait.as_secs().saturating_mul(1_000_000_000).saturating_add(wait.subsec_nanos().into());
        Moment(self.0.saturating_add(nanos))
    }

    /// How much later this moment is than `earlier`; zero if it is not later.
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    pub(super) fn nanos(self) -> u64 {
        self.0.get()
    }

    /// How long after the start of the clock this moment comes; `None` for [`NEVER`](Moment::NEVER).
    pub(super) fn since_start(self) -> Option<Duration> {
        (self != Moment::NEVER).then(|| Duration::from_nanos(self.0.get() - Moment::START.0.get()))
    }
}

/// What tells a server the time. A server asks nothing else for the time, so that a test can set it.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The system's clock, since this instant.
    System(Instant),
    /// A clock that a test advances.
    Manual(ManualClock),
}

impl Clock {
    pub(crate) fn now(&self) -> Moment {
        Moment::START.after(match self {
            Clock::System(start) => start.elapsed(),
            Clock::Manual(clock) => clock.elapsed(),
        })
    }

    /// The moment at which the clock shows this instant.
    pub(super) fn moment(&self, at: Instant) -> Moment {
        let start = match self {
            Clock::System(start) => *start,
            Clock::Manual(clock) => clock.start(),
        };
        Moment::START.after(at.saturating_duration_since(start))
    }

    pub(super) fn instant(&self) -> Instant {
        match self {
            Clock::System(_) => Instant::now(),
            Clock::Manual(clock) => clock.instant(),
        }
    }

    /// The time of day.
    pub(super) fn wall(&self) -> SystemTime {
        match self {
            Clock::System(_) => SystemTime::now(),
            Clock::Manual(clock) => clock.wall(),
        }
    }

    /// An alarm that is set to no moment yet.
    pub(super) fn alarm(&self) -> Alarm {
        match self {
            Clock::System(start) => Alarm::system(*start),
            Clock::Manual(clock) => Alarm::manual(clock.clone()),
        }
    }

    /// How late a deadline may be noticed, so that one look at the table serves several deadlines.
    pub(super) fn grain(&self) -> Duration {
        match self {
            Clock::System(_) => Duration::from_millis(20),
            // The clock stands still at the moments that the test has chosen, so no deadline may be late.
            Clock::Manual(_) => Duration::ZERO,
        }
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::System(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_word_even_if_there_is_none() {
        assert_eq!(size_of::<Option<Moment>>(), 8);
    }

    #[test]
    fn too_late_is_never() {
        let now = Clock::default().now();
        assert_eq!(now.after(Duration::MAX), Moment::NEVER);
        assert_eq!(Moment::NEVER.after(Duration::from_nanos(1)), Moment::NEVER);
        assert_eq!(Moment::NEVER.since_start(), None);
    }

    #[test]
    fn a_moment_comes_when_its_time_is_up() {
        let (clock, hour) = (ManualClock::new(), Duration::from_secs(3600));
        let time = Clock::Manual(clock.clone());
        let due = time.now().after(hour);
        clock.advance(hour - Duration::from_nanos(1));
        assert!(time.now() < due);
        clock.advance(Duration::from_nanos(1));
        assert_eq!(time.now(), due);
        assert_eq!(due.since_start(), Some(hour));
    }

    #[test]
    fn the_clock_of_the_system_goes() {
        let clock = Clock::default();
        let (now, instant) = (clock.now(), clock.instant());
        while clock.now() == now || clock.instant() == instant {}
        assert!(clock.now() > now && clock.instant() > instant);
        assert!(clock.wall() > std::time::UNIX_EPOCH);
    }
}
