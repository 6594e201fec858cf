//! The futures of a WebSocket.

use std::time::Duration;

use tidings::{Conn, Hub, Payload, Wait, WebSocket};

use crate::knife::{Cut, Knife, Play, publish};
use crate::still::Still;

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// `hello` in two fragments with a ping between them, and `binary`.
const MESSAGES: &[u8] = b"\x01\x82\0\0\0\0he\x89\x84\0\0\0\0ping\x80\x83\0\0\0\0llo\x82\x86\0\0\0\0binary";
const PINGS: &[u8] = b"\x89\x80\0\0\0\0\x89\x80\0\0\0\0\x89\x80\0\0\0\0";
const CLOSE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";

/// What of a WebSocket is cut.
#[derive(Clone, Copy, PartialEq)]
enum OfSocket {
    Recv,
    Send,
    Framed,
    Ping,
    Close,
    Closed,
    Wait,
}

/// The first request as a WebSocket.
async fn socket(conn: &mut Conn) -> WebSocket<'_> {
    let ex = conn.next().await.expect("no error").expect("a request");
    ex.upgrade(None).await.expect("a handshake")
}

/// Sends each message back, a text also framed, and with a ping behind it, until the client closes.
async fn talk(mut conn: Conn, knife: Knife, of: OfSocket) {
    let never = Knife::new(Cut::Never);
    let at = |cut: OfSocket| if cut == of { &knife } else { &never };
    let mut socket = socket(&mut conn).await;
    for _ in 0..4 {
        let message = again!(at(OfSocket::Recv), socket.recv()).expect("no error").expect("a message");
        if let Payload::Text(text) = &message {
            let frame = WebSocket::frame(text);
            at(OfSocket::Framed).poll(socket.send_framed(&frame)).await.unwrap_or(Ok(())).expect("sent");
        }
        at(OfSocket::Send).poll(socket.send(message)).await.unwrap_or(Ok(())).expect("sent");
        at(OfSocket::Ping).poll(socket.ping()).await.unwrap_or(Ok(())).expect("sent");
    }
    again!(at(OfSocket::Closed), socket.closed()).expect("no error");
    assert!(conn.next().await.expect("no error").is_none());
}

#[test]
fn web_socket_recv_send_ping_and_closed() {
    for of in [OfSocket::Recv, OfSocket::Send, OfSocket::Framed, OfSocket::Ping, OfSocket::Closed] {
        let play = Play::of(&[UPGRADE, MESSAGES, MESSAGES, CLOSE]);
        let seen = play.try_all_cuts(move |conn, _, knife| talk(conn, knife, of));
        assert!(seen.contains("hello") && seen.contains("binary"), "{seen}");
    }
}

/// Sends what is published three times, and closes.
async fn tell(mut conn: Conn, hub: Hub, knife: Knife, of: OfSocket) {
    let never = Knife::new(Cut::Never);
    let at = |cut: OfSocket| if cut == of { &knife } else { &never };
    let mut news = hub.subscribe(&["news"], None).expect("room");
    let mut socket = socket(&mut conn).await;
    for _ in 0..3 {
        match again!(at(OfSocket::Wait), socket.wait(news.next(), Duration::MAX)) {
            Ok(Wait::Ready(Some(batch))) => socket.send(batch.messages[0].data()).await.expect("sent"),
            end => panic!("{end:?}"),
        }
    }
    at(OfSocket::Close).poll(socket.close(1000, "good bye")).await.unwrap_or(Ok(())).expect("closed");
    assert!(conn.next().await.expect("no error").is_none());
}

#[test]
fn web_socket_wait_and_close() {
    for of in [OfSocket::Wait, OfSocket::Close] {
        // The client does not answer our close, so that its time passes.
        let play = Play { happens: publish, rounds: 700, ..Play::of(&[UPGRADE, PINGS]) };
        let seen = play.try_all_cuts(move |conn, hub, knife| tell(conn, hub, knife, of));
        assert!(seen.matches("news of round").count() == 3 && seen.ends_with("good bye"), "{seen}");
    }
}

/// The server shuts down in one round; time passes in all.
fn shut_down(still: &Still, round: usize) {
    still.clock.advance(Duration::from_millis(10));
    if round == 200 {
        let server = still.server().clone();
        still.spawn("shutdown", async move { server.shutdown(Duration::MAX).await }).detach();
    }
}

/// Receives until the server shuts down.
async fn listen(mut conn: Conn, knife: Knife) {
    let mut socket = socket(&mut conn).await;
    while again!(knife, socket.recv()).expect("no error").is_some() {}
    assert!(conn.next().await.expect("no error").is_none());
}

#[test]
fn web_socket_recv_while_the_server_shuts_down() {
    let play = Play { happens: shut_down, rounds: 700, ..Play::of(&[UPGRADE, MESSAGES]) };
    let seen = play.try_all_cuts(|conn, _, knife| listen(conn, knife));
    assert!(seen.ends_with("shutdown"), "{seen}");
}

/// Upgrades; whoever drops that has no WebSocket.
async fn upgrade(mut conn: Conn, knife: Knife) {
    let ex = conn.next().await.expect("no error").expect("a request");
    let _ = knife.poll(ex.upgrade(None)).await;
    assert!(conn.next().await.expect("no error").is_none());
}

#[test]
fn exchange_upgrade() {
    let play = Play::of(&[UPGRADE, MESSAGES]);
    let seen = play.try_all_cuts(|conn, _, knife| upgrade(conn, knife));
    assert!(seen.starts_with("HTTP/1.1 101 ") && seen.ends_with("\r\n\r\n"), "{seen}");
}
