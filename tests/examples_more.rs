//! The examples ai_stream, threads, unix_socket and embed as their clients see them: what they promise, and what they
//! say to bad input. They are the programs that cargo has built beside this test.

#[path = "common/built.rs"]
mod built;
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use built::example;
use common::client::{ALL, Answer, Client, Reader, Tiding, Transport};
use common::in_time;
use serde_json::{Value, json};
use smol::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, Lines};
use smol::net::TcpStream;
use smol::net::unix::UnixStream;
use smol::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use smol::stream::StreamExt;

/// What ai_stream says.
const ANSWER: &str = include_str!("../examples/pages/ai_stream.md");

// The programs.

/// A running example; it ends when this is dropped.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: Lines<BufReader<ChildStderr>>,
    /// 0 for a Unix socket.
    port: u16,
}

fn command(program: impl AsRef<Path>, args: &[&str]) -> Command {
    let mut command = Command::new(program.as_ref());
    command.args(args).env_remove("PORT").kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Program {
    /// Starts an example on a free port.
    async fn start(name: &str, args: &[&str]) -> Program {
        Program::of(command(example(name), args).args(["--port", "0"])).await
    }

    /// Starts a program, and waits until it says that it listens.
    async fn of(command: &mut Command) -> Program {
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let said = lines.next().await.expect("a first line").expect("text");
        let port = said.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.strip_suffix('/'));
        Program { child, lines, log, port: port.map_or(0, |port| port.parse().expect("a port")) }
    }

    /// The next line of what it says.
    async fn line(&mut self) -> String {
        self.lines.next().await.expect("a line").expect("text")
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.expect("connected")
    }

    async fn client(&self) -> Client<TcpStream> {
        Client::new(self.connect().await)
    }

    /// The answer to a request on a connection of its own.
    async fn ask(&self, method: &str, target: &str, fields: &str, body: &[u8]) -> Answer {
        ask(self.connect().await, method, target, fields, body).await
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    }

    /// Waits for the end; returns its status.
    async fn end(&mut self) -> Option<i32> {
        self.child.status().await.expect("its end").code()
    }
}

async fn ask<S>(stream: S, method: &str, target: &str, fields: &str, body: &[u8]) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut client = Client::new(stream);
    let length = if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    client.send(format!("{method} {target} HTTP/1.0\r\n{fields}{length}\r\n")).await;
    client.send(body).await;
    if method == "HEAD" {
        let head = client.until("\r\n\r\n").await;
        assert_eq!(client.rest().await, "", "an answer to HEAD has no body");
        return Answer { status: head[9..12].parse().expect("a status"), head, body: String::new() };
    }
    client.answer().await
}

/// Runs a test, which fails if it hangs.
fn run(test: impl Future<Output = ()>) {
    smol::block_on(in_time(test));
}

// The command line and plain HTTP.

#[test]
fn a_wrong_argument_ends_with_2_and_says_which() {
    // The example, its arguments, the variable PORT, and what it names.
    let table: [(&str, &[&str], Option<&str>, &str); 22] = [
        ("ai_stream", &["--port"], None, "port"),
        ("ai_stream", &["--port", "x"], None, "'x'"),
        ("ai_stream", &["--port", "65536"], None, "'65536'"),
        ("ai_stream", &["--port", "-1"], Some("3000"), "'-1'"),
        ("ai_stream", &[], Some("http"), "'http'"),
        ("ai_stream", &["--every"], None, "--every"),
        ("ai_stream", &["--every", "often"], None, "'often'"),
        ("ai_stream", &["--every", "-1"], None, "'-1'"),
        ("ai_stream", &["--every", "NaN"], None, "'NaN'"),
        ("ai_stream", &["--colour"], None, "'--colour'"),
        ("embed", &["--port", "3000x"], None, "'3000x'"),
        ("embed", &[], Some("99999"), "'99999'"),
        ("embed", &["--every", "0"], None, "'0'"),
        ("embed", &["--colour", "red"], None, "'--colour'"),
        ("threads", &["--port", ""], Some("3000"), "port"),
        ("threads", &[], Some("port"), "'port'"),
        ("threads", &["--threads", "0"], None, "'0'"),
        ("threads", &["--threads", "257"], None, "'257'"),
        ("threads", &["--threads"], None, "--threads"),
        ("threads", &["more"], None, "'more'"),
        ("unix_socket", &["--path"], None, "--path <FILE>"),
        ("unix_socket", &["--path", "/tmp/a", "/tmp/b"], None, "'/tmp/b'"),
    ];
    run(async {
        for (name, args, port, names) in table {
            let mut command = command(example(name), args);
            port.map(|port| command.env("PORT", port));
            let output = command.output().await.expect("it runs");
            refused(&output, 2, names);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("try '--help'"), "{said}");
            // With a wrong value clap leaves the usage to `--help`.
            assert!(said.contains(&format!("Usage: {name} [OPTIONS]")) || said.contains("value"), "{said}");
        }
    });
}

#[test]
fn help_is_the_usage_and_no_error() {
    run(async {
        for name in ["ai_stream", "embed", "threads", "unix_socket"] {
            let output = command(example(name), &["--help"]).output().await.expect("it runs");
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && output.stderr.is_empty(), "{name}");
            assert!(
                said.starts_with(&format!("Usage: {name} [OPTIONS]\n")) && said.contains("--help"),
                "{said}"
            );
        }
    });
}

