//! [`BackOff`]: the pause after a failed accept.

use std::time::Duration;

use crate::server::clock::Moment;

/// The first pause after a failed accept, and the longest: while no descriptor is left, accepting again at once would fail
/// again at once.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The pause after a failed accept.
#[derive(Default)]
pub(super) struct BackOff {
    /// When to accept again; none while accepts do not fail.
    pub(super) until: Option<Moment>,
    /// How long the last pause was.
    pause: Duration,
}

impl BackOff {
    /// Begins a pause, twice as long as the last one.
    pub(super) fn begin(&mut self, now: Moment) {
        self.pause = (self.pause * 2).clamp(BACK_OFF.0, BACK_OFF.1);
        self.until = Some(now.after(self.pause));
    }
}
