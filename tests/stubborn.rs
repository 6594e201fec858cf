//! Handlers that go on whatever they are told: they ignore `Wait::Shutdown`, and each error. Others have their turn, the
//! shutdown returns, and when its time is up each operation fails.

mod common;
#[path = "common/still.rs"]
mod still;

use std::cell::Cell;
use std::future::{pending, ready};
use std::rc::Rc;
use std::time::Duration;

use common::pipe;
use still::{Hand, Still};
use tidings::{BodyWriter, Conn, Event, Exchange, Limits, Response, Result, WebSocket};

const SECOND: Duration = Duration::from_secs(1);
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
/// Half a body.
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello";
const BAD_CHUNK: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx";

/// What a handler does again and again.
#[derive(Clone, Copy, Debug)]
enum Again {
    Chunk,
    Body,
    Wait,
    WaitForWhatIsThere,
    Closed,
    Write,
    Event,
    Flush,
    StreamWait,
    Recv,
    Send,
    Framed,
    Ping,
    SocketWait,
}

use Again::{
    Body, Chunk, Closed, Event as WriteEvent, Flush, Framed, Ping, Recv, Send, SocketWait, StreamWait, Wait,
    WaitForWhatIsThere, Write,
};

/// What came of it.
#[derive(Default)]
struct Log {
    done: Cell<usize>,
    failed: Cell<usize>,
}

/// More than a handler does in this test, unless it keeps the thread.
const KEEPS_THE_THREAD: usize = 1_000_000;

impl Log {
    fn note<T>(&self, result: Result<T>) {
        self.done.set(self.done.get() + 1);
        self.failed.set(self.failed.get() + usize::from(result.is_err()));
        assert!(self.done.get() < KEEPS_THE_THREAD, "it keeps the thread");
    }
}

async fn stubborn(mut conn: Conn, again: Again, log: Rc<Log>) {
    let ex = conn.next().await.expect("no error").expect("a request");
    match again {
        Chunk | Body | Wait | WaitForWhatIsThere | Closed => go_on(ex, again, &log).await,
        Write | WriteEvent | Flush | StreamWait => {
            stream_on(ex.stream(Response::new(200)).await.expect("a stream"), again, &log).await;
        }
        _ => talk_on(ex.upgrade(None).await.expect("a handshake"), again, &log).await,
    }
}

async fn go_on(mut ex: Exchange<'_>, again: Again, log: &Log) {
    loop {
        match again {
            Chunk => log.note(ex.chunk().await),
            Body => log.note(ex.body().await),
            Wait => log.note(ex.wait(pending::<()>(), SECOND).await),
            WaitForWhatIsThere => log.note(ex.wait(ready(()), SECOND).await),
            _ => log.note(ex.closed().await),
        }
    }
}

async fn stream_on(mut stream: BodyWriter<'_>, again: Again, log: &Log) {
    loop {
        match again {
            Write => log.note(stream.write(b"0123456789").await),
            WriteEvent => log.note(stream.event(&Event::data("news")).await),
            Flush => log.note(stream.flush().await),
            _ => log.note(stream.wait(pending::<()>(), SECOND).await),
        }
    }
}

async fn talk_on(mut socket: WebSocket<'_>, again: Again, log: &Log) {
    let frame = WebSocket::frame("hello");
    loop {
        match again {
            Recv => log.note(socket.recv().await),
            Send => log.note(socket.send("hello").await),
            Framed => log.note(socket.send_framed(&frame).await),
            Ping => log.note(socket.ping().await),
            _ => log.note(socket.wait(pending::<()>(), SECOND).await),
        }
    }
}

/// So many turns are enough for all that is to happen.
const TURNS: usize = 200;

/// A handler and its client, which has room for so much and reads nothing.
fn begin(still: &Still, again: Again, request: &str, room: usize) -> (Hand, Rc<Log>) {
    let (end, io) = pipe::pipe();
    end.capacity(room);
    let mut client = Hand::new(end);
    client.send(request);
    let log = Rc::new(Log::default());
    still.serve("stubborn", io, |conn| stubborn(conn, again, log.clone())).detach();
    (client, log)
}

fn ignores_a_shutdown(again: Again, request: &str, room: usize) {
    let (still, name) = (Still::new(Limits::DEFAULT), format!("{again:?} {}", &request[..4]));
    let mut other = still.connect();
    other.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    still.turns(TURNS);
    let (mut client, log) = begin(&still, again, request, room);
    still.turns(TURNS);
    let server = still.server().clone();
    let shutdown = still.spawn("shutdown", async move { server.shutdown(3 * SECOND).await });
    still.turns(TURNS);
    // Others go on.
    other.send("hello");
    still.turns(TURNS);
    other.read_all();
    assert!(other.text().ends_with("hello"), "{name}: {}", other.text());
    other.finish();
    assert!(!shutdown.is_finished(), "{name}");
    still.clock.advance(3 * SECOND);
    still.turns(TURNS);
    assert!(shutdown.is_finished(), "{name}");
    // From now on all fails, though its client reads again.
    client.read_all();
    still.turns(TURNS);
    log.done.set(0);
    log.failed.set(0);
    client.read_all();
    still.turns(TURNS);
    let (done, failed) = (log.done.get(), log.failed.get());
    assert!(done > 0 && failed == done, "{name}: {failed} of {done} failed");
}

#[test]
fn whatever_a_handler_does_again_and_again_ends_with_the_shutdown() {
    for (request, does) in [
        (POST, &[Chunk, Body, Wait, WaitForWhatIsThere, Closed][..]),
        (BAD_CHUNK, &[Chunk, Body]),
        (GET, &[Chunk, Body, Wait, WaitForWhatIsThere, Closed, Write, WriteEvent, Flush, StreamWait]),
        (HEAD, &[Write, WriteEvent, Flush, StreamWait]),
        (UPGRADE, &[Recv, Send, Framed, Ping, SocketWait]),
    ] {
        for again in does {
            for room in [200, 1 << 30] {
                ignores_a_shutdown(*again, request, room);
            }
        }
    }
}
