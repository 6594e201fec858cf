//! The connection on a pipe in memory: answers, limits, deadlines, endings.

mod common;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use common::World;
use common::client::Client;
use common::pipe::End;
use smol::future::poll_once;
use smol::stream::StreamExt;
use tidings::{Conn, Error, Limits, ManualClock, Phase, Response, Server, Wait};

const SHORT: Duration = Duration::from_millis(40);

impl World {
    fn client(&self) -> Client<End> {
        Client::new(self.connect())
    }
}

#[test]
fn an_answer_is_one_write() {
    World::run(Limits::DEFAULT, async |world| {
        let mut client = world.client();
        assert_eq!(client.get("/", "").await.body, "hello");
        assert_eq!(client.stream.writes(), 1);
        assert_eq!(client.get("/empty", "").await.status, 204);
        assert_eq!(client.stream.writes(), 2);
    });
}

#[test]
fn head_is_answered_without_a_body() {
    World::run(Limits::DEFAULT, async |world| {
        let mut client = world.client();
        client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\nHEAD /events HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(client.until("\r\n\r\n").await.contains("Content-Length: 5\r\n"));
        assert!(client.until("\r\n\r\n").await.contains("text/event-stream"));
        assert_eq!(client.get("/", "").await.body, "hello");
    });
}

#[test]
fn requests_may_be_pipelined_and_cut_anywhere() {
    World::run(Limits::DEFAULT, async |world| {
        let body =
            "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        for grain in [1, 2, 7, usize::MAX] {
            let mut client = world.client();
            client.stream.grain(grain);
            client.send(body.repeat(40)).await;
            for _ in 0..40 {
                assert_eq!(client.answer().await.body, "abc");
            }
        }
    });
}

#[test]
fn an_early_answer_drains_the_body_or_closes() {
    World::run(Limits::DEFAULT, async |world| {
        let mut client = world.client();
        client.send("POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(client.answer().await.status, 404);
        assert_eq!(client.answer().await.body, "hello");
        // More than may be drained: the answer says that the connection ends.
        client.send("POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 65537\r\n\r\n").await;
        assert_eq!(client.answer().await.field("connection"), Some("close"));
        assert_eq!(client.rest().await, "");
    });
}

#[test]
fn a_client_that_expects_100_gets_it_when_the_body_is_read() {
    World::run(Limits::DEFAULT, async |world| {
        let expect = "Host: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
        let mut client = world.client();
        client.send(format!("POST /echo HTTP/1.1\r\n{expect}")).await;
        assert_eq!(client.answer().await.status, 100);
        client.send("abc").await;
        assert_eq!(client.answer().await.body, "abc");
        // Nobody reads it, so nobody asks for it, and nobody knows whether it comes.
        client.send(format!("POST /none HTTP/1.1\r\n{expect}")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.field("connection")), (404, Some("close")));
    });
}

#[test]
fn a_field_that_is_not_legal_is_not_added() {
    World::run(Limits::DEFAULT, async |world| {
        let (server_end, client_end) = common::pipe::pipe();
        let mut conn = Conn::new(server_end, &world.server);
        let mut client = Client::new(client_end);
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut ex = conn.next().await.expect("a request").expect("one");
        for (name, value) in
            [("X", "a\r\nY: b"), ("X Y", "a"), ("", "a"), ("Date", "now"), ("content-length", "5")]
        {
            assert!(matches!(ex.add_header(name, value), Err(tidings::Error::Misuse(_))), "{name}: {value}");
        }
        ex.add_header("Vary", "Origin").expect("legal");
        // Nor is it lost for an answer that is not legal.
        let error = ex.reply(Response::new(99)).await.expect_err("no status");
        smol::future::zip(conn.fail(&error), async {
            let answer = client.answer().await;
            assert_eq!((answer.status, answer.field("vary")), (500, Some("Origin")));
            drop(client);
        })
        .await;
    });
}

