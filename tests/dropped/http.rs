//! The futures of a connection, an exchange and a streamed answer.

use std::future::pending;
use std::time::Duration;

use tidings::{Conn, Error, Event, Hub, Response, Wait};

use crate::knife::{Cut, Knife, Play, publish};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const EXPECTS: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
const CHUNKED: &[u8] =
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";

/// Whose futures are cut.
#[derive(Clone, Copy)]
struct Cuts {
    next: bool,
    chunk: bool,
    reply: bool,
}

/// Answers each request with its body.
async fn echo(mut conn: Conn, knife: Knife, cuts: Cuts) {
    let never = Knife::new(Cut::Never);
    let of = |cut: bool| if cut { &knife } else { &never };
    while let Some(mut ex) = again!(of(cuts.next), conn.next()).expect("no error") {
        let mut body = Vec::new();
        while let Some(piece) = again!(of(cuts.chunk), ex.chunk()).expect("a piece") {
            body.extend_from_slice(piece);
        }
        // Whoever drops it goes on as behind an answer.
        if let Some(replied) = of(cuts.reply).poll(ex.reply(Response::new(200).body(body))).await {
            replied.expect("an answer");
        }
    }
}

const NONE: Cuts = Cuts { next: false, chunk: false, reply: false };

fn three_requests() -> Play {
    Play::of(&[EXPECTS, b"0123456789", GET, CHUNKED, GET])
}

#[test]
fn conn_next() {
    let cuts = Cuts { next: true, ..NONE };
    let seen = three_requests().try_all_cuts(move |conn, _, knife| echo(conn, knife, cuts));
    assert!(seen.starts_with("HTTP/1.1 100 ") && seen.contains("0123456789"), "{seen}");
    assert!(seen.contains("hello world") && seen.matches("HTTP/1.1 200 OK").count() == 4, "{seen}");
}

#[test]
fn exchange_chunk() {
    let cuts = Cuts { chunk: true, ..NONE };
    three_requests().try_all_cuts(move |conn, _, knife| echo(conn, knife, cuts));
}

#[test]
fn exchange_reply() {
    let cuts = Cuts { reply: true, ..NONE };
    three_requests().try_all_cuts(move |conn, _, knife| echo(conn, knife, cuts));
}

#[test]
fn all_of_an_exchange() {
    let cuts = Cuts { next: true, chunk: true, reply: true };
    three_requests().try_all_cuts(move |conn, _, knife| echo(conn, knife, cuts));
}

/// What was read of a body is lost if its future is dropped, and the rest comes with the next.
async fn collect(mut conn: Conn, knife: Knife) {
    while let Some(mut ex) = conn.next().await.expect("no error") {
        let body = again!(knife, ex.text()).expect("a body");
        assert!(["", "0123456789", "hello world"].iter().any(|whole| whole.ends_with(&body)), "{body}");
        ex.reply(Response::text("read")).await.expect("an answer");
    }
}

#[test]
fn exchange_text_and_body() {
    let seen = three_requests().try_all_cuts(|conn, _, knife| collect(conn, knife));
    assert_eq!(seen.matches("\r\n\r\nread").count(), 4, "{seen}");
}

/// Holds each request until it is published what to answer.
async fn hold(mut conn: Conn, hub: Hub, knife: Knife) {
    let mut news = hub.subscribe(&["news"], None).expect("room");
    while let Some(mut ex) = conn.next().await.expect("no error") {
        let batch = match again!(knife, ex.wait(news.next(), Duration::MAX)).expect("no error") {
            Wait::Ready(Some(batch)) => batch,
            end => panic!("{end:?}"),
        };
        let data = batch.messages.iter().map(|message| message.data()).collect::<String>();
        ex.reply(Response::text(data)).await.expect("an answer");
    }
}

#[test]
fn exchange_wait() {
    let play = Play { happens: publish, rounds: 500, ..Play::of(&[GET, GET, GET, GET]) };
    let seen = play.try_all_cuts(hold);
    assert_eq!(seen.matches("news of round").count(), 4, "{seen}");
}

