//! Limits at their ends: nothing overflows, panics or spins, and what is drawn lies where the limits say.

mod common;
#[path = "common/still.rs"]
mod still;

use std::time::Duration;

use common::World;
use common::client::Client;
use still::Still;
use tidings::{Limits, ManualClock, Server};

const ENDS: [Duration; 4] =
    [Duration::ZERO, Duration::from_nanos(1), Duration::from_nanos(u64::MAX), Duration::MAX];

fn retry(least: Duration, most: Duration) -> Limits {
    let mut limits = Limits::DEFAULT;
    limits.retry = (least, most);
    limits
}

#[test]
fn each_retry_is_drawn_anew() {
    let millis = Duration::from_millis;
    let server = Server::new(retry(millis(2000), millis(2002)));
    // One of them is missing in 1 of 10^175 runs.
    let drawn = Vec::from_iter((0..1000).map(|_| server.draw_retry()));
    for expected in [millis(2000), millis(2001), millis(2002)] {
        assert!(drawn.contains(&expected), "{expected:?} is never drawn");
    }
    assert!(drawn.iter().all(|retry| (millis(2000)..=millis(2002)).contains(retry)));
}

#[test]
fn a_retry_is_drawn_between_whatever_bounds() {
    for least in ENDS {
        for most in ENDS {
            let retry = Server::new(retry(least, most)).draw_retry();
            // What no header field and no event could tell is cut off.
            let longest = Duration::from_millis(u64::MAX);
            assert!(
                least.min(longest) <= retry && retry <= most.max(least),
                "{least:?} to {most:?}: {retry:?}"
            );
            assert!(retry <= longest);
        }
    }
}

/// The `Retry-After` of one that is refused, and of one that can't be held.
fn retry_after(limits: &Limits, told: fn(&str) -> bool) {
    for (connections, held) in [(0, 0), (1, 0)] {
        let mut limits = limits.clone();
        (limits.connections, limits.held) = (connections, held);
        World::run(limits, async |world| {
            let answer = Client::new(world.connect()).get("/wait", "").await;
            let retry = answer.field("retry-after").expect("a time");
            assert!(answer.status == 503 && told(retry), "{connections}, {held}: {retry}");
        });
    }
}

#[test]
fn what_is_told_to_wait_is_rounded_up() {
    let nanos = Duration::from_nanos;
    for (time, told) in [
        (Duration::ZERO, (|told| told == "0") as fn(&str) -> bool),
        (nanos(1), |told| told == "1"),
        (nanos(1_000_000_000), |told| told == "1"),
        (nanos(1_000_000_001), |told| told == "2"),
        (Duration::MAX, |told| told.parse().is_ok_and(|told: u64| told > 1 << 50)),
    ] {
        retry_after(&retry(time, time), told);
    }
}

#[test]
fn an_event_stream_is_told_to_wait_as_long_as_it_can_be_told() {
    // A word holds so many seconds, and not so many milliseconds.
    for time in [Duration::from_secs(u64::MAX / 1000 + 1), Duration::MAX] {
        World::run(retry(time, time), async |world| {
            let mut client = Client::new(world.connect());
            client.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n").await;
            let told = client.until("retry: ").await + &client.until("\n").await;
            assert!(told.ends_with(&format!("retry: {}\n", u64::MAX)), "{told}");
        });
    }
}

