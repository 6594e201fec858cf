//! Runs the pages of `tests/wire` through the state machine: whole, byte by byte, and cut in two everywhere.
//!
//! The pages are golden: bytes, and the log that they must give. `tests/wire/README.md` says how to read them.

#[path = "common/block.rs"]
mod block;
#[path = "properties/completions.rs"]
#[allow(unreachable_pub, reason = "tests/properties.rs uses it as well")]
mod completions;
#[cfg(feature = "ws")]
#[path = "wire/frames.rs"]
mod frames;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tidings::Version;
use tidings::proto::Step;
use tidings::proto::body::Piece;
use tidings::proto::head::Head;
use tidings::proto::http1::{Http1, NextHead};
use tidings::{Fault, Limits, Response};

/// One case of a page.
#[derive(Clone, Debug)]
struct Case {
    /// `page: name`, for messages.
    name: String,
    limits: Limits,
    handler: Handler,
    /// The fields to be logged with each head.
    show: Vec<String>,
    /// What comes, in pieces between which the peer waits.
    input: Vec<Vec<u8>>,
    /// Whether the peer ends its input.
    ends: bool,
    /// Whether only the whole input is run.
    whole_only: bool,
    log: String,
}

/// What is done with each request.
#[derive(Clone, Debug)]
enum Handler {
    /// Reads the body and answers 200.
    Echo,
    /// Answers at once with this status, without a look at the body.
    Ignore(u16),
    /// Reads the body and streams two pieces.
    Stream,
    /// Reads the body and answers with `Connection: close`.
    Close,
    /// Is a handshake, or a fault.
    Upgrade,
    /// There are no requests: the bytes are WebSocket frames.
    Frames,
}