#[test]
fn an_error_of_the_handler_shows_with_its_status() {
    let mut limits = Limits::DEFAULT;
    (limits.body, limits.topics, limits.published) = (4096, 1, 2048);
    World::run(limits, async |world| {
        let status = async |request: &str| {
            let mut client = world.client();
            client.send(request).await;
            let answer = client.answer().await;
            assert_eq!(answer.field("connection"), Some("close"));
            assert!(!answer.body.contains("secret"));
            assert_eq!(client.rest().await, "");
            answer.status
        };
        let post = |path: &str, body: &str| {
            format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        assert_eq!(status(&post("/publish", &"x".repeat(4097))).await, 413);
        assert_eq!(status(&post("/publish", &"x".repeat(3000))).await, 413);
        assert_eq!(status(&post("/error", "")).await, 500);
        assert_eq!(status(&post("/io-error", "")).await, 500);
        assert_eq!(status(&post("/silent", "")).await, 500);
        // A topic that has a reader does not leave for another one.
        let _reader = world.hub.subscribe(&["other"], None).expect("room");
        assert_eq!(status(&post("/publish", "x")).await, 503);
        assert_eq!(status("POST /publish HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n\u{ff}").await, 400);
    });
}

#[test]
fn a_future_that_is_always_ready_hides_neither_a_client_that_left_nor_a_shutdown() {
    for shutdown in [false, true] {
        World::run(Limits::DEFAULT, async |world| {
            let (end, io) = common::pipe::pipe();
            let mut conn = Conn::new(io, &world.server);
            let mut client = Client::new(end);
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
            let mut exchange = conn.next().await.expect("a request").expect("a request");
            match shutdown {
                true => world
                    .executor
                    .spawn({
                        let server = world.server.clone();
                        async move { server.shutdown(SHORT).await }
                    })
                    .detach(),
                false => drop(client),
            }
            let end = loop {
                match exchange.wait(std::future::ready(()), Duration::MAX).await.expect("held") {
                    Wait::Ready(()) => smol::future::yield_now().await,
                    end => break end,
                }
            };
            assert_eq!(end, if shutdown { Wait::Shutdown } else { Wait::Left });
        });
    }
}

#[test]
fn a_large_upload_is_refused_by_an_answer_and_not_by_a_reset() {
    World::run(Limits::DEFAULT, async |world| {
        let mut client = world.client();
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n").await;
        client.send(vec![b'x'; 900_000]).await;
        assert_eq!(client.answer().await.status, 413);
        assert_eq!(client.rest().await, "");
    });
}

#[test]
fn a_stream_that_was_torn_has_no_end() {
    World::run(Limits::DEFAULT, async |world| {
        let mut client = world.client();
        client.send("GET /torn HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(client.rest().await.ends_with("4\r\nhalf\r\n"));
    });
}

#[test]
fn a_post_may_be_answered_by_a_stream() {
    World::run(Limits::DEFAULT, async |world| {
        let mut client = world.client();
        for version in ["1.1", "1.0"] {
            client
                .send(format!("POST /stream HTTP/{version}\r\nHost: h\r\nContent-Length: 8\r\n\r\nabcdefgh"))
                .await;
            assert_eq!(client.answer().await.body, "abcdefgh");
        }
    });
}

#[test]
fn http_1_0_closes_unless_it_is_asked_not_to() {
    World::run(Limits::DEFAULT, async |world| {
        let mut client = world.client();
        client.send("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").await;
        assert_eq!(client.answer().await.field("connection"), Some("keep-alive"));
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        assert_eq!(client.answer().await.field("connection"), Some("close"));
        assert_eq!(client.rest().await, "");
    });
}

#[test]
fn deadlines_hold_per_phase() {
    let mut limits = Limits::DEFAULT;
    (limits.head_time, limits.body_time, limits.idle) = (SHORT, SHORT, SHORT);
    World::run(limits, async |world| {
        let said = async |request: &str| {
            let mut client = world.client();
            client.send(request).await;
            client.rest().await
        };
        assert_eq!(said("").await, "", "no byte: a silent close");
        assert!(said("GET / HT").await.starts_with("HTTP/1.1 408 "), "half a head");
        assert!(
            said("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na")
                .await
                .starts_with("HTTP/1.1 408 ")
        );
        let idle = said("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(idle.ends_with("\r\n\r\nhello"), "idle: a silent close: {idle}");
        // The rest of a body that nobody wanted does not come: a silent close.
        assert!(!said("POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\na").await.contains("408"));
    });
}

#[test]
fn an_empty_line_behind_a_body_begins_no_request() {
    let mut limits = Limits::DEFAULT;
    (limits.head_time, limits.idle) = (SHORT * 5, SHORT * 10);
    World::run(limits, async |world| {
        let post = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
        for line in ["\r", "\r\n"] {
            let mut client = world.client();
            client.send(post).await;
            assert_eq!(client.answer().await.body, "x");
            client.send(line).await;
            // Closed in silence when it was idle for long enough, and not told that a head took too long.
            assert_eq!(client.rest().await, "", "{line:?}");
            let mut client = world.client();
            client.send(format!("{post}{line}")).await;
            assert_eq!((client.answer().await.body, client.rest().await), ("x".to_owned(), String::new()));
        }
        // One that goes on is a request.
        let mut client = world.client();
        client.send(format!("{post}\r\nG")).await;
        assert_eq!(client.answer().await.body, "x");
        assert!(client.rest().await.starts_with("HTTP/1.1 408 "));
    });
}

#[test]
fn a_byte_now_and_then_does_not_hold_a_head_open() {
    let mut limits = Limits::DEFAULT;
    limits.head_time = SHORT;
    World::run(limits, async |world| {
        let mut client = world.client();
        client.send("GET / HTTP/1.1\r\nX: ").await;
        while client.stream.pending() == 0 {
            client.send("x").await;
            smol::Timer::after(SHORT / 8).await;
        }
        assert_eq!(client.answer().await.status, 408);
    });
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let mut limits = Limits::DEFAULT;
    limits.write_time = SHORT;
    World::run(limits, async |world| {
        let mut client = world.client();
        client.stream.capacity(100);
        client
            .send(format!(
                "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n{}",
                "x".repeat(5000)
            ))
            .await;
        while world.server.stats().connections > 0 {
            smol::future::yield_now().await;
        }
        assert!(client.rest().await.len() <= 100);
    });
}

#[test]
fn what_was_used_takes_no_room_while_the_client_reads_its_answer() {
    World::run(Limits::DEFAULT, async |world| {
        for streams in [false, true] {
            let (end, io) = common::pipe::pipe();
            let (mut client, mut conn) = (Client::new(end), Conn::new(io, &world.server));
            client.stream.capacity(100);
            let (cookie, body) = ("x".repeat(6000), "y".repeat(5000));
            client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\n")).await;
            client.send(format!("Content-Length: 5000\r\n\r\n{body}")).await;
            let mut exchange = conn.next().await.expect("no fault").expect("a request");
            exchange.body().await.expect("a body");
            let head = world.server.stats().buffered;
            assert!((5000..7000).contains(&head), "a body that is whole is the handler's: {head}");
            if streams {
                exchange.forget_head();
                assert_eq!(world.server.stats().buffered, 0);
            }
            let mut reply = pin!(exchange.reply(Response::text("z".repeat(5000))));
            assert!(poll_once(&mut reply).await.is_none());
            assert_eq!(world.server.stats().buffered, 0);
        }
    });
}

#[test]
fn an_answer_that_was_given_up_stays_where_it_is_while_the_connection_ends() {
    let page: Arc<[u8]> = vec![b'x'; 100_000].into();
    World::run(Limits::DEFAULT, async |world| {
        let (end, io) = common::pipe::pipe();
        let (mut client, mut conn) = (Client::new(end), Conn::new(io, &world.server));
        client.stream.capacity(1000);
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let exchange = conn.next().await.expect("no fault").expect("a request");
        let answer = Response::new(200).body(page.clone());
        assert!(poll_once(pin!(exchange.reply(answer))).await.is_none());
        let error = Error::other("it took too long");
        let mut fail = pin!(conn.fail(&error));
        assert!(poll_once(&mut fail).await.is_none());
        assert_eq!(Arc::strong_count(&page), 2, "it is copied for a client that does not read");
        let read = async {
            let answer = client.answer().await;
            assert_eq!(answer.body.len(), page.len());
            assert_eq!(client.rest().await, "");
            drop(client);
        };
        smol::future::zip(fail, read).await;
    });
}

#[test]
fn a_stream_that_was_cut_off_is_over_for_its_handler_too() {
    let clock = ManualClock::new();
    World::run_by(&clock, Limits::DEFAULT, async |world| {
        let (end, io) = common::pipe::pipe();
        let (mut client, mut conn) = (Client::new(end), Conn::new(io, &world.server));
        client.stream.capacity(100);
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let exchange = conn.next().await.expect("no fault").expect("a request");
        let mut stream = exchange.stream(Response::new(200)).await.expect("a stream");
        {
            let mut write = pin!(stream.write(&[b'x'; 1000]));
            assert!(poll_once(&mut write).await.is_none());
            clock.advance(Limits::DEFAULT.write_time);
            assert!(matches!(poll_once(write).await, Some(Err(Error::Timeout(Phase::Write)))));
        }
        assert!(matches!(stream.write(b"late").await, Err(Error::Misuse(_))));
        // The client is still there, and says nothing.
        let never = std::future::pending::<()>();
        assert_eq!(stream.wait(never, Duration::MAX).await.expect("cut off"), Wait::Left);
        assert_eq!(client.stream.pending(), 100);
    });
}

#[test]
fn a_head_beyond_its_limits_is_414_or_431() {
    let mut limits = Limits::DEFAULT;
    (limits.head, limits.headers) = (200, 3);
    World::run(limits, async |world| {
        let status = async |request: String| {
            let mut client = world.client();
            client.send(request).await;
            client.answer().await.status
        };
        assert_eq!(status(format!("GET /{} HTTP/1.1\r\n", "x".repeat(300))).await, 414);
        assert_eq!(status(format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(300))).await, 431);
        assert_eq!(status(format!("GET / HTTP/1.1\r\nHost: h\r\n{}", "X: y\r\n".repeat(3))).await, 431);
    });
}

#[test]
fn connections_beyond_the_limit_are_told_so() {
    let mut limits = Limits::DEFAULT;
    limits.connections = 2;
    World::run(limits, async |world| {
        let mut served = [world.client(), world.client()];
        for client in &mut served {
            assert_eq!(client.get("/", "").await.status, 200);
        }
        let mut refused = world.client();
        let answer = refused.answer().await;
        assert_eq!((answer.status, answer.field("connection")), (503, Some("close")));
        assert!(answer.field("retry-after").is_some_and(|s| (2..=5).contains(&s.parse::<u64>().unwrap())));
        drop(served);
        while world.server.stats().connections > 0 {
            smol::future::yield_now().await;
        }
        assert_eq!(world.client().get("/", "").await.status, 200);
        assert_eq!(world.server.stats().refused, 1);
    });
}

#[test]
fn all_connections_together_buffer_no_more_than_the_limit() {
    let mut limits = Limits::DEFAULT;
    (limits.buffered, limits.body_time) = (4096, Duration::from_millis(150));
    World::run(limits, async |world| {
        let mut clients = Vec::new();
        for _ in 0..4 {
            let mut client = world.client();
            client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3000\r\n\r\n").await;
            client.send("x".repeat(2500)).await;
            clients.push(client);
        }
        let mut statuses = Vec::new();
        for client in &mut clients {
            statuses.push(client.answer().await.status);
            assert!(world.server.stats().buffered <= 4096);
        }
        assert!(statuses.contains(&503) && statuses.iter().all(|s| [408, 503].contains(s)), "{statuses:?}");
        drop(clients);
        while world.server.stats().connections > 0 {
            smol::future::yield_now().await;
        }
        assert_eq!(world.server.stats().buffered, 0);
        assert_eq!(world.client().get("/", "").await.status, 200);
    });
}

/// Each connection has 1 KiB beside what all share; with a path that is percent-encoded, the decoded one counts too.
#[test]
fn a_head_whose_decoded_path_has_no_room_is_told_so() {
    let frame = "GET /% HTTP/1.1\r\nHost: h\r\n\r\n".len();
    let get = |path: &str| format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n");
    for (buffered, longer, fits) in
        [(0, 0, true), (0, 1, false), (10, 5, true), (10, 6, false), (2000, 400, true)]
    {
        let mut limits = Limits::DEFAULT;
        limits.buffered = buffered;
        World::run(limits, async |world| {
            // `%41` is `A`: one character that is decoded, as long as `n` others.
            let n = (1024 - frame - 4) / 2 + longer;
            let mut client = world.client();
            client.send(get(&format!("%41{}", "a".repeat(n)))).await;
            let answer = client.answer().await;
            assert_eq!(answer.status, if fits { 404 } else { 503 }, "{buffered}, {longer}");
            assert!(world.server.stats().buffered <= buffered);
            // A plain one of that length needs no more than itself.
            assert_eq!(world.client().get(&format!("/{}", "a".repeat(n)), "").await.status, 404);
        });
    }
}

#[test]
fn what_comes_early_is_kept_for_later() {
    World::run(Limits::DEFAULT, async |world| {
        let mut client = world.client();
        client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n").await;
        while world.server.stats().held == 0 {
            smol::future::yield_now().await;
        }
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000)).await;
        world.hub.publish("news", "a").expect("published");
        assert!(client.answer().await.body.contains("\"data\":\"a\""));
        for _ in 0..1000 {
            assert_eq!(client.answer().await.body, "hello");
        }
    });
}

