//! The hub against a naive model: every message ever sent in a plain `Vec`, and for each reader the ids that it
//! is owed. A reader may lose what it is owed only up to the id that a gap told it.
//!
//! Topics have different fates: feeds, devices with keys, answers that begin, end, are dropped and begin anew, some of
//! which keep all; messages come with ids from elsewhere, and some are too old when they come.
//!
//! All runs are drawn from a seed. `TIDINGS_SEEDS=n` sets how many, `TIDINGS_SEED=n` runs one and prints it.

#[path = "common/random.rs"]
mod random;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use random::Rng;
use tidings::{
    Batch, Bounds, Error, Frame, Hub, HubStats, Id, Limits, Message, Producer, Published, Subscription,
    TopicState,
};

const TOPICS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// A cursor below all others that are from elsewhere: it brings all that is kept, removals too.
const ELSEWHERE: Id = Id::new(0, 1);

/// An age that no run lasts, and more than that.
const AGE: Duration = Duration::from_secs(3_600);
const TOO_OLD: Duration = Duration::from_secs(7_200);

/// Prints the seed of a run that fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("TIDINGS_SEED={} shows this run", self.0);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    News,
    Removal,
    End,
}

/// A message that the hub took.
#[derive(Clone, Debug)]
struct Sent {
    id: Id,
    topic: usize,
    kind: Kind,
    key: Option<u8>,
    data: String,
    is_old: bool,
    /// A newer message of its topic has its key.
    replaced: bool,
}

impl Sent {
    fn message(&self) -> Message {
        let topic = TOPICS[self.topic];
        let message = match (self.kind, self.key) {
            (Kind::News, None) => Message::new(topic, self.data.as_str()),
            (Kind::News, Some(key)) => Message::new(topic, self.data.as_str()).key(&key.to_string()),
            (Kind::Removal, key) => Message::removal(topic, &key.unwrap_or(0).to_string()),
            (Kind::End, _) => Message::end(topic, &self.data),
        };
        if self.is_old { message.age(TOO_OLD) } else { message }
    }

    fn written(&self) -> usize {
        TOPICS[self.topic].len() + self.data.len() + self.key.map_or(0, |key| key.to_string().len())
    }
}

/// What messages count with beside their texts: without a key and with one.
fn overheads() -> (usize, usize) {
    let bytes = |message: Message| {
        let hub = Hub::new(&Limits::DEFAULT);
        hub.send(message).expect("room");
        hub.stats().bytes
    };
    (bytes(Message::new("a", "")), bytes(Message::new("a", "").key("1")) - 1)
}

/// A subscription, and what the model knows of it.
struct Reader {
    news: Subscription,
    topics: Vec<usize>,
    /// What it has, or knows to be none of its own.
    cursor: Id,
    /// Up to where it was told that messages may be missing.
    told: Id,
    /// Its cursor is of another log: the next batch must have a gap.
    foreign: bool,
    /// Removals up to here are hidden from it.
    hidden: Id,
    /// It was told of each topic's losses up to here.
    told_of: BTreeMap<usize, Id>,
}

/// One run: a hub with its limits, and all that ever happened to it.
struct Run {
    rng: Rng,
    trace: bool,
    limits: Limits,
    /// `history_bytes` is never reached.
    roomy: bool,
    keys: bool,
    /// Some messages are old when they come.
    ages: bool,
    /// Nothing is forgotten of what topics lost that are not there.
    exact: bool,
    overheads: (usize, usize),
    hub: Hub,
    sent: Vec<Sent>,
    /// Where the current log begins: in `sent`, and its floor.
    begin: (usize, Id),
    /// Where the life of each topic begins.
    lives: [Id; TOPICS.len()],
    /// For each topic: all up to here left when another topic needed the place, or by age.
    left: [Id; TOPICS.len()],
    producers: BTreeMap<usize, (Producer, Bounds)>,
    /// The ends of topics that are known.
    ends: BTreeMap<usize, Id>,
    /// Ended topics that keep all, and what is reserved for them.
    whole: BTreeSet<usize>,
    readers: Vec<Reader>,
    /// Every cursor that any reader ever saw.
    seen: Vec<Id>,
    /// Messages that someone still writes.
    held: Vec<Arc<Published>>,
    /// Bytes of the frames made of each message.
    framed: HashMap<Id, usize>,
    closed: bool,
}

impl Run {
    fn new(seed: u64, trace: bool) -> Run {
        let mut rng = Rng::new(seed);
        let mut limits = Limits::DEFAULT;
        let roomy = rng.one_in(2);
        limits.history = if rng.one_in(3) { 40 } else { 3 + rng.below(4) };
        let tight = if rng.one_in(3) { 18_000 } else { 4_000 };
        limits.history_bytes = if roomy { 8 << 20 } else { tight + rng.below(3 * tight) };
        limits.published = limits.history_bytes.min(24_000) / 4;
        limits.topics = 3 + rng.below(TOPICS.len());
        let exact = !rng.one_in(4);
        limits.forgotten = if exact { 1_000 } else { rng.below(4) };
        limits.message_age = rng.one_in(2).then_some(AGE);
        limits.topic_age = rng.one_in(3).then_some(AGE);
        let (hub, keys) = (Hub::new(&limits), rng.one_in(2));
        Run {
            rng,
            trace,
            roomy,
            keys,
            ages: true,
            exact,
            overheads: overheads(),
            sent: Vec::new(),
            begin: (0, hub.last()),
            lives: [hub.last(); TOPICS.len()],
            left: [Id::EARLIEST; TOPICS.len()],
            producers: BTreeMap::new(),
            ends: BTreeMap::new(),
            whole: BTreeSet::new(),
            readers: Vec::new(),
            seen: Vec::new(),
            held: Vec::new(),
            framed: HashMap::new(),
            closed: false,
            limits,
            hub,
        }
    }