/// An example, and what makes it quicker than a person wants it.
const STARTS: [&str; 12] = [
    "ai_stream --every 0.01",
    "chat",
    "demo",
    "embed",
    "events",
    "long_poll --every 0.1",
    "relay",
    "short_poll",
    "signaling",
    "threads",
    "ticks --every 0.1",
    "unix_socket",
];

/// The lines of curl on top of an example, as they stand there but for the port, and for ids that are to be put in.
fn curl_lines(name: &str, port: u16) -> Vec<String> {
    let source = format!("{}/examples/{name}.rs", env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(source).expect("the example");
    let here = format!("127.0.0.1:{port}");
    let lines = source.lines().filter_map(|line| line.strip_prefix("//!     curl "));
    lines
        .map(|line| line.replace("127.0.0.1:3000", &here).replace("127.0.0.1:8080", &here))
        .map(|line| {
            line.replace("=ID", "=earliest").replace(": ID", ": earliest").replace("\"ID\"", "\"1-1\"")
        })
        .map(|line| format!("exec curl -sS --fail --max-time 300 {line}"))
        .collect()
}

/// Runs a line; a stream until something comes, anything else to its end.
fn run_line(folder: &Path, line: &str) {
    use std::io::Read;
    use std::process::{Command, Stdio};
    let mut curl = Command::new("sh");
    let mut curl =
        curl.args(["-c", line]).current_dir(folder).stdout(Stdio::piped()).spawn().expect("a shell");
    let mut said = curl.stdout.take().expect("piped");
    if line.contains(" -N ") {
        assert!(said.read(&mut [0; 64]).expect("its output") > 0, "{line}: nothing comes");
        curl.kill().expect("killed");
        curl.wait().expect("its end");
        return;
    }
    let mut text = String::new();
    said.read_to_string(&mut text).expect("text");
    assert!(curl.wait().expect("its end").success() && !text.is_empty(), "{line}: {text}");
}

#[test]
fn the_lines_of_curl_on_top_work_as_they_are_printed() {
    for start in STARTS {
        let args: Vec<&str> = start.split(' ').collect();
        let folder = Folder::new(&format!("curl-{}", args[0]));
        let port: &[&str] = if args[0] == "unix_socket" { &[] } else { &["--port", "0"] };
        let mut command = command(example(args[0]), &args[1..]);
        let mut program = smol::block_on(Program::of(command.args(port).current_dir(&folder.0)));
        if args[0] == "demo" {
            // It greets, and then says where its page is.
            while program.port == 0 {
                let line = smol::block_on(program.line());
                let url = line.split("http://127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next());
                program.port = url.map_or(0, |port| port.parse().expect("a port"));
            }
        }
        let mut lines = curl_lines(args[0], program.port);
        assert!(!lines.is_empty(), "{start}");
        if lines.iter().any(|line| line.contains("/chat/ID")) {
            let name = smol::block_on(async { begin_chat(&program, "Why?").await.1 });
            lines.iter_mut().for_each(|line| *line = line.replace("/chat/ID", &name));
        }
        if lines.iter().any(|line| line.contains("/countdown/ID")) {
            let name = smol::block_on(program.ask("POST", "/countdown", "", b"")).body;
            lines.iter_mut().for_each(|line| *line = line.replace("countdown/ID", &name));
        }
        let (acts, lines): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.contains(" -X "));
        let (posts, asks): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.contains(" -d "));
        std::thread::scope(|scope| {
            let asks: Vec<_> =
                asks.into_iter().map(|line| scope.spawn(|| run_line(&folder.0, line))).collect();
            // Some of them wait for what is posted.
            loop {
                posts.iter().for_each(|line| run_line(&folder.0, line));
                if asks.iter().all(|ask| ask.is_finished()) {
                    break;
                }
            }
        });
        acts.iter().for_each(|line| run_line(&folder.0, line));
    }
}

