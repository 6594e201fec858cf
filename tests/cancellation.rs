//! What dropped futures leave behind, and streams that do not flush or close at once.

mod common;
#[path = "common/random.rs"]
mod random;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use common::World;
use common::client::Client;
use common::pipe::End;
use random::Rng;
use smol::future::{FutureExt as _, poll_once};
use smol::io::{AsyncRead, AsyncWrite};
use tidings::{Conn, Error, Exchange, Limits, ManualClock, Response};

const SHORT: Duration = Duration::from_millis(40);
const CLOSE: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// A pipe that may be set not to flush or close.
struct Odd(End, Arc<AtomicU8>);

const CLOSE_WAITS: u8 = 1;
const CLOSE_FAILS: u8 = 2;
const FLUSH_WAITS: u8 = 4;

impl Odd {
    fn is(&self, flag: u8) -> bool {
        self.1.load(Ordering::SeqCst) & flag != 0
    }
}

impl AsyncRead for Odd {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Odd {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is(FLUSH_WAITS) { Poll::Pending } else { Pin::new(&mut self.0).poll_flush(cx) }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match (self.is(CLOSE_WAITS), self.is(CLOSE_FAILS)) {
            (true, _) => Poll::Pending,
            (_, true) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            _ => Pin::new(&mut self.0).poll_close(cx),
        }
    }
}

/// A client, and a connection over an odd stream.
fn odd(world: &World, flags: u8) -> (Client<End>, Conn, Arc<AtomicU8>) {
    let (end, io) = common::pipe::pipe();
    let flags = Arc::new(AtomicU8::new(flags));
    (Client::new(end), Conn::new(Odd(io, flags.clone()), &world.server), flags)
}

async fn request(conn: &mut Conn) -> Exchange<'_> {
    conn.next().await.expect("no error").expect("a request")
}

#[test]
fn how_the_stream_closes_is_no_matter_of_the_answer() {
    for flags in [CLOSE_WAITS, CLOSE_FAILS] {
        let mut limits = Limits::DEFAULT;
        (limits.write_time, limits.linger) = (SHORT, SHORT);
        World::run(limits, async |world| {
            let (mut client, mut conn, _) = odd(&world, flags);
            client.send(CLOSE).await;
            let replied = request(&mut conn).await.reply(Response::text("hello")).await;
            assert!(replied.is_ok(), "{flags}: {replied:?}");
            assert_eq!(client.answer().await.body, "hello");
            client.finish().await;
            assert!(conn.next().await.expect("no error").is_none());
        });
    }
}

#[test]
fn what_is_buffered_is_given_back_while_it_lingers() {
    World::run(Limits::DEFAULT, async |world| {
        let (mut client, mut conn, _) = odd(&world, 0);
        client.send(format!("{CLOSE}{}", "x".repeat(6000))).await;
        request(&mut conn).await.reply(Response::text("hello")).await.expect("an answer");
        let error = Error::other("late");
        let mut fail = pin!(conn.fail(&error));
        assert!(poll_once(&mut fail).await.is_none(), "it lingers");
        assert_eq!(world.server.stats().buffered, 0);
    });
}

#[test]
fn a_write_has_its_own_time_after_one_that_was_dropped() {
    let clock = ManualClock::new();
    World::run_by(&clock, Limits::DEFAULT, async |world| {
        let (mut client, mut conn, _) = odd(&world, 0);
        client.stream.capacity(1000);
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut stream = request(&mut conn).await.stream(Response::new(200)).await.expect("a stream");
        assert!(poll_once(pin!(stream.write(&[b'x'; 5000]))).await.is_none());
        // The handler is busy elsewhere; the client has read all there is.
        client.more().await;
        clock.advance(2 * Limits::DEFAULT.write_time);
        let read = async {
            client.rest().await;
            Ok(())
        };
        stream.write(b"y").or(read).await.expect("no time-out");
    });
}

#[test]
fn a_frame_has_its_own_time_after_one_that_was_dropped() {
    let (clock, write_time) = (ManualClock::new(), Limits::DEFAULT.write_time);
    World::run_by(&clock, Limits::DEFAULT, async |world| {
        let (mut client, mut conn, flags) = odd(&world, 0);
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{upgrade}\r\n")).await;
        let mut socket = request(&mut conn).await.upgrade(None).await.expect("a socket");
        flags.store(FLUSH_WAITS, Ordering::SeqCst);
        let frame = tidings::WebSocket::frame("hi");
        assert!(poll_once(pin!(socket.send_framed(&frame))).await.is_none());
        clock.advance(2 * write_time);
        let mut send = pin!(socket.send("there"));
        assert!(poll_once(&mut send).await.is_none());
        clock.advance(write_time - Duration::from_nanos(1));
        assert!(poll_once(&mut send).await.is_none());
        clock.advance(Duration::from_nanos(1));
        assert!(matches!(send.await, Err(Error::Timeout(_))));
    });
}

/// Random polls: of one future in `one_in` only a few, and then it is dropped.
#[derive(Clone)]
struct Whims(Rc<RefCell<Rng>>);