#[test]
fn the_worst_case_does_not_wrap() {
    let usual = Limits::DEFAULT.worst_case();
    let fields: [fn(&mut Limits) -> &mut usize; 15] = [
        |limits| &mut limits.head,
        |limits| &mut limits.headers,
        |limits| &mut limits.body,
        |limits| &mut limits.connections,
        |limits| &mut limits.held,
        |limits| &mut limits.buffered,
        |limits| &mut limits.topics,
        |limits| &mut limits.name,
        |limits| &mut limits.subscription,
        |limits| &mut limits.forgotten,
        |limits| &mut limits.history,
        |limits| &mut limits.history_bytes,
        |limits| &mut limits.published,
        |limits| &mut limits.batch,
        |limits| &mut limits.message,
    ];
    let (mut most, mut least) = (Limits::DEFAULT, Limits::DEFAULT);
    for field in fields {
        let mut limits = Limits::DEFAULT;
        for large in [usize::MAX / 2, usize::MAX - 1, usize::MAX] {
            *field(&mut limits) = large;
            assert!(limits.worst_case() >= usual, "{limits:?}: {}", limits.worst_case());
        }
        (*field(&mut most), *field(&mut least)) = (usize::MAX, 0);
    }
    assert_eq!(most.worst_case(), usize::MAX);
    assert!(least.worst_case() <= usual);
    // It can be a constant.
    const _: usize = Limits::DEFAULT.worst_case();
}

#[test]
fn nobody_or_everybody_is_let_in() {
    for (connections, per_ip, served) in [
        (0, None, false),
        (usize::MAX, None, true),
        (usize::MAX, Some(0), false),
        (usize::MAX, Some(usize::MAX), true),
        (1, Some(1), true),
    ] {
        let mut limits = Limits::DEFAULT;
        (limits.connections, limits.held, limits.per_ip) = (connections, connections, per_ip);
        smol::block_on(common::in_time(async {
            let server = Server::new(limits);
            let listener = smol::Async::<std::net::TcpListener>::bind(([127, 0, 0, 1], 0)).expect("a port");
            let address = listener.get_ref().local_addr().expect("bound");
            let client = async {
                // Of those that are refused, only so many are told.
                for _ in 0..if served { 3 } else { 1 } {
                    let stream = smol::net::TcpStream::connect(address).await.expect("connected");
                    let mut client = Client::new(stream);
                    let status = client.get("/", "Connection: close\r\n").await.status;
                    assert_eq!(status == 200, served, "{connections}, {per_ip:?}: {status}");
                    assert_eq!(client.rest().await, "");
                    drop(client);
                    while server.stats().connections > 0 {
                        smol::future::yield_now().await;
                    }
                }
            };
            let hub = tidings::Hub::new(&Limits::DEFAULT);
            let handler = async |ex: tidings::Exchange<'_>| common::app(&hub, ex).await;
            let serve = async { server.serve(listener, &handler).await.expect("served") };
            smol::future::or(client, serve).await;
        }));
    }
}

#[test]
fn a_place_among_the_held_is_free_again_while_its_connection_stays() {
    let (clock, mut limits) = (ManualClock::new(), Limits::DEFAULT);
    (limits.held, limits.stream_age) = (1, Some(Duration::from_nanos(1)));
    (limits.head_time, limits.idle) = (Duration::MAX, Duration::MAX);
    World::run_by(&clock, limits.clone(), async |world| {
        let held_are = async |held: usize| {
            while world.server.stats().held != held {
                smol::future::yield_now().await;
            }
        };
        let mut clients = [Client::new(world.connect()), Client::new(world.connect())];
        for turn in 0..6 {
            let (client, path) = (&mut clients[turn % 2], if turn < 4 { "/wait" } else { "/events" });
            client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            held_are(1).await;
            clock.advance(if turn < 4 { limits.poll_wait } else { Duration::from_nanos(1) });
            assert_eq!(client.answer().await.status, 200, "{path} {turn}");
            held_are(0).await;
            assert_eq!(world.server.stats().connections, 2, "{path} {turn}: both stay");
        }
    });
}

/// Limits with all times of a connection alike. (Heartbeats and the age of a stream are those of a transport.)
fn all_times(time: Duration) -> Limits {
    let mut limits = Limits::DEFAULT;
    for field in [
        &mut limits.head_time,
        &mut limits.body_time,
        &mut limits.idle,
        &mut limits.write_time,
        &mut limits.linger,
        &mut limits.poll_wait,
    ] {
        *field = time;
    }
    limits
}

