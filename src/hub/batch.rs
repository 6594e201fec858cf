//! [`Batch`]: what a reader gets at once.

use core::ops::Deref;
use std::sync::Arc;
use std::{option, vec};

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
    pub messages: Messages,
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

/// The messages of a [`Batch`], which are used as a slice. Mostly there is one, and a list of one would be made for each reader.
///
/// # Examples
///
/// ```
/// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
/// let mut reader = hub.subscribe(&["news"], None)?;
/// for text in ["a", "b", "c"] {
///     hub.publish("news", text)?;
/// }
/// let mut messages = reader.try_next().expect("three messages").messages;
/// assert_eq!((messages.len(), messages[0].data()), (3, "a"));
/// messages.retain(|message| message.data() != "b");
/// assert!(messages.iter().map(|message| message.data()).eq(["a", "c"]));
/// # tidings::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Messages(List);

#[derive(Clone, Debug)]
enum List {
    One(Arc<Published>),
    Many(Vec<Arc<Published>>),
}

impl Messages {
    pub(super) fn one(message: Arc<Published>) -> Messages {
        Messages(List::One(message))
    }

    /// Keeps those messages for which `keep` is true.
    ///
    /// # Examples
    ///
    /// See [`Messages`].
    pub fn retain(&mut self, mut keep: impl FnMut(&Arc<Published>) -> bool) {
        match &mut self.0 {
            List::One(message) if keep(message) => {}
            List::One(_) => self.0 = List::Many(Vec::new()),
            List::Many(messages) => messages.retain(keep),
        }
    }
}

impl From<Vec<Arc<Published>>> for Messages {
    fn from(messages: Vec<Arc<Published>>) -> Messages {
        Messages(List::Many(messages))
    }
}

impl Deref for Messages {
    type Target = [Arc<Published>];

    fn deref(&self) -> &[Arc<Published>] {
        match &self.0 {
            List::One(message) => core::slice::from_ref(message),
            List::Many(messages) => messages,
        }
    }
}

impl<'m> IntoIterator for &'m Messages {
    type Item = &'m Arc<Published>;
    type IntoIter = core::slice::Iter<'m, Arc<Published>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Messages {
    type Item = Arc<Published>;
    type IntoIter = core::iter::Chain<option::IntoIter<Arc<Published>>, vec::IntoIter<Arc<Published>>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self.0 {
            List::One(message) => (Some(message), Vec::new()),
            List::Many(messages) => (None, messages),
        };
        one.into_iter().chain(many)
    }
}
