//! A whole connection with real handlers on a stream that does what a script says: it ends, it stays within the
//! limits, what it writes is a row of answers, and nothing is left of it.

use std::future::{Future, pending};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use smol::future::poll_once;
use smol::io::{AsyncRead, AsyncWrite};
use tidings::{Conn, Error, Exchange, Hub, Limits, Response, Server, transport};

use super::input::{Flag, Input};
use super::naive;

pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let plan = Plan::draw(&mut input);
    let wire = Wire(Arc::new(Mutex::new(State {
        script: input.some().to_vec(),
        input: inflate(input.rest()),
        ..State::default()
    })));
    let (server, hub) = (Server::new(plan.limits.clone()), Hub::new(&plan.limits));
    hub.publish("news", "before").expect("room");
    let mut world = World { server, hub, wire, plan, polls: 0, seen: Seen::default() };
    world.run(data.len());

    let stats = world.server.stats();
    assert_eq!((stats.connections, stats.held, stats.buffered), (0, 0, 0), "something is left");
    assert_eq!(world.hub.stats().readers, 0, "a reader is left");
    let seen = lock(&world.seen);
    assert_eq!(stats.requests, seen.len() as u64);
    let state = lock(&world.wire.0);
    let missing = reads_back(&state.output, &seen);
    assert!(missing <= 1, "{missing} requests have no answer");
}

/// What the peer sends: `\xfb` stands for many bytes, since sizes matter and fuzz input is short.
fn inflate(bytes: &[u8]) -> Vec<u8> {
    let many = |byte: &u8| if *byte == 0xfb { vec![b'a'; 700] } else { vec![*byte] };
    let inflated = bytes.iter().flat_map(many).collect::<Vec<u8>>();
    inflated[..inflated.len().min(100_000)].to_vec()
}

/// What happens when nothing moves any more.
#[derive(Clone, Copy)]
enum Stall {
    Publish,
    /// The peer takes bytes again.
    Flow,
    /// The peer ends its input.
    End,
    /// The server ends, and at once.
    Cut,
}

const STALLS: [&[Stall]; 4] = [
    &[Stall::Publish, Stall::Flow, Stall::End, Stall::Cut],
    &[Stall::Cut],
    &[Stall::End, Stall::Cut],
    &[Stall::Flow, Stall::End, Stall::Publish, Stall::Cut],
];

/// What the server does.
struct Plan {
    limits: Limits,
    /// What is done with each request, over and over again.
    handlers: Vec<u8>,
    /// At which poll the shutdown begins.
    drains: Option<usize>,
    /// At which poll the embedder drops the connection.
    leaves: Option<usize>,
    /// How many polls come before something is published.
    publishes: usize,
    stalls: &'static [Stall],
    /// Whether `next` is dropped and called again.
    impatient: bool,
    /// How long a handler waits.
    patience: Duration,
}

impl Plan {
    fn draw(input: &mut Input<'_>) -> Plan {
        let (mut limits, times, more) = (input.limits(), input.byte(), input.byte());
        let has = |bits: u8, bit: u8| bits & 1 << bit != 0;
        // A time of nothing is over at the first wait, so that no test waits. (A heartbeat of nothing never waits.)
        let time = |bit: u8| if has(times, bit) { Duration::ZERO } else { Duration::from_secs(3_600) };
        (limits.head_time, limits.idle, limits.body_time) = (time(0), time(1), time(2));
        (limits.write_time, limits.linger, limits.poll_wait) = (time(3), time(4), time(5));
        (limits.ping, limits.pong) = (Duration::from_secs(3_600), Duration::from_secs(3_600));
        limits.stream_age = has(times, 6).then_some(Duration::ZERO);
        limits.held = usize::from(!has(more, 0));
        limits.connections = usize::from(!has(more, 1));
        limits.buffered = [1 << 20, 2_000, 300, 0][usize::from(more >> 2 & 3)];
        limits.message = if has(more, 4) { 16 } else { 1 << 16 };
        limits.history = 4;
        let drains = has(more, 5).then(|| usize::from(input.byte()));
        let publishes = input.byte();
        let (publishes, stalls) = (1 + usize::from(publishes % 16), STALLS[usize::from(publishes >> 4) % 4]);
        let leaves = Some(usize::from(input.byte())).filter(|poll| *poll > 0);
        let patience = if has(more, 6) { Duration::ZERO } else { Duration::MAX };
        let (handlers, impatient) = (input.some().to_vec(), has(more, 7));
        Plan { limits, handlers, drains, leaves, publishes, stalls, impatient, patience }
    }
}

struct World {
    server: Server,
    hub: Hub,
    wire: Wire,
    plan: Plan,
    polls: usize,
    seen: Seen,
}

/// For each request, in order, whether it is HEAD.
type Seen = Arc<Mutex<Vec<bool>>>;