#[test]
fn a_time_of_zero_is_over_at_once() {
    for (request, told) in [
        ("", ""),
        ("GET / HTT", "HTTP/1.1 408"),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200"),
        ("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200"),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nx", "HTTP/1.1 408"),
    ] {
        World::run(all_times(Duration::ZERO), async |world| {
            let (end, io) = common::pipe::pipe();
            let mut client = Client::new(end);
            client.send(request).await;
            world.serve(io);
            let answer = client.rest().await;
            assert_eq!(answer.get(..12).unwrap_or_default(), told, "{request}");
            while world.server.stats().connections > 0 {
                smol::future::yield_now().await;
            }
        });
    }
}

#[test]
fn a_time_without_end_never_is_over() {
    for time in [Duration::from_nanos(u64::MAX), Duration::MAX] {
        let clock = ManualClock::new();
        World::run_by(&clock, all_times(time), async |world| {
            let mut clients = Vec::new();
            for request in
                ["", "GET / HTT", "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n", "POST /echo HTTP/1.1\r\n"]
            {
                let mut client = Client::new(world.connect());
                client.send(request).await;
                clients.push(client);
            }
            for _ in 0..3 {
                let mut client = Client::new(world.connect());
                assert_eq!(client.get("/", "").await.status, 200);
                clock.advance(Duration::from_secs(1_000_000_000));
            }
            assert_eq!(world.server.stats().held, 1);
            assert!(clients.iter().all(|client| client.stream.pending() == 0));
        });
    }
}

#[test]
fn the_end_of_time_passes() {
    let clock = ManualClock::new();
    World::run_by(&clock, Limits::DEFAULT, async |world| {
        for _ in 0..3 {
            let mut client = Client::new(world.connect());
            assert_eq!(client.get("/", "").await.status, 200);
            clock.advance(Duration::MAX);
        }
    });
}

const UPGRADE: &str = "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").into()
}

fn post(path: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
}

fn socket(path: &str, frames: &[u8]) -> Vec<u8> {
    [format!("GET {path} HTTP/1.1\r\n{UPGRADE}").as_bytes(), frames].concat()
}

/// Sets a limit to zero.
type Set = fn(&mut Limits);

/// Limits of zero, what a client sends, and what it is told then.
fn told_at_zero() -> Vec<(Set, Vec<u8>, &'static [&'static str])> {
    let none_read: Set = |limits| limits.history = 0;
    let no_topic: Set = |limits| limits.topics = 0;
    let no_bytes: Set = |limits| limits.history_bytes = 0;
    let no_connection: Set = |limits| limits.connections = 0;
    let none_held: Set = |limits| limits.held = 0;
    let no_message: Set = |limits| limits.message = 0;
    let no_pong: Set = |limits| limits.pong = Duration::ZERO;
    let no_age: Set = |limits| limits.stream_age = Some(Duration::ZERO);
    let no_wait: Set = |limits| limits.poll_wait = Duration::ZERO;
    let no_head: Set = |limits| limits.head = 0;
    let no_field: Set = |limits| limits.headers = 0;
    let no_body: Set = |limits| limits.body = 0;
    let no_overhead: Set = |limits| limits.chunk_overhead = 0;
    let chunked = |size: &str| {
        let head = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{size}\r\nabc\r\n0\r\n\r\n").into_bytes()
    };
    vec![
        (none_read, get("/poll"), &[" 500 ", "the server failed"]),
        (none_read, get("/wait"), &[" 500 ", "the server failed"]),
        (none_read, get("/events"), &[" 500 ", "the server failed"]),
        (none_read, socket("/ws", b""), &[" 500 ", "the server failed"]),
        (none_read, post("/publish", "x"), &[" 500 ", "the server failed"]),
        (no_topic, get("/wait"), &[" 503 ", "Retry-After"]),
        // It takes no place.
        (no_topic, get("/poll"), &[" 200 ", "\"messages\":[]"]),
        (no_topic, get("/events"), &[" 503 ", "Retry-After"]),
        (no_topic, post("/publish", "x"), &[" 503 ", "Retry-After"]),
        (no_bytes, post("/publish", "x"), &[" 413 "]),
        (no_bytes, get("/poll"), &[" 200 ", "\"messages\":[]"]),
        (no_connection, get("/"), &[" 503 ", "Retry-After"]),
        (none_held, get("/wait"), &[" 503 ", "Retry-After", "Tidings-Reason: full"]),
        (none_held, get("/events"), &[" 200 ", ": full\n\n\r\n0\r\n\r\n"]),
        (none_held, socket("/ws", b""), &[" 503 ", "Retry-After"]),
        (
            no_message,
            socket("/socket", b"\x81\x80\0\0\0\0\x81\x81\0\0\0\0x"),
            &["\r\n\r\n\u{fffd}\0", "the message is too large"],
        ),
        (no_pong, socket("/socket", b""), &[" 101 "]),
        (no_age, get("/events"), &[" 200 ", "retry: ", ": age\n\n\r\n0\r\n\r\n"]),
        (no_wait, get("/wait"), &[" 200 ", "Tidings-Reason: timeout"]),
        (no_head, get("/"), &[" 414 "]),
        (no_field, get("/"), &[" 431 "]),
        (no_field, b"GET / HTTP/1.0\r\n\r\n".to_vec(), &[" 200 "]),
        (no_body, post("/echo", "x"), &[" 413 "]),
        (no_body, post("/echo", ""), &[" 200 "]),
        (no_overhead, chunked("3"), &[" 200 ", "abc"]),
        (no_overhead, chunked("03"), &[" 400 "]),
    ]
}

