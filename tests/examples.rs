//! The examples keep their contracts: each is started as a person would start it, and asked over a real socket.
//!
//! A section per example: a table of requests and what has to come, then what needs more than one request. To
//! add an example, add its name to `EXAMPLES` and its section at the end.

#[path = "common/built.rs"]
mod built;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What is tested here; each takes `--port` and the variable `PORT`.
const EXAMPLES: [&str; 4] = ["events", "long_poll", "short_poll", "ticks"];

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(300);

// The tables.

/// A request, and what has to come. In a pattern `*` is any text, `#` one digit or more, and `|` between two
/// patterns is a choice.
struct Row {
    method: &'static str,
    target: String,
    fields: String,
    body: String,
    status: u16,
    answer: Vec<(&'static str, Option<&'static str>)>,
    text: &'static str,
}

fn ask(method: &'static str, target: &str) -> Row {
    let (fields, body) = (String::new(), String::new());
    Row { method, target: target.into(), fields, body, status: 200, answer: Vec::new(), text: "*" }
}

fn get(target: &str) -> Row {
    ask("GET", target)
}

fn post(target: &str, body: &str) -> Row {
    Row { body: body.into(), ..ask("POST", target) }.with("Content-Type: application/json")
}

impl Row {
    /// A field of the request.
    fn with(mut self, field: &str) -> Row {
        self.fields += field;
        self.fields += "\r\n";
        self
    }

    fn gives(self, status: u16) -> Row {
        Row { status, ..self }
    }

    /// A field that the answer must have.
    fn field(mut self, name: &'static str, pattern: &'static str) -> Row {
        self.answer.push((name, Some(pattern)));
        self
    }

    /// A field that the answer must not have.
    fn no_field(mut self, name: &'static str) -> Row {
        self.answer.push((name, None));
        self
    }

    /// The answer's body.
    fn text(self, text: &'static str) -> Row {
        Row { text, ..self }
    }

    /// Asks, and compares.
    fn check(&self, client: &mut Client) -> Answer {
        let name =
            format!("{} {} {}{}", self.method, self.target, self.fields.replace("\r\n", " "), self.body);
        client.send(self);
        let answer = client.answer(self.method);
        assert_eq!(answer.status, self.status, "{name}\n{answer:?}");
        for (field, pattern) in &self.answer {
            match (answer.field(field), pattern) {
                (Some(value), Some(pattern)) => assert!(fits(pattern, value), "{name}\n{field}: {value}"),
                (None, Some(_)) => panic!("{name}\nno {field} in {answer:?}"),
                (Some(value), None) => panic!("{name}\n{field}: {value}"),
                (None, None) => {}
            }
        }
        assert!(fits(self.text, &answer.body), "{name}\n{}\nis not\n{}", answer.body, self.text);
        answer
    }
}

/// Whether a text is as a pattern says.
fn fits(pattern: &str, text: &str) -> bool {
    pattern.split('|').any(|pattern| fits_one(pattern.as_bytes(), text.as_bytes()))
}

fn fits_one(pattern: &[u8], text: &[u8]) -> bool {
    let Some((byte, rest)) = pattern.split_first() else { return text.is_empty() };
    match byte {
        b'*' => (0..=text.len()).any(|at| fits_one(rest, &text[at..])),
        b'#' => {
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (1..=digits).any(|at| fits_one(rest, &text[at..]))
        }
        byte => text.first() == Some(byte) && fits_one(rest, &text[1..]),
    }
}

/// Checks each row, on one connection as long as the server keeps it.
fn check(program: &Program, rows: &[Row]) {
    let mut client = program.connect();
    for row in rows {
        if row.check(&mut client).field("connection") == Some("close") {
            client = program.connect();
        }
    }
}

// The programs.

/// A running example, gone when dropped.
struct Program {
    child: Child,
    port: u16,
}

impl Program {
    /// Starts an example on a free port, and waits until it says where.
    fn start(name: &str, args: &[&str]) -> Program {
        Program::spawn(command(name).args(["--port", "0"]).args(args))
    }

    fn spawn(command: &mut Command) -> Program {
        let child = command.stdout(Stdio::piped()).spawn().expect("the example starts");
        let mut program = Program { child, port: 0 };
        // Dropped at the end, as if nobody reads it any more.
        let mut out = program.child.stdout.take().expect("its output");
        let (mut said, mut byte) = (String::new(), [0]);
        while !said.ends_with("/\n") {
            assert_eq!(
                out.read(&mut byte).expect("its output"),
                1,
                "the example has ended, and said {said:?}"
            );
            said.push(char::from(byte[0]));
        }
        let port = said.trim_end().strip_prefix("http://127.0.0.1:").and_then(|rest| rest.strip_suffix('/'));
        program.port =
            port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {said:?}"));
        program
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the example listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Client { stream, input: Vec::new() }
    }

