//! What leaves the [`Log`]: messages for want of room or by age, topics for others, and what is remembered of them.

use std::hash::BuildHasher;

use slab::Slab;

use super::log::Log;
use super::losses::{Doubt, Loss};
use super::orders::Places;
use super::published::Published;
use super::shrink;
use super::topic::{Snapshot, Topic};
use crate::error::{Error, Result};

impl Log {
    /// Lets the topic leave whose place others need most: else topics that were used once would keep new ones out for
    /// good.
    pub(super) fn make_place(&mut self) -> Result<()> {
        self.trim();
        if self.topics.len() >= self.limits.topics {
            let key = self.orders.leaves().ok_or(Error::Full)?;
            self.forget(key);
        }
        Ok(())
    }

    /// Forgets a topic that nobody reads and that has no producer, with all that is kept of it; what it lost is
    /// remembered.
    pub(super) fn forget(&mut self, key: u32) {
        self.empty(key);
        self.settle(key);
        let mut topic = self.topics.remove(key as usize);
        self.orders.place(key, &mut topic.places, Places::default());
        self.release(topic.reserved);
        self.names.remove(&topic.name);
        shrink(&mut self.names);
        self.remember(&topic);
        self.left += 1;
        if self.topics.is_empty() {
            (self.topics, self.left) = (Slab::new(), 0);
        } else if self.left > self.topics.capacity() / 8 && self.topics.len() < self.topics.capacity() / 4 {
            // Of a slab only the end can be given back, and a look for it costs all of it.
            self.topics.shrink_to_fit();
            self.left = 0;
        }
    }

    /// Remembers what a topic lost that leaves.
    fn remember(&mut self, topic: &Topic) {
        let Snapshot { doubt, keyed, .. } = topic.snapshot;
        let doubt = if doubt == Doubt::Perhaps && keyed { Doubt::Sure } else { doubt };
        let loss = Loss { floor: topic.history.floor(), doubt };
        // It has lost no more than those that were never there.
        if loss.floor <= self.floor && loss.doubt <= self.doubt {
            return;
        }
        if let Some((_, old)) = self.lost_topics.insert(self.hasher.hash_one(&*topic.name), loss) {
            self.floor = self.floor.max(old.floor);
            self.doubt = self.doubt.max(old.doubt.min(Doubt::Perhaps));
        }
    }

    /// Takes out all messages of a topic; whoever has not read them has a gap.
    pub(super) fn empty(&mut self, key: u32) {
        let mut values = false;
        while let Some(gone) = self.topics[key as usize].history.lose_oldest() {
            values |= gone.is_value();
            self.count_out(&gone);
        }
        for lost in self.lost_keys.range((key, 0), (key, u64::MAX)) {
            self.lost_keys.remove(lost);
            values = true;
        }
        let snapshot = &mut self.topics[key as usize].snapshot;
        snapshot.lost = 0;
        if values {
            snapshot.doubt = Doubt::Sure;
        }
    }

    /// Takes messages out that a topic's own bounds have no room for.
    pub(super) fn bound(&mut self, key: u32) {
        loop {
            let Topic { history, bounds, reserved, .. } = &*self.topics[key as usize];
            let over = history.len() > bounds.messages.max(1) || history.weight() > bounds.bytes;
            if *reserved > 0 || !over || history.len() <= 1 {
                return;
            }
            self.evict(key);
        }
    }

    pub(super) fn evict(&mut self, key: u32) {
        if let Some(gone) = self.topics[key as usize].history.evict(self.last) {
            self.lose(key, &gone);
        }
    }

    /// Counts a message out that has left its ring, and notes its key if that has no value any more.
    fn lose(&mut self, key: u32, gone: &Published) {
        self.count_out(gone);
        let Some(text_key) = gone.key().filter(|_| gone.is_value()) else { return };
        let lost = (key, self.hasher.hash_one(text_key));
        if self.lost_keys.get(lost).is_none() {
            self.topics[key as usize].snapshot.lost += 1;
        }
        let loss = Loss { floor: gone.id(), doubt: Doubt::None };
        if let Some(((other, _), _)) = self.lost_keys.insert(lost, loss) {
            let snapshot = &mut self.topics[other as usize].snapshot;
            snapshot.lost -= 1;
            snapshot.doubt = Doubt::Sure;
        }
    }

