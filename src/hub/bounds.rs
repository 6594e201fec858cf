//! [`Bounds`]: how much of one topic is kept, and for how long.

use core::time::Duration;

use super::Hub;
use crate::error::{Error, Result};
use crate::limits::Limits;

/// How much of one topic is kept, and for how long. [`Hub::bounds`](crate::Hub::bounds) gives what holds for a topic
/// without bounds of its own: that is what [`Limits`] say.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
/// let mut bounds = hub.bounds();
/// bounds.messages = 1_000;
/// bounds.topic_age = Some(Duration::from_secs(600));
/// hub.set_bounds("log", &bounds)?;
/// # tidings::Result::Ok(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// Messages that are kept; at least one is. Default: [`Limits::history`].
    pub messages: usize,
    /// Bytes that are kept, without the frames made for readers; at least one message is. Default: as many as the hub
    /// has room for.
    pub bytes: usize,
    /// How long a message is kept. Default: [`Limits::message_age`].
    pub message_age: Option<Duration>,
    /// How long the topic is kept after its end, or else after its last message, while nobody reads it. Default:
    /// [`Limits::topic_age`].
    pub topic_age: Option<Duration>,
    /// Whether nothing leaves for want of room: `bytes` are reserved when the topic begins, and a message beyond them,
    /// or beyond `messages`, is refused with [`Error::Full`](crate::Error::Full). The end always has room. Default:
    /// false; only [`Hub::begin_with`](crate::Hub::begin_with) takes it.
    pub keep_all: bool,
}

impl Bounds {
    /// What these limits say.
    pub(super) fn new(limits: &Limits) -> Bounds {
        Bounds {
            messages: limits.history,
            bytes: usize::MAX,
            message_age: limits.message_age,
            topic_age: limits.topic_age,
            keep_all: false,
        }
    }

    /// Makes them keep all, up to so many bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// let answer = hub.begin_with("answer", &hub.bounds().keep_all(16 * 1024))?;
    /// answer.send("Once upon a time")?;
    /// answer.finish()?;
    /// # tidings::Result::Ok(())
    /// ```
    #[must_use]
    pub fn keep_all(mut self, bytes: usize) -> Bounds {
        (self.keep_all, self.bytes, self.messages) = (true, bytes, usize::MAX);
        self
    }

    /// Whether something goes by its age.
    pub(super) fn have_age(&self) -> bool {
        self.message_age.is_some() || self.topic_age.is_some()
    }
}

impl Hub {
    /// The bounds of a topic that has none of its own.
    ///
    /// # Examples
    ///
    /// See [`Bounds`].
    pub fn bounds(&self) -> Bounds {
        Bounds::new(self.limits())
    }

    /// Sets the bounds of a topic, whether it is there or not: they hold each time that it is there, until
    /// [`clear_bounds`](Hub::clear_bounds).
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if [`Limits::topics`] have bounds already; [`Error::TooLarge`] for a name longer than
    /// [`Limits::name`]; [`Error::Misuse`] for bounds that keep all, which only [`begin_with`](Hub::begin_with) takes.
    ///
    /// # Examples
    ///
    /// See [`Bounds`].
    pub fn set_bounds(&self, topic: &str, bounds: &Bounds) -> Result<()> {
        if bounds.keep_all {
            return Err(Error::Misuse("what is reserved is reserved where a topic begins"));
        }
        self.check_names(&[topic])?;
        self.lock().set_bounds(topic, Some(bounds))
    }

    /// Takes back the bounds that were set for a topic.
    ///
    /// # Examples
    ///
    /// ```
    /// # let hub = tidings::Hub::new(&tidings::Limits::DEFAULT);
    /// hub.set_bounds("log", &hub.bounds())?;
    /// hub.clear_bounds("log");
    /// # tidings::Result::Ok(())
    /// ```
    pub fn clear_bounds(&self, topic: &str) {
        // Only setting them can fail.
        let _ = self.lock().set_bounds(topic, None);
    }
}
