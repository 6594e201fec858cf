//! [`Batch`]: what a reader gets at once.

use std::sync::Arc;

use super::{Id, Published};

/// What a reader gets at once: messages in the order of their ids, at most [`Limits::batch`](crate::Limits::batch)
/// bytes or one message, and whether messages are missing.
///
/// # Examples
///
/// ```
/// # use tidings::{Hub, Limits};
/// # let mut limits = Limits::DEFAULT;
/// limits.history = 1;
/// let hub = Hub::new(&limits);
/// let mut slow = hub.subscribe(&["news"], None)?;
/// let lost = hub.publish("news", "a")?;
/// let id = hub.publish("news", "b")?;
/// let batch = slow.try_next().expect("what is kept");
/// assert_eq!((batch.messages[0].data(), batch.next), ("b", id));
/// assert_eq!(batch.gap, Some(lost));
/// # tidings::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The messages, shared with all other readers.
    pub messages: Vec<Arc<Published>>,
    /// The cursor before these messages: who resumes there gets them.
    pub from: Id,
    /// The cursor behind these messages.
    pub next: Id,
    /// Up to which id, inclusive, messages may be missing, if any may be: the reader was too slow for the history, its
    /// cursor is of another log, or it asked for all that is kept and values of keys have left.
    ///
    /// Each message of the reader's topics behind its cursor is returned, or was replaced by a newer value of its key
    /// that is, or has an id that is at most this one. What is missing may lie between and behind the messages of this
    /// batch, and is told once: a batch without a gap may have a hole up to the id that an earlier one gave. For a
    /// cursor of another log it is at least where this log began. A false alarm is possible, a false calm is not.
    pub gap: Option<Id>,
}
