//! [`Hub`] and [`Subscription`]: publish once, and each reader follows the history with a cursor of its own. No
//! HTTP here.
//!
//! There is no queue per reader: the history is the queue, bounded for all together. Whoever is too slow for it
//! is told `gap`, and costs no memory.
//!
//! Everything happens under one lock: an id is taken and its message pushed, or a reader looks and leaves its
//! waker, as one step. So there is no moment between "nothing new" and "waiting" in which a message is missed.
//!
//! What is there by name: `log` holds all topics in a slab, `topic` is one, `history` its messages. `orders` says which
//! topic is next when something must leave, `losses` what is known of those that left, `ledger` counts bytes. `reading`,
//! `lives` and `leaving` are the other parts of the log: readers, how topics begin and end, and what leaves.

mod batch;
mod bounds;
mod clock;
mod history;
mod id;
mod leaving;
mod ledger;
mod lives;
mod log;
mod losses;
mod message;
mod orders;
mod producer;
mod published;
mod reader;
mod reading;
mod stats;
mod subscription;
mod topic;
mod waiting;

use core::hash::{BuildHasher, Hash};
use core::time::Duration;
use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

pub use self::batch::{Batch, Messages};
pub use self::bounds::Bounds;
pub use self::id::{Id, ParseIdError};
pub use self::message::Message;
pub use self::producer::{Producer, Stopped};
pub use self::published::{Frame, Published};
pub use self::stats::{HubStats, TopicState, TopicStats};
pub use self::subscription::{Next, Subscription};

use self::log::{Log, Woken};
use self::message::{Draft, Kind, Parts};
use self::waiting::wake_all;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// What hashes names and keys: with a secret of this hub, so that nobody can choose names of one hash.
type Hasher = RandomState;

/// Where messages are published and kept; a clone is another handle to the same.
///
/// # Examples
///
/// ```
/// use tidings::{Hub, Limits};
///
/// let hub = Hub::new(&Limits::DEFAULT);
/// let mut news = hub.subscribe(&["news"], None)?;
/// let id = hub.publish("news", "hello")?;
/// let batch = news.try_next().expect("a message");
/// assert_eq!(batch.messages[0].data(), "hello");
/// assert_eq!(batch.next, id);
/// # tidings::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

/// What all handles of a hub share.
#[derive(Debug)]
struct Shared {
    /// For what is judged before the lock is taken.
    limits: Limits,
    log: Mutex<Log>,
}

impl Hub {
    /// An empty hub with the limits that are a hub's, from `topics` on.
    ///
    /// The epoch of its ids is the time in milliseconds and 20 random bits: two hubs that begin in the same millisecond,
    /// as of a device whose clock starts at the same time again and again, have the same epoch once in a million
    /// (2^20). Only then may a cursor of the one be taken for a cursor of the other.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Hub, Limits};
    /// let mut limits = Limits::DEFAULT;
    /// limits.history = 16;
    /// let hub = Hub::new(&limits);
    /// ```
    pub fn new(limits: &Limits) -> Hub {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        let epoch = now << 20 | u64::from(fastrand::u32(..1 << 20));
        // `0-0` is written for `earliest`.
        let log = Log::new(limits, Id { epoch: epoch.max(1), seq: 0 });
        Hub { shared: Arc::new(Shared { limits: limits.clone(), log: Mutex::new(log) }) }
    }

    /// The limits that it was made with.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Hub, Limits};
    /// let hub = Hub::new(&Limits::DEFAULT);
    /// assert_eq!(hub.limits().topics, Limits::DEFAULT.topics);
    /// ```
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Publishes text in a topic; returns its id. It never waits for a reader.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`]; [`Error::Running`] if the topic has a [`Producer`], and [`Error::Ended`] behind its end;
    /// [`Error::Full`] if the topic would be one too many and all others have readers or producers; [`Error::Closed`];
    /// [`Error::Misuse`] without a history.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let first = hub.publish("news", "a")?;
    /// assert!(hub.publish("news", "b")? > first);
    /// # tidings::Result::Ok(())
    /// ```
    pub fn publish(&self, topic: &str, data: impl Into<Arc<str>>) -> Result<Id> {
        self.publish_parts(topic, Parts::new(Kind::News, data.into()), Duration::ZERO)
    }

