//! WebSockets frame by frame: what a peer sees that sends what no library would.

mod common;

use std::io::ErrorKind;
use std::time::Duration;

use common::World;
use common::client::Client;
use common::pipe::{End, pipe};
use smol::future::{poll_once, yield_now};
use tidings::{Conn, Error, Fault, Limits, ManualClock, Payload, Phase, Server, Wait, WebSocket};

const SHORT: Duration = Duration::from_millis(40);

const HANDSHAKE: &str = "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A client that sends and gets frames as they are.
struct Raw(Client<End>);

impl Raw {
    async fn open(world: &World, path: &str) -> Raw {
        Raw::open_with(world, path, b"").await
    }

    /// Upgrades, with bytes right behind the request.
    async fn open_with(world: &World, path: &str, behind: &[u8]) -> Raw {
        let mut client = Client::new(world.connect());
        client.send([format!("GET {path} HTTP/1.1\r\n{HANDSHAKE}").as_bytes(), behind].concat()).await;
        assert_eq!(client.answer().await.status, 101);
        Raw(client)
    }

    /// The next frame: its first byte and its payload; `None` at the end.
    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let input = &self.0.input;
            let head = match input.get(1) {
                Some(126) if input.len() >= 4 => Some((4, u16::from_be_bytes([input[2], input[3]]).into())),
                Some(127) if input.len() >= 10 => {
                    Some((10, u64::from_be_bytes(input[2..10].try_into().expect("eight bytes")) as usize))
                }
                Some(length @ 0..=125) => Some((2, usize::from(*length))),
                _ => None,
            };
            if let Some((head, length)) = head.filter(|(head, length)| input.len() >= head + length) {
                let frame: Vec<u8> = self.0.input.drain(..head + length).collect();
                return Some((frame[0], frame[head..].to_vec()));
            }
            if !self.0.more().await {
                assert!(self.0.input.is_empty(), "half a frame");
                return None;
            }
        }
    }

    /// The text that comes next, behind pings.
    async fn text(&mut self) -> String {
        loop {
            match self.frame().await {
                Some((0x89, _)) => {}
                Some((0x81, text)) => return String::from_utf8(text).expect("text"),
                frame => panic!("{frame:?}"),
            }
        }
    }

    /// The code of the close that comes next, behind pings; then nothing comes.
    async fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.frame().await? {
                (0x89, _) => {}
                (0x88, payload) => {
                    assert_eq!(self.frame().await, None, "behind the close");
                    return payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                }
                frame => panic!("{frame:?}"),
            }
        }
    }

    /// Waits until all that was sent is read.
    async fn is_read(&self) {
        while self.0.stream.unread() {
            yield_now().await;
        }
    }
}

