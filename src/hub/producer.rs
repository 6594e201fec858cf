//! [`Producer`]: who alone publishes in a topic that it has begun, and ends it.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::message::{Draft, Kind, Parts};
use super::waiting::Place;
use super::{Bounds, Hub, Id, Message, wake};
use crate::error::{Error, Result};

/// Who alone publishes in a topic that it has begun: the answer of a model, the progress of a job, the log of a build.
///
/// Dropped without [`finish`](Producer::finish), it ends its topic all the same, and readers see why: `dropped`, or
/// `panicked`. While it lives the topic is not forgotten, though its messages may leave.
///
/// # Examples
///
/// ```
/// use tidings::{Error, Hub, Limits};
///
/// let hub = Hub::new(&Limits::DEFAULT);
/// let answer = hub.begin("answers/1")?;
/// assert!(matches!(hub.begin("answers/1"), Err(Error::Running)));
/// let mut reader = hub.subscribe(&["answers/1"], None)?;
/// answer.send("Once upon a time")?;
/// answer.finish()?;
/// let batch = reader.try_next().expect("a piece and the end");
/// assert_eq!(batch.messages[0].data(), "Once upon a time");
/// assert!(batch.messages[1].is_end());
/// assert!(matches!(hub.begin("answers/1"), Err(Error::Ended)));
/// # tidings::Result::Ok(())
/// ```
#[derive(Debug)]
#[must_use = "dropped, it ends its topic"]
pub struct Producer {
    hub: Hub,
    topic: Arc<str>,
    /// Where the topic is: it stays there while this lives.
    key: u32,
    has_ended: bool,
}

impl Producer {
    pub(super) fn new(hub: Hub, topic: &str, key: u32) -> Producer {
        Producer { hub, topic: topic.into(), key, has_ended: false }
    }

    /// The name of the topic.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// assert_eq!(hub.begin("answers/1")?.topic(), "answers/1");
    /// # tidings::Result::Ok(())
    /// ```
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Publishes text; returns its id. It never waits for a reader.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`]; [`Error::Full`] if the topic keeps all and has no room; [`Error::Closed`].
    ///
    /// # Examples
    ///
    /// See [`Producer`].
    pub fn send(&self, data: impl Into<Arc<str>>) -> Result<Id> {
        self.publish(Parts::new(Kind::News, data.into()), Duration::ZERO)
    }

    /// Publishes a message, which may have a key or an event name; returns its id.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Producer::send), and [`Error::Misuse`] for a message of another topic, for an end, and for an
    /// event name of more than one line.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::Message;
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let build = hub.begin("builds/7")?;
    /// build.send_message(Message::new("builds/7", "50 %").key("progress").event("progress"))?;
    /// # tidings::Result::Ok(())
    /// ```
    pub fn send_message(&self, message: Message) -> Result<Id> {
        if message.topic != self.topic {
            return Err(Error::Misuse("a producer publishes in its own topic"));
        }
        self.publish(message.parts, message.age)
    }

    fn publish(&self, parts: Parts, age: Duration) -> Result<Id> {
        let draft = Draft::new(&self.topic, parts, age, self.hub.limits())?;
        let (id, waiting) = self.hub.lock().produce(self.key, draft)?;
        wake(waiting);
        Ok(id)
    }

    /// Ends the topic: its last message is the end, with the reason `finished`. Returns its id.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], and [`Error::Misuse`] when the ids of the log are used up; never for want of room. The topic has
    /// ended also then.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let end = hub.begin("answer")?.finish()?;
    /// let mut late = hub.subscribe(&["answer"], Some(tidings::Id::EARLIEST))?;
    /// let last = late.try_next().expect("the end").messages[0].clone();
    /// assert_eq!((last.is_end(), last.id(), last.data()), (true, end, "finished"));
    /// # tidings::Result::Ok(())
    /// ```
    pub fn finish(self) -> Result<Id> {
        self.finish_with("finished")
    }

    /// Ends the topic with a reason of one's own.
    ///
    /// # Errors
    ///
    /// Those of [`finish`](Producer::finish), and [`Error::TooLarge`] for a reason longer than
    /// [`Limits::name`](crate::Limits::name)(crate::Limits::name): the topic ends as if the producer were dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let answer = hub.begin("answer")?;
    /// hub.stop("answer");
    /// if answer.is_stopped() {
    ///     answer.finish_with("stopped")?;
    /// }
    /// # tidings::Result::Ok(())
    /// ```
    pub fn finish_with(mut self, reason: &str) -> Result<Id> {
        if reason.len() > self.hub.limits().name {
            return Err(Error::TooLarge);
        }
        self.end(reason)
    }

    fn end(&mut self, reason: &str) -> Result<Id> {
        self.has_ended = true;
        let (stopped, ended) = {
            let mut log = self.hub.lock();
            (log.stopped(self.key), log.end(self.key, reason))
        };
        wake(stopped);
        let (id, waiting) = ended?;
        wake(waiting);
        Ok(id)
    }

