//! How the [`Log`] is read: subscriptions, gaps, batches.

use core::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter;
use std::sync::Arc;
use std::task::Waker;

use super::clock::Moment;
use super::log::Log;
use super::losses::Doubt;
use super::message::Draft;
use super::published::Stamp;
use super::reader::{Follow, Follows, Manner, Reader};
use super::topic::{Life, Topic};
use super::{Batch, Id, Messages, Published};
use crate::error::{Error, Fault, Result};

/// What a reader does about a topic that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// It waits for it, which takes a place.
    Make,
    /// It does not read at all.
    Refuse,
    /// It reads what is there, and never waits.
    Skip,
}

/// The `resets` of no log: of a cursor that none of ours gave out.
const FOREIGN: u32 = u32::MAX;

impl Log {
    /// A reader of these topics, which are all different.
    pub(super) fn subscribe(&mut self, names: &[&str], after: Option<Id>, absent: Absent) -> Result<Reader> {
        self.expire();
        // What the frames of other readers push out goes before this one looks at the floors.
        self.trim();
        // Mostly there is one, and no list to be made.
        if let [name] = names {
            if let Some(key) = self.find(name) {
                let follows = Follows::One(self.follow(key, after));
                return Ok(self.reader(follows, after, absent == Absent::Skip));
            }
        }
        let (there, missing) = self.look_up(names);
        match absent {
            Absent::Refuse if !missing.is_empty() => return Err(Fault::Topic.into()),
            Absent::Make if self.topics.len() + missing.len() > self.limits.topics => {
                return Err(Error::Full);
            }
            _ => {}
        }
        let is_brief = absent == Absent::Skip;
        let mut follows: Vec<Follow> = there.into_iter().map(|key| self.follow(key, after)).collect();
        for name in &missing {
            if !is_brief {
                let key = self.make(name)?;
                follows.push(self.follow(key, after));
            }
        }
        if is_brief && !missing.is_empty() {
            follows.push(self.absent(&missing, after));
        }
        Ok(self.reader(follows.into(), after, is_brief))
    }

    fn reader(&mut self, follows: Follows, after: Option<Id>, is_brief: bool) -> Reader {
        self.readers += 1;
        let cursor = after.unwrap_or(self.last);
        // Judged now: the log may pass a foreign cursor before the first read.
        let resets = if cursor > self.last { FOREIGN } else { self.resets };
        let hidden = if after == Some(Id::EARLIEST) { self.removals } else { 0 };
        Reader { cursor, resets, manner: Manner::new(is_brief, hidden), follows }
    }

