//! [`Log`]: all topics of a hub, what bounds them, and who waits for them. It is what the hub's lock guards.

use std::collections::{HashMap, VecDeque};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use slab::Slab;

use super::HubStats;
use super::history::{Batch, History, Id};
use super::message::{Message, Published};
use super::reader::{Follow, Reader};
use super::waiting::Waiting;
use crate::error::{Error, Result};
use crate::limits::{BATCH, Limits};

/// So many messages that have left may be in the order of all without being looked for.
const SLACK: usize = 64;

/// All topics of a hub.
#[derive(Debug)]
pub(super) struct Log {
    limits: Limits,
    topics: Slab<Topic>,
    /// Where each topic is.
    names: HashMap<Arc<str>, usize>,
    /// The kept messages of all topics in the order of their ids, each with its topic; and some that have left since.
    order: VecDeque<(Id, usize)>,
    /// The newest id, or where the log began.
    last: Id,
    /// The floor of every topic that is not there: where the log began, or what such a topic last had.
    floor: Id,
    /// The bytes of all kept messages, which readers add frames to.
    ledger: Arc<AtomicUsize>,
    /// How many messages are kept.
    messages: usize,
    /// How many subscriptions there are.
    readers: usize,
    /// How many gaps were told.
    gaps: u64,
    /// How often the log was reset; a reader of an earlier one has a gap.
    resets: u64,
    closed: bool,
}

/// A topic is there while it has a message or a reader.
#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    history: History,
    waiting: Waiting,
}

/// Those who waited, with their wakers.
pub(super) type Woken = Slab<Waker>;

/// The `resets` of no log: of a cursor that none of ours gave out.
const FOREIGN: u64 = u64::MAX;

impl Log {
    pub(super) fn new(limits: &Limits, start: Id) -> Log {
        Log {
            limits: limits.clone(),
            topics: Slab::new(),
            names: HashMap::new(),
            order: VecDeque::new(),
            last: start,
            floor: start,
            ledger: Arc::default(),
            messages: 0,
            readers: 0,
            gaps: 0,
            resets: 0,
            closed: false,
        }
    }