#[test]
fn next_may_be_dropped_and_called_again() {
    smol::block_on(async {
        let server = Server::new(Limits::DEFAULT);
        let (end, io) = common::pipe::pipe();
        let (mut client, mut conn) = (Client::new(end), Conn::new(io, &server));
        for byte in b"GET /x HTTP/1.1\r\nHost: h\r\n\r" {
            client.send([*byte]).await;
            assert!(smol::future::poll_once(conn.next()).await.is_none());
        }
        client.send("\n").await;
        let exchange = conn.next().await.expect("no fault").expect("a request");
        assert_eq!(exchange.path(), "/x");
        // A reply that is dropped half way goes on with the next call.
        client.stream.capacity(10);
        assert!(smol::future::poll_once(exchange.reply(Response::text("hello"))).await.is_none());
        client.stream.capacity(1 << 20);
        assert!(smol::future::poll_once(conn.next()).await.is_none());
        assert_eq!(client.answer().await.body, "hello");
    });
}

#[test]
fn a_wait_tells_how_it_ended() {
    smol::block_on(async {
        let server = Server::new(Limits::DEFAULT);
        let (end, io) = common::pipe::pipe();
        let (mut client, mut conn) = (Client::new(end), Conn::new(io, &server));
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut exchange = conn.next().await.expect("no fault").expect("a request");
        assert_eq!(exchange.wait(async { 7 }, SHORT).await.expect("held"), Wait::Ready(7));
        let elapsed = smol::future::or(
            async { Some(exchange.wait(std::future::pending::<()>(), SHORT).await) },
            async {
                server.tick().await;
                None
            },
        );
        assert_eq!(elapsed.await.expect("ticked").expect("held"), Wait::Elapsed);
        client.finish().await;
        assert_eq!(
            exchange.wait(std::future::pending::<()>(), Duration::MAX).await.expect("held"),
            Wait::Left
        );
    });
}