/// A program has ended with this status, and said why in one place.
fn refused(output: &Output, status: i32, names: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(said.contains(names) && !said.contains("panicked"), "{names} is not in {said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_busy_port_ends_with_1_and_the_argument_wins_over_the_variable() {
    run(async {
        for name in ["ai_stream", "embed", "threads"] {
            // A wrong PORT does not matter where there is a --port.
            let first = Program::of(command(example(name), &["--port", "0"]).env("PORT", "wrong")).await;
            let port = first.port.to_string();
            for busy in [
                &mut command(example(name), &["--port", &port]),
                command(example(name), &[]).env("PORT", &port),
            ] {
                let why = format!("cannot listen on 127.0.0.1:{port}; try another --port\n\nCaused by:\n");
                refused(&busy.output().await.expect("it runs"), 1, &why);
            }
            assert_eq!(first.ask("GET", "/", "", b"").await.status, 200, "{name}");
        }
    });
}

/// Method, target and body of a request, the status, a field of the answer and what its body has.
const ROUTES: [(&str, &str); 3] = [
    (
        "ai_stream --every 0",
        r#"
        GET / -> 200 | content-type: text/html; charset=utf-8 | <title>
        HEAD / -> 200 | cache-control: no-store |
        PUT / -> 405 | allow: GET, HEAD |
        HEAD /sse -> 200 | content-type: text/event-stream |
        POST /sse -> 405 | allow: GET, HEAD, OPTIONS |
        OPTIONS /sse -> 204 | access-control-allow-origin: * |
        GET /chat -> 405 | allow: POST, OPTIONS |
        DELETE /chat -> 405 | access-control-allow-origin: * |
        OPTIONS /chat -> 204 | access-control-allow-origin: * |
        OPTIONS /chat -> 204 | access-control-allow-headers: Content-Type, Cache-Control, If-None-Match, Last-Event-ID |
        OPTIONS / -> 204 | access-control-allow-origin: * |
        POST /chat {"content":"Why?"} -> 200 | access-control-allow-origin: * | Why?
        POST /chat {"content":"Why?","model":{"name":[1]}} -> 200 | content-type: text/plain; charset=utf-8 | Why?
        POST /chat {"content":7} -> 400 | access-control-allow-origin: * | {"content":"a question"}
        POST /chat {"content":" "} -> 400 | access-control-allow-origin: * | {"content":"a question"}
        GET /chat/0123456789abcdef -> 404 | access-control-allow-origin: * |
        HEAD /chat/x -> 404 | access-control-allow-origin: * |
        POST /chat/x/stop -> 404 | access-control-allow-origin: * | no such answer
        PUT /chat/x -> 405 | allow: GET, HEAD, OPTIONS |
        GET /chat/x/stop -> 405 | allow: POST, OPTIONS |
        GET /chat/x/y -> 404 | access-control-allow-origin: * | nothing here
        OPTIONS /chat/x/stop -> 204 | access-control-allow-origin: * |
        POST /chat {"content":"Why?"} -> 200 | location: /chat/ | Why?
        POST /chat {"content":"Why?"} -> 200 | access-control-expose-headers: Location | Why?
        POST /chat [] -> 400 | access-control-allow-origin: * | {"content":"a question"}
        GET /nothing -> 404 | content-type: text/plain; charset=utf-8 | nothing here
        "#,
    ),
    (
        "threads",
        r#"
        GET / -> 200 | thread: thread- | answers you
        POST /publish hello -> 200 | thread: thread- | -1
        GET /poll -> 200 | content-type: application/json | "data":"hello"
        GET /wait?after=earliest -> 200 | content-type: application/json | "data":"hello"
        GET /wait?after=x -> 400 | cache-control: no-store |
        HEAD /events -> 200 | content-type: text/event-stream |
        GET /ws -> 426 | upgrade: websocket |
        POST /events -> 405 | allow: GET, HEAD |
        POST /ws -> 405 | allow: GET |
        GET /publish -> 405 | allow: POST |
        GET /nothing -> 404 | content-type: text/plain | nothing here
        "#,
    ),
    (
        "embed",
        r#"
        GET / -> 200 | content-type: text/html; charset=utf-8 | <title>
        HEAD /readings -> 200 | content-type: application/json |
        GET /readings?after=x -> 400 | cache-control: no-store |
        HEAD /events -> 200 | content-type: text/event-stream |
        POST /readings -> 405 | allow: GET, HEAD |
        DELETE /events -> 405 | allow: GET, HEAD |
        GET /nothing -> 404 | content-type: text/plain | nothing here
        "#,
    ),
];

#[test]
fn each_route_answers_as_it_should() {
    run(async {
        for (start, rows) in ROUTES {
            let args: Vec<&str> = start.split(' ').collect();
            let program = Program::start(args[0], &args[1..]).await;
            for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
                let (request, expected) = row.split_once(" -> ").expect("a row");
                let [request, expected] =
                    [request.splitn(3, ' '), expected.splitn(3, '|')].map(Vec::from_iter);
                let body = request.get(2).copied().unwrap_or_default();
                let answer = program.ask(request[0], request[1], "", body.as_bytes()).await;
                let has_field =
                    answer.head.lines().filter_map(|line| line.split_once(": ")).any(|(name, value)| {
                        format!("{}: {value}", name.to_lowercase()).starts_with(expected[1].trim())
                    });
                let as_expected = answer.status.to_string() == expected[0].trim() && has_field;
                assert!(
                    as_expected && answer.body.contains(expected[2].trim()),
                    "{start}: {row}\n{answer:?}"
                );
            }
        }
    });
}

// ai_stream.

/// An event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    id: String,
    name: String,
    data: String,
}

/// An event as an EventSource reads it.
fn event(text: &str) -> Event {
    let value = |name| text.lines().filter_map(|line| line.strip_prefix(name)).collect::<Vec<_>>().join("\n");
    Event { id: value("id: "), name: value("event: "), data: value("data: ") }
}

/// The events of a stream, without its `retry:`.
fn events(text: &str) -> Vec<Event> {
    let (first, rest) = text.split_once("\n\n").expect("a first event");
    assert!(first.strip_prefix("retry: ").is_some_and(|ms| ms.parse::<u32>().is_ok()), "{first}");
    rest.split_terminator("\n\n").map(event).collect()
}

/// The text of each event; all but the last, which says that it is done.
fn pieces(mut events: Vec<Event>) -> Vec<String> {
    let done = Event { name: "done".into(), data: "[DONE]".into(), ..Event::default() };
    assert_eq!(events.pop(), Some(done));
    events.iter().map(|event| serde_json::from_str(&event.data).expect("a JSON string")).collect()
}

