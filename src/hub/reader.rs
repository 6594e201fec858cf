//! [`Reader`]: what a subscription remembers of the log. It lies in the memory of every held connection.

use core::ops::{Deref, DerefMut};

use super::Id;
use super::waiting::Place;

/// A reader's place in the log.
#[derive(Debug)]
pub(super) struct Reader {
    /// The last id that it has, or knows to be none of its own.
    pub(super) cursor: Id,
    /// The `resets` of the log that the cursor is of, or of no log.
    pub(super) resets: u32,
    pub(super) manner: Manner,
    pub(super) follows: Follows,
}

/// How a reader reads: whether it is brief, so that it never waits; and which removals are hidden from it, since it began
/// with all that is kept and has none of the values. In four bytes, for each held connection has one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner(u32);

/// The bit of a brief one.
const BRIEF: u32 = 1 << 31;

impl Manner {
    pub(super) fn new(brief: bool, hidden: u32) -> Manner {
        Manner(if brief { BRIEF } else { 0 } | hidden.min(BRIEF - 1))
    }

    pub(super) fn is_brief(self) -> bool {
        self.0 & BRIEF != 0
    }

    /// Whether the removal with this number is to be shown.
    pub(super) fn shows(self, removal: u32) -> bool {
        removal == 0 || removal > self.0 & !BRIEF
    }

    /// It has read all: it has the values that are removed from now on.
    pub(super) fn show_all(&mut self) {
        self.0 &= BRIEF;
    }
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

/// The key of a topic that is not there: what a brief reader is to be told of it is its floor.
const ABSENT: u32 = u32::MAX;

impl Follow {
    /// A topic that is not there, and what it lost.
    pub(super) fn absent(floor: Id) -> Follow {
        Follow { told: floor, topic: ABSENT, place: None }
    }

    pub(super) fn is_absent(&self) -> bool {
        self.topic == ABSENT
    }

    pub(super) fn new(topic: u32, told: Id) -> Follow {
        Follow { told, topic, place: None }
    }

    pub(super) fn key(&self) -> u32 {
        self.topic
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
    fn a_manner_holds_both() {
        let mut manner = Manner::new(true, 5);
        assert!(manner.is_brief() && manner.shows(0) && !manner.shows(5) && manner.shows(6));
        manner.show_all();
        assert!(manner.is_brief() && manner.shows(1));
        assert!(!Manner::new(false, u32::MAX).is_brief());
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn it_is_as_large_as_one_topic_needs() {
        assert_eq!((size_of::<Follows>(), size_of::<Follow>()), (32, 32));
        assert_eq!(size_of::<Reader>(), 56);
    }
}
