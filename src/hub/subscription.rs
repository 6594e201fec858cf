//! [`Subscription`]: a reader's cursor into the history of some topics.

use core::future::Future;
use core::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;

use super::reader::Reader;
use super::reading::Absent;
use super::{Batch, Hub, Id};
use crate::error::{Error, Result};

/// A reader's cursor into the history of some topics. As a `futures_core::Stream` it yields what
/// [`next`](Subscription::next) does.
///
/// # Examples
///
/// See [`Hub`].
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    reader: Reader,
}

impl Hub {
    /// Follows topics from behind `after`, or from now on. Repeated topics count once. A topic that is not there is
    /// waited for.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if topics that are not there would be too many: readers push out none that is. [`Error::Misuse`] for
    /// no topic at all, for more than [`Limits::subscription`](crate::Limits::subscription), or with a history of 0 (between two polls there would be
    /// nothing to go on from). [`Error::TooLarge`] for a name longer than [`Limits::name`](crate::Limits::name).
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
        self.check_names(topics)?;
        self.subscription(topics, after, Absent::Make)
    }

    /// Follows topics as [`subscribe`](Hub::subscribe) does, but only if all of them are there: a name that nobody has
    /// published in is refused, not waited for.
    ///
    /// # Errors
    ///
    /// Those of [`subscribe`](Hub::subscribe), and [`Fault::Topic`](crate::Fault::Topic), on the wire 404, for a topic that
    /// is not there.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let answer = hub.begin("answers/1")?;
    /// assert!(hub.follow(&["answers/1"], None).is_ok());
    /// assert_eq!(hub.follow(&["answers/2"], None).unwrap_err().status(), 404);
    /// # tidings::Result::Ok(())
    /// ```
    pub fn follow(&self, topics: &[&str], after: Option<Id>) -> Result<Subscription> {
        self.subscription(topics, after, Absent::Refuse)
    }

    /// Reads what topics have now, from behind `after`: a subscription that waits for nothing and takes no place. A topic
    /// that is not there has nothing, or a gap.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`], as for [`subscribe`](Hub::subscribe).
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Hub, Id, Limits};
    /// # let hub = Hub::new(&Limits::DEFAULT);
    /// hub.publish("news", "a")?;
    /// let mut kept = hub.read(&["news", "weather"], Some(Id::EARLIEST))?;
    /// assert_eq!(kept.try_next().expect("a").messages.len(), 1);
    /// assert!(kept.try_next().is_none());
    /// assert_eq!(hub.topics().len(), 1);
    /// # tidings::Result::Ok(())
    /// ```
    pub fn read(&self, topics: &[&str], after: Option<Id>) -> Result<Subscription> {
        self.subscription(topics, after, Absent::Skip)
    }

    fn subscription(&self, topics: &[&str], after: Option<Id>, absent: Absent) -> Result<Subscription> {
        self.check_history()?;
        let mut sorted;
        // Mostly there is one, and no list to be made.
        let names = if topics.len() == 1 {
            topics
        } else {
            sorted = topics.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            &sorted
        };
        if names.is_empty() {
            return Err(Error::Misuse("a subscription needs a topic"));
        }
        if names.len() > self.limits().subscription {
            return Err(Error::Misuse("a subscription has too many topics"));
        }
        let reader = self.lock().subscribe(names, after, absent)?;
        Ok(Subscription::new(self.clone(), reader))
    }
}

impl Subscription {
    pub(super) fn new(hub: Hub, reader: Reader) -> Subscription {
        Subscription { hub, reader }
    }

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

    /// Waits for what is new; `None` when all was read and nothing can come any more: all of its topics have ended, the
    /// hub is closed, or it is of [`Hub::read`].
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

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Batch>> {
        // Declared before the lock, so dropped behind it: the task of a waker may hold a subscription itself.
        let _stale;
        let mut log = self.hub.lock();
        match log.read(&mut self.reader) {
            Some(batch) => Poll::Ready(Some(batch)),
            None if log.is_over(&self.reader) => Poll::Ready(None),
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

    /// Whether all of its topics have ended, and their ends are read.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let answer = hub.begin("answer")?;
    /// let mut reader = hub.subscribe(&["answer"], None)?;
    /// answer.finish()?;
    /// assert!(!reader.is_done());
    /// assert!(reader.try_next().expect("the end").messages[0].is_end());
    /// assert!(reader.is_done());
    /// # tidings::Result::Ok(())
    /// ```
    pub fn is_done(&self) -> bool {
        self.hub.lock().have_ended(&self.reader)
    }
}

impl Stream for Subscription {
    type Item = Batch;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Batch>> {
        self.poll_batch(cx)
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
        self.news.poll_batch(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let _stale = self.hub.lock().unsubscribe(&self.reader.follows);
    }
}