#[test]
fn sse_sends_json_strings_then_done_and_the_end() {
    run(async {
        let program = Program::start("ai_stream", &["--every", "0"]).await;
        let answer = program.ask("GET", "/sse", "Origin: http://elsewhere\r\n", b"").await;
        assert_eq!(answer.field("content-type"), Some("text/event-stream"));
        assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
        let events = events(&answer.body);
        let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
        let pieces = pieces(events);
        assert_eq!(pieces.concat(), ANSWER);
        assert_eq!(ids[..pieces.len()], (1..=pieces.len()).map(|n| n.to_string()).collect::<Vec<_>>());
        // One a second is typed by a page that types 33 characters a second, and all of it comes within 15 seconds.
        assert!(pieces.iter().all(|piece| (1..=30).contains(&piece.encode_utf16().count())), "{pieces:?}");
        assert!((10..15).contains(&pieces.len()) && pieces.iter().any(|piece| piece.contains('\n')));
        // The astronaut is cut before the joiner or behind it.
        assert!(pieces.iter().any(|piece| piece.ends_with(['\u{1f469}', '\u{200d}'])), "{pieces:?}");
    });
}

#[test]
fn sse_goes_on_behind_the_last_event_id_and_stops_who_has_all() {
    run(async {
        let program = Program::start("ai_stream", &["--every", "0"]).await;
        let whole = pieces(events(&program.ask("GET", "/sse", "", b"").await.body));
        let last = whole.len();
        let after =
            async |id: &str| program.ask("GET", "/sse", &format!("Last-Event-ID: {id}\r\n"), b"").await;
        for has in [0, 1, last / 2, last - 1] {
            let answer = after(&has.to_string()).await;
            assert_eq!(pieces(events(&answer.body)), whole[has..], "behind {has}");
        }
        for has in [last.to_string(), (last + 1).to_string(), usize::MAX.to_string()] {
            let answer = after(&has).await;
            assert_eq!(
                (answer.status, answer.field("access-control-allow-origin")),
                (204, Some("*")),
                "behind {has}"
            );
        }
        for odd in ["", "x", "-1", "1.5", "99999999999999999999999", "1795245747317-0"] {
            assert_eq!(pieces(events(&after(odd).await.body)), whole, "behind {odd:?}");
        }
    });
}