    pub(super) fn count_out(&mut self, gone: &Published) {
        gone.leave();
        self.messages -= 1;
    }

    /// Lets the oldest messages of the hub leave while there are too many bytes; the newest stays.
    pub(super) fn trim(&mut self) {
        while self.ledger.is_over() {
            let Some((_, key)) = self.orders.oldest().filter(|(id, _)| *id != self.last) else { return };
            self.evict(key);
            self.settle(key);
            self.tidy(key);
        }
    }

    /// Lets leave what is too old. Where no age is set it does not look at the clock.
    pub(super) fn expire(&mut self) {
        if self.orders.due().is_none() {
            return;
        }
        let now = self.clock.now();
        while let Some((_, key)) = self.orders.due().filter(|(due, _)| *due <= now) {
            let topic = &self.topics[key as usize];
            if topic.topic_due().is_some_and(|due| due <= now) {
                self.aged += topic.history.len() as u64;
                self.forget(key);
                continue;
            }
            if let Some(gone) = self.topics[key as usize].history.lose_oldest() {
                self.aged += 1;
                self.lose(key, &gone);
                self.give_back_unused(key);
            }
            self.settle(key);
            self.tidy(key);
        }
    }

    /// Removes a topic of which nothing is left to know.
    pub(super) fn tidy(&mut self, key: u32) {
        if self.topics.get(key as usize).is_some_and(|topic| topic.is_idle()) {
            self.forget(key);
        }
    }

