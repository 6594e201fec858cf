//! [`Waiting`]: a topic's readers, and the wakers of those that wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use slab::Slab;

/// The readers of one topic. Waking costs what those cost that waited since the last time, not those that ever read.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// How many read the topic, whether they wait or not.
    readers: usize,
    /// What wakes those that wait; taken whole.
    queue: Slab<Waker>,
    /// How often that was.
    round: u32,
}

/// A reader's place in the queue: good for one round. It is the reader who keeps it, for a table of the readers would
/// cost each another 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    round: u32,
    slot: u32,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.readers == 0
    }

    pub(super) fn readers(&self) -> usize {
        self.readers
    }

    /// Counts a reader in.
    pub(super) fn join(&mut self) {
        self.readers += 1;
    }

    /// Counts a reader out; returns its waker, to be dropped behind the lock.
    pub(super) fn leave(&mut self, place: Option<Place>) -> Option<Waker> {
        self.readers -= 1;
        let waker = self.queue.try_remove(self.slot(place)?);
        if self.queue.is_empty() {
            // Gives back the room of all that have left.
            self.queue = Slab::new();
        }
        waker
    }

    /// Leaves a reader's waker; returns the one that it replaces, to be dropped behind the lock.
    pub(super) fn wait(&mut self, place: &mut Option<Place>, waker: &Waker) -> Option<Waker> {
        if let Some(old) = self.slot(*place).and_then(|slot| self.queue.get_mut(slot)) {
            return if old.will_wake(waker) { None } else { Some(core::mem::replace(old, waker.clone())) };
        }
        // There is no memory for 2^32 wakers.
        *place = Some(Place { round: self.round, slot: self.queue.insert(waker.clone()) as u32 });
        None
    }

    /// Takes out the wakers of all who wait.
    pub(super) fn wake(&mut self) -> Slab<Waker> {
        if !self.queue.is_empty() {
            self.round = self.round.wrapping_add(1);
        }
        core::mem::take(&mut self.queue)
    }

    /// Where in the queue that is, if it was not woken since.
    fn slot(&self, place: Option<Place>) -> Option<usize> {
        place.filter(|place| place.round == self.round).map(|place| place.slot as usize)
    }
}

/// Wakes them all. One that panics has a bug that is its own executor's: the others are woken nonetheless, and so is the
/// caller spared, who would else end its publish over another's bug. (The panic hook has told of it.)
pub(super) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    let mut wakers = wakers.into_iter();
    while catch_unwind(AssertUnwindSafe(|| wakers.by_ref().for_each(Waker::wake))).is_err() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A topic with that many readers, which wait.
    fn waiting(readers: usize) -> (Waiting, Vec<Option<Place>>) {
        let (mut waiting, mut places) = (Waiting::default(), vec![None; readers]);
        for place in &mut places {
            waiting.join();
            assert!(waiting.wait(place, Waker::noop()).is_none());
        }
        (waiting, places)
    }

    #[test]
    fn who_left_is_not_woken_and_its_place_goes_to_another() {
        let (mut topic, mut places) = waiting(5);
        assert!(topic.leave(places[1]).is_some());
        assert!(topic.leave(places[4]).is_some());
        let mut other = None;
        topic.join();
        topic.wait(&mut other, Waker::noop());
        // Who waits twice is woken once.
        topic.wait(&mut places[0], Waker::noop());
        assert_eq!((topic.wake().len(), topic.wake().len()), (4, 0));
    }

    #[test]
    fn a_place_is_good_for_one_round() {
        let (mut topic, mut places) = waiting(2);
        assert_eq!(topic.wake().len(), 2);
        topic.wait(&mut places[1], Waker::noop());
        // It was woken: what is in its old place now is another's.
        assert!(topic.leave(places[0]).is_none());
        assert_eq!(topic.wake().len(), 1);
        assert!(!topic.is_empty());
        assert!(topic.leave(places[1]).is_none());
        assert!(topic.is_empty());
    }

    #[test]
    fn many_that_left_cost_nothing_more() {
        let (mut topic, places) = waiting(10_000);
        for place in places {
            topic.leave(place);
        }
        assert_eq!(topic.queue.capacity(), 0);
    }
}
