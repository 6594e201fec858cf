//! What a connection may take from the others while it is held: room for bytes that nobody uses, turns, and the time of a
//! shutdown.

mod common;
#[path = "common/still.rs"]
mod still;

use std::cell::Cell;
use std::future::ready;
use std::rc::Rc;
use std::time::Duration;

use common::pipe;
use still::{Hand, Still};
use tidings::{Conn, Exchange, Hub, Limits, Response, Wait};

const NANOSECOND: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Holds each request until its client has ended its half, without a timer.
async fn hold(mut conn: Conn, hub: Hub) -> tidings::Result<()> {
    while let Some(mut ex) = conn.next().await? {
        match ex.path() {
            "/events" => common::app(&hub, ex).await?,
            "/stream" => {
                let mut stream = ex.stream(Response::new(200)).await?;
                stream.closed().await?;
                stream.finish().await?;
            }
            _ => {
                ex.closed().await?;
                ex.reply(Response::text("good bye")).await?;
            }
        }
    }
    Ok(())
}

/// A client whose request is held.
fn held(still: &Still, request: impl AsRef<[u8]>) -> Hand {
    let (end, io) = pipe::pipe();
    let hub = still.world.hub.clone();
    still.serve("hold", io, |conn| hold(conn, hub)).detach();
    let mut client = Hand::new(end);
    client.send(request);
    still.settle();
    client
}

/// A request, its fields, and so many bytes behind it.
fn with_bytes(method: &str, path: &str, fields: &str, came: usize) -> Vec<u8> {
    [format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes(), vec![b'x'; came]].concat()
}

#[test]
fn bytes_that_nobody_uses_leave_at_their_moment_whatever_holds_the_connection() {
    let mut limits = Limits::DEFAULT;
    limits.ping = Duration::from_secs(3600);
    let chunk = "Transfer-Encoding: chunked\r\n\r\n2000\r\n";
    for request in [
        with_bytes("GET", "/", "", 7168),
        with_bytes("GET", "/stream", "", 7168),
        with_bytes("GET", "/events", "", 7168),
        with_bytes("POST", "/", "Content-Length: 40000\r\n", 7168),
        with_bytes("POST", "/", "Content-Length: 7168\r\n", 7168),
        with_bytes("POST", "/stream", "Content-Length: 40000\r\n", 7168),
        with_bytes("POST", "/", chunk, 7168),
    ] {
        let (still, name) =
            (Still::new(limits.clone()), String::from_utf8_lossy(&request[..40]).into_owned());
        let mut client = held(&still, &request);
        still.pass(limits.body_time - NANOSECOND);
        let (connections, held, buffered) = still.figures();
        assert!((connections, held) == (1, 1) && buffered >= 7168 - 1024, "{name}: {buffered}");
        still.pass(NANOSECOND);
        assert_eq!(still.figures(), (1, 1, 0), "{name}");
        // Nor does what comes now take room, and its end is heard: the answer is whole, and the last.
        client.send([b'x'; 100_000]);
        still.settle();
        assert_eq!(still.figures(), (1, 1, 0), "{name}");
        client.finish();
        still.settle();
        client.read_all();
        let text = client.text();
        let ends = ["good bye", "0\r\n\r\n"].iter().any(|end| text.ends_with(end));
        assert!(client.over && ends && text.matches("HTTP/1.1 200").count() == 1, "{name}: {text}");
        assert_eq!(still.figures(), (0, 0, 0), "{name}");
    }
}

/// 170 clients whose requests are held take all of the room; it is others' again when the time of their bytes is up.
fn others_get_their_room(held_request: &[u8]) {
    let mut limits = Limits::DEFAULT;
    limits.ping = Duration::from_secs(3600);
    let still = Still::new(limits);
    let clients = Vec::from_iter((0..170).map(|_| held(&still, held_request)));
    let taken = still.server().stats().buffered;
    assert!(taken > Limits::DEFAULT.buffered - 7168, "{taken}");
    still.pass(SECOND);
    let mut other = still.connect();
    other.send(with_bytes("POST", "/echo", "Content-Length: 8000\r\n", 8000));
    still.settle();
    other.read_all();
    assert_eq!(other.text(), "", "there was room");
    still.pass(Limits::DEFAULT.body_time - SECOND);
    // Whoever waits for room looks again before long.
    still.pass(SECOND / 10);
    other.read_all();
    assert!(other.text().starts_with("HTTP/1.1 200 "), "{}", other.text());
    assert_eq!(still.figures(), (171, 170, 0));
    drop(clients);
}

#[test]
fn pipelined_bytes_of_held_clients_do_not_keep_others_from_posting() {
    others_get_their_room(&with_bytes("GET", "/", "", 7168));
}

#[test]
fn unread_bodies_of_held_clients_do_not_keep_others_from_posting() {
    others_get_their_room(&with_bytes("POST", "/", "Content-Length: 40000\r\n", 7168));
}

#[test]
fn early_bytes_behind_event_streams_do_not_keep_others_from_posting() {
    others_get_their_room(&with_bytes("GET", "/events", "", 7168));
}