    /// Where those topics are that are there, and the names of the others.
    fn look_up<'n>(&self, names: &[&'n str]) -> (Vec<u32>, Vec<&'n str>) {
        let (mut there, mut missing) = (Vec::with_capacity(names.len()), Vec::new());
        for name in names {
            match self.find(name) {
                Some(key) => there.push(key),
                None => missing.push(*name),
            }
        }
        (there, missing)
    }

    fn follow(&mut self, key: u32, after: Option<Id>) -> Follow {
        let topic = &mut self.topics[key as usize];
        let was_unread = topic.is_unread();
        topic.waiting.join();
        if let Life::Running(running) = &mut topic.life {
            running.unread = None;
        }
        // `earliest` knows that there was something before, unless that was the value of a key.
        let knows = after == Some(Id::EARLIEST) && !topic.is_partial();
        let told = if knows { topic.history.floor() } else { Id::EARLIEST };
        // With one more reader it stands where it stood.
        if was_unread {
            self.settle(key);
        }
        Follow::new(key, told)
    }

    /// What a brief reader is to be told of topics that are not there: nothing, or a gap.
    fn absent(&self, names: &[&str], after: Option<Id>) -> Follow {
        let is_fresh = after == Some(Id::EARLIEST);
        let losses = names.iter().map(|name| self.loss_of(name));
        let floors = losses.filter(|loss| !is_fresh || loss.doubt > Doubt::None).map(|loss| loss.floor);
        Follow::absent(floors.max().unwrap_or(Id::EARLIEST))
    }

    /// Takes a reader out; returns its wakers, to be dropped behind the lock.
    pub(super) fn unsubscribe(&mut self, follows: &[Follow]) -> Vec<Waker> {
        self.readers -= 1;
        let mut stale = Vec::new();
        for follow in follows {
            // Its being read has kept the topic there.
            let Some(topic) = self.topics.get_mut(follow.topic()) else { continue };
            stale.extend(topic.waiting.leave(follow.place));
            if !topic.is_unread() {
                continue;
            }
            if let Life::Running(running) = &mut topic.life {
                running.unread = Some(self.clock.now());
            }
            let key = follow.key();
            self.settle(key);
            self.tidy(key);
        }
        stale
    }

    /// Leaves a reader's waker with each of its topics; returns those that it replaces, to be dropped behind the
    /// lock.
    pub(super) fn wait(&mut self, reader: &mut Reader, waker: &Waker) -> Vec<Waker> {
        let mut stale = Vec::new();
        for follow in reader.follows.iter_mut() {
            if let Some(topic) = self.topics.get_mut(follow.topic()) {
                stale.extend(topic.waiting.wait(&mut follow.place, waker));
            }
        }
        stale
    }

    /// Whether nothing can come any more behind what was read: the hub is closed, the reader is brief, or all of its
    /// topics have ended.
    pub(super) fn is_over(&self, reader: &Reader) -> bool {
        self.is_closed() || reader.manner.is_brief() || self.have_ended(reader)
    }

    /// Whether all topics of a reader have ended and it has read their ends.
    pub(super) fn have_ended(&self, reader: &Reader) -> bool {
        let has_ended =
            |follow: &Follow| self.topic(follow).and_then(Topic::end).is_some_and(|end| end <= reader.cursor);
        reader.resets == self.resets && !reader.follows.is_empty() && reader.follows.iter().all(has_ended)
    }

    /// What a reader has not read, if anything; moves its cursor.
    pub(super) fn read(&mut self, reader: &mut Reader) -> Option<Batch> {
        self.expire();
        // Frames that readers made since the last message count as well.
        self.trim();
        if let Some(seen) = self.glance(reader) {
            return seen;
        }
        let gap = self.gap(reader);
        if gap.is_some() {
            self.tell(reader);
        } else if !self.has_news(reader) {
            self.catch_up(reader);
            return None;
        }
        let (messages, all) = self.collect(reader);
        let from = match messages.first() {
            Some(first) if gap.is_some() => first.id().predecessor(),
            None => self.last,
            Some(_) => reader.cursor,
        };
        match messages.last() {
            Some(newest) if !all => reader.cursor = newest.id(),
            _ => self.catch_up(reader),
        }
        let is_news = gap.is_some() || !messages.is_empty();
        is_news.then(|| Batch { messages: messages.into(), from, next: reader.cursor, gap })
    }

    /// What most readers get, found without a search: nothing, or the newest message of one topic. `None` if that needs a
    /// closer look.
    fn glance(&self, reader: &mut Reader) -> Option<Option<Batch>> {
        if self.is_foreign(reader) {
            return None;
        }
        if reader.cursor == self.last {
            reader.manner.show_all();
            return Some(None);
        }
        let [follow] = &reader.follows[..] else { return None };
        let history = &self.topic(follow)?.history;
        let message = history.only_behind(reader.cursor)?;
        if history.floor() > reader.cursor.max(follow.told) || !reader.manner.shows(message.stamp.removal) {
            return None;
        }
        let from = reader.cursor;
        self.catch_up(reader);
        let messages = Messages::one(message.clone());
        Some(Some(Batch { messages, from, next: reader.cursor, gap: None }))
    }

    /// All up to the last id of the hub is read, or is in none of the reader's topics.
    fn catch_up(&self, reader: &mut Reader) {
        reader.cursor = self.last;
        reader.manner.show_all();
    }

    /// Up to where a reader misses messages that it was not told of.
    fn gap(&self, reader: &Reader) -> Option<Id> {
        let floors = reader.follows.iter().map(|follow| (self.floor(follow), follow));
        if self.is_foreign(reader) {
            return floors.map(|(floor, _)| floor).chain([self.start]).max();
        }
        let missed = |(floor, follow): &(Id, &Follow)| {
            let told = if follow.is_absent() { Id::EARLIEST } else { follow.told };
            *floor > reader.cursor.max(told)
        };
        floors.filter(missed).map(|(floor, _)| floor).max()
    }

    fn topic(&self, follow: &Follow) -> Option<&Topic> {
        self.topics.get(follow.topic()).map(|topic| &**topic)
    }

    fn floor(&self, follow: &Follow) -> Id {
        self.topic(follow).map_or(follow.told, |topic| topic.history.floor())
    }

    /// Whether a reader's cursor is of another log.
    fn is_foreign(&self, reader: &Reader) -> bool {
        reader.resets != self.resets
    }

    /// Whether a topic of the reader has a message behind its cursor.
    fn has_news(&self, reader: &Reader) -> bool {
        let newest = |follow: &Follow| self.topic(follow)?.newest();
        reader.cursor < self.last && reader.follows.iter().filter_map(newest).any(|id| id > reader.cursor)
    }

    /// Notes that the reader knows of its gap up to now.
    fn tell(&mut self, reader: &mut Reader) {
        self.gaps += 1;
        if self.is_foreign(reader) {
            // It may have values that were removed since, so that it is shown all removals.
            (reader.cursor, reader.resets) = (Id::EARLIEST, self.resets);
        }
        for follow in reader.follows.iter_mut() {
            follow.told = if follow.is_absent() { Id::EARLIEST } else { self.floor(follow) };
        }
    }

    /// The next messages of a reader in the order of their ids, and whether they are all.
    fn collect(&self, reader: &Reader) -> (Vec<Arc<Published>>, bool) {
        let shown = |message: &&Arc<Published>| reader.manner.shows(message.stamp.removal);
        // Most readers follow one topic.
        if let [follow] = &reader.follows[..] {
            let Some(topic) = self.topic(follow) else { return (Vec::new(), true) };
            let end = self.lost_end(topic, reader.cursor);
            return self.gather(topic.history.after(reader.cursor).filter(shown).chain(&end));
        }
        let topics = || reader.follows.iter().filter_map(|follow| self.topic(follow));
        let ends: Vec<_> = topics().map(|topic| self.lost_end(topic, reader.cursor)).collect();
        let rests = topics().zip(&ends).map(|(topic, end)| topic.history.after(reader.cursor).chain(end));
        let mut rests: Vec<_> = rests.map(Iterator::peekable).collect();
        let next = |(place, rest): (usize, &mut iter::Peekable<_>)| {
            rest.peek().map(|message: &&Arc<Published>| Reverse((message.id(), place)))
        };
        let mut heap: BinaryHeap<_> = rests.iter_mut().enumerate().filter_map(next).collect();
        let merged = iter::from_fn(|| {
            let Reverse((_, place)) = heap.pop()?;
            let rest = rests.get_mut(place)?;
            let message = rest.next();
            heap.extend(rest.peek().map(|message| Reverse((message.id(), place))));
            message
        });
        self.gather(merged.filter(shown))
    }

    /// The end of a topic behind a cursor, if its message has left: made anew for this reader, it counts with nothing.
    fn lost_end(&self, topic: &Topic, cursor: Id) -> Option<Arc<Published>> {
        let (id, reason) = topic.lost_end().filter(|(id, _)| *id > cursor)?;
        let (draft, stamp) = (Draft::end(&topic.name, reason), Stamp { at: Moment::UNKNOWN, removal: 0 });
        let end = Published::new(id, topic.name.clone(), draft, (false, stamp), &self.ledger);
        end.leave();
        Some(Arc::new(end))
    }

    /// Takes what fits in a batch, and whether that is all.
    fn gather<'m>(&self, rest: impl Iterator<Item = &'m Arc<Published>>) -> (Vec<Arc<Published>>, bool) {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        for message in rest {
            bytes += message.cost();
            if bytes > self.limits.batch && !messages.is_empty() {
                return (messages, false);
            }
            messages.push(message.clone());
        }
        (messages, true)
    }
}