/// Says good bye when the client has ended its half.
async fn good_bye(mut conn: Conn, knife: Knife) {
    while let Some(mut ex) = conn.next().await.expect("no error") {
        again!(knife, ex.closed()).expect("no error");
        ex.reply(Response::text("good bye")).await.expect("an answer");
    }
}

#[test]
fn exchange_closed() {
    // Each answer is due when the client has ended its half: those behind the first come at once.
    let play = Play { happens: publish, rounds: 100, ..Play::of(&[GET, GET, GET]) };
    let seen = play.try_all_cuts(|conn, _, knife| good_bye(conn, knife));
    assert_eq!(seen.matches("good bye").count(), 3, "{seen}");
}

/// Begins an answer, and ends it when the client has ended its half.
async fn stream_good_bye(mut conn: Conn, knife: Knife) {
    while let Some(ex) = conn.next().await.expect("no error") {
        let mut stream = ex.stream(Response::new(200)).await.expect("a stream");
        stream.push(b"hello, and ").expect("a piece");
        again!(knife, stream.closed()).expect("no error");
        stream.write(b"good bye").await.expect("a piece");
        stream.finish().await.expect("an end");
    }
}

#[test]
fn body_writer_closed() {
    let play = Play { happens: publish, rounds: 100, ..Play::of(&[GET, GET]) };
    let seen = play.try_all_cuts(|conn, _, knife| stream_good_bye(conn, knife));
    assert_eq!(seen.matches("good bye").count(), 2, "{seen}");
}

/// Which futures of a stream are cut.
#[derive(Clone, Copy)]
enum Of {
    Writes,
    Waits,
    Ends,
}

/// Streams what is published, for the events that there will be.
async fn stream(mut conn: Conn, hub: Hub, knife: Knife, of: Of) {
    let never = Knife::new(Cut::Never);
    let [writes, waits, ends] =
        [Of::Writes, Of::Waits, Of::Ends].map(|cut| if cut as u8 == of as u8 { &knife } else { &never });
    let mut news = hub.subscribe(&["news"], None).expect("room");
    while let Some(ex) = conn.next().await.expect("no error") {
        let mut stream = ex.stream(Response::new(200)).await.expect("a stream");
        // The rest of what is dropped goes out with what follows.
        writes.poll(stream.write(b"hello, ")).await.unwrap_or(Ok(())).expect("written");
        writes.poll(stream.event(&Event::data("world"))).await.unwrap_or(Ok(())).expect("written");
        again!(writes, stream.flush()).expect("written");
        let Ok(Wait::Ready(Some(batch))) = again!(waits, stream.wait(news.next(), Duration::MAX)) else {
            panic!("no news");
        };
        for message in &batch.messages {
            writes.poll(stream.write(message.data().as_bytes())).await.unwrap_or(Ok(())).expect("written");
        }
        again!(waits, stream.wait(pending::<()>(), Duration::from_millis(1))).expect("no error");
        ends.poll(stream.finish()).await.unwrap_or(Ok(())).expect("written");
    }
}

#[test]
fn body_writer_write_event_flush_wait_and_finish() {
    for of in [Of::Writes, Of::Waits, Of::Ends] {
        let play = Play { happens: publish, rounds: 500, ..Play::of(&[GET, GET, GET]) };
        let seen = play.try_all_cuts(move |conn, hub, knife| stream(conn, hub, knife, of));
        assert_eq!(seen.matches("news of round").count(), 3, "{seen}");
    }
}

/// Fails, and goes on with what fails as the docs say.
async fn fail(mut conn: Conn, knife: Knife) {
    let _ = conn.next().await.expect("no error").expect("a request");
    knife.poll(conn.fail(&Error::Full)).await;
    while again!(knife, conn.next()).expect("no error").is_some() {}
}

#[test]
fn conn_fail() {
    let play = Play { happens: publish, rounds: 500, ..Play::of(&[GET, GET]) };
    let seen = play.try_all_cuts(|conn, _, knife| fail(conn, knife));
    assert!(seen.starts_with("HTTP/1.1 503 ") && seen.ends_with("try later\n"), "{seen}");
}
