//! A plain client, and one reader for each transport that says what it got in the same words.

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::{Message, protocol::Role};
use serde_json::Value;
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use smol::stream::StreamExt;

/// A connection as a client sees it.
pub struct Client<S> {
    pub stream: S,
    /// What came and was not looked at.
    pub input: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// A field of the head.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn new(stream: S) -> Client<S> {
        Client { stream, input: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the server reads");
        self.stream.flush().await.expect("the server reads");
    }

    /// Ends our half.
    pub async fn finish(&mut self) {
        self.stream.close().await.expect("half-close");
    }

    /// Sends a GET without further fields.
    pub async fn get(&mut self, target: &str, fields: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
        self.answer().await
    }

    /// Reads more; false at the end.
    pub async fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let n = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.input.extend_from_slice(&buffer[..n]);
        n > 0
    }

    /// Reads to the end of the connection; whether it ends cleanly or not is all the same.
    pub async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.input)).into_owned()
    }

    /// Reads up to and with `end`.
    pub async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.input.windows(end.len()).position(|w| w == end.as_bytes()) {
                let text = self.input.drain(..at + end.len()).collect();
                return String::from_utf8(text).expect("text");
            }
            let seen = String::from_utf8_lossy(&self.input).into_owned();
            assert!(self.more().await, "no {end:?} in {seen:?}");
        }
    }

    /// Reads one answer, by its length, its chunks or to the end.
    pub async fn answer(&mut self) -> Answer {
        let head = self.until("\r\n\r\n").await;
        let status = head[9..12].parse().expect("a status");
        let mut answer = Answer { status, head, body: String::new() };
        if status < 200 || status == 204 || status == 304 {
            return answer;
        }
        if answer.field("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk().await {
                answer.body += &chunk;
            }
        } else if let Some(length) =
            answer.field("content-length").map(|n| n.parse::<usize>().expect("a number"))
        {
            while self.input.len() < length {
                assert!(self.more().await, "the body is cut off: {answer:?}");
            }
            answer.body = String::from_utf8(self.input.drain(..length).collect()).expect("text");
        } else {
            answer.body = self.rest().await;
        }
        answer
    }

    /// Reads one chunk; `None` at the last.
    pub async fn chunk(&mut self) -> Option<String> {
        let size = self.until("\r\n").await;
        let size = usize::from_str_radix(size.trim_end(), 16).expect("a chunk size");
        while self.input.len() < size + 2 {
            assert!(self.more().await, "the chunk is cut off");
        }
        let chunk: Vec<u8> = self.input.drain(..size + 2).collect();
        (size > 0).then(|| String::from_utf8(chunk[..size].to_vec()).expect("text"))
    }

    /// Upgrades to WebSocket.
    pub async fn upgrade(mut self, target: &str) -> WebSocketStream<S> {
        self.send(format!(
            "GET {target} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ))
        .await;
        let answer = self.answer().await;
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        WebSocketStream::from_partially_read(self.stream, self.input, Role::Client, None).await
    }
}

/// What a reader of any transport gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tiding {
    /// A cursor without a message.
    Cursor(String),
    Message {
        id: String,
        data: String,
    },
    /// A gap: up to where something may be missing, and the cursor to go on from.
    Gap {
        until: String,
        next: String,
    },
    /// A topic has ended, for this reason.
    Done {
        topic: String,
        reason: String,
    },
    /// The end, with what was said of it.
    End(String),
}

/// The transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Poll,
    LongPoll,
    Sse,
    WebSocket,
}

pub const ALL: [Transport; 4] = [Transport::Poll, Transport::LongPoll, Transport::Sse, Transport::WebSocket];