#[test]
fn a_websocket_carries_text_and_binary_and_answers_pings() {
    World::run(Limits::DEFAULT, async |world| {
        for grain in [1, usize::MAX] {
            let end = world.connect();
            end.grain(grain);
            let mut socket = Client::new(end).upgrade("/socket").await;
            for message in
                [Message::from("hé"), Message::from(vec![0, 255]), Message::from("x".repeat(60_000))]
            {
                socket.send(message.clone()).await.expect("sent");
                assert_eq!(socket.next().await.expect("open").expect("legal"), message);
            }
            socket.send(Message::Ping(vec![1].into())).await.expect("sent");
            assert_eq!(socket.next().await.expect("open").expect("legal"), Message::Pong(vec![1].into()));
            socket.close(None).await.expect("closed");
        }
    });
}

/// The code with which a WebSocket was closed.
async fn close_code(socket: &mut async_tungstenite::WebSocketStream<End>) -> Option<CloseCode> {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(frame) = message {
            return frame.map(|frame| frame.code);
        }
    }
    None
}

#[test]
fn a_websocket_that_goes_wrong_is_closed_with_its_code() {
    World::run(Limits::DEFAULT, async |world| {
        let mut socket = Client::new(world.connect()).upgrade("/socket").await;
        socket.send("x".repeat(65_537).into()).await.expect("sent");
        assert_eq!(close_code(&mut socket).await, Some(CloseCode::Size));
        for (frame, code) in [
            (&b"\x81\x81\0\0\0\0\xff"[..], CloseCode::Invalid),
            (b"\x81\x01x", CloseCode::Protocol),
            (b"\xc1\x81\0\0\0\0x", CloseCode::Protocol),
            (b"\x80\x81\0\0\0\0x", CloseCode::Protocol),
        ] {
            let mut socket = Client::new(world.connect()).upgrade("/socket").await;
            smol::io::AsyncWriteExt::write_all(socket.get_mut(), frame).await.expect("sent");
            assert_eq!(close_code(&mut socket).await, Some(code), "{frame:?}");
        }
        while world.server.stats().connections > 0 {
            smol::future::yield_now().await;
        }
        assert_eq!(world.server.stats().buffered, 0);
    });
}

