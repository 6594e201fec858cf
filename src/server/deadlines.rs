//! [`Deadlines`]: the deadlines of all connections in one table, with one timer.

use core::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::clock::{Clock, Moment};

/// The deadlines of all connections. A `Timer` for each connection would take 188 bytes and about eight system calls per
/// request; an entry here takes 24 bytes and a lock that is mostly free.
#[derive(Debug)]
pub(crate) struct Deadlines {
    /// The clock by which the deadlines are measured.
    pub(super) clock: Clock,
    /// The greatest time that anybody has read off the clock.
    seen: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    entries: Slab<Entry>,
    /// When the table is to be looked through next.
    planned: Moment,
    /// How often `planned` was moved to a sooner moment: the number of the plan.
    plans: u64,
    /// The wakers of the tasks that look through the table. They are woken when `planned` is moved to a sooner moment.
    keepers: Slab<Option<Waker>>,
}

/// An entry of the table.
#[derive(Debug)]
struct Entry {
    /// When the task is to be woken; never, if it waits for nothing but a shutdown.
    due: Moment,
    /// Wakes the task; `None` once the task was woken.
    waker: Option<Waker>,
}

impl Deadlines {
    pub(super) fn new(clock: Clock) -> Deadlines {
        let (entries, keepers) = (Slab::new(), Slab::new());
        let table = Mutex::new(Table { entries, planned: Moment::NEVER, plans: 0, keepers });
        Deadlines { clock, seen: AtomicU64::new(0), table }
    }

    /// The time. Whoever sets a deadline reads it, for a time that was read before would make the deadline early.
    pub(crate) fn now(&self) -> Moment {
        let now = self.clock.now();
        self.seen.fetch_max(now.nanos(), Ordering::Relaxed);
        now
    }

    /// Whether `by` is known to have come, without a look at the clock: to read it takes longer than most of what a waiting
    /// task does. A moment that has just come may not be known, so the task [arms](Deadlines::arm) its entry, and whoever
    /// wakes it has read the time.
    pub(crate) fn is_past(&self, by: Moment) -> bool {
        match self.clock {
            Clock::System(_) => by.nanos() <= self.seen.load(Ordering::Relaxed),
            // A test may poll a task whose entry nobody keeps.
            Clock::Manual(_) => by <= self.now(),
        }
    }

    /// Makes an entry without a deadline; returns its key.
    pub(crate) fn enter(&self) -> usize {
        self.lock().entries.insert(Entry { due: Moment::NEVER, waker: None })
    }

    /// Removes an entry.
    pub(crate) fn leave(&self, key: usize) {
        // The waker is dropped after the lock: its task may own an entry itself.
        let _entry = self.lock().entries.try_remove(key);
    }

    /// Sets the deadline of an entry, in place of its last one: `waker` is woken at `due`, or sooner by
    /// [`wake_entries`](Deadlines::wake_entries).
    pub(crate) fn arm(&self, key: usize, due: Moment, waker: &Waker) {
        // Declared before the lock, so dropped after it: the waker's task may own an entry itself.
        let _stale;
        let mut table = self.lock();
        let Some(entry) = table.entries.get_mut(key) else { return };
        entry.due = due;
        // This saves a clone and nothing rests on it: `will_wake` may say no of two wakers of one task.
        if !entry.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            _stale = entry.waker.replace(waker.clone());
        }
        if due.after(self.clock.grain()) < table.planned {
            let keepers = table.plan_sooner(due);
            drop(table);
            wake_all(keepers);
        }
    }

    /// An entry that is removed when it is dropped.
    pub(crate) fn entry(&self) -> EntryGuard<'_> {
        EntryGuard { deadlines: self, key: self.enter() }
    }

    /// Wakes each task that has an entry.
    pub(crate) fn wake_entries(&self) {
        let wakers: Vec<Waker> = self.lock().entries.iter_mut().filter_map(|(_, e)| e.waker.take()).collect();
        wake_all(wakers);
    }

    /// Wakes each task at its deadline; never returns.
    pub(crate) async fn run(&self) {
        let (keeper, mut alarm, mut seen) = (Keeper::new(self), self.clock.alarm(), None);
        poll_fn::<(), _>(|cx| {
            // Mostly there is nothing to do: the task that polls this was woken for something else that it runs.
            while seen != Some(keeper.listen(cx)) || alarm.poll(cx).is_ready() {
                let now = self.now();
                let (plans, next) = self.wake_due(now);
                alarm.set(next.max(now.after(self.clock.grain())));
                seen = Some(plans);
            }
            Poll::Pending
        })
        .await;
    }

    /// Wakes the tasks that are due at `now`, and plans the next look at the table. Returns the number of the plan, and the
    /// moment of that look.
    fn wake_due(&self, now: Moment) -> (u64, Moment) {
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
        let plans = table.plans;
        drop(table);
        wake_all(due);
        (plans, next)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Moves the next look to a sooner moment; returns the wakers of the tasks that look through the table.
    fn plan_sooner(&mut self, due: Moment) -> Vec<Waker> {
        self.planned = due;
        self.plans = self.plans.wrapping_add(1);
        self.keepers.iter_mut().filter_map(|(_, waker)| waker.take()).collect()
    }
}