/// A client's frame.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x11, 0x22, 0x33, 0x44];
    let mut frame = head(first, payload.len());
    frame.extend(key);
    frame.extend(payload.iter().zip(key.into_iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A client's text in fragments of this width.
fn fragmented(text: &[u8], width: usize) -> Vec<u8> {
    let (last, mut frames) = (text.len().div_ceil(width) - 1, Vec::new());
    for (place, part) in text.chunks(width).enumerate() {
        let (opcode, fin) = (u8::from(place == 0), if place == last { 0x80 } else { 0 });
        frames.extend(masked(fin | opcode, part));
    }
    frames
}

/// The head of a client's frame, without its mask.
fn head(first: u8, length: usize) -> Vec<u8> {
    match length {
        0..=125 => vec![first, 0x80 | length as u8],
        126..=0xffff => [&[first, 0xfe][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, 0xff][..], &(length as u64).to_be_bytes()].concat(),
    }
}

/// Waits until no connection is left, and nothing of theirs.
async fn empty(world: &World) {
    while world.server.stats().connections > 0 {
        yield_now().await;
    }
    let stats = world.server.stats();
    assert_eq!((stats.held, stats.buffered), (0, 0));
}

/// Runs a test with the server's end in hand.
fn by_hand(limits: Limits, test: impl AsyncFn(Raw, WebSocket<'_>)) {
    by_hand_on(&Server::new(limits), test);
}

fn by_hand_on(server: &Server, test: impl AsyncFn(Raw, WebSocket<'_>)) {
    smol::block_on(common::in_time(by_hand_in(server, test)));
}

async fn by_hand_in(server: &Server, test: impl AsyncFn(Raw, WebSocket<'_>)) {
    let (end, io) = pipe();
    let (mut client, mut conn) = (Client::new(end), Conn::new(io, server));
    client.send(format!("GET / HTTP/1.1\r\n{HANDSHAKE}")).await;
    let exchange = conn.next().await.expect("no fault").expect("a request");
    let socket = exchange.upgrade(None).await.expect("an upgrade");
    client.answer().await;
    test(Raw(client), socket).await;
}

#[test]
fn what_comes_early_is_heard() {
    World::run(Limits::DEFAULT, async |world| {
        let (a, b) = (masked(0x81, b"a"), masked(0x82, b"b"));
        // Two messages and half of a third, and the other half later; then a close with the request.
        let mut raw = Raw::open_with(&world, "/socket", &[&a[..], &b, &a[..3]].concat()).await;
        raw.0.send(&a[3..]).await;
        for frame in [(0x81, b"a"), (0x82, b"b"), (0x81, b"a")] {
            assert_eq!(raw.frame().await, Some((frame.0, frame.1.to_vec())));
        }
        drop(raw);
        let mut raw = Raw::open_with(&world, "/socket", &masked(0x88, b"\x03\xe8")).await;
        assert_eq!(raw.close_code().await, Some(1000));
        drop(raw);
        empty(&world).await;
    });
}

#[test]
fn thousands_of_messages_may_come_together() {
    World::run(Limits::DEFAULT, async |world| {
        for grain in [usize::MAX, 1000, 1] {
            let mut raw = Raw::open(&world, "/socket").await;
            raw.0.stream.grain(grain);
            let texts: Vec<String> = (0..3000).map(|n: u32| n.to_string()).collect();
            let ping = masked(0x89, b"");
            raw.0
                .send(
                    texts
                        .iter()
                        .flat_map(|t| [masked(0x81, t.as_bytes()), ping.clone()].concat())
                        .collect::<Vec<_>>(),
                )
                .await;
            for text in texts {
                loop {
                    match raw.frame().await {
                        Some((0x8a, _)) => {}
                        frame => break assert_eq!(frame, Some((0x81, text.into_bytes()))),
                    }
                }
            }
        }
    });
}

#[test]
fn a_close_is_answered_with_its_code() {
    World::run(Limits::DEFAULT, async |world| {
        for close in [&b""[..], b"\x03\xe8", b"\x0f\xa0why"] {
            for path in ["/socket", "/ws"] {
                let mut raw = Raw::open(&world, path).await;
                // What comes behind the close is not looked at.
                raw.0.send([masked(0x88, close), masked(0x81, b"late")].concat()).await;
                let mut frame = raw.frame().await;
                if path == "/ws" {
                    frame = raw.frame().await;
                }
                // The reason may come back as well (RFC 6455, 5.5.1).
                let (first, answer) = frame.expect("a close");
                assert_eq!(
                    (first, &answer[..answer.len().min(2)]),
                    (0x88, &close[..close.len().min(2)]),
                    "{path}"
                );
                assert_eq!(raw.frame().await, None);
            }
        }
        empty(&world).await;
    });
}

#[test]
fn our_close_waits_for_its_answer_and_not_for_ever() {
    let mut limits = Limits::DEFAULT;
    limits.linger = SHORT;
    World::run(limits, async |world| {
        // A feed takes nothing: 1008. One client answers, one goes on sending, one says nothing.
        for answer in [masked(0x88, b"\x03\xf0"), masked(0x81, b"more").repeat(100), Vec::new()] {
            let mut raw = Raw::open(&world, "/ws").await;
            raw.frame().await.expect("a cursor");
            raw.0.send([masked(0x81, b"hello"), answer].concat()).await;
            assert_eq!(raw.close_code().await, Some(1008));
        }
        empty(&world).await;
    });
}

#[test]
fn a_peer_that_sends_on_behind_our_close_is_cut_off_with_the_server() {
    let mut limits = Limits::DEFAULT;
    limits.linger = Duration::MAX;
    World::run(limits, async |world| {
        let mut raw = Raw::open(&world, "/ws").await;
        raw.frame().await.expect("a cursor");
        let flood = world.executor.spawn(async move {
            let frames = masked(0x81, b"hello").repeat(1000);
            while smol::io::AsyncWriteExt::write_all(&mut raw.0.stream, &frames).await.is_ok() {}
        });
        // It is closed with 1008, and goes on.
        world.held(1).await;
        for _ in 0..100 {
            yield_now().await;
        }
        world.server.shutdown(Duration::ZERO).await;
        flood.await;
        empty(&world).await;
    });
}

#[test]
fn the_end_of_the_input_is_the_end() {
    World::run(Limits::DEFAULT, async |world| {
        for (path, sent) in [
            ("/ws", Vec::new()),
            ("/socket", Vec::new()),
            ("/socket", masked(0x81, b"half")[..7].to_vec()),
            ("/socket", masked(0x01, b"fragment")),
        ] {
            let mut raw = Raw::open(&world, path).await;
            if path == "/ws" {
                raw.frame().await.expect("a cursor");
            }
            raw.0.send(sent).await;
            raw.0.finish().await;
            // async-tungstenite has given up by then.
            let told = Some(1002).filter(|_| cfg!(not(feature = "tungstenite")));
            assert_eq!(raw.close_code().await, told, "an end without a close");
        }
        // What was whole before is answered.
        let mut raw = Raw::open(&world, "/socket").await;
        raw.0.send([masked(0x81, b"a"), masked(0x81, b"b"), masked(0x88, b"")].concat()).await;
        raw.0.finish().await;
        for frame in [(0x81, b"a".to_vec()), (0x81, b"b".to_vec()), (0x88, Vec::new())] {
            assert_eq!(raw.frame().await, Some(frame));
        }
        empty(&world).await;
    });
}

#[test]
fn the_shutdown_closes_with_1001() {
    World::run(Limits::DEFAULT, async |world| {
        let mut raw = Raw::open(&world, "/socket").await;
        raw.0.send(masked(0x01, b"half")).await;
        raw.is_read().await;
        let server = world.server.clone();
        let shutdown = world.executor.spawn(async move { server.shutdown(Duration::from_secs(3600)).await });
        assert_eq!(raw.frame().await, Some((0x88, b"\x03\xe9shutdown".to_vec())));
        raw.0.send(masked(0x88, b"\x03\xe9")).await;
        assert_eq!(raw.frame().await, None);
        shutdown.await;
        empty(&world).await;
    });
}

#[test]
fn a_peer_that_always_sends_hides_no_shutdown() {
    World::run(Limits::DEFAULT, async |world| {
        let mut raw = Raw::open(&world, "/socket").await;
        let flood = masked(0x81, b"x").repeat(2_000);
        raw.0.send(&flood).await;
        let server = world.server.clone();
        let shutdown = world.executor.spawn(async move { server.shutdown(Duration::MAX).await });
        // What it sends is always more than what was answered.
        let mut frame = raw.frame().await;
        while let Some((0x81, _)) = frame {
            if raw.0.stream.pending() < 1000 {
                raw.0.send(&flood).await;
            }
            frame = raw.frame().await;
        }
        assert_eq!(frame, Some((0x88, b"\x03\xe9shutdown".to_vec())));
        drop(raw);
        shutdown.await;
    });
}

#[test]
fn a_peer_and_a_future_that_always_have_something_hide_no_shutdown() {
    World::run(Limits::DEFAULT, async |world| {
        by_hand_in(&world.server, async |mut raw, mut socket| {
            raw.0.send(masked(0x81, b"x").repeat(100)).await;
            let mut shutdown = std::pin::pin!(world.server.shutdown(Duration::MAX));
            assert!(poll_once(&mut shutdown).await.is_none());
            let (mut ready, mut read, mut told) = (0, 0, 0);
            while told < 5 {
                match socket.wait(async {}, Duration::MAX).await.expect("open") {
                    Wait::Ready(()) => ready += 1,
                    // It is not lost, however often a shutdown is told.
                    Wait::Readable => {
                        assert_eq!(socket.recv().await.expect("open"), Some(Payload::from("x")));
                        read += 1;
                    }
                    Wait::Shutdown => told += 1,
                    end => panic!("{end:?}"),
                }
                assert!(ready + read < 20, "told {told} times");
            }
            assert!(ready > 1 && read > 1, "{ready} {read}");
        })
        .await;
    });
}

#[test]
fn a_message_that_is_too_large_is_refused_by_its_head() {
    World::run(Limits::DEFAULT, async |world| {
        let most = Limits::DEFAULT.message;
        for sent in [head(0x82, most + 1), [masked(0x01, &vec![b'x'; most]), head(0x80, 1)].concat()] {
            let mut raw = Raw::open(&world, "/socket").await;
            raw.0.send(sent).await;
            if cfg!(feature = "tungstenite") {
                // It looks at a fragment only when that is whole.
                raw.0.send(b"\0\0\0\0x").await;
            }
            assert_eq!(raw.close_code().await, Some(1009));
        }
        empty(&world).await;
    });
}

#[test]
fn the_largest_message_comes_and_leaves_nothing() {
    World::run(Limits::DEFAULT, async |world| {
        let text = "é".repeat(Limits::DEFAULT.message / 2);
        let mut raw = Raw::open(&world, "/socket").await;
        for width in [1, 125, 126, 1000, 65_535, 65_536] {
            raw.0.send(fragmented(text.as_bytes(), width)).await;
            assert_eq!(raw.frame().await, Some((0x81, text.clone().into_bytes())), "{width}");
            assert_eq!(world.server.stats().buffered, 0);
        }
        assert_eq!(world.server.stats().connections, 1);
    });
}

#[test]
#[cfg(not(feature = "tungstenite"))]
fn what_is_held_is_what_came_and_half_of_that_again() {
    World::run(Limits::DEFAULT, async |world| {
        let mut raw = Raw::open(&world, "/socket").await;
        let (message, spare) = (masked(0x82, &[7; 65_536]), 1024);
        raw.0.send(&message[..14]).await;
        let (mut came, mut most) = (0, 0);
        for piece in message[14..].chunks(5000) {
            raw.0.send(piece).await;
            raw.is_read().await;
            came += piece.len();
            let buffered = world.server.stats().buffered;
            most = most.max((buffered + spare).saturating_sub(came));
            if came < 65_536 {
                assert!(
                    buffered + spare >= came && buffered + spare <= (came + came / 2).min(65_536).max(spare),
                    "{buffered} of {came}"
                );
            }
        }
        assert!(most > spare, "it grows before it must, or each piece would be a copy of all");
        assert_eq!(raw.frame().await, Some((0x82, vec![7; 65_536])));
        assert_eq!(world.server.stats().buffered, 0);
        // What a head announces is not made room for.
        raw.0.send(&message[..20]).await;
        raw.is_read().await;
        assert_eq!(world.server.stats().buffered, 0);
    });
}

#[test]
fn a_message_in_pieces_without_end_has_a_deadline() {
    let (clock, mut limits) = (ManualClock::new(), Limits::DEFAULT);
    limits.ping = Duration::ZERO;
    let part = limits.body_time / 10;
    World::run_by(&clock, limits, async |world| {
        let mut raw = Raw::open(&world, "/socket").await;
        // Messages that are whole have none, however long they come, and with a part of the next behind each.
        raw.0.send(masked(0x01, b"a")).await;
        for _ in 0..20 {
            raw.is_read().await;
            clock.advance(9 * part);
            raw.0.send([masked(0x80, b"b"), masked(0x01, b"a")].concat()).await;
            assert_eq!(raw.frame().await, Some((0x81, b"ab".to_vec())));
        }
        // Pongs between the fragments do not help.
        for _ in 0..10 {
            assert_eq!(raw.0.stream.pending(), 0, "it is not late yet");
            raw.0.send([masked(0, b""), masked(0x8a, b"")].concat()).await;
            raw.is_read().await;
            clock.advance(part);
        }
        assert_eq!(raw.close_code().await, Some(1008));
        drop(raw);
        empty(&world).await;
    });
}

#[test]
#[cfg(not(feature = "tungstenite"))]
fn a_message_that_does_not_end_leaves_in_its_time_whatever_the_handler_is_doing() {
    // It writes to a client that reads slowly but steadily; it waits for what is always ready.
    for writes in [true, false] {
        let (clock, mut limits) = (ManualClock::new(), Limits::DEFAULT);
        limits.write_time = 2 * limits.body_time;
        let server = Server::with_clock(limits.clone(), &clock);
        by_hand_on(&server, async |mut raw, mut socket| {
            raw.0.stream.capacity(100);
            raw.0.send(masked(0x01, &[b'x'; 6000])).await;
            assert!(poll_once(socket.wait(std::future::pending::<()>(), Duration::MAX)).await.is_none());
            assert!(server.stats().buffered > 4000);
            let mut end = None;
            {
                let mut handler = std::pin::pin!(async {
                    loop {
                        match writes {
                            true => socket.send("x".repeat(1_000_000)).await?,
                            false => _ = socket.wait(async {}, Duration::MAX).await?,
                        }
                    }
                });
                for _ in 0..limits.body_time.as_secs() {
                    assert!(end.is_none(), "too early: {end:?}");
                    clock.advance(Duration::from_secs(1));
                    poll_once(raw.0.more()).await;
                    for _ in 0..3 {
                        end = match end {
                            None => poll_once(&mut handler).await,
                            end => end,
                        };
                    }
                }
            }
            assert_eq!(server.stats().buffered, 0, "it writes: {writes}");
            // Who writes is told of it when that is written.
            let late = |end: tidings::Result<()>| matches!(end, Err(Error::Timeout(Phase::Message)));
            assert!(writes || end.is_some_and(late));
        });
    }
}

#[test]
#[cfg(not(feature = "tungstenite"))]
fn a_flood_of_pings_is_answered_as_far_as_it_is_read() {
    World::run(Limits::DEFAULT, async |world| {
        let mut raw = Raw::open(&world, "/socket").await;
        raw.0.stream.capacity(0);
        for n in 0..10_000_u32 {
            raw.0.send(masked(0x89, &[&n.to_be_bytes()[..], &[b'p'; 121]].concat())).await;
            while raw.0.stream.unread() {
                yield_now().await;
            }
        }
        assert_eq!(world.server.stats().buffered, 0);
        raw.0.stream.capacity(1 << 20);
        raw.0.send(masked(0x81, b"end")).await;
        let mut pongs = Vec::new();
        while let Some((0x8a, payload)) = raw.frame().await {
            pongs.push(u32::from_be_bytes(*payload.first_chunk().expect("four bytes")));
        }
        // Some were answered, and the last one; the peer was told nothing twice.
        assert!(pongs.len() < 12, "{pongs:?}");
        assert_eq!(pongs.last(), Some(&9_999));
        assert!(pongs.is_sorted());
    });
}

#[test]
fn floods_leave_others_their_turn() {
    World::run(Limits::DEFAULT, async |world| {
        let floods = [masked(0x89, b"ping"), masked(0x8a, b""), masked(0, b""), masked(0x81, b"")];
        for (place, frame) in floods.into_iter().enumerate() {
            let mut raw = Raw::open(&world, "/socket").await;
            if place == 2 {
                raw.0.send(masked(0x01, b"")).await;
            }
            let flood = world.executor.spawn(async move {
                // Its own answers are read as they come, so that nothing holds it up.
                let frames = frame.repeat(2_000);
                while smol::io::AsyncWriteExt::write_all(&mut raw.0.stream, &frames).await.is_ok() {
                    while raw.0.stream.pending() > 0 {
                        raw.0.more().await;
                        raw.0.input.clear();
                    }
                }
            });
            for _ in 0..2 {
                assert_eq!(Client::new(world.connect()).get("/", "").await.body, "hello");
            }
            flood.cancel().await;
        }
    });
}

#[test]
fn who_sends_without_end_leaves_others_their_turn() {
    by_hand(Limits::DEFAULT, async |_raw, mut socket| {
        let mut sent = 0;
        let mut sends = std::pin::pin!(async {
            while sent < 1000 {
                socket.send("x").await.expect("written");
                sent += 1;
            }
        });
        assert!(poll_once(&mut sends).await.is_none(), "its peer takes whatever comes");
        sends.await;
    });
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let mut limits = Limits::DEFAULT;
    limits.write_time = SHORT;
    World::run(limits, async |world| {
        let mut raw = Raw::open(&world, "/socket").await;
        raw.0.stream.capacity(100);
        raw.0.send(masked(0x81, &[b'x'; 5000])).await;
        while world.server.stats().connections > 0 {
            yield_now().await;
        }
        assert!(raw.0.stream.pending() <= 100);
        // So is one that closes and does not read the answer.
        let mut raw = Raw::open(&world, "/socket").await;
        raw.0.stream.capacity(0);
        raw.0.send(masked(0x88, b"\x03\xe8")).await;
        empty(&world).await;
    });
}

#[test]
fn who_does_not_read_how_it_ends_is_cut_off_and_keeps_no_thread_until_then() {
    let limits = Limits::DEFAULT;
    for (sent, due, told) in [
        (masked(0x01, b"half"), [limits.body_time, Duration::ZERO], Phase::Message),
        (Vec::new(), [limits.ping, limits.pong], Phase::Pong),
        // The answer to its close waits: that is no time for heartbeats.
        (masked(0x88, b"\x03\xe8"), [limits.ping, limits.pong], Phase::Write),
    ] {
        let (clock, mut limits) = (ManualClock::new(), limits.clone());
        limits.write_time = 2 * (due[0] + due[1]);
        by_hand_on(&Server::with_clock(limits.clone(), &clock), async |mut raw, mut socket| {
            raw.0.stream.capacity(10);
            assert!(poll_once(socket.send("x".repeat(300))).await.is_none());
            raw.0.send(&sent).await;
            let mut wait = std::pin::pin!(socket.wait(std::future::pending::<()>(), Duration::MAX));
            assert!(poll_once(&mut wait).await.is_none());
            for due in due {
                clock.advance(due);
                assert!(poll_once(&mut wait).await.is_none(), "{told:?}: it may read yet");
            }
            clock.advance(limits.write_time / 2);
            match poll_once(&mut wait).await {
                Some(Err(Error::Timeout(phase))) => assert_eq!(phase, told),
                end => panic!("{told:?}: {end:?}"),
            }
        });
    }
}

#[test]
fn behind_a_frame_that_was_cut_off_nothing_is_sent() {
    let clock = ManualClock::new();
    by_hand_on(&Server::with_clock(Limits::DEFAULT, &clock), async |raw, mut socket| {
        raw.0.stream.capacity(10);
        {
            let mut send = std::pin::pin!(socket.send("x".repeat(300)));
            assert!(poll_once(&mut send).await.is_none());
            clock.advance(Limits::DEFAULT.write_time);
            assert!(matches!(poll_once(send).await, Some(Err(Error::Timeout(Phase::Write)))));
        }
        // It reads now: what comes next would be the rest of that frame.
        raw.0.stream.capacity(1 << 20);
        for late in
            [socket.send("late").await, socket.ping().await, socket.send_framed(&WebSocket::frame("x")).await]
        {
            assert!(matches!(late, Err(Error::Io(error)) if error.kind() == ErrorKind::NotConnected));
        }
        socket.close(1000, "too").await.expect("nothing to do");
        assert_eq!(
            socket.wait(std::future::pending::<()>(), Duration::MAX).await.expect("cut off"),
            Wait::Left
        );
        assert_eq!(socket.recv().await.expect("cut off"), None);
        assert_eq!(raw.0.stream.pending(), 10);
    });
}

#[test]
fn a_batch_goes_out_in_one_write() {
    World::run(Limits::DEFAULT, async |world| {
        for data in ["a", "b", "c"] {
            world.hub.publish("news", data).expect("published");
        }
        let mut raw = Raw::open(&world, "/ws?after=earliest").await;
        for part in ["\"next\"", "\"a\"", "\"b\"", "\"c\""] {
            let (first, payload) = raw.frame().await.expect("a frame");
            assert!(first == 0x81 && String::from_utf8(payload).expect("text").contains(part));
        }
        // The head; and the cursor with the batch.
        if cfg!(not(feature = "tungstenite")) {
            assert_eq!(raw.0.stream.writes(), 2);
        }
        let id = world.hub.publish("news", "d").expect("published");
        let json = format!(r#"{{"id":"{id}","topic":"news","data":"d"}}"#);
        assert_eq!(raw.frame().await, Some((0x81, json.into_bytes())));
    });
}

#[test]
fn a_heartbeat_tells_no_cursor_that_was_told() {
    let mut limits = Limits::DEFAULT;
    limits.ping = SHORT;
    World::run(limits, async |world| {
        world.hub.publish("news", "old").expect("published");
        let mut raw = Raw::open(&world, "/ws?after=earliest").await;
        for part in ["next", "old", "live"] {
            if part == "live" {
                world.hub.publish("news", "live").expect("published");
            }
            let text = raw.text().await;
            assert!(text.contains(part), "{text}");
            for _ in 0..if part == "next" { 0 } else { 3 } {
                assert_eq!(raw.frame().await, Some((0x89, Vec::new())), "behind {part}");
                raw.0.send(masked(0x8a, b"")).await;
            }
        }
    });
}

#[test]
fn a_send_that_is_dropped_tears_no_frame() {
    by_hand(Limits::DEFAULT, async |mut raw, mut socket| {
        let long = "x".repeat(300);
        raw.0.stream.capacity(100);
        assert!(poll_once(socket.send_framed(&WebSocket::frame(&long))).await.is_none());
        for _ in 0..2 {
            assert!(poll_once(socket.send(long.as_str())).await.is_none());
        }
        assert!(poll_once(socket.send_framed(&WebSocket::frame("framed"))).await.is_none());
        raw.0.stream.capacity(1 << 20);
        socket.ping().await.expect("written");
        let mut frames = Vec::new();
        while frames.last() != Some(&(0x89, Vec::new())) {
            frames.push(raw.frame().await.expect("a frame"));
        }
        // What was begun is whole; what was not may be lost.
        assert_eq!(frames[0], (0x81, long.clone().into_bytes()));
        if cfg!(not(feature = "tungstenite")) {
            assert_eq!(frames.len(), 5);
            assert_eq!(frames[3], (0x81, b"framed".to_vec()));
        }
    });
}

#[test]
fn a_wait_goes_on_writing_and_keeps_a_message() {
    by_hand(Limits::DEFAULT, async |mut raw, mut socket| {
        raw.0.stream.capacity(100);
        assert!(poll_once(socket.send("x".repeat(300))).await.is_none());
        raw.0.stream.capacity(1 << 20);
        assert_eq!(socket.wait(async { 7 }, Duration::MAX).await.expect("open"), Wait::Ready(7));
        raw.0.send([masked(0x89, b"?"), masked(0x81, b"here"), masked(0x82, b"too")].concat()).await;
        // A wait that is dropped, or over for another reason, loses nothing.
        let never = std::future::pending::<()>;
        assert_eq!(socket.wait(never(), Duration::MAX).await.expect("open"), Wait::Readable);
        assert_eq!(socket.wait(never(), Duration::MAX).await.expect("open"), Wait::Readable);
        assert_eq!(socket.recv().await.expect("open"), Some(Payload::from("here")));
        assert_eq!(socket.recv().await.expect("open"), Some(Payload::from(b"too".to_vec())));
        assert!(poll_twice(socket.recv()).await.is_none());
        assert_eq!(raw.frame().await, Some((0x81, vec![b'x'; 300])));
        assert_eq!(raw.frame().await, Some((0x8a, b"?".to_vec())));
    });
}

#[test]
fn a_future_that_is_always_ready_does_not_hide_the_peer() {
    by_hand(Limits::DEFAULT, async |mut raw, mut socket| {
        let mut waits = 0;
        raw.0.send([masked(0x81, b"hello"), masked(0x88, b"\x03\xe8")].concat()).await;
        for end in [Wait::Readable, Wait::Left] {
            while socket.wait(async {}, Duration::MAX).await.expect("open") != end {
                waits += 1;
                assert!(waits < 100, "no {end:?}");
            }
            if end == Wait::Readable {
                assert_eq!(socket.recv().await.expect("open"), Some(Payload::from("hello")));
            }
        }
    });
}

#[test]
fn who_sends_is_alive_with_a_pong_or_without() {
    let mut limits = Limits::DEFAULT;
    limits.pong = Duration::ZERO;
    by_hand(limits, async |mut raw, mut socket| {
        for alive in [masked(0x81, b"hello"), masked(0x8a, b"")] {
            socket.ping().await.expect("written");
            raw.0.send(alive).await;
            if let Some(message) = poll_twice(socket.recv()).await {
                assert_eq!(message.expect("open"), Some(Payload::from("hello")));
            }
            assert!(poll_twice(socket.recv()).await.is_none());
        }
        socket.ping().await.expect("written");
        assert!(matches!(socket.recv().await, Err(Error::Timeout(Phase::Pong))));
    });
}

/// What a future gives that lets the others go first once.
async fn poll_twice<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match poll_once(&mut future).await {
        None => poll_once(&mut future).await,
        value => value,
    }
}

#[test]
fn behind_a_close_nothing_is_sent() {
    by_hand(Limits::DEFAULT, async |mut raw, mut socket| {
        raw.0.send(masked(0x88, b"\x03\xe8")).await;
        assert_eq!(socket.recv().await.expect("a close"), None);
        assert_eq!(socket.recv().await.expect("a close"), None);
        for late in
            [socket.send("late").await, socket.ping().await, socket.send_framed(&WebSocket::frame("x")).await]
        {
            assert!(matches!(late, Err(Error::Io(error)) if error.kind() == ErrorKind::NotConnected));
        }
        socket.close(1000, "too").await.expect("nothing to do");
        assert_eq!(raw.frame().await, Some((0x88, b"\x03\xe8".to_vec())));
        assert_eq!(raw.0.stream.pending(), 0);
    });
}

#[test]
fn a_close_that_is_dropped_is_one() {
    by_hand(Limits::DEFAULT, async |mut raw, mut socket| {
        assert!(poll_once(socket.close(1000, "bye")).await.is_none());
        raw.0.send(masked(0x81, b"too late")).await;
        assert_eq!(socket.recv().await.expect("closed"), None);
        assert_eq!(raw.frame().await, Some((0x88, b"\x03\xe8bye".to_vec())));
    });
}

#[test]
fn what_is_not_legal_is_misuse_and_not_sent() {
    by_hand(Limits::DEFAULT, async |mut raw, mut socket| {
        let whole = WebSocket::frame("whole");
        let bad = [&whole[..3], &[&whole[..], b"x"].concat(), b"\x82\0", b"\x81\x80\0\0\0\0", b"text"];
        for frames in bad {
            assert!(matches!(socket.send_framed(frames).await, Err(Error::Misuse(_))));
        }
        for (code, reason) in [(1005, ""), (0, ""), (5000, ""), (1000, &*"r".repeat(124))] {
            assert!(matches!(socket.close(code, reason).await, Err(Error::Misuse(_))));
        }
        socket.send_framed(&[whole, WebSocket::frame("")].concat()).await.expect("sent");
        assert_eq!(raw.frame().await, Some((0x81, b"whole".to_vec())));
        assert_eq!(raw.frame().await, Some((0x81, Vec::new())));
    });
}

#[test]
fn an_end_without_a_close_is_a_fault() {
    by_hand(Limits::DEFAULT, async |mut raw, mut socket| {
        raw.0.finish().await;
        assert!(matches!(socket.recv().await, Err(Error::Fault(Fault::Unclosed))));
        assert_eq!(socket.recv().await.expect("it stays so"), None);
    });
}

#[test]
fn frames_that_were_thrown_away_before_the_upgrade_are_not_passed_over() {
    let limits = Limits::DEFAULT;
    // More than a head is thrown away at once, and more than each has room for when its time is up.
    for (early, waits, legal) in
        [(2, Duration::ZERO, true), (4, Duration::ZERO, false), (2, limits.body_time, false)]
    {
        for empty_body in ["", "Content-Length: 0\r\n"] {
            let clock = ManualClock::new();
            World::run_by(&clock, limits.clone(), async |world| {
                let (end, io) = pipe();
                let (mut client, mut conn) = (Client::new(end), Conn::new(io, &world.server));
                client.send(format!("GET / HTTP/1.1\r\n{empty_body}{HANDSHAKE}")).await;
                client.send(masked(0x82, &[b'x'; 3000]).repeat(early)).await;
                let mut exchange = conn.next().await.expect("no fault").expect("a request");
                {
                    let mut look_up = std::pin::pin!(exchange.closed());
                    for waits in [Duration::ZERO, waits] {
                        clock.advance(waits);
                        assert!(poll_twice(&mut look_up).await.is_none());
                    }
                }
                match exchange.upgrade(None).await {
                    Ok(mut socket) => {
                        assert!(legal, "{early} {waits:?} {empty_body}");
                        for _ in 0..early {
                            let message = socket.recv().await.expect("legal");
                            assert_eq!(message, Some(Payload::Binary(vec![b'x'; 3000])));
                        }
                    }
                    Err(error) => {
                        assert!(matches!(error, Error::Fault(Fault::Handshake(_))) && !legal);
                    }
                }
            });
        }
    }
}