    pub(super) fn last(&self) -> Id {
        self.last
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn stats(&self) -> HubStats {
        HubStats {
            topics: self.topics.len(),
            messages: self.messages,
            bytes: self.ledger.load(Ordering::Relaxed),
            readers: self.readers,
            gaps: self.gaps,
        }
    }

    /// Adds a message; returns who waits for it.
    pub(super) fn push(&mut self, id: Id, message: Message) -> Result<Woken> {
        self.check(&message)?;
        if id <= self.last || id == Id::MAX {
            return Err(Error::Misuse("the ids of this log are used up"));
        }
        let key = self.topic(&message.topic)?;
        let topic = &mut self.topics[key];
        // Share the topic's name instead of keeping one per message.
        let message = Message { topic: topic.name.clone(), ..message };
        let replaced = message.key.as_deref().and_then(|key| topic.history.replace(key));
        topic.history.push(Arc::new(Published::new(id, message, &self.ledger)));
        let evicted = if topic.history.len() > self.limits.history { topic.history.evict() } else { None };
        let waiting = topic.waiting.wake();
        self.messages += 1;
        self.last = id;
        for gone in [replaced, evicted].into_iter().flatten() {
            self.forget(&gone);
        }
        self.enter(id, key);
        self.trim();
        Ok(waiting)
    }

    fn check(&self, message: &Message) -> Result<()> {
        if self.closed {
            return Err(Error::Closed);
        }
        if self.limits.history == 0 {
            return Err(Error::Misuse("without a history nothing can be read"));
        }
        if message.event.as_ref().is_some_and(|event| event.bytes().any(|b| matches!(b, b'\r' | b'\n'))) {
            return Err(Error::Misuse("an event name is not one line"));
        }
        if message.written() > self.limits.largest_message() { Err(Error::TooLarge) } else { Ok(()) }
    }

    /// Where a topic is; it is made if it is not there.
    fn topic(&mut self, name: &str) -> Result<usize> {
        if let Some(key) = self.names.get(name) {
            return Ok(*key);
        }
        if self.topics.len() >= self.limits.topics {
            self.make_room()?;
        }
        let name: Arc<str> = name.into();
        // It may have been there before: what it lost then is below the log's floor.
        let history = History::new(self.floor);
        let key = self.topics.insert(Topic { name: name.clone(), history, waiting: Waiting::default() });
        self.names.insert(name, key);
        Ok(key)
    }

    /// Lets the topic leave that nobody reads and whose newest message is the oldest: else topics that were used
    /// once would keep new ones out for good.
    fn make_room(&mut self) -> Result<()> {
        self.trim();
        if self.topics.len() < self.limits.topics {
            return Ok(());
        }
        let unread = self.topics.iter().filter(|(_, topic)| topic.waiting.is_empty());
        let stalest = unread.min_by_key(|(_, topic)| topic.history.newest()).map(|(key, _)| key);
        let key = stalest.ok_or(Error::Full)?;
        while let Some(gone) = self.topics[key].history.evict() {
            self.forget(&gone);
        }
        self.tidy(key);
        Ok(())
    }

    /// Counts a message out that has left its ring.
    fn forget(&mut self, gone: &Published) {
        gone.leave();
        self.messages -= 1;
    }

    /// Enters a message in the order of all; what has left is taken out of that when it is half of it.
    fn enter(&mut self, id: Id, key: usize) {
        self.order.push_back((id, key));
        if self.order.len() > 2 * self.messages + SLACK {
            let topics = &self.topics;
            self.order.retain(|(id, key)| topics.get(*key).is_some_and(|topic| topic.history.has(*id)));
        }
    }

    /// Lets the oldest messages of the hub leave while there are too many bytes; the newest stays.
    fn trim(&mut self) {
        while self.ledger.load(Ordering::Relaxed) > self.limits.history_bytes && self.messages > 1 {
            // Never `None`: each message that is kept is in the order.
            let Some((id, key)) = self.order.pop_front() else { return };
            let Some(topic) = self.topics.get_mut(key).filter(|topic| topic.history.oldest() == Some(id))
            else {
                continue;
            };
            let gone = topic.history.evict();
            gone.iter().for_each(|gone| self.forget(gone));
            self.tidy(key);
        }
    }

    /// Removes a topic that has neither a message nor a reader.
    fn tidy(&mut self, key: usize) {
        let idle = |topic: &Topic| topic.history.is_empty() && topic.waiting.is_empty();
        if self.topics.get(key).is_some_and(idle) {
            let topic = self.topics.remove(key);
            self.names.remove(&topic.name);
            self.floor = self.floor.max(topic.history.floor());
        }
    }

    /// Drops everything; ids go on above `floor`. Returns who waits.
    pub(super) fn reset(&mut self, floor: Id) -> Woken {
        // `0-0` is written for `earliest`, which is never a gap, so no log may give it out as a cursor.
        let floor = floor.max(Id { epoch: 0, seq: 1 });
        (self.last, self.floor) = (floor, floor);
        self.resets += 1;
        self.messages = 0;
        self.order = VecDeque::new();
        for (_, topic) in &mut self.topics {
            topic.history.clear(floor).iter().for_each(|gone| gone.leave());
        }
        let waiting = self.wake_all();
        let idle: Vec<usize> = self.topics.iter().map(|(key, _)| key).collect();
        idle.into_iter().for_each(|key| self.tidy(key));
        waiting
    }

    /// Ends publishing. Returns who waits.
    pub(super) fn close(&mut self) -> Woken {
        self.closed = true;
        self.wake_all()
    }

    fn wake_all(&mut self) -> Woken {
        let mut woken = Slab::new();
        for (_, waker) in self.topics.iter_mut().flat_map(|(_, topic)| topic.waiting.wake()) {
            woken.insert(waker);
        }
        woken
    }

    pub(super) fn subscribe(&mut self, names: &[&str], after: Option<Id>) -> Result<Reader> {
        if names.is_empty() {
            return Err(Error::Misuse("a subscription needs a topic"));
        }
        if self.limits.history == 0 {
            return Err(Error::Misuse("without a history nothing can be read"));
        }
        // What the frames of other readers push out goes before this one looks at the floors.
        self.trim();
        let cursor = after.unwrap_or(self.last);
        // Judged now: the log may pass a foreign cursor before the first read.
        let resets = if cursor > self.last { FOREIGN } else { self.resets };
        self.readers += 1;
        let mut follows = Vec::with_capacity(names.len());
        match self.follow_all(&mut follows, names, after) {
            Ok(()) => Ok(Reader { cursor, resets, follows: follows.into() }),
            Err(error) => {
                self.unsubscribe(&follows);
                Err(error)
            }
        }
    }

    fn follow_all(&mut self, follows: &mut Vec<Follow>, names: &[&str], after: Option<Id>) -> Result<()> {
        // Those that are there come first: else room for a new one might be made of them.
        let mut new = Vec::new();
        for name in names {
            match self.names.get(*name) {
                Some(key) => self.follow(follows, *key, after),
                None if new.contains(name) => {}
                None => new.push(*name),
            }
        }
        if !self.has_room(new.len()) {
            return Err(Error::Full);
        }
        for name in new {
            let key = self.topic(name)?;
            self.follow(follows, key, after);
        }
        Ok(())
    }

    fn follow(&mut self, follows: &mut Vec<Follow>, key: usize, after: Option<Id>) {
        if follows.iter().any(|follow| follow.topic() == key) {
            return;
        }
        let topic = &mut self.topics[key];
        topic.waiting.join();
        // `earliest` knows that there was something before.
        let told = if after == Some(Id::EARLIEST) { topic.history.floor() } else { Id::EARLIEST };
        follows.push(Follow::new(key, told));
    }

    /// Whether there is room for so many new topics, or can be made.
    fn has_room(&self, new: usize) -> bool {
        let free = self.limits.topics.saturating_sub(self.topics.len());
        let unread = || self.topics.iter().filter(|(_, topic)| topic.waiting.is_empty()).count();
        new <= free || new <= free + unread()
    }

    /// Takes a reader out; returns its wakers, to be dropped behind the lock.
    pub(super) fn unsubscribe(&mut self, follows: &[Follow]) -> Vec<Waker> {
        self.readers -= 1;
        let mut stale = Vec::new();
        for follow in follows {
            // Its being read has kept the topic there.
            stale.extend(self.topics[follow.topic()].waiting.leave(follow.place));
            self.tidy(follow.topic());
        }
        stale
    }

    /// Leaves a reader's waker with each of its topics; returns those that it replaces, to be dropped behind the
    /// lock.
    pub(super) fn wait(&mut self, reader: &mut Reader, waker: &Waker) -> Vec<Waker> {
        let mut stale = Vec::new();
        for follow in reader.follows.iter_mut() {
            stale.extend(self.topics[follow.topic()].waiting.wait(&mut follow.place, waker));
        }
        stale
    }

    /// What a reader has not read, if anything; moves its cursor.
    pub(super) fn read(&mut self, reader: &mut Reader) -> Option<Batch> {
        // Frames that readers made since the last message count as well.
        self.trim();
        let gap = self.has_gap(reader);
        if gap {
            self.tell(reader);
        } else if !self.has_news(reader) {
            reader.cursor = self.last;
            return None;
        }
        let (messages, all) = self.collect(reader);
        let from = match messages.first() {
            Some(first) if gap => first.id().predecessor(),
            None => self.last,
            Some(_) => reader.cursor,
        };
        reader.cursor = match messages.last() {
            Some(newest) if !all => newest.id(),
            // All up to the last id of the hub is read, or is in none of the reader's topics.
            _ => self.last,
        };
        (gap || !messages.is_empty()).then_some(Batch { messages, from, next: reader.cursor, gap })
    }

    fn has_gap(&self, reader: &Reader) -> bool {
        let missed = |follow: &Follow| self.floor_of(follow.topic()) > reader.cursor.max(follow.told);
        self.is_foreign(reader) || reader.follows.iter().any(missed)
    }

    /// Whether a topic of the reader has a message behind its cursor.
    fn has_news(&self, reader: &Reader) -> bool {
        let newest = |follow: &Follow| self.topics[follow.topic()].history.newest();
        reader.cursor < self.last && reader.follows.iter().filter_map(newest).any(|id| id > reader.cursor)
    }

    /// Whether a reader's cursor is of another log.
    fn is_foreign(&self, reader: &Reader) -> bool {
        reader.resets != self.resets
    }

    fn floor_of(&self, topic: usize) -> Id {
        self.topics[topic].history.floor()
    }

    /// Notes that the reader knows of its gap up to now.
    fn tell(&mut self, reader: &mut Reader) {
        self.gaps += 1;
        if self.is_foreign(reader) {
            (reader.cursor, reader.resets) = (Id::EARLIEST, self.resets);
        }
        for follow in reader.follows.iter_mut() {
            follow.told = self.floor_of(follow.topic());
        }
    }

    /// The next messages of a reader in the order of their ids, and whether they are all.
    fn collect(&self, reader: &Reader) -> (Vec<Arc<Published>>, bool) {
        let after = |follow: &Follow| self.topics[follow.topic()].history.after(reader.cursor);
        // Most readers follow one topic.
        if let [follow] = &reader.follows[..] {
            return gather(after(follow));
        }
        let mut rests: Vec<_> = reader.follows.iter().map(|follow| after(follow).peekable()).collect();
        gather(iter::from_fn(|| {
            let next = rests.iter_mut().filter_map(|rest| Some((rest.peek()?.id(), rest)));
            next.min_by_key(|(id, _)| *id).and_then(|(_, rest)| rest.next())
        }))
    }
}

/// Takes what fits in a batch, and whether that is all.
fn gather<'m>(rest: impl Iterator<Item = &'m Arc<Published>>) -> (Vec<Arc<Published>>, bool) {
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for message in rest {
        bytes += message.cost();
        if bytes > BATCH && !messages.is_empty() {
            return (messages, false);
        }
        messages.push(message.clone());
    }
    (messages, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(limits: &Limits) -> Log {
        Log::new(limits, Id::new(1, 0))
    }

    #[test]
    fn without_a_history_nothing_can_be_published_or_read() {
        let mut limits = Limits::DEFAULT;
        limits.history = 0;
        let mut log = log(&limits);
        assert!(matches!(log.push(Id::new(1, 1), Message::new("t", "x")), Err(Error::Misuse(_))));
        assert!(matches!(log.subscribe(&["t"], None), Err(Error::Misuse(_))));
    }

    #[test]
    fn messages_that_left_early_cost_no_memory() {
        let mut log = log(&Limits::DEFAULT);
        for seq in 1..1000 {
            log.push(Id::new(1, seq), Message::new("gauge", "x").key("speed")).expect("room");
            assert!(log.order.len() <= 2 * log.messages + SLACK, "{}", log.order.len());
        }
        assert_eq!(log.stats().messages, 1);
    }

    #[test]
    fn the_oldest_still_leaves_when_those_that_left_early_were_dropped() {
        let mut limits = Limits::DEFAULT;
        limits.history_bytes = 4000;
        let mut log = log(&limits);
        log.push(Id::new(1, 1), Message::new("news", "x".repeat(900))).expect("room");
        for seq in 2..1000 {
            log.push(Id::new(1, seq), Message::new("gauge", "x").key("speed")).expect("room");
        }
        for seq in 1000..1003 {
            log.push(Id::new(1, seq), Message::new("other", "x".repeat(900))).expect("room");
        }
        assert!(log.stats().bytes <= limits.history_bytes, "{}", log.stats().bytes);
        assert_eq!(log.names.get("news"), None);
    }

    #[test]
    fn behind_the_greatest_id_there_is_none() {
        let mut log = log(&Limits::DEFAULT);
        log.reset(Id::MAX);
        let next = log.last().successor();
        assert!(matches!(log.push(next, Message::new("t", "x")), Err(Error::Misuse(_))));
    }

    #[test]
    fn frames_that_push_a_topic_out_make_room_for_another() {
        let mut limits = Limits::DEFAULT;
        (limits.topics, limits.history_bytes) = (2, 4000);
        let mut log = log(&limits);
        let mut reader = log.subscribe(&["read"], None).expect("room");
        log.push(Id::new(1, 1), Message::new("left", "x")).expect("room");
        log.push(Id::new(1, 2), Message::new("read", "x")).expect("room");
        let batch = log.read(&mut reader).expect("news");
        batch.messages[0].frame(super::super::Frame::Sse, |_| vec![0; 4000]);
        // Both topics are there, the older of them without a reader; its message goes for the frame's sake.
        assert_eq!(log.stats().topics, 2);
        log.push(Id::new(1, 3), Message::new("new", "x")).expect("the room of the one that went");
        assert_eq!(log.topics.iter().filter(|(_, topic)| &*topic.name == "left").count(), 0);
    }

    #[test]
    fn an_event_name_is_one_line_and_a_subscription_has_a_topic() {
        let mut log = log(&Limits::DEFAULT);
        let torn = Message::new("t", "x").event("a\nb");
        assert!(matches!(log.push(Id::new(1, 1), torn), Err(Error::Misuse(_))));
        assert!(matches!(log.subscribe(&[], None), Err(Error::Misuse(_))));
        assert_eq!((log.stats().topics, log.stats().readers), (0, 0));
    }
}
