//! [`Log`]: all topics of a hub and what bounds them. It is what the hub's lock guards. How it is read stands in
//! `reading.rs`, how topics begin and end in `lives.rs`, what leaves in `leaving.rs`.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::task::Waker;

use slab::Slab;

use super::bounds::Bounds;
use super::clock::{Clock, Moment};
use super::history::History;
use super::ledger::Ledger;
use super::losses::{Doubt, Loss, Losses};
use super::message::{Draft, Kind};
use super::orders::{Orders, Places};
use super::published::{Published, Stamp};
use super::stats::{HubStats, TopicStats};
use super::topic::{End, Life, Snapshot, Topic};
use super::waiting::Waiting;
use super::{Hasher, Id};
use crate::error::{Error, Result};
use crate::limits::Limits;

/// All topics of a hub.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) limits: Limits,
    pub(super) hasher: Hasher,
    pub(super) topics: Slab<Box<Topic>>,
    /// Where each topic is.
    pub(super) names: HashMap<Arc<str>, u32, Hasher>,
    pub(super) orders: Orders,
    /// The bounds that the embedder has set, by the names of topics that may come and go.
    own_bounds: HashMap<Arc<str>, Bounds, Hasher>,
    pub(super) clock: Clock,
    /// The newest id, or where the log began.
    pub(super) last: Id,
    /// Where the log began.
    pub(super) start: Id,
    /// The floor of every topic that is not there and of which no loss is known: where the log began, or what such a topic
    /// last had.
    pub(super) floor: Id,
    /// Whether such a topic may have lost values of keys.
    pub(super) doubt: Doubt,
    /// What topics have lost that are not there, by the hashes of their names.
    pub(super) lost_topics: Losses<u64>,
    /// Which keys of topics that are there have lost their values.
    pub(super) lost_keys: Losses<(u32, u64)>,
    /// The bytes of all kept messages, which readers add frames to, and what is reserved.
    pub(super) ledger: Arc<Ledger>,
    /// How many of these bytes are reserved.
    pub(super) reserved: usize,
    /// How many messages are kept.
    pub(super) messages: usize,
    /// How many subscriptions there are.
    pub(super) readers: usize,
    /// How many removals were published.
    pub(super) removals: u32,
    /// How many gaps were told.
    pub(super) gaps: u64,
    /// How many messages have left by age.
    pub(super) aged: u64,
    /// How often the log was reset; a reader of an earlier one has a gap.
    pub(super) resets: u32,
    /// How many topics have left since the table of topics was last made smaller.
    pub(super) left: usize,
    closed: bool,
}

/// Those who waited, with their wakers.
pub(super) type Woken = Slab<Waker>;

impl Log {
    pub(super) fn new(limits: &Limits, start: Id) -> Log {
        let hasher = Hasher::new();
        Log {
            limits: limits.clone(),
            topics: Slab::new(),
            names: HashMap::with_hasher(hasher.clone()),
            orders: Orders::default(),
            own_bounds: HashMap::with_hasher(hasher.clone()),
            hasher,
            clock: Clock::new(),
            last: start,
            start,
            floor: start,
            doubt: Doubt::None,
            lost_topics: Losses::new(limits.forgotten),
            lost_keys: Losses::new(limits.forgotten),
            ledger: Arc::new(Ledger::new(limits.history_bytes)),
            reserved: 0,
            messages: 0,
            readers: 0,
            removals: 0,
            gaps: 0,
            aged: 0,
            resets: 0,
            left: 0,
            closed: false,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed { Err(Error::Closed) } else { Ok(()) }
    }

    pub(super) fn topics(&mut self) -> Vec<Arc<str>> {
        self.expire();
        self.names.keys().cloned().collect()
    }

    pub(super) fn stats(&mut self) -> HubStats {
        self.expire();
        HubStats {
            topics: self.topics.len(),
            messages: self.messages,
            bytes: self.ledger.bytes(),
            reserved: self.reserved,
            readers: self.readers,
            gaps: self.gaps,
            aged: self.aged,
            forgotten: self.lost_topics.len(),
        }
    }

    pub(super) fn topic_stats(&mut self, name: &str) -> Option<TopicStats> {
        self.expire();
        let topic = &self.topics[self.find(name)? as usize];
        Some(TopicStats::of(topic))
    }

    /// Where a topic is, if it is there.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    pub(super) fn history(&self, name: &str) -> Option<&History> {
        self.find(name).map(|key| &self.topics[key as usize].history)
    }

