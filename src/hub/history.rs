//! [`Id`], [`Batch`], and [`History`]: the bounded ring of one topic. Pure: no lock, no clock, no waker.

use core::fmt;
use core::str::FromStr;
use std::collections::VecDeque;
use std::sync::Arc;

use super::message::Published;

/// The id of a message, and a cursor: the last message that a reader has. Hub-wide and totally ordered, written
/// `epoch-seq`; one cursor resumes any set of topics over any transport.
///
/// # Examples
///
/// ```
/// use tidings::Id;
///
/// let id: Id = "1700000000000-7".parse()?;
/// assert_eq!(id, Id::new(1_700_000_000_000, 7));
/// assert_eq!(id.to_string(), "1700000000000-7");
/// assert!(id > Id::EARLIEST);
/// # Ok::<(), tidings::ParseIdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Which log: for our own, its start in milliseconds since 1970 with 16 random bits.
    pub(super) epoch: u64,
    /// Which message of it.
    pub(super) seq: u64,
}

impl Id {
    /// The cursor before everything, written `earliest`: all that is kept, and never a gap.
    pub const EARLIEST: Id = Id { epoch: 0, seq: 0 };

    /// The cursor behind everything: as a cursor it is one that no log gave out, so a gap.
    pub const MAX: Id = Id { epoch: u64::MAX, seq: u64::MAX };

    /// An id from its parts.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(tidings::Id::new(5, 3).to_string(), "5-3");
    /// ```
    pub const fn new(epoch: u64, seq: u64) -> Id {
        Id { epoch, seq }
    }

    /// The part before the dash.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let (first, second) = (hub.publish("news", "a")?, hub.publish("news", "b")?);
    /// assert_eq!(first.epoch(), second.epoch());
    /// # tidings::Result::Ok(())
    /// ```
    pub const fn epoch(self) -> u64 {
        self.epoch
    }

    /// The part behind the dash.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let (first, second) = (hub.publish("news", "a")?, hub.publish("weather", "b")?);
    /// assert_eq!(first.seq() + 1, second.seq());
    /// # tidings::Result::Ok(())
    /// ```
    pub const fn seq(self) -> u64 {
        self.seq
    }

    /// The next id of the same log.
    pub(super) fn successor(self) -> Id {
        match self.seq.checked_add(1) {
            Some(seq) => Id { seq, ..self },
            None => Id { epoch: self.epoch.saturating_add(1), seq: 0 },
        }
    }

    /// The greatest id below this one.
    pub(super) fn predecessor(self) -> Id {
        match self.seq.checked_sub(1) {
            Some(seq) => Id { seq, ..self },
            None => Id { epoch: self.epoch.saturating_sub(1), seq: u64::MAX },
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In a third of the time that `core::fmt` takes for the numbers.
        let (mut epoch, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
        for part in [epoch.format(self.epoch), "-", seq.format(self.seq)] {
            f.write_str(part)?;
        }
        Ok(())
    }
}

/// Text that is not an id.
///
/// # Examples
///
/// ```
/// use tidings::{Id, ParseIdError};
///
/// assert_eq!("yesterday".parse::<Id>(), Err(ParseIdError));
/// assert_eq!(ParseIdError.to_string(), "not an id: epoch-seq, or earliest");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id: epoch-seq, or earliest")
    }
}

impl std::error::Error for ParseIdError {}

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Id, ParseIdError> {
        if text == "earliest" {
            return Ok(Id::EARLIEST);
        }
        let (epoch, seq) = text.split_once('-').ok_or(ParseIdError)?;
        Ok(Id { epoch: decimal(epoch)?, seq: decimal(seq)? })
    }
}

/// Digits only: `u64::from_str` takes a sign.
fn decimal(text: &str) -> Result<u64, ParseIdError> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseIdError);
    }
    text.parse().map_err(|_| ParseIdError)
}

/// What a reader gets at once: messages in the order of their ids, at most 4 KiB as the history counts them or one
/// message, and what it missed.
///
/// # Examples
///
/// ```
/// # use tidings::{Hub, Limits};
/// # let mut limits = Limits::DEFAULT;
/// limits.history = 1;
/// let hub = Hub::new(&limits);
/// let mut slow = hub.subscribe(&["news"], None)?;
/// hub.publish("news", "a")?;
/// let id = hub.publish("news", "b")?;
/// let batch = slow.try_next().expect("what is kept");
/// assert_eq!((batch.messages[0].data(), batch.next), ("b", id));
/// assert!(batch.gap);
/// # tidings::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    /// The messages, shared with all other readers.
    pub messages: Vec<Arc<Published>>,
    /// The cursor before these messages: who resumes there gets them.
    pub from: Id,
    /// The cursor behind these messages.
    pub next: Id,
    /// Whether messages may be missing before these: the reader was too slow for the history, or its cursor is
    /// of another log. A false alarm is possible, a false calm is not.
    pub gap: bool,
}

