//! Clients that read slowly, with the clock in hand: who makes progress gets all of it, who makes none is cut off at its
//! moment, whatever the handler does with its futures.

mod common;
#[path = "common/still.rs"]
mod still;

use std::time::Duration;

use common::pipe;
use smol::Task;
use smol::channel::{Receiver, Sender, unbounded};
use smol::future::FutureExt as _;
use still::{Hand, Still};
use tidings::{Conn, Error, Limits, Phase, Response, Result, WebSocket};

const NANOSECOND: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);
const WRITE_TIME: Duration = Limits::DEFAULT.write_time;
/// As much must be taken within [`WRITE_TIME`], or all that is left.
const PROGRESS: usize = 16 * 1024;
const LARGE: usize = 100_000;
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// How 100 KB are written.
#[derive(Clone, Copy, Debug)]
enum By {
    Reply,
    /// As one piece.
    Piece,
    /// As a hundred.
    Pieces,
    Message,
    Framed,
}

const ALL: [By; 5] = [By::Reply, By::Piece, By::Pieces, By::Message, By::Framed];

async fn write(mut conn: Conn, by: By) -> Result<()> {
    let (ex, data) = (conn.next().await?.expect("a request"), vec![b'x'; LARGE]);
    match by {
        By::Reply => ex.reply(Response::new(200).body(data)).await,
        By::Piece => {
            let mut stream = ex.stream(Response::new(200)).await?;
            stream.write(&data).await?;
            stream.finish().await
        }
        By::Pieces => {
            let mut stream = ex.stream(Response::new(200)).await?;
            for piece in data.chunks(LARGE / 100) {
                stream.write(piece).await?;
            }
            stream.finish().await
        }
        By::Message => ex.upgrade(None).await?.send(data).await,
        By::Framed => {
            let frame = WebSocket::frame(core::str::from_utf8(&data).expect("text"));
            ex.upgrade(None).await?.send_framed(&frame).await
        }
    }
}

/// A client whose pipe has room for so much, and what becomes of writing to it.
fn slow(still: &Still, room: usize, by: By) -> (Hand, Task<Result<()>>) {
    let (end, io) = pipe::pipe();
    end.capacity(room);
    let mut client = Hand::new(end);
    client.send(UPGRADE);
    let written = still.serve("write", io, move |conn| write(conn, by));
    still.settle();
    (client, written)
}

fn is_timeout(written: Task<Result<()>>) -> bool {
    written.is_finished() && matches!(smol::block_on(written), Err(Error::Timeout(Phase::Write)))
}

#[test]
fn a_slow_but_steady_reader_gets_all_of_it() {
    for by in ALL {
        let still = Still::new(Limits::DEFAULT);
        let (mut client, written) = slow(&still, 1000, by);
        let mut time = Duration::ZERO;
        while !written.is_finished() {
            // 16 KiB take it 8.5 s, and all of it takes a minute.
            still.pass(SECOND / 2);
            time += SECOND / 2;
            client.read(1000);
            still.settle();
        }
        client.read_all();
        smol::block_on(written).unwrap_or_else(|error| panic!("{by:?}: {error}"));
        let taken = client.seen.iter().filter(|byte| **byte == b'x').count();
        assert!(taken >= LARGE && time > 4 * WRITE_TIME, "{by:?}: {taken} bytes in {time:?}");
    }
}

#[test]
fn who_takes_a_byte_now_and_then_is_cut_off_at_its_moment() {
    for by in ALL {
        let still = Still::new(Limits::DEFAULT);
        let (mut client, written) = slow(&still, 1000, by);
        for _ in 0..9 {
            still.pass(SECOND);
            client.read(1);
            still.settle();
        }
        still.pass(SECOND - NANOSECOND);
        assert!(!written.is_finished(), "{by:?}: too early");
        client.read(1);
        still.settle();
        still.pass(NANOSECOND);
        assert!(is_timeout(written), "{by:?}");
        assert_eq!(still.figures(), (0, 0, 0), "{by:?}");
    }
}

