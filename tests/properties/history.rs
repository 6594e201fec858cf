//! A hub against all that was ever sent, in a `Vec`: every reader gets what it should have next, or a gap.

use std::collections::BTreeSet;
use std::future::Future;
use std::iter;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tidings::{Batch, Error, Frame, Hub, Id, Limits, Message, Published, Subscription};

use super::input::{Flag, Input};

const TOPICS: [&str; 4] = ["a", "b", "c", "d"];

pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let mut model = Model::new(&mut input);
    while !input.is_empty() {
        model.step(&mut input);
        let stats = model.hub.stats();
        assert_eq!(stats.readers, model.readers.len());
        assert!(stats.topics <= model.limits.topics);
    }
    model.end();
}

/// A message that the hub took.
struct Sent {
    id: Id,
    topic: usize,
    key: Option<u8>,
    data: String,
    /// A newer one has its key.
    replaced: bool,
}

struct Reader {
    news: Subscription,
    topics: Vec<usize>,
    /// What it has.
    cursor: Id,
    /// Its cursor is of another log, so that a gap must come first.
    foreign: bool,
    /// What it will not get any more, and was told so; for `earliest`, what was gone before.
    pardoned: BTreeSet<Id>,
    /// Who is to be woken, while it waits.
    waits: Option<Arc<Flag>>,
}

struct Model {
    limits: Limits,
    hub: Hub,
    /// All of the log, from its begin.
    sent: Vec<Sent>,
    begin: Id,
    /// The lowest and the highest epoch so far.
    epochs: (u64, u64),
    readers: Vec<Reader>,
    /// Cursors that were seen.
    seen: Vec<Id>,
    messages: Vec<Arc<Published>>,
}