    /// The id of the next message.
    pub(super) fn next_id(&self) -> Result<Id> {
        let id = self.last.successor();
        if id <= self.last || id == Id::MAX {
            Err(Error::Misuse("the ids of this log are used up"))
        } else {
            Ok(id)
        }
    }

    /// Adds a message of anybody's; returns its id, and who waits for it.
    pub(super) fn publish(&mut self, draft: Draft<'_>) -> Result<(Id, Woken)> {
        self.check_open()?;
        self.expire();
        let id = self.next_id()?;
        let key = match self.find(draft.topic) {
            None => self.make(draft.topic)?,
            Some(key) => match self.topics[key as usize].life {
                Life::Open => key,
                Life::Running(_) => return Err(Error::Running),
                Life::Ended(_) => return Err(Error::Ended),
            },
        };
        Ok((id, self.put(key, id, draft)?))
    }

    /// Adds a message with an id from elsewhere, if that is above the last; returns who waits for it. What comes behind an
    /// end begins a new life there, so it does here.
    pub(super) fn insert(&mut self, id: Id, draft: Draft<'_>) -> Result<Option<Woken>> {
        self.check_open()?;
        self.expire();
        if id <= self.last {
            return Ok(None);
        }
        if id == Id::MAX {
            return Err(Error::Misuse("no message has this id"));
        }
        let key = match self.find(draft.topic) {
            None => self.make(draft.topic)?,
            Some(key) => {
                match self.topics[key as usize].life {
                    Life::Open => {}
                    Life::Running(_) => return Err(Error::Running),
                    Life::Ended(_) => self.renew(key),
                }
                key
            }
        };
        self.put(key, id, draft).map(Some)
    }

    /// Adds a message to a topic that is there; returns who waits for it.
    pub(super) fn put(&mut self, key: u32, id: Id, draft: Draft<'_>) -> Result<Woken> {
        let reason = (draft.parts.kind == Kind::End).then(|| draft.parts.data.clone());
        let text_key = draft.parts.key.clone();
        self.check_room(key, &draft)?;
        let stamp = self.stamp(key, &draft);
        let topic = &mut self.topics[key as usize];
        let (name, is_reserved) = (topic.name.clone(), topic.reserved > 0);
        let message = Arc::new(Published::new(id, name, draft, (is_reserved, stamp), &self.ledger));
        let replaced = topic.history.push(message);
        topic.last_at = stamp.at;
        let waiting = topic.waiting.wake();
        self.last = id;
        self.messages += 1;
        replaced.iter().for_each(|gone| self.count_out(gone));
        if let Some(text_key) = text_key {
            self.find_key(key, &text_key);
        }
        if reason.is_some() {
            self.close_life(key, End { id, reason });
        }
        self.bound(key);
        self.settle(key);
        self.trim();
        Ok(waiting)
    }

    /// Whether a topic that keeps all has room; others make it.
    fn check_room(&self, key: u32, draft: &Draft<'_>) -> Result<()> {
        let topic = &self.topics[key as usize];
        if topic.reserved == 0 || draft.parts.kind == Kind::End {
            return Ok(());
        }
        let old = draft.parts.key.as_ref().and_then(|key| topic.history.latest(key));
        let weight = topic.history.weight() + draft.weight - old.map_or(0, |old| old.weight());
        let messages = topic.history.len() + usize::from(old.is_none());
        if weight > topic.bounds.bytes || messages > topic.bounds.messages {
            Err(Error::Full)
        } else {
            Ok(())
        }
    }

    fn stamp(&mut self, key: u32, draft: &Draft<'_>) -> Stamp {
        let is_removal = draft.parts.kind == Kind::Removal;
        self.removals = self.removals.saturating_add(u32::from(is_removal));
        let at = if self.topics[key as usize].bounds.have_age() {
            self.clock.now().earlier(draft.age)
        } else {
            Moment::UNKNOWN
        };
        Stamp { at, removal: if is_removal { self.removals } else { 0 } }
    }

    /// Makes a topic; another one leaves for it if it must.
    pub(super) fn make(&mut self, name: &str) -> Result<u32> {
        if self.topics.len() >= self.limits.topics {
            self.make_place()?;
        }
        let Loss { floor, doubt } = self.loss_of(name);
        self.lost_topics.remove(self.hasher.hash_one(name));
        let bounds = self.own_bounds.get(name).cloned().unwrap_or_else(|| Bounds::new(&self.limits));
        let name: Arc<str> = name.into();
        let key = self.topics.insert(Box::new(Topic {
            name: name.clone(),
            history: History::new(floor, self.hasher.clone()),
            waiting: Waiting::default(),
            life: Life::Open,
            reserved: 0,
            snapshot: Snapshot { doubt, ..Snapshot::default() },
            since: self.now_for(&bounds),
            bounds,
            last_at: Moment::UNKNOWN,
            places: Places::default(),
        })) as u32;
        self.names.insert(name, key);
        Ok(key)
    }