#[test]
fn each_16_kib_have_their_own_time() {
    // What the pipe takes at once has not waited: the time is that of the next 16 KiB.
    for (taken, goes_on) in [(PROGRESS - 1, false), (PROGRESS, true)] {
        for by in [By::Reply, By::Piece] {
            let still = Still::new(Limits::DEFAULT);
            let (mut client, written) = slow(&still, 1000, by);
            still.pass(WRITE_TIME - NANOSECOND);
            let mut left = taken;
            while left > 0 {
                left -= client.read(left.min(1000));
                still.settle();
            }
            still.pass(NANOSECOND);
            assert_eq!(written.is_finished(), !goes_on, "{by:?}, {taken}");
            still.pass(WRITE_TIME);
            assert!(is_timeout(written), "{by:?}, {taken}");
        }
    }
}

/// What a handler sends again and again, though each time something else comes first.
#[derive(Clone, Copy, Debug)]
enum Send {
    Piece,
    Flush,
    Message,
    Framed,
    Ping,
    Wait,
}

/// Gives a send up whenever a tick comes, and begins another; returns the error that ends it.
async fn send_again_and_again(mut conn: Conn, send: Send, ticks: Receiver<()>) -> Error {
    let ex = conn.next().await.expect("no error").expect("a request");
    let tick = || async {
        ticks.recv().await.expect("a tick");
        Ok(())
    };
    if let Send::Message | Send::Framed | Send::Ping = send {
        let mut socket = ex.upgrade(None).await.expect("a handshake");
        loop {
            let sent = match send {
                Send::Message => socket.send("0123456789").or(tick()).await,
                Send::Framed => socket.send_framed(&WebSocket::frame("0123456789")).or(tick()).await,
                _ => socket.ping().or(tick()).await,
            };
            match sent {
                Ok(()) => {}
                Err(error) => return error,
            }
        }
    }
    let mut stream = ex.stream(Response::new(200)).await.expect("a stream");
    stream.push(&[b'x'; 1000]).expect("a piece");
    loop {
        let sent = match send {
            Send::Piece => stream.write(b"0123456789").or(tick()).await,
            Send::Flush => stream.flush().or(tick()).await,
            _ => {
                let wait = stream.wait(std::future::pending::<()>(), Duration::MAX);
                async { wait.await.map(|_| ()) }.or(tick()).await
            }
        };
        match sent {
            Ok(()) => {}
            Err(error) => return error,
        }
    }
}

/// A handler that sends again and again to a client that does not read.
fn sends(still: &Still, send: Send) -> (Hand, Sender<()>, Task<Error>) {
    let (end, io) = pipe::pipe();
    // The answer to the handshake fits, or the handler would wait for that.
    end.capacity(200);
    let mut client = Hand::new(end);
    client.send(UPGRADE);
    let (ticks, came) = unbounded();
    let sent = still.serve("send", io, move |conn| send_again_and_again(conn, send, came));
    still.settle();
    (client, ticks, sent)
}

const SENDS: [Send; 6] = [Send::Piece, Send::Flush, Send::Message, Send::Framed, Send::Ping, Send::Wait];

#[test]
fn a_send_that_is_given_up_again_and_again_times_out_at_its_moment() {
    for send in SENDS {
        let still = Still::new(Limits::DEFAULT);
        let (_client, ticks, sent) = sends(&still, send);
        for _ in 0..9 {
            still.pass(SECOND);
            ticks.try_send(()).expect("it is awaited");
            still.settle();
        }
        still.pass(SECOND - NANOSECOND);
        assert!(!sent.is_finished(), "{send:?}: too early");
        still.pass(NANOSECOND);
        assert!(sent.is_finished(), "{send:?}");
        assert!(matches!(smol::block_on(sent), Error::Timeout(Phase::Write)), "{send:?}");
    }
}
