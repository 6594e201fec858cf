//! [`ManualClock`]: a clock for a server in a test, which stands still until the test advances it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use slab::Slab;

use super::clock::Moment;
use super::deadlines::wake_all;

/// The time of day at which each manual clock begins: Sun, 13 Sep 2020 12:26:40 GMT.
const WALL: Duration = Duration::from_secs(1_600_000_000);

/// The most by which a manual clock can be advanced: 292 years, for which an `Instant` has room on every system.
const END: Duration = Duration::from_nanos(i64::MAX as u64);

/// A clock for [`Server::with_clock`](super::Server::with_clock) that stands still until it is advanced. A clone is another
/// handle to the same clock.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidings::{Limits, ManualClock, Server};
///
/// let clock = ManualClock::new();
/// let server = Server::with_clock(Limits::DEFAULT, &clock);
/// let before = server.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(server.now() - before, Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    /// The instant that the clock shows before it is advanced.
    start: Instant,
    state: Arc<Mutex<ClockState>>,
}

/// What the handles to a manual clock share.
#[derive(Debug, Default)]
struct ClockState {
    /// By how much the clock was advanced in all.
    elapsed: Duration,
    /// The wakers of the tasks that wait for the clock; `None` once the clock was advanced.
    waiters: Slab<Option<Waker>>,
}

impl ManualClock {
    /// A clock that shows 2020-09-13, 12:26:40 GMT.
    #[allow(clippy::new_without_default, reason = "no clock is the usual one")]
    pub fn new() -> ManualClock {
        ManualClock { start: Instant::now(), state: Arc::default() }
    }

    /// Advances the clock, and wakes the tasks that wait for it. They do what is due by then when the executor runs them.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.elapsed = state.elapsed.saturating_add(by).min(END);
        let wakers: Vec<Waker> = state.waiters.iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        drop(state);
        wake_all(wakers);
    }

    /// The instant that the clock showed at first.
    pub(super) fn start(&self) -> Instant {
        self.start
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.lock().elapsed
    }

    pub(super) fn instant(&self) -> Instant {
        self.start.checked_add(self.elapsed()).unwrap_or(self.start)
    }

    pub(super) fn wall(&self) -> SystemTime {
        let start = UNIX_EPOCH + WALL;
        start.checked_add(self.elapsed()).unwrap_or(start)
    }

    /// A task that is going to wait for the clock.
    pub(super) fn waiter(self) -> Waiter {
        let key = self.lock().waiters.insert(None);
        Waiter { clock: self, key }
    }

    fn lock(&self) -> MutexGuard<'_, ClockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that waits for a manual clock, until this is dropped.
pub(super) struct Waiter {
    clock: ManualClock,
    key: usize,
}

impl Waiter {
    /// Ready when the clock has reached the moment; until then the task is woken each time that the clock is advanced.
    pub(super) fn poll(&self, cx: &mut Context<'_>, moment: Moment) -> Poll<()> {
        // Declared before the lock, so dropped after it: the waker's task may use the clock itself.
        let _stale;
        let mut state = self.clock.lock();
        if Moment::START.after(state.elapsed) >= moment {
            return Poll::Ready(());
        }
        _stale = state.waiters.get_mut(self.key).and_then(|waker| waker.replace(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let _waker = self.clock.lock().waiters.try_remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_forgets_who_waits_no_more() {
        let clock = ManualClock::new();
        let waiters = [clock.clone().waiter(), clock.clone().waiter()];
        assert_eq!(clock.lock().waiters.len(), 2);
        drop(waiters);
        assert_eq!(clock.lock().waiters.len(), 0);
    }
}