    fn note(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{}", what());
        }
    }

    fn go(&mut self) {
        for _ in 0..40 + self.rng.below(120) {
            self.step();
            self.check();
        }
        self.close();
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..38 => self.publish(),
            38..45 => self.insert(),
            45..52 => self.begin_topic(),
            52..56 => self.end_topic(),
            56..64 => self.subscribe(),
            64..85 => self.read(),
            85..89 => self.leave(),
            89..95 => self.frame_held(),
            95..99 => self.audit(),
            _ => self.reset(),
        }
    }

    /// What holds after every step.
    fn check(&mut self) {
        // Before the look, since that lets leave what is too old.
        let stats = self.hub.stats();
        assert_eq!(stats.readers, self.readers.len());
        assert!(stats.topics <= self.limits.topics);
        assert!(self.exact || stats.forgotten <= self.limits.forgotten);
        self.check_states();
    }

    /// Each topic is where it should be in its life, or was forgotten; what is forgotten has left.
    fn check_states(&mut self) {
        let followed = self.followed();
        for (topic, name) in TOPICS.iter().enumerate() {
            let (stats, end) = (self.hub.topic(name), self.ends.get(&topic).copied());
            match stats.map(|stats| stats.state) {
                Some(TopicState::Running) => assert!(self.producers.contains_key(&topic)),
                Some(TopicState::Ended(id)) => assert_eq!(Some(id), end),
                Some(_) => assert!(!self.producers.contains_key(&topic) && end.is_none(), "{topic} is open"),
                None => {
                    assert!(!self.producers.contains_key(&topic) && !followed.contains(&topic));
                    self.forgotten(topic);
                }
            }
        }
    }

    /// A topic is not there: what it had has left.
    fn forgotten(&mut self, topic: usize) {
        self.left[topic] = self.hub.last();
        self.ends.remove(&topic);
        self.whole.remove(&topic);
    }

    /// What holds after every publish and every read.
    fn check_bytes(&self) {
        let (stats, keeps) = (self.hub.stats(), |topic: &usize| !self.keeps_all(*topic));
        if stats.bytes > self.limits.history_bytes {
            let may_leave: usize = (0..TOPICS.len()).filter(keeps).map(|topic| self.kept(topic).len()).sum();
            assert!(may_leave <= 1, "{stats:?}, {may_leave} of them may leave");
        }
        assert!(stats.reserved <= self.limits.history_bytes, "{stats:?}");
    }

    /// Whether nothing of a topic leaves for want of room.
    fn keeps_all(&self, topic: usize) -> bool {
        let producer = self.producers.get(&topic);
        self.whole.contains(&topic) || producer.is_some_and(|(_, bounds)| bounds.keep_all)
    }

    fn draw(&mut self) -> Sent {
        let most = if self.roomy { 3_000 } else { self.limits.history_bytes / 8 };
        let most = if self.rng.one_in(12) { self.limits.published * 4 / 3 } else { most };
        let most = *self.rng.pick(&[1, most / 8, most]);
        let mut data = format!("{}.", self.sent.len());
        data.push_str(&".".repeat(self.rng.below(most)));
        let key = (self.keys && self.rng.one_in(2)).then(|| self.rng.below(3) as u8);
        let is_removal = key.is_some() && self.rng.one_in(4);
        let (kind, data) = if is_removal { (Kind::Removal, String::new()) } else { (Kind::News, data) };
        // One topic is busier than the others.
        let topic = if self.rng.one_in(3) { 0 } else { self.rng.below(TOPICS.len()) };
        let is_old = self.rng.one_in(12) && self.ages;
        Sent { id: Id::EARLIEST, topic, kind, key, data, is_old, replaced: false }
    }

    fn publish(&mut self) {
        let sent = self.draw();
        let room = self.room_for(&[sent.topic]);
        let (last, before) = (self.hub.last(), self.settled());
        let took = match self.producers.get(&sent.topic) {
            Some((producer, _)) if !self.rng.one_in(8) => producer.send_message(sent.message()),
            Some(_) => {
                assert!(matches!(self.hub.send(sent.message()), Err(Error::Running | Error::TooLarge)));
                return;
            }
            None => self.hub.send(sent.message()),
        };
        match took {
            Ok(id) if id > last => self.took(Sent { id, ..sent }, room),
            Ok(id) => panic!("{id} is not above {last}"),
            Err(error) => self.refused(&sent, &error, room, (last, before)),
        }
    }

    fn insert(&mut self) {
        let mut sent = self.draw();
        if self.rng.one_in(6) {
            (sent.kind, sent.key, sent.data) = (Kind::End, None, "elsewhere".into());
        }
        let room = self.room_for(&[sent.topic]);
        let (last, before) = (self.hub.last(), self.settled());
        let id = match self.rng.below(5) {
            0 => last,
            1 => self.sent.first().map_or(Id::EARLIEST, |sent| sent.id),
            2 => Id::new(last.epoch() + 1, self.rng.below(3) as u64),
            _ => Id::new(last.epoch(), last.seq() + 1 + self.rng.below(6) as u64),
        };
        match self.hub.insert(id, sent.message()) {
            Ok(taken) => assert_eq!(taken, id > last),
            Err(Error::Running) => return assert!(self.producers.contains_key(&sent.topic)),
            Err(error) => return self.refused(&sent, &error, room, (last, before)),
        }
        if id > last {
            if self.ends.remove(&sent.topic).is_some() {
                self.new_life(sent.topic, last);
            }
            self.took(Sent { id, ..sent }, room);
        } else {
            assert_eq!(self.hub.stats(), before);
        }
    }

    /// All that a topic had has left.
    fn new_life(&mut self, topic: usize, last: Id) {
        (self.lives[topic], self.left[topic]) = (last, last);
        self.whole.remove(&topic);
    }

    fn begin_topic(&mut self) {
        // Rather one of the last, so that there are feeds as well.
        let topic = 3 + self.rng.below(TOPICS.len() - 3);
        let mut bounds = self.hub.bounds();
        bounds.messages = 1 + self.rng.below(20);
        if self.rng.one_in(2) {
            bounds = bounds.keep_all(self.limits.history_bytes / (2 + self.rng.below(6)));
        }
        let anew = self.rng.one_in(2);
        let room = self.room_for(&[topic]);
        let (last, before) = (self.hub.last(), self.settled());
        let reserved_of_others = before.reserved;
        let begun = match anew {
            true => self.hub.begin_anew(TOPICS[topic], &bounds),
            false => self.hub.begin_with(TOPICS[topic], &bounds),
        };
        self.note(|| format!("{} begins, anew {anew}, {bounds:?}: {begun:?}", TOPICS[topic]));
        match begun {
            Ok(producer) => {
                assert!(anew || !self.ends.contains_key(&topic));
                self.ends.remove(&topic);
                self.new_life(topic, last);
                self.made_room(room);
                self.producers.insert(topic, (producer, bounds));
                self.gave_back();
            }
            Err(Error::Running) => assert!(self.producers.contains_key(&topic)),
            Err(Error::Ended) => assert!(self.ends.contains_key(&topic) && !anew),
            Err(Error::Full) => {
                assert_eq!((self.hub.last(), self.hub.stats()), (last, before), "nothing is changed");
                let no_room =
                    bounds.keep_all && reserved_of_others + bounds.bytes + 2_000 > self.limits.history_bytes;
                assert!(no_room || room.is_none());
            }
            Err(error) => panic!("{error}"),
        }
        self.check_bytes();
    }

    /// Ended topics that keep all may have given back what was reserved for them: all of it.
    fn gave_back(&mut self) {
        let gone: Vec<usize> =
            self.whole.iter().copied().filter(|topic| self.kept(*topic).is_empty()).collect();
        for topic in gone {
            self.whole.remove(&topic);
        }
    }

    fn end_topic(&mut self) {
        let Some(topic) = self.producers.keys().copied().nth(self.rng.below(3)) else { return };
        let Some((producer, bounds)) = self.producers.remove(&topic) else { return };
        let last = self.hub.last();
        let (reason, id) = match self.rng.below(3) {
            0 => ("finished", producer.finish().expect("an end always has room")),
            1 => ("stopped", producer.finish_with("stopped").expect("an end always has room")),
            _ => {
                drop(producer);
                ("dropped", self.hub.last())
            }
        };
        assert!(id > last);
        self.note(|| format!("{} ends with {id}", TOPICS[topic]));
        if bounds.keep_all {
            self.whole.insert(topic);
        }
        let data = reason.to_owned();
        self.took(Sent { id, topic, kind: Kind::End, key: None, data, is_old: false, replaced: false }, None);
    }

    /// The figures when what is too old, or pushed out by frames, has left.
    fn settled(&self) -> HubStats {
        drop(self.hub.read(&[TOPICS[0]], None));
        self.hub.stats()
    }

    /// The topics that the hub has.
    fn there(&self) -> BTreeSet<usize> {
        let place = |name: &Arc<str>| TOPICS.iter().position(|topic| **topic == **name).expect("one of ours");
        self.hub.topics().iter().map(place).collect()
    }

    /// The topics that the hub should have with these, if it can have them: where it is full, those leave that
    /// nobody reads and that have no producer, first the oldest end, then the one whose newest message is the oldest.
    fn room_for(&self, wanted: &[usize]) -> Option<BTreeSet<usize>> {
        self.settled();
        let (mut room, followed) = (self.there(), self.followed());
        room.extend(wanted);
        while room.len() > self.limits.topics {
            let may_leave = |topic: &&usize| {
                !followed.contains(topic) && !self.producers.contains_key(topic) && !wanted.contains(topic)
            };
            let rank = |topic: &&usize| match self.ends.get(topic) {
                Some(end) => (false, *end),
                None => (true, self.kept(**topic).last().map_or(Id::EARLIEST, |message| message.id())),
            };
            let first = *room.iter().filter(may_leave).min_by_key(rank)?;
            room.remove(&first);
        }
        Some(room)
    }

    /// Notes which topics have left for others.
    fn made_room(&mut self, room: Option<BTreeSet<usize>>) {
        let (room, there) = (room.expect("all other topics have readers"), self.there());
        assert!(if self.roomy { there == room } else { there.is_subset(&room) }, "{there:?}, not {room:?}");
        for topic in (0..TOPICS.len()).filter(|topic| !room.contains(topic)) {
            self.forgotten(topic);
        }
    }

    /// A message is in: it is owed to all who follow its topic, in place of the one that it replaces.
    fn took(&mut self, sent: Sent, room: Option<BTreeSet<usize>>) {
        self.note(|| {
            format!(
                "{}: {} {:?} key {:?}, {}",
                sent.id,
                TOPICS[sent.topic],
                sent.kind,
                sent.key,
                sent.data.len()
            )
        });
        assert!(sent.kind == Kind::End || sent.written() <= self.limits.published);
        assert!(!self.closed && self.hub.last() == sent.id);
        let room = room.filter(|_| self.limits.message_age.is_none() && self.limits.topic_age.is_none());
        if let Some(room) = room {
            self.made_room(Some(room));
        }
        let life = self.lives[sent.topic];
        let same = |old: &&mut Sent| {
            sent.key.is_some() && (old.topic, old.key) == (sent.topic, sent.key) && old.id > life
        };
        let old = self.sent[self.begin.0..].iter_mut().rev().find(same);
        if let Some(old) = old {
            old.replaced = true;
        }
        if sent.kind == Kind::End {
            self.ends.insert(sent.topic, sent.id);
        }
        self.sent.push(sent);
        self.check_bytes();
    }

    fn refused(&self, sent: &Sent, error: &Error, room: Option<BTreeSet<usize>>, before: (Id, HubStats)) {
        assert_eq!((self.hub.last(), self.hub.stats()), before, "refused, so nothing is changed");
        match error {
            Error::TooLarge => assert!(sent.written() > self.limits.published),
            Error::Closed => assert!(self.closed),
            Error::Ended => assert!(self.ends.contains_key(&sent.topic)),
            Error::Full => match self.producers.get(&sent.topic) {
                Some((_, bounds)) => {
                    let (plain, keyed) = self.overheads;
                    let text = sent.data.len() + sent.key.map_or(plain, |key| keyed + key.to_string().len());
                    let stats = self.hub.topic(TOPICS[sent.topic]).expect("it runs");
                    assert!(
                        bounds.keep_all && stats.bytes + text > bounds.bytes,
                        "{stats:?} and {text} in {bounds:?}"
                    );
                }
                None => assert_eq!(room, None),
            },
            error => panic!("{error}"),
        }
    }

    /// What the log has sent in this topic behind a cursor, without what was replaced.
    fn sent_after(&self, topic: usize, cursor: Id) -> impl Iterator<Item = &Sent> {
        let sent = self.sent[self.begin.0..].iter();
        sent.filter(move |sent| topic == sent.topic && sent.id > cursor && !sent.replaced)
    }

    /// What the hub keeps of a topic.
    /// What can be read of a topic: what is kept, and its end, also if that is not.
    fn readable(&self, topic: usize) -> Vec<Arc<Published>> {
        let mut late = self.hub.read(&[TOPICS[topic]], Some(ELSEWHERE)).expect("it can be read");
        iter::from_fn(|| late.try_next()).flat_map(|batch| batch.messages).collect()
    }

    fn kept(&self, topic: usize) -> Vec<Arc<Published>> {
        let mut kept = self.readable(topic);
        let stats = self.hub.topic(TOPICS[topic]);
        let count = stats.as_ref().map_or(0, |stats| stats.messages);
        let is_ended = stats.is_some_and(|stats| matches!(stats.state, TopicState::Ended(_)));
        assert_eq!(kept.len(), if is_ended { count.max(1) } else { count }, "an end can be read always");
        kept.truncate(count);
        kept
    }

    fn kept_ids(&self, topic: usize) -> BTreeSet<Id> {
        self.kept(topic).iter().map(|message| message.id()).collect()
    }

    /// What of a topic behind a cursor has left, but not for a newer value.
    fn lost_after(&self, topic: usize, cursor: Id) -> Option<Id> {
        let kept = self.kept_ids(topic);
        self.sent_after(topic, cursor).map(|sent| sent.id).filter(|id| !kept.contains(id)).max()
    }

    /// Whether a key of a topic's life has no newest message any more, and that was a value.
    fn lacks_a_value(&self, topic: usize) -> bool {
        let kept = self.kept_ids(topic);
        let values = self
            .sent_after(topic, self.lives[topic])
            .filter(|sent| sent.kind == Kind::News && sent.key.is_some());
        values.into_iter().any(|sent| !kept.contains(&sent.id))
    }

    fn has_keys(&self, topic: usize) -> bool {
        self.sent.iter().any(|sent| sent.topic == topic && sent.key.is_some())
    }

    fn subscribe(&mut self) {
        let mut topics: Vec<usize> =
            (0..1 + self.rng.below(3)).map(|_| self.rng.below(TOPICS.len())).collect();
        // The hub gets the repeated ones as well.
        let names: Vec<&str> = topics.iter().map(|topic| TOPICS[*topic]).collect();
        topics.sort_unstable();
        topics.dedup();
        let (after, there) = (self.draw_cursor(), self.there());
        let (new, before) = (topics.iter().filter(|topic| !there.contains(topic)).count(), self.settled());
        self.note(|| format!("reader {} of {names:?} after {after:?}", self.readers.len()));
        let follows = self.rng.one_in(4);
        let subscribed = match follows {
            true => self.hub.follow(&names, after),
            false => self.hub.subscribe(&names, after),
        };
        match subscribed {
            Ok(news) => {
                assert!(!follows || new == 0);
                assert_eq!(self.hub.stats().messages, before.messages, "readers push out nothing");
                self.follow(news, topics, after);
            }
            Err(Error::Full) => {
                assert!(!follows && before.topics + new > self.limits.topics);
                assert_eq!(self.hub.stats(), before, "nothing is changed");
            }
            Err(Error::Fault(tidings::Fault::Topic)) => assert!(follows && new > 0),
            Err(error) => panic!("{error}"),
        }
    }

    fn draw_cursor(&mut self) -> Option<Id> {
        let last = self.hub.last();
        match self.rng.below(8) {
            0 | 1 => None,
            2 => Some(Id::EARLIEST),
            3 => Some(self.forge(last)),
            4 if !self.sent.is_empty() => Some(self.sent[self.rng.below(self.sent.len())].id),
            // Mostly one that was seen lately.
            _ if !self.seen.is_empty() => {
                let back = (*self.rng.pick(&[1, 8, self.seen.len()])).min(self.seen.len());
                Some(self.seen[self.seen.len() - 1 - self.rng.below(back)])
            }
            _ => Some(last),
        }
    }

    /// A cursor that no log gave out; the first is one that this log will reach soon.
    fn forge(&mut self, last: Id) -> Id {
        let soon = Id::new(last.epoch(), last.seq() + 1 + self.rng.below(9) as u64);
        *self.rng.pick(&[soon, Id::MAX, Id::new(last.epoch() - 1, 5), Id::new(last.epoch() + 1, 0)])
    }

    fn follow(&mut self, news: Subscription, topics: Vec<usize>, after: Option<Id>) {
        let last = self.hub.last();
        let cursor = after.unwrap_or(last);
        let is_fresh = after == Some(Id::EARLIEST);
        let foreign = !is_fresh && !(self.begin.1..=last).contains(&cursor);
        // Who begins with all that is kept knows that there was something before, unless that was the value of a key.
        let knows = |topic: &usize| {
            let lost = self.lost_after(*topic, Id::EARLIEST).unwrap_or(Id::EARLIEST);
            // A topic that fell out of what is known is taken for a plain feed until it has a key again.
            let is_whole = !self.exact || !self.lacks_a_value(*topic);
            let told = if is_fresh && is_whole { lost } else { Id::EARLIEST };
            (*topic, told)
        };
        let told_of = topics.iter().map(knows).collect();
        let hidden = if is_fresh { last } else { Id::EARLIEST };
        self.readers.push(Reader { news, topics, cursor, told: Id::EARLIEST, foreign, hidden, told_of });
    }

    fn read(&mut self) {
        if self.readers.is_empty() {
            return;
        }
        let place = self.rng.below(self.readers.len());
        self.settled();
        let due = self.due(place);
        let batch = self.readers[place].news.try_next();
        self.check_bytes();
        self.got(place, batch, due);
    }

    /// Up to where a reader is to be told of a gap now.
    fn due(&self, place: usize) -> Option<Id> {
        let reader = &self.readers[place];
        let floors = reader.topics.iter().filter_map(|topic| {
            let known = reader.cursor.max(reader.told_of[topic]);
            self.lost_after(*topic, if reader.foreign { Id::EARLIEST } else { known })
        });
        floors.chain(reader.foreign.then_some(self.begin.1)).max()
    }

    fn got(&mut self, place: usize, batch: Option<Batch>, due: Option<Id>) {
        self.check_done(place, batch.as_ref());
        let Some(batch) = batch else {
            assert_eq!(due, None, "a gap is due");
            assert_eq!(self.expected(place, self.hub.last()), [], "reader {place} is owed these");
            self.readers[place].cursor = self.hub.last();
            return;
        };
        let ids: Vec<Id> = batch.messages.iter().map(|message| message.id()).collect();
        self.note(|| format!("reader {place}: {ids:?} to {}, gap {:?}, due {due:?}", batch.next, batch.gap));
        self.bounds(place, &batch, &ids);
        self.check_gap(place, batch.gap, due);
        assert_eq!(ids, self.expected(place, batch.next), "what is kept behind the cursor");
        self.check_missed(place, &ids, batch.next);
        self.readers[place].cursor = batch.next;
        if batch.next == self.hub.last() {
            self.readers[place].hidden = Id::EARLIEST;
        }
        batch.messages.iter().for_each(|message| self.use_message(message));
    }

    /// A gap is told where one is due, up to where it is due, and hardly ever otherwise.
    fn check_gap(&mut self, place: usize, gap: Option<Id>, due: Option<Id>) {
        assert!(gap >= due, "{due:?} is due");
        let reader = &self.readers[place];
        let no_keys = reader.topics.iter().all(|topic| !self.has_keys(*topic));
        assert!(gap == due || !self.exact || !no_keys, "false alarm: {gap:?}, not {due:?}");
        let Some(until) = gap else { return };
        let lost: Vec<(usize, Id)> = reader
            .topics
            .iter()
            .filter_map(|topic| Some((*topic, self.lost_after(*topic, Id::EARLIEST)?)))
            .collect();
        let reader = &mut self.readers[place];
        reader.told = reader.told.max(until);
        reader.told_of.extend(lost);
        if reader.foreign {
            (reader.foreign, reader.cursor, reader.hidden) = (false, Id::EARLIEST, Id::EARLIEST);
        }
    }

    /// What a reader gets up to an id: all that can be read behind its cursor, but removals that it needs not know.
    fn expected(&self, place: usize, next: Id) -> Vec<Id> {
        let reader = &self.readers[place];
        let shown = |message: &Arc<Published>| !message.is_removed() || message.id() > reader.hidden;
        let kept = reader.topics.iter().flat_map(|topic| self.readable(*topic)).filter(shown);
        let ids: BTreeSet<Id> =
            kept.map(|message| message.id()).filter(|id| (reader.cursor..=next).contains(id)).collect();
        ids.into_iter().filter(|id| *id > reader.cursor).collect()
    }

    /// What was sent behind the cursor and did not come is at most where the gaps went.
    fn check_missed(&self, place: usize, ids: &[Id], next: Id) {
        let reader = &self.readers[place];
        for topic in &reader.topics {
            let known = reader.cursor.max(reader.told_of[topic]);
            for sent in
                self.sent_after(*topic, known).filter(|sent| sent.id <= next && !ids.contains(&sent.id))
            {
                let hidden = sent.kind == Kind::Removal && sent.id <= reader.hidden;
                assert!(hidden || sent.id <= reader.told, "false calm: {sent:?} is missing");
            }
        }
    }

    /// A reader is done when it has read the ends of all its topics, or a gap over them.
    fn check_done(&self, place: usize, batch: Option<&Batch>) {
        let reader = &self.readers[place];
        let cursor = batch.map_or(self.hub.last(), |batch| batch.next);
        let done = reader.topics.iter().all(|topic| self.ends.get(topic).is_some_and(|end| *end <= cursor));
        assert_eq!(reader.news.is_done(), done && !(reader.foreign && batch.is_none()), "reader {place}");
    }

    /// How the parts of a batch are to each other.
    fn bounds(&mut self, place: usize, batch: &Batch, ids: &[Id]) {
        assert!(batch.gap.is_some() || !ids.is_empty());
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.first().is_none_or(|first| batch.from < *first));
        assert!(ids.last().is_none_or(|last| *last <= batch.next));
        assert!(batch.from <= batch.next && batch.next <= self.hub.last());
        assert_eq!(self.readers[place].news.cursor(), batch.next);
        self.seen.extend([batch.from, batch.next].iter().chain(ids));
    }

    /// Looks at a message that a reader got, and sometimes frames or keeps it.
    fn use_message(&mut self, message: &Arc<Published>) {
        let Ok(place) = self.sent.binary_search_by_key(&message.id(), |sent| sent.id) else {
            panic!("{} was never sent", message.id());
        };
        let (sent, key) = (&self.sent[place], message.key().map(str::to_owned));
        assert_eq!((message.topic(), message.data()), (TOPICS[sent.topic], sent.data.as_str()));
        assert_eq!(key, sent.key.map(|key| key.to_string()));
        let kind = (message.is_removed(), message.is_end());
        assert_eq!(kind, (sent.kind == Kind::Removal, sent.kind == Kind::End));
        if self.rng.one_in(3) {
            self.frame(message);
        }
        if self.rng.one_in(10) {
            self.held.push(message.clone());
        }
    }

    fn frame(&mut self, message: &Published) {
        let (kind, size) = (*self.rng.pick(&[Frame::Sse, Frame::Json]), self.rng.below(400));
        let mut made = 0;
        let frame = message.frame(kind, |_| {
            made = size;
            vec![b'.'; size]
        });
        // Where it is not kept it is made for this reader alone.
        if matches!(frame, std::borrow::Cow::Borrowed(_)) {
            *self.framed.entry(message.id()).or_default() += made;
        }
    }

    /// Frames a message that may have left the history long ago.
    fn frame_held(&mut self) {
        if !self.held.is_empty() {
            let message = self.held.swap_remove(self.rng.below(self.held.len()));
            self.frame(&message);
        }
    }

    fn leave(&mut self) {
        if !self.readers.is_empty() {
            let place = self.rng.below(self.readers.len());
            let reader = self.readers.swap_remove(place);
            self.note(|| format!("reader {place} leaves, the last takes its place"));
            self.seen.push(reader.news.cursor());
        }
    }

    fn reset(&mut self) {
        let (last, more) = (self.hub.last(), self.rng.below(9) as u64);
        let (same, next) = (Id::new(last.epoch(), last.seq() + more), Id::new(last.epoch() + 1 + more, 0));
        let floor = *self.rng.pick(&[same, next]);
        self.note(|| format!("reset to {floor}"));
        self.hub.reset(floor);
        self.begin = (self.sent.len(), floor);
        (self.lives, self.left) = ([floor; TOPICS.len()], [Id::EARLIEST; TOPICS.len()]);
        self.ends.clear();
        self.whole.clear();
        for reader in &mut self.readers {
            (reader.foreign, reader.told) = (true, Id::EARLIEST);
            reader.told_of.values_mut().for_each(|told| *told = Id::EARLIEST);
        }
        let stats = self.hub.stats();
        let there =
            self.followed().into_iter().chain(self.producers.keys().copied()).collect::<BTreeSet<_>>();
        assert_eq!((stats.topics, stats.messages, stats.bytes), (there.len(), 0, stats.reserved));
    }

    fn followed(&self) -> BTreeSet<usize> {
        self.readers.iter().flat_map(|reader| reader.topics.iter().copied()).collect()
    }

    /// All that is kept, against all that was ever sent; and each byte of it.
    fn audit(&mut self) {
        self.check_states();
        let (mut messages, mut bytes) = (0, self.hub.stats().reserved);
        for topic in 0..TOPICS.len() {
            let kept = self.kept(topic);
            self.audit_topic(topic, &kept);
            messages += kept.len();
            let weigh = |message: &Arc<Published>| self.bytes(message, self.keeps_all(topic));
            bytes += kept.iter().map(weigh).sum::<usize>();
        }
        let stats = self.hub.stats();
        assert_eq!((stats.messages, stats.bytes), (messages, bytes));
    }

    /// What is kept of a topic is the newest of it; removals leave before all else.
    fn audit_topic(&self, topic: usize, kept: &[Arc<Published>]) {
        let ids: Vec<Id> = kept.iter().map(|message| message.id()).collect();
        let all: Vec<&Sent> = self.sent_after(topic, self.left[topic]).collect();
        let (removals, others): (Vec<&Sent>, Vec<&Sent>) =
            all.iter().partition(|sent| sent.kind == Kind::Removal);
        for same in [removals, others] {
            let same: Vec<Id> = same.iter().map(|sent| sent.id).collect();
            let kept: Vec<Id> = ids.iter().copied().filter(|id| same.contains(id)).collect();
            assert!(same.ends_with(&kept), "{kept:?} of {same:?}");
        }
        let no_age = self.limits.message_age.is_none() && self.limits.topic_age.is_none();
        if self.keeps_all(topic) && no_age {
            assert_eq!(ids.len(), all.len(), "{} keeps all", TOPICS[topic]);
        }
        if self.limits.message_age.is_some() {
            let first = ids.first().and_then(|id| all.iter().find(|sent| sent.id == *id));
            assert!(first.is_none_or(|sent| !sent.is_old), "{first:?} is too old");
        }
    }

    fn bytes(&self, message: &Published, is_reserved: bool) -> usize {
        let (plain, keyed) = self.overheads;
        let text = message.data().len() + message.key().map_or(plain, |key| keyed + key.len());
        let own = if is_reserved { 0 } else { text };
        own + self.framed.get(&message.id()).copied().unwrap_or(0)
    }

    /// After the end each reader still gets what is kept, and then the end.
    fn close(&mut self) {
        while !self.producers.is_empty() {
            self.end_topic();
        }
        self.hub.close();
        self.closed = true;
        assert!(matches!(self.hub.publish("a", ""), Err(Error::Closed)));
        assert!(matches!(self.hub.begin("a"), Err(Error::Closed)));
        for place in 0..self.readers.len() {
            loop {
                self.settled();
                let due = self.due(place);
                let batch = smol::block_on(self.readers[place].news.next());
                let is_end = batch.is_none();
                self.got(place, batch, due);
                if is_end {
                    break;
                }
            }
        }
        self.audit();
        self.readers.clear();
        assert_eq!(self.hub.stats().readers, 0);
        self.audit();
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn no_reader_loses_anything_in_silence() {
    if let Some(seed) = number("TIDINGS_SEED") {
        return Run::new(seed, true).go();
    }
    let seeds = number("TIDINGS_SEEDS").unwrap_or(2_000);
    let go = |first: u64| {
        for seed in (first..seeds).step_by(2) {
            let _seed = Seed(seed);
            Run::new(seed, false).go();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| go(0));
        go(1);
    });
}

