//! The examples keep their contracts: each is started as a person would start it, and asked over a real socket.
//!
//! A section per example: a table of requests and what has to come, then what needs more than one request. To add
//! an example, add its name to `EXAMPLES` and its section at the end.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What is tested here; each takes `--port` and the variable `PORT`.
const EXAMPLES: [&str; 1] = ["short_poll"];

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(20);

// The tables.

/// A request, and what has to come. In a pattern `*` is any text, `#` one digit or more, and `|` between two patterns
/// is a choice.
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
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => fits_one(rest, text),
        (Some((b'*', rest)), Some((_, tail))) => fits_one(rest, text) || fits_one(pattern, tail),
        (Some((b'#', rest)), Some((digit, tail))) => {
            digit.is_ascii_digit() && (fits_one(rest, tail) || fits_one(pattern, tail))
        }
        (Some((byte, rest)), Some((same, tail))) => byte == same && fits_one(rest, tail),
        _ => false,
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
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the example starts");
        let (mut said, mut byte) = (String::new(), [0]);
        let mut out = child.stdout.take().expect("its output");
        // Then its output is closed, as if nobody reads it any more.
        while !said.ends_with("/\n") {
            assert_eq!(
                out.read(&mut byte).expect("its output"),
                1,
                "the example has ended, and said {said:?}"
            );
            said.push(char::from(byte[0]));
        }
        let port = said.trim_end().strip_prefix("http://127.0.0.1:").and_then(|rest| rest.strip_suffix('/'));
        let port = port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {said:?}"));
        Program { child, port }
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
    let mut command = Command::new(built().join(name));
    command.env_remove("PORT");
    command
}

/// The folder of the built examples. `cargo test` has built them, but `cargo test --test examples` has not.
fn built() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let me = std::env::current_exe().expect("a path");
        let folder = me.parent().and_then(|deps| deps.parent()).expect("target/debug/deps/examples-…");
        if let Some(cargo) = std::env::var_os("CARGO") {
            let mut build = Command::new(cargo);
            build.args([
                "build",
                "--quiet",
                "--manifest-path",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            ]);
            build.args(EXAMPLES.iter().flat_map(|name| ["--example", name]));
            build.args(if folder.ends_with("release") { Some("--release") } else { None });
            build.args(if cfg!(feature = "ws") { None } else { Some("--no-default-features") });
            build.arg("--target-dir").args(folder.parent());
            assert!(build.status().expect("cargo").success(), "the examples can't be built");
        }
        folder.join("examples")
    })
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
        let n = match self.stream.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("nothing comes after {:?}", self.input)
            }
            read => read.unwrap_or(0),
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
        for args in
            [&["--port"][..], &["--port", "x"], &["--port", "65536"], &["--port", "-1"], &["--colour"]]
        {
            let Output { status, stderr, stdout } = ends(command(name).args(args));
            let said = String::from_utf8_lossy(&stderr);
            assert_eq!(status.code(), Some(2), "{name} {args:?}: {said}");
            assert!(
                said.contains(args[0]) && said.contains("usage:") && stdout.is_empty(),
                "{args:?}: {said}"
            );
        }
        let Output { status, stderr, .. } = ends(command(name).args(["--port", &port]));
        let said = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(1), "{name}: {said}");
        assert!(said.contains(&format!("127.0.0.1:{port}")) && !said.contains("panicked"), "{name}: {said}");
        let Output { status, stdout, .. } = ends(command(name).arg("--help"));
        assert_eq!(status.code(), Some(0), "{name}");
        assert!(String::from_utf8_lossy(&stdout).contains("usage:"), "{name}");
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
        assert!(String::from_utf8_lossy(&stderr).contains("PORT"), "{name}");
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
                .field("Access-Control-Allow-Headers", "If-None-Match"),
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
