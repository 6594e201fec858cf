//! [`Moment`]: a point of a server's time, and the [`Clock`] that it is read from.

use core::num::NonZeroU64;
use std::time::{Duration, Instant};

/// A point of a server's time, in half the memory of an `Instant`: each connection has some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(NonZeroU64);

impl Moment {
    /// It never comes.
    pub(crate) const NEVER: Moment = Moment(NonZeroU64::MAX);

    /// The moment that is so much later.
    pub(crate) fn after(self, wait: Duration) -> Moment {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Moment(self.0.saturating_add(nanos))
    }

    /// How much later it is; nothing, if it is earlier.
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

/// Where a server's time begins. Moments count in nanoseconds, which is enough for 584 years.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn now(&self) -> Moment {
        Moment(NonZeroU64::MIN).after(self.0.elapsed())
    }

    /// What a timer is set to; `None` for one that never comes.
    pub(crate) fn instant(&self, moment: Moment) -> Option<Instant> {
        if moment == Moment::NEVER { None } else { self.0.checked_add(Duration::from_nanos(moment.0.get())) }
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock(Instant::now())
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
        let clock = Clock::default();
        assert_eq!(clock.now().after(Duration::MAX), Moment::NEVER);
        assert_eq!(clock.instant(Moment::NEVER), None);
    }

    #[test]
    fn a_moment_comes_when_its_time_is_up() {
        let clock = Clock::default();
        let (now, hour) = (clock.now(), Duration::from_secs(3600));
        assert!(now < now.after(hour) && clock.now() >= now);
        let left = clock.instant(now.after(hour)).expect("a time").duration_since(Instant::now());
        assert!(left <= hour && left > hour / 2);
    }
}