/// The loop in the docs of `WebSocket::wait`.
async fn chat(mut conn: Conn, hub: Hub) -> tidings::Result<()> {
    let ex = conn.next().await?.expect("a request");
    let (mut room, mut socket) = (hub.subscribe(&["room"], None)?, ex.upgrade(None).await?);
    loop {
        match socket.wait(room.next(), Duration::MAX).await? {
            Wait::Ready(Some(batch)) => {
                assert!(batch.gap.is_none(), "messages were lost");
                for message in &batch.messages {
                    socket.send(message.data()).await?;
                }
            }
            Wait::Readable => {
                if let Some(tidings::Payload::Text(text)) = socket.recv().await? {
                    hub.publish("room", text)?;
                }
            }
            _ => return socket.close(1001, "bye").await,
        }
    }
}

#[test]
fn a_burst_of_a_websocket_does_not_hide_the_messages_of_others() {
    let still = Still::new(Limits::DEFAULT);
    let (end, io) = pipe::pipe();
    let hub = still.world.hub.clone();
    still.serve("chat", io, |conn| chat(conn, hub)).detach();
    let mut client = Hand::new(end);
    client.send([UPGRADE, &b"\x81\x82\0\0\0\0hi".repeat(300)].concat());
    still.settle();
    client.read_all();
    let frames = client.seen.windows(4).filter(|frame| frame == b"\x81\x02hi").count();
    assert_eq!((frames, still.world.hub.stats().gaps), (300, 0));
}

/// How often a held wait may be taken in a row before another connection has its turn, and before what else there is shows.
const TURNS: usize = 20;

/// Waits for what is always there until `done`, by one of the waits; returns how often.
async fn wait_for_what_is_there(mut ex: Exchange<'_>, kind: &str, done: &Cell<bool>) -> usize {
    let mut waits = 0..10 * TURNS;
    match kind {
        "exchange" => {
            while !done.get() && waits.next().is_some() {
                let end = ex.wait(ready(()), Duration::MAX).await.expect("held");
                assert_eq!(end, Wait::Ready(()));
            }
        }
        "stream" => {
            let mut stream = ex.stream(Response::new(200)).await.expect("a stream");
            while !done.get() && waits.next().is_some() {
                let end = stream.wait(ready(()), Duration::MAX).await.expect("held");
                assert_eq!(end, Wait::Ready(()));
            }
        }
        _ => {
            let mut socket = ex.upgrade(None).await.expect("a handshake");
            while !done.get() && waits.next().is_some() {
                let end = socket.wait(ready(()), Duration::MAX).await.expect("held");
                assert_eq!(end, Wait::Ready(()));
            }
        }
    }
    waits.start
}

#[test]
fn a_future_that_is_always_ready_leaves_other_connections_their_turn() {
    for kind in ["exchange", "stream", "socket"] {
        let (still, done) = (Still::new(Limits::DEFAULT), Rc::new(Cell::new(false)));
        let (mut client, io) = pipe_to_server();
        let is_done = done.clone();
        let waits = still.serve("busy", io, |mut conn| async move {
            let ex = conn.next().await.expect("no error").expect("a request");
            wait_for_what_is_there(ex, kind, &is_done).await
        });
        let (mut other, io) = pipe_to_server();
        let other_conn = still.serve("other", io, |mut conn| async move {
            let ex = conn.next().await.expect("no error").expect("a request");
            done.set(true);
            ex.reply(Response::text("hello")).await.expect("an answer");
        });
        client.send(UPGRADE);
        other.send(GET);
        still.settle();
        let waits = smol::block_on(waits);
        assert!(other_conn.is_finished() && waits < TURNS, "{kind}: {waits} waits");
    }
}

fn pipe_to_server() -> (Hand, pipe::End) {
    let (end, io) = pipe::pipe();
    (Hand::new(end), io)
}

#[test]
fn a_future_that_is_always_ready_does_not_hide_for_long_that_the_client_has_left() {
    for kind in ["exchange", "stream"] {
        let still = Still::new(Limits::DEFAULT);
        let (mut client, io) = pipe_to_server();
        client.send(GET);
        client.finish();
        let waits = still.serve("busy", io, |mut conn| async move {
            let mut ex = conn.next().await.expect("no error").expect("a request");
            let mut ends = Vec::new();
            if kind == "exchange" {
                for _ in 0..4 {
                    ends.push(ex.wait(ready(()), Duration::MAX).await.expect("held"));
                }
            } else {
                let mut stream = ex.stream(Response::new(200)).await.expect("a stream");
                for _ in 0..4 {
                    ends.push(stream.wait(ready(()), Duration::MAX).await.expect("held"));
                }
            }
            ends
        });
        still.settle();
        // Each has its turn.
        let [there, left] = [Wait::Ready(()), Wait::Left];
        assert_eq!(smol::block_on(waits), [there, left, there, left], "{kind}");
    }
}

#[test]
fn a_future_and_a_shutdown_have_their_turns() {
    let still = Still::new(Limits::DEFAULT);
    let (mut client, io) = pipe_to_server();
    client.send(GET);
    let server = still.server().clone();
    let waits = still.serve("busy", io, |mut conn| async move {
        let mut ex = conn.next().await.expect("no error").expect("a request");
        let mut shutdown = std::pin::pin!(server.shutdown(Duration::MAX));
        assert!(smol::future::poll_once(&mut shutdown).await.is_none());
        let mut ends = Vec::new();
        for _ in 0..4 {
            ends.push(ex.wait(ready(()), Duration::MAX).await.expect("held"));
        }
        ends
    });
    still.settle();
    let [there, shutdown] = [Wait::Ready(()), Wait::Shutdown];
    assert_eq!(smol::block_on(waits), [there, shutdown, there, shutdown]);
}