/// A live reader of one topic that reads after every publish is never told a gap.
#[test]
fn a_prompt_reader_has_no_false_alarm() {
    for seed in 0..200 {
        let (_seed, mut run) = (Seed(seed), Run::new(seed, false));
        run.ages = false;
        let news = run.hub.subscribe(&["a"], None).expect("room");
        run.follow(news, vec![0], None);
        for _ in 0..100 {
            let before = run.sent.len();
            run.publish();
            let new = run.sent.get(before).filter(|sent| sent.topic == 0).map(|sent| sent.id);
            let batch = run.readers[0].news.try_next();
            assert!(batch.as_ref().is_none_or(|batch| batch.gap.is_none()), "false alarm");
            assert_eq!(batch.map(|batch| batch.messages[0].id()), new);
        }
    }
}

fn hub(history: usize) -> Hub {
    let mut limits = Limits::DEFAULT;
    limits.history = history;
    Hub::new(&limits)
}

/// Publishes 1 to 5 in `news`.
fn five(hub: &Hub) -> Vec<Id> {
    (1..=5).map(|n| hub.publish("news", n.to_string()).expect("room")).collect()
}

/// The texts that one gets who comes with this cursor, and whether a gap was told.
fn resume(hub: &Hub, after: Option<Id>) -> (String, bool) {
    let batch = hub.subscribe(&["news"], after).expect("room").try_next();
    batch.map_or_else(Default::default, |batch| {
        (batch.messages.iter().map(|message| message.data()).collect(), batch.gap.is_some())
    })
}

