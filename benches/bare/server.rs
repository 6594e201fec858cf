//! The server: one epoll loop, one byte of state per connection, ready-made bytes.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};

const TIME: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n2026-01-01T00:00:00+00:00";
// Ends with what the client takes for a first event.
const EVENTS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hi\n\n";
const DONE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
// The answer to the sample key of RFC 6455, which the client uses.
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// What comes next on a connection.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Request,
    /// Nothing: it waits for a message by long poll, and so for the other two.
    Poll,
    Events,
    WebSocket,
    /// A frame to send back.
    Echo,
}

/// By file descriptor.
type Connections = Vec<Option<(OwnedFd, State)>>;

pub(crate) fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    listener.set_nonblocking(true)?;
    println!("http://{}", listener.local_addr()?);
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(u64::MAX), EventFlags::IN)?;
    let (mut connections, mut buffer) = (Connections::new(), [0; 16 * 1024]);
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            match event.data.u64() {
                u64::MAX => accept(&epoll, &listener, &mut connections)?,
                place => receive(place as usize, &mut connections, &mut buffer),
            }
        }
    }
}

fn accept(epoll: &OwnedFd, listener: &TcpListener, connections: &mut Connections) -> io::Result<()> {
    while let Ok(stream) = accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        let place = stream.as_raw_fd() as usize;
        epoll::add(epoll, &stream, EventData::new_u64(place as u64), EventFlags::IN)?;
        connections.resize_with(connections.len().max(place + 1), || None);
        connections[place] = Some((stream, State::Request));
    }
    Ok(())
}

fn receive(place: usize, connections: &mut Connections, buffer: &mut [u8]) {
    let Some((stream, state)) = &mut connections[place] else { return };
    let input = match recv(&*stream, &mut *buffer, RecvFlags::empty()) {
        Ok((length @ 1.., _)) => &mut buffer[..length],
        Err(Errno::AGAIN) => return,
        _ => {
            connections[place] = None;
            return;
        }
    };
    let (next, answer) = match (*state, input.first_chunk()) {
        (State::Echo, _) => return echo(stream, input),
        (_, Some(b"POST /pub")) => return publish(place, input, connections),
        (_, Some(b"GET /time")) => (State::Request, TIME),
        (_, Some(b"GET /poll")) => (State::Poll, &[][..]),
        (_, Some(b"GET /even")) => (State::Events, EVENTS),
        (_, Some(b"GET /ws H")) => (State::WebSocket, UPGRADED),
        (_, Some(b"GET /echo")) => (State::Echo, UPGRADED),
        _ => return,
    };
    *state = next;
    if !answer.is_empty() {
        write(stream, answer);
    }
}

fn write(stream: &OwnedFd, bytes: &[u8]) {
    // What does not fit is lost: the client takes care that it fits.
    let _ = send(stream, bytes, SendFlags::NOSIGNAL);
}

/// Sends a masked text frame below 126 bytes back.
fn echo(stream: &OwnedFd, input: &mut [u8]) {
    let Some((&mut [_, length, a, b, c, d], payload)) = input.split_first_chunk_mut() else { return };
    payload.iter_mut().zip([a, b, c, d].into_iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    (input[4], input[5]) = (0x81, length & 0x7f);
    write(stream, &input[4..]);
}

/// One `send` of ready-made bytes to each that waits.
fn publish(place: usize, input: &[u8], connections: &mut Connections) {
    let head = input.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |end| end + 4);
    let (body, length) = (&input[head..], input.len() - head);
    let answer = [format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes(), body].concat();
    let event = [b"data: ", body, b"\n\n"].concat();
    let frame = match u8::try_from(length) {
        Ok(short @ ..126) => [&[0x81, short], body].concat(),
        _ => [&[0x81, 126], &(length as u16).to_be_bytes()[..], body].concat(),
    };
    for (stream, state) in connections.iter_mut().flatten() {
        match state {
            State::Poll => {
                *state = State::Request;
                write(stream, &answer);
            }
            State::Events => write(stream, &event),
            State::WebSocket => write(stream, &frame),
            State::Request | State::Echo => {}
        }
    }
    if let Some((stream, _)) = &connections[place] {
        write(stream, DONE);
    }
}
