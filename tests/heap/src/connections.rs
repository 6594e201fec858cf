//! The heap of a server, its hub and its connections, all of which do the same: they do not read, do not end what they send,
//! or hold what they may.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smol::LocalExecutor;
use tidings::{Conn, Exchange, Hub, Limits, ManualClock, Message, Response, Server, Subscription, transport};

use crate::peer::Peer;
use crate::random::Rng;
use crate::{HEAP, all_tables, draw, forget, lose_keys, publish, publish_large};

/// More than this is not promised here, so that all runs fit in the machine's memory: there are fewer connections then.
const PROMISED: usize = 96 << 20;

/// Limits of a server and its hub.
pub fn limits(rng: &mut Rng, hub: Limits) -> Limits {
    let (mut limits, usual) = (hub, Limits::DEFAULT);
    (limits.connections, limits.held, limits.buffered) = (usual.connections, usual.held, usual.buffered);
    for field in [
        &mut limits.head,
        &mut limits.headers,
        &mut limits.body,
        &mut limits.chunk_overhead,
        &mut limits.buffered,
        &mut limits.connections,
        &mut limits.held,
        &mut limits.message,
    ] {
        *field = draw(rng, *field);
    }
    while limits.worst_case() > PROMISED && limits.connections > usual.connections / 4 {
        limits.connections /= 2;
    }
    limits.held = limits.held.min(limits.connections);
    limits
}

/// A server, and clients that are polled when the test says so.
struct World<'w> {
    server: Server,
    hub: Hub,
    limits: &'w Limits,
    /// What each reader follows.
    topics: &'w [&'w str],
    executor: LocalExecutor<'w>,
    /// The subscriptions that a workload of the hub alone makes.
    read: Vec<Subscription>,
}