    /// Waits until somebody calls [`Hub::stop`] for this topic, or the hub is closed. Nothing is done to the topic: the
    /// producer ends it when it hears of this.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// # smol::block_on(async {
    /// let answer = hub.begin("answer")?;
    /// assert!(hub.stop("answer"));
    /// answer.stopped().await;
    /// answer.finish_with("stopped")?;
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn stopped(&self) -> Stopped<'_> {
        Stopped { producer: self, place: None, has_joined: false }
    }

    /// Whether somebody has called [`Hub::stop`] for this topic, or the hub is closed.
    ///
    /// # Examples
    ///
    /// See [`finish_with`](Producer::finish_with).
    pub fn is_stopped(&self) -> bool {
        let mut log = self.hub.lock();
        log.is_closed() || log.running(self.key).is_none_or(|running| running.stopping)
    }

    /// For how long nobody has read the topic: zero while somebody does. A client that comes back within a few seconds,
    /// as an EventSource or a long poll does, is nobody meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// # use core::time::Duration;
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let answer = hub.begin("answer")?;
    /// let reader = hub.subscribe(&["answer"], None)?;
    /// assert_eq!(answer.unread_for(), Duration::ZERO);
    /// # tidings::Result::Ok(())
    /// ```
    pub fn unread_for(&self) -> Duration {
        let mut log = self.hub.lock();
        let now = log.clock.now();
        log.running(self.key)
            .and_then(|running| running.unread)
            .map_or(Duration::ZERO, |since| now.since(since))
    }
}

impl Hub {
    /// Begins a topic: its [`Producer`] alone publishes in it, and ends it. Whether it was there is judged in the same
    /// step, so that of two who begin an answer one gets it, and the other one follows it.
    ///
    /// A topic begins empty: what was published in it before leaves. Its name is best a fresh one for each answer: who
    /// comes back late would take another answer of the same name for the one that it knew.
    ///
    /// # Errors
    ///
    /// [`Error::Running`] if it has a producer, [`Error::Ended`] if its end is known; [`Error::Full`] if it would be one
    /// too many and all others have readers or producers; [`Error::TooLarge`] for a name longer than [`Limits::name`](crate::Limits::name);
    /// [`Error::Closed`]; [`Error::Misuse`] without a history.
    ///
    /// # Examples
    ///
    /// See [`Producer`].
    pub fn begin(&self, topic: &str) -> Result<Producer> {
        self.begin_life(topic, None, false)
    }

    /// Begins a topic with bounds of its own, which it may keep all within ([`Bounds::keep_all`]).
    ///
    /// # Errors
    ///
    /// Those of [`begin`](Hub::begin), and [`Error::Full`] if the bytes that it is to keep can't be reserved.
    ///
    /// # Examples
    ///
    /// See [`Bounds::keep_all`].
    pub fn begin_with(&self, topic: &str, bounds: &Bounds) -> Result<Producer> {
        self.begin_life(topic, Some(bounds), false)
    }

    /// Begins a topic also if it has ended before. It goes on in the same ids: who has read its earlier end gets what
    /// comes now, who has not is told of a gap.
    ///
    /// # Errors
    ///
    /// Those of [`begin_with`](Hub::begin_with) but [`Error::Ended`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// hub.begin("game")?.finish()?;
    /// let again = hub.begin_anew("game", &hub.bounds())?;
    /// again.send("white moves")?;
    /// # tidings::Result::Ok(())
    /// ```
    pub fn begin_anew(&self, topic: &str, bounds: &Bounds) -> Result<Producer> {
        self.begin_life(topic, Some(bounds), true)
    }

    fn begin_life(&self, topic: &str, bounds: Option<&Bounds>, anew: bool) -> Result<Producer> {
        self.check_history()?;
        self.check_names(&[topic])?;
        let (key, waiting) = self.lock().begin(topic, bounds, anew)?;
        let producer = Producer::new(self.clone(), topic, key);
        wake(waiting);
        Ok(producer)
    }

    /// Tells the producer of a topic to stop, for all readers; false if it has none. It hears of it by
    /// [`Producer::stopped`], and ends the topic when it likes.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let answer = hub.begin("answer")?;
    /// assert!(hub.stop("answer") && !hub.stop("another"));
    /// assert!(answer.is_stopped());
    /// # tidings::Result::Ok(())
    /// ```
    pub fn stop(&self, topic: &str) -> bool {
        let waiting = self.lock().stop(topic);
        waiting.map(wake).is_some()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if !self.has_ended {
            let reason = if std::thread::panicking() { "panicked" } else { "dropped" };
            // It can fail only where nothing can be told any more.
            let _ = self.end(reason);
        }
    }
}

/// The future of [`Producer::stopped`].
///
/// # Examples
///
/// See [`Producer::stopped`].
#[derive(Debug)]
#[must_use = "it does nothing unless it is awaited"]
pub struct Stopped<'p> {
    producer: &'p Producer,
    place: Option<Place>,
    /// It counts among those who wait.
    has_joined: bool,
}

impl Future for Stopped<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Declared before the lock, so dropped behind it.
        let _stale;
        let this = &mut *self;
        let mut log = this.producer.hub.lock();
        let is_closed = log.is_closed();
        match log.running(this.producer.key) {
            Some(running) if !running.stopping && !is_closed => {
                if !core::mem::replace(&mut this.has_joined, true) {
                    running.waiting.join();
                }
                _stale = running.waiting.wait(&mut this.place, cx.waker());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if self.has_joined {
            let mut log = self.producer.hub.lock();
            let _stale = log.running(self.producer.key).and_then(|running| running.waiting.leave(self.place));
            drop(log);
        }
    }
}