    /// The answer to one request on a connection of its own.
    fn ask(&self, row: &Row) -> Answer {
        row.check(&mut self.connect())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An example's program, without a variable PORT.
fn command(name: &str) -> Command {
    let mut command = Command::new(built::example(name));
    command.env_remove("PORT");
    command
}

// A client.

struct Client {
    stream: TcpStream,
    /// What came and was not looked at.
    input: Vec<u8>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
}

impl Client {
    fn send(&mut self, row: &Row) {
        let Row { method, target, fields, body, .. } = row;
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}{length}\r\n{body}");
        self.stream.write_all(request.as_bytes()).expect("the server reads");
    }

    /// Reads more; false at the end.
    fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        let n = loop {
            match self.stream.read(&mut piece) {
                Ok(n) => break n,
                // A read with a time-out is not taken up again when the process was stopped for a while.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break 0,
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&self.input)),
            }
        };
        self.input.extend_from_slice(&piece[..n]);
        n > 0
    }

    /// Takes so many bytes.
    fn take(&mut self, count: usize) -> String {
        while self.input.len() < count {
            assert!(self.more(), "cut off: {:?}", String::from_utf8_lossy(&self.input));
        }
        String::from_utf8(self.input.drain(..count).collect()).expect("text")
    }

    /// Takes all up to and with `end`.
    fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.input.windows(end.len()).position(|window| window == end.as_bytes()) {
                return self.take(at + end.len());
            }
            assert!(self.more(), "no {end:?} in {:?}", String::from_utf8_lossy(&self.input));
        }
    }

    fn head(&mut self) -> Answer {
        let head = self.until("\r\n\r\n");
        let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head, body: String::new() }
    }

    /// Reads a whole answer.
    fn answer(&mut self, method: &str) -> Answer {
        let mut answer = self.head();
        if method == "HEAD" || matches!(answer.status, 204 | 304) {
            return answer;
        }
        if answer.field("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                answer.body += &chunk;
            }
        } else {
            let length = answer.field("content-length").and_then(|length| length.parse().ok());
            answer.body = self.take(length.expect("a length"));
        }
        answer
    }

    /// Reads one chunk; `None` at the last.
    fn chunk(&mut self) -> Option<String> {
        let size = usize::from_str_radix(self.until("\r\n").trim_end(), 16).expect("a chunk size");
        let chunk = self.take(size);
        assert_eq!(self.take(2), "\r\n");
        (size > 0).then_some(chunk)
    }
}

/// An event stream, as an EventSource reads it.
struct Events {
    client: Client,
    /// What came and was not looked at.
    text: String,
    /// The last id that came.
    last: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    data: String,
}

fn event(name: &str, data: &str) -> Event {
    Event { name: name.into(), data: data.into() }
}

impl Events {
    /// Follows a program's `/events` from behind an id, if there is one.
    fn follow(program: &Program, last: &str) -> Events {
        let mut client = program.connect();
        let row = get("/events").with("Accept: text/event-stream");
        client.send(&if last.is_empty() { row } else { row.with(&format!("Last-Event-ID: {last}")) });
        let head = client.head();
        assert_eq!((head.status, head.field("content-type")), (200, Some("text/event-stream")), "{head:?}");
        assert_eq!(head.field("access-control-allow-origin"), Some("*"), "{head:?}");
        assert_eq!(head.field("x-accel-buffering"), Some("no"), "{head:?}");
        Events { client, text: String::new(), last: last.into() }
    }

    /// The next event that is dispatched; `None` at the end.
    fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field =
                    |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
                let (name, data, id) = (field("event: "), field("data: "), field("id: "));
                self.text = rest.to_owned();
                self.last = id.unwrap_or(std::mem::take(&mut self.last));
                if let Some(data) = data {
                    return Some(Event { name: name.unwrap_or("message".into()), data });
                }
            }
            self.text += &self.client.chunk()?;
        }
    }
}

// All of them.

