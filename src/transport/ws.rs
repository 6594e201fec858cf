//! WebSocket: each message a text frame.

use super::{after, gap_json, message_json};
use crate::{Batch, Exchange, Frame, Hub, Id, Result, Wait, WebSocket};

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
    let mut news = hub.subscribe(topics, after(ex.head())?)?;
    let mut socket = ex.upgrade(None).await?;
    let heartbeat = socket.server().limits().ping;
    let mut batch = news.try_next();
    let mut told = batch.as_ref().map_or(news.cursor(), |batch| batch.from);
    // With a gap to tell, the gap's frame carries the cursor: who had it before would resume without hearing of it.
    if !batch.as_ref().is_some_and(|batch| batch.gap) {
        send_cursor(&mut socket, told).await?;
    }
    loop {
        while let Some(new) = batch {
            send_batch(&mut socket, &new).await?;
            told = new.next;
            batch = news.try_next();
        }
        batch = match socket.wait(news.next(), heartbeat).await? {
            Wait::Ready(Some(batch)) => Some(batch),
            Wait::Ready(None) => return socket.close(1000, "closed").await,
            Wait::Readable => return socket.close(1008, "this is a feed: nothing is to be sent").await,
            Wait::Shutdown => return socket.close(1001, "shutdown").await,
            Wait::Left => return Ok(()),
            Wait::Elapsed => {
                if told != news.cursor() {
                    told = news.cursor();
                    send_cursor(&mut socket, told).await?;
                }
                None
            }
        };
    }
}

async fn send_cursor(socket: &mut WebSocket<'_>, next: Id) -> Result<()> {
    socket.send(format!(r#"{{"next":"{next}"}}"#)).await
}

async fn send_batch(socket: &mut WebSocket<'_>, batch: &Batch) -> Result<()> {
    if batch.gap {
        socket.send(gap_json(batch)).await?;
    }
    for message in &batch.messages {
        let json = message.frame(Frame::Json, message_json);
        socket.send(core::str::from_utf8(json).unwrap_or_default()).await?;
    }
    Ok(())
}