// With 3 of 5 kept, the second is the oldest cursor that misses nothing.

#[test]
fn after_the_newest_that_left_is_no_gap() {
    let hub = hub(3);
    let ids = five(&hub);
    assert_eq!(resume(&hub, Some(ids[1])), ("345".into(), false));
}

#[test]
fn after_one_before_it_is_a_gap() {
    let hub = hub(3);
    let ids = five(&hub);
    assert_eq!(resume(&hub, Some(ids[0])), ("345".into(), true));
}

#[test]
fn a_cursor_of_the_time_before_a_restart_is_a_gap() {
    let (old, new) = (hub(3), hub(3));
    // An epoch of its own, as after a restart: the clock gives two hubs of one test nearly the same.
    new.reset(Id::new(old.last().epoch() + 1, 0));
    let ids = five(&old);
    assert_eq!(resume(&new, Some(ids[4])), (String::new(), true));
    five(&new);
    assert_eq!(resume(&new, Some(ids[4])), ("345".into(), true));
}

#[test]
fn a_cursor_of_a_later_epoch_is_a_gap() {
    let (old, new) = (hub(3), hub(3));
    new.reset(Id::new(old.last().epoch() - 1, 0));
    five(&new);
    assert_eq!(resume(&new, Some(old.last())), ("345".into(), true));
}

