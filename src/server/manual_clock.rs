//! [`ManualClock`]: a server's clock in a test, which advances when the test says so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use slab::Slab;

use super::clock::Moment;
use super::deadlines::wake_all;

/// The time of day at which each manual clock begins: Sun, 13 Sep 2020 12:26:40 GMT.
const WALL: Duration = Duration::from_secs(1_600_000_000);

/// As far as a manual clock goes: 292 years, which an `Instant` has room for on every system.
const END: Duration = Duration::from_nanos(i64::MAX as u64);

/// A clock that stands still until it is advanced, for [`Server::with_clock`](super::Server::with_clock). A clone is another
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
    /// The instant that the clock shows as its first.
    start: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// By how much the clock was advanced in all.
    elapsed: Duration,
    /// The wakers of the tasks that wait for the clock: each is taken when the clock is advanced.
    waiting: Slab<Option<Waker>>,
}

impl ManualClock {
    /// A clock that shows 2020-09-13, 12:26:40 GMT.
    #[allow(clippy::new_without_default, reason = "no clock is the usual one")]
    pub fn new() -> ManualClock {
        ManualClock { start: Instant::now(), state: Arc::default() }
    }

    /// Advances the clock, and wakes the tasks that wait for it: what is due by then is done when they have run.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.elapsed = state.elapsed.saturating_add(by).min(END);
        let wakers: Vec<Waker> = state.waiting.iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        drop(state);
        wake_all(wakers);
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

    /// A place among those that wait for the clock.
    pub(super) fn waiting(self) -> Waiting {
        let key = self.lock().waiting.insert(None);
        Waiting { clock: self, key }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those that wait for a manual clock, given back when it is dropped.
pub(super) struct Waiting {
    clock: ManualClock,
    key: usize,
}

impl Waiting {
    /// Ready when the clock has come to the moment; else the task is woken when the clock is advanced.
    pub(super) fn poll(&self, cx: &mut Context<'_>, moment: Moment) -> Poll<()> {
        // Declared before the lock, so dropped behind it: the task of a waker may use the clock itself.
        let _stale;
        let mut state = self.clock.lock();
        if Moment::START.after(state.elapsed) >= moment {
            return Poll::Ready(());
        }
        _stale = state.waiting.get_mut(self.key).and_then(|waker| waker.replace(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _waker = self.clock.lock().waiting.try_remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_forgets_who_waits_no_more() {
        let clock = ManualClock::new();
        let waiting = [clock.clone().waiting(), clock.clone().waiting()];
        assert_eq!(clock.lock().waiting.len(), 2);
        drop(waiting);
        assert_eq!(clock.lock().waiting.len(), 0);
    }
}
