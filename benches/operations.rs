//! What a server does all day, without a socket: parse, decode, encode, publish.
//!
//!     cargo bench                              # nanoseconds; `cargo bench -- head` only some
//!     benches/instructions                     # machine instructions per call, which no neighbour changes
//!
//! Each operation is prepared once and called often. `count NAME TIMES` calls one and prints nothing: that is what
//! `benches/instructions` counts. `count` alone lists the names.

use std::fmt;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use tidings::proto::Step;
use tidings::proto::body::{BodyDecoder, Framing, Piece};
#[cfg(feature = "ws")]
use tidings::proto::frame::{self, Found, Opcode, push_frame};
use tidings::proto::http1::{Http1, NextHead};
use tidings::{Event, Head, Hub, Id, Limits, Message, Response, Subscription};

/// Something to measure.
struct Operation {
    /// What it is called on the command line and in tables.
    name: &'static str,
    /// What one call works through.
    size: Size,
    /// Prepares it; what it returns does it once a call.
    prepare: fn() -> Box<dyn FnMut()>,
}

enum Size {
    Bytes(usize),
    Readers(usize),
    /// One of something, whatever else there is.
    One,
}

const OPERATIONS: &[Operation] = &[
    Operation { name: "head, small", size: Size::Bytes(SMALL.len()), prepare: || parse(SMALL) },
    Operation { name: "head, browser", size: Size::Bytes(BROWSER.len()), prepare: || parse(BROWSER) },
    Operation { name: "request and answer", size: Size::Bytes(SMALL.len()), prepare: exchange },
    Operation { name: "chunked, 64 KiB", size: Size::Bytes(BODY), prepare: decode },
    Operation { name: "sse frame, 64 B", size: Size::Bytes(64), prepare: || sse_frame(64) },
    Operation { name: "sse frame, 1 KiB", size: Size::Bytes(1024), prepare: || sse_frame(1024) },
    #[cfg(feature = "ws")]
    Operation { name: "ws frame, 64 B", size: Size::Bytes(64), prepare: || ws_frame(64) },
    #[cfg(feature = "ws")]
    Operation { name: "ws frame, 1 KiB", size: Size::Bytes(1024), prepare: || ws_frame(1024) },
    #[cfg(feature = "ws")]
    Operation { name: "ws message, 64 B", size: Size::Bytes(64), prepare: || ws_message(64) },
    #[cfg(feature = "ws")]
    Operation { name: "ws message, 32 KiB", size: Size::Bytes(32 * 1024), prepare: || ws_message(32 * 1024) },
    Operation { name: "publish, 0 wait", size: Size::Readers(0), prepare: || publish(0) },
    Operation { name: "publish, 1 waits", size: Size::Readers(1), prepare: || publish(1) },
    Operation { name: "publish, 1,000 wait", size: Size::Readers(1_000), prepare: || publish(1_000) },
    Operation { name: "publish, 10,000 wait", size: Size::Readers(10_000), prepare: || publish(10_000) },
    // What a hub does, with as many topics or keys there: the lines are flat.
    Operation { name: "publish, 10 topics", size: Size::One, prepare: || publish_one_of(10) },
    Operation { name: "publish, 1,000 topics", size: Size::One, prepare: || publish_one_of(1_000) },
    Operation { name: "publish, 100,000 topics", size: Size::One, prepare: || publish_one_of(100_000) },
    Operation { name: "new topic, 10 topics", size: Size::One, prepare: || new_topic(10) },
    Operation { name: "new topic, 1,000 topics", size: Size::One, prepare: || new_topic(1_000) },
    Operation { name: "new topic, 100,000 topics", size: Size::One, prepare: || new_topic(100_000) },
    Operation { name: "subscribe, 10 topics", size: Size::One, prepare: || subscribe(10) },
    Operation { name: "subscribe, 1,000 topics", size: Size::One, prepare: || subscribe(1_000) },
    Operation { name: "subscribe, 100,000 topics", size: Size::One, prepare: || subscribe(100_000) },
    // For each of its topics about as much.
    Operation { name: "subscribe to 10 topics", size: Size::Readers(10), prepare: || subscribe_to(10) },
    Operation {
        name: "subscribe to 1,000 topics",
        size: Size::Readers(1_000),
        prepare: || subscribe_to(1_000),
    },
    Operation { name: "read, 10 topics", size: Size::One, prepare: || read(10) },
    Operation { name: "read, 1,000 topics", size: Size::One, prepare: || read(1_000) },
    Operation { name: "read, 100,000 topics", size: Size::One, prepare: || read(100_000) },
    Operation { name: "keyed publish, 10 keys", size: Size::One, prepare: || publish_keyed(10) },
    Operation { name: "keyed publish, 1,000 keys", size: Size::One, prepare: || publish_keyed(1_000) },
    Operation { name: "keyed publish, 100,000 keys", size: Size::One, prepare: || publish_keyed(100_000) },
];