#[test]
fn a_cursor_above_the_last_is_a_gap() {
    let hub = hub(3);
    let last = five(&hub)[4];
    assert_eq!(resume(&hub, Some(Id::new(last.epoch(), last.seq() + 1))), ("345".into(), true));
    assert_eq!(resume(&hub, Some(Id::MAX)), ("345".into(), true));
    assert_eq!(resume(&hub, Some(last)), (String::new(), false));
}

#[test]
fn earliest_and_no_cursor_are_never_a_gap() {
    let hub = hub(3);
    assert_eq!(resume(&hub, Some(Id::EARLIEST)), (String::new(), false));
    five(&hub);
    assert_eq!(resume(&hub, Some(Id::EARLIEST)), ("345".into(), false));
    assert_eq!(resume(&hub, None), (String::new(), false));
}

#[test]
fn what_a_newer_value_replaced_is_no_gap() {
    let hub = hub(3);
    let cursor = hub.last();
    for n in 1..=5 {
        hub.send(Message::new("news", n.to_string()).key("k")).expect("room");
    }
    assert_eq!(resume(&hub, Some(cursor)), ("5".into(), false));
}

#[test]
fn a_reset_is_a_gap_for_who_waits_in_silence() {
    let hub = hub(3);
    let (last, mut news) = (hub.last(), hub.subscribe(&["news"], None).expect("room"));
    // Also where ids go on as before, and where a backplane's clock is behind ours.
    for floor in [Id::new(last.epoch(), 7), Id::new(last.epoch(), 7), Id::new(last.epoch() - 9, 0)] {
        hub.reset(floor);
        assert!(news.try_next().is_some_and(|batch| batch.gap.is_some() && batch.messages.is_empty()));
        assert!(news.try_next().is_none(), "it is told once");
    }
}

