//! [`Orders`]: which topic is next, whatever for. One place per topic in each, so that finding it costs the logarithm of
//! the topics.

use std::collections::BTreeSet;

use super::Id;
use super::clock::Moment;

/// All topics of a hub, in several orders.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// By their oldest messages: those that may leave for want of room.
    oldest: BTreeSet<(Id, u32)>,
    /// Those that may leave when their place is needed.
    leaves: BTreeSet<(Rank, u32)>,
    /// By their ends: those that may give back what is reserved for them.
    gives: BTreeSet<(Id, u32)>,
    /// By when something of them is too old.
    due: BTreeSet<(Moment, u32)>,
}

/// Where a topic stands in each order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) oldest: Option<Id>,
    pub(super) leaves: Option<Rank>,
    pub(super) gives: Option<Id>,
    pub(super) due: Option<Moment>,
}

/// Which topic leaves first: the oldest end, then the one that was published in the longest ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Ended(Id),
    Open(Id),
}

impl Orders {
    /// Moves a topic from its old places to its new ones.
    pub(super) fn place(&mut self, topic: u32, old: &mut Places, new: Places) {
        if *old == new {
            return;
        }
        change(&mut self.oldest, topic, old.oldest, new.oldest);
        change(&mut self.leaves, topic, old.leaves, new.leaves);
        change(&mut self.gives, topic, old.gives, new.gives);
        change(&mut self.due, topic, old.due, new.due);
        *old = new;
    }

    /// The topic with the oldest message that may leave, and that message.
    pub(super) fn oldest(&self) -> Option<(Id, u32)> {
        self.oldest.first().copied()
    }

    /// The topic that leaves first when a place is needed.
    pub(super) fn leaves(&self) -> Option<u32> {
        self.leaves.first().map(|(_, topic)| *topic)
    }

    /// The topics that may give back what is reserved for them, the oldest end first.
    pub(super) fn gives(&self) -> impl Iterator<Item = u32> {
        self.gives.iter().map(|(_, topic)| *topic)
    }

    /// When something is too old next, and in which topic.
    pub(super) fn due(&self) -> Option<(Moment, u32)> {
        self.due.first().copied()
    }
}

fn change<T: Ord>(order: &mut BTreeSet<(T, u32)>, topic: u32, old: Option<T>, new: Option<T>) {
    if old == new {
        return;
    }
    if let Some(old) = old {
        order.remove(&(old, topic));
    }
    if let Some(new) = new {
        order.insert((new, topic));
    }
}