impl World {
    /// Runs the connection to its end.
    fn run(&mut self, length: usize) {
        // Each poll has a cause: a step of the script, a few bytes, a publish; or it has none.
        let most = 300 + 4 * (length + lock(&self.wire.0).input.len());
        let conn = Conn::new(self.wire.clone(), &self.server);
        let (hub, seen, handlers) = (self.hub.clone(), self.seen.clone(), self.plan.handlers.clone());
        let (impatient, patience) = (self.plan.impatient, self.plan.patience);
        let mut task = pin!(converse(conn, hub, seen, handlers, impatient, patience));
        let flag = Arc::new(Flag::default());
        let waker = flag.clone().into();
        let mut stalls = self.plan.stalls.iter();
        while task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.within_limits();
            self.happen();
            // Nobody woke it, so nothing moves: the world goes on.
            while !flag.take() {
                let Some(stall) = stalls.next() else { panic!("it hangs: nothing wakes it any more") };
                self.stall(*stall);
            }
            self.polls += 1;
            assert!(self.polls < most, "it does not end");
            if self.plan.leaves.is_some_and(|poll| poll <= self.polls) {
                return;
            }
        }
    }

    /// What happens by and by.
    fn happen(&self) {
        // Not for ever: then it would not end.
        if self.polls < 64 && self.polls % self.plan.publishes == 0 {
            self.hub.publish("news", "now").expect("room");
        }
        if self.plan.drains == Some(self.polls) {
            shut_down(&self.server, Duration::MAX);
        }
    }

    fn stall(&self, stall: Stall) {
        match stall {
            Stall::Publish => drop(self.hub.publish("news", "at last").expect("room")),
            Stall::Flow => self.wire.flow(),
            Stall::End => self.wire.end(),
            Stall::Cut => {
                assert!(!self.must_have_ended(), "the peer has left, and nobody saw it");
                shut_down(&self.server, Duration::ZERO);
            }
        }
    }

    /// Whether the peer has ended, and there is room to see it.
    fn must_have_ended(&self) -> bool {
        let state = lock(&self.wire.0);
        state.ended
            && !state.blocked
            && state.came < self.plan.limits.head
            && self.plan.limits.buffered > 1 << 19
    }

    fn within_limits(&self) {
        let (stats, limits) = (self.server.stats(), &self.plan.limits);
        assert!(stats.connections <= limits.connections && stats.held <= limits.held);
        assert!(stats.buffered <= limits.buffered, "{} of {}", stats.buffered, limits.buffered);
    }
}

/// Begins a shutdown, or cuts everything at once.
fn shut_down(server: &Server, within: Duration) {
    let polled = pin!(server.shutdown(within)).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_ready() || within > Duration::ZERO);
}

/// The loop that an embedder writes.
async fn converse(
    mut conn: Conn,
    hub: Hub,
    seen: Seen,
    handlers: Vec<u8>,
    impatient: bool,
    patience: Duration,
) {
    loop {
        // A `next` that is dropped loses nothing.
        let first = if impatient { poll_once(conn.next()).await } else { None };
        let next = match first {
            Some(next) => next,
            None => conn.next().await,
        };
        let Ok(Some(ex)) = next else { break };
        let place = lock(&seen).len();
        lock(&seen).push(ex.method() == "HEAD");
        let handler = handlers.get(place % handlers.len().max(1)).copied().unwrap_or(0);
        if let Err(error) = answer(ex, &hub, handler, patience).await {
            conn.fail(&error).await;
            break;
        }
    }
    // Once over, it stays so.
    assert!(!matches!(conn.next().await, Ok(Some(_))), "a request behind the end");
}

async fn answer(mut ex: Exchange<'_>, hub: &Hub, handler: u8, patience: Duration) -> tidings::Result<()> {
    const TOPICS: &[&str] = &["news", "weather"];
    match handler % 16 {
        0 => ex.reply(Response::text("hello")).await,
        1 => {
            let body = ex.body().await?;
            ex.reply(Response::new(200).body(body)).await
        }
        2 => {
            while ex.chunk().await?.is_some() {}
            ex.reply(Response::new(204)).await
        }
        3 => {
            ex.chunk().await?;
            ex.reply(Response::new(304)).await
        }
        4 => {
            let body = ex.body().await?;
            let mut stream = ex.stream(Response::new(200)).await?;
            for piece in body.chunks(3) {
                stream.write(piece).await?;
            }
            stream.finish().await
        }
        5 => ex.stream(Response::new(200)).await?.write(b"half").await,
        6 => {
            ex.wait(pending::<()>(), patience).await?;
            ex.reply(Response::text("waited")).await
        }
        7 => transport::poll(ex, hub, TOPICS).await,
        8 => transport::long_poll(ex, hub, TOPICS).await,
        9 => transport::sse(ex, hub, TOPICS).await,
        10 => transport::any(ex, hub, TOPICS).await,
        11 => feed(ex, hub, TOPICS).await,
        12 => echo(ex).await,
        13 => {
            let id = hub.publish("weather", ex.text().await?)?;
            ex.reply(Response::text(id)).await
        }
        14 => Ok(()),
        _ => Err(Error::other("secret")),
    }
}