/// An entry of the table that is removed when it is dropped.
pub(crate) struct EntryGuard<'d> {
    deadlines: &'d Deadlines,
    key: usize,
}

impl EntryGuard<'_> {
    /// Sets the deadline: the task is woken at `due`, or sooner by [`Deadlines::wake_entries`].
    pub(crate) fn arm(&self, cx: &mut Context<'_>, due: Moment) {
        self.deadlines.arm(self.key, due, cx.waker());
    }
}

impl Drop for EntryGuard<'_> {
    fn drop(&mut self) {
        self.deadlines.leave(self.key);
    }
}

/// A future that looks through the table, such as [`Server::tick`](super::Server::tick). Mostly a server has one, but it may
/// have several, and such a future may move from task to task.
struct Keeper<'d> {
    deadlines: &'d Deadlines,
    key: usize,
}

impl Keeper<'_> {
    fn new(deadlines: &Deadlines) -> Keeper<'_> {
        Keeper { deadlines, key: deadlines.lock().keepers.insert(None) }
    }

    /// Has the task woken when the next look is moved to a sooner moment; returns the number of the present plan.
    fn listen(&self, cx: &mut Context<'_>) -> u64 {
        // Declared before the lock, so dropped after it.
        let _stale;
        let mut table = self.deadlines.lock();
        let waker = table.keepers.get_mut(self.key);
        _stale = waker.and_then(|waker| waker.replace(cx.waker().clone()));
        table.plans
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        let _waker = self.deadlines.lock().keepers.try_remove(self.key);
    }
}

/// Wakes all of these tasks. If a waker panics, that is a bug of its task's executor: the other tasks are woken nonetheless,
/// and the caller, which keeps deadlines or shuts down, goes on. (The panic hook has told of the panic.)
pub(super) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    let mut wakers = wakers.into_iter();
    while catch_unwind(AssertUnwindSafe(|| wakers.by_ref().for_each(Waker::wake))).is_err() {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;

    /// An entry as the slab keeps it.
    #[allow(dead_code, reason = "only its size is wanted")]
    enum Slot {
        Vacant(usize),
        Occupied(Entry),
    }

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_deadline_that_is_sooner_by_a_grain_alone_wakes_nobody() {
        let (deadlines, count) = (Deadlines::new(Clock::default()), Arc::new(Count(AtomicUsize::new(0))));
        let (now, hour, second) = (deadlines.now(), Duration::from_secs(3600), Duration::from_secs(1));
        let (keeper, waker) = (Keeper::new(&deadlines), Waker::from(count.clone()));
        let entries = [(); 3].map(|()| deadlines.entry());
        for (entry, wait, wakes) in
            [(0, hour, 1), (1, hour - deadlines.clock.grain(), 1), (2, hour - second, 2)]
        {
            keeper.listen(&mut Context::from_waker(&waker));
            deadlines.arm(entries[entry].key, now.after(wait), Waker::noop());
            assert_eq!(count.0.load(Ordering::SeqCst), wakes);
        }
        assert!(deadlines.clock.grain() > Duration::ZERO);
    }

    #[test]
    fn after_an_hour_of_silence_no_deadline_is_early_and_each_is_noticed() {
        let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
        let Some(start) = std::time::Instant::now().checked_sub(hour) else { return };
        let deadlines = Deadlines::new(Clock::System(start));
        // Nobody has read the clock yet, so nothing is known to have come.
        let long_ago = Moment::START.after(second);
        assert!(!deadlines.is_past(long_ago));
        // A deadline is set by a reading of its own.
        let due = deadlines.now().after(second);
        assert!(due >= Moment::START.after(hour + second) && !deadlines.is_past(due));
        assert!(deadlines.is_past(long_ago));
        // Whoever wakes a task has read the clock, so that the task knows why.
        let deadlines = Deadlines::new(Clock::System(start));
        let (count, entry) = (Arc::new(Count(AtomicUsize::new(0))), deadlines.entry());
        deadlines.arm(entry.key, long_ago, &Waker::from(count.clone()));
        let now = deadlines.now();
        deadlines.wake_due(now);
        assert!(count.0.load(Ordering::SeqCst) == 1 && deadlines.is_past(long_ago));
    }

    #[test]
    fn the_table_forgets_who_goes() {
        let deadlines = Deadlines::new(Clock::default());
        let sizes = || {
            let table = deadlines.lock();
            (table.entries.len(), table.keepers.len())
        };
        let (entry, other, keeper) = (deadlines.entry(), deadlines.enter(), Keeper::new(&deadlines));
        assert_eq!(sizes(), (2, 1));
        drop((entry, keeper));
        assert_eq!(sizes(), (1, 0));
        deadlines.leave(other);
        deadlines.leave(other);
        assert_eq!(sizes(), (0, 0));
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_entry_is_three_words() {
        // The slab's mark lies in the niche of `due`.
        assert_eq!(size_of::<Slot>(), 24);
    }
}
