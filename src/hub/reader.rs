//! [`Reader`]: what a subscription remembers of the log. It lies in the memory of every held connection.

use core::ops::{Deref, DerefMut};

use super::history::Id;
use super::waiting::Place;

/// A reader's place in the log.
#[derive(Debug)]
pub(super) struct Reader {
    /// The last id that it has, or knows to be none of its own.
    pub(super) cursor: Id,
    /// The `resets` of the log that the cursor is of, or of no log.
    pub(super) resets: u64,
    pub(super) follows: Follows,
}

/// A topic that a reader follows.
#[derive(Debug)]
pub(super) struct Follow {
    /// The floor up to which it knows of its gap. Apart for each topic: one floor for all would hide a message
    /// that leaves a topic with a low floor while the reader is on its way through it.
    pub(super) told: Id,
    /// The topic's key in the log; half a word, since there is no memory for 2^32 topics.
    topic: u32,
    /// Its place in the topic's queue, since it first waited.
    pub(super) place: Option<Place>,
}

impl Follow {
    pub(super) fn new(topic: usize, told: Id) -> Follow {
        Follow { told, topic: topic as u32, place: None }
    }

    pub(super) fn topic(&self) -> usize {
        self.topic as usize
    }
}

/// The topics that a reader follows. Mostly it is one, and a list of one costs 48 bytes beside itself.
#[derive(Debug)]
pub(super) enum Follows {
    One(Follow),
    Some(Box<[Follow]>),
}

impl From<Vec<Follow>> for Follows {
    fn from(mut list: Vec<Follow>) -> Follows {
        match (list.pop(), list.is_empty()) {
            (Some(follow), true) => Follows::One(follow),
            (last, _) => {
                list.extend(last);
                Follows::Some(list.into_boxed_slice())
            }
        }
    }
}

impl Deref for Follows {
    type Target = [Follow];

    fn deref(&self) -> &[Follow] {
        match self {
            Follows::One(follow) => core::slice::from_ref(follow),
            Follows::Some(list) => list,
        }
    }
}

impl DerefMut for Follows {
    fn deref_mut(&mut self) -> &mut [Follow] {
        match self {
            Follows::One(follow) => core::slice::from_mut(follow),
            Follows::Some(list) => list,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn it_is_as_large_as_one_topic_needs() {
        assert_eq!((size_of::<Follows>(), size_of::<Follow>()), (32, 32));
        assert_eq!(size_of::<Reader>(), 56);
    }
}
