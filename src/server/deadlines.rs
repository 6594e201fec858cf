//! [`Sweep`]: the deadlines of all connections in one table, and the one timer that wakes who is due.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_io::Timer;
use slab::Slab;

use super::clock::{Clock, Moment};

/// Deadlines are kept to this grain: what is due within it is woken together.
const GRAIN: Duration = Duration::from_millis(20);

/// The deadlines of all connections. A `Timer` for each would cost 188 bytes and about eight system calls per
/// request; an entry here costs 24 bytes and a lock that nobody else wants.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    clock: Clock,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    entries: Slab<Entry>,
    /// When the next sweep is.
    planned: Moment,
    /// Who sweeps: to be woken when a deadline comes that is sooner.
    sweepers: Vec<Waker>,
}

impl Default for Table {
    fn default() -> Table {
        Table { entries: Slab::new(), planned: Moment::NEVER, sweepers: Vec::new() }
    }
}

#[derive(Debug)]
struct Entry {
    /// When the waker is to be woken; never, while it waits for nothing but a shutdown.
    due: Moment,
    /// Who waits; taken when woken.
    waker: Option<Waker>,
}

impl Sweep {
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Makes an entry; returns its key.
    pub(crate) fn enter(&self) -> usize {
        self.lock().entries.insert(Entry { due: Moment::NEVER, waker: None })
    }

    /// Removes an entry.
    pub(crate) fn leave(&self, key: usize) {
        // The waker is dropped behind the lock: its task may hold a place here itself.
        let _entry = self.lock().entries.try_remove(key);
    }

    /// Wakes `waker` at `due`, or when everybody is woken. One wish per entry: a new one replaces the last.
    pub(crate) fn arm(&self, key: usize, due: Moment, waker: &Waker) {
        // Declared before the lock, so dropped behind it: its task may hold a place here itself.
        let _stale;
        let mut table = self.lock();
        let Some(entry) = table.entries.get_mut(key) else { return };
        entry.due = due;
        if !entry.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            _stale = entry.waker.replace(waker.clone());
        }
        if due.after(GRAIN) < table.planned {
            table.planned = due;
            let sweepers = core::mem::take(&mut table.sweepers);
            drop(table);
            sweepers.into_iter().for_each(Waker::wake);
        }
    }

    /// An entry that is given back when it is dropped.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { sweep: self, key: self.enter() }
    }

    /// Wakes everybody.
    pub(crate) fn wake_all(&self) {
        let wakers: Vec<Waker> = self.lock().entries.iter_mut().filter_map(|(_, e)| e.waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sweeps for ever.
    pub(crate) async fn run(&self) {
        let (mut timer, mut swept) = (Timer::never(), false);
        poll_fn::<(), _>(|cx| {
            // Woken for another's sake: the timer and the table are as they were.
            while !(swept && self.is_swept_by(cx.waker())) || Pin::new(&mut timer).poll(cx).is_ready() {
                match self.clock.instant(self.sweep(self.now(), cx.waker())) {
                    Some(next) => timer.set_at(next.max(Instant::now() + GRAIN)),
                    None => timer = Timer::never(),
                }
                swept = true;
            }
            Poll::Pending
        })
        .await;
    }

    /// Whether this sweeper has swept, and no deadline came since that is sooner than it knows.
    fn is_swept_by(&self, sweeper: &Waker) -> bool {
        self.lock().sweepers.iter().any(|other| other.will_wake(sweeper))
    }

    /// Wakes who is due; returns when the next one is. The sweeper is woken if one comes that is sooner.
    fn sweep(&self, now: Moment, sweeper: &Waker) -> Moment {
        let (mut due, mut next) = (Vec::new(), Moment::NEVER);
        let mut table = self.lock();
        for (_, entry) in &mut table.entries {
            if entry.due <= now {
                entry.due = Moment::NEVER;
                due.extend(entry.waker.take());
            }
            next = next.min(entry.due);
        }
        table.planned = next;
        if !table.sweepers.iter().any(|other| other.will_wake(sweeper)) {
            table.sweepers.push(sweeper.clone());
        }
        drop(table);
        due.into_iter().for_each(Waker::wake);
        next
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry in the sweep that is given back when it is dropped.
pub(crate) struct Place<'s> {
    sweep: &'s Sweep,
    key: usize,
}

impl Place<'_> {
    /// Wakes the task at `due`, or when everybody is woken.
    pub(crate) fn arm(&self, cx: &mut Context<'_>, due: Moment) {
        self.sweep.arm(self.key, due, cx.waker());
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.sweep.leave(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the slab has it.
    #[allow(dead_code, reason = "only its size is wanted")]
    enum Slot {
        Vacant(usize),
        Occupied(Entry),
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_entry_is_three_words() {
        // The slab's mark lies in the niche of `due`.
        assert_eq!(size_of::<Slot>(), 24);
    }
}
