//! The client: connections that ask again as soon as they have an answer.
//!
//! It says `ready` when all are there. At each line of its input, each asks a hundred times; then it says `done`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// How often each connection asks.
const TIMES: usize = 100;

const GET: &[u8] = b"GET /time HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
// With the sample key of RFC 6455.
const UPGRADE: &[u8] =
    b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
// A text of 64 bytes; its mask changes nothing.
const MESSAGE: &[u8] = b"\x81\xc0\0\0\0\0................................................................";

pub(crate) fn ask(address: &str, kind: &str, count: usize) -> io::Result<()> {
    let (first, then) = match kind {
        "GET" => (GET, GET),
        "echo" => (UPGRADE, MESSAGE),
        _ => return Err(io::Error::other("GET or echo")),
    };
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut streams = Vec::new();
    for place in 0..count {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(first)?;
        read(&mut stream)?;
        epoll::add(&epoll, &stream, EventData::new_u64(place as u64), EventFlags::IN)?;
        streams.push(stream);
    }
    println!("ready");
    for line in io::stdin().lines() {
        line?;
        exchange(&epoll, &mut streams, then)?;
        println!("done");
    }
    Ok(())
}

/// Each connection asks so often, one request after the other.
fn exchange(epoll: &OwnedFd, streams: &mut [TcpStream], request: &[u8]) -> io::Result<()> {
    let (mut unsent, mut unread) = (streams.len() * (TIMES - 1), streams.len() * TIMES);
    streams.iter_mut().try_for_each(|stream| stream.write_all(request))?;
    let mut events = Vec::with_capacity(1024);
    while unread > 0 {
        events.clear();
        epoll::wait(epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let stream = &mut streams[event.data.u64() as usize];
            read(stream)?;
            unread = unread.saturating_sub(1);
            if unsent > 0 {
                unsent -= 1;
                stream.write_all(request)?;
            }
        }
    }
    Ok(())
}

/// Reads an answer: so short, it comes in one piece.
fn read(stream: &mut TcpStream) -> io::Result<()> {
    match stream.read(&mut [0; 1024])? {
        0 => Err(io::ErrorKind::ConnectionReset.into()),
        _ => Ok(()),
    }
}
