//! The events of a connection do not depend on the cuts, its buffers stay within the limits, each request has one
//! answer, and a client reads back what was answered.

use tidings::proto::body::Piece;
use tidings::proto::http1::{Http1, NextHead, Sending};
use tidings::{Error, Fault, Head, Limits, Response, Version};

use super::input::{Cuts, Input};
use super::naive;

/// The most that is kept of the input while a body is read.
const READ: usize = 16 * 1024;

pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (limits, cuts) = (input.limits(), input.cuts());
    let plan = Plan { limits, handlers: input.some(), ends: input.one_in(2) };
    let bytes = input.rest();
    let (whole, unread) = play(&plan, bytes, Cuts::NONE);
    let stays = read_back(&whole);
    let faults = whole.events.iter().any(|event| matches!(event, Event::Fault(..)));
    // An empty line and no request is no request. A client that asked for the head alone can't see that a stream was
    // left unfinished, behind which nothing is answered: it sees the close.
    assert!(!stays || whole.left || faults || unread <= 2, "{unread} bytes are passed over in silence");
    assert_eq!(play(&plan, bytes, cuts).0, whole, "cut");
    if bytes.len() < 1_000 {
        assert_eq!(play(&plan, bytes, Cuts::EVERYWHERE).0, whole, "byte by byte");
    }
}

/// What is done with what comes.
struct Plan<'d> {
    limits: Limits,
    /// What is done with each request, over and over again.
    handlers: &'d [u8],
    /// Whether the peer ends its input.
    ends: bool,
}

/// What happened.
#[derive(Debug, Default, PartialEq, Eq)]
struct Log {
    events: Vec<Event>,
    /// All that was written, but for `100 Continue`, which hangs on what came by then.
    out: Vec<u8>,
    /// For each request that was answered whether it was HEAD, and its version.
    answered: Vec<(bool, Version)>,
    /// Whether a streamed answer was left unfinished.
    left: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Head(Head),
    /// Data; pieces side by side are one.
    Data(Vec<u8>),
    End,
    Fault(Fault, bool),
    NeedMore,
    Over,
}

struct Peer<'p> {
    http: Http1,
    plan: &'p Plan<'p>,
    rest: &'p [u8],
    cuts: Cuts<'p>,
}

/// Runs a connection; returns what happened, and how many bytes were not used when it was over.
fn play(plan: &Plan<'_>, bytes: &[u8], cuts: Cuts<'_>) -> (Log, usize) {
    let mut peer = Peer { http: Http1::new(), plan, rest: bytes, cuts };
    let mut log = Log::default();
    loop {
        let mut head = Head::default();
        let fault = match peer.http.head(&mut head, &plan.limits) {
            Ok(NextHead::Whole) => match answer(&mut peer, &mut log, head) {
                Ok(true) => continue,
                Ok(false) => return (log, 0),
                Err(fault) => fault,
            },
            Ok(NextHead::NeedMore) if peer.feed() => continue,
            Ok(NextHead::NeedMore) => {
                log.events.push(Event::NeedMore);
                return (log, 0);
            }
            Ok(NextHead::End) => {
                log.events.push(Event::Over);
                assert!(!owes(&peer.http));
                return (log, peer.http.buffered() + peer.rest.len());
            }
            Err(fault) => fault,
        };
        refuse(&mut peer, &mut log, fault);
    }
}

/// Answers a request; false if it waits for what does not come.
fn answer(peer: &mut Peer<'_>, log: &mut Log, head: Head) -> Result<bool, Fault> {
    let (handlers, limits) = (peer.plan.handlers, &peer.plan.limits);
    let handler = handlers.get(log.answered.len() % handlers.len().max(1)).copied().unwrap_or(0);
    let about = (head.method() == "HEAD", head.version());
    log.events.push(Event::Head(head));
    assert!(owes(&peer.http));
    if handler % 2 == 0 && !read_body(peer, log)? {
        return Ok(false);
    }
    log.answered.push(about);
    let (http, out) = (&mut peer.http, &mut log.out);
    let content = match handler / 2 % 8 {
        0 => http.respond(Response::text("ok"), None, limits, out),
        1 => http.respond(Response::new(204), None, limits, out),
        2 => http.respond(Response::new(304).header("ETag", "\"1\""), None, limits, out),
        3 => http.respond(Response::html("<p>").header("Connection", "x, Close"), None, limits, out),
        4 => {
            http.make_last();
            http.respond(Response::new(200).header("Connection", "x"), None, limits, out)
        }
        5 => http.start(Response::new(204), None, limits, out).inspect(|_| http.finish(out)),
        // One that is not finished: nothing can follow it.
        6 => http
            .start(Response::new(200), None, limits, out)
            .inspect(|_| http.write(b"half", out).expect("a stream")),
        _ => http.start(Response::new(200), None, limits, out).and_then(|content| {
            http.write(b"one", out)?;
            http.write(b"two\n", out)?;
            http.finish(out);
            Ok(content)
        }),
    }
    .expect("a legal answer");
    out.extend_from_slice(content.bytes());
    log.left = http.state().sending == Sending::Streaming;
    no_second(http, limits, out);
    Ok(true)
}