#[cfg(feature = "ws")]
async fn feed(ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> tidings::Result<()> {
    transport::websocket(ex, hub, topics).await
}

#[cfg(feature = "ws")]
async fn echo(ex: Exchange<'_>) -> tidings::Result<()> {
    let mut socket = ex.upgrade(None).await?;
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

#[cfg(not(feature = "ws"))]
async fn feed(ex: Exchange<'_>, _: &Hub, _: &[&str]) -> tidings::Result<()> {
    ex.reply(Response::new(404)).await
}

#[cfg(not(feature = "ws"))]
async fn echo(ex: Exchange<'_>) -> tidings::Result<()> {
    ex.reply(Response::new(404)).await
}

/// What was written is answers to the requests, the last of which may be cut off or for no request. Returns how many
/// requests have no answer.
fn reads_back(output: &[u8], seen: &[bool]) -> usize {
    let (mut rest, mut heads, mut last) = (output, seen.iter(), false);
    while !rest.is_empty() {
        assert!(!last, "behind the last answer: {}", rest.escape_ascii());
        let head_only = heads.clone().next().copied();
        // Who was asked for no head, or has no request, gets a whole answer.
        let Some(answer) = naive::answer(rest, head_only.unwrap_or(false)) else { break };
        rest = &rest[answer.used..];
        match answer.status {
            100 => assert!(head_only.is_some()),
            // WebSocket frames follow.
            101 => return 0,
            _ => {
                assert!(heads.next().is_some() || answer.has_option("close"), "an answer to nothing");
                last = !answer.framed || head_only.is_none() || answer.has_option("close");
            }
        }
    }
    heads.len()
}

/// A stream that does what a script says, and then whatever it is asked.
#[derive(Clone)]
struct Wire(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What each call does.
    script: Vec<u8>,
    /// What the peer sends.
    input: Vec<u8>,
    output: Vec<u8>,
    /// How many bytes it has sent.
    came: usize,
    /// Whether the peer has ended its input.
    ended: bool,
    /// Whether an error was given: then each call fails.
    failed: bool,
    /// Whether the server has closed its half.
    closed: bool,
    /// Calls that wait for the peer.
    waiting: Vec<Waker>,
    /// Whether the peer takes no bytes for now.
    blocked: bool,
    /// Whether it takes none for ever, and does not say so.
    deaf: bool,
}

/// What a call does.
enum Step {
    /// It moves at most so much.
    Move(usize),
    Wait,
    Nothing,
    Fail,
}

impl Wire {
    /// The peer takes bytes again.
    fn flow(&self) {
        let mut state = lock(&self.0);
        state.script.clear();
        state.blocked = false;
        state.waiting.drain(..).for_each(Waker::wake);
    }

    /// The peer ends its input.
    fn end(&self) {
        let mut state = lock(&self.0);
        state.ended = true;
        state.waiting.drain(..).for_each(Waker::wake);
    }
}

impl State {
    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        if self.failed {
            return Step::Fail;
        }
        let step = match self.script.pop() {
            None | Some(u8::MAX) => Step::Move(usize::MAX),
            Some(0..48) => {
                // Soon.
                cx.waker().wake_by_ref();
                return Step::Wait;
            }
            Some(48..64) => {
                self.blocked = true;
                Step::Wait
            }
            Some(64) => Step::Fail,
            Some(65) => Step::Nothing,
            Some(66..96) => Step::Move(1),
            Some(n) => Step::Move(usize::from(n) - 90),
        };
        let step = if self.blocked { Step::Wait } else { step };
        self.failed |= matches!(step, Step::Fail);
        if let Step::Wait = step {
            self.waiting.push(cx.waker().clone());
        }
        step
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.0);
        assert!(!buf.is_empty(), "a read of nothing");
        let length = match state.step(cx) {
            Step::Move(most) => most.min(buf.len()).min(state.input.len()),
            Step::Wait => return Poll::Pending,
            Step::Nothing => {
                state.input.clear();
                state.ended = true;
                0
            }
            Step::Fail => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        };
        if state.input.is_empty() && !state.ended {
            state.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        buf[..length].copy_from_slice(&state.input[..length]);
        state.input.drain(..length);
        state.came += length;
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.0);
        assert!(!buf.is_empty() && !state.closed, "a write of nothing, or behind the end");
        let length = match state.step(cx) {
            Step::Move(_) if state.deaf => 0,
            Step::Move(most) => most.min(buf.len()),
            Step::Wait => return Poll::Pending,
            Step::Nothing => {
                state.deaf = true;
                0
            }
            Step::Fail => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        state.output.extend_from_slice(&buf[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match lock(&self.0).step(cx) {
            Step::Wait => Poll::Pending,
            Step::Fail => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Step::Move(_) | Step::Nothing => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0);
        let step = state.step(cx);
        if let Step::Wait = step {
            return Poll::Pending;
        }
        state.closed = true;
        match step {
            Step::Fail => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().expect("no one panicked")
}
