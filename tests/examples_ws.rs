//! The examples chat, relay and signaling as their clients see them: what they promise, and what they say to bad
//! input.

#[path = "common/built.rs"]
mod built;
mod common;

use std::collections::VecDeque;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::{Bytes, Message};
use common::client::{Answer, Client};
use common::in_time;
use serde_json::{Value, json};
use smol::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use smol::net::TcpStream;
use smol::process::{Child, ChildStdout, Command, Stdio};
use smol::stream::StreamExt;

const EXAMPLES: [&str; 3] = ["chat", "relay", "signaling"];

/// A running example; it ends when this is dropped.
struct Program {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

/// The program of an example.
fn example(name: &str) -> Command {
    let mut command = Command::new(built::example(name));
    command.env_remove("PORT").stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Program {
    async fn start(name: &str, args: &[&str]) -> Program {
        Program::of(example(name).args(["--port", "0"]).args(args)).await
    }

    async fn of(command: &mut Command) -> Program {
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let url = lines.next().await.expect("a first line").expect("text");
        let port = url.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.strip_suffix('/'));
        let port = port.unwrap_or_else(|| panic!("no URL: {url}")).parse().expect("a port");
        Program { _child: child, lines, port }
    }

    /// The next line of its log.
    async fn line(&mut self) -> String {
        self.lines.next().await.expect("a line").expect("text")
    }

    async fn client(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(("127.0.0.1", self.port)).await.expect("connected"))
    }

    async fn answer(&self, method: &str, path: &str) -> Answer {
        let mut client = self.client().await;
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).await;
        client.answer().await
    }

    async fn socket(&self, target: &str) -> Socket {
        Socket { stream: self.client().await.upgrade(target).await }
    }
}

/// A WebSocket as a client has it.
struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    async fn send(&mut self, message: impl Into<Message>) {
        self.stream.send(message.into()).await.expect("sent");
    }

    /// The next text.
    async fn text(&mut self) -> String {
        match self.stream.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("JSON")
    }

    /// Sends what is wrong; returns the reason that is given.
    async fn refused(&mut self, message: impl Into<Message>) -> String {
        self.send(message).await;
        let answer = self.json().await;
        assert_eq!(answer["type"], "error", "{answer}");
        answer["reason"].as_str().expect("a reason").to_owned()
    }

    /// The close code and its reason, past the texts before it.
    async fn close(mut self) -> (u16, String) {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Text(_))) => {}
                other => panic!("no close: {other:?}"),
            }
        }
    }

    /// Leaves, and waits until the server is done with it.
    async fn leave(mut self) {
        self.stream.close(None).await.expect("closed");
        while let Some(Ok(_)) = self.stream.next().await {}
        let rest = self.stream.get_mut().read_to_end(&mut Vec::new()).await;
        assert_eq!(rest.expect("an end"), 0);
    }
}

/// Runs a test, which fails if it hangs.
fn run(test: impl Future<Output = ()>) {
    // To build them is no part of its time.
    built::example("chat");
    smol::block_on(in_time(test));
}

#[test]
fn the_port_is_an_argument_or_a_variable_and_a_bad_one_is_refused() {
    run(async {
        for name in EXAMPLES {
            let free = Program::of(example(name).env("PORT", "0")).await;
            // The argument wins, whatever the variable is.
            Program::of(example(name).args(["--port", "0"]).env("PORT", "nonsense")).await;
            let busy = free.port.to_string();
            let bad: [(&[&str], &str, i32, &str); 7] = [
                (&[], "nonsense", 2, "'nonsense'"),
                (&[], "-1", 2, "'-1'"),
                (&["--port", "65536"], "0", 2, "'65536'"),
                (&["--port"], "0", 2, "--port"),
                (&["--colour", "red"], "0", 2, &format!("'--colour' found\n\nUsage: {name} [OPTIONS]")),
                (&["--port", &busy], "", 1, &busy),
                (&[], &busy, 1, &busy),
            ];
            for (args, variable, status, said) in bad {
                let ended = example(name).args(args).env("PORT", variable).output().await.expect("it ran");
                let complaint = String::from_utf8(ended.stderr).expect("text");
                assert_eq!(ended.status.code(), Some(status), "{name} {args:?} {variable}: {complaint}");
                let start = if status == 1 { "Error: cannot listen on " } else { "error: " };
                assert!(complaint.starts_with(start) && complaint.contains(said), "{complaint}");
                assert!(status == 1 || complaint.contains("try '--help'"), "{complaint}");
                assert!(!complaint.contains("panicked"), "{complaint}");
                assert!(ended.stdout.is_empty());
            }
            let help = example(name).arg("--help").output().await.expect("it ran");
            assert!(help.status.success() && help.stdout.starts_with(b"Usage: ") && help.stderr.is_empty());
        }
        let ended = example("relay").args(["--mode", "loud"]).output().await.expect("it ran");
        let complaint = String::from_utf8(ended.stderr).expect("text");
        assert_eq!(ended.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains("'loud'") && complaint.contains("both, reply, others"), "{complaint}");
    });
}