impl Whims {
    fn one_in(&self, n: usize) -> bool {
        self.0.borrow_mut().one_in(n)
    }

    fn pick(&self, from: &[usize]) -> usize {
        *self.0.borrow_mut().pick(from)
    }

    async fn poll<T>(&self, one_in: usize, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut left = if self.one_in(one_in) { self.pick(&[1, 2, 3]) } else { usize::MAX };
        poll_fn(|cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }
}

/// Answers nine requests with the connection's own digit, and drops what it waits for now and then.
async fn answer_by_whim(mut conn: Conn, whims: Whims, digit: &str) -> usize {
    let mut requests = 0;
    loop {
        let ex = match whims.poll(2, conn.next()).await {
            None => continue,
            Some(next) => next.expect("no error"),
        };
        let Some(mut ex) = ex else { return requests };
        requests += 1;
        if ex.method() == "POST" && whims.one_in(2) {
            read_by_whim(&mut ex, &whims, digit).await;
        }
        let within = Duration::from_millis(1);
        whims.poll(1, ex.wait(std::future::pending::<()>(), within)).await;
        let body = digit.repeat(whims.pick(&[1, 400, 80_000]));
        if whims.one_in(2) {
            whims.poll(2, ex.reply(Response::text(body))).await;
            continue;
        }
        let mut stream = ex.stream(Response::new(200)).await.expect("a stream");
        for _ in 0..3 {
            whims.poll(2, stream.write(body.as_bytes())).await;
            whims.poll(2, stream.flush()).await;
            whims.poll(1, stream.wait(std::future::pending::<()>(), within)).await;
        }
        whims.poll(2, stream.finish()).await;
    }
}

async fn read_by_whim(ex: &mut Exchange<'_>, whims: &Whims, digit: &str) {
    let mut came = 0;
    loop {
        match whims.poll(3, ex.chunk()).await {
            None => {}
            Some(Ok(Some(piece))) => {
                assert!(piece.iter().all(|byte| [*byte] == digit.as_bytes()));
                came += piece.len();
            }
            Some(end) => {
                assert!(matches!(end, Ok(None)) && came == 300, "{came} {end:?}");
                return;
            }
        }
    }
}

/// Sends nine requests at once; each answer is whole, and is the connection's own.
async fn ask_nine(mut client: Client<End>, digit: &str, seed: u64) {
    let post = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\n{}", digit.repeat(300));
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    client.send(format!("{}{CLOSE}", format!("{get}{post}").repeat(4))).await;
    for place in 0..9 {
        let answer = client.answer().await;
        assert_eq!(answer.status, 200);
        let own = answer.body.bytes().all(|byte| [byte] == digit.as_bytes());
        assert!(own && !answer.body.is_empty(), "seed {seed}, answer {place} of {digit}");
    }
    assert_eq!(client.rest().await, "", "seed {seed}");
}

#[test]
fn answers_are_whole_whatever_is_dropped_on_the_way() {
    // TIDINGS_RUNS=60 takes half a minute, and found nothing more.
    let runs = std::env::var("TIDINGS_RUNS").map_or(12, |runs| runs.parse().expect("a number"));
    for seed in 0..runs {
        World::run(Limits::DEFAULT, async |world| {
            let whims = Whims(Rc::new(RefCell::new(Rng::new(seed))));
            let mut asked = Vec::new();
            // Several connections of one thread, which share its buffers.
            for digit in ["1", "2", "3"] {
                let (end, io) = common::pipe::pipe();
                end.grain(whims.pick(&[7, 100, usize::MAX]));
                end.capacity(whims.pick(&[10, 100, 5000, 100_000]));
                let served = answer_by_whim(Conn::new(io, &world.server), whims.clone(), digit);
                let served = world.executor.spawn(served);
                asked.push(world.executor.spawn(async move {
                    ask_nine(Client::new(end), digit, seed).await;
                    assert_eq!(served.await, 9);
                }));
            }
            for asked in asked {
                asked.await;
            }
            let stats = world.server.stats();
            assert_eq!((stats.connections, stats.held, stats.buffered), (0, 0, 0), "seed {seed}");
        });
    }
}

#[test]
fn a_close_that_is_dropped_goes_on() {
    for failed in [false, true] {
        World::run(Limits::DEFAULT, async |world| {
            let (mut client, mut conn, flags) = odd(&world, CLOSE_WAITS);
            client.send(CLOSE).await;
            let exchange = request(&mut conn).await;
            if failed {
                assert!(poll_once(conn.fail(&Error::Full)).await.is_none());
            } else {
                exchange.reply(Response::new(204)).await.expect("written");
            }
            for _ in 0..3 {
                assert!(poll_once(conn.next()).await.is_none(), "it does not close");
            }
            flags.store(0, Ordering::SeqCst);
            assert!(poll_once(conn.next()).await.is_none(), "it does not wait for the peer");
            // The connection is still there, and our half is closed.
            assert!(client.rest().await.starts_with("HTTP/1.1 "));
            client.finish().await;
            assert!(conn.next().await.expect("no error").is_none());
        });
    }
}