#[test]
fn a_websocket_that_answers_no_ping_is_cut_off() {
    let mut limits = Limits::DEFAULT;
    (limits.ping, limits.pong) = (SHORT, SHORT);
    World::run(limits, async |world| {
        let mut socket = Client::new(world.connect()).upgrade("/socket").await;
        // Reading is what answers pings.
        for _ in 0..2 {
            assert!(matches!(socket.next().await, Some(Ok(Message::Ping(_)))));
        }
        while world.server.stats().connections > 0 {
            smol::future::yield_now().await;
        }
    });
}

/// Uses up all that may be buffered, by heads that are almost whole.
async fn fill(world: &World) -> Vec<Client<End>> {
    let (limits, mut clients) = (world.server.limits(), Vec::new());
    while world.server.stats().buffered < limits.buffered {
        let mut client = world.client();
        client.send(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(limits.head - 100))).await;
        while client.stream.unread() && world.server.stats().buffered < limits.buffered {
            smol::future::yield_now().await;
        }
        clients.push(client);
    }
    clients
}

#[test]
fn a_websocket_lives_on_while_others_use_up_the_buffers() {
    let mut limits = Limits::DEFAULT;
    (limits.buffered, limits.body_time) = (64 * 1024, Duration::from_secs(60));
    World::run(limits, async |world| {
        let mut socket = Client::new(world.connect()).upgrade("/socket").await;
        let attackers = fill(&world).await;
        socket.send("small".into()).await.expect("sent");
        assert_eq!(socket.next().await.expect("open").expect("legal"), Message::from("small"));
        assert_eq!(world.client().get("/", "").await.body, "hello", "an ordinary request is read as well");
        // More than each has for itself waits until there is room.
        let large = Message::from("x".repeat(10_000));
        socket.send(large.clone()).await.expect("sent");
        drop(attackers);
        assert_eq!(socket.next().await.expect("open").expect("legal"), large);
    });
}

