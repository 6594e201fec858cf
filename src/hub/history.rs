//! [`History`]: the kept messages of one topic. Pure: no lock, no clock, no waker.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::published::Published;
use super::{Hasher, Id, shrink};

/// The kept messages of one topic, in the order of their ids.
#[derive(Debug)]
pub(super) struct History {
    /// A tree: what a key's newer value replaces leaves the middle, and nothing moves for it.
    ring: BTreeMap<Id, Arc<Published>>,
    /// The newest message of each key, a value or a removal.
    keys: HashMap<Arc<str>, Id, Hasher>,
    /// The removals among them: they leave before all else.
    removals: BTreeSet<Id>,
    /// The newest message, which most readers ask for, and the id of the one before it.
    tip: Option<(Arc<Published>, Id)>,
    /// The newest id that left for want of room or by age: whoever has not read beyond it has a gap.
    floor: Id,
    /// The bytes that they count with.
    weight: usize,
}

impl History {
    pub(super) fn new(floor: Id, hasher: Hasher) -> History {
        let keys = HashMap::with_hasher(hasher);
        History { ring: BTreeMap::new(), keys, removals: BTreeSet::new(), tip: None, floor, weight: 0 }
    }

    pub(super) fn floor(&self) -> Id {
        self.floor
    }

    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    pub(super) fn oldest(&self) -> Option<&Arc<Published>> {
        self.ring.first_key_value().map(|(_, message)| message)
    }

    /// The id of the newest message.
    pub(super) fn newest(&self) -> Option<Id> {
        self.tip.as_ref().map(|(newest, _)| newest.id())
    }

    /// The newest message, if it is the only one behind a cursor: so found without a search.
    pub(super) fn only_behind(&self, cursor: Id) -> Option<&Arc<Published>> {
        let (newest, before) = self.tip.as_ref()?;
        (*before <= cursor && cursor < newest.id()).then_some(newest)
    }

    /// The newest message with a key.
    pub(super) fn latest(&self, key: &str) -> Option<&Arc<Published>> {
        self.keys.get(key).and_then(|id| self.ring.get(id))
    }

    /// Adds the newest message; returns the one that had its key. That one leaves without raising the floor: whoever
    /// comes late gets the newer one and misses nothing.
    pub(super) fn push(&mut self, message: Arc<Published>) -> Option<Arc<Published>> {
        let id = message.id();
        let old = message.shared_key().and_then(|key| self.keys.insert(key.clone(), id));
        if message.is_removed() {
            self.removals.insert(id);
        }
        self.weight += message.weight();
        let before = self.newest().unwrap_or(self.floor);
        self.tip = Some((message.clone(), before));
        self.ring.insert(id, message);
        old.and_then(|old| self.take(old))
    }

    /// Takes out a message for want of room, which raises the floor: the oldest removal, else the oldest message. One
    /// stays: the newest of the hub.
    pub(super) fn evict(&mut self, stays: Id) -> Option<Arc<Published>> {
        let removal = self.removals.first().copied().filter(|id| *id != stays);
        let id = removal.or_else(|| self.ring.first_key_value().map(|(id, _)| *id))?;
        self.lose(id)
    }

    /// Takes out the oldest message, for its age or because all of them go, which raises the floor.
    pub(super) fn lose_oldest(&mut self) -> Option<Arc<Published>> {
        let (id, _) = self.ring.first_key_value()?;
        self.lose(*id)
    }

    fn lose(&mut self, id: Id) -> Option<Arc<Published>> {
        self.floor = self.floor.max(id);
        let message = self.take(id)?;
        if let Some(key) = message.key() {
            self.keys.remove(key);
            shrink(&mut self.keys);
        }
        Some(message)
    }

    fn take(&mut self, id: Id) -> Option<Arc<Published>> {
        let message = self.ring.remove(&id)?;
        self.removals.remove(&id);
        self.weight -= message.weight();
        // A removal leaves before what is older.
        if self.newest() == Some(id) {
            let mut newest = self.ring.values().rev();
            let tip = newest.next().cloned();
            self.tip = tip.map(|tip| (tip, newest.next().map_or(self.floor, |before| before.id())));
        }
        Some(message)
    }

    /// Takes out all messages; the floor is now `floor`.
    pub(super) fn clear(&mut self, floor: Id) -> BTreeMap<Id, Arc<Published>> {
        let empty = History::new(floor, self.keys.hasher().clone());
        core::mem::replace(self, empty).ring
    }

    /// The messages behind a cursor.
    pub(super) fn after(&self, cursor: Id) -> impl Iterator<Item = &Arc<Published>> {
        self.ring.range((Excluded(cursor), Unbounded)).map(|(_, message)| message)
    }

    /// The cursor before the last few messages: `earliest` if there are no more.
    pub(super) fn before_last(&self, messages: usize) -> Id {
        self.ring.keys().rev().nth(messages).copied().unwrap_or(Id::EARLIEST)
    }
}