const SMALL: &[u8] = b"GET /time HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n";

const BROWSER: &[u8] = b"GET /wait?after=1795238623346-7 HTTP/1.1\r\n\
    Host: 127.0.0.1:3000\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 \
    Safari/537.36\r\n\
    sec-ch-ua: \"Chromium\";v=\"150\", \"Not.A/Brand\";v=\"24\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    Accept: */*\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Referer: http://127.0.0.1:3000/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";

/// The bytes of a body, and of each of its chunks.
const BODY: usize = 64 * 1024;
const CHUNK: usize = 1024;

fn parse(head: &'static [u8]) -> Box<dyn FnMut()> {
    let limits = Limits::DEFAULT;
    Box::new(move || {
        let step = Head::parse(black_box(head), &limits);
        assert!(matches!(black_box(step), Ok(Step::Complete(_))));
    })
}

/// A request comes, and its answer is put down.
fn exchange() -> Box<dyn FnMut()> {
    let (limits, mut http1, mut out) = (Limits::DEFAULT, Http1::new(), Vec::new());
    let date = Some("Sat, 01 Jan 2000 00:00:00 GMT");
    Box::new(move || {
        http1.receive(black_box(SMALL));
        assert!(matches!(http1.head(&mut Head::default(), &limits), Ok(NextHead::Whole)));
        out.clear();
        let answer = Response::text("2026-01-01T00:00:00+00:00");
        let content = http1.respond(answer, date, &limits, &mut out).expect("an answer is owed");
        out.extend_from_slice(content.bytes());
        black_box(&out);
    })
}

fn decode() -> Box<dyn FnMut()> {
    let chunk = [format!("{CHUNK:x}\r\n").into_bytes(), vec![b'x'; CHUNK], b"\r\n".to_vec()].concat();
    let (limits, body) = (Limits::DEFAULT, [chunk.repeat(BODY / CHUNK), b"0\r\n\r\n".to_vec()].concat());
    Box::new(move || {
        let (mut decoder, mut rest, mut data) = (BodyDecoder::new(Framing::Chunked), black_box(&body[..]), 0);
        while !decoder.is_done() {
            let (used, piece) = decoder.step(rest, &limits).expect("a good body");
            if let Piece::Data(place) = piece {
                data += place.len();
            }
            rest = &rest[used..];
        }
        assert_eq!(data, BODY);
    })
}

fn sse_frame(size: usize) -> Box<dyn FnMut()> {
    let data = "x".repeat(size);
    Box::new(move || {
        let event = Event::data(black_box(&data)).id("1795238623346-7");
        black_box(event.encode().expect("a good event"));
    })
}

#[cfg(feature = "ws")]
fn ws_frame(size: usize) -> Box<dyn FnMut()> {
    let data = "x".repeat(size);
    Box::new(move || {
        let mut out = Vec::new();
        push_frame(Opcode::Text, black_box(data.as_bytes()), &mut out);
        black_box(out);
    })
}