    pub(super) fn release(&mut self, bytes: usize) {
        self.reserved -= bytes;
        self.ledger.take(bytes);
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::sync::Arc;

    use super::*;
    use crate::hub::message::{Draft, Kind, Parts};
    use crate::hub::reading::Absent;
    use crate::hub::{Frame, Id};
    use crate::limits::Limits;

    fn log(change: impl FnOnce(&mut Limits)) -> Log {
        let mut limits = Limits::DEFAULT;
        change(&mut limits);
        Log::new(&limits, Id::new(1, 0))
    }

    fn publish(log: &mut Log, topic: &str, data: &str, key: Option<&str>) {
        let mut parts = Parts::new(Kind::News, data.into());
        parts.key = key.map(Into::into);
        let draft = Draft::new(topic, parts, Duration::ZERO, &log.limits).expect("legal");
        log.publish(draft).expect("room");
    }

    #[test]
    fn time_takes_messages_and_topics_away_when_the_log_is_used() {
        let mut log = log(|limits| {
            (limits.message_age, limits.topic_age) =
                (Some(Duration::from_secs(60)), Some(Duration::from_secs(90)));
        });
        publish(&mut log, "news", "first", None);
        log.clock.forward = Duration::from_secs(40);
        publish(&mut log, "news", "second", None);
        publish(&mut log, "other", "first", None);
        let (key, _) = log.begin("answer", None, false).expect("a place");
        log.clock.forward = Duration::from_secs(61);
        assert_eq!((log.stats().messages, log.stats().aged), (2, 1));
        let reader = log.subscribe(&["news"], None, Absent::Refuse).expect("it is there");
        log.clock.forward = Duration::from_secs(200);
        // One is read and one runs; the time of the third is over.
        assert_eq!((log.stats().messages, log.stats().topics, log.stats().aged), (0, 2, 3));
        log.end(key, "finished").expect("room");
        log.unsubscribe(&reader.follows);
        assert_eq!((log.stats().topics, log.names.len()), (1, 1));
        log.clock.forward = Duration::from_secs(300);
        assert_eq!((log.stats().topics, log.stats().forgotten), (0, 3));
    }

    #[test]
    fn the_clock_is_read_only_where_an_age_is_set() {
        let reads = |change: fn(&mut Limits)| {
            let mut log = log(change);
            let mut reader = log.subscribe(&["news"], None, Absent::Make).expect("room");
            publish(&mut log, "news", "x", None);
            publish(&mut log, "news", "x", Some("key"));
            assert!(log.read(&mut reader).is_some());
            log.unsubscribe(&reader.follows);
            log.stats();
            log.clock.reads.get()
        };
        assert_eq!(reads(|_| ()), 0);
        assert!(reads(|limits| limits.message_age = Some(Duration::MAX)) > 0);
        assert!(reads(|limits| limits.topic_age = Some(Duration::MAX)) > 0);
    }

    #[test]
    fn a_producer_knows_for_how_long_nobody_has_read() {
        let mut log = log(|_| ());
        let (key, _) = log.begin("answer", None, false).expect("a place");
        let unread = |log: &mut Log| {
            let now = log.clock.now();
            log.running(key).expect("it runs").unread.map(|since| now.since(since).as_secs())
        };
        log.clock.forward = Duration::from_secs(10);
        assert_eq!(unread(&mut log), Some(10));
        let reader = log.subscribe(&["answer"], None, Absent::Refuse).expect("it is there");
        assert_eq!(unread(&mut log), None);
        log.unsubscribe(&reader.follows);
        log.clock.forward = Duration::from_secs(15);
        assert_eq!(unread(&mut log), Some(5));
    }

    #[test]
    fn frames_that_push_a_topic_out_make_room_for_another() {
        let mut log = log(|limits| (limits.topics, limits.history_bytes) = (2, 4_000));
        let mut reader = log.subscribe(&["read"], None, Absent::Make).expect("room");
        publish(&mut log, "left", "x", None);
        publish(&mut log, "read", "x", None);
        let batch = log.read(&mut reader).expect("news");
        batch.messages[0].frame(Frame::Sse, |_| vec![0; 4_000]);
        // Both topics are there, the older of them without a reader; its message goes for the frame's sake.
        assert_eq!(log.topics.len(), 2);
        publish(&mut log, "new", "x", None);
        assert_eq!((log.find("left"), log.topics.len()), (None, 2));
    }

    #[test]
    fn tables_give_their_memory_back() {
        let mut log = log(|limits| (limits.topics, limits.history_bytes) = (10_000, 1 << 30));
        publish(&mut log, "stays", "x", None);
        (0..5_000).for_each(|n| publish(&mut log, "keys", "x", Some(&n.to_string())));
        let readers: Vec<_> = (0..5_000)
            .map(|n| log.subscribe(&[&n.to_string()], None, Absent::Make).expect("a place"))
            .collect();
        assert!(log.names.capacity() > 5_000 && log.topics.capacity() > 5_000);
        readers.into_iter().rev().for_each(|reader| drop(log.unsubscribe(&reader.follows)));
        assert!(log.names.capacity() < 100 && log.topics.capacity() < 100, "{}", log.topics.capacity());
        let ledger = Arc::clone(&log.ledger);
        log.reset(Id::new(2, 0));
        assert_eq!((log.topics.capacity(), ledger.bytes(), log.topics().len()), (0, 0, 0));
    }

    #[test]
    fn ids_end_somewhere() {
        let mut log = log(|_| ());
        log.reset(Id::MAX);
        let draft =
            Draft::new("t", Parts::new(Kind::News, "x".into()), Duration::ZERO, &log.limits).expect("legal");
        assert!(matches!(log.publish(draft), Err(Error::Misuse(_))));
        let (key, _) = log.begin("answer", None, false).expect("a place");
        assert!(matches!(log.end(key, "finished"), Err(Error::Misuse(_))));
        let reader = log.subscribe(&["answer"], None, Absent::Refuse).expect("it is known");
        assert!(log.have_ended(&reader), "though it can't be told");
        assert_eq!(log.find("t"), None);
    }

    /// `limits.rs` can't know how large a topic is.
    #[test]
    fn a_topic_is_no_larger_than_it_is_counted() {
        // Its places in the four orders, in trees whose nodes are half full, in the names, and in the slab as it grows.
        let (orders, names, slab) = (4 * 70, 86, 3 * 16);
        let size = size_of::<Topic>() + orders + names + slab + 16;
        assert!(size <= crate::limits::TOPIC, "{size}");
    }
}