/// A reader by one transport.
pub enum Reader<S> {
    Poll { client: Client<S>, target: String, after: Option<String>, ready: Vec<Tiding> },
    Sse { client: Client<S>, ready: Vec<Tiding>, text: String },
    WebSocket(Box<WebSocketStream<S>>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Reader<S> {
    /// Begins to read behind a cursor, on the path of a transport.
    pub async fn open(stream: S, transport: Transport, after: Option<&str>) -> Reader<S> {
        let path = match transport {
            Transport::Poll => "/poll",
            Transport::LongPoll => "/wait",
            Transport::Sse => "/events",
            Transport::WebSocket => "/ws",
        };
        Reader::begin(stream, transport, path.to_owned(), after).await
    }

    /// The same on a path of all transports, of topics of one's choice.
    pub async fn any(
        stream: S,
        transport: Transport,
        path: &str,
        topics: &[&str],
        after: Option<&str>,
    ) -> Reader<S> {
        let topics: String = topics.iter().map(|topic| format!("&topic={topic}")).collect();
        let wait = if transport == Transport::LongPoll { 1 } else { 0 };
        Reader::begin(stream, transport, format!("{path}?wait={wait}{topics}"), after).await
    }

    async fn begin(stream: S, transport: Transport, target: String, after: Option<&str>) -> Reader<S> {
        let mut client = Client::new(stream);
        let (after, ready) = (after.map(str::to_owned), Vec::new());
        match transport {
            Transport::Poll | Transport::LongPoll => Reader::Poll { client, target, after, ready },
            Transport::Sse => {
                let mut fields = "Accept: text/event-stream\r\n".to_owned();
                fields += &after.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
                client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
                let head = client.until("\r\n\r\n").await;
                let text = String::new();
                if head.starts_with("HTTP/1.1 204") {
                    return Reader::Sse { client, ready: vec![Tiding::End("204".to_owned())], text };
                }
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                Reader::Sse { client, ready, text }
            }
            Transport::WebSocket => {
                Reader::WebSocket(Box::new(client.upgrade(&behind(&target, after.as_deref())).await))
            }
        }
    }

    /// The next thing that comes.
    pub async fn next(&mut self) -> Tiding {
        loop {
            match self {
                Reader::Poll { client, target, after, ready } => {
                    if !ready.is_empty() {
                        return ready.remove(0);
                    }
                    let answer = client.get(&behind(target, after.as_deref()), "").await;
                    let reason = answer.field("tidings-reason").filter(|reason| *reason != "timeout");
                    // An answer with messages says it in its body alone.
                    let done = (answer.status == 200 && answer.json()["done"] == true).then_some("done");
                    let end = reason.or(done).map(|reason| Tiding::End(reason.to_owned()));
                    if answer.status == 503 {
                        return end.expect("a reason");
                    }
                    *ready = tidings_of(&answer.json());
                    *after = Some(answer.json()["next"].as_str().expect("a cursor").to_owned());
                    ready.extend(end);
                }
                Reader::Sse { client, ready, text } => {
                    if !ready.is_empty() {
                        return ready.remove(0);
                    }
                    match client.chunk().await {
                        Some(chunk) => *text += &chunk,
                        None => return Tiding::End(text.trim_matches([':', ' ', '\n']).to_owned()),
                    }
                    while let Some((event, rest)) = text.split_once("\n\n") {
                        ready.extend(event_tiding(event));
                        let rest = rest.to_owned();
                        if rest.is_empty() && event.starts_with(':') {
                            // A last word stays to be told with the end.
                            break;
                        }
                        *text = rest;
                    }
                }
                Reader::WebSocket(socket) => match socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return frame_tiding(&serde_json::from_str(text.as_str()).expect("JSON"));
                    }
                    Some(Ok(Message::Close(Some(frame)))) => return Tiding::End(frame.reason.to_string()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Tiding::End(String::new()),
                },
            }
        }
    }

    /// The next message or gap, past cursors.
    pub async fn message(&mut self) -> Tiding {
        loop {
            match self.next().await {
                Tiding::Cursor(_) => {}
                tiding => return tiding,
            }
        }
    }
}

/// A target with a cursor.
fn behind(target: &str, after: Option<&str>) -> String {
    let mark = if target.contains('?') { '&' } else { '?' };
    after.map_or(target.to_owned(), |id| format!("{target}{mark}after={id}"))
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn frame_tiding(json: &Value) -> Tiding {
    if json["gap"] == true {
        return Tiding::Gap { until: text(&json["until"]), next: text(&json["next"]) };
    }
    if json["done"] == true {
        return Tiding::Done { topic: text(&json["topic"]), reason: text(&json["reason"]) };
    }
    match json.get("data") {
        Some(data) => Tiding::Message { id: text(&json["id"]), data: text(data) },
        None => Tiding::Cursor(text(&json["next"])),
    }
}

/// What an answer of a poll says.
fn tidings_of(json: &Value) -> Vec<Tiding> {
    let messages = json["messages"].as_array().expect("messages");
    let gap = || Tiding::Gap { until: text(&json["until"]), next: text(&json["next"]) };
    let gap = (json["gap"] == true).then(gap);
    let cursor = messages.is_empty().then(|| Tiding::Cursor(text(&json["next"])));
    gap.into_iter().chain(messages.iter().map(frame_tiding)).chain(cursor).collect()
}

/// What an event says, as an EventSource reads it.
fn event_tiding(event: &str) -> Option<Tiding> {
    let field = |name: &str| {
        let lines: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix(name)).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    };
    let id = field("id: ")?;
    match (field("data: "), field("event: ").as_deref()) {
        (Some(data), Some("gap" | "done")) => Some(frame_tiding(&serde_json::from_str(&data).expect("JSON"))),
        (Some(data), _) => Some(Tiding::Message { id, data }),
        (None, _) => Some(Tiding::Cursor(id)),
    }
}