#[test]
fn a_websocket_that_finds_no_room_for_long_is_closed_with_1013() {
    let mut limits = Limits::DEFAULT;
    (limits.buffered, limits.body_time) = (16 * 1024, SHORT);
    World::run(limits, async |world| {
        let mut socket = Client::new(world.connect()).upgrade("/socket").await;
        let _attackers = fill(&world).await;
        socket.send("x".repeat(10_000).into()).await.expect("sent");
        assert_eq!(close_code(&mut socket).await, Some(CloseCode::Again));
    });
}

#[test]
fn control_frames_and_empty_fragments_take_no_memory() {
    World::run(Limits::DEFAULT, async |world| {
        let pong = b"\x8a\x80\0\0\0\0".repeat(50_000);
        let fragments = [&b"\x01\x80\0\0\0\0"[..], &b"\0\x80\0\0\0\0".repeat(50_000)].concat();
        for (frames, most) in [(pong, 0), (fragments, 66 * 1024)] {
            let mut socket = Client::new(world.connect()).upgrade("/socket").await;
            smol::io::AsyncWriteExt::write_all(socket.get_mut(), &frames).await.expect("sent");
            while socket.get_ref().unread() {
                smol::future::yield_now().await;
            }
            let buffered = world.server.stats().buffered;
            assert!(buffered <= most, "{buffered} after {} bytes of frames", frames.len());
        }
    });
}

#[test]
fn a_held_client_that_leaves_is_noticed_while_others_use_up_the_buffers() {
    let mut limits = Limits::DEFAULT;
    limits.buffered = 16 * 1024;
    World::run(limits, async |world| {
        let mut client = world.client();
        client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n").await;
        while world.server.stats().held == 0 {
            smol::future::yield_now().await;
        }
        let _attackers = fill(&world).await;
        drop(client);
        while world.server.stats().held > 0 {
            smol::future::yield_now().await;
        }
    });
}

#[test]
fn a_body_is_spared_while_a_handler_waits_and_given_up_after_its_time() {
    for time in [Duration::from_secs(3600), SHORT] {
        let mut limits = Limits::DEFAULT;
        limits.body_time = time;
        World::run(limits, async |world| {
            let (server_end, client_end) = common::pipe::pipe();
            let mut conn = Conn::new(server_end, &world.server);
            let mut client = Client::new(client_end);
            client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\n\r\n").await;
            client.send(vec![b'x'; 40_000]).await;
            let mut ex = conn.next().await.expect("a request").expect("one");
            if time == SHORT {
                drop(client);
                // Else nobody would notice, and the handler wait for ever.
                ex.closed().await.expect("noticed");
                assert!(ex.body().await.is_err());
            } else {
                let waited = ex.wait(smol::Timer::after(SHORT * 3), Duration::MAX).await.expect("no end");
                assert!(matches!(waited, Wait::Ready(_)));
                assert_eq!(ex.body().await.expect("all of it").len(), 40_000);
            }
        });
    }
}

