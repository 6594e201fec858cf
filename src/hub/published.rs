//! [`Published`]: a message with its id, and what readers share of it.

use std::any::Any;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::Id;
use super::clock::Moment;
use super::ledger::{Charge, Ledger};
use super::message::{Draft, Kind, Parts};

/// A message with its id, shared by all its readers together with what was made of it for them.
///
/// # Examples
///
/// ```
/// # use tidings::{Hub, Id, Limits, Message};
/// # let hub = Hub::new(&Limits::DEFAULT);
/// let id = hub.send(Message::new("sensors", "20.5").key("cellar"))?;
/// let batch = hub.subscribe(&["sensors"], Some(Id::EARLIEST))?.try_next().expect("a message");
/// let reading = &batch.messages[0];
/// assert_eq!((reading.id(), reading.topic(), reading.data()), (id, "sensors", "20.5"));
/// assert_eq!((reading.key(), reading.event()), (Some("cellar"), None));
/// assert!(!reading.is_removed() && !reading.is_end());
/// # tidings::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Published {
    id: Id,
    topic: Arc<str>,
    parts: Parts,
    /// The bytes for each kind of transport, made when the first reader needs them.
    frames: [OnceLock<Box<[u8]>>; 3],
    /// Whatever else was made of it for its readers.
    kept: OnceLock<Box<dyn Any + Send + Sync>>,
    /// What it takes at most when it is written.
    written: usize,
    charge: Charge,
    pub(super) stamp: Stamp,
}

/// What the hub remembers of a message beside what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// When it was published, where an age is set.
    pub(super) at: Moment,
    /// Which removal of the hub it is; 0 for all else.
    pub(super) removal: u32,
}

/// For which kind of transport a message is framed.
///
/// # Examples
///
/// See [`Published::frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame {
    /// The bytes of an event of an event stream.
    Sse,
    /// The JSON object that polls and WebSockets send.
    Json,
    /// The WebSocket frame of that object.
    WebSocket,
}

impl Published {
    /// A message that is about to be kept: charged to the ledger from now on, but for what is reserved for it.
    pub(super) fn new(
        id: Id,
        topic: Arc<str>,
        draft: Draft<'_>,
        (reserved, stamp): (bool, Stamp),
        ledger: &Arc<Ledger>,
    ) -> Published {
        let Draft { parts, weight, written, .. } = draft;
        let charge = Charge::new(weight, reserved, ledger);
        let (frames, written) = ([const { OnceLock::new() }; 3], size_of::<Published>() + written);
        Published { id, topic, parts, frames, kept: OnceLock::new(), written, charge, stamp }
    }

    /// The id.
    ///
    /// # Examples
    ///
    /// See [`Published`].
    pub fn id(&self) -> Id {
        self.id
    }

    /// The topic.
    ///
    /// # Examples
    ///
    /// See [`Published`].
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The text; of an end the reason.
    ///
    /// # Examples
    ///
    /// See [`Published`].
    pub fn data(&self) -> &str {
        &self.parts.data
    }

    /// The key, if it was published with one.
    ///
    /// # Examples
    ///
    /// See [`Published`].
    pub fn key(&self) -> Option<&str> {
        self.parts.key.as_deref()
    }

    /// The event name, if it was published with one.
    ///
    /// # Examples
    ///
    /// See [`Published`].
    pub fn event(&self) -> Option<&str> {
        self.parts.event.as_deref()
    }

    /// Whether it says that the value of its key is no more.
    ///
    /// # Examples
    ///
    /// See [`Hub::remove`](crate::Hub::remove).
    pub fn is_removed(&self) -> bool {
        self.parts.kind == Kind::Removal
    }

    /// Whether it is the end of its topic.
    ///
    /// # Examples
    ///
    /// See [`Producer::finish`](crate::Producer::finish).
    pub fn is_end(&self) -> bool {
        self.parts.kind == Kind::End
    }

    /// Whether it is the value of its key.
    pub(super) fn is_value(&self) -> bool {
        self.parts.is_value()
    }

    pub(super) fn shared_key(&self) -> Option<&Arc<str>> {
        self.parts.key.as_ref()
    }

    /// The bytes for one kind of transport: made by the first reader, shared by all, and counted in
    /// [`Limits::history_bytes`](crate::Limits::history_bytes) while the message is kept. Where the message can't leave
    /// ([`Bounds::keep_all`](crate::Bounds::keep_all)) and the hub is full, they are made for this reader alone.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{Event, Frame, Hub, Id, Limits};
    ///
    /// let hub = Hub::new(&Limits::DEFAULT);
    /// hub.publish("news", "hello")?;
    /// let batch = hub.subscribe(&["news"], Some(Id::EARLIEST))?.try_next().expect("hello");
    /// let make = |data: &str| Event::data(data).encode().unwrap_or_default();
    /// assert_eq!(*batch.messages[0].frame(Frame::Sse, |m| make(m.data())), *b"data: hello\n\n");
    /// # tidings::Result::Ok(())
    /// ```
    pub fn frame(&self, frame: Frame, make: impl FnOnce(&Published) -> Vec<u8>) -> Cow<'_, [u8]> {
        let slot = &self.frames[match frame {
            Frame::Sse => 0,
            Frame::Json => 1,
            Frame::WebSocket => 2,
        }];
        if let Some(made) = slot.get() {
            return Cow::Borrowed(made);
        }
        let made = make(self).into_boxed_slice();
        if !self.charge.has_room(made.len()) {
            return Cow::Owned(made.into_vec());
        }
        Cow::Borrowed(slot.get_or_init(|| {
            self.charge.add(made.len());
            made
        }))
    }

    /// Whatever else a transport makes of the message for all its readers, such as a whole response: made by the first of them
    /// and shared as [`frame`](Published::frame)s are. `make` returns how many bytes it takes as well. `None` where a frame would be
    /// made for one reader alone, and if a value of another type is kept already: there is one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Hub, Id, Limits, Response};
    /// # let hub = Hub::new(&Limits::DEFAULT);
    /// # hub.publish("news", "hello")?;
    /// # let batch = hub.subscribe(&["news"], Some(Id::EARLIEST))?.try_next().expect("hello");
    /// let make = |data: &str| (Response::text(data), data.len() + 200);
    /// let answer: Option<&Response> = batch.messages[0].kept(|message| make(message.data()));
    /// assert_eq!(answer.expect("there is room").status(), 200);
    /// # tidings::Result::Ok(())
    /// ```
    pub fn kept<T: Any + Send + Sync>(&self, make: impl FnOnce(&Published) -> (T, usize)) -> Option<&T> {
        if self.kept.get().is_none() {
            let (made, bytes) = make(self);
            if !self.charge.has_room(bytes) {
                return None;
            }
            self.kept.get_or_init(|| {
                self.charge.add(bytes);
                Box::new(made)
            });
        }
        self.kept.get()?.downcast_ref()
    }

    /// Bytes that it counts with while it is kept, without its frames.
    pub(super) fn weight(&self) -> usize {
        self.parts.weight()
    }

    /// Bytes that it counts with in a batch: it is kept as it is written.
    pub(super) fn cost(&self) -> usize {
        self.written
    }

    /// The message leaves the history: it counts no more, though a reader may still write it.
    pub(super) fn leave(&self) {
        self.charge.settle();
    }
}
