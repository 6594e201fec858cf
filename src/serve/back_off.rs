//! [`BackOff`]: the pause after a failed accept.

use std::time::Duration;

use crate::server::clock::Moment;

/// The first pause after a failed accept, and the longest: while no file descriptor is free, the next accept would fail at
/// once.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The pause after a failed accept.
#[derive(Default)]
pub(super) struct BackOff {
    /// When to accept again; `None` if the last accept did not fail.
    pub(super) until: Option<Moment>,
    /// The length of the last pause.
    pause: Duration,
}

impl BackOff {
    /// Begins a pause, twice as long as the last one.
    pub(super) fn begin_pause(&mut self, now: Moment) {
        self.pause = (self.pause * 2).clamp(BACK_OFF.0, BACK_OFF.1);
        self.until = Some(now.after(self.pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::clock::Clock;

    #[test]
    fn each_pause_is_twice_the_last_up_to_a_second() {
        let (now, mut back_off) = (Clock::default().now(), BackOff::default());
        assert_eq!(back_off.until, None);
        for millis in [10, 20, 40, 80, 160, 320, 640, 1000, 1000] {
            back_off.begin_pause(now);
            assert_eq!(back_off.until, Some(now.after(Duration::from_millis(millis))));
        }
    }
}
