//! Fields of an answer as they stand on the wire: whose they are, and which of two goes out.

mod common;
#[path = "common/still.rs"]
mod still;

use common::pipe;
use still::{Hand, Still};
use tidings::{Conn, Error, Exchange, Limits, Response, Result};

/// The head of what a handler answers to an upgrade, line by line.
fn head(handler: impl AsyncFn(Exchange<'_>) -> Result<()> + 'static) -> Vec<String> {
    let still = Still::new(Limits::DEFAULT);
    let (end, io) = pipe::pipe();
    let mut client = Hand::new(end);
    client.send(
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: chat\r\n\r\n",
    );
    let answered = still.serve("answer", io, |conn| answer(conn, handler));
    still.settle();
    assert!(answered.is_finished());
    smol::block_on(answered);
    client.read_all();
    let text = client.text();
    let head = text.split_once("\r\n\r\n").expect("a head").0;
    head.lines().map(str::to_owned).collect()
}

async fn answer(mut conn: Conn, handler: impl AsyncFn(Exchange<'_>) -> Result<()>) {
    let ex = conn.next().await.expect("no error").expect("a request");
    handler(ex).await.expect("an answer");
}

/// The values of a field.
fn values<'a>(head: &'a [String], name: &str) -> Vec<&'a str> {
    let fields = head.iter().filter_map(|line| line.split_once(": "));
    fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

#[test]
fn a_singleton_of_a_response_takes_the_place_of_its_default() {
    let head = head(async |ex| {
        let csv = Response::text("a,b\n").header("Content-Type", "text/csv").header("Vary", "Origin");
        ex.reply(csv.header("content-type", "text/tab-separated-values").header("Vary", "Accept")).await
    });
    assert_eq!(values(&head, "content-type"), ["text/tab-separated-values"]);
    // A list may have several lines.
    assert_eq!(values(&head, "vary"), ["Origin", "Accept"]);
}

#[test]
fn a_singleton_of_an_answer_goes_before_one_that_was_added_to_whichever_it_is() {
    let add = |ex: &mut Exchange<'_>| {
        for (name, value) in [("Content-Type", "text/html"), ("Vary", "Origin"), ("Retry-After", "7")] {
            ex.add_header(name, value).expect("legal");
        }
    };
    let whole = head(async move |mut ex| {
        add(&mut ex);
        ex.reply(Response::text("a")).await
    });
    let streamed = head(async move |mut ex| {
        add(&mut ex);
        ex.stream(
            Response::new(200).header("Content-Type", "text/plain; charset=utf-8").header("Vary", "Accept"),
        )
        .await?
        .finish()
        .await
    });
    for head in [&whole, &streamed] {
        assert_eq!(values(head, "content-type"), ["text/plain; charset=utf-8"]);
        assert_eq!(values(head, "retry-after"), ["7"]);
    }
    assert_eq!(
        (values(&whole, "vary"), values(&streamed, "vary")),
        (vec!["Origin"], vec!["Accept", "Origin"])
    );
}

/// What a handler tries to add, and whether it may.
const TRIED: [(&str, &str, bool); 10] = [
    ("Sec-WebSocket-Accept", "evil", false),
    ("sec-websocket-protocol", "evil", false),
    ("Sec-WebSocket-Extensions", "permessage-deflate", false),
    ("Content-Length", "5", false),
    ("Transfer-Encoding", "chunked", false),
    ("Date", "now", false),
    ("Upgrade", "h2c", true),
    ("Connection", "close, X-Hop", true),
    ("X-Hop", "a", true),
    ("Set-Cookie", "a=b", true),
];

#[test]
fn the_fields_of_a_handshake_are_not_the_handlers_to_add() {
    let head = head(async |mut ex| {
        for (name, value, may) in TRIED {
            let added = ex.add_header(name, value);
            assert_eq!(added.is_ok(), may, "{name}: {added:?}");
            assert!(may || matches!(added, Err(Error::Misuse(_))), "{name}");
        }
        ex.upgrade(Some("chat")).await.map(|_| ())
    });
    assert_eq!(head[0], "HTTP/1.1 101 Switching Protocols");
    for (name, value) in [
        ("Upgrade", "websocket"),
        ("Connection", "X-Hop, Upgrade"),
        ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("Sec-WebSocket-Protocol", "chat"),
        ("X-Hop", "a"),
        ("Set-Cookie", "a=b"),
    ] {
        assert_eq!(values(&head, name), [value], "{name}");
    }
    for name in ["Sec-WebSocket-Extensions", "Content-Length", "Transfer-Encoding"] {
        assert_eq!(values(&head, name), [""; 0], "{name}");
    }
}
