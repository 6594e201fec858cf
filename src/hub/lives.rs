//! How topics of the [`Log`] begin, end, and are stopped.

use slab::Slab;

use super::Id;
use super::bounds::Bounds;
use super::clock::Moment;
use super::log::{Log, Woken};
use super::message::{Draft, Kind, largest_end};
use super::topic::{End, Life, Running, Snapshot};
use super::waiting::Waiting;
use crate::error::{Error, Result};

impl Log {
    /// Gives a topic a producer. An earlier life of its name goes, if that is allowed.
    pub(super) fn begin(&mut self, name: &str, bounds: Option<&Bounds>, anew: bool) -> Result<(u32, Woken)> {
        self.check_open()?;
        self.expire();
        let old = self.find(name);
        match old.map(|key| &self.topics[key as usize].life) {
            Some(Life::Running(_)) => return Err(Error::Running),
            Some(Life::Ended(_)) if !anew => return Err(Error::Ended),
            _ => {}
        }
        let bounds = bounds.cloned().unwrap_or_else(|| self.bounds_of(name));
        let wanted = if bounds.keep_all { bounds.bytes.saturating_add(largest_end(&self.limits)) } else { 0 };
        self.check_room_for(wanted, old)?;
        let key = match old {
            Some(key) => key,
            None => self.make(name)?,
        };
        self.renew(key);
        self.reserve(wanted, key);
        let since = self.now_for(&bounds);
        let is_unread = self.topics[key as usize].is_unread();
        let unread = is_unread.then(|| self.clock.now());
        let topic = &mut self.topics[key as usize];
        (topic.bounds, topic.since, topic.reserved) = (bounds, since, wanted);
        topic.life =
            Life::Running(Box::new(Running { stopping: false, waiting: Waiting::default(), unread }));
        let waiting = topic.waiting.wake();
        self.settle(key);
        self.trim();
        Ok((key, waiting))
    }

    /// Makes a topic as if it were new, but for its readers: they have a gap unless they had read all of it.
    pub(super) fn renew(&mut self, key: u32) {
        self.empty(key);
        let topic = &mut self.topics[key as usize];
        (topic.life, topic.snapshot, topic.last_at) = (Life::Open, Snapshot::default(), Moment::UNKNOWN);
        self.give_back(key, 0);
        self.settle(key);
    }

    /// Whether so much can be reserved, if ended topics give back what is reserved for them.
    fn check_room_for(&self, wanted: usize, old: Option<u32>) -> Result<()> {
        let reserved = |key: u32| self.topics[key as usize].reserved;
        let most = self.limits.history_bytes.checked_sub(wanted).ok_or(Error::Full)?;
        let mut left = self.reserved - old.map_or(0, reserved);
        let mut gives = self.orders.gives().filter(|key| Some(*key) != old);
        while wanted > 0 && left > most {
            left -= reserved(gives.next().ok_or(Error::Full)?);
        }
        if old.is_some() || self.topics.len() < self.limits.topics || self.orders.leaves().is_some() {
            return Ok(());
        }
        Err(Error::Full)
    }

    /// Reserves bytes; ended topics give back theirs for it, the oldest end first. They stay known.
    fn reserve(&mut self, wanted: usize, key: u32) {
        while wanted > 0 && self.reserved + wanted > self.limits.history_bytes {
            let Some(old) = self.orders.gives().find(|old| *old != key) else { break };
            self.empty(old);
            self.give_back(old, 0);
            self.settle(old);
        }
        self.reserved += wanted;
        self.ledger.add(wanted);
    }

    /// Gives back what is reserved for a topic, up to so much.
    fn give_back(&mut self, key: u32, keep: usize) {
        let topic = &mut self.topics[key as usize];
        let spare = topic.reserved.saturating_sub(keep);
        topic.reserved -= spare;
        self.release(spare);
    }

    /// Adds a message of the topic's producer.
    pub(super) fn produce(&mut self, key: u32, draft: Draft<'_>) -> Result<(Id, Woken)> {
        self.check_open()?;
        self.expire();
        if draft.parts.kind == Kind::End {
            return Err(Error::Misuse("a producer ends its topic by its own end"));
        }
        let id = self.next_id()?;
        Ok((id, self.put(key, id, draft)?))
    }

    /// Ends the topic of a producer. Returns the id of the end, and who waits.
    pub(super) fn end(&mut self, key: u32, reason: &str) -> Result<(Id, Woken)> {
        self.expire();
        let name = self.topics[key as usize].name.clone();
        let ended = match (self.check_open(), self.next_id()) {
            (Ok(()), Ok(id)) => self.put(key, id, Draft::end(&name, reason)).map(|waiting| (id, waiting)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        if ended.is_err() {
            // It can't be told any more.
            self.close_life(key, End { id: self.last, reason: None });
            self.settle(key);
        }
        ended
    }

    /// Notes that a topic has ended so; what it has not used of what is reserved for it is free.
    pub(super) fn close_life(&mut self, key: u32, end: End) {
        let topic = &mut self.topics[key as usize];
        topic.life = Life::Ended(end);
        self.give_back_unused(key);
    }

    /// Gives back what an ended topic that keeps all has no use for.
    pub(super) fn give_back_unused(&mut self, key: u32) {
        let topic = &self.topics[key as usize];
        if topic.end().is_some() && topic.reserved > 0 {
            // One byte at least: it still counts as one that keeps all.
            self.give_back(key, topic.history.weight().max(1));
        }
    }

    /// Tells a topic's producer to stop; returns who waits for that, if it has one.
    pub(super) fn stop(&mut self, name: &str) -> Option<Woken> {
        let key = self.find(name)?;
        match &mut self.topics[key as usize].life {
            Life::Running(running) => {
                running.stopping = true;
                Some(running.waiting.wake())
            }
            _ => None,
        }
    }

    /// What a topic and its producer have to say to each other.
    pub(super) fn running(&mut self, key: u32) -> Option<&mut Running> {
        match &mut self.topics[key as usize].life {
            Life::Running(running) => Some(running),
            _ => None,
        }
    }

    /// Who waits to be stopped, when the topic has ended: they wait for nothing.
    pub(super) fn stopped(&mut self, key: u32) -> Woken {
        self.running(key).map_or_else(Slab::new, |running| running.waiting.wake())
    }
}
