//! Limits at their extremes, one by one and two at a time: hostile clients of all kinds come to a server in memory, and
//! whatever its limits are, nothing panics, overflows, spins or stays.

mod common;
#[path = "common/still.rs"]
mod still;

use std::sync::mpsc;
use std::time::Duration;

use tidings::{Conn, Hub, Limits};

use common::pipe;
use still::{Hand, Still};

/// What a field is set to.
#[derive(Clone, Copy, Debug)]
enum Extreme {
    Zero,
    One,
    Max,
}

const EXTREMES: [Extreme; 3] = [Extreme::Zero, Extreme::One, Extreme::Max];

impl Extreme {
    fn count(self) -> usize {
        [0, 1, usize::MAX][self as usize]
    }

    fn time(self) -> Duration {
        [Duration::ZERO, Duration::from_millis(1), Duration::MAX][self as usize]
    }
}

/// A field of the limits, and how it is set.
type Field = (&'static str, fn(&mut Limits, Extreme));

const FIELDS: [Field; 30] = [
    ("head", |limits, to| limits.head = to.count()),
    ("headers", |limits, to| limits.headers = to.count()),
    ("body", |limits, to| limits.body = to.count()),
    ("chunk_overhead", |limits, to| limits.chunk_overhead = to.count()),
    ("connections", |limits, to| limits.connections = to.count()),
    ("held", |limits, to| limits.held = to.count()),
    ("per_ip", |limits, to| limits.per_ip = Some(to.count())),
    ("buffered", |limits, to| limits.buffered = to.count()),
    ("topics", |limits, to| limits.topics = to.count()),
    ("name", |limits, to| limits.name = to.count()),
    ("subscription", |limits, to| limits.subscription = to.count()),
    ("forgotten", |limits, to| limits.forgotten = to.count()),
    ("history", |limits, to| limits.history = to.count()),
    ("history_bytes", |limits, to| limits.history_bytes = to.count()),
    ("published", |limits, to| limits.published = to.count()),
    ("batch", |limits, to| limits.batch = to.count()),
    ("message_age", |limits, to| limits.message_age = Some(to.time())),
    ("topic_age", |limits, to| limits.topic_age = Some(to.time())),
    ("message", |limits, to| limits.message = to.count()),
    ("head_time", |limits, to| limits.head_time = to.time()),
    ("body_time", |limits, to| limits.body_time = to.time()),
    ("idle", |limits, to| limits.idle = to.time()),
    ("write_time", |limits, to| limits.write_time = to.time()),
    ("linger", |limits, to| limits.linger = to.time()),
    ("poll_wait", |limits, to| limits.poll_wait = to.time()),
    ("ping", |limits, to| limits.ping = to.time()),
    ("pong", |limits, to| limits.pong = to.time()),
    ("shortest retry", |limits, to| limits.retry.0 = to.time()),
    ("longest retry", |limits, to| limits.retry.1 = to.time()),
    ("stream_age", |limits, to| limits.stream_age = Some(to.time())),
];

/// A time of the limits.
type Time = fn(&Limits) -> Duration;

const HEAD_TIME: Time = |limits| limits.head_time;
const BODY_TIME: Time = |limits| limits.body_time;
const IDLE: Time = |limits| limits.idle;
const WRITE_TIME: Time = |limits| limits.write_time;
const POLL_WAIT: Time = |limits| limits.poll_wait;
const HEARTBEAT: Time = |limits| limits.heartbeat();
const PONG: Time = |limits| limits.pong;
const STREAM_AGE: Time = |limits| limits.stream_age.unwrap_or(Duration::MAX);
const FOR_EVER: Time = |_| Duration::MAX;

/// What a client does.
struct Script {
    name: &'static str,
    /// What it sends, with all that can happen in between.
    parts: Vec<Vec<u8>>,
    /// The status of the first answer, with the default limits; 0 for none.
    status: u16,
    /// As much fits into its pipe before it reads; one that has little room never reads.
    room: usize,
    /// Whether it ends its half behind all that.
    finishes: bool,
    /// The times that may keep its connection, beside `linger`: if none of them is without end, the connection ends.
    kept_by: &'static [Time],
}

const ROOM: usize = 1 << 20;

fn script(name: &'static str, status: u16, kept_by: &'static [Time], parts: &[&str]) -> Script {
    let parts = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
    Script { name, parts, status, room: ROOM, finishes: false, kept_by }
}

impl Script {
    fn slow(self, room: usize) -> Script {
        Script { room, ..self }
    }

    fn finishes(self) -> Script {
        Script { finishes: true, ..self }
    }

    fn then(mut self, bytes: impl Into<Vec<u8>>) -> Script {
        self.parts.push(bytes.into());
        self
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const WAIT: &str = "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n";
const CLOSED: &str = "GET /closed HTTP/1.1\r\nHost: h\r\n\r\n";
const EVENTS: &str = "GET /events HTTP/1.1\r\nHost: h\r\n\r\n";
const FIELDS_OF_UPGRADE: &str = "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A text of two bytes, a ping and half a message, of which the other half never comes.
const FRAMES: &[u8] = b"\x81\x82\0\0\0\0hi\x89\x80\0\0\0\0\x01\x82\0\0\0\0hi";
/// The head of a frame of 2^63 - 1 bytes, and some of them.
const ENDLESS_FRAME: &[u8] = b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0endless";

/// Clients of all kinds.
fn scripts() -> Vec<Script> {
    let (echo, feed) = (
        format!("GET /socket HTTP/1.1\r\n{FIELDS_OF_UPGRADE}"),
        format!("GET /ws HTTP/1.1\r\n{FIELDS_OF_UPGRADE}"),
    );
    let three = GET.repeat(3);
    let chunks = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0003;a=b\r\nabc\r\n000\r\nX: y\r\n\r\n";
    let post = |path: &str, length: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")
    };
    let endless_chunk =
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc";
    let socket: &[Time] = &[HEARTBEAT, PONG, BODY_TIME, WRITE_TIME, IDLE];
    vec![
        script("silent", 0, &[HEAD_TIME], &[]),
        script("half a head", 408, &[HEAD_TIME], &["GET / HTT"]),
        script("one request", 200, &[IDLE], &[GET]),
        script("a request in two parts", 200, &[HEAD_TIME, IDLE], &[&GET[..20], &GET[20..]]),
        script("pipelined requests", 200, &[IDLE], &[&three, &three]),
        script("chunks", 200, &[BODY_TIME, IDLE], &[chunks, chunks]),
        script("a chunk without end", 413, &[BODY_TIME, IDLE], &[endless_chunk]),
        script("half a body", 408, &[BODY_TIME, IDLE], &[&post("/echo", "10"), "hell"]),
        script(
            "a length without end",
            413,
            &[BODY_TIME, IDLE],
            &[&post("/echo", "18446744073709551615"), "hell"],
        ),
        script("a body that nobody reads", 404, &[BODY_TIME, HEAD_TIME, IDLE], &[&post("/none", "3000")])
            .then(vec![b'x'; 2000]),
        script(
            "a body behind 100",
            100,
            &[BODY_TIME, IDLE],
            &["POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "hello"],
        ),
        script("what is published", 200, &[BODY_TIME, IDLE], &[&post("/publish", "5"), "hello"]),
        script("a stream of pieces", 200, &[BODY_TIME, IDLE], &[&post("/stream", "10"), "helloworld"]),
        script("a short poll", 200, &[IDLE], &["GET /poll HTTP/1.1\r\nHost: h\r\n\r\n"]),
        script("a long poll", 200, &[POLL_WAIT, IDLE], &[WAIT]),
        script("long polls that are pipelined", 200, &[POLL_WAIT, IDLE], &[WAIT, WAIT, GET]),
        script("a long poll, then the end", 200, &[POLL_WAIT], &[WAIT]).finishes(),
        script("a long poll and early bytes", 200, &[POLL_WAIT, HEAD_TIME, IDLE, BODY_TIME], &[WAIT])
            .then(vec![b'x'; 6000]),
        script("held without a timer", 0, &[FOR_EVER], &[CLOSED]),
        script("held with early bytes", 0, &[FOR_EVER], &[CLOSED]).then(vec![b'x'; 20_000]),
        script("held, then the end", 200, &[IDLE], &[CLOSED]).finishes(),
        script("an event stream", 200, &[STREAM_AGE, IDLE], &[EVENTS]),
        script("an event stream and early bytes", 200, &[STREAM_AGE, IDLE, HEAD_TIME], &[EVENTS])
            .then(vec![b'x'; 6000]),
        script("an event stream, then the end", 200, &[IDLE], &[EVENTS]).finishes(),
        script("an event stream that is not read", 0, &[WRITE_TIME, STREAM_AGE, IDLE], &[EVENTS]).slow(10),
        script("an answer that is not read", 0, &[WRITE_TIME, BODY_TIME, IDLE], &[&post("/echo", "40000")])
            .then(vec![b'x'; 40_000])
            .slow(100),
        script("messages both ways", 101, socket, &[&echo]).then(FRAMES).then(FRAMES),
        script("messages behind the request", 101, socket, &[]).then([echo.as_bytes(), FRAMES].concat()),
        script("a message without end", 101, socket, &[&echo]).then(ENDLESS_FRAME),
        script("messages that are not read", 101, socket, &[&echo]).then(FRAMES.repeat(100)).slow(200),
        script("a feed", 101, socket, &[&feed]),
        script("a feed that is sent something", 101, socket, &[&feed]).then(FRAMES),
        script("a feed, then the end", 101, socket, &[&feed]).finishes(),
    ]
}

/// Serves all that the clients ask for: the usual routes, and one that holds its client without a timer.
async fn converse(mut conn: Conn, hub: Hub) {
    while let Ok(Some(mut ex)) = conn.next().await {
        let answered = match ex.path() {
            "/closed" => match ex.closed().await {
                Ok(()) => ex.reply(tidings::Response::text("good bye")).await,
                Err(error) => Err(error),
            },
            _ => common::app(&hub, ex).await,
        };
        if let Err(error) = answered {
            conn.fail(&error).await;
            break;
        }
    }
}

/// A client and its script.
struct Client {
    script: Script,
    hand: Hand,
}

impl Client {
    fn come(script: Script, still: &Still) -> Client {
        let (end, io) = pipe::pipe();
        end.capacity(script.room);
        let hub = still.world.hub.clone();
        still.serve(script.name, io, |conn| converse(conn, hub)).detach();
        Client { script, hand: Hand::new(end) }
    }

    /// Sends the next part, or the end behind the last.
    fn act(&mut self, round: usize) {
        match self.script.parts.get(round) {
            Some(part) => _ = self.hand.send(part),
            None if self.script.finishes => self.hand.finish(),
            None => {}
        }
    }

    /// Reads what there is, unless it never does; returns how much that was.
    fn read(&mut self) -> usize {
        if self.script.room == ROOM { self.hand.read_all() } else { 0 }
    }

    /// The status of the first answer; 0 for none.
    fn status(&self) -> u16 {
        let text = self.hand.text();
        if text.is_empty() { 0 } else { text[9..12].parse().expect("a status") }
    }

    /// Whether its connection must have ended, after so long a time.
    fn must_be_over(&self, limits: &Limits) -> bool {
        let times = self.script.kept_by.iter().map(|time| time(limits));
        times.chain([limits.linger]).all(|time| time < LONG)
    }
}

/// Longer than each time that is not without end.
const LONG: Duration = Duration::from_secs(3600);

/// All statuses that an answer may have.
const STATUSES: [u16; 12] = [0, 100, 101, 200, 400, 404, 408, 413, 414, 431, 500, 503];

/// One server with these limits, and all the clients, of which the one with this number comes first.
struct Trial {
    still: Still,
    clients: Vec<Client>,
}

impl Trial {
    fn begin(limits: Limits, first: usize) -> Trial {
        let still = Still::new(limits);
        let mut scripts = scripts();
        let count = scripts.len();
        scripts.rotate_left(first % count);
        let clients = scripts.into_iter().map(|script| Client::come(script, &still)).collect();
        Trial { still, clients }
    }

    fn limits(&self) -> &Limits {
        self.still.server().limits()
    }

    /// All has run that can: what a client gets by then, and the figures, are bounded.
    fn settle(&mut self, most: usize) {
        self.still.settle();
        for client in &mut self.clients {
            let bytes = client.read();
            assert!(bytes <= most, "{}: {bytes} bytes at once", client.script.name);
        }
        self.still.settle();
        let (stats, limits) = (self.still.server().stats(), self.limits());
        assert!(stats.connections <= limits.connections && stats.held <= limits.held, "{stats:?}");
        assert!(stats.buffered <= limits.buffered, "{stats:?}");
        let hub = self.still.world.hub.stats();
        assert!(hub.topics <= limits.topics && hub.messages <= limits.history.saturating_mul(2), "{hub:?}");
    }

    /// All clients send what they have to send.
    fn act(&mut self) {
        for round in 0..4 {
            for client in &mut self.clients {
                client.act(round);
                self.still.settle();
            }
            self.settle(100_000);
            // Not if it is refused: that is for the limits to say.
            let _ = self.still.world.hub.publish("news", "something new");
            self.settle(10_000);
        }
    }

    /// Time passes, in which no client does anything but read.
    fn pass(&mut self) {
        let [nano, milli, second] =
            [Duration::from_nanos(1), Duration::from_millis(1), Duration::from_secs(1)];
        for step in
            [Duration::ZERO, nano, milli, milli, 50 * milli, second, 15 * second].into_iter().chain([LONG; 8])
        {
            self.still.pass(step);
            // An answer, a heartbeat, a last word.
            self.settle(2000);
        }
    }

    /// All that must have ended has, and each client was told something legal.
    fn judge(&self) {
        for client in &self.clients {
            let (name, status) = (client.script.name, client.status());
            assert!(client.script.room < ROOM || STATUSES.contains(&status), "{name}: {status}");
            // What no client can do anything about: without a history, or for subscriptions to no topic, nothing can be
            // read.
            let limits = self.limits();
            assert!(status != 500 || limits.history == 0 || limits.subscription == 0, "{name}: {status}");
            let over = client.hand.over || client.script.room < ROOM;
            assert!(over || !client.must_be_over(self.limits()), "{name} stays");
        }
        let stay = self.clients.iter().filter(|client| !client.must_be_over(self.limits())).count();
        let connections = self.still.server().stats().connections;
        assert!(connections <= stay, "{connections} connections, of which {stay} may stay");
    }

    /// The server shuts down, and all that is left ends.
    fn end(mut self, first_the_clients: bool) {
        let (within, server) = match first_the_clients {
            true => (Duration::MAX, self.still.server().clone()),
            false => (Duration::from_secs(1), self.still.server().clone()),
        };
        if first_the_clients {
            self.clients.clear();
            self.still.settle();
            assert_eq!(self.still.figures(), (0, 0, 0), "behind the clients");
        }
        let shutdown = self.still.spawn("shutdown", async move { server.shutdown(within).await });
        self.settle(10_000);
        self.still.pass(Duration::from_secs(1));
        assert!(shutdown.is_finished(), "the shutdown does not end");
        assert_eq!(self.still.figures(), (0, 0, 0), "behind the shutdown");
        assert_eq!(self.still.world.hub.stats().readers, 0);
    }
}

/// Runs one trial with each of these limits, and says with which of them it failed.
fn run(trials: impl Iterator<Item = (String, Limits)> + Send + 'static) {
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        for (number, (name, limits)) in trials.enumerate() {
            // A test that hangs in the middle of a poll says where, too.
            tell.send(name).expect("awaited");
            let mut trial = Trial::begin(limits, number);
            trial.act();
            trial.pass();
            trial.judge();
            trial.end(number % 2 == 0);
        }
    });
    let mut last = String::new();
    loop {
        match told.recv_timeout(Duration::from_secs(120)) {
            Ok(name) => last = name,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs with {last}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    assert!(thread.join().is_ok(), "it failed with {last}");
}

#[test]
fn with_the_defaults_each_client_gets_what_it_came_for() {
    let mut trial = Trial::begin(Limits::DEFAULT, 0);
    trial.act();
    trial.pass();
    trial.judge();
    for client in &trial.clients {
        if client.script.room == ROOM {
            assert_eq!(
                client.status(),
                client.script.status,
                "{}: {}",
                client.script.name,
                client.hand.text()
            );
        }
    }
    trial.end(false);
}

/// The defaults, but for these fields.
fn limits(fields: &[(Field, Extreme)]) -> (String, Limits) {
    let mut limits = Limits::DEFAULT;
    fields.iter().for_each(|((_, set), to)| set(&mut limits, *to));
    let names = Vec::from_iter(fields.iter().map(|((name, _), to)| format!("{name} {to:?}")));
    (names.join(", "), limits)
}

#[test]
fn the_worst_case_grows_with_each_limit() {
    let alone = FIELDS.into_iter().flat_map(|field| EXTREMES.map(|to| limits(&[(field, to)])));
    for (context, limits) in alone {
        for (name, set) in FIELDS {
            let [zero, one, max] = EXTREMES.map(|to| {
                let mut limits = limits.clone();
                set(&mut limits, to);
                limits.worst_case()
            });
            assert!(zero <= one && one <= max, "{context}, {name}: {zero}, {one}, {max}");
            assert!((zero..=max).contains(&limits.worst_case()), "{context}, {name}");
        }
    }
}

#[test]
fn each_limit_alone_at_its_extremes() {
    run(FIELDS.into_iter().flat_map(|field| EXTREMES.map(|to| limits(&[(field, to)]))));
}

#[test]
fn each_two_limits_together_at_their_extremes() {
    // Each pair of fields comes in one of its nine ways; TIDINGS_RUNS=9 tries them all, and found nothing more.
    let ways = std::env::var("TIDINGS_RUNS").map_or(1, |runs| runs.parse().expect("a number"));
    let pairs = (0..FIELDS.len()).flat_map(|last| (0..last).map(move |first| (first, last)));
    run(pairs.enumerate().flat_map(move |(number, (first, last))| {
        (number..number + ways).map(move |way| {
            limits(&[(FIELDS[first], EXTREMES[way % 3]), (FIELDS[last], EXTREMES[way / 3 % 3])])
        })
    }));
}
