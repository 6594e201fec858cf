//! [`Hub`] and [`Subscription`]: publish once, and each reader follows the history with a cursor of its own. No
//! HTTP here.
//!
//! There is no queue per reader: the history is the queue, bounded for all together. Whoever is too slow for it
//! is told `gap`, and costs no memory.
//!
//! Everything happens under one lock: an id is taken and its message pushed, or a reader looks and leaves its
//! waker, as one step. So there is no moment between "nothing new" and "waiting" in which a message is missed.

mod history;
mod log;
mod message;
mod reader;
mod waiting;

use core::future::Future;
use core::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

pub use self::history::{Batch, Id, ParseIdError};
pub use self::message::{Frame, Message, Published};

use self::log::{Log, Woken};
use self::reader::Reader;
use self::waiting::wake_all;
use crate::error::Result;
use crate::limits::Limits;

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
    log: Arc<Mutex<Log>>,
}

impl Hub {
    /// An empty hub, with `topics`, `history` and `history_bytes` of these limits.
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
        // Random low bits: a device whose clock starts at the same second each time still gets a new epoch, so
        // that an old id is never taken for a new one.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        Hub::with_epoch(limits, (now & !0xffff) | u64::from(fastrand::u16(..)))
    }

    fn with_epoch(limits: &Limits, epoch: u64) -> Hub {
        Hub { log: Arc::new(Mutex::new(Log::new(limits, Id { epoch: epoch.max(1), seq: 0 }))) }
    }

    /// Publishes text in a topic; returns its id. It never waits for a reader.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge), [`Error::Full`](crate::Error::Full) if the topic would be one too
    /// many and all others have readers, [`Error::Closed`](crate::Error::Closed), and
    /// [`Error::Misuse`](crate::Error::Misuse) without a history.
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
        self.send(Message::new(topic, data))
    }

    /// Publishes a message, which may have a key or an event name; returns its id.
    ///
    /// # Errors
    ///
    /// Those of [`publish`](Hub::publish), and [`Error::Misuse`](crate::Error::Misuse) for an event name of more than
    /// one line.
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
        let (id, waiting) = {
            let mut log = self.lock();
            let id = log.last().successor();
            (id, log.push(id, message)?)
        };
        wake(waiting);
        Ok(id)
    }

    /// Takes a message with an id from elsewhere, as a backplane does; false, and nothing done, if the id is not
    /// above the last.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Hub::send), and [`Error::Misuse`](crate::Error::Misuse) for [`Id::MAX`].
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
        let waiting = {
            let mut log = self.lock();
            if id <= log.last() {
                return Ok(false);
            }
            log.push(id, message)?
        };
        wake(waiting);
        Ok(true)
    }

    /// Begins a new log whose ids are above `floor`: all that is kept is dropped, and every reader is told `gap`.
    /// Ids of the old log must not come again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Hub, Id, Limits};
    /// # let hub = Hub::new(&Limits::DEFAULT);
    /// let mut news = hub.subscribe(&["news"], None)?;
    /// hub.reset(Id::new(u64::MAX, 0));
    /// assert!(news.try_next().expect("a gap").gap);
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
        self.lock().last()
    }

    /// The topics that have a message or a reader, in no order.
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

    /// Follows topics from behind `after`, or from now on. Repeated topics count once.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) if a topic would be one too many, and all others have readers;
    /// [`Error::Misuse`](crate::Error::Misuse) for no topic at all, or with a history of 0 (between two polls there
    /// would be nothing to go on from).
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Hub, Id, Limits};
    /// # let hub = Hub::new(&Limits::DEFAULT);
    /// let id = hub.publish("news", "a")?;
    /// hub.publish("weather", "b")?;
    /// let mut resumed = hub.subscribe(&["news", "weather"], Some(id))?;
    /// assert_eq!(resumed.try_next().expect("b").messages[0].topic(), "weather");
    /// # tidings::Result::Ok(())
    /// ```
    pub fn subscribe(&self, topics: &[&str], after: Option<Id>) -> Result<Subscription> {
        let reader = self.lock().subscribe(topics, after)?;
        Ok(Subscription { hub: self.clone(), reader })
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes those who waited; called behind the lock, which they are going to take.
fn wake(waiting: Woken) {
    wake_all(waiting.into_iter().map(|(_, waker)| waker));
}

/// A hub's figures at one moment.
///
/// # Examples
///
/// See [`Hub::stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubStats {
    /// Topics that have a message or a reader; bounded by [`Limits::topics`].
    pub topics: usize,
    /// Messages that are kept.
    pub messages: usize,
    /// Bytes that they count with; bounded by [`Limits::history_bytes`] where it is more than one.
    pub bytes: usize,
    /// Subscriptions.
    pub readers: usize,
    /// Gaps told since the start.
    pub gaps: u64,
}

/// A reader's cursor into the history of some topics.
///
/// # Examples
///
/// See [`Hub`].
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    reader: Reader,
}

impl Subscription {
    /// What is new, if anything: messages, or a gap, or both. A batch is bounded, so ask again.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let mut news = hub.subscribe(&["news"], None)?;
    /// assert!(news.try_next().is_none());
    /// # tidings::Result::Ok(())
    /// ```
    pub fn try_next(&mut self) -> Option<Batch> {
        self.hub.lock().read(&mut self.reader)
    }

    /// Waits for what is new; `None` when the hub is closed and all was read.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again: the cursor moves only when a batch is returned.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// # smol::block_on(async {
    /// let mut news = hub.subscribe(&["news"], None)?;
    /// hub.publish("news", "hello")?;
    /// let batch = news.next().await.expect("the hub is open");
    /// assert_eq!(batch.messages[0].data(), "hello");
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    #[allow(clippy::should_implement_trait, reason = "clippy knows no async iterators")]
    pub fn next(&mut self) -> Next<'_> {
        Next { news: self }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Batch>> {
        // Declared before the lock, so dropped behind it: the task of a waker may hold a subscription itself.
        let _stale;
        let mut log = self.hub.lock();
        match log.read(&mut self.reader) {
            Some(batch) => Poll::Ready(Some(batch)),
            None if log.is_closed() => Poll::Ready(None),
            None => {
                _stale = log.wait(&mut self.reader, cx.waker());
                Poll::Pending
            }
        }
    }

    /// The cursor: what to resume from. All up to it was returned by [`try_next`](Subscription::try_next) or
    /// [`next`](Subscription::next), or is in none of the topics.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let id = hub.publish("news", "a")?;
    /// assert_eq!(hub.subscribe(&["news"], None)?.cursor(), id);
    /// # tidings::Result::Ok(())
    /// ```
    pub fn cursor(&self) -> Id {
        self.reader.cursor
    }
}

/// The future of [`Subscription::next`].
///
/// # Examples
///
/// See [`Subscription::next`].
#[derive(Debug)]
#[must_use = "it does nothing unless it is awaited"]
pub struct Next<'s> {
    // A type of its own, since it lies in the future of every connection that waits: an `async fn` would be copied
    // once for each function that hands it on.
    news: &'s mut Subscription,
}

impl Future for Next<'_> {
    type Output = Option<Batch>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Batch>> {
        self.news.poll_next(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let _stale = self.hub.lock().unsubscribe(&self.reader.follows);
    }
}