impl Model {
    fn new(input: &mut Input<'_>) -> Model {
        let mut limits = Limits::DEFAULT;
        limits.history = 1 + input.below(8);
        limits.history_bytes = 1_000 + 100 * usize::from(input.byte());
        limits.published = limits.history_bytes / 4;
        limits.topics = 1 + input.below(5);
        let hub = Hub::new(&limits);
        // Ids that are the same in each run.
        let begin = Id::new(1 << 32, 0);
        hub.reset(begin);
        let (sent, readers, seen, epochs) = (Vec::new(), Vec::new(), vec![begin], (1 << 32, 1 << 32));
        Model { limits, hub, sent, begin, epochs, readers, seen, messages: Vec::new() }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0..5 => self.publish(input),
            5 => self.insert(input),
            6 | 7 => self.subscribe(input),
            8..11 => self.read(input),
            11 | 12 => self.wait(input),
            13 => self.leave(input),
            14 => self.frame(input),
            _ if input.one_in(4) => self.reset(input),
            _ => self.audit(),
        }
    }

    fn draw(&self, input: &mut Input<'_>) -> Sent {
        let (topic, size) = (input.below(TOPICS.len()), input.byte());
        let key = (size % 2 == 1).then_some(size / 2 % 4);
        // Up to somewhat more than may be.
        let size = usize::from(size) * self.limits.history_bytes / 900;
        let data = format!("{:.<size$}", self.sent.len());
        Sent { id: Id::EARLIEST, topic, key, data, replaced: false }
    }

    fn publish(&mut self, input: &mut Input<'_>) {
        let (sent, last, before) = (self.draw(input), self.hub.last(), self.hub.stats());
        match self.hub.send(sent.message()) {
            Ok(id) => {
                assert!(id > last);
                self.took(Sent { id, ..sent });
            }
            Err(error) => {
                // What frames have pushed out may leave with any look.
                let settled = before.bytes <= self.limits.history_bytes;
                assert_eq!(self.hub.last(), last);
                assert!(!settled || self.hub.stats() == before, "refused, so nothing is changed");
                self.refused(&sent, &error);
            }
        }
    }

    fn insert(&mut self, input: &mut Input<'_>) {
        let (sent, last) = (self.draw(input), self.hub.last());
        let id = match input.byte() {
            0 => last,
            1 => Id::new(last.epoch() + 1, 0),
            2 => Id::new(last.epoch() - 1, 9),
            more => Id::new(last.epoch(), last.seq() + u64::from(more)),
        };
        match self.hub.insert(id, sent.message()) {
            Ok(true) => self.took(Sent { id, ..sent }),
            Ok(false) => assert!(id <= last && self.hub.last() == last),
            Err(error) => self.refused(&sent, &error),
        }
    }

    fn took(&mut self, sent: Sent) {
        assert!(self.hub.last() == sent.id && sent.size() <= self.limits.published);
        let stats = self.hub.stats();
        assert!(stats.messages <= 1 || stats.bytes <= self.limits.history_bytes, "{stats:?}");
        for old in self.sent.iter_mut().filter(|old| old.topic == sent.topic) {
            old.replaced |= sent.key.is_some() && old.key == sent.key;
        }
        for reader in self.readers.iter_mut().filter(|reader| reader.topics.contains(&sent.topic)) {
            assert!(reader.waits.take().is_none_or(|flag| flag.take()), "who waited was not woken");
        }
        self.sent.push(sent);
    }

    fn refused(&self, sent: &Sent, error: &Error) {
        match error {
            Error::TooLarge => assert!(sent.size() > self.limits.published),
            Error::Full => assert!(self.are_read(sent.topic), "there is room"),
            error => panic!("{error}"),
        }
    }

    fn subscribe(&mut self, input: &mut Input<'_>) {
        let mut topics = vec![input.below(TOPICS.len())];
        if input.one_in(2) {
            topics.push(input.below(TOPICS.len()));
        }
        let names: Vec<&str> = topics.iter().map(|topic| TOPICS[*topic]).collect();
        topics.sort_unstable();
        topics.dedup();
        let last = self.hub.last();
        let after = match input.byte() {
            0 => None,
            1 => Some(Id::EARLIEST),
            2 => Some(Id::MAX),
            3 => Some(Id::new(last.epoch(), last.seq() + 3)),
            4 => Some(Id::new(self.begin.epoch() - 1, 3)),
            5 => Some(Id::new(self.begin.epoch(), self.begin.seq() + 1)),
            back => Some(self.seen[self.seen.len().saturating_sub(back.into())]),
        };
        let (kept, is_full) = (self.kept_of(&topics), self.is_full(&topics));
        let Ok(news) = self.hub.subscribe(&names, after) else {
            assert!(is_full, "there is room");
            return;
        };
        let (cursor, mut pardoned) = (after.unwrap_or(last), BTreeSet::new());
        if cursor == Id::EARLIEST {
            pardoned = self.sent.iter().map(|sent| sent.id).filter(|id| !kept.contains(id)).collect();
        }
        let foreign = cursor != Id::EARLIEST && !(self.begin..=last).contains(&cursor);
        self.readers.push(Reader { news, topics, cursor, foreign, pardoned, waits: None });
    }

    fn read(&mut self, input: &mut Input<'_>) {
        if let Some(place) = self.place(input) {
            let batch = self.readers[place].news.try_next();
            self.got(place, batch);
        }
    }

    /// Reads, and waits if there is nothing.
    fn wait(&mut self, input: &mut Input<'_>) {
        let Some(place) = self.place(input) else { return };
        let flag = Arc::new(Flag::default());
        let waker = flag.clone().into();
        let next = pin!(self.readers[place].news.next()).poll(&mut Context::from_waker(&waker));
        match next {
            Poll::Ready(batch) => self.got(place, Some(batch.expect("the hub is open"))),
            Poll::Pending => {
                self.got(place, None);
                self.readers[place].waits = Some(flag);
            }
        }
    }

    fn place(&self, input: &mut Input<'_>) -> Option<usize> {
        let place = input.byte();
        (!self.readers.is_empty()).then(|| usize::from(place) % self.readers.len())
    }

    /// What a reader must get: all of its topics behind its cursor that was not replaced.
    fn owed(&self, reader: &Reader) -> Vec<Id> {
        let owed = |sent: &&Sent| {
            !sent.replaced
                && sent.id > reader.cursor
                && reader.topics.contains(&sent.topic)
                && !reader.pardoned.contains(&sent.id)
        };
        self.sent.iter().filter(owed).map(|sent| sent.id).collect()
    }

    fn got(&mut self, place: usize, batch: Option<Batch>) {
        let Some(batch) = batch else {
            assert!(!self.readers[place].foreign, "another log's cursor and no gap");
            assert_eq!(self.owed(&self.readers[place]), [], "false calm");
            self.readers[place].cursor = self.readers[place].news.cursor();
            return;
        };
        assert!(batch.gap.is_some() || !batch.messages.is_empty(), "nothing");
        if let Some(until) = batch.gap {
            self.pardon(place, until);
        }
        assert!(!self.readers[place].foreign, "another log's cursor and no gap");
        let owed = self.owed(&self.readers[place]);
        let expected: Vec<Id> = owed.into_iter().take_while(|id| *id <= batch.next).collect();
        let ids: Vec<Id> = batch.messages.iter().map(|message| message.id()).collect();
        assert_eq!(ids, expected, "gap {:?}", batch.gap);
        for message in &batch.messages {
            let sent = self.sent.iter().find(|sent| sent.id == message.id()).expect("it was sent");
            assert_eq!((message.topic(), message.data()), (TOPICS[sent.topic], &sent.data[..]));
        }
        assert!(batch.from <= batch.next && batch.next <= self.hub.last());
        assert!(ids.first().is_none_or(|first| batch.from < *first));
        self.seen.extend([batch.from, batch.next]);
        self.messages.extend(batch.messages);
        let reader = &mut self.readers[place];
        assert_eq!(reader.news.cursor(), batch.next);
        reader.cursor = batch.next;
    }

    /// A reader was told of a gap up to here: it is owed what is kept, and all that comes behind.
    fn pardon(&mut self, place: usize, until: Id) {
        let kept = self.kept_of(&self.readers[place].topics);
        if self.readers[place].foreign {
            assert!(until >= self.begin, "{until} is before the log");
            (self.readers[place].foreign, self.readers[place].cursor) = (false, Id::EARLIEST);
        }
        let owed = self.owed(&self.readers[place]).into_iter();
        let lost: Vec<Id> = owed.filter(|id| *id <= until && !kept.contains(id)).collect();
        self.readers[place].pardoned.extend(lost);
    }

    fn leave(&mut self, input: &mut Input<'_>) {
        if let Some(place) = self.place(input) {
            self.seen.push(self.readers[place].news.cursor());
            self.readers.swap_remove(place);
        }
    }

    /// Makes a frame of a message that was read, which adds to the bytes of the hub.
    fn frame(&mut self, input: &mut Input<'_>) {
        let (back, size) = (usize::from(input.byte()), usize::from(input.byte()));
        if let Some(message) = self.messages.iter().rev().nth(back % 16) {
            message.frame(input.pick(&[Frame::Sse, Frame::Json]), |_| vec![b'.'; size]);
        }
    }

    fn reset(&mut self, input: &mut Input<'_>) {
        let (last, more) = (self.hub.last(), u64::from(input.byte()));
        // Above all ids that there were, also just where they ended, or below them.
        self.epochs = (self.epochs.0 - 1, self.epochs.1.max(last.epoch()) + 1);
        let (low, high) = self.epochs;
        let here = Id::new(last.epoch(), last.seq() + more);
        self.begin = input.pick(&[here, last, Id::new(low, more), Id::new(high, more)]);
        self.hub.reset(self.begin);
        self.sent.clear();
        for reader in &mut self.readers {
            reader.pardoned.clear();
            reader.foreign = true;
            assert!(reader.waits.take().is_none_or(|flag| flag.take()), "who waited was not woken");
        }
        let stats = self.hub.stats();
        assert_eq!((self.hub.last(), stats.messages, stats.bytes), (self.begin, 0, 0));
    }

    /// The topics that the hub has.
    fn there(&self) -> BTreeSet<usize> {
        let topics = self.hub.topics();
        (0..TOPICS.len()).filter(|topic| topics.iter().any(|name| **name == *TOPICS[*topic])).collect()
    }

    /// Whether there is no place for these topics beside those that are there.
    fn is_full(&self, wanted: &[usize]) -> bool {
        self.there().into_iter().chain(wanted.iter().copied()).collect::<BTreeSet<_>>().len()
            > self.limits.topics
    }

    /// Whether all places are taken by other topics that have readers.
    fn are_read(&self, wanted: usize) -> bool {
        let read = self.readers.iter().flat_map(|reader| &reader.topics).copied().collect::<BTreeSet<_>>();
        !read.contains(&wanted) && read.len() >= self.limits.topics
    }

    /// What the hub keeps of a topic, as one sees who has a cursor from elsewhere.
    fn kept(&self, topic: usize) -> Vec<Id> {
        let mut late = self.hub.read(&[TOPICS[topic]], Some(Id::new(0, 1))).expect("it can be read");
        let batches = iter::from_fn(|| late.try_next());
        batches.flat_map(|batch| batch.messages).map(|message| message.id()).collect()
    }

    fn kept_of(&self, topics: &[usize]) -> BTreeSet<Id> {
        topics.iter().flat_map(|topic| self.kept(*topic)).collect()
    }

    /// What is kept is the newest of each topic, and within the limits.
    fn audit(&self) {
        let mut messages = 0;
        for topic in 0..TOPICS.len() {
            let kept = self.kept(topic);
            let all = self.sent.iter().filter(|sent| sent.topic == topic && !sent.replaced);
            let all: Vec<Id> = all.map(|sent| sent.id).collect();
            assert!(kept.len() <= self.limits.history && all.ends_with(&kept), "{kept:?} of {all:?}");
            messages += kept.len();
        }
        assert_eq!(self.hub.stats().messages, messages);
    }

    /// After the end, readers still get what is kept, and then the end.
    fn end(&mut self) {
        self.audit();
        self.hub.close();
        assert!(matches!(self.hub.publish("a", ""), Err(Error::Closed)));
        for place in 0..self.readers.len() {
            let waits = self.readers[place].waits.take();
            assert!(waits.is_none_or(|flag| flag.take()), "who waited was not woken");
            while let Some(batch) = self.readers[place].news.try_next() {
                self.got(place, Some(batch));
            }
            self.got(place, None);
        }
        self.readers.clear();
        let stats = self.hub.stats();
        assert_eq!(stats.readers, 0);
        assert!(stats.messages > 0 || (stats.topics, stats.bytes) == (0, 0), "{stats:?}");
    }
}

impl Sent {
    fn message(&self) -> Message {
        let message = Message::new(TOPICS[self.topic], self.data.as_str());
        match self.key {
            Some(key) => message.key(&key.to_string()),
            None => message,
        }
    }

    fn size(&self) -> usize {
        TOPICS[self.topic].len() + self.data.len() + self.key.map_or(0, |key| key.to_string().len())
    }
}
