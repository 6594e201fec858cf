//! A server whose clock the test advances: each deadline is kept at its moment, and not before.

mod common;

use std::time::Duration;

use common::client::Client;
use common::pipe::End;
use common::{World, pipe};
use smol::future::poll_once;
use tidings::{Conn, Limits, ManualClock, Response, Server};

const NANOSECOND: Duration = Duration::from_nanos(1);
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// A world with the default limits, and its clock.
fn run<F: Future<Output = ()>>(test: impl FnOnce(World, ManualClock) -> F) {
    let clock = ManualClock::new();
    World::run_by(&clock, Limits::DEFAULT, |world| test(world, clock.clone()));
}

fn connect(world: &World) -> Client<End> {
    Client::new(world.connect())
}

/// Waits until all that a moment has woken has run: the tasks take turns, and this client's request comes last.
async fn settle(world: &World) {
    for _ in 0..2 {
        assert_eq!(connect(world).get("/", "").await.status, 200);
    }
}

/// Waits until so many connections are left.
async fn left_are(connections: usize, world: &World) {
    while world.server.stats().connections != connections {
        smol::future::yield_now().await;
    }
}

/// Comes to the moment at which a client is told something, and holds that nothing is told before.
async fn comes_after(within: Duration, world: &World, clock: &ManualClock, client: &Client<End>) {
    settle(world).await;
    clock.advance(within - NANOSECOND);
    settle(world).await;
    assert_eq!(client.stream.pending(), 0, "it came too early");
    clock.advance(NANOSECOND);
}

#[test]
fn a_head_that_does_not_come_is_told_so_at_its_moment() {
    run(async |world, clock| {
        let mut client = connect(&world);
        client.send("GET / HTTP/1.1\r\n").await;
        comes_after(Limits::DEFAULT.head_time, &world, &clock, &client).await;
        assert_eq!(client.answer().await.status, 408);
    });
}

#[test]
fn a_body_that_does_not_come_is_told_so_at_its_moment() {
    run(async |world, clock| {
        let mut client = connect(&world);
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell").await;
        comes_after(Limits::DEFAULT.body_time, &world, &clock, &client).await;
        assert_eq!(client.answer().await.status, 408);
    });
}

#[test]
fn a_clock_that_jumps_while_there_is_no_room_to_read_leaves_nobody_asleep() {
    let (clock, mut limits) = (ManualClock::new(), Limits::DEFAULT);
    (limits.buffered, limits.head_time) = (0, Duration::from_secs(200_000));
    let head_time = limits.head_time;
    World::run_by(&clock, limits, async |world| {
        let mut client = connect(&world);
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(2000))).await;
        // Each jump is longer than the connection waits until it looks for room again.
        let (clock, jump) = (clock.clone(), Duration::from_millis(51));
        let goes = std::thread::spawn(move || {
            (0..=head_time.as_millis() / jump.as_millis()).for_each(|_| clock.advance(jump));
        });
        assert_eq!(client.answer().await.status, 503);
        goes.join().expect("it goes");
    });
}

#[test]
fn an_idle_connection_is_closed_at_its_moment() {
    run(async |world, clock| {
        let mut client = connect(&world);
        assert_eq!(client.get("/", "").await.status, 200);
        comes_after(Limits::DEFAULT.idle, &world, &clock, &client).await;
        assert_eq!(client.rest().await, "");
    });
}

#[test]
fn a_long_poll_is_answered_at_its_moment() {
    run(async |world, clock| {
        let mut client = connect(&world);
        client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n").await;
        comes_after(Limits::DEFAULT.poll_wait, &world, &clock, &client).await;
        assert_eq!(client.answer().await.field("tidings-reason"), Some("timeout"));
    });
}

#[test]
fn each_heartbeat_comes_at_its_moment() {
    run(async |world, clock| {
        let mut client = connect(&world);
        client.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.until("retry: ").await;
        for _ in 0..3 {
            client.input.clear();
            comes_after(Limits::DEFAULT.ping, &world, &clock, &client).await;
            assert!(client.more().await && client.input.contains(&b':'));
        }
    });
}

#[test]
fn an_event_stream_ends_when_it_is_of_age() {
    let (clock, mut limits) = (ManualClock::new(), Limits::DEFAULT);
    // All draw the same age, for what is drawn are whole thousandths.
    limits.stream_age = Some(Duration::from_nanos(999));
    World::run_by(&clock, limits, async |world| {
        let mut client = connect(&world);
        client.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.until("retry: ").await;
        client.input.clear();
        comes_after(Duration::from_nanos(999), &world, &clock, &client).await;
        client.until(": age\n\n").await;
    });
}

