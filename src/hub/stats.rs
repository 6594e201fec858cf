//! [`HubStats`] and [`TopicStats`]: figures of one moment.

use super::Id;
use super::topic::{End, Life, Topic};

/// A hub's figures at one moment.
///
/// # Examples
///
/// See [`Hub::stats`](crate::Hub::stats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubStats {
    /// Topics that have a message, a reader, a producer or an end that is known; bounded by
    /// [`Limits::topics`](crate::Limits::topics).
    pub topics: usize,
    /// Messages that are kept.
    pub messages: usize,
    /// Bytes that they and their frames count with, and what is reserved; bounded by
    /// [`Limits::history_bytes`](crate::Limits::history_bytes) but for one message.
    pub bytes: usize,
    /// How many of these bytes are reserved for topics that keep all.
    pub reserved: usize,
    /// Subscriptions.
    pub readers: usize,
    /// Gaps told since the start.
    pub gaps: u64,
    /// Messages that have left by age since the start.
    pub aged: u64,
    /// Topics that are not there any more and of which is known what they lost; bounded by
    /// [`Limits::forgotten`](crate::Limits::forgotten).
    pub forgotten: usize,
}

/// A topic's figures at one moment.
///
/// # Examples
///
/// See [`Hub::topic`](crate::Hub::topic).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// Where it is in its life.
    pub state: TopicState,
    /// The newest id that it had.
    pub newest: Option<Id>,
    /// Messages that are kept.
    pub messages: usize,
    /// Bytes that they count with, without the frames made for readers.
    pub bytes: usize,
    /// Subscriptions.
    pub readers: usize,
}

/// Where a topic is in its life.
///
/// # Examples
///
/// See [`Hub::topic`](crate::Hub::topic).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicState {
    /// Anybody may publish in it.
    Open,
    /// It has a [`Producer`](crate::Producer).
    Running,
    /// It has ended: this is the id of its end.
    Ended(Id),
}

impl TopicStats {
    pub(super) fn of(topic: &Topic) -> TopicStats {
        let state = match topic.life {
            Life::Open => TopicState::Open,
            Life::Running(_) => TopicState::Running,
            Life::Ended(End { id, .. }) => TopicState::Ended(id),
        };
        let (history, readers) = (&topic.history, topic.waiting.readers());
        TopicStats {
            state,
            newest: history.newest(),
            messages: history.len(),
            bytes: history.weight(),
            readers,
        }
    }
}