/// The kept messages of one topic, in the order of their ids.
#[derive(Debug)]
pub(super) struct History {
    ring: VecDeque<Arc<Published>>,
    /// The newest id that left for want of room: whoever has not read beyond it has a gap.
    floor: Id,
}

impl History {
    pub(super) fn new(floor: Id) -> History {
        History { ring: VecDeque::new(), floor }
    }

    pub(super) fn floor(&self) -> Id {
        self.floor
    }

    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// The id of the oldest message.
    pub(super) fn oldest(&self) -> Option<Id> {
        self.ring.front().map(|message| message.id())
    }

    /// The id of the newest message.
    pub(super) fn newest(&self) -> Option<Id> {
        self.ring.back().map(|message| message.id())
    }

    /// Whether the message with this id is kept.
    pub(super) fn has(&self, id: Id) -> bool {
        self.ring.binary_search_by_key(&id, |message| message.id()).is_ok()
    }

    /// Adds the newest message.
    pub(super) fn push(&mut self, message: Arc<Published>) {
        self.ring.push_back(message);
    }

    /// Takes out the oldest message for want of room, which raises the floor.
    pub(super) fn evict(&mut self) -> Option<Arc<Published>> {
        let message = self.ring.pop_front()?;
        self.floor = message.id();
        // Give memory back after a burst; a ring that shrinks by half keeps half of the rest for growth.
        if self.ring.capacity() > 32 && self.ring.len() < self.ring.capacity() / 4 {
            self.ring.shrink_to(self.ring.len() * 2);
        }
        Some(message)
    }

    /// Takes out the message with this key, which a newer one replaces. The floor stays: whoever comes late gets
    /// the newer one and misses nothing.
    pub(super) fn replace(&mut self, key: &str) -> Option<Arc<Published>> {
        let place = self.ring.iter().position(|message| message.key() == Some(key))?;
        self.ring.remove(place)
    }

    /// Takes out all messages; the floor is now `floor`.
    pub(super) fn clear(&mut self, floor: Id) -> VecDeque<Arc<Published>> {
        self.floor = floor;
        core::mem::take(&mut self.ring)
    }

    /// The messages behind a cursor.
    pub(super) fn after(&self, cursor: Id) -> impl Iterator<Item = &Arc<Published>> {
        // Most readers are at the end or one behind it, so look there before searching.
        let start = match self.ring.back() {
            Some(newest) if newest.id() > cursor => {
                self.ring.partition_point(|message| message.id() <= cursor)
            }
            _ => self.ring.len(),
        };
        self.ring.range(start..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring of so many messages.
    fn history(messages: u64) -> History {
        let ledger = Arc::default();
        let mut history = History::new(Id::EARLIEST);
        for seq in 1..=messages {
            let message = super::super::Message::new("t", "x");
            history.push(Arc::new(Published::new(Id::new(1, seq), message, &ledger)));
        }
        history
    }

    /// Evicts until so many are left.
    fn evict(history: &mut History, left: usize) {
        while history.len() > left {
            history.evict();
        }
    }

    #[test]
    fn a_ring_gives_its_memory_back() {
        let mut history = history(1000);
        let most = history.ring.capacity();
        evict(&mut history, most / 4);
        assert_eq!(history.ring.capacity(), most);
        evict(&mut history, most / 4 - 1);
        assert!((history.len() * 2..most).contains(&history.ring.capacity()));
        evict(&mut history, 1);
        assert!(history.ring.capacity() <= 32);
    }

    #[test]
    fn a_small_ring_keeps_its_memory() {
        let mut history = history(32);
        let most = history.ring.capacity();
        evict(&mut history, 1);
        assert!(most == 32 && history.ring.capacity() == most);
    }

    #[test]
    fn ids_are_digits_a_dash_and_digits() {
        for bad in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "+1-2",
            "1-+2",
            "1-2-3",
            " 1-2",
            "1-2 ",
            "a-b",
            "18446744073709551616-0",
        ] {
            assert_eq!(bad.parse::<Id>(), Err(ParseIdError), "{bad}");
        }
        assert_eq!("18446744073709551615-18446744073709551615".parse(), Ok(Id::MAX));
        assert_eq!("earliest".parse(), Ok(Id::EARLIEST));
        assert_eq!(Id::new(5, 3).to_string(), "5-3");
        assert_eq!(ParseIdError.to_string(), "not an id: epoch-seq, or earliest");
    }

    #[test]
    fn successor_and_predecessor_go_over_the_epoch() {
        let edge = Id::new(7, u64::MAX);
        assert_eq!(edge.successor(), Id::new(8, 0));
        assert_eq!(Id::new(8, 0).predecessor(), edge);
        assert_eq!(Id::new(8, 1).predecessor(), Id::new(8, 0));
    }
}
