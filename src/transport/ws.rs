//! WebSocket: each message a text frame.

use core::ops::ControlFlow::{self, Break, Continue};
use std::borrow::Cow;

use super::Options;
use super::cursor::after;
use super::json::{gap_json, message_json};
use crate::{Batch, Exchange, Frame, Hub, Id, Published, Result, Subscription, Wait, WebSocket};

/// Sends what is published: each message is a text frame `{"id","topic","data"}`, with `event` and `key` if it has them. The
/// end of a topic is `{"id","topic","done":true,"reason"}`, the removal of a key's value
/// `{"id","topic","key","removed":true}`. The cursor is in `?after=`; an empty one is none.
///
/// The first frame is `{"next":ID}`, the cursor, or, if there is a gap, `{"gap":true,"until":ID,"next":ID}`; see
/// [gaps](super#gaps). Every
/// [`Limits::ping`](crate::Limits::ping) a ping is sent, and `{"next":ID}` if the cursor moved without a message.
///
/// This is a feed: it never publishes what a client sends. To take messages from clients, use [`Exchange::upgrade`]. The
/// close says why the feed ends:
///
/// | code | reason | when |
/// | --- | --- | --- |
/// | 1000 | `done` | all topics have ended, and all of them that is kept was sent |
/// | 1000 | `closed` | the hub is closed, and all that it keeps was sent |
/// | 1001 | `shutdown` | the server shuts down |
/// | 1008 | `this is a feed: nothing is to be sent` | the client sent a message |
/// | the client's | none | the client has closed |
/// | 1002, 1007, 1008, 1009, 1013 | a sentence | the client broke the protocol or a limit, or has ended its half without a close: see [`WebSocket::recv`] |
///
/// # Errors
///
/// [`Fault::Cursor`](crate::Fault::Cursor) (400) for an `?after=` that is no id, and the errors of [`Hub::subscribe`],
/// [`Exchange::upgrade`] and [`WebSocket::recv`].
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
pub fn websocket(ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> impl Future<Output = Result<()>> {
    run(ex, hub, topics, Options::DEFAULT)
}

/// Answers with a WebSocket.
pub(super) async fn run(ex: Exchange<'_>, hub: &Hub, topics: &[&str], options: Options) -> Result<()> {
    // The beginning and the end are boxed: a feed takes as much memory as its largest part for as long as it lives.
    let mut feed = Box::new(Box::pin(open(ex, hub, topics, options)).await?);
    match Box::pin(feed.follow()).await? {
        Some((code, reason)) => Box::pin(feed.socket.close(code, reason)).await,
        None => Ok(()),
    }
}

/// Begins the feed, and sends the cursor and what is kept behind it.
async fn open<'c>(ex: Exchange<'c>, hub: &Hub, topics: &[&str], options: Options) -> Result<Feed<'c>> {
    let mut news = options.follow(hub, topics, after(ex.head())?)?;
    let mut socket = ex.upgrade(None).await?;
    let batch = news.try_next();
    let (mut told, mut frames) = (batch.as_ref().map_or(news.cursor(), |batch| batch.from), Vec::new());
    // A gap's frame carries the cursor. A client that had it before could resume without hearing of the gap.
    if batch.as_ref().is_none_or(|batch| batch.gap.is_none()) {
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

/// The code and the reason of a close.
type Close = (u16, &'static str);

impl Feed<'_> {
    /// Sends what comes, until the feed ends; returns how to close it. `None` if the client has closed.
    async fn follow(&mut self) -> Result<Option<Close>> {
        let Feed { socket, news, told } = self;
        let feed = socket.wait_each(news, None, |socket, news, wait| push_next(socket, news, told, wait));
        Ok(feed.await?.flatten())
    }
}

/// Sends what a wait has brought; breaks if the feed ends.
fn push_next(
    socket: &mut WebSocket<'_>,
    news: &Subscription,
    told: &mut Id,
    wait: Wait<Option<Batch>>,
) -> Result<ControlFlow<Option<Close>>> {
    match wait {
        Wait::Ready(Some(batch)) => {
            *told = batch.next;
            if let ([message], None) = (&*batch.messages, batch.gap) {
                // Mostly it is one: its frame is written from where all readers share it.
                socket.push_framed(&frame(message))?;
            } else {
                // Several go out in one write.
                let mut frames = Vec::new();
                push_batch(&batch, &mut frames);
                socket.push_framed(&frames)?;
            }
        }
        Wait::Ready(None) if news.is_done() => return Ok(Break(Some((1000, "done")))),
        Wait::Ready(None) => return Ok(Break(Some((1000, "closed")))),
        Wait::Readable => return Ok(Break(Some((1008, "this is a feed: nothing is to be sent")))),
        Wait::Shutdown => return Ok(Break(Some((1001, "shutdown")))),
        Wait::Left => return Ok(Break(None)),
        // The cursor, if it moved since the client was last told.
        Wait::Elapsed if *told != news.cursor() => {
            *told = news.cursor();
            socket.push_framed(&cursor_frame(*told))?;
        }
        Wait::Elapsed => {}
    }
    Ok(Continue(()))
}

/// The frame of a cursor.
fn cursor_frame(next: Id) -> Vec<u8> {
    WebSocket::frame(&format!(r#"{{"next":"{next}"}}"#))
}

/// Appends the frame of a batch's gap, if it has one, and the frames of its messages.
fn push_batch(batch: &Batch, frames: &mut Vec<u8>) {
    if let Some(gap) = gap_json(batch) {
        frames.extend_from_slice(&WebSocket::frame(&gap));
    }
    // No more, since it is kept while the client lets its copy wait.
    frames.reserve_exact(batch.messages.iter().map(|message| frame(message).len()).sum());
    for message in &batch.messages {
        frames.extend_from_slice(&frame(message));
    }
}

/// The frame of a message, which is made for its first reader.
fn frame(message: &Published) -> Cow<'_, [u8]> {
    message.frame(Frame::WebSocket, |message| {
        let json = message_json(message);
        WebSocket::frame(core::str::from_utf8(&json).unwrap_or_default())
    })
}