impl<'w> World<'w> {
    fn new(limits: &'w Limits, topics: &'w [&'w str]) -> World<'w> {
        // No deadline comes.
        let server = Server::with_clock(limits.clone(), &ManualClock::new());
        let (hub, executor) = (Hub::new(limits), LocalExecutor::new());
        let read = Vec::with_capacity(limits.topics);
        World { server, hub, limits, topics, executor, read }
    }

    /// A client that sends this, and takes as many bytes as are in what is returned.
    fn connect(&self, input: &Arc<[u8]>, room: usize) -> Arc<AtomicUsize> {
        let room = Arc::new(AtomicUsize::new(room));
        let conn = Conn::new(Peer::new(input, &room), &self.server);
        self.executor.spawn(converse(conn, self.hub.clone(), self.topics)).detach();
        self.settle();
        room
    }

    /// All clients that there may be.
    fn crowd(&self, input: &Arc<[u8]>) {
        (0..self.limits.connections).for_each(|_| _ = self.connect(input, usize::MAX));
    }

    /// Lets all run that can.
    fn settle(&self) {
        while self.executor.try_tick() {}
    }

    /// Publishes a message that takes so many bytes to write, at most.
    fn publish(&self, written: usize) {
        publish_large(&self.hub, self.limits, written);
        self.settle();
    }
}

async fn converse(mut conn: Conn, hub: Hub, topics: &[&str]) {
    while let Ok(Some(ex)) = conn.next().await {
        if let Err(error) = app(&hub, topics, ex).await {
            conn.fail(&error).await;
            break;
        }
    }
}

async fn app(hub: &Hub, topics: &[&str], mut ex: Exchange<'_>) -> tidings::Result<()> {
    match ex.path() {
        "/poll" => transport::poll(ex, hub, topics).await,
        "/wait" => transport::long_poll(ex, hub, topics).await,
        "/events" => transport::sse(ex, hub, topics).await,
        "/ws" => transport::websocket(ex, hub, topics).await,
        "/body" => {
            let _body = ex.body().await?;
            ex.reply(Response::new(204)).await
        }
        "/socket" => {
            let mut socket = ex.upgrade(None).await?;
            while socket.recv().await?.is_some() {}
            Ok(())
        }
        _ => ex.reply(Response::new(404)).await,
    }
}

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn get(path: &str) -> Vec<u8> {
    let fields = if ["/ws", "/socket"].iter().any(|socket| path.starts_with(socket)) { UPGRADE } else { "" };
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into()
}

/// What a client does with the most that `limits` let it send.
type Request = fn(&Limits) -> Vec<u8>;

/// What is received and never used.
const REQUESTS: [(&str, Request); 7] = [
    ("nothing is sent", |_| Vec::new()),
    ("long polls are held", |_| get("/wait")),
    ("heads that do not end", |limits| head(limits, "X: ".len())),
    ("heads of many fields, whose body does not come", many_fields),
    ("bodies that do not end", |limits| {
        let head = format!("POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", limits.body);
        [head.into(), vec![b'x'; limits.body - 1]].concat()
    }),
    ("chunks that do not end", chunks),
    ("messages of WebSockets that do not end", |limits| [get("/socket"), message(limits)].concat()),
];

/// A message of a WebSocket that lacks its last byte.
fn message(limits: &Limits) -> Vec<u8> {
    let head = [&[0x81, 0xff][..], &(limits.message as u64).to_be_bytes(), &[0; 4]].concat();
    [head, vec![b'x'; limits.message - 1]].concat()
}

/// A head that lacks its last byte.
fn head(limits: &Limits, name: usize) -> Vec<u8> {
    let start = b"GET / HTTP/1.1\r\nHost: h\r\nX: ";
    [&start[..], &vec![b'x'; limits.head - start.len() - name]].concat()
}

/// A request with as many fields as it may have.
fn many_fields(limits: &Limits) -> Vec<u8> {
    let mut request = b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n".to_vec();
    let most = (limits.head - request.len() - 2) / 4;
    request.extend(b"a:\r\n".repeat(most.min(limits.headers - 2)));
    [&request[..], b"\r\n"].concat()
}

/// A body in chunks of one byte as far as their overhead goes, and then in one.
fn chunks(limits: &Limits) -> Vec<u8> {
    let mut request = b"POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let small = (limits.chunk_overhead / 8).min(limits.body / 2);
    request.extend(b"1\r\nx\r\n".repeat(small));
    request.extend(format!("{:x}\r\n", limits.body - small).bytes());
    request.extend(vec![b'x'; limits.body - small - 1]);
    request
}

/// How messages come to readers that do not read.
#[derive(Clone, Copy, PartialEq)]
enum Come {
    /// One at a time, as large as it may be.
    Large,
    /// One at a time, as large as a WebSocket writes it from where all share it.
    Shared,
    /// As many as a batch has.
    Batch,
}

/// Readers that read, so that each message has all of its frames.
fn quick_readers(world: &World<'_>) {
    for path in ["/wait", "/events", "/ws"] {
        let times = if path == "/wait" { 2 * world.limits.connections } else { 1 };
        world.connect(&get(path).repeat(times).into(), usize::MAX);
    }
}

/// Readers that do not read what was published, whose requests have these fields, and bytes behind them.
fn slow_readers(world: &World<'_>, path: &str, come: Come, [fields, behind]: [&[u8]; 2]) {
    if come != Come::Batch {
        quick_readers(world);
    }
    let request = get(&if come == Come::Batch { format!("{path}?after=earliest") } else { path.to_owned() });
    let request: Arc<[u8]> = [&request[..request.len() - 2], fields, b"\r\n", behind].concat().into();
    // What takes the most to write: of a line end an event stream makes 7 bytes, of a control character JSON makes 6.
    let text = if path == "/events" { "\n" } else { "\x01" }.repeat(world.limits.batch / 160);
    // There is room for a 101, whose feed comes behind it.
    let room = if path == "/ws" { 200 } else { 0 };
    for _ in 3..world.limits.connections {
        match come {
            // Anew for each of them: frames push messages out, so that a batch is never as large again.
            Come::Batch => {
                (0..24).for_each(|_| publish(&world.hub, Message::new("news", text.clone())));
                world.connect(&request, room);
            }
            // A poll without a cursor is answered at once, so the message comes first.
            _ if path == "/poll" => {
                world.publish(size(come, world.limits));
                world.connect(&request, 0);
            }
            _ => {
                world.connect(&request, usize::MAX).store(0, Ordering::Relaxed);
                world.publish(size(come, world.limits));
            }
        }
    }
}

/// The size of each message.
fn size(come: Come, limits: &Limits) -> usize {
    if come == Come::Shared { 2 * 1024 - 200 } else { limits.published }
}

/// The paths of the transports.
const PATHS: [&str; 4] = ["/poll", "/wait", "/events", "/ws"];

/// As many bytes behind a request as are kept for later.
fn pipelined(world: &World<'_>) {
    let request = [get("/wait"), vec![b'x'; world.limits.head]].concat();
    world.crowd(&request.into());
}

/// The hub is full, readers do not read, and what they send waits.
fn all_at_once(world: &mut World<'_>, path: &str) {
    let mut read = std::mem::take(&mut world.read);
    forget(&world.hub, world.limits);
    // The topics of the readers have their places before the others take the rest. A reader alone gets none.
    world.topics.iter().for_each(|topic| publish(&world.hub, Message::new(topic, "")));
    world.topics.last().into_iter().for_each(|topic| lose_keys(&world.hub, world.limits, topic));
    world.connect(&get("/wait").into(), usize::MAX);
    all_tables(&world.hub, world.limits, &mut read);
    world.read = read;
    let limits = world.limits;
    let come =
        if limits.published.min(limits.history_bytes) >= limits.batch { Come::Large } else { Come::Batch };
    let fields = b"a:\r\n".repeat(((limits.head - 300) / 4).min(limits.headers - 8));
    let behind = if path == "/ws" { message(limits) } else { vec![b'x'; limits.head - 1] };
    slow_readers(world, path, come, [&fields, &behind]);
}

/// By how much a workload makes the heap grow, with what its thread keeps.
fn measure(limits: &Limits, workload: impl FnOnce(&mut World<'_>) + Send) -> usize {
    let names: Vec<String> = (1..limits.subscription.min(limits.topics)).map(|n| n.to_string()).collect();
    let topics: Vec<&str> = ["news"].into_iter().chain(names.iter().map(|name| &**name)).collect();
    // A thread of its own, which has kept nothing yet.
    let measured = || {
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        let mut world = World::new(limits, &topics);
        workload(&mut world);
        let peak = HEAP.peak_usage() - before;
        drop(world);
        (peak, HEAP.current_usage() - before)
    };
    let (peak, left) = std::thread::scope(|scope| scope.spawn(measured).join().expect("no panic"));
    assert!(left <= kept_by_a_thread(), "{left} bytes are left when all have gone");
    peak
}

/// What is promised of a server that serves nobody, and of a hub that keeps nothing.
fn kept_by_a_thread() -> usize {
    let mut none = Limits::DEFAULT;
    (none.connections, none.held, none.buffered) = (0, 0, 0);
    (none.topics, none.forgotten, none.history_bytes) = (0, 0, 0);
    none.worst_case()
}

/// Runs all workloads with these limits.
pub fn run(seed: u64, limits: &Limits) {
    let promised = limits.worst_case();
    let mut most = 0;
    let mut note = |name: &str, grown: usize| {
        println!("{seed}: {name}: {grown} of {promised} bytes, {} %", grown * 100 / promised);
        assert!(grown <= promised, "TIDINGS_SEED={seed} shows more than is promised: {limits:?}");
        most = most.max(grown);
    };
    for (name, request) in REQUESTS {
        let request: Arc<[u8]> = request(limits).into();
        note(name, measure(limits, |world| world.crowd(&request)));
    }
    note("requests behind held ones", measure(limits, |world| pipelined(world)));
    for path in PATHS {
        for (name, come) in [("large", Come::Large), ("shared", Come::Shared), ("many", Come::Batch)] {
            let slow = measure(limits, |world| slow_readers(world, path, come, [b"", b""]));
            note(&format!("{name} messages for {path}, which is not read"), slow);
        }
        note(&format!("all at once for {path}"), measure(limits, |world| all_at_once(world, path)));
    }
    assert!(promised <= 4 * most, "TIDINGS_SEED={seed} shows a promise of no use: {limits:?}");
}