    /// Publishes a message, which may have a key or an event name; returns its id.
    ///
    /// # Errors
    ///
    /// Those of [`publish`](Hub::publish), and [`Error::Misuse`] for an event name of more than one line.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::Message;
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// hub.send(Message::new("sensors", "20.5").key("cellar"))?;
    /// hub.send(Message::new("sensors", "20.6").key("cellar"))?;
    /// let mut late = hub.subscribe(&["sensors"], Some(tidings::Id::EARLIEST))?;
    /// let batch = late.try_next().expect("the newest value");
    /// assert_eq!((batch.messages.len(), batch.messages[0].data()), (1, "20.6"));
    /// # tidings::Result::Ok(())
    /// ```
    pub fn send(&self, message: Message) -> Result<Id> {
        self.publish_parts(&message.topic, message.parts, message.age)
    }

    fn publish_parts(&self, topic: &str, parts: Parts, age: Duration) -> Result<Id> {
        let draft = Draft::new(topic, parts, age, self.limits())?;
        let (id, waiting) = self.lock().publish(draft)?;
        wake(waiting);
        Ok(id)
    }

    /// Publishes that the value of a key is no more; returns the id. Readers get a message with the key and without text
    /// ([`Published::is_removed`]), but not those who begin with all that is kept: they just don't get the value. A later
    /// value replaces it. Where messages must leave, removals leave first.
    ///
    /// # Errors
    ///
    /// Those of [`publish`](Hub::publish).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{Id, Message};
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// hub.send(Message::new("sensors", "20.5").key("cellar"))?;
    /// let mut reader = hub.subscribe(&["sensors"], None)?;
    /// hub.remove("sensors", "cellar")?;
    /// let removal = reader.try_next().expect("the removal").messages[0].clone();
    /// assert!(removal.is_removed() && removal.key() == Some("cellar"));
    /// assert!(hub.subscribe(&["sensors"], Some(Id::EARLIEST))?.try_next().is_none());
    /// # tidings::Result::Ok(())
    /// ```
    pub fn remove(&self, topic: &str, key: &str) -> Result<Id> {
        let mut parts = Parts::new(Kind::Removal, "".into());
        parts.key = Some(key.into());
        self.publish_parts(topic, parts, Duration::ZERO)
    }

    /// Takes a message with an id from elsewhere, as a backplane does; false, and nothing done, if the id is not
    /// above the last. Behind a topic's end it begins a new life of the topic. [`Message::age`] says how long ago it was
    /// published.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Hub::send) but [`Error::Ended`], and [`Error::Misuse`] for [`Id::MAX`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{Id, Message};
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// hub.reset(Id::new(1_700_000_000_000, 0));
    /// let id = Id::new(1_700_000_000_001, 3);
    /// assert!(hub.insert(id, Message::new("news", "a"))?);
    /// assert!(!hub.insert(id, Message::new("news", "a"))?);
    /// # tidings::Result::Ok(())
    /// ```
    pub fn insert(&self, id: Id, message: Message) -> Result<bool> {
        let draft = Draft::new(&message.topic, message.parts, message.age, self.limits())?;
        let waiting = self.lock().insert(id, draft)?;
        Ok(waiting.map(wake).is_some())
    }

    /// Begins a new log whose ids are above `floor`: all that is kept is dropped, and every reader is told `gap`.
    /// Ids of the old log must not come again. What has ended is not known any more; what runs goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Hub, Id, Limits};
    /// # let hub = Hub::new(&Limits::DEFAULT);
    /// let mut news = hub.subscribe(&["news"], None)?;
    /// hub.reset(Id::new(u64::MAX, 0));
    /// assert_eq!(news.try_next().expect("a gap").gap, Some(hub.last()));
    /// # tidings::Result::Ok(())
    /// ```
    pub fn reset(&self, floor: Id) {
        let waiting = self.lock().reset(floor);
        wake(waiting);
    }