#[test]
fn what_a_limit_of_zero_means() {
    for (place, (set, request, told)) in told_at_zero().into_iter().enumerate() {
        let mut limits = Limits::DEFAULT;
        set(&mut limits);
        let still = Still::new(limits);
        let mut client = still.connect();
        client.send(&request);
        still.settle();
        client.read_all();
        let text = client.text();
        for part in told {
            assert!(text.contains(part), "{place}: no {part:?} in {text:?}");
        }
    }
}

#[test]
fn a_pong_of_zero_ends_with_the_first_ping_and_one_without_end_never_does() {
    for (pong, stays) in [(Duration::ZERO, false), (Duration::MAX, true)] {
        let mut limits = Limits::DEFAULT;
        limits.pong = pong;
        let still = Still::new(limits.clone());
        let mut client = still.connect();
        client.send(socket("/socket", b""));
        still.settle();
        still.pass(limits.ping - Duration::from_nanos(1));
        client.read_all();
        client.seen.clear();
        assert!(!client.over);
        for time in [Duration::from_nanos(1), limits.linger, Duration::from_secs(1_000_000)] {
            still.pass(time);
        }
        client.read_all();
        assert_eq!((client.over, still.figures()), (!stays, (usize::from(stays), usize::from(stays), 0)));
        // No second ping is sent before the first is answered.
        assert_eq!(client.seen, b"\x89\0", "{pong:?}");
    }
}

#[test]
fn what_can_never_be_buffered_is_refused_at_once() {
    let x = "x".repeat(1500);
    let (head, body) = (get(&format!("/?{x}")), post("/echo", &x));
    let message = socket("/socket", &[b"\x81\xfe\x05\xdc\0\0\0\0", x.as_bytes()].concat());
    for (buffered, status, frame) in
        [(0, "503", &b"\x03\xf5"[..]), (100, "503", b"\x03\xf5"), (3000, "200", b"\x81\x7e\x05\xdcxxx")]
    {
        let mut limits = Limits::DEFAULT;
        limits.buffered = buffered;
        let still = Still::new(limits);
        for (bytes, told) in [(&head, status.as_bytes()), (&body, status.as_bytes()), (&message, frame)] {
            let mut client = still.connect();
            client.send(bytes);
            // The clock stands still.
            still.settle();
            client.read_all();
            let is_told = client.seen.windows(told.len()).any(|part| part == told);
            assert!(is_told, "{buffered}: {:?}", client.text());
        }
    }
}
