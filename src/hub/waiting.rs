//! [`Waiting`]: a topic's readers, and the wakers of those that wait.

use std::task::Waker;

use slab::Slab;

/// The readers of one topic. Waking costs what those cost that wait, not what those cost that ever read.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Each reader's place in `queue`, while it waits.
    readers: Slab<Option<usize>>,
    /// Who waits: its entry in `readers`, and what wakes it.
    queue: Vec<(usize, Waker)>,
}

/// Below this many entries there is no memory worth giving back.
const SMALL: usize = 32;

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    /// Enters a reader.
    pub(super) fn join(&mut self) -> usize {
        self.readers.insert(None)
    }

    /// Takes a reader out; returns its waker, to be dropped behind the lock.
    pub(super) fn leave(&mut self, reader: usize) -> Option<Waker> {
        let place = self.readers.remove(reader);
        if self.readers.capacity() > SMALL && self.readers.len() < self.readers.capacity() / 4 {
            self.readers.shrink_to_fit();
            self.queue.shrink_to(SMALL);
        }
        let (_, waker) = self.queue.swap_remove(place?);
        if let Some((moved, _)) = self.queue.get(place?) {
            self.readers[*moved] = place;
        }
        Some(waker)
    }

    /// Leaves a reader's waker; returns the one that it replaces, to be dropped behind the lock.
    pub(super) fn wait(&mut self, reader: usize, waker: &Waker) -> Option<Waker> {
        match self.readers[reader] {
            Some(place) if self.queue[place].1.will_wake(waker) => None,
            Some(place) => Some(core::mem::replace(&mut self.queue[place].1, waker.clone())),
            None => {
                self.readers[reader] = Some(self.queue.len());
                self.queue.push((reader, waker.clone()));
                None
            }
        }
    }

    /// Takes out the wakers of all who wait.
    pub(super) fn wake(&mut self) -> Vec<(usize, Waker)> {
        let woken = core::mem::take(&mut self.queue);
        for (reader, _) in &woken {
            self.readers[*reader] = None;
        }
        woken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_moved_by_one_that_leaves_is_found_again() {
        let mut waiting = Waiting::default();
        let readers: Vec<usize> = (0..5).map(|_| waiting.join()).collect();
        readers.iter().for_each(|reader| assert!(waiting.wait(*reader, Waker::noop()).is_none()));
        // The last takes the place of the second, and then leaves from there.
        assert!(waiting.leave(readers[1]).is_some());
        assert!(waiting.leave(readers[4]).is_some());
        let mut woken: Vec<usize> = waiting.wake().into_iter().map(|(reader, _)| reader).collect();
        woken.sort_unstable();
        assert_eq!(woken, [readers[0], readers[2], readers[3]]);
        assert!(waiting.wake().is_empty());
        assert!(waiting.leave(readers[0]).is_none(), "it waits no more");
    }

    #[test]
    fn many_that_left_cost_nothing_more() {
        let mut waiting = Waiting::default();
        let stays = waiting.join();
        let readers: Vec<usize> = (0..10_000).map(|_| waiting.join()).collect();
        for reader in &readers {
            waiting.wait(*reader, Waker::noop());
        }
        waiting.wait(stays, Waker::noop());
        for reader in readers {
            waiting.leave(reader);
        }
        assert!(waiting.readers.capacity() <= 4 * SMALL && waiting.queue.capacity() <= 4 * SMALL);
        assert_eq!(waiting.wake().len(), 1);
    }
}
