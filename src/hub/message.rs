//! [`Message`]: what is published, and [`Draft`], the same when it is checked and measured.

use core::time::Duration;
use std::sync::Arc;

use super::published::Published;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// What is published: text in a topic, and optionally a key and an event name.
///
/// # Examples
///
/// ```
/// use tidings::Message;
///
/// let reading = Message::new("sensors", "20.5").key("cellar").event("reading");
/// ```
#[derive(Clone, Debug)]
pub struct Message {
    pub(super) topic: Arc<str>,
    pub(super) parts: Parts,
    /// How long ago it was published.
    pub(super) age: Duration,
}

/// What is kept of a message beside its topic.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) data: Arc<str>,
    pub(super) key: Option<Arc<str>>,
    pub(super) event: Option<Box<str>>,
    pub(super) kind: Kind,
}

/// What a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something new.
    News,
    /// The value of its key is no more.
    Removal,
    /// The topic has ended; the text says why.
    End,
}

impl Message {
    /// A message with text.
    ///
    /// # Examples
    ///
    /// See [`Message`].
    pub fn new(topic: &str, data: impl Into<Arc<str>>) -> Message {
        Message::of_kind(Kind::News, topic, data.into())
    }

    /// A message that the value of a key is no more, as [`Hub::remove`](crate::Hub::remove) publishes it: for
    /// [`Hub::insert`](crate::Hub::insert).
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Hub, Limits, Message};
    /// # let hub = Hub::new(&Limits::DEFAULT);
    /// hub.send(Message::new("sensors", "20.5").key("cellar"))?;
    /// hub.insert(tidings::Id::new(u64::MAX, 1), Message::removal("sensors", "cellar"))?;
    /// assert!(hub.latest("sensors", "cellar").is_none());
    /// # tidings::Result::Ok(())
    /// ```
    pub fn removal(topic: &str, key: &str) -> Message {
        Message::of_kind(Kind::Removal, topic, "".into()).key(key)
    }

    /// The end of a topic and why, as a [`Producer`](crate::Producer) publishes it: for
    /// [`Hub::insert`](crate::Hub::insert).
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Error, Hub, Limits, Message};
    /// # let hub = Hub::new(&Limits::DEFAULT);
    /// hub.send(Message::end("answer", "finished"))?;
    /// assert!(matches!(hub.publish("answer", "more"), Err(Error::Ended)));
    /// # tidings::Result::Ok(())
    /// ```
    pub fn end(topic: &str, reason: &str) -> Message {
        Message::of_kind(Kind::End, topic, reason.into())
    }

    fn of_kind(kind: Kind, topic: &str, data: Arc<str>) -> Message {
        Message { topic: topic.into(), parts: Parts::new(kind, data), age: Duration::ZERO }
    }

    /// Sets the key: only the newest message with a key is kept in a topic, as for the state of a device. An end has
    /// none.
    ///
    /// # Examples
    ///
    /// See [`Message`].
    #[must_use]
    pub fn key(mut self, key: &str) -> Message {
        self.parts.key = (self.parts.kind != Kind::End).then(|| key.into());
        self
    }

    /// Sets the event name, one line: an EventSource dispatches the message by it. By `gap`, `done` and
    /// `removed` it is told of a gap, an end and a removal, so that a message has better another name.
    ///
    /// # Examples
    ///
    /// See [`Message`].
    #[must_use]
    pub fn event(mut self, event: &str) -> Message {
        self.parts.event = Some(event.into());
        self
    }

    /// Sets how long ago it was published, if that was elsewhere or before: where messages are kept for an age, it
    /// counts from then.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// # use tidings::{Hub, Id, Limits, Message};
    /// let mut limits = Limits::DEFAULT;
    /// limits.message_age = Some(Duration::from_secs(60));
    /// let hub = Hub::new(&limits);
    /// hub.insert(Id::new(u64::MAX, 1), Message::new("news", "stale").age(Duration::from_secs(61)))?;
    /// hub.insert(Id::new(u64::MAX, 2), Message::new("news", "fresh").age(Duration::from_secs(1)))?;
    /// assert_eq!(hub.stats().messages, 1);
    /// # tidings::Result::Ok(())
    /// ```
    #[must_use]
    pub fn age(mut self, age: Duration) -> Message {
        self.age = age;
        self
    }
}