#[test]
fn times_without_end_are_legal() {
    let mut limits = Limits::DEFAULT;
    let times = [&mut limits.head_time, &mut limits.body_time, &mut limits.idle, &mut limits.write_time];
    times
        .into_iter()
        .chain([&mut limits.linger, &mut limits.ping, &mut limits.pong])
        .for_each(|t| *t = Duration::MAX);
    (limits.poll_wait, limits.stream_age) = (Duration::MAX, Some(Duration::MAX));
    World::run(limits, async |world| {
        let mut client = world.client();
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n").await;
        client.send("x").await;
        assert_eq!(client.answer().await.body, "x");
        client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut stream = world.client();
        stream.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n").await;
        stream.until("retry: ").await;
        world.hub.publish("news", "a").expect("published");
        assert_eq!(client.answer().await.json()["messages"][0]["data"], "a");
        stream.until("data: a\n").await;
        let mut socket = Client::new(world.connect()).upgrade("/socket").await;
        socket.send("x".into()).await.expect("sent");
        assert_eq!(socket.next().await.expect("open").expect("legal"), Message::from("x"));
    });
}

#[test]
fn a_flood_of_connections_is_dropped_beyond_those_that_are_told() {
    let mut limits = Limits::DEFAULT;
    limits.connections = 1;
    World::run(limits, async |world| {
        let mut served = world.client();
        assert_eq!(served.get("/", "").await.status, 200);
        let mut flood: Vec<_> = (0..10).map(|_| world.client()).collect();
        let mut told = 0;
        for client in &mut flood {
            told += usize::from(client.rest().await.starts_with("HTTP/1.1 503"));
        }
        assert_eq!(told, 1, "one eighth of the connections, and one");
    });
}

#[test]
fn a_connection_that_is_dropped_gives_back_all_that_it_took() {
    let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for upgrades in [false, true] {
        smol::block_on(async {
            let server = Server::new(Limits::DEFAULT);
            let (end, io) = common::pipe::pipe();
            let (mut client, mut conn) = (Client::new(end), Conn::new(io, &server));
            // Of what comes early, more than a connection has room for by itself.
            client.send(format!("{upgrade}{}", "x".repeat(4000))).await;
            let mut exchange = conn.next().await.expect("no fault").expect("a request");
            if upgrades {
                exchange.upgrade(None).await.expect("a WebSocket");
            } else {
                assert!(exchange.hold());
            }
            let stats = server.stats();
            assert_eq!((stats.connections, stats.held), (1, 1));
            assert!(stats.buffered > 0);
            drop(conn);
            let stats = server.stats();
            assert_eq!((stats.connections, stats.held, stats.buffered), (0, 0, 0));
        });
    }
}

#[test]
fn a_dropped_next_loses_no_pipelined_request() {
    smol::block_on(async {
        let server = Server::new(Limits::DEFAULT);
        let (end, io) = common::pipe::pipe();
        let (mut client, mut conn) = (Client::new(end), Conn::new(io, &server));
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(100)).await;
        let mut answered = 0;
        while answered < 100 {
            // A future that is pending, as it is when it lets others go first, is dropped.
            if let Some(exchange) = smol::future::poll_once(conn.next()).await {
                let exchange = exchange.expect("no fault").expect("a request");
                exchange.reply(Response::new(204)).await.expect("written");
                answered += 1;
            }
        }
    });
}