#[test]
fn a_cursor_above_the_last_is_a_gap_also_when_the_log_has_passed_it() {
    let hub = hub(9);
    let last = hub.last();
    let mut news = hub.subscribe(&["news"], Some(Id::new(last.epoch(), last.seq() + 3))).expect("room");
    five(&hub);
    let batch = news.try_next().expect("a gap");
    assert_eq!((batch.gap, batch.messages.len()), (Some(last), 5));
}

#[test]
fn no_log_gives_out_earliest_as_a_cursor() {
    let hub = hub(1);
    hub.reset(Id::EARLIEST);
    let cursor = hub.last();
    assert!(cursor > Id::EARLIEST, "which is never a gap");
    five(&hub);
    assert_eq!(resume(&hub, Some(cursor)), ("5".into(), true));
}

#[test]
fn ids_never_go_backwards() {
    let hub = hub(3);
    let last = five(&hub)[4];
    // As a cursor it is of no log, so it is no id.
    assert!(matches!(hub.insert(Id::MAX, Message::new("news", "x")), Err(Error::Misuse(_))));
    assert_eq!(hub.last(), last);
    let end = Id::new(u64::MAX, u64::MAX - 1);
    assert!(hub.insert(end, Message::new("news", "6")).expect("the last id that there is"));
    assert!(matches!(hub.publish("news", "x"), Err(Error::Misuse(_))));
    assert_eq!(hub.last(), end);
    assert_eq!(resume(&hub, Some(last)), ("6".into(), false));
}