impl Parts {
    pub(super) fn new(kind: Kind, data: Arc<str>) -> Parts {
        Parts { data, key: None, event: None, kind }
    }

    /// The value that is now that of the key, if it is not the end of one.
    pub(super) fn is_value(&self) -> bool {
        self.kind == Kind::News && self.key.is_some()
    }

    /// Bytes that a message counts with while it is kept.
    pub(super) fn weight(&self) -> usize {
        let Parts { data, key, event, .. } = self;
        let key = key.as_ref().map_or(0, |key| KEY + key.len());
        MESSAGE + data.len() + key + event.as_ref().map_or(0, |event| event.len())
    }
}

/// A message that is legal, and measured: so that nothing of it is left to do under the lock.
#[derive(Debug)]
pub(super) struct Draft<'t> {
    pub(super) topic: &'t str,
    pub(super) parts: Parts,
    /// How long ago it was published.
    pub(super) age: Duration,
    /// Bytes that it counts with while it is kept.
    pub(super) weight: usize,
    /// Bytes that it takes at most when it is written.
    pub(super) written: usize,
}

impl<'t> Draft<'t> {
    pub(super) fn new(topic: &'t str, parts: Parts, age: Duration, limits: &Limits) -> Result<Draft<'t>> {
        if limits.history == 0 {
            return Err(Error::Misuse("without a history nothing can be read"));
        }
        if parts.event.as_ref().is_some_and(|event| event.bytes().any(|b| matches!(b, b'\r' | b'\n'))) {
            return Err(Error::Misuse("an event name is not one line"));
        }
        let draft = Draft::measured(topic, parts, age);
        if draft.longest_name() > limits.name || draft.written > limits.largest() {
            return Err(Error::TooLarge);
        }
        Ok(draft)
    }

    /// The end of a topic, for which there is room always.
    pub(super) fn end(topic: &'t str, reason: &str) -> Draft<'t> {
        Draft::measured(topic, Parts::new(Kind::End, reason.into()), Duration::ZERO)
    }

    fn measured(topic: &'t str, parts: Parts, age: Duration) -> Draft<'t> {
        let (weight, Parts { data, key, event, .. }) = (parts.weight(), &parts);
        // In whichever frame takes the most: so many bytes a slow reader can keep.
        let texts = [Some(topic), Some(&**data), key.as_deref(), event.as_deref()];
        let written = texts.into_iter().flatten().map(written).sum();
        Draft { topic, parts, age, weight, written }
    }

    /// The length of what may be as long as a name: of the topic, the key, the reason of an end.
    fn longest_name(&self) -> usize {
        let reason = if self.parts.kind == Kind::End { self.parts.data.len() } else { 0 };
        self.topic.len().max(reason).max(self.parts.key.as_ref().map_or(0, |key| key.len()))
    }
}

/// Bytes that a message takes beside its texts: itself, its payload's counts, and its place in the ring.
const MESSAGE: usize = size_of::<Published>() + 2 * COUNTS + 72;

/// Bytes that a key takes beside its text: in the table of its topic's keys, as it is at most while it grows.
const KEY: usize = COUNTS + 152;

/// The two counts of an `Arc`.
const COUNTS: usize = 2 * size_of::<usize>();

/// Bytes that an end counts with at most.
pub(super) const fn largest_end(limits: &Limits) -> usize {
    MESSAGE + limits.name
}

/// What a text takes at most: JSON escapes some characters (RFC 8259, 7), and in an event stream each line begins anew.
fn written(text: &str) -> usize {
    text.bytes().map(|byte| usize::from(WRITTEN[usize::from(byte)])).sum()
}

/// The same of each byte. A table: this is done for each byte that is published.
const WRITTEN: [u8; 256] = {
    let (mut table, mut byte) = ([1; 256], 0);
    while byte < 0x20 {
        table[byte] = r"\u0000".len() as u8;
        byte += 1;
    }
    (table[b'"' as usize], table[b'\\' as usize]) = (2, 2);
    (table[b'\n' as usize], table[b'\r' as usize]) = ("\ndata: ".len() as u8, "\rdata: ".len() as u8);
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_counted_as_json_and_event_streams_need_it() {
        assert_eq!(written("abc"), 3);
        assert_eq!(written("\u{1}\t"), 12);
        assert_eq!(written("\"\\"), 4);
        assert_eq!(written("\r\n"), 14);
        assert_eq!(written("ä\u{7f}"), 3);
    }
}
