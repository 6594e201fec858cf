//! Limits at their ends: nothing overflows, panics or spins, and what is drawn lies where the limits say.

mod common;

use std::time::Duration;

use common::World;
use common::client::Client;
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
    let fields: [fn(&mut Limits) -> &mut usize; 9] = [
        |limits| &mut limits.head,
        |limits| &mut limits.headers,
        |limits| &mut limits.body,
        |limits| &mut limits.connections,
        |limits| &mut limits.held,
        |limits| &mut limits.buffered,
        |limits| &mut limits.history,
        |limits| &mut limits.history_bytes,
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
