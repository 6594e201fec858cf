//! WebSocket: each message a text frame.

use std::sync::Arc;

use super::cursor::after;
use super::json::{gap_json, message_json};
use crate::{Batch, Exchange, Frame, Hub, Id, Published, Result, Subscription, Wait, WebSocket};

/// Sends what is published, each message as a text frame `{"id","topic","data"}`. The first frame is
/// `{"next":ID}`, the cursor; so is one after each heartbeat that moved it. A gap is
/// `{"gap":true,"oldest":ID,"next":ID}`.
///
/// What a client sends is never published: it is closed with 1008. Whoever wants both ways uses
/// [`Exchange::upgrade`]. The server's shutdown closes with 1001, the hub's end with 1000.
///
/// # Errors
///
/// [`Fault::Cursor`](crate::Fault::Cursor), and those of [`Hub::subscribe`], [`Exchange::upgrade`] and
/// [`WebSocket::recv`].
///
/// # Examples
///
/// ```
/// use tidings::{Exchange, Hub, Response, transport};
///
/// async fn app(ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
///     match (ex.method(), ex.path()) {
///         ("GET", "/ws") => transport::websocket(ex, hub, &["news"]).await,
///         _ => ex.reply(Response::new(404)).await,
///     }
/// }
/// ```
pub async fn websocket(ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> Result<()> {
    // The beginning and the end are boxed: a feed takes the memory of its largest part for as long as it lives.
    let mut feed = Box::new(Box::pin(open(ex, hub, topics)).await?);
    match Box::pin(feed.follow()).await? {
        Some((code, reason)) => Box::pin(feed.socket.close(code, reason)).await,
        None => Ok(()),
    }
}

/// Begins the feed: the cursor, and what is there already.
async fn open<'c>(ex: Exchange<'c>, hub: &Hub, topics: &[&str]) -> Result<Feed<'c>> {
    let mut news = hub.subscribe(topics, after(ex.head())?)?;
    let mut socket = ex.upgrade(None).await?;
    let batch = news.try_next();
    let (mut told, mut frames) = (batch.as_ref().map_or(news.cursor(), |batch| batch.from), Vec::new());
    // With a gap to tell, the gap's frame carries the cursor: who had it before would resume without hearing of it.
    if !batch.as_ref().is_some_and(|batch| batch.gap) {
        frames = cursor_frame(told);
    }
    if let Some(batch) = batch {
        told = batch.next;
        push_batch(&batch, &mut frames);
    }
    socket.send_framed(&frames).await?;
    Ok(Feed { socket, news, told })
}

/// A feed under way.
struct Feed<'c> {
    socket: WebSocket<'c>,
    news: Subscription,
    /// The cursor that the client has.
    told: Id,
}

impl Feed<'_> {
    /// Sends what comes, until the end; with which code and why, unless the client has left.
    async fn follow(&mut self) -> Result<Option<(u16, &'static str)>> {
        loop {
            let heartbeat = self.socket.server().limits().ping;
            let frames = match self.socket.wait(self.news.next(), heartbeat).await? {
                Wait::Ready(Some(batch)) => self.frames(batch),
                Wait::Ready(None) => return Ok(Some((1000, "closed"))),
                Wait::Readable => return Ok(Some((1008, "this is a feed: nothing is to be sent"))),
                Wait::Shutdown => return Ok(Some((1001, "shutdown"))),
                Wait::Left => return Ok(None),
                Wait::Elapsed => self.heartbeat(),
            };
            // Several messages are one write.
            self.socket.send_framed(frames.bytes()).await?;
        }
    }

    fn frames(&mut self, mut batch: Batch) -> Frames {
        self.told = batch.next;
        if let ([message], false) = (&*batch.messages, batch.gap) {
            if frame(message).len() <= SHARED {
                return batch.messages.pop().map_or_else(Frames::default, Frames::Shared);
            }
        }
        let mut frames = Vec::new();
        push_batch(&batch, &mut frames);
        Frames::Own(frames)
    }

    /// The cursor if it moved since it was last told.
    fn heartbeat(&mut self) -> Frames {
        let cursor = self.news.cursor();
        if self.told == cursor {
            return Frames::default();
        }
        self.told = cursor;
        Frames::Own(cursor_frame(cursor))
    }
}

/// The largest frame that is written from where it is, in bytes: meanwhile the message is kept with all that was made
/// of it, so that of a large one a copy of the frame takes less.
const SHARED: usize = 2 * 1024;

/// What is to be written.
enum Frames {
    /// One message, as it mostly is: its frame is written from where all readers share it.
    Shared(Arc<Published>),
    /// Several, or something else.
    Own(Vec<u8>),
}

impl Frames {
    fn bytes(&self) -> &[u8] {
        match self {
            Frames::Shared(message) => frame(message),
            Frames::Own(frames) => frames,
        }
    }
}

impl Default for Frames {
    fn default() -> Frames {
        Frames::Own(Vec::new())
    }
}

fn cursor_frame(next: Id) -> Vec<u8> {
    WebSocket::frame(&format!(r#"{{"next":"{next}"}}"#))
}

fn push_batch(batch: &Batch, frames: &mut Vec<u8>) {
    if batch.gap {
        frames.extend_from_slice(&WebSocket::frame(&gap_json(batch)));
    }
    for message in &batch.messages {
        frames.extend_from_slice(frame(message));
    }
}

/// The frame of a message: made for its first reader.
fn frame(message: &Published) -> &[u8] {
    message.frame(Frame::WebSocket, |message| {
        let json = message_json(message);
        WebSocket::frame(core::str::from_utf8(&json).unwrap_or_default())
    })
}
