//! [`Topic`]: its messages, its readers, its life and its bounds.

use std::sync::Arc;

use super::Id;
use super::bounds::Bounds;
use super::clock::Moment;
use super::history::History;
use super::losses::Doubt;
use super::orders::{Places, Rank};
use super::waiting::Waiting;

/// A topic is there while it has a message, a reader, a producer, or an end that is still known.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) history: History,
    pub(super) waiting: Waiting,
    pub(super) life: Life,
    pub(super) bounds: Bounds,
    /// Bytes that are reserved for its messages; 0 if they may leave for want of room.
    pub(super) reserved: usize,
    pub(super) snapshot: Snapshot,
    /// When its bounds began to hold: messages whose time is unknown count from then.
    pub(super) since: Moment,
    /// When its last message was published, where an age is set.
    pub(super) last_at: Moment,
    /// Where it stands in the orders of all topics.
    pub(super) places: Places,
}

/// Where a topic is in its life.
#[derive(Debug)]
pub(super) enum Life {
    /// Anybody may publish.
    Open,
    /// It has a producer.
    Running(Box<Running>),
    /// There was a last message.
    Ended(End),
}

/// The end of a topic, which stays known when its message has left.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) id: Id,
    /// Why it has ended; `None` if there was no message that says so.
    pub(super) reason: Option<Arc<str>>,
}

/// What its producer and others have to say to each other.
#[derive(Debug)]
pub(super) struct Running {
    /// Somebody wants it to stop.
    pub(super) stopping: bool,
    /// Who waits for that.
    pub(super) waiting: Waiting,
    /// Since when nobody reads it, if nobody does.
    pub(super) unread: Option<Moment>,
}

/// Whether all keys of a topic have their newest value in what is kept of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Snapshot {
    /// How many keys are known whose value has left.
    pub(super) lost: usize,
    /// Whether there are more of which none is known.
    pub(super) doubt: Doubt,
    /// It has had a key, so that it is no plain feed.
    pub(super) keyed: bool,
}

impl Topic {
    pub(super) fn is_unread(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.life, Life::Running(_))
    }

    /// The id of its end, if it has ended.
    pub(super) fn end(&self) -> Option<Id> {
        match &self.life {
            Life::Ended(end) => Some(end.id),
            _ => None,
        }
    }

    /// Its end and the reason, if their message has left.
    pub(super) fn lost_end(&self) -> Option<(Id, &str)> {
        let Life::Ended(End { id, reason: Some(reason) }) = &self.life else { return None };
        (self.history.newest() != Some(*id)).then_some((*id, reason))
    }

    /// The id of the newest message that a reader can get.
    pub(super) fn newest(&self) -> Option<Id> {
        self.lost_end().map(|(id, _)| id).or_else(|| self.history.newest())
    }

    /// Whether it may leave when its place is needed or its time is over.
    pub(super) fn may_leave(&self) -> bool {
        self.is_unread() && !self.is_running()
    }

    /// Whether nothing of it is left to know.
    pub(super) fn is_idle(&self) -> bool {
        self.history.is_empty() && self.is_unread() && matches!(self.life, Life::Open)
    }

    /// Whether who asks for all that is kept would miss a key.
    pub(super) fn is_partial(&self) -> bool {
        let Snapshot { lost, doubt, keyed } = self.snapshot;
        let perhaps = doubt == Doubt::Perhaps && (keyed || self.history.is_empty());
        lost > 0 || doubt == Doubt::Sure || perhaps
    }

    /// When its oldest message is too old.
    pub(super) fn message_due(&self) -> Option<Moment> {
        let (age, oldest) = (self.bounds.message_age?, self.history.oldest()?);
        Some(self.known(oldest.stamp.at).later(age))
    }

    /// When its own time is over.
    pub(super) fn topic_due(&self) -> Option<Moment> {
        let age = self.bounds.topic_age.filter(|_| self.may_leave())?;
        Some(self.known(self.last_at).later(age))
    }

    fn known(&self, at: Moment) -> Moment {
        if at == Moment::UNKNOWN { self.since } else { at }
    }

    /// Where it belongs in the orders of all topics.
    pub(super) fn places(&self) -> Places {
        let (oldest, end) = (self.history.oldest().map(|message| message.id()), self.end());
        let newest = || self.history.newest().unwrap_or(self.history.floor());
        let rank = || end.map_or_else(|| Rank::Open(newest()), Rank::Ended);
        Places {
            oldest: oldest.filter(|_| self.reserved == 0),
            leaves: self.may_leave().then(rank),
            gives: end.filter(|_| self.reserved > 0 && self.is_unread()),
            due: if self.bounds.have_age() {
                self.message_due().into_iter().chain(self.topic_due()).min()
            } else {
                None
            },
        }
    }
}
