//! [`Losses`]: what was lost of things that are not there any more, each by its hash. Bounded: the oldest falls out.

use std::collections::{BTreeMap, BTreeSet};

use super::Id;

/// What was lost, by the hash of a name: of a topic, or of a key and its topic. Two names of one hash are one here, which
/// makes a false alarm once in 2^64.
#[derive(Debug)]
pub(super) struct Losses<K> {
    known: BTreeMap<K, Loss>,
    /// The same by their floors, so that the oldest falls out.
    order: BTreeSet<(Id, K)>,
    most: usize,
}

/// What was lost of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    /// The newest id that it had and that has left.
    pub(super) floor: Id,
    pub(super) doubt: Doubt,
}

/// Whether values of keys have left that nobody can name any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    #[default]
    None,
    /// If it ever had keys.
    Perhaps,
    Sure,
}

impl<K: Copy + Ord> Losses<K> {
    pub(super) fn new(most: usize) -> Losses<K> {
        Losses { known: BTreeMap::new(), order: BTreeSet::new(), most }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn get(&self, name: K) -> Option<Loss> {
        self.known.get(&name).copied()
    }

    /// Remembers a loss; returns what falls out for it.
    pub(super) fn insert(&mut self, name: K, mut loss: Loss) -> Option<(K, Loss)> {
        if let Some(old) = self.remove(name) {
            loss = Loss { floor: loss.floor.max(old.floor), doubt: loss.doubt.max(old.doubt) };
        }
        self.known.insert(name, loss);
        self.order.insert((loss.floor, name));
        if self.known.len() <= self.most {
            return None;
        }
        let (_, oldest) = self.order.first().copied()?;
        self.remove(oldest).map(|loss| (oldest, loss))
    }

    pub(super) fn remove(&mut self, name: K) -> Option<Loss> {
        let loss = self.known.remove(&name)?;
        self.order.remove(&(loss.floor, name));
        Some(loss)
    }

    /// The names of a range.
    pub(super) fn range(&self, from: K, to: K) -> Vec<K> {
        self.known.range(from..=to).map(|(name, _)| *name).collect()
    }

    pub(super) fn clear(&mut self) {
        (self.known, self.order) = (BTreeMap::new(), BTreeSet::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_loss_falls_out() {
        let mut losses = Losses::new(2);
        let loss = |seq| Loss { floor: Id::new(1, seq), doubt: Doubt::None };
        assert_eq!(losses.insert(7, loss(5)), None);
        assert_eq!(losses.insert(8, loss(3)), None);
        // The same name again: what it lost last.
        assert_eq!(losses.insert(8, loss(9)), None);
        assert_eq!(losses.insert(9, loss(6)), Some((7, loss(5))));
        assert_eq!((losses.get(8), losses.len()), (Some(loss(9)), 2));
        assert_eq!((losses.range(0, 8), losses.remove(7)), (vec![8], None));
    }
}
