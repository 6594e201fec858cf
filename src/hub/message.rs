//! [`Message`], what is published, and [`Published`], what readers share of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::Id;

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
    pub(super) data: Arc<str>,
    pub(super) key: Option<Box<str>>,
    pub(super) event: Option<Box<str>>,
}

impl Message {
    /// A message with text.
    ///
    /// # Examples
    ///
    /// See [`Message`].
    pub fn new(topic: &str, data: impl Into<Arc<str>>) -> Message {
        Message { topic: topic.into(), data: data.into(), key: None, event: None }
    }

    /// Sets the key: only the newest message with a key is kept in a topic, as for the state of a device.
    ///
    /// # Examples
    ///
    /// See [`Message`].
    #[must_use]
    pub fn key(mut self, key: &str) -> Message {
        self.key = Some(key.into());
        self
    }

    /// Sets the event name, one line: an EventSource dispatches the message by it. By `gap` it is told of a gap, so
    /// that a message has better another name.
    ///
    /// # Examples
    ///
    /// See [`Message`].
    #[must_use]
    pub fn event(mut self, event: &str) -> Message {
        self.event = Some(event.into());
        self
    }

    /// Bytes of payload, topic, key and event name together.
    fn size(&self) -> usize {
        self.texts().map(str::len).sum()
    }

    /// The same as it is written, in whichever frame takes the most: so many bytes a slow reader can keep.
    pub(super) fn written(&self) -> usize {
        self.texts().map(written).sum()
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        [Some(&*self.topic), Some(&*self.data), self.key.as_deref(), self.event.as_deref()]
            .into_iter()
            .flatten()
    }
}

/// What a text takes at most: JSON escapes some characters (RFC 8259, 7), and in an event stream each line begins anew.
fn written(text: &str) -> usize {
    let takes = |byte| match byte {
        b'\n' | b'\r' => "\ndata: ".len(),
        0..=0x1f => r"\u0000".len(),
        b'"' | b'\\' => 2,
        _ => 1,
    };
    text.bytes().map(takes).sum()
}

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
/// # tidings::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Published {
    id: Id,
    message: Message,
    /// The bytes for each kind of transport, made when the first reader needs them.
    frames: [OnceLock<Box<[u8]>>; 3],
    /// What it takes at most when it is written.
    written: usize,
    charge: Charge,
}

/// For which kind of transport a message is framed.
///
/// # Examples
///
/// See [`Published::frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The bytes of an event of an event stream.
    Sse,
    /// The JSON object that polls and WebSockets send.
    Json,
    /// The WebSocket frame of that object.
    WebSocket,
}

impl Published {
    /// A message that is about to be kept: charged to the ledger from now on.
    pub(super) fn new(id: Id, message: Message, ledger: &Arc<AtomicUsize>) -> Published {
        let charge = Charge::new(size_of::<Published>() + message.size(), ledger);
        let written = size_of::<Published>() + message.written();
        Published { id, message, frames: [const { OnceLock::new() }; 3], written, charge }
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
        &self.message.topic
    }

    /// The text.
    ///
    /// # Examples
    ///
    /// See [`Published`].
    pub fn data(&self) -> &str {
        &self.message.data
    }

    /// The key, if it was published with one.
    ///
    /// # Examples
    ///
    /// See [`Published`].
    pub fn key(&self) -> Option<&str> {
        self.message.key.as_deref()
    }

    /// The event name, if it was published with one.
    ///
    /// # Examples
    ///
    /// See [`Published`].
    pub fn event(&self) -> Option<&str> {
        self.message.event.as_deref()
    }

    /// The bytes for one kind of transport: made by the first reader, shared by all, and counted in
    /// [`Limits::history_bytes`](crate::Limits::history_bytes) while the message is kept.
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
    /// assert_eq!(batch.messages[0].frame(Frame::Sse, |m| make(m.data())), b"data: hello\n\n");
    /// # tidings::Result::Ok(())
    /// ```
    pub fn frame(&self, frame: Frame, make: impl FnOnce(&Published) -> Vec<u8>) -> &[u8] {
        let slot = &self.frames[match frame {
            Frame::Sse => 0,
            Frame::Json => 1,
            Frame::WebSocket => 2,
        }];
        slot.get_or_init(|| {
            let bytes = make(self).into_boxed_slice();
            self.charge.add(bytes.len());
            bytes
        })
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

/// What a message adds to the bytes of its hub.
#[derive(Debug)]
struct Charge {
    /// The bytes of all messages that the hub keeps.
    ledger: Arc<AtomicUsize>,
    /// The bytes of this one; `SETTLED` when it is kept no more.
    bytes: AtomicUsize,
}

const SETTLED: usize = usize::MAX;

impl Charge {
    fn new(bytes: usize, ledger: &Arc<AtomicUsize>) -> Charge {
        ledger.fetch_add(bytes, Ordering::Relaxed);
        Charge { ledger: ledger.clone(), bytes: AtomicUsize::new(bytes) }
    }

    fn add(&self, more: usize) {
        // The ledger first: a message that leaves in between takes out no more than what is in it. Release, so that
        // who takes these bytes out has seen them put in; else the ledger might go below zero for a moment.
        self.ledger.fetch_add(more, Ordering::Relaxed);
        let add = |bytes| (bytes != SETTLED).then(|| bytes + more);
        if self.bytes.fetch_update(Ordering::Release, Ordering::Relaxed, add).is_err() {
            self.ledger.fetch_sub(more, Ordering::Relaxed);
        }
    }

    fn settle(&self) {
        // A message leaves its ring once.
        let bytes = self.bytes.swap(SETTLED, Ordering::Acquire);
        self.ledger.fetch_sub(bytes, Ordering::Relaxed);
    }
}
