//! [`BackOff`]: the pause after a failed accept.

use std::time::Duration;

use crate::server::clock::Moment;

/// The first pause after a failed accept, and the longest: with no descriptor left, trying again at once would
/// spin.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The pause after a failed accept.
#[derive(Default)]
pub(super) struct BackOff {
    /// When to try again.
    pub(super) until: Option<Moment>,
    /// How long the pause is.
    pause: Duration,
}

impl BackOff {
    pub(super) fn begin(&mut self, now: Moment) {
        self.pause = (self.pause * 2).clamp(BACK_OFF.0, BACK_OFF.1);
        self.until = Some(now.after(self.pause));
    }
}