    /// What a topic that is not there has lost.
    pub(super) fn loss_of(&self, name: &str) -> Loss {
        let known = self.lost_topics.get(self.hasher.hash_one(name));
        known.filter(|loss| loss.floor > self.floor).unwrap_or(Loss { floor: self.floor, doubt: self.doubt })
    }

    /// The moment of now if these bounds have an age.
    pub(super) fn now_for(&self, bounds: &Bounds) -> Moment {
        if bounds.have_age() { self.clock.now() } else { Moment::UNKNOWN }
    }

    /// Notes that a key has a newest message again.
    fn find_key(&mut self, key: u32, text_key: &str) {
        let snapshot = &mut self.topics[key as usize].snapshot;
        snapshot.keyed = true;
        if snapshot.lost > 0 && self.lost_keys.remove((key, self.hasher.hash_one(text_key))).is_some() {
            snapshot.lost -= 1;
        }
    }

    /// Puts a topic where it belongs in the orders, after a change of it.
    pub(super) fn settle(&mut self, key: u32) {
        let topic = &mut self.topics[key as usize];
        let places = topic.places();
        self.orders.place(key, &mut topic.places, places);
    }

    /// Sets what is kept of a topic, or takes that back.
    pub(super) fn set_bounds(&mut self, name: &str, bounds: Option<&Bounds>) -> Result<()> {
        self.expire();
        match bounds {
            Some(_) if self.own_bounds.len() >= self.limits.topics && !self.own_bounds.contains_key(name) => {
                return Err(Error::Full);
            }
            Some(bounds) => drop(self.own_bounds.insert(name.into(), bounds.clone())),
            None => drop(self.own_bounds.remove(name)),
        }
        if let Some(key) = self.find(name).filter(|key| self.topics[*key as usize].reserved == 0) {
            let bounds = bounds.cloned().unwrap_or_else(|| Bounds::new(&self.limits));
            let now = self.now_for(&bounds);
            let topic = &mut self.topics[key as usize];
            (topic.bounds, topic.since) = (bounds, now);
            self.bound(key);
            self.settle(key);
        }
        Ok(())
    }

    /// The bounds that hold for a name.
    pub(super) fn bounds_of(&self, name: &str) -> Bounds {
        self.own_bounds.get(name).cloned().unwrap_or_else(|| Bounds::new(&self.limits))
    }

    /// Drops everything but the topics that have readers or producers; ids go on above `floor`. Returns who waits.
    pub(super) fn reset(&mut self, floor: Id) -> Woken {
        // `0-0` is written for `earliest`, which is never a gap, so no log may give it out as a cursor.
        let floor = floor.max(Id { epoch: 0, seq: 1 });
        (self.start, self.last, self.floor, self.doubt) = (floor, floor, floor, Doubt::None);
        self.resets = self.resets.wrapping_add(1);
        self.messages = 0;
        self.lost_topics.clear();
        self.lost_keys.clear();
        let waiting = self.wake_all();
        for key in self.keys() {
            self.clear(key, floor);
        }
        waiting
    }

    fn clear(&mut self, key: u32, floor: Id) {
        let topic = &mut self.topics[key as usize];
        topic.history.clear(floor).values().for_each(|gone| gone.leave());
        topic.snapshot = Snapshot::default();
        if !topic.is_running() {
            topic.life = Life::Open;
            let reserved = core::mem::take(&mut topic.reserved);
            self.release(reserved);
        }
        self.settle(key);
        self.tidy(key);
    }

    /// Ends publishing. Returns who waits.
    pub(super) fn close(&mut self) -> Woken {
        self.closed = true;
        self.wake_all()
    }

    fn keys(&self) -> Vec<u32> {
        self.topics.iter().map(|(key, _)| key as u32).collect()
    }

    fn wake_all(&mut self) -> Woken {
        let mut woken = Slab::new();
        for (_, topic) in &mut self.topics {
            let stopped = match &mut topic.life {
                Life::Running(running) if self.closed => running.waiting.wake(),
                _ => Slab::new(),
            };
            for (_, waker) in topic.waiting.wake().into_iter().chain(stopped) {
                woken.insert(waker);
            }
        }
        woken
    }
}