#[test]
fn a_topic_that_nobody_reads_leaves_for_a_new_one() {
    let mut limits = Limits::DEFAULT;
    limits.topics = 2;
    let hub = Hub::new(&limits);
    let (old, _) = (hub.publish("old", "1").expect("room"), hub.publish("news", "2").expect("room"));
    hub.publish("new", "3").expect("the place of the stalest");
    assert_eq!(resume(&hub, Some(old)), ("2".into(), false));
    // It begins again where it left, so who missed something hears of it.
    hub.publish("old", "4").expect("the place of the stalest");
    let mut late = hub.subscribe(&["old"], Some(Id::new(old.epoch(), 0))).expect("it is there");
    assert_eq!(late.try_next().expect("a gap").gap, Some(old));
    let _all_read = (hub.subscribe(&["old"], None), hub.subscribe(&["new"], None));
    assert!(matches!(hub.publish("other", "5"), Err(Error::Full)));
    assert!(matches!(hub.subscribe(&["other", "old"], None), Err(Error::Full)));
    assert_eq!((hub.stats().topics, hub.stats().readers), (2, 3));
}

#[test]
fn a_batch_of_small_messages_is_bounded_as_well() {
    let mut limits = Limits::DEFAULT;
    (limits.history, limits.history_bytes) = (50_000, 64 << 20);
    let hub = Hub::new(&limits);
    for _ in 0..50_000 {
        hub.publish("news", "").expect("room");
    }
    let mut late = hub.subscribe(&["news"], Some(Id::EARLIEST)).expect("room");
    let batches: Vec<usize> = iter::from_fn(|| late.try_next()).map(|batch| batch.messages.len()).collect();
    assert_eq!(batches.iter().sum::<usize>(), 50_000);
    assert!(batches.iter().all(|messages| messages * size_of::<Published>() <= limits.batch), "{batches:?}");
}