macro_rules! pages {
    ($($(#[$gate:meta])* $test:ident $page:literal;)*) => {
        $($(#[$gate])* #[test]
        fn $test() {
            run_page($page, include_str!(concat!("wire/", $page, ".md")));
        })*

        /// All pages of this build, with their text.
        const PAGES: &[(&str, &str)] =
            &[$($(#[$gate])* ($page, include_str!(concat!("wire/", $page, ".md"))),)*];
    };
}

pages! {
    heads "head";
    framings "framing";
    chunks "chunked";
    kept_connections "keep-alive";
    pipelines "pipelining";
    expectations "expect";
    #[cfg(feature = "ws")]
    upgrades "upgrade";
    #[cfg(feature = "ws")]
    websocket_frames "websocket";
    limits "limits";
    hostile_input "hostile";
    early_verdicts "early";
}

#[test]
fn every_page_is_run() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire");
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        // Beside the pages there is a file on how to read them, and one that reads some of them.
        let page = name.strip_suffix(".md").filter(|page| *page != "README");
        let Some(page) = page else { continue };
        if !cfg!(feature = "ws") && matches!(page, "upgrade" | "websocket") {
            continue;
        }
        assert!(PAGES.iter().any(|(known, _)| *known == page), "{name} is in no test");
    }
}

fn run_page(page: &str, text: &str) {
    let cases = parse_page(page, text);
    assert!(!cases.is_empty(), "{page} has no case");
    let mut wrong = String::new();
    for case in &cases {
        let verdict = catch_unwind(AssertUnwindSafe(|| run_case(case))).unwrap_or(Err("panicked".to_owned()));
        if let Err(how) = verdict {
            let _ = writeln!(wrong, "--- {}: {how}", case.name);
        }
    }
    assert!(wrong.is_empty(), "{} cases; these are wrong:\n{wrong}", cases.len());
}

fn run_case(case: &Case) -> Result<(), String> {
    let length = case.input.iter().map(Vec::len).sum::<usize>();
    let expect = |cuts: &str, log: String| match log == case.log {
        true => Ok(()),
        false => Err(format!("{cuts}\nexpected:\n{}got:\n{log}", case.log)),
    };
    expect("whole", play(case, &case.input, &|_| false))?;
    if case.whole_only {
        return Ok(());
    }
    expect("byte by byte", play(case, &case.input, &|_| true))?;
    (1..length).try_for_each(|cut| expect(&format!("cut at {cut}"), play(case, &case.input, &|at| at == cut)))
}

/// Runs an input, cut where `cut` says, and returns the log.
fn play(case: &Case, input: &[Vec<u8>], cut: &dyn Fn(usize) -> bool) -> String {
    #[cfg(feature = "ws")]
    if let Handler::Frames = case.handler {
        return frames::play(&pieces(input, cut), &case.limits);
    }
    let mut peer = Peer::new(case, input, cut);
    let mut log = Log::default();
    loop {
        let mut head = Head::default();
        match peer.http.head(&mut head, &case.limits) {
            Ok(NextHead::NeedMore) if peer.feed() => {}
            Ok(NextHead::NeedMore) => {
                log.line("need more");
                return log.text;
            }
            Ok(NextHead::End) => {
                log.line("closed");
                return log.text;
            }
            Ok(NextHead::Whole) => {
                log.head(&head, &case.show);
                if let Err(fault) = answer(&mut peer, &mut log, &head) {
                    refuse(&mut peer, &mut log, fault);
                }
            }
            Err(fault) => refuse(&mut peer, &mut log, fault),
        }
        if log.waits {
            return log.text;
        }
    }
}

/// Answers one request; the fault of its body or its handshake.
fn answer(peer: &mut Peer<'_>, log: &mut Log, head: &Head) -> Result<(), Fault> {
    let mut out = Vec::new();
    if !matches!(peer.case.handler, Handler::Ignore(_) | Handler::Upgrade) && !read_body(peer, log)? {
        return Ok(());
    }
    let (http, limits) = (&mut peer.http, &peer.case.limits);
    let content = match peer.case.handler {
        Handler::Echo => http.respond(Response::text("ok"), None, limits, &mut out),
        Handler::Ignore(status) => http.respond(Response::new(status), None, limits, &mut out),
        Handler::Close => {
            http.respond(Response::text("ok").header("Connection", "close"), None, limits, &mut out)
        }
        Handler::Stream => http.start(Response::new(200), None, limits, &mut out).and_then(|content| {
            http.write(b"one", &mut out)?;
            http.write(b"", &mut out)?;
            http.write(b"two", &mut out)?;
            http.finish(&mut out);
            Ok(content)
        }),
        Handler::Upgrade => return upgrade(peer, log, head),
        Handler::Frames => unreachable!("they are played elsewhere"),
    }
    .expect("a legal answer");
    out.extend_from_slice(content.bytes());
    log.line(&format!("answer {}", read_answer(&out, head.method(), head.version())));
    Ok(())
}

/// Reads the body to the log; false if its end did not come.
fn read_body(peer: &mut Peer<'_>, log: &mut Log) -> Result<bool, Fault> {
    let mut out = Vec::new();
    peer.http.push_continue(&peer.case.limits, &mut out);
    if !out.is_empty() {
        log.line(&format!("answer {}", read_answer(&out, "GET", Version::Http11)));
    }
    loop {
        match peer.http.data(&peer.case.limits)? {
            Piece::Data(range) => log.data("data", peer.http.bytes(range)),
            Piece::NeedMore if peer.feed() => {}
            Piece::NeedMore => {
                log.line("need more");
                log.waits = true;
                return Ok(false);
            }
            Piece::End => {
                log.line("end");
                return Ok(true);
            }
        }
    }
}

#[cfg(feature = "ws")]
fn upgrade(peer: &mut Peer<'_>, log: &mut Log, head: &Head) -> Result<(), Fault> {
    use tidings::proto::ws::{Upgrade, offered};

    let upgrade = Upgrade::of(head)?;
    let offers = offered(head).expect("tokens");
    let mut out = Vec::new();
    let mut behind =
        peer.http.upgrade(&upgrade.accept, offers.first().copied(), None, &Default::default(), &mut out);
    behind.extend(peer.rest());
    log.line(&format!("upgrade {}", upgrade.accept));
    if !offers.is_empty() {
        log.line(&format!("offers {}", offers.join(", ")));
    }
    if !behind.is_empty() {
        log.data("behind", &behind);
    }
    read_answer(&out, "GET", Version::Http11);
    Ok(())
}

#[cfg(not(feature = "ws"))]
fn upgrade(_: &mut Peer<'_>, _: &mut Log, _: &Head) -> Result<(), Fault> {
    Err(Fault::UpgradeRequired)
}

fn refuse(peer: &mut Peer<'_>, log: &mut Log, fault: Fault) {
    let mut out = Vec::new();
    let told = peer.http.refuse(&Response::new(fault.status()), None, &mut out);
    // Its name; what a fault carries is in its sentence.
    let fault_name = format!("{fault:?}");
    let name = fault_name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    log.line(&match told {
        true => format!("fault {name} {}", fault.status()),
        false => format!("fault {name} untold"),
    });
    if peer.case.show.iter().any(|shown| shown == "sentence") {
        log.line(&format!("sentence {fault}"));
    }
    assert_eq!(told, !out.is_empty(), "told and written are the same");
    if told {
        assert!(read_answer(&out, "GET", Version::Http11).ends_with("close"), "a refusal closes");
    }
}

/// Reads one answer as a client would, with a parser that is not ours, and says what it is in short.
fn read_answer(out: &[u8], method: &str, version: Version) -> String {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(used) = answer.parse(out).expect("a legal answer") else {
        panic!("half an answer: {}", out.escape_ascii());
    };
    let status = answer.code.expect("a status");
    let field = |name: &str| {
        let mut values = answer.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value);
        let value = values.next().map(|v| String::from_utf8_lossy(v).to_ascii_lowercase());
        assert!(values.next().is_none(), "{name} stands twice");
        value
    };
    let (length, coding) = (field("content-length"), field("transfer-encoding"));
    assert!(length.is_none() || coding.is_none(), "two framings");
    let bodiless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
    let body = match (&length, &coding) {
        _ if bodiless => "",
        (Some(length), _) => ["", "ok"][usize::from(length == "2")],
        (_, Some(_)) => "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n",
        _ => "onetwo",
    };
    assert_eq!(
        out[used..].escape_ascii().to_string(),
        body.as_bytes().escape_ascii().to_string(),
        "the body"
    );
    if matches!(status, 100..=199) {
        assert!(length.is_none() && coding.is_none(), "RFC 9112, 6.1 and RFC 9110, 8.6");
        return status.to_string();
    }
    let connection = field("connection").unwrap_or_default();
    let end = match (connection.as_str(), version) {
        ("keep-alive", Version::Http10) | ("", Version::Http11) => "keep",
        (c, _) if c.split(", ").any(|c| c == "close") => "close",
        (c, _) => panic!("Connection: {c}"),
    };
    assert!(end == "close" || bodiless || length.is_some() || coding.is_some(), "a body without an end");
    let framed = if coding.is_some() { " chunked" } else { "" };
    format!("{status}{framed} {end}")
}

/// Cuts what comes into pieces, where `cut` says and where the peer waits.
fn pieces(input: &[Vec<u8>], cut: &dyn Fn(usize) -> bool) -> Vec<Vec<u8>> {
    let (mut pieces, mut at) = (Vec::new(), 0);
    for part in input {
        let mut piece = Vec::new();
        for byte in part {
            if cut(at) && !piece.is_empty() {
                pieces.push(std::mem::take(&mut piece));
            }
            piece.push(*byte);
            at += 1;
        }
        pieces.push(piece);
    }
    pieces
}

/// The sending side of a case.
struct Peer<'c> {
    case: &'c Case,
    http: Http1,
    /// What is still to come, in the pieces in which it comes.
    pieces: std::vec::IntoIter<Vec<u8>>,
    ended: bool,
}

impl<'c> Peer<'c> {
    fn new(case: &'c Case, input: &[Vec<u8>], cut: &dyn Fn(usize) -> bool) -> Peer<'c> {
        Peer { case, http: Http1::new(), pieces: pieces(input, cut).into_iter(), ended: false }
    }

    /// Sends one piece more; false if nothing more comes.
    fn feed(&mut self) -> bool {
        let Some(piece) = self.pieces.next() else {
            let ends = self.case.ends && !self.ended;
            if ends {
                self.http.end_input();
                self.ended = true;
            }
            return ends;
        };
        let room = self.http.room(&self.case.limits);
        assert!(room > 0, "it needs more and takes nothing");
        let (now, later) = piece.split_at(room.min(piece.len()));
        self.http.receive(now);
        assert!(self.http.buffered() <= self.case.limits.head.max(16 * 1024), "more is kept than allowed");
        if !later.is_empty() {
            let rest: Vec<_> = std::iter::once(later.to_vec()).chain(self.pieces.by_ref()).collect();
            self.pieces = rest.into_iter();
        }
        true
    }

    #[cfg(feature = "ws")]
    fn rest(&mut self) -> Vec<u8> {
        self.pieces.by_ref().flatten().collect()
    }
}

#[derive(Default)]
struct Log {
    text: String,
    /// The data of the last line, if that is open for more.
    open: Vec<u8>,
    /// Whether the machine waits for bytes that do not come.
    waits: bool,
}

impl Log {
    fn line(&mut self, line: &str) {
        self.open.clear();
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Logs data; pieces side by side are one line, so that cuts do not show.
    fn data(&mut self, name: &str, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "a piece without data");
        if !self.open.is_empty() {
            let before = self.text.trim_end().rfind('\n').map_or(0, |at| at + 1);
            self.text.truncate(before);
        }
        let mut open = std::mem::take(&mut self.open);
        open.extend_from_slice(bytes);
        self.line(&format!("{name} \"{}\"", open.escape_ascii()));
        self.open = open;
    }

    fn head(&mut self, head: &Head, show: &[String]) {
        let version = if head.version() == Version::Http10 { "1.0" } else { "1.1" };
        self.line(&format!("head {} {} HTTP/{version}", head.method(), head.target()));
        for name in show {
            match name.as_str() {
                "path" => self.line(&format!("path {}", head.path())),
                query if query.starts_with('?') => {
                    let values: Vec<_> = head.queries(&query[1..]).collect();
                    self.line(&format!("{query} {}", values.join(" | ")));
                }
                name => {
                    for (_, value) in head.headers().filter(|(n, _)| n.eq_ignore_ascii_case(name)) {
                        self.line(&format!("{name}: {}", value.escape_ascii()));
                    }
                }
            }
        }
    }
}

// How a page is read.

fn parse_page(page: &str, text: &str) -> Vec<Case> {
    let cases: Vec<Case> = text.split("\n## ").skip(1).map(|text| parse_case(page, text)).collect();
    assert_eq!(
        cases.len(),
        text.lines().filter(|l| l.starts_with("```log")).count(),
        "{page}: a case is lost"
    );
    cases
}

fn parse_case(page: &str, text: &str) -> Case {
    let (title, text) = text.split_once('\n').expect("a title");
    let name = format!("{page}: {title}");
    let block = |kind: &str| {
        let (_, rest) =
            text.split_once(&format!("```{kind}\n")).unwrap_or_else(|| panic!("{name}: no {kind}"));
        rest.split_once("```").unwrap_or_else(|| panic!("{name}: {kind} has no end")).0
    };
    let in_hex = text.contains("```hex\n");
    let (input, ends) = match in_hex {
        true => (vec![block::hex(block("hex"))], false),
        false => block::input(block("http")),
    };
    let mut case = Case {
        log: block("log").to_owned(),
        limits: Limits::DEFAULT,
        handler: if in_hex { Handler::Frames } else { Handler::Echo },
        show: Vec::new(),
        input,
        ends,
        whole_only: false,
        name: name.clone(),
    };
    let prose = text.split_once("```").expect("a block").0;
    assert!(prose.contains("RFC") || prose.contains("Limits"), "{name} says not where it is from");
    for line in prose.lines() {
        match line.split_once(": ") {
            Some(("limits", list)) => list.split(' ').for_each(|l| set_limit(&mut case.limits, l)),
            Some(("handler", handler)) => case.handler = parse_handler(handler),
            Some(("show", names)) => case.show = names.split(", ").map(str::to_owned).collect(),
            Some(("cuts", "none")) => case.whole_only = true,
            _ => {}
        }
    }
    case
}

fn parse_handler(text: &str) -> Handler {
    match text.split_once(' ') {
        Some(("ignore", status)) => Handler::Ignore(status.parse().expect("a status")),
        None if text == "stream" => Handler::Stream,
        None if text == "close" => Handler::Close,
        None if text == "upgrade" => Handler::Upgrade,
        _ => panic!("no handler is called {text}"),
    }
}

fn set_limit(limits: &mut Limits, text: &str) {
    let (name, value) = text.split_once('=').expect("name=value");
    let place = match name {
        "head" => &mut limits.head,
        "headers" => &mut limits.headers,
        "body" => &mut limits.body,
        "chunk_overhead" => &mut limits.chunk_overhead,
        "message" => &mut limits.message,
        name => panic!("no limit is called {name}"),
    };
    *place = value.parse().expect("a number");
}

// What holds for every case.

fn all_cases() -> impl Iterator<Item = Case> {
    PAGES.iter().flat_map(|(page, text)| parse_page(page, text))
}

/// Those that are no WebSocket frames.
fn request_cases() -> impl Iterator<Item = Case> {
    all_cases().filter(|case| !matches!(case.handler, Handler::Frames))
}

#[test]
fn a_verdict_on_a_head_comes_once_and_stays() {
    for case in request_cases() {
        let bytes: Vec<u8> = case.input.concat();
        let mut verdict = None;
        for end in 0..=bytes.len().min(case.limits.head + 8) {
            let found = match Head::parse(&bytes[..end], &case.limits) {
                Ok(Step::NeedMore) => None,
                Ok(Step::Complete(head)) => Some(Ok(head)),
                Err(fault) => Some(Err(fault)),
            };
            assert!(verdict.is_none() || verdict == found, "{}: another verdict at {end}", case.name);
            verdict = found;
        }
    }
}

#[test]
fn what_needs_more_can_be_made_whole() {
    let mut stuck = String::new();
    for case in request_cases() {
        let bytes = case.input.concat();
        let strict = Case { handler: Handler::Echo, ends: false, ..case };
        let mut limits = strict.limits.clone();
        // What is too large is refused when it is (RFC 9110, 5.4), so let there be room for the rest.
        (limits.head, limits.chunk_overhead) = (limits.head + 1_000, limits.chunk_overhead + 1_000);
        let roomy = Case { limits, input: Vec::new(), ..strict.clone() };
        let run = |case: &Case, bytes: &[u8]| play(case, &[bytes.to_vec()], &|_| false);
        // What makes the longest part that needs more whole makes all shorter ones whole.
        let mut parts = (0..=bytes.len()).rev().map(|end| &bytes[..end]);
        let open = parts.find(|part| run(&strict, part).ends_with("need more\n")).expect("the empty part");
        let steps = |log: String| log.matches("head ").count() + log.matches("answer 200").count();
        let before = steps(run(&strict, open));
        let makes_whole = |rest: Vec<u8>| steps(run(&roomy, &[open, &rest].concat())) > before;
        if !completions::ends_in_unknown_coding(open) && !completions::rests().any(makes_whole) {
            let _ = writeln!(stuck, "{}: {}", strict.name, open.escape_ascii());
        }
    }
    assert!(stuck.is_empty(), "nothing makes these whole:\n{stuck}");
}

#[test]
fn the_neighbours_of_every_case_give_one_log_however_they_are_cut() {
    for case in all_cases().filter(|case| !case.whole_only) {
        let bytes: Vec<u8> = case.input.concat();
        // The long ones differ from short ones in their limits only.
        for at in 0..bytes.len().min(160) {
            for neighbour in neighbours(&bytes, at) {
                let input = [neighbour];
                let whole = quiet(&play(&case, &input, &|_| false));
                for cut in at.max(1)..at + 3 {
                    let log = quiet(&play(&case, &input, &|place| place == cut));
                    assert_eq!(log, whole, "{}: {} cut at {cut}", case.name, input[0].escape_ascii());
                }
            }
        }
    }
}

/// One byte less, one more, and others in its place.
fn neighbours(bytes: &[u8], at: usize) -> Vec<Vec<u8>> {
    let (before, after) = (&bytes[..at], &bytes[at + 1..]);
    let mut found = vec![[before, after].concat(), [before, &bytes[at..=at], &bytes[at..]].concat()];
    found.extend(b"\r\n\0 ,:".iter().map(|other| [before, &[*other], after].concat()));
    found
}

/// Without the 100, which is sent only if the body did not come with the head.
fn quiet(log: &str) -> String {
    log.replace("answer 100\n", "")
}