    /// Closes the hub for good: readers get what is kept and then the end, publishing fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// hub.close();
    /// assert!(matches!(hub.publish("news", "late"), Err(tidings::Error::Closed)));
    /// ```
    pub fn close(&self) {
        let waiting = self.lock().close();
        wake(waiting);
    }

    /// Whether the hub is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// assert!(!hub.is_closed());
    /// hub.clone().close();
    /// assert!(hub.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed()
    }

    /// The last id, or where the log began.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let id = hub.publish("news", "a")?;
    /// assert_eq!(hub.last(), id);
    /// # tidings::Result::Ok(())
    /// ```
    pub fn last(&self) -> Id {
        self.lock().last
    }

    /// The topics that have a message, a reader, a producer or an end that is known, in no order.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// hub.publish("news", "a")?;
    /// let weather = hub.subscribe(&["weather"], None)?;
    /// assert_eq!(hub.topics().len(), 2);
    /// drop(weather);
    /// assert_eq!(*hub.topics(), ["news".into()]);
    /// # tidings::Result::Ok(())
    /// ```
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.lock().topics()
    }

    /// The figures of this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// hub.publish("news", "a")?;
    /// assert_eq!((hub.stats().topics, hub.stats().messages), (1, 1));
    /// # tidings::Result::Ok(())
    /// ```
    pub fn stats(&self) -> HubStats {
        self.lock().stats()
    }

    /// A topic's figures, if it is there.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::TopicState;
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// assert!(hub.topic("answer").is_none());
    /// let answer = hub.begin("answer")?;
    /// assert_eq!(hub.topic("answer").expect("it runs").state, TopicState::Running);
    /// let end = answer.finish()?;
    /// assert_eq!(hub.topic("answer").expect("it is known").state, TopicState::Ended(end));
    /// # tidings::Result::Ok(())
    /// ```
    pub fn topic(&self, topic: &str) -> Option<TopicStats> {
        self.lock().topic_stats(topic)
    }

    /// The value of a key, if it is kept.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::Message;
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// hub.send(Message::new("sensors", "20.5").key("cellar"))?;
    /// assert_eq!(hub.latest("sensors", "cellar").expect("a value").data(), "20.5");
    /// hub.remove("sensors", "cellar")?;
    /// assert!(hub.latest("sensors", "cellar").is_none());
    /// # tidings::Result::Ok(())
    /// ```
    pub fn latest(&self, topic: &str, key: &str) -> Option<Arc<Published>> {
        let mut log = self.lock();
        log.expire();
        log.history(topic)?.latest(key).filter(|message| message.is_value()).cloned()
    }

    /// The cursor behind which the last so many messages of a topic come; [`Id::EARLIEST`] if no more are kept.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// for line in ["a", "b", "c"] {
    ///     hub.publish("log", line)?;
    /// }
    /// let mut reader = hub.subscribe(&["log"], Some(hub.before_last("log", 2)))?;
    /// let lines = reader.try_next().expect("two lines").messages;
    /// assert_eq!((lines.len(), lines[0].data()), (2, "b"));
    /// # tidings::Result::Ok(())
    /// ```
    pub fn before_last(&self, topic: &str, messages: usize) -> Id {
        let mut log = self.lock();
        log.expire();
        log.history(topic).map_or(Id::EARLIEST, |history| history.before_last(messages))
    }

    fn check_history(&self) -> Result<()> {
        if self.limits().history == 0 {
            return Err(Error::Misuse("without a history nothing can be read"));
        }
        Ok(())
    }

    fn check_names(&self, names: &[&str]) -> Result<()> {
        if names.iter().any(|name| name.len() > self.limits().name) { Err(Error::TooLarge) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes those who waited; called behind the lock, which they are going to take.
fn wake(waiting: Woken) {
    wake_all(waiting.into_iter().map(|(_, waker)| waker));
}

/// Gives memory back after a crowd; a table that shrinks by half keeps half of the rest for growth.
fn shrink<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if table.capacity() > 32 && table.len() < table.capacity() / 4 {
        table.shrink_to(table.len() * 2);
    }
}