#[test]
fn earliest_is_no_gap_when_frames_push_messages_out() {
    let mut limits = Limits::DEFAULT;
    limits.history_bytes = 4_000;
    let hub = Hub::new(&limits);
    five(&hub);
    let batch = hub.subscribe(&["news"], Some(Id::EARLIEST)).expect("room").try_next().expect("five");
    batch.messages[4].frame(Frame::Sse, |_| vec![b'.'; 3_900]);
    assert_eq!(resume(&hub, Some(Id::EARLIEST)), ("5".into(), false));
}

#[test]
fn a_ring_that_shrinks_after_a_burst_loses_nothing_more() {
    let mut limits = Limits::DEFAULT;
    limits.history_bytes = 42_000;
    let hub = Hub::new(&limits);
    // A ring grows for the hundred small ones; the large ones push all but a few of them out.
    let sizes = iter::repeat_n(1, 100).chain([8_000; 4]).chain([4_000, 3_000]);
    let sent: Vec<Id> = sizes.map(|size| hub.publish("news", "x".repeat(size)).expect("room")).collect();
    let mut late = hub.subscribe(&["news"], Some(Id::EARLIEST)).expect("room");
    let batches = iter::from_fn(|| late.try_next());
    let kept: Vec<Id> = batches.flat_map(|batch| batch.messages).map(|message| message.id()).collect();
    assert!(kept.len() < 16 && sent.ends_with(&kept), "{} are kept", kept.len());
    assert_eq!(hub.stats().messages, kept.len());
}