#[test]
fn each_piece_goes_out_before_the_next_is_there() {
    run(async {
        // In the time of this test there is only the first piece.
        let program = Program::start("ai_stream", &["--every", "3600"]).await;
        let mut stream = program.client().await;
        stream.send("GET /sse HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(stream.until("\r\n\r\n").await.contains("\r\nTransfer-Encoding: chunked\r\n"));
        assert!(stream.chunk().await.expect("retry").starts_with("retry: "));
        assert!(stream.chunk().await.expect("a piece").starts_with("id: 1\ndata: \"# Piece"));
        let (mut chat, _) = begin_chat(&program, "Why?").await;
        chat.until(BEGINNING).await;
    });
}

/// What is there of an answer before the second piece is: the question, and the first piece.
const BEGINNING: &str = "# Pie\r\n";

/// Asks, and reads the head of the answer; returns where it is as well.
async fn begin_chat(program: &Program, question: &str) -> (Client<TcpStream>, String) {
    let (mut client, body) = (program.client().await, json!({ "content": question }).to_string());
    let length = body.len();
    client.send(format!("POST /chat HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    let head = client.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let name = head.lines().find_map(|line| line.strip_prefix("Location: ")).expect("a name");
    (client, name.to_owned())
}

#[test]
fn chat_streams_whole_characters_and_cuts_everything_else() {
    run(async {
        let program = Program::start("ai_stream", &["--every", "0"]).await;
        // `chunk` fails where a character is cut, which a page that decodes each piece on its own would show.
        let ((mut chat, _), mut pieces) = (begin_chat(&program, "Why?").await, Vec::new());
        while let Some(piece) = chat.chunk().await {
            pieces.push(piece);
        }
        assert_eq!(pieces.concat(), format!("You ask: Why?\n\n{ANSWER}"));
        let text = pieces.join("|");
        for cut in ["*|*", "```j|s", "\u{200d}|\u{1f680}", "\u{1f1e8}|\u{1f1f3}", "java|", "<img |"] {
            assert!(text.contains(cut), "{cut} is not cut in {text}");
        }
        // The connection goes on.
        assert_eq!(chat.get("/nothing", "").await.status, 404);
    });
}

#[test]
fn chat_hands_back_what_was_asked_as_it_is() {
    run(async {
        let program = Program::start("ai_stream", &["--every", "0"]).await;
        let odd =
            ["<script>alert(1)</script>", "你好 👩‍🚀", "a\r\nb: c\0", "\u{202e}\\\"", &"x".repeat(15_000)];
        for question in odd {
            let body = json!({ "content": question }).to_string();
            let answer = program.ask("POST", "/chat", "", body.as_bytes()).await;
            assert_eq!(answer.body, format!("You ask: {question}\n\n{ANSWER}"));
        }
    });
}

#[test]
fn a_body_that_is_not_json_is_400_and_says_at_which_byte() {
    // The byte is counted from 1; of a body that ends too soon it is the last.
    let table: [(&[u8], usize); 12] = [
        (b"", 0),
        (b"{", 1),
        (b"{\"content\":", 11),
        (b"{\"content\":}", 12),
        (b"{\"content\":\"a\"", 14),
        (b"{\"content\":\"a\"}x", 16),
        (b"{\"content\":\"a\nb\"}", 14),
        (b"{\"content\":\"a\",}", 16),
        (b"{\r\n \"content\":\"a\",\r\n  \"b\": tru}\r\n", 31),
        (b"{'content':'a'}", 2),
        (b"content=a", 1),
        (b"{\"content\":\"\xff\"}", 13),
    ];
    run(async {
        let program = Program::start("ai_stream", &[]).await;
        let deep = "[".repeat(1000);
        for (body, byte) in table.into_iter().chain([(deep.as_bytes(), 128)]) {
            let answer = program.ask("POST", "/chat", "", body).await;
            let shown = body.escape_ascii();
            assert_eq!(
                (answer.status, answer.field("access-control-allow-origin")),
                (400, Some("*")),
                "{shown}"
            );
            assert!(answer.body.contains(&format!("at byte {byte}:")), "{shown}\n{}", answer.body);
        }
        let long = json!({ "content": "x".repeat(20_000) }).to_string();
        let answer = program.ask("POST", "/chat", "", long.as_bytes()).await;
        assert_eq!((answer.status, answer.field("access-control-allow-origin")), (413, Some("*")));
    });
}

/// Follows an answer, from behind `last` if that is not empty.
async fn follow(program: &Program, name: &str, last: &str) -> Client<TcpStream> {
    let mut client = program.client().await;
    // Without chunks, for events may lie in one.
    client.send(format!("GET {name} HTTP/1.0\r\nLast-Event-ID: {last}\r\n\r\n")).await;
    let head = client.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
    client
}

/// The next event with data.
async fn next_event(client: &mut Client<TcpStream>) -> Event {
    loop {
        let event = event(&client.until("\n\n").await);
        if !event.data.is_empty() {
            return event;
        }
    }
}

/// What an answer says by its event stream, and why it ended.
async fn told(mut client: Client<TcpStream>) -> (String, String) {
    let mut text = String::new();
    loop {
        let Event { name, data, .. } = next_event(&mut client).await;
        if name == "done" {
            let end: Value = serde_json::from_str(&data).expect("JSON");
            assert_eq!(end["done"], true);
            // The stream ends behind it.
            assert!(!client.rest().await.contains("data"), "{data}");
            return (text, end["reason"].as_str().expect("a reason").to_owned());
        }
        assert_eq!(name, "");
        text += &data;
    }
}

#[test]
fn an_answer_is_followed_from_its_start_and_from_any_event() {
    run(async {
        let program = Program::start("ai_stream", &["--every", "0.1"]).await;
        let (mut chat, name) = begin_chat(&program, "Why?").await;
        // While it is written, and after its end.
        let whole = (format!("You ask: Why?\n\n{ANSWER}"), "finished".to_owned());
        assert_eq!(told(follow(&program, &name, "").await).await, whole);
        assert_eq!(told(follow(&program, &name, "").await).await, whole);
        let mut answer = String::new();
        while let Some(piece) = chat.chunk().await {
            answer += &piece;
        }
        assert_eq!(answer, whole.0);
        let (mut reader, mut read) = (follow(&program, &name, "").await, String::new());
        let end = loop {
            let event = next_event(&mut reader).await;
            if event.name == "done" {
                break event.id;
            }
            read += &event.data;
            let (rest, why) = told(follow(&program, &name, &event.id).await).await;
            assert_eq!((read.clone() + &rest, why), whole, "behind {}", event.id);
        };
        // Who has the end is told to stay away.
        let fields = format!("Last-Event-ID: {end}\r\n");
        assert_eq!(program.ask("GET", &name, &fields, b"").await.status, 204);
        // Who has an id from elsewhere is told of a gap, and then all of it.
        for foreign in ["1-1", "x"] {
            let mut reader = follow(&program, &name, foreign).await;
            assert_eq!(next_event(&mut reader).await.name, "gap", "{foreign}");
            assert_eq!(told(reader).await, whole, "{foreign}");
        }
    });
}

#[test]
fn an_answer_goes_on_when_its_client_leaves() {
    run(async {
        let program = Program::start("ai_stream", &["--every", "0.1"]).await;
        let (chat, name) = begin_chat(&program, "Why?").await;
        drop(chat);
        let whole = (format!("You ask: Why?\n\n{ANSWER}"), "finished".to_owned());
        assert_eq!(told(follow(&program, &name, "").await).await, whole);
    });
}

#[test]
fn an_answer_is_stopped_for_all_who_read_it_and_for_nobody_else() {
    run(async {
        let program = Program::start("ai_stream", &["--every", "3600"]).await;
        let (mut chat, name) = begin_chat(&program, "Why?").await;
        let (mut other, _) = begin_chat(&program, "Who?").await;
        let readers = [follow(&program, &name, "").await, follow(&program, &name, "").await];
        chat.until(BEGINNING).await;
        let stop = async || program.ask("POST", &format!("{name}/stop"), "", b"").await;
        assert_eq!(stop().await.body, "it stops\n");
        let part = ("You ask: Why?\n\n# Pie".to_owned(), "stopped".to_owned());
        for reader in readers {
            assert_eq!(told(reader).await, part);
        }
        assert_eq!(chat.chunk().await, None);
        assert_eq!(told(follow(&program, &name, "").await).await, part);
        let answer = stop().await;
        assert_eq!((answer.status, &*answer.body), (200, "it has ended\n"));
        other.until(BEGINNING).await;
    });
}

#[test]
fn where_too_many_are_held_sse_ends_at_once_and_chat_is_503() {
    run(async {
        let program = Program::start("ai_stream", &["--every", "3600"]).await;
        let mut held = Vec::new();
        for _ in 0..tidings::Limits::DEFAULT.held {
            held.push(begin_chat(&program, "Why?").await);
        }
        let answer = program.ask("GET", "/sse", "", b"").await;
        assert_eq!((answer.status, events(&answer.body)), (200, vec![]));
        // An EventSource that follows an answer comes back.
        assert_eq!(program.ask("GET", &held[0].1, "", b"").await.status, 200);
        let answer = program.ask("POST", "/chat", "", br#"{"content":"Why?"}"#).await;
        assert_eq!((answer.status, answer.field("access-control-allow-origin")), (503, Some("*")));
        assert!(answer.field("retry-after").is_some());
    });
}

// threads.

/// Connections to each thread, at least so many.
async fn of_each_thread(program: &Program, threads: usize, least: usize) -> BTreeMap<String, Vec<TcpStream>> {
    let mut found = BTreeMap::<String, Vec<TcpStream>>::new();
    while found.len() < threads || found.values().any(|streams| streams.len() < least) {
        let total: usize = found.values().map(Vec::len).sum();
        assert!(total < 200, "the connections are not spread: {:?}", found.keys());
        let mut client = program.client().await;
        let answer = client.get("/", "").await;
        // The figures are those of all threads.
        assert!(answer.body.ends_with(&format!(" on all threads: {}\n", total + 1)), "{}", answer.body);
        let thread = answer.field("thread").expect("a name").to_owned();
        found.entry(thread).or_default().push(client.stream);
    }
    found
}

#[test]
fn what_is_published_on_one_thread_arrives_on_all() {
    run(async {
        let mut program = Program::start("threads", &["--threads", "3"]).await;
        assert_eq!(program.line().await, "3 threads");
        let mut connections = of_each_thread(&program, 3, ALL.len() + 1).await;
        assert_eq!(connections.keys().collect::<Vec<_>>(), ["thread-1", "thread-2", "thread-3"]);
        let mut publishers = Vec::new();
        for (thread, streams) in &mut connections {
            publishers.push((thread.clone(), Client::new(streams.pop().expect("a stream"))));
        }
        let before = program.ask("POST", "/publish", "", b"before").await.body;
        let mut readers = Vec::new();
        for (thread, streams) in connections {
            for (transport, stream) in ALL.into_iter().zip(streams) {
                readers.push((
                    thread.clone(),
                    transport,
                    Reader::open(stream, transport, Some(&before)).await,
                ));
            }
        }
        for (from, publisher) in &mut publishers {
            let text = format!("from {from}");
            publisher
                .send(format!(
                    "POST /publish HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{text}",
                    text.len()
                ))
                .await;
            let answer = publisher.answer().await;
            assert_eq!(answer.field("thread"), Some(from.as_str()));
            let message = Tiding::Message { id: answer.body, data: text };
            for (thread, transport, reader) in &mut readers {
                assert_eq!(reader.message().await, message, "{transport:?} on {thread}");
            }
        }
    });
}

#[test]
fn the_limit_on_connections_is_for_all_threads_together() {
    run(async {
        let program = Program::start("threads", &["--threads", "2"]).await;
        let mut clients = Vec::new();
        for _ in 0..tidings::Limits::DEFAULT.connections {
            let mut client = program.client().await;
            assert_eq!(client.get("/", "").await.status, 200);
            clients.push(client);
        }
        let refused = program.client().await.answer().await;
        assert_eq!(refused.status, 503);
        assert!(refused.field("retry-after").is_some());
    });
}

#[test]
fn a_shutdown_tells_the_clients_of_every_thread() {
    run(async {
        let mut program = Program::start("threads", &["--threads", "2"]).await;
        let mut readers = Vec::new();
        for (_, streams) in of_each_thread(&program, 2, 1).await {
            for stream in streams {
                let mut reader = Reader::open(stream, Transport::Sse, None).await;
                assert!(matches!(reader.next().await, Tiding::Cursor(_)));
                readers.push(reader);
            }
        }
        program.signal("TERM");
        for reader in &mut readers {
            assert_eq!(reader.message().await, Tiding::End("shutdown".into()));
        }
        drop(readers);
        assert_eq!(program.end().await, Some(0));
    });
}

// unix_socket.

/// A folder for a socket, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tidings-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn socket(&self) -> String {
        self.0.join("s.sock").to_str().expect("text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn on_socket(path: &str) -> Command {
    command(example("unix_socket"), &["--path", path])
}

/// Connects, and waits for that where many do.
async fn dial(path: &str) -> UnixStream {
    let path = path.to_owned();
    let stream = smol::unblock(|| std::os::unix::net::UnixStream::connect(path)).await.expect("connected");
    UnixStream::try_from(stream).expect("a stream")
}

/// What curl prints.
async fn curl(path: &str, args: &[&str]) -> String {
    let mut curl = command("curl", &["-sS", "--max-time", "300", "--unix-socket", path]);
    let output = curl.args(args).output().await.expect("curl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn curl_and_all_transports_reach_the_unix_socket() {
    let folder = Folder::new("reach");
    run(async {
        let path = folder.socket();
        let _program = Program::of(&mut on_socket(&path)).await;
        let before = curl(&path, &["-d", "hello", "http://localhost/publish"]).await;
        assert!(curl(&path, &["http://localhost/poll"]).await.contains(r#""data":"hello""#));
        let mut events =
            command("curl", &["-sSN", "--unix-socket", &path, "http://localhost/events?after=earliest"]);
        let mut events = events.spawn().expect("curl is installed");
        let mut lines = BufReader::new(events.stdout.take().expect("piped")).lines();
        while lines.next().await.expect("a line").expect("text") != "data: hello" {}
        let mut readers = Vec::new();
        for transport in ALL {
            let stream = dial(&path).await;
            readers.push(Reader::open(stream, transport, Some(&before)).await);
        }
        let id = curl(&path, &["-d", "你好", "http://localhost/publish"]).await;
        for (reader, transport) in readers.iter_mut().zip(ALL) {
            assert_eq!(
                reader.message().await,
                Tiding::Message { id: id.clone(), data: "你好".into() },
                "{transport:?}"
            );
        }
        while lines.next().await.expect("a line").expect("text") != "data: 你好" {}
        for (args, status) in [
            (&["-X", "PUT", "http://localhost/poll"][..], "405"),
            (&["http://localhost/publish"], "405"),
            (&["http://localhost/ws"], "426"),
            (&["http://localhost/wait?after=x"], "400"),
            (&["http://localhost/nothing"], "404"),
        ] {
            let code = curl(&path, &[&["-o", "/dev/null", "-w", "%{http_code}"], args].concat()).await;
            assert_eq!(code, status, "{args:?}");
        }
    });
}

#[test]
fn the_socket_is_for_its_owner_and_goes_with_the_program() {
    let folder = Folder::new("owner");
    run(async {
        let path = folder.socket();
        // Under `umask 0` a file is for everybody, unless the program sees to it.
        let mut command = command("sh", &["-c", "umask 0 && exec \"$0\" --path \"$1\""]);
        let mut program = Program::of(command.arg(example("unix_socket")).arg(&path)).await;
        assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
        let mut reader = Reader::open(dial(&path).await, Transport::Sse, None).await;
        assert!(matches!(reader.next().await, Tiding::Cursor(_)));
        program.signal("INT");
        assert_eq!(reader.message().await, Tiding::End("shutdown".into()));
        drop(reader);
        assert_eq!(program.end().await, Some(0));
        assert_eq!(fs::read_dir(&folder.0).expect("the folder").count(), 0);
    });
}

#[test]
fn a_stale_socket_is_replaced_by_one_of_those_that_try() {
    let folder = Folder::new("stale");
    run(async {
        let path = folder.socket();
        for round in 0..5 {
            let mut killed = Program::of(&mut on_socket(&path)).await;
            killed.child.kill().expect("killed");
            killed.child.status().await.expect("gone");
            assert!(Path::new(&path).exists(), "a kill leaves the file");
            // All at once; who finds somebody listening leaves it alone.
            let tries: Vec<Child> = (0..6).map(|_| on_socket(&path).spawn().expect("it starts")).collect();
            let mut served = Vec::new();
            for mut child in tries {
                let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
                match lines.next().await {
                    Some(_) => served.push(child),
                    None => refused(&child.output().await.expect("its end"), 1, "somebody listens there"),
                }
            }
            assert_eq!(served.len(), 1, "round {round}");
            assert!(curl(&path, &["http://localhost/poll"]).await.contains("messages"));
            for mut child in served {
                child.kill().expect("killed");
                child.status().await.expect("gone");
            }
        }
    });
}

#[test]
fn what_is_no_stale_socket_is_not_touched() {
    let folder = Folder::new("other");
    run(async {
        let refuse = async |path: &str, names: &str| {
            refused(&on_socket(path).output().await.expect("it runs"), 1, names);
        };
        let at = |name: &str| folder.0.join(name).to_str().expect("text").to_owned();
        fs::write(at("file"), "precious").expect("written");
        fs::create_dir(at("folder")).expect("made");
        std::os::unix::fs::symlink(at("file"), at("link")).expect("linked");
        std::os::unix::fs::symlink(at("nowhere"), at("dangling")).expect("linked");
        for name in ["file", "folder", "link", "dangling"] {
            refuse(&at(name), "no socket").await;
        }
        assert_eq!(fs::read_to_string(at("link")).expect("still there"), "precious");
        refuse(&at("missing/s.sock"), "cannot listen").await;
        refuse(&at(&"long".repeat(40)), "cannot listen").await;

        let path = at("live");
        let _program = Program::of(&mut on_socket(&path)).await;
        let inode = fs::metadata(&path).expect("the file").ino();
        refuse(&path, "somebody listens there").await;
        assert_eq!(fs::metadata(&path).expect("the file").ino(), inode);
        assert!(curl(&path, &["http://localhost/poll"]).await.contains("messages"));
    });
}

#[test]
fn at_its_end_it_leaves_the_socket_of_another() {
    let folder = Folder::new("successor");
    run(async {
        let path = folder.socket();
        let mut first = Program::of(&mut on_socket(&path)).await;
        fs::remove_file(&path).expect("removed");
        let _second = Program::of(&mut on_socket(&path)).await;
        first.signal("TERM");
        assert_eq!(first.end().await, Some(0));
        assert!(curl(&path, &["http://localhost/poll"]).await.contains("messages"));
    });
}

#[test]
fn connections_that_say_nothing_hold_nobody_up_and_are_bounded() {
    let folder = Folder::new("bounded");
    run(async {
        let path = folder.socket();
        let _program = Program::of(&mut on_socket(&path)).await;
        let mut silent = Vec::new();
        for _ in 1..tidings::Limits::DEFAULT.connections {
            silent.push(dial(&path).await);
        }
        let mut last = Client::new(dial(&path).await);
        assert_eq!(last.get("/poll", "").await.status, 200);
        let refused = Client::new(dial(&path).await).answer().await;
        assert_eq!(refused.status, 503);
        assert!(refused.field("retry-after").is_some());
        // The deadlines are kept: who says nothing for `head_time` is closed.
        assert_eq!(Client::new(silent.remove(0)).rest().await, "");
    });
}

#[test]
fn without_descriptors_it_waits_and_goes_on() {
    let folder = Folder::new("descriptors");
    run(async {
        let path = folder.socket();
        let mut command = command("sh", &["-c", "ulimit -n 24 && exec \"$0\" --path \"$1\""]);
        let mut program = Program::of(command.arg(example("unix_socket")).arg(&path)).await;
        let mut many = Vec::new();
        for _ in 0..40 {
            many.push(dial(&path).await);
        }
        let line = program.log.next().await.expect("a line").expect("text");
        assert!(line.starts_with("cannot accept: "), "{line}");
        drop(many);
        assert!(curl(&path, &["http://localhost/poll"]).await.contains("messages"));
    });
}

// embed.

/// The readings of an answer by their sensors, which are their keys as well.
fn readings(answer: &Answer) -> BTreeMap<String, Value> {
    let messages = answer.json()["messages"].as_array().expect("messages").clone();
    let reading = |message: Value| {
        let reading: Value = serde_json::from_str(message["data"].as_str().expect("text")).expect("JSON");
        assert_eq!(message["key"], reading["sensor"], "{message}");
        assert!(reading["value"].as_f64().expect("a number") <= reading["most"].as_f64().expect("a number"));
        (reading["sensor"].as_str().expect("a name").to_owned(), reading)
    };
    messages.into_iter().map(reading).collect()
}

/// How many readings there were, of an id `epoch-seq`.
fn count(id: &str) -> u64 {
    id.split_once('-').and_then(|(_, seq)| seq.parse().ok()).unwrap_or_else(|| panic!("no id: {id}"))
}

/// Asks until there were so many readings.
async fn after_readings(program: &Program, least: u64) -> Answer {
    loop {
        let answer = program.ask("GET", "/readings", "", b"").await;
        if count(answer.json()["next"].as_str().expect("a cursor")) >= least {
            return answer;
        }
        smol::Timer::after(std::time::Duration::from_millis(10)).await;
    }
}

const SENSORS: [&str; 4] = ["Clients", "Fan", "Sun", "Temperature"];

#[test]
fn the_newest_reading_of_each_sensor_is_kept() {
    run(async {
        let mut program = Program::start("embed", &["--every", "0.005"]).await;
        let budget = program.line().await;
        let kib: usize = budget.split(' ').find_map(|word| word.parse().ok()).expect("a number");
        assert!(kib < 256 && budget.contains("KiB"), "{budget}");
        let early = after_readings(&program, 1).await;
        // Many more than the history has room for.
        let late = after_readings(&program, 400).await;
        let readings = readings(&late);
        assert_eq!(readings.keys().collect::<Vec<_>>(), SENSORS);
        assert_eq!(late.json()["messages"].as_array().map(Vec::len), Some(SENSORS.len()));
        // Who was away for all of them has missed nothing that counts.
        let cursor = early.json()["next"].as_str().expect("a cursor").to_owned();
        let resumed = program.ask("GET", &format!("/readings?after={cursor}"), "", b"").await;
        assert_eq!(resumed.json()["gap"], false);
        let mut reader = Reader::open(program.connect().await, Transport::Sse, Some(&cursor)).await;
        assert!(matches!(reader.message().await, Tiding::Message { id, .. } if count(&id) > 396));
    });
}

#[test]
fn a_new_client_has_all_gauges_at_once_and_then_each_new_reading() {
    run(async {
        // Only the first readings are there in the time of this test.
        let program = Program::start("embed", &["--every", "3600"]).await;
        let mut client = program.client().await;
        client.send("GET /events?after=earliest HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut seen = BTreeSet::new();
        while seen.len() < SENSORS.len() {
            client.until("data: ").await;
            let reading: Value = serde_json::from_str(&client.until("\n").await).expect("JSON");
            seen.insert(reading["sensor"].as_str().expect("a name").to_owned());
        }
        assert_eq!(seen.iter().collect::<Vec<_>>(), SENSORS);

        let program = Program::start("embed", &["--every", "0.005"]).await;
        let mut reader = Reader::open(program.connect().await, Transport::Sse, None).await;
        let mut last = 0;
        for _ in 0..100 {
            match reader.message().await {
                Tiding::Message { id, .. } if count(&id) > last => last = count(&id),
                other => panic!("{other:?} behind {last}"),
            }
        }
    });
}

#[test]
fn clients_are_bounded_and_hold_up_nothing() {
    run(async {
        let program = Program::start("embed", &["--every", "0.005"]).await;
        let mut held = Vec::new();
        // They never read.
        for _ in 0..12 {
            let mut client = program.client().await;
            client.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n").await;
            client.until("HTTP/1.1 200").await;
            held.push(client);
        }
        let at = count(after_readings(&program, 1).await.json()["next"].as_str().expect("a cursor"));
        let answer = after_readings(&program, at + 200).await;
        assert_eq!(readings(&answer)["Clients"]["value"], 12.0);
        // One more stream ends at once, and a seventeenth connection is refused.
        let answer = program.ask("GET", "/events", "", b"").await;
        assert!(answer.body.ends_with(": full\n\n"), "{answer:?}");
        let mut idle = Vec::new();
        for _ in 0..4 {
            let mut client = program.client().await;
            assert_eq!(client.get("/readings", "").await.status, 200);
            idle.push(client);
        }
        let refused = program.client().await.answer().await;
        assert_eq!(refused.status, 503);
        assert!(refused.field("retry-after").is_some());
    });
}