#[test]
fn what_stands_before_an_upgrade_leaves_no_room_behind() {
    let mut limits = Limits::DEFAULT;
    limits.buffered = 16 * 1024;
    World::run(limits, async |world| {
        let head = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\x01";
        let mut clients = Vec::new();
        for _ in 0..8 {
            let (end, io) = common::pipe::pipe();
            let (mut client, mut conn) = (Client::new(end), Conn::new(io, &world.server));
            let serve = async move {
                let mut ex = conn.next().await.expect("no fault").expect("a request");
                ex.body().await.expect("a body");
                ex.reply(Response::new(204)).await.expect("written");
                let ex = conn.next().await.expect("no fault").expect("a request");
                let _socket = ex.upgrade(None).await.expect("legal");
                std::future::pending::<()>().await;
            };
            world.executor.spawn(serve).detach();
            client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 16000\r\n\r\n").await;
            // The next request has begun in the same read.
            client.send(format!("{}G", "x".repeat(16_000))).await;
            assert_eq!(client.answer().await.status, 204);
            clients.push(client);
        }
        for client in &mut clients {
            client.send(&head[1..]).await;
            assert_eq!(client.answer().await.status, 101);
            let buffered = world.server.stats().buffered;
            assert!(buffered <= world.server.limits().buffered, "{buffered}");
        }
    });
}

#[test]
fn a_body_that_was_not_collected_to_its_end_counts_no_more() {
    World::run(Limits::DEFAULT, async |world| {
        // It is dropped half way, or too large.
        for length in [60_000, 70_000] {
            let (end, io) = common::pipe::pipe();
            let (mut client, mut conn) = (Client::new(end), Conn::new(io, &world.server));
            client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for _ in 0..length / 10_000 {
                client.send(format!("2710\r\n{}\r\n", "x".repeat(10_000))).await;
            }
            let mut ex = conn.next().await.expect("no fault").expect("a request");
            {
                let mut body = pin!(ex.body());
                let refused = poll_once(&mut body).await.is_some_and(|body| body.is_err());
                assert_eq!(refused, length > 65_536);
                assert!(refused || world.server.stats().buffered > 30_000);
            }
            assert_eq!(world.server.stats().buffered, 0, "{length}");
        }
    });
}

#[test]
fn what_comes_early_leaves_in_its_time_whatever_the_handler_is_doing() {
    // It writes to a client that reads slowly but steadily; it waits for what is always ready.
    for writes in [true, false] {
        let (clock, mut limits) = (ManualClock::new(), Limits::DEFAULT);
        limits.write_time = 2 * limits.body_time;
        World::run_by(&clock, limits.clone(), async |world| {
            let (end, io) = common::pipe::pipe();
            let (mut client, mut conn) = (Client::new(end), Conn::new(io, &world.server));
            client.stream.capacity(1000);
            client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n\r\n{}", "x".repeat(6000))).await;
            let exchange = conn.next().await.expect("no fault").expect("a request");
            let mut stream = exchange.stream(Response::new(200)).await.expect("a stream");
            assert!(poll_once(stream.flush()).await.is_some_and(|flushed| flushed.is_ok()));
            assert!(poll_once(stream.wait(std::future::pending::<()>(), Duration::MAX)).await.is_none());
            let mut handler = pin!(async {
                loop {
                    match writes {
                        true => stream.write(&[b'x'; 1_000_000]).await.expect("it reads"),
                        false => _ = stream.wait(async {}, Duration::MAX).await.expect("it is there"),
                    }
                }
            });
            assert!(poll_once(&mut handler).await.is_none());
            assert!(world.server.stats().buffered > 4000);
            for second in 0..limits.body_time.as_secs() {
                clock.advance(Duration::from_secs(1));
                poll_once(client.more()).await;
                for _ in 0..3 {
                    assert!(poll_once(&mut handler).await.is_none(), "second {second}");
                }
            }
            assert_eq!(world.server.stats().buffered, 0, "it writes: {writes}");
        });
    }
}

#[test]
fn what_comes_early_behind_a_stream_takes_room_from_others_for_its_time_only() {
    let mut limits = Limits::DEFAULT;
    (limits.buffered, limits.body_time, limits.ping) = (16 * 1024, SHORT, SHORT);
    World::run(limits, async |world| {
        let mut streams = Vec::new();
        for _ in 0..8 {
            let mut client = world.client();
            client.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n").await;
            client.until("retry: ").await;
            client.send("x".repeat(8000)).await;
            streams.push(client);
        }
        while world.server.stats().buffered == 0 {
            smol::future::yield_now().await;
        }
        while world.server.stats().buffered > 0 {
            smol::future::yield_now().await;
        }
        assert_eq!(world.server.stats().held, 8);
        let cookie = format!("Cookie: {}\r\n", "x".repeat(4000));
        assert_eq!(world.client().get("/", &cookie).await.body, "hello");
    });
}
