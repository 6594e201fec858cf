//! [`Sweep`]: the deadlines of all connections in one table, and the one timer that wakes who is due.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use async_io::Timer;
use event_listener::Event;
use futures_lite::future;
use slab::Slab;

use crate::limits::GRAIN;

/// The deadlines of all connections. A `Timer` for each would cost 188 bytes and about eight system calls per
/// request; an entry here costs 40 bytes and a lock that nobody else wants.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    table: Mutex<Table>,
    /// Notified when a deadline comes that is sooner than the planned sweep.
    sooner: Event,
}

/// The moment that is `within` from now; a time without end is a century.
pub(crate) fn deadline(within: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    Instant::now() + within.min(CENTURY)
}

#[derive(Debug, Default)]
struct Table {
    entries: Slab<Entry>,
    /// When the next sweep is; `None` while there is nothing to wait for.
    planned: Option<Instant>,
}

#[derive(Debug, Default)]
struct Entry {
    /// When the waker is to be woken; `None` while it waits for nothing but a shutdown.
    due: Option<Instant>,
    /// Who waits; taken when woken.
    waker: Option<Waker>,
}

impl Sweep {
    /// Makes an entry; returns its key.
    pub(crate) fn enter(&self) -> usize {
        self.lock().entries.insert(Entry::default())
    }

    /// Removes an entry.
    pub(crate) fn leave(&self, key: usize) {
        // The waker is dropped behind the lock: its task may hold a place here itself.
        let _entry = self.lock().entries.try_remove(key);
    }

    /// Wakes `waker` at `due`, or when everybody is woken. One wish per entry: a new one replaces the last.
    pub(crate) fn arm(&self, key: usize, due: Option<Instant>, waker: &Waker) {
        // Declared before the lock, so dropped behind it: its task may hold a place here itself.
        let _stale;
        let mut table = self.lock();
        let Some(entry) = table.entries.get_mut(key) else { return };
        entry.due = due;
        if !entry.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            _stale = entry.waker.replace(waker.clone());
        }
        if let Some(due) = due.filter(|due| table.planned.is_none_or(|planned| *due + GRAIN < planned)) {
            table.planned = Some(due);
            drop(table);
            self.sooner.notify(1);
        }
    }

    /// Wakes everybody.
    pub(crate) fn wake_all(&self) {
        let wakers: Vec<Waker> = self.lock().entries.iter_mut().filter_map(|(_, e)| e.waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sweeps for ever.
    pub(crate) async fn run(&self) {
        loop {
            let sooner = self.sooner.listen();
            let now = Instant::now();
            match self.sweep(now) {
                Some(next) => {
                    let timer = async {
                        Timer::at(next.max(now + GRAIN)).await;
                    };
                    future::or(timer, sooner).await;
                }
                None => sooner.await,
            }
        }
    }

    /// Wakes who is due; returns when the next one is.
    fn sweep(&self, now: Instant) -> Option<Instant> {
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        let mut table = self.lock();
        for (_, entry) in &mut table.entries {
            match entry.due {
                Some(at) if at <= now => {
                    entry.due = None;
                    due.extend(entry.waker.take());
                }
                Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        table.planned = next;
        drop(table);
        due.into_iter().for_each(Waker::wake);
        next
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