/// A client's message of text comes, in one frame.
#[cfg(feature = "ws")]
fn ws_message(size: usize) -> Box<dyn FnMut()> {
    let (limits, mut decoder) = (Limits::DEFAULT, frame::FrameDecoder::new());
    let (key, mut came) = (*b"mask", Vec::new());
    push_frame(Opcode::Text, "x".repeat(size).as_bytes(), &mut came);
    // As a client's it has the mask bit, and the key in front of the masked payload.
    came[1] |= 0x80;
    let payload = came.split_off(came.len() - size);
    came.extend(key);
    came.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    Box::new(move || {
        let step = decoder.step(black_box(&came), limits.message, &limits);
        assert!(matches!(step, Ok((_, Found::Text(text))) if text.len() == size));
    })
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Wakes>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Something is published while so many wait: each is woken, takes it and waits again.
fn publish(waiting: usize) -> Box<dyn FnMut()> {
    let hub = Hub::new(&Limits::DEFAULT);
    let subscribe = |_| hub.subscribe(&["news"], None).expect("room for a topic");
    let mut readers: Vec<Subscription> = (0..waiting).map(subscribe).collect();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    readers.iter_mut().for_each(|reader| assert!(poll(reader, &waker).is_none()));
    let data: Arc<str> = "x".repeat(64).into();
    Box::new(move || {
        hub.publish("news", data.clone()).expect("it fits");
        assert_eq!(wakes.0.swap(0, Ordering::Relaxed), readers.len());
        for reader in &mut readers {
            assert_eq!(poll(reader, &waker), Some(1));
            assert_eq!(poll(reader, &waker), None);
        }
    })
}

/// A hub with room for so many topics and keys, and names for them.
fn crowded(count: usize) -> (Hub, impl FnMut() -> String) {
    let mut limits = Limits::DEFAULT;
    (limits.topics, limits.subscription, limits.history, limits.history_bytes) =
        (count, count, count, 1 << 30);
    let mut number = 0;
    let next = move || {
        // A step that shares no factor with the numbers of topics: so each comes once in a round, in no order.
        number = (number + 7_919) % (2 * count);
        format!("devices/{number:08}/state")
    };
    (Hub::new(&limits), next)
}

/// A hub with so many topics, and what names one of them after the other.
fn with_topics(count: usize) -> (Hub, impl FnMut() -> String) {
    let (hub, mut next) = crowded(count);
    let names: Vec<String> = (0..count).map(|_| next()).collect();
    names.iter().for_each(|name| assert!(hub.publish(name, "on").is_ok()));
    let mut names = names.into_iter().cycle();
    (hub, move || names.next().expect("it never ends"))
}

/// Something is published in one of so many topics.
fn publish_one_of(topics: usize) -> Box<dyn FnMut()> {
    let (hub, mut next) = with_topics(topics);
    Box::new(move || assert!(hub.publish(&next(), "on").is_ok()))
}

/// Something is published in a topic that is not there, while as many are there as may be.
fn new_topic(topics: usize) -> Box<dyn FnMut()> {
    let (hub, mut next) = crowded(topics);
    (0..topics).for_each(|_| assert!(hub.publish(&next(), "on").is_ok()));
    Box::new(move || assert!(hub.publish(&next(), "on").is_ok()))
}

/// One comes, and leaves.
fn subscribe(topics: usize) -> Box<dyn FnMut()> {
    let (hub, mut next) = with_topics(topics);
    Box::new(move || drop(black_box(hub.subscribe(&[&next()], None).expect("it is there"))))
}

/// One comes who follows so many topics, and leaves.
fn subscribe_to(topics: usize) -> Box<dyn FnMut()> {
    let (hub, mut next) = with_topics(topics);
    let names: Vec<String> = (0..topics).map(|_| next()).collect();
    Box::new(move || {
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        drop(black_box(hub.subscribe(&names, None).expect("they are there")));
    })
}

/// One comes, reads what is kept, and leaves.
fn read(topics: usize) -> Box<dyn FnMut()> {
    let (hub, mut next) = with_topics(topics);
    Box::new(move || {
        let mut news = hub.read(&[&next()], Some(Id::EARLIEST)).expect("it is there");
        assert_eq!(news.try_next().map(|batch| batch.messages.len()), Some(1));
    })
}

/// One of so many keys gets a newer value.
fn publish_keyed(keys: usize) -> Box<dyn FnMut()> {
    let (hub, mut next) = crowded(keys);
    let keys: Vec<String> = (0..keys).map(|_| next()).collect();
    let send = move |key: &String| assert!(hub.send(Message::new("state", "on").key(key)).is_ok());
    keys.iter().for_each(&send);
    let mut place = 0;
    Box::new(move || {
        place = (place + 1) % keys.len();
        send(&keys[place]);
    })
}

/// How many messages it takes; `None` if it has to wait.
fn poll(reader: &mut Subscription, waker: &Waker) -> Option<usize> {
    match pin!(reader.next()).poll(&mut Context::from_waker(waker)) {
        Poll::Ready(batch) => batch.map(|batch| batch.messages.len()),
        Poll::Pending => None,
    }
}

#[divan::bench(args = OPERATIONS)]
fn operation(bencher: Bencher<'_, '_>, operation: &Operation) {
    let call = (operation.prepare)();
    match operation.size {
        Size::Bytes(size) => bencher.counter(BytesCount::new(size)).bench_local(call),
        Size::Readers(size) => bencher.counter(ItemsCount::new(size)).bench_local(call),
        Size::One => bencher.counter(ItemsCount::new(1_usize)).bench_local(call),
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["count"] => OPERATIONS.iter().for_each(|operation| println!("{operation}")),
        ["count", name, times] => count(name, times.parse().expect("a number")),
        _ => divan::main(),
    }
}

fn count(name: &str, times: usize) {
    let named = OPERATIONS.iter().find(|operation| operation.name == name);
    let mut call = (named.expect("a name that `count` lists").prepare)();
    (0..times).for_each(|_| call());
}
