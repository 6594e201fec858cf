//! The hub against a naive model: every message ever sent in a plain `Vec`, and for each reader the ids that it
//! is owed. A reader may lose what it is owed only with a gap.
//!
//! All runs are drawn from a seed. `TIDINGS_SEEDS=n` sets how many, `TIDINGS_SEED=n` runs one and prints it.

#[path = "common/random.rs"]
mod random;

use std::collections::{BTreeSet, HashMap};
use std::iter;
use std::sync::Arc;

use random::Rng;
use tidings::{Batch, Error, Frame, Hub, HubStats, Id, Limits, Message, Published, Subscription};

const TOPICS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Prints the seed of a run that fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("TIDINGS_SEED={} shows this run", self.0);
        }
    }
}

/// A message that the hub took.
struct Sent {
    id: Id,
    topic: usize,
    key: Option<u8>,
    data: String,
    /// A newer message of its topic has its key.
    replaced: bool,
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

/// A subscription, and what the model knows of it.
struct Reader {
    news: Subscription,
    topics: Vec<usize>,
    /// What it must get, or a gap.
    owed: BTreeSet<Id>,
    /// Its cursor is of another log: the next batch must have a gap.
    foreign: bool,
    /// A gap without a loss would be a false alarm that even this hub has no excuse for.
    exact: bool,
}

/// One run: a hub with its limits, and all that ever happened to it.
struct Run {
    rng: Rng,
    trace: bool,
    limits: Limits,
    /// `history_bytes` is never reached.
    roomy: bool,
    keys: bool,
    hub: Hub,
    sent: Vec<Sent>,
    /// Where the current log begins: in `sent`, and its floor.
    begin: (usize, Id),
    /// For each topic: all up to here left when another topic needed the room.
    left: [Id; TOPICS.len()],
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
        let tight = if rng.one_in(3) { 12_000 } else { 1_500 };
        limits.history_bytes = if roomy { 4 << 20 } else { tight + rng.below(3 * tight) };
        limits.topics = 3 + rng.below(TOPICS.len());
        let (hub, keys) = (Hub::new(&limits), rng.one_in(2));
        let begin = (0, hub.last());
        let (sent, readers, seen, held) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (framed, closed, left) = (HashMap::new(), false, [Id::EARLIEST; TOPICS.len()]);
        Run { rng, trace, limits, roomy, keys, hub, sent, begin, left, readers, seen, held, framed, closed }
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
            0..44 => self.publish(),
            44..52 => self.insert(),
            52..62 => self.subscribe(),
            62..85 => self.read(),
            85..90 => self.leave(),
            90..96 => self.frame_held(),
            96..99 => self.audit(),
            _ => self.reset(),
        }
    }

    /// What holds after every step.
    fn check(&self) {
        let stats = self.hub.stats();
        assert_eq!(stats.readers, self.readers.len());
        assert!(stats.topics <= self.limits.topics);
    }

    /// What holds after every publish and every read.
    fn check_bytes(&self) {
        let stats = self.hub.stats();
        assert!(stats.messages <= 1 || stats.bytes <= self.limits.history_bytes, "{stats:?}");
    }

    fn draw(&mut self) -> Sent {
        let most = if self.roomy { 3_000 } else { self.limits.history_bytes / 6 };
        let most = if self.rng.one_in(12) { self.limits.history_bytes / 3 } else { most };
        let most = *self.rng.pick(&[1, most / 8, most]);
        let mut data = format!("{}.", self.sent.len());
        data.push_str(&".".repeat(self.rng.below(most)));
        let key = (self.keys && self.rng.one_in(2)).then(|| self.rng.below(3) as u8);
        // One topic is busier than the others.
        let topic = if self.rng.one_in(3) { 0 } else { self.rng.below(TOPICS.len()) };
        Sent { id: Id::EARLIEST, topic, key, data, replaced: false }
    }

    fn publish(&mut self) {
        let sent = self.draw();
        let room = self.room_for(&[sent.topic]);
        let (last, before) = (self.hub.last(), self.hub.stats());
        match self.hub.send(sent.message()) {
            Ok(id) if id > last => self.took(Sent { id, ..sent }, room),
            Ok(id) => panic!("{id} is not above {last}"),
            Err(error) => self.refused(&sent, &error, room, (last, before)),
        }
    }

    fn insert(&mut self) {
        let sent = self.draw();
        let room = self.room_for(&[sent.topic]);
        let (last, before) = (self.hub.last(), self.hub.stats());
        let id = match self.rng.below(5) {
            0 => last,
            1 => self.sent.first().map_or(Id::EARLIEST, |sent| sent.id),
            2 => Id::new(last.epoch() + 1, self.rng.below(3) as u64),
            _ => Id::new(last.epoch(), last.seq() + 1 + self.rng.below(6) as u64),
        };
        match self.hub.insert(id, sent.message()) {
            Ok(taken) => assert_eq!(taken, id > last),
            Err(error) => return self.refused(&sent, &error, room, (last, before)),
        }
        if id > last { self.took(Sent { id, ..sent }, room) } else { assert_eq!(self.hub.stats(), before) }
    }

    /// The topics that the hub has.
    fn there(&self) -> BTreeSet<usize> {
        let place = |name: &Arc<str>| TOPICS.iter().position(|topic| **topic == **name).expect("one of ours");
        self.hub.topics().iter().map(place).collect()
    }

    /// The topics that the hub should have with these, if it can have them: where it is full, those leave that
    /// nobody reads, first the one whose newest message is the oldest.
    fn room_for(&self, wanted: &[usize]) -> Option<BTreeSet<usize>> {
        // A subscription lets that leave which the frames since the last look push out.
        drop(
            self.there()
                .first()
                .map(|topic| self.hub.subscribe(&[TOPICS[*topic]], None).expect("it is there")),
        );
        let (mut room, followed) = (self.there(), self.followed());
        room.extend(wanted);
        while room.len() > self.limits.topics {
            let unread = room.iter().filter(|topic| !followed.contains(topic) && !wanted.contains(topic));
            let stalest =
                *unread.min_by_key(|topic| self.kept(**topic).last().map(|message| message.id()))?;
            room.remove(&stalest);
        }
        Some(room)
    }

    /// Notes which topics have left for others.
    fn made_room(&mut self, room: Option<BTreeSet<usize>>) {
        let (room, there) = (room.expect("all other topics have readers"), self.there());
        assert!(if self.roomy { there == room } else { there.is_subset(&room) }, "{there:?}, not {room:?}");
        for topic in (0..TOPICS.len()).filter(|topic| !room.contains(topic)) {
            self.left[topic] = self.hub.last();
        }
    }

    /// A message is in: it is owed to all who follow its topic, in place of the one that it replaces.
    fn took(&mut self, sent: Sent, room: Option<BTreeSet<usize>>) {
        self.made_room(room);
        self.note(|| format!("{}: {} key {:?}, {}", sent.id, TOPICS[sent.topic], sent.key, sent.data.len()));
        assert!(!self.closed && sent.size() <= self.limits.history_bytes / 4 && self.hub.last() == sent.id);
        let same = |old: &&mut Sent| sent.key.is_some() && (old.topic, old.key) == (sent.topic, sent.key);
        let old = self.sent[self.begin.0..].iter_mut().rev().find(same);
        let old = old.map(|old| (old.replaced = true, old.id).1);
        for reader in self.readers.iter_mut().filter(|reader| reader.topics.contains(&sent.topic)) {
            reader.owed.insert(sent.id);
            old.map(|old| reader.owed.remove(&old));
        }
        self.sent.push(sent);
        self.check_bytes();
    }

    fn refused(&self, sent: &Sent, error: &Error, room: Option<BTreeSet<usize>>, before: (Id, HubStats)) {
        assert_eq!((self.hub.last(), self.hub.stats()), before, "refused, so nothing is changed");
        match error {
            Error::TooLarge => assert!(sent.size() > self.limits.history_bytes / 4),
            Error::Closed => assert!(self.closed),
            Error::Full => assert_eq!(room, None),
            error => panic!("{error}"),
        }
    }

    /// Whether no message is about to leave for the frames that were made since the last look.
    fn settled(&self, stats: &HubStats) -> bool {
        stats.bytes <= self.limits.history_bytes
    }

    /// What the log has sent in these topics behind a cursor, without what was replaced.
    fn sent_after<'a>(&'a self, topics: &'a [usize], cursor: Id) -> impl Iterator<Item = Id> + 'a {
        let sent = self.sent[self.begin.0..].iter();
        sent.filter(move |sent| topics.contains(&sent.topic) && sent.id > cursor && !sent.replaced)
            .map(|s| s.id)
    }

    /// What the hub keeps of a topic, as one sees who comes late.
    fn kept(&self, topic: usize) -> Vec<Arc<Published>> {
        // To look at one that is not there might push another out.
        if !self.there().contains(&topic) {
            return Vec::new();
        }
        let mut late = self.hub.subscribe(&[TOPICS[topic]], Some(Id::EARLIEST)).expect("it is there");
        let batches = iter::from_fn(|| late.try_next());
        batches.inspect(|batch| assert!(!batch.gap, "earliest is no gap")).flat_map(|b| b.messages).collect()
    }

    fn kept_of(&self, topics: &[usize]) -> BTreeSet<Id> {
        topics.iter().flat_map(|topic| self.kept(*topic)).map(|message| message.id()).collect()
    }

    fn subscribe(&mut self) {
        let mut topics: Vec<usize> =
            (0..1 + self.rng.below(3)).map(|_| self.rng.below(TOPICS.len())).collect();
        // The hub gets the repeated ones as well.
        let names: Vec<&str> = topics.iter().map(|topic| TOPICS[*topic]).collect();
        topics.sort_unstable();
        topics.dedup();
        let (room, after, kept) = (self.room_for(&topics), self.draw_cursor(), self.kept_of(&topics));
        let before = self.hub.stats();
        self.note(|| format!("reader {} of {names:?} after {after:?}", self.readers.len()));
        match self.hub.subscribe(&names, after) {
            Ok(news) => {
                self.made_room(room);
                self.follow(news, topics, after, kept);
            }
            Err(Error::Full) => assert_eq!((room, self.hub.stats()), (None, before), "nothing is changed"),
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

    fn follow(&mut self, news: Subscription, topics: Vec<usize>, after: Option<Id>, kept: BTreeSet<Id>) {
        let own = self.begin.1..=self.hub.last();
        let (owed, foreign) = match after {
            None => (BTreeSet::new(), false),
            Some(Id::EARLIEST) => (kept, false),
            Some(id) => (self.sent_after(&topics, id).collect(), !own.contains(&id)),
        };
        let fresh = after.is_none_or(|id| id == Id::EARLIEST);
        let exact = fresh && !self.keys && topics.len() == 1;
        self.readers.push(Reader { news, topics, owed, foreign, exact });
    }

    fn read(&mut self) {
        if self.readers.is_empty() {
            return;
        }
        let place = self.rng.below(self.readers.len());
        let batch = self.readers[place].news.try_next();
        self.check_bytes();
        self.got(place, batch);
    }

    fn got(&mut self, place: usize, batch: Option<Batch>) {
        let Some(batch) = batch else {
            let reader = &self.readers[place];
            assert!(!reader.foreign, "another log's cursor and no gap");
            assert!(reader.owed.is_empty(), "reader {place} is owed {:?}", reader.owed);
            return;
        };
        let ids: Vec<Id> = batch.messages.iter().map(|message| message.id()).collect();
        self.note(|| format!("reader {place}: {ids:?} to {}, gap {}", batch.next, batch.gap));
        self.bounds(place, &batch, &ids);
        if batch.gap {
            self.forgive(place);
        }
        let reader = &mut self.readers[place];
        assert!(!reader.foreign, "another log's cursor and no gap");
        for id in &ids {
            assert!(reader.owed.remove(id), "{id} came twice, or is not for this reader");
        }
        let missed: Vec<&Id> = reader.owed.range(..=batch.next).collect();
        assert!(missed.is_empty(), "false calm: {missed:?} are missing");
        batch.messages.iter().for_each(|message| self.use_message(message));
    }

    /// How the parts of a batch are to each other.
    fn bounds(&mut self, place: usize, batch: &Batch, ids: &[Id]) {
        assert!(batch.gap || !ids.is_empty());
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.first().is_none_or(|first| batch.from < *first));
        assert!(ids.last().is_none_or(|last| *last <= batch.next));
        assert!(batch.from <= batch.next && batch.next <= self.hub.last());
        assert_eq!(self.readers[place].news.cursor(), batch.next);
        self.seen.extend([batch.from, batch.next].iter().chain(ids));
    }

    /// A gap was told: of what was owed, only what is kept still is.
    fn forgive(&mut self, place: usize) {
        let kept = self.kept_of(&self.readers[place].topics);
        let reader = &mut self.readers[place];
        let lost = reader.owed.iter().any(|id| !kept.contains(id));
        assert!(lost || reader.foreign || !reader.exact, "false alarm");
        // A reader of another log gets all that there is.
        let owed = if reader.foreign { kept } else { &reader.owed & &kept };
        (reader.owed, reader.foreign) = (owed, false);
    }

    /// Looks at a message that a reader got, and sometimes frames or keeps it.
    fn use_message(&mut self, message: &Arc<Published>) {
        let Ok(place) = self.sent.binary_search_by_key(&message.id(), |sent| sent.id) else {
            panic!("{} was never sent", message.id());
        };
        let (sent, key) = (&self.sent[place], message.key().map(str::to_owned));
        assert_eq!((message.topic(), message.data()), (TOPICS[sent.topic], sent.data.as_str()));
        assert_eq!(key, sent.key.map(|key| key.to_string()));
        if self.rng.one_in(3) {
            self.frame(message);
        }
        if self.rng.one_in(10) {
            self.held.push(message.clone());
        }
    }

    fn frame(&mut self, message: &Published) {
        let (kind, size) = (*self.rng.pick(&[Frame::Sse, Frame::Json]), self.rng.below(400));
        let framed = self.framed.entry(message.id()).or_default();
        message.frame(kind, |_| {
            *framed += size;
            vec![b'.'; size]
        });
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
        self.left = [Id::EARLIEST; TOPICS.len()];
        for reader in &mut self.readers {
            reader.owed.clear();
            reader.foreign = true;
        }
        let stats = self.hub.stats();
        assert_eq!((stats.topics, stats.messages, stats.bytes), (self.followed().len(), 0, 0));
    }

    fn followed(&self) -> BTreeSet<usize> {
        self.readers.iter().flat_map(|reader| reader.topics.iter().copied()).collect()
    }

    /// All that is kept, against all that was ever sent; and each byte of it.
    fn audit(&self) {
        let (mut topics, mut messages, mut bytes) = (0, 0, 0);
        let (mut oldest, mut pushed_out) = (Id::MAX, Id::EARLIEST);
        // Before the look: it would tidy up what was left behind.
        let (before, followed) = (self.hub.stats(), self.followed());
        for topic in 0..TOPICS.len() {
            let kept = self.kept(topic);
            let ids: Vec<Id> = kept.iter().map(|message| message.id()).collect();
            let all: Vec<Id> = self.sent_after(&[topic], self.left[topic]).collect();
            assert!(ids.len() <= self.limits.history && all.ends_with(&ids), "{ids:?} of {all:?}");
            assert!(!self.roomy || ids.len() == all.len().min(self.limits.history), "{ids:?} of {all:?}");
            oldest = ids.first().map_or(oldest, |id| oldest.min(*id));
            // A ring that is not full lost its last message to the bytes of the hub.
            if ids.len() < self.limits.history {
                pushed_out = all[..all.len() - ids.len()].last().map_or(pushed_out, |id| pushed_out.max(*id));
            }
            topics += usize::from(followed.contains(&topic) || !ids.is_empty());
            messages += ids.len();
            bytes += kept.iter().map(|message| self.bytes(message)).sum::<usize>();
        }
        let stats = self.hub.stats();
        assert_eq!((stats.topics, stats.messages, stats.bytes), (topics, messages, bytes));
        assert!(before == stats || !self.settled(&before), "{before:?} before, {stats:?} after a look");
        assert!(pushed_out < oldest, "{pushed_out} has left before {oldest}, which is older");
    }

    fn bytes(&self, message: &Published) -> usize {
        let text = message.topic().len() + message.data().len() + message.key().map_or(0, str::len);
        size_of::<Published>() + text + self.framed.get(&message.id()).copied().unwrap_or(0)
    }

    /// After the end each reader still gets what is kept, and then the end.
    fn close(&mut self) {
        self.hub.close();
        self.closed = true;
        assert!(matches!(self.hub.publish("a", ""), Err(Error::Closed)));
        for place in 0..self.readers.len() {
            while let Some(batch) = smol::block_on(self.readers[place].news.next()) {
                self.got(place, Some(batch));
            }
            self.got(place, None);
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
        let news = run.hub.subscribe(&["a"], None).expect("room");
        run.follow(news, vec![0], None, BTreeSet::new());
        for _ in 0..100 {
            let before = run.sent.len();
            run.publish();
            let new = run.sent.get(before).filter(|sent| sent.topic == 0).map(|sent| sent.id);
            let batch = run.readers[0].news.try_next();
            assert!(batch.as_ref().is_none_or(|batch| !batch.gap), "false alarm");
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
        (batch.messages.iter().map(|message| message.data()).collect(), batch.gap)
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
        assert!(news.try_next().is_some_and(|batch| batch.gap && batch.messages.is_empty()));
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
    assert_eq!((batch.gap, batch.messages.len()), (true, 5));
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
    let read = hub.subscribe(&["new"], None).expect("the room of the stalest");
    assert_eq!(resume(&hub, Some(old)), ("2".into(), false));
    // It begins again where it left, so who missed something hears of it.
    drop(read);
    hub.publish("old", "3").expect("room");
    assert!(
        hub.subscribe(&["old"], Some(Id::new(old.epoch(), 0))).expect("room").try_next().expect("a gap").gap
    );
    let _all_read = (hub.subscribe(&["old"], None), hub.subscribe(&["news"], None));
    assert!(matches!(hub.publish("new", "4"), Err(Error::Full)));
    assert!(matches!(hub.subscribe(&["new", "old"], None), Err(Error::Full)));
    assert_eq!((hub.stats().topics, hub.stats().readers), (2, 2));
}

#[test]
fn what_is_asked_for_together_makes_no_room_for_each_other() {
    let mut limits = Limits::DEFAULT;
    limits.topics = 2;
    let hub = Hub::new(&limits);
    hub.publish("stale", "1").expect("room");
    hub.publish("fresh", "2").expect("room");
    let mut news =
        hub.subscribe(&["new", "stale", "new"], Some(Id::EARLIEST)).expect("the room of the fresh");
    assert_eq!(news.try_next().expect("the stale").messages[0].data(), "1");
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
    assert!(batches.iter().all(|messages| messages * size_of::<Published>() <= 4096), "{batches:?}");
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
    limits.history_bytes = 40_000;
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