#[test]
fn the_page_is_at_the_root_and_everything_else_is_refused() {
    run(async {
        for name in EXAMPLES {
            let program = Program::start(name, &[]).await;
            let page = program.answer("GET", "/").await;
            assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")));
            assert!(
                page.body.starts_with("<!doctype html>") && page.body.contains("Content-Security-Policy")
            );
            let head = "HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
            let mut client = program.client().await;
            client.send(head).await;
            assert!(client.rest().await.ends_with("\r\n\r\n"));
            let post = program.answer("POST", "/").await;
            assert_eq!((post.status, post.field("allow")), (405, Some("GET, HEAD")));
            assert_eq!(program.answer("GET", "/elsewhere").await.status, 404);
            // An upgrade without its version.
            let mut client = program.client().await;
            let old = client.get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n").await;
            assert_eq!((old.status, old.field("sec-websocket-version")), (426, Some("13")));
        }
    });
}

#[test]
fn a_message_of_a_kind_that_is_not_understood_ends_the_connection_with_the_code_that_says_so() {
    run(async {
        for name in EXAMPLES {
            let program = Program::start(name, &[]).await;
            let mut socket = program.socket("/").await;
            socket.send(Bytes::from_static(b"\xff\0")).await;
            assert_eq!(socket.close().await, (1003, "only text is understood here".to_owned()), "{name}");
            let mut socket = program.socket("/").await;
            socket.send("x".repeat(40_000)).await;
            assert_eq!(socket.close().await.0, 1009, "{name}");
            // A text frame that is no text, masked with zeros.
            let mut socket = program.socket("/").await;
            let stream = socket.stream.get_mut();
            smol::io::AsyncWriteExt::write_all(stream, b"\x81\x81\0\0\0\0\xff").await.expect("sent");
            assert_eq!(socket.close().await.0, 1007, "{name}");
            // The others are not concerned.
            let mut socket = program.socket("/").await;
            socket.send(r#"{"type":"join","room":"kitchen"}"#).await;
            assert!(!socket.text().await.is_empty());
        }
    });
}

#[test]
fn chat_sends_each_text_unchanged_to_all_and_to_its_sender() {
    run(async {
        let chat = Program::start("chat", &[]).await;
        let mut clients = [chat.socket("/").await, chat.socket("/").await, chat.socket("/").await];
        let said = ["hello", "", "two\nlines", r#"{"a":"<b>"}"#, "grüße 🎉"];
        for (n, text) in said.iter().enumerate() {
            clients[n % 3].send(*text).await;
            for client in &mut clients {
                assert_eq!(client.text().await, *text);
            }
        }
        // The longest text that there is room for.
        let longest = "x".repeat(8 * 1024);
        clients[0].send(longest.clone()).await;
        for client in &mut clients {
            assert_eq!(client.text().await, longest);
        }
    });
}

#[test]
fn chat_logs_how_many_are_connected() {
    run(async {
        let mut chat = Program::start("chat", &[]).await;
        let one = chat.socket("/").await;
        assert_eq!(chat.line().await, "connected, now 1");
        let mut two = chat.socket("/").await;
        assert_eq!(chat.line().await, "connected, now 2");
        // Neither a page nor a failed upgrade is a client.
        chat.answer("GET", "/").await;
        chat.client().await.get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n").await;
        one.leave().await;
        assert_eq!(chat.line().await, "left, now 1");
        two.send(Bytes::from_static(b"\0")).await;
        two.close().await;
        assert_eq!(chat.line().await, "left, now 0");
        drop(chat.socket("/").await);
        assert_eq!(chat.line().await, "connected, now 1");
        assert_eq!(chat.line().await, "left, now 0");
    });
}

#[test]
fn chat_gives_what_was_said_before_to_whoever_asks_and_says_where_it_is_not_sure() {
    run(async {
        let chat = Program::start("chat", &[]).await;
        let mut early = chat.socket("/").await;
        for text in ["a", "b"] {
            early.send(text).await;
            assert_eq!(early.text().await, text);
        }
        let mut late = chat.socket("/?after=earliest").await;
        let mut foreign = chat.socket("/?after=1-1").await;
        let mut from_now = chat.socket("/").await;
        early.send("c").await;
        for text in ["a", "b", "c"] {
            assert_eq!(late.text().await, text);
        }
        assert!(foreign.text().await.contains("missing"));
        assert_eq!([foreign.text().await, foreign.text().await], ["a", "b"]);
        assert_eq!(from_now.text().await, "c");
        let mut client = chat.client().await;
        let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        assert_eq!(client.get("/?after=yesterday", fields).await.status, 400);
        // An empty cursor is none, as that of a page which has none yet.
        chat.socket("/?after=").await;
    });
}

#[test]
fn chat_goes_on_behind_an_id_for_whoever_asks_for_ids() {
    run(async {
        let chat = Program::start("chat", &[]).await;
        let mut said = chat.socket("/").await;
        let mut with_ids = chat.socket("/?envelope=1&after=earliest").await;
        said.send("a").await;
        assert_eq!(said.text().await, "a");
        let first = with_ids.json().await;
        assert_eq!(first["data"], "a");
        with_ids.leave().await;
        for text in ["\"b\"", "c"] {
            said.send(text).await;
            assert_eq!(said.text().await, text);
        }
        let id = first["id"].as_str().expect("an id");
        let mut with_ids = chat.socket(&format!("/?envelope=1&after={id}")).await;
        assert_eq!(
            [with_ids.json().await["data"].take(), with_ids.json().await["data"].take()],
            ["\"b\"", "c"]
        );
        // An id of another run.
        let mut foreign = chat.socket("/?after=1-1&envelope=1").await;
        let gap = foreign.json().await;
        assert!(gap["gap"] == true && gap["next"].is_string(), "{gap}");
        assert_eq!(foreign.json().await["data"], "a");
        // Without being asked for they are not there.
        let mut plain = chat.socket(&format!("/?after={id}&envelope=0")).await;
        assert_eq!(plain.text().await, "\"b\"");
    });
}

#[test]
fn chat_tells_a_slow_client_that_something_is_missing() {
    run(async {
        let chat = Program::start("chat", &[]).await;
        let (mut slow, mut busy) = (chat.socket("/").await, chat.socket("/").await);
        // More than lies between the two: what the sockets hold, and the history.
        let texts: Vec<String> = (0..2000).map(|n| format!("{n} {}", "x".repeat(8000))).collect();
        for text in &texts {
            busy.send(text.as_str()).await;
            assert_eq!(busy.text().await, *text);
        }
        let mut expected: VecDeque<&String> = texts.iter().collect();
        let mut gaps = 0;
        while !expected.is_empty() {
            let said = slow.text().await;
            if said.contains("Some messages are missing here") {
                gaps += 1;
                continue;
            }
            // Nothing is missing but where it was told.
            let skipped = expected.iter().position(|text| **text == said).expect("in order");
            assert!(skipped == 0 || gaps > 0, "{skipped} are missing and nobody said so");
            expected.drain(..=skipped);
        }
        assert!(gaps > 0, "nothing was missing: the test says nothing");
    });
}

#[test]
fn relay_says_who_said_it() {
    run(async {
        let relay = Program::start("relay", &[]).await;
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = relay.socket("/").await;
            assert_eq!(client.text().await, "Welcome to the WebSocket server!");
            clients.push(client);
        }
        for speaker in [0, 1, 2, 0] {
            let text = format!("I am {speaker} 🎉");
            clients[speaker].send(text.as_str()).await;
            for (n, client) in clients.iter_mut().enumerate() {
                let who = if n == speaker { "You said" } else { "Other client said" };
                assert_eq!(client.text().await, format!("{who}: {text}"));
            }
        }
    });
}

#[test]
fn relay_with_mode_reply_answers_the_sender_only() {
    run(async {
        let relay = Program::start("relay", &["--mode", "reply"]).await;
        let (mut one, mut other) = (relay.socket("/").await, relay.socket("/").await);
        one.send("你好").await;
        assert_eq!(one.text().await, "服务器回应:你好");
        other.send("b").await;
        assert_eq!(other.text().await, "服务器回应:b");
    });
}

#[test]
fn relay_with_mode_others_reaches_the_others_unchanged() {
    run(async {
        let relay = Program::start("relay", &["--mode", "others"]).await;
        let (mut one, mut other) = (relay.socket("/").await, relay.socket("/").await);
        one.send("a").await;
        assert_eq!(other.text().await, "a");
        other.send("b").await;
        assert_eq!(one.text().await, "b");
    });
}

const JOIN: &str = r#"{"type":"join","room":"kitchen"}"#;

/// Two peers in a room, with their names.
async fn pair(signaling: &Program) -> [(Socket, String); 2] {
    let mut first = signaling.socket("/").await;
    first.send(JOIN).await;
    let joined = first.json().await;
    let me = joined["you"].as_str().expect("a name").to_owned();
    assert_eq!(joined, json!({"type": "joined", "room": "kitchen", "you": me, "peers": []}));
    let mut second = signaling.socket("/").await;
    second.send(JOIN).await;
    let joined = second.json().await;
    let you = joined["you"].as_str().expect("a name").to_owned();
    assert_eq!(joined, json!({"type": "joined", "room": "kitchen", "you": you, "peers": [me]}));
    assert_eq!(first.json().await, json!({"type": "peer-joined", "peer": you}));
    [(first, me), (second, you)]
}

#[test]
fn signaling_passes_on_to_the_one_it_is_for() {
    run(async {
        let signaling = Program::start("signaling", &[]).await;
        let [(mut one, me), (mut other, you)] = pair(&signaling).await;
        // Another room with the same name but for a letter, to see that nothing gets there.
        let mut elsewhere = signaling.socket("/").await;
        elsewhere.send(r#"{"type":"join","room":"Kitchen"}"#).await;
        assert_eq!(elsewhere.json().await["peers"], json!([]));
        one.send(json!({"type": "offer", "to": you, "sdp": "v=0\r\n"}).to_string()).await;
        assert_eq!(other.json().await, json!({"type": "offer", "from": me, "sdp": "v=0\r\n"}));
        other.send(json!({"type": "answer", "to": me, "sdp": "v=0\r\n"}).to_string()).await;
        assert_eq!(one.json().await, json!({"type": "answer", "from": you, "sdp": "v=0\r\n"}));
        for candidate in [json!({"candidate": "candidate:1 1 udp", "sdpMLineIndex": 0}), json!(null)] {
            one.send(json!({"type": "candidate", "to": you, "candidate": candidate}).to_string()).await;
            let passed = other.json().await;
            assert_eq!(passed, json!({"type": "candidate", "from": me, "candidate": candidate}));
        }
        // Nobody but the two heard of it.
        assert!(elsewhere.refused("{}").await.contains("'type'"));
        // Neither can say that it is someone else.
        one.send(json!({"type": "offer", "to": you, "from": "somebody", "sdp": ""}).to_string()).await;
        assert_eq!(other.json().await["from"], *me);
        other.leave().await;
        assert_eq!(one.json().await, json!({"type": "peer-left", "peer": you}));
        let to_nobody = json!({"type": "offer", "to": you, "sdp": ""}).to_string();
        assert_eq!(one.refused(to_nobody).await, format!("there is no peer '{you}' in this room"));
    });
}

#[test]
fn signaling_says_what_is_wrong_and_goes_on() {
    run(async {
        let signaling = Program::start("signaling", &[]).await;
        let mut alone = signaling.socket("/").await;
        for (message, reason) in [
            ("", "at byte 0: EOF"),
            (r#"{"type":"join" "room":"a"}"#, "at byte 16: expected `,` or `}`"),
            ("{\n\"grüße\":\n ?}", "at byte 15: expected value"),
            (r#"{"type":"join""#, "at byte 14: EOF"),
            ("[1]", "at byte 0: invalid type: sequence"),
            ("null", "invalid type: null"),
            (&format!("{{\"a\":{}", "[".repeat(10_000)), "recursion limit"),
            ("{}", "'type' is missing"),
            (r#"{"type":7}"#, "'type' is missing, or is no text"),
            (r#"{"type":"offer","to":"peer-1","sdp":""}"#, "join a room first"),
            (r#"{"type":"join"}"#, "'room' is missing"),
            (r#"{"type":"join","room":""}"#, "1 to 64 bytes"),
            (&json!({"type": "join", "room": "é".repeat(33)}).to_string(), "1 to 64 bytes"),
        ] {
            let said = alone.refused(message).await;
            assert!(said.contains(reason), "{message:.80}: {said}");
        }
        let [(mut one, me), (mut other, you)] = pair(&signaling).await;
        assert_eq!(alone.refused(JOIN).await, "the room is full: it has 2 places");
        for (message, reason) in [
            (JOIN.to_owned(), "in the room 'kitchen' already".to_owned()),
            (format!(r#"{{"type":"offer","to":"{you}"}}"#), "'sdp' is missing".to_owned()),
            (format!(r#"{{"type":"answer","to":"{you}","sdp":{{}}}}"#), "'sdp' is missing".to_owned()),
            (format!(r#"{{"type":"candidate","to":"{you}"}}"#), "'candidate' is missing".to_owned()),
            (r#"{"type":"offer","sdp":""}"#.to_owned(), "'to' is missing".to_owned()),
            (format!(r#"{{"type":"offer","sdp":"","to":"{me}"}}"#), format!("no peer '{me}'")),
            (r#"{"type":"offer","sdp":"","to":"a\nb"}"#.to_owned(), "no peer 'a\nb'".to_owned()),
            (format!(r#"{{"type":"{}"}}"#, "x".repeat(9000)), format!("'{}'", "x".repeat(40))),
            // Numbers that are longer when they are written out.
            (
                format!(r#"{{"type":"candidate","to":"{you}","candidate":[{}1]}}"#, "1e15,".repeat(5000)),
                "too large".to_owned(),
            ),
        ] {
            let said = one.refused(message.as_str()).await;
            assert!(said.contains(&reason), "{message:.80}: {said}");
        }
        // All of that reached nobody, and was no reason to part.
        one.send(json!({"type": "offer", "to": you, "sdp": "x"}).to_string()).await;
        assert_eq!(other.json().await["sdp"], "x");
        // Whoever was refused may come in once there is room.
        other.leave().await;
        assert_eq!(one.json().await["type"], "peer-left");
        alone.send(JOIN).await;
        assert_eq!(alone.json().await["peers"], json!([me]));
    });
}

#[test]
fn signaling_has_rooms_for_64_at_once_and_any_number_one_after_the_other() {
    run(async {
        let signaling = Program::start("signaling", &[]).await;
        let join = |n: usize| json!({"type": "join", "room": format!("room {n}")}).to_string();
        // Of each a message stays in the hub, of more rooms than a hub has topics by default.
        for n in 0..400 {
            let (mut one, mut other) = (signaling.socket("/").await, signaling.socket("/").await);
            one.send(join(n)).await;
            assert_eq!(one.json().await["type"], "joined");
            other.send(join(n)).await;
            assert_eq!(other.json().await["type"], "joined");
            one.leave().await;
            other.leave().await;
        }
        let mut rooms = Vec::new();
        for n in 0..64 {
            let mut socket = signaling.socket("/").await;
            socket.send(join(n)).await;
            let joined = socket.json().await;
            assert_eq!(joined["type"], "joined", "{joined}");
            rooms.push(socket);
        }
        let mut late = signaling.socket("/").await;
        assert_eq!(late.refused(join(64)).await, "all 64 rooms are taken, try later");
        rooms.remove(0).leave().await;
        late.send(join(64)).await;
        assert_eq!(late.json().await["type"], "joined");
    });
}

#[test]
fn none_of_them_panics_on_noise() {
    run(async {
        for name in EXAMPLES {
            let mut child = example(name).args(["--port", "0"]).spawn().expect("it starts");
            let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
            let url = lines.next().await.expect("a line").expect("text");
            let at = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
            for noise in [&b"\x16\x03\x01\x02\0\x01"[..], b"GET / HTTP/1.1\r\n\r\n", b"\0", b"GET /\r\n"] {
                let mut client = Client::new(TcpStream::connect(&at).await.expect("connected"));
                client.send(noise).await;
                client.finish().await;
                client.rest().await;
            }
            child.kill().expect("killed");
            let mut said = String::new();
            child.stderr.take().expect("piped").read_to_string(&mut said).await.expect("text");
            assert_eq!(said, "", "{name}");
        }
    });
}