/// How a run ends that should not last.
fn ends(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let by = Instant::now() + PATIENCE;
    while child.try_wait().expect("its state").is_none() {
        if Instant::now() > by {
            let _ = child.kill();
            panic!("it goes on: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("its output")
}

/// A port that is taken while the listener lives.
fn busy() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port().to_string();
    (listener, port)
}

#[test]
fn a_bad_argument_ends_each_with_2_and_a_busy_port_with_1() {
    let (_listener, port) = busy();
    for name in EXAMPLES {
        let usage = format!("Usage: {name} [OPTIONS]");
        for (args, why) in [
            (&["--port"][..], "a value is required for '--port <PORT>'"),
            (&["--port", "x"], "invalid value 'x' for '--port <PORT>'"),
            (&["--port", "65536"], "invalid value '65536' for '--port <PORT>'"),
            (&["--port", "-1"], "unexpected argument '-1'"),
            (&["--colour"], "unexpected argument '--colour'"),
        ] {
            let Output { status, stderr, stdout } = ends(command(name).args(args));
            let said = String::from_utf8_lossy(&stderr);
            assert_eq!(status.code(), Some(2), "{name} {args:?}: {said}");
            assert!(said.contains(why) && said.contains("try '--help'") && stdout.is_empty(), "{said}");
            // With a wrong value clap leaves the usage to `--help`.
            assert!(said.contains(&usage) || why.contains("value"), "{said}");
        }
        let Output { status, stderr, .. } = ends(command(name).args(["--port", &port]));
        let said = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(1), "{name}: {said}");
        let why = format!("Error: cannot listen on 127.0.0.1:{port}; try another --port\n\nCaused by:\n    ");
        assert!(said.starts_with(&why), "{said}");
        let Output { status, stdout, stderr } = ends(command(name).arg("--help"));
        assert_eq!((status.code(), stderr.as_slice()), (Some(0), &b""[..]), "{name}");
        let said = String::from_utf8_lossy(&stdout);
        assert!(
            said.contains(&usage) && said.contains("--port <PORT>") && said.contains("[env: PORT="),
            "{said}"
        );
    }
}

#[test]
fn a_bad_time_ends_each_with_2() {
    for (name, options) in [
        ("long_poll", &["--every", "--wait"][..]),
        ("short_poll", &["--every"]),
        ("ticks", &["--every", "--stop-after"]),
    ] {
        for option in options {
            for time in ["0", "-1", "x", "inf", "NaN", "1e99", ""] {
                let Output { status, stderr, .. } = ends(command(name).args([option, time]));
                let said = String::from_utf8_lossy(&stderr);
                assert_eq!(status.code(), Some(2), "{name} {option} {time}: {said}");
                assert!(said.contains(&format!("'{time}'")) && said.contains("try '--help'"), "{said}");
                // A minus begins an option for clap, so there it can't say whose value that was to be.
                assert!(said.contains(&format!("'{option} <SECONDS>'")) || time == "-1", "{said}");
            }
        }
    }
}

#[test]
fn the_variable_port_counts_unless_there_is_an_argument() {
    let (_listener, port) = busy();
    for name in EXAMPLES {
        let Output { status, stderr, .. } = ends(command(name).env("PORT", &port));
        assert_eq!(status.code(), Some(1), "{name}");
        assert!(String::from_utf8_lossy(&stderr).contains(&format!("127.0.0.1:{port}")), "{name}");
        let Output { status, stderr, .. } = ends(command(name).env("PORT", "x"));
        assert_eq!(status.code(), Some(2), "{name}");
        assert!(String::from_utf8_lossy(&stderr).contains("invalid value 'x' for '--port <PORT>'"), "{name}");
        for other in [&port, "x"] {
            Program::spawn(command(name).env("PORT", other).args(["--port", "0"]));
        }
    }
}

#[test]
fn each_has_a_page_that_asks_nobody_else() {
    for name in EXAMPLES {
        let program = Program::start(name, &[]);
        let page = program.ask(&get("/").field("Content-Type", "text/html; charset=utf-8"));
        assert!(
            page.body.contains("default-src 'none'") && page.body.contains("connect-src 'self'"),
            "{name}"
        );
        assert!(
            page.body.contains("width=device-width") && page.body.contains("prefers-color-scheme"),
            "{name}"
        );
        check(
            &program,
            &[ask("HEAD", "/").text(""), get("/nothing").gives(404), ask("POST", "/nothing").gives(404)],
        );
        check(&program, &[ask("DELETE", "/").gives(405).field("Allow", "GET, HEAD*")]);
    }
}

// short_poll

#[test]
fn short_poll_answers_at_once() {
    let program = Program::start("short_poll", &["--every", "600"]);
    let (open, json) = (("Access-Control-Allow-Origin", "*"), "application/json");
    let update = r##"{"update":0,"message":"Update 0","time":"#-#-#T#:#:#.#Z"}"##;
    let answer = program.ask(&get("/update").text(update));
    let etag = answer.field("etag").expect("an ETag").to_owned();
    let since = |tags: &str| get("/update").with(&format!("If-None-Match: {}", tags.replace("TAG", &etag)));
    check(
        &program,
        &[
            get("/time").field("Content-Type", "text/plain*").field(open.0, open.1).text("#-#-#T#:#:#.#Z"),
            get("/time").field("Cache-Control", "no-store").no_field("Set-Cookie"),
            get("/api/status")
                .field("Content-Type", json)
                .field(open.0, open.1)
                .text(r#"{"status":"pending"}"#),
            get("/update")
                .field("Content-Type", json)
                .field(open.0, open.1)
                .field("Cache-Control", "no-cache"),
            get("/update").field("Access-Control-Expose-Headers", "ETag").text(update),
            since("TAG").gives(304).text("").field(open.0, open.1).field("ETag", "\"#-#\""),
            since("W/TAG").gives(304),
            since("\"other\", TAG").gives(304),
            since("*").gives(304),
            since("\"other\"").text(update),
            since("\"1-1\"").text(update),
            since("nonsense").text(update),
            ask("HEAD", "/update").field("ETag", "\"#-#\"").text(""),
            ask("HEAD", "/time").text(""),
            ask("OPTIONS", "/update")
                .with("Origin: http://localhost:5173")
                .with("Access-Control-Request-Method: GET")
                .with("Access-Control-Request-Headers: if-none-match")
                .gives(204)
                .field(open.0, open.1)
                .field("Access-Control-Allow-Headers", FIELDS),
            ask("OPTIONS", "/time").gives(204).field("Access-Control-Allow-Headers", FIELDS),
            post("/update", "{}").gives(405).field("Allow", "GET, HEAD, OPTIONS").field(open.0, open.1),
            ask("DELETE", "/time").gives(405).field("Allow", "GET, HEAD, OPTIONS"),
            ask("PUT", "/api/status").gives(405).field("Allow", "GET, HEAD, OPTIONS"),
            get("/Time").gives(404).field(open.0, open.1),
            get("/time").with("X: \u{1}").gives(400),
        ],
    );
}

#[test]
fn short_poll_changes_by_itself_and_not_by_being_asked() {
    let still = Program::start("short_poll", &["--every", "600"]);
    let tag = |program: &Program| program.ask(&get("/update")).field("etag").map(str::to_owned);
    let first = tag(&still);
    for _ in 0..20 {
        assert_eq!(tag(&still), first);
    }
    let program = Program::start("short_poll", &["--every", "0.05"]);
    let (first, by) = (tag(&program), Instant::now() + PATIENCE);
    let mut seen = Vec::new();
    while tag(&program) == first || seen.len() < 3 {
        assert!(Instant::now() < by, "always {first:?}, and {seen:?}");
        let status = program.ask(&get("/api/status")).json()["status"].clone();
        if !seen.contains(&status) {
            seen.push(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    for status in &seen {
        assert!(
            ["pending", "processing", "completed"].contains(&status.as_str().unwrap_or_default()),
            "{status}"
        );
    }
}

// What is posted, here and there.

/// What a page from elsewhere may send.
const FIELDS: &str = "Content-Type, Cache-Control, If-None-Match, Last-Event-ID";

/// What is wrong with a body, and a pattern of what is said of it.
const BAD_BODIES: [(&[u8], &str); 16] = [
    (br#"{"data":}"#, "not JSON: expected value *, byte 9 of 9"),
    (br#"{"data":"#, "not JSON: EOF *, byte 8 of 8"),
    (b"", "not JSON: EOF *, byte 0 of 0"),
    (b"{\n  \"data\": 1,\n  x\n}", "not JSON: *, byte 18 of 20"),
    (b"{\"data\":\"\xc3\xa4\"", "not JSON: EOF *, byte 12 of 12"),
    (br#"{"data":1} x"#, "not JSON: trailing characters *, byte 12 of 12"),
    (b"data=hello", "not JSON: expected value *, byte 1 of 10"),
    (br#"{"data":01}"#, "not JSON: *, byte # of 11"),
    (br#"{"data":1e999}"#, "not JSON: number out of range *, byte # of 14"),
    (br#"{"date":1}"#, "it has no field \\\"data\\\""),
    (br#"["data"]"#, "it has no field \\\"data\\\""),
    (br#""data""#, "it has no field \\\"data\\\""),
    // No UTF-8: a byte that is in no text, one character cut off, a surrogate, and such a byte outside of a string.
    (b"{\"data\":\"a\xff\"}", "not JSON: *, byte 11 of 13"),
    (b"{\"data\":\"\xe4\xbd\"}", "not JSON: *, byte # of 13"),
    (b"{\n\"data\":\"\xed\xa0\x80\"}", "not JSON: *, byte # of 15"),
    (b"{\"data\":\xff}", "not JSON: *, byte 9 of 10"),
];

/// `POST /update` and what surrounds it; the origin that may ask from elsewhere, as a page on another port is told.
fn check_update(program: &Program, said: &'static str, origin: &'static str) {
    for (body, wrong) in BAD_BODIES {
        let mut client = program.connect();
        let head = format!("POST /update HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
        client.stream.write_all(&[head.as_bytes(), body].concat()).expect("the server reads");
        let (answer, body) = (client.answer("POST"), body.escape_ascii());
        assert_eq!((answer.status, answer.field("content-type")), (400, Some("application/json")), "{body}");
        assert_eq!(answer.field("access-control-allow-origin"), Some("*"), "{body}");
        assert!(fits(&format!(r#"{{"error":"{wrong}"}}"#), &answer.body), "{body}: {}", answer.body);
    }
    let deep = format!(r#"{{"data":{}}}"#, "[".repeat(1000));
    let (long, longest) = ("x".repeat(20_000), "x".repeat(70_000));
    let preflight = ask("OPTIONS", "/update").with("Origin: http://localhost:5173");
    check(
        program,
        &[
            post("/update", &deep).gives(400).text("*recursion limit*byte # of #*"),
            // What leaves the handler by `?` may be read from elsewhere as well.
            post("/update", &format!(r#"{{"data":"{long}"}}"#))
                .gives(413)
                .field("Access-Control-Allow-Origin", "*"),
            post("/update", &format!(r#"{{"data":"{longest}"}}"#))
                .gives(413)
                .field("Access-Control-Allow-Origin", "*"),
            preflight
                .with("Access-Control-Request-Method: POST")
                .with("Access-Control-Request-Headers: content-type")
                .gives(204)
                .field("Access-Control-Allow-Origin", origin)
                .field("Access-Control-Allow-Headers", FIELDS),
            get("/update")
                .gives(405)
                .field("Allow", "OPTIONS, POST")
                .field("Access-Control-Allow-Origin", "*"),
            // As a form sends it, or curl without -H: it is JSON all the same.
            ask("POST", "/update").gives(400).text("*byte 0 of 0*"),
            post("/update", r#"{"data":"hello"}"#)
                .field("Content-Type", "application/json")
                .field("Access-Control-Allow-Origin", "*")
                .text(said),
        ],
    );
}

// events

#[test]
fn events_reach_all_who_listen() {
    let program = Program::start("events", &[]);
    let mut all: Vec<Events> = (0..3).map(|_| Events::follow(&program, "")).collect();
    for events in &mut all {
        assert_eq!(events.next(), Some(event("message", "Connected")));
    }
    let sent = r#"{"message":"Data sent successfully"}"#;
    for (body, data) in [
        (r#"{"data":"hello"}"#, r#"{"data":"hello"}"#),
        ("{ \"data\" : {\"a\": [1, 2.5, null, true]} }", r#"{"data":{"a":[1,2.5,null,true]}}"#),
        (r#"{"data":null,"more":1}"#, r#"{"data":null}"#),
        (r#"{"data":"two\nlines, \u00e4 \u2028"}"#, "{\"data\":\"two\\nlines, \u{e4} \u{2028}\"}"),
    ] {
        program.ask(&post("/update", body).text(sent));
        for events in &mut all {
            assert_eq!(events.next(), Some(event("message", data)));
        }
    }
    let mut without_type = post("/update", r#"{"data":1}"#).text(sent);
    without_type.fields.clear();
    program.ask(&without_type);
    assert_eq!(all[0].next(), Some(event("message", r#"{"data":1}"#)));
}

#[test]
fn events_resume_where_they_were() {
    let program = Program::start("events", &[]);
    let send = |n: u32| program.ask(&post("/update", &format!(r#"{{"data":{n}}}"#)));
    let got = |n: u32| Some(event("message", &format!(r#"{{"data":{n}}}"#)));
    let connected = || Some(event("message", "Connected"));
    let mut events = Events::follow(&program, "");
    assert_eq!(events.next(), connected());
    // It has an id before it has an update.
    let start = events.last;
    send(1);
    send(2);
    let mut events = Events::follow(&program, &start);
    assert_eq!((events.next(), events.next()), (connected(), got(1)));
    let first = events.last;
    let mut events = Events::follow(&program, &first);
    assert_eq!((events.next(), events.next()), (connected(), got(2)));
    // Who is new begins now.
    let mut events = Events::follow(&program, "");
    assert_eq!(events.next(), connected());
    send(3);
    assert_eq!(events.next(), got(3));
    for foreign in ["1-1", "9999999999999-1", "nonsense"] {
        let mut events = Events::follow(&program, foreign);
        assert_eq!(
            (events.next(), events.next()),
            (connected(), Some(event("gap", r#"{"gap":true}"#))),
            "{foreign}"
        );
        for n in 1..=3 {
            assert_eq!(events.next(), got(n), "{foreign}");
        }
    }
    // A new EventSource can say it in the query only, and the field wins. One that can't be read is not handed back.
    for (query, field, wanted) in [("1-1", &*first, got(2)), (&*first, "", got(2)), ("nonsense", "", None)] {
        let mut client = program.connect();
        let row = get(&format!("/events?last_event_id={query}"));
        client.send(&if field.is_empty() { row } else { row.with(&format!("Last-Event-ID: {field}")) });
        client.head();
        let mut events = Events { client, text: String::new(), last: String::new() };
        assert_eq!(events.next(), connected());
        assert_eq!(events.last.is_empty(), query == "nonsense", "{}", events.last);
        assert_eq!(events.next(), wanted.or(Some(event("gap", r#"{"gap":true}"#))), "{query} {field}");
    }
    // More than is kept: the gap is told once, before the oldest that is kept.
    for n in 4..=140 {
        send(n);
    }
    let mut events = Events::follow(&program, &start);
    assert_eq!((events.next(), events.next()), (connected(), Some(event("gap", r#"{"gap":true}"#))));
    for n in 13..=140 {
        assert_eq!(events.next(), got(n));
    }
}

#[test]
fn events_refuse_what_is_wrong() {
    let program = Program::start("events", &[]);
    check_update(&program, r#"{"message":"Data sent successfully"}"#, "*");
    check(
        &program,
        &[
            ask("HEAD", "/events").gives(405).field("Allow", "GET, OPTIONS"),
            post("/events", "{}")
                .gives(405)
                .field("Allow", "GET, OPTIONS")
                .field("Access-Control-Allow-Origin", "*"),
            ask("OPTIONS", "/events").gives(204).field("Access-Control-Allow-Headers", FIELDS),
            get("/nothing").gives(404).field("Access-Control-Allow-Origin", "*"),
        ],
    );
}

// ticks

#[test]
fn ticks_tell_the_time_to_all() {
    let program = Program::start("ticks", &["--every", "0.05"]);
    let (mut one, mut other) = (Events::follow(&program, ""), Events::follow(&program, ""));
    let json = r##"{"time":"#-#-#T#:#:#.#Z","timestamp":#,"message":"New message at #-#-#T#:#:#.#Z"}"##;
    let first = one.next().expect("a tick");
    assert!(first.name == "message" && fits(json, &first.data), "{first:?}");
    let resumed = Events::follow(&program, &one.last).next().expect("a tick");
    assert_ne!(first, resumed);
    assert_eq!(one.next().as_ref(), Some(&resumed));
    // The same ticks for all, from when they began to listen.
    let (second, mut seen) = (other.next().expect("a tick"), vec![first, resumed]);
    while !seen.contains(&second) {
        assert!(seen.len() < 100, "{second:?} is not in {seen:?}");
        seen.extend(one.next());
    }
    let gap = Events::follow(&program, "1-1").next();
    assert_eq!(gap, Some(event("gap", r#"{"gap":true}"#)));
    check(
        &program,
        &[
            post("/events", "{}").gives(405).field("Allow", "GET, OPTIONS"),
            ask("OPTIONS", "/events").gives(204).field("Access-Control-Allow-Headers", FIELDS),
            get("/update").gives(404),
            ask("HEAD", "/events").gives(405),
        ],
    );
}

#[test]
fn ticks_are_text_and_come_to_an_end_if_asked() {
    let program = Program::start("ticks", &["--text", "--every", "0.05", "--stop-after", "1"]);
    let mut last = String::new();
    // Each stream has its own end, also that of who comes back.
    for _ in 0..2 {
        let mut events = Events::follow(&program, &last);
        let mut ticks = 0;
        loop {
            let next = events.next().expect("a close comes before the end");
            if next.name == "close" {
                assert_eq!(next, event("close", "{}"));
                break;
            }
            assert!(fits("New message at #-#-#T#:#:#.#Z", &next.data), "{next:?}");
            ticks += 1;
        }
        assert!(ticks > 0);
        assert_eq!(events.next(), None);
        last = events.last;
    }
}

// long_poll

#[test]
fn long_poll_has_a_text_for_all_who_wait() {
    let program = Program::start("long_poll", &["--every", "0.3"]);
    let mut all: Vec<Client> = (0..3).map(|_| program.connect()).collect();
    let (mut texts, by) = (Vec::new(), Instant::now() + PATIENCE);
    // A text may come when some do not wait yet, so they get two; but not every time.
    while texts.len() < 2 {
        assert!(Instant::now() < by, "there is no text for all");
        all.iter_mut().for_each(|client| client.send(&get("/long-poll")));
        let answers: Vec<Answer> = all.iter_mut().map(|client| client.answer("GET")).collect();
        for answer in &answers {
            assert_eq!(
                (answer.status, answer.field("content-type")),
                (200, Some("text/plain; charset=utf-8"))
            );
            assert!(fits("New message at #-#-#T#:#:#.#Z", &answer.body), "{answer:?}");
        }
        if answers.iter().all(|answer| answer.body == answers[0].body) {
            texts.push(answers[0].body.clone());
        }
    }
    assert_ne!(texts[0], texts[1]);
    let quiet = Program::start("long_poll", &["--every", "600", "--wait", "0.2"]);
    let open = ("Access-Control-Allow-Origin", "*");
    check(
        &quiet,
        &[get("/long-poll").text("timed out, ask again").field(open.0, open.1).no_field("Set-Cookie")],
    );
}

#[test]
fn long_poll_holds_the_value_back_until_there_is_one() {
    let program = Program::start("long_poll", &["--every", "600", "--wait", "0.3"]);
    check(&program, &[get("/data").text(r#"{"data":null}"#).field("Content-Type", "application/json")]);
    let program = Program::start("long_poll", &["--every", "0.01", "--wait", "600"]);
    let mut waiting = program.connect();
    waiting.send(&get("/data"));
    let said = r#"{"message":"Data updated successfully"}"#;
    program.ask(&post("/update", r#"{"data":{"n":1}}"#).text(said));
    assert_eq!(waiting.answer("GET").body, r#"{"data":{"n":1}}"#);
    let long = "x".repeat(16_000);
    let rows = [
        get("/data").text(r#"{"data":{"n":1}}"#),
        post("/update", r#"{"data":[2]}"#).text(said),
        get("/data").text(r#"{"data":[2]}"#).field("Access-Control-Allow-Origin", "*"),
        get("/data").text(r#"{"data":[2]}"#).field("Cache-Control", "no-store"),
        post("/update", &format!(r#"{{"data":"{long}"}}"#)).text(said),
    ];
    check(&program, &rows);
    // It stays however much is told after it.
    for _ in 0..200 {
        program.ask(&get("/long-poll"));
    }
    assert_eq!(program.ask(&get("/data")).json()["data"], long);
}

/// The cursor in the cookie of an answer.
fn cookie(answer: &Answer) -> String {
    let set = answer.field("set-cookie").expect("a cookie");
    assert!(fits("long_poll_cursor=#-#; HttpOnly; SameSite=Lax; Path=/", set), "{set}");
    set.split(';').next().unwrap_or_default().to_owned()
}

#[test]
fn long_poll_loses_no_message_between_two_polls() {
    let program = Program::start("long_poll", &["--every", "600"]);
    let send = |n: u32| program.ask(&post("/update", &format!(r#"{{"data":{n}}}"#)));
    let message = |row: Row| -> (Value, String, Answer) {
        let answer = program
            .ask(&row.field("Content-Type", "application/json").field("Access-Control-Allow-Origin", "*"));
        let json = answer.json();
        assert_eq!(
            (&json["data"], &json["gap"], &json["timeout"]),
            (&json["message"], &false.into(), &false.into())
        );
        (json["data"].clone(), json["next"].as_str().expect("a cursor").to_owned(), answer)
    };
    let mut waiting = program.connect();
    waiting.send(&get("/poll"));
    // Without a cursor it waits for what is new; whether it waits already is seen only by trying.
    let by = Instant::now() + PATIENCE;
    waiting.stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
    let mut sent = 0;
    while waiting.stream.peek(&mut [0]).is_err() {
        assert!(Instant::now() < by, "nothing comes of {sent} messages");
        sent += 1;
        send(sent);
    }
    let first = waiting.answer("GET");
    let n = u32::try_from(first.json()["data"].as_u64().expect("a number")).expect("a small one");
    for m in sent + 1..=n + 3 {
        send(m);
    }
    // One by one, by either path, also if other cookies are there.
    let mut jar = cookie(&first);
    for (path, m) in [("/poll", n + 1), ("/api/long-poll", n + 2), ("/poll", n + 3)] {
        let (data, _, answer) = message(get(path).with(&format!("Cookie: theme=dark; {jar}; a=b")));
        assert_eq!(data, m);
        jar = cookie(&answer);
    }
    // A cursor of one's own comes before the cookie, and leaves it alone.
    let (data, next, answer) = message(get("/poll?after=earliest").with(&format!("Cookie: {jar}")));
    assert_eq!((data, answer.field("set-cookie")), (1.into(), None));
    let (data, _, _) = message(get(&format!("/api/long-poll?after={next}")));
    assert_eq!(data, 2);
    // A held one is answered when a message comes.
    let mut waiting = program.connect();
    waiting.send(&get("/poll").with(&format!("Cookie: {jar}")));
    send(1000);
    assert_eq!(waiting.answer("GET").json()["data"], 1000);
}

#[test]
fn long_poll_speaks_by_itself() {
    let program = Program::start("long_poll", &["--every", "0.2", "--wait", "600"]);
    for path in ["/poll", "/api/long-poll"] {
        // Nobody posts anything.
        let (mut jar, mut said) = (String::new(), Vec::new());
        for _ in 0..3 {
            let answer = program.ask(&get(path).with(&format!("Cookie: {jar}")));
            let json = answer.json();
            let message = json["message"].as_str().expect("a text").to_owned();
            assert!(fits("New message at #-#-#T#:#:#.#Z", &message), "{path}: {json}");
            assert_eq!((json["data"].as_str(), &json["gap"]), (Some(&*message), &false.into()), "{path}");
            said.push(message);
            jar = cookie(&answer);
        }
        assert!(said.is_sorted() && said[0] < said[1] && said[1] < said[2], "{path}: {said:?}");
    }
    // The value is what was posted, and nothing else.
    let mut waiting = program.connect();
    waiting.send(&get("/data"));
    program.ask(&post("/update", r#"{"data":"posted"}"#));
    assert_eq!(waiting.answer("GET").body, r#"{"data":"posted"}"#);
}

#[test]
fn long_poll_tells_of_a_time_out_and_of_a_gap() {
    let program = Program::start("long_poll", &["--every", "600", "--wait", "0.2"]);
    for path in ["/poll", "/api/long-poll"] {
        let text = r##"{"data":null,"message":null,"next":"#-#","gap":false,"timeout":true}"##;
        let answer = program.ask(&get(path).field("Content-Type", "application/json").text(text));
        // What comes now, between two polls, is behind the cookie.
        program.ask(&post("/update", r#"{"data":"in between"}"#));
        let answer = program.ask(&get(path).with(&format!("Cookie: {}", cookie(&answer))));
        assert_eq!(answer.json()["data"], "in between");
    }
    for foreign in ["1-1", "9999999999999-1", "nonsense"] {
        let answer = program.ask(&get("/poll").with(&format!("Cookie: long_poll_cursor={foreign}")));
        let json = answer.json();
        assert_eq!((&json["gap"], &json["data"]), (&true.into(), &"in between".into()), "{foreign}");
        let answer = program.ask(&get("/poll").with(&format!("Cookie: {}", cookie(&answer))));
        assert_eq!(answer.json()["gap"], false, "{foreign}");
    }
    check(
        &program,
        &[
            get("/poll?after=1-1")
                .text(r#"{"data":"in between",*"gap":true,"timeout":false}"#)
                .no_field("Set-Cookie"),
            get("/poll?after=nonsense").gives(400),
            // An empty cursor is none, as that of a page which has none yet.
            get("/poll?after=").text(r#"{"data":null,*"timeout":true}"#),
            get("/poll?after=x").gives(400).field("Access-Control-Allow-Origin", "*"),
            ask("HEAD", "/poll").gives(405).field("Allow", "GET, OPTIONS"),
            post("/api/long-poll", "{}").gives(405).field("Allow", "GET, OPTIONS"),
            ask("DELETE", "/data").gives(405).field("Allow", "GET, OPTIONS"),
            post("/long-poll", "{}")
                .gives(405)
                .field("Allow", "GET, OPTIONS")
                .field("Access-Control-Allow-Origin", "*"),
            get("/nothing").gives(404),
        ],
    );
    check_update(&program, r#"{"message":"Data updated successfully"}"#, "http://localhost:5173");
}

#[test]
fn long_poll_lets_pages_of_this_machine_send_their_cookie() {
    let program = Program::start("long_poll", &["--every", "600", "--wait", "0.05"]);
    let from = |origin: &str| get("/poll").with(&format!("Origin: {origin}")).field("Vary", "Origin");
    for near in ["http://localhost", "http://localhost:5173", "https://127.0.0.1", "http://127.0.0.1:8080"] {
        let answer = program.ask(&from(near).field("Access-Control-Allow-Credentials", "true"));
        assert_eq!(answer.field("access-control-allow-origin"), Some(near));
    }
    for far in
        ["null", "http://localhost.example", "http://example:80", "http://192.0.2.1", "file://", "localhost"]
    {
        let row = from(far).field("Access-Control-Allow-Origin", "*");
        program.ask(&row.no_field("Access-Control-Allow-Credentials"));
    }
    // Errors too, and what a browser asks before.
    let wrong = get("/poll?after=x").with("Origin: http://localhost:5173").gives(400);
    program.ask(&wrong.field("Access-Control-Allow-Origin", "http://localhost:5173"));
    for path in ["/", "/poll", "/api/long-poll", "/long-poll", "/data", "/update"] {
        let row = ask("OPTIONS", path).with("Origin: http://localhost:5173").gives(204);
        program.ask(
            &row.field("Access-Control-Allow-Headers", FIELDS)
                .field("Access-Control-Allow-Credentials", "true"),
        );
    }
}

#[test]
fn long_poll_lets_go_of_clients_that_leave() {
    let program = Program::start("long_poll", &["--every", "600", "--wait", "1800"]);
    // Who only ends its input is still answered, and at once.
    for path in ["/poll", "/api/long-poll", "/data", "/long-poll"] {
        let mut client = program.connect();
        client.send(&get(path));
        client.stream.shutdown(Shutdown::Write).expect("half a close");
        assert_eq!(client.answer("GET").status, 200, "{path}");
        assert!(!client.more(), "{path}");
    }
    // More than may be held (192), so each must give its place back; fewer than may be connected (256).
    for _ in 0..3 {
        let held: Vec<Client> = (0..80)
            .map(|_| {
                let mut client = program.connect();
                client.send(&get("/long-poll"));
                client
            })
            .collect();
        drop(held);
    }
    let by = Instant::now() + PATIENCE;
    loop {
        let mut client = program.connect();
        client.send(&get("/data"));
        program.ask(&post("/update", r#"{"data":1}"#));
        if client.answer("GET").status == 200 {
            break;
        }
        assert!(Instant::now() < by, "places are not given back");
    }
}