fn owes(http: &Http1) -> bool {
    http.state().sending == Sending::Owed
}

/// A second answer is refused, and nothing is written.
fn no_second(http: &mut Http1, limits: &Limits, out: &mut Vec<u8>) {
    let before = out.len();
    assert!(matches!(http.respond(Response::new(200), None, limits, out), Err(Error::Misuse(_))));
    assert!(matches!(http.start(Response::new(200), None, limits, out), Err(Error::Misuse(_))));
    if !(http.state().sending == Sending::Streaming) {
        assert!(matches!(http.write(b"more", out), Err(Error::Misuse(_))));
        http.finish(out);
    }
    assert_eq!(out.len(), before);
}

fn read_body(peer: &mut Peer<'_>, log: &mut Log) -> Result<bool, Fault> {
    let (mut go_on, limits, mut total) = (Vec::new(), &peer.plan.limits, 0);
    peer.http.push_continue(limits, &mut go_on);
    assert!(matches!(&go_on[..], b"" | b"HTTP/1.1 100 Continue\r\n\r\n"));
    loop {
        match peer.http.data(limits)? {
            Piece::Data(range) => {
                total += range.len();
                assert!(!range.is_empty() && total <= limits.body, "{range:?}, {total} in all");
                log.data(peer.http.bytes(range));
            }
            Piece::NeedMore if peer.feed() => {}
            Piece::NeedMore => {
                log.events.push(Event::NeedMore);
                return Ok(false);
            }
            Piece::End => {
                log.events.push(Event::End);
                return Ok(true);
            }
        }
    }
}

fn refuse(peer: &mut Peer<'_>, log: &mut Log, fault: Fault) {
    let (before, owed) = (log.out.len(), owes(&peer.http));
    let told = peer.http.refuse(&Response::new(fault.status()), None, &mut log.out);
    assert_eq!(told, log.out.len() > before, "told and written are the same");
    assert!(told || !owed, "what is owed is given");
    if told {
        let about = match log.events.iter().rev().find(|event| matches!(event, Event::Head(_))) {
            Some(Event::Head(head)) if owed => (head.method() == "HEAD", head.version()),
            _ => (false, Version::Http11),
        };
        log.answered.push(about);
    }
    assert_eq!(peer.http.buffered(), 0);
    log.events.push(Event::Fault(fault, told));
}

impl Log {
    fn data(&mut self, bytes: &[u8]) {
        match self.events.last_mut() {
            Some(Event::Data(data)) => data.extend_from_slice(bytes),
            _ => self.events.push(Event::Data(bytes.to_vec())),
        }
    }
}

impl Peer<'_> {
    /// Sends one piece more, or the end; false if nothing more comes.
    fn feed(&mut self) -> bool {
        let limits = &self.plan.limits;
        if self.rest.is_empty() {
            let ends = self.plan.ends && !self.http.state().ended;
            if ends {
                self.http.end_input();
                assert_eq!(self.http.room(limits), 0);
            }
            return ends;
        }
        let room = self.http.room(limits);
        assert!(room > 0, "it needs more and takes nothing");
        let (now, later) = self.rest.split_at(self.cuts.width().min(room).min(self.rest.len()));
        self.http.receive(now);
        self.rest = later;
        assert!(self.http.buffered() + self.http.room(limits) <= limits.head.max(READ));
        true
    }
}

/// Reads all that was written as a client does: one answer to each request, and nothing behind the last. Returns
/// whether another request might follow.
fn read_back(log: &Log) -> bool {
    let heads = log.events.iter().filter(|event| matches!(event, Event::Head(_))).count();
    let alone = log.events.iter().filter(|event| matches!(event, Event::Fault(_, true))).count();
    assert!(log.answered.len() <= heads + alone && alone <= 1);
    let (mut rest, mut last) = (&log.out[..], false);
    for (head_only, version) in &log.answered {
        assert!(!last, "an answer behind the last");
        let Some(answer) = naive::answer(rest, *head_only) else {
            assert!(!head_only && naive::find(rest, b"\r\n\r\n4\r\nhalf\r\n").is_some(), "half an answer");
            return false;
        };
        rest = &rest[answer.used..];
        last = !answer.framed
            || answer.has_option("close")
            || (*version == Version::Http10 && !answer.has_option("keep-alive"));
    }
    assert!(rest.is_empty(), "more than was answered: {}", rest.escape_ascii());
    !last
}