#[test]
fn a_slow_reader_is_cut_off_at_its_moment() {
    run(async |world, clock| {
        let (end, io) = pipe::pipe();
        end.capacity(10);
        world.serve(io);
        let mut client = Client::new(end);
        client.send(GET).await;
        settle(&world).await;
        assert_eq!(client.stream.pending(), 10);
        clock.advance(Limits::DEFAULT.write_time - NANOSECOND);
        settle(&world).await;
        left_are(1, &world).await;
        clock.advance(NANOSECOND);
        left_are(0, &world).await;
    });
}

#[test]
fn many_deadlines_are_kept_together() {
    run(async |world, clock| {
        let mut clients = Vec::new();
        for n in 0..100 {
            clients.push(connect(&world));
            settle(&world).await;
            clock.advance(Duration::from_millis(n));
        }
        clock.advance(Limits::DEFAULT.head_time);
        for client in &mut clients {
            assert_eq!(client.rest().await, "");
        }
    });
}

#[test]
fn a_date_is_renewed_as_the_clock_goes() {
    run(async |world, clock| {
        let mut client = connect(&world);
        for (advance, date) in [(0, "12:26:40"), (1, "12:26:41"), (19, "12:27:00")] {
            clock.advance(Duration::from_secs(advance));
            let answer = client.get("/", "").await;
            assert_eq!(answer.field("date"), Some(&*format!("Sun, 13 Sep 2020 {date} GMT")));
        }
    });
}

#[test]
fn a_shutdown_cuts_off_at_its_moment() {
    run(async |world, clock| {
        let (mut client, mut idle, server) = (connect(&world), connect(&world), world.server.clone());
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell").await;
        settle(&world).await;
        let within = Duration::from_secs(3);
        let shutdown = world.executor.spawn(async move { server.shutdown(within).await });
        // It has begun when it has closed this one.
        assert_eq!(idle.rest().await, "");
        clock.advance(within - NANOSECOND);
        for _ in 0..100 {
            smol::future::yield_now().await;
        }
        assert!(!shutdown.is_finished());
        assert_eq!(client.stream.pending(), 0, "it was cut off too early");
        clock.advance(NANOSECOND);
        shutdown.await;
        client.rest().await;
    });
}

#[test]
fn a_shutdown_needs_neither_a_tick_nor_the_connections() {
    let clock = ManualClock::new();
    let server = Server::with_clock(Limits::DEFAULT, &clock);
    // One that nobody drops, and nobody lets run.
    let _conn = Conn::new(pipe::pipe().1, &server);
    let within = Duration::from_secs(3);
    let mut shutdown = std::pin::pin!(server.shutdown(within));
    smol::block_on(common::in_time(async {
        assert!(poll_once(&mut shutdown).await.is_none());
        clock.advance(within - NANOSECOND);
        assert!(poll_once(&mut shutdown).await.is_none());
        clock.advance(NANOSECOND);
        shutdown.await;
        // The second has nothing to wait for.
        server.shutdown(Duration::MAX).await;
    }));
}

#[test]
fn a_shutdown_ends_with_the_last_connection() {
    let mut limits = Limits::DEFAULT;
    limits.connections = 1;
    // The second of them is one that is refused.
    for (first, last) in [(0, 1), (1, 0)] {
        let server = Server::with_clock(limits.clone(), &ManualClock::new());
        let mut conns = [0, 1].map(|_| Some(Conn::new(pipe::pipe().1, &server)));
        assert_eq!(server.stats().connections, 1);
        let mut shutdown = std::pin::pin!(server.shutdown(Duration::MAX));
        smol::block_on(common::in_time(async {
            assert!(poll_once(&mut shutdown).await.is_none());
            conns[first] = None;
            assert!(poll_once(&mut shutdown).await.is_none());
            smol::future::zip(shutdown, async { conns[last] = None }).await;
        }));
    }
}

#[test]
fn a_tick_that_begins_late_keeps_what_is_due() {
    let clock = ManualClock::new();
    let server = Server::with_clock(Limits::DEFAULT, &clock);
    smol::block_on(common::in_time(async {
        let (end, io) = pipe::pipe();
        let (mut client, mut conn) = (Client::new(end), Conn::new(io, &server));
        let serve = async {
            while let Ok(Some(ex)) = conn.next().await {
                ex.reply(Response::text("hello")).await.expect("an answer");
            }
        };
        let mut serve = std::pin::pin!(serve);
        // One that goes before there is anything to do, and one that comes when all is due.
        assert!(poll_once(server.tick()).await.is_none());
        assert!(poll_once(&mut serve).await.is_none());
        clock.advance(Duration::from_secs(3600));
        smol::future::or(serve, server.tick()).await;
        assert_eq!(client.rest().await, "");
    }));
}
