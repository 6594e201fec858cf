//! An answer that comes piece by piece, as those of language models do (this one is made up). It is a topic that begins
//! and ends: it goes on without its reader, and who comes late or comes back gets all of it. The page types it out.
//!
//!     cargo run --release --example ai_stream            # then open http://127.0.0.1:3000/
//!     cargo run --release --example ai_stream -- --help  # its options
//!     curl -i -N -d '{"content":"Why is the sky blue?"}' http://127.0.0.1:3000/chat  # `Location` names the answer
//!     curl -N http://127.0.0.1:3000/chat/ID              # its events from the start, or behind a `Last-Event-ID`
//!     curl -X POST http://127.0.0.1:3000/chat/ID/stop    # stops it for all who read it
//!     curl -N http://127.0.0.1:3000/sse                  # an answer without a name, by events of JSON strings
//!
//! An EventSource comes back after any end unless it is closed, as our page does on `done`. It says in `Last-Event-ID`
//! what it has: one that was cut off gets the rest, one that has all is told 204, upon which it stays away for good.

#[path = "ai_stream/played.rs"]
mod played;

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use serde_json::Value;
use smol::{Async, Timer};
use tidings::{Error, Exchange, Hub, Id, Limits, Producer, Response, Server, Wait, transport};

use self::played::{head, pieces, play};

const FIELDS: &str = "Content-Type, Cache-Control, If-None-Match, Last-Event-ID";
const PAGE: &str = include_str!("pages/ai_stream.html");
const ANSWER: &str = include_str!("pages/ai_stream.md");
/// Characters of a piece.
const PIECE: usize = 5;
/// Who follows an answer gets it from its start, and 404 if there is none of that name.
const ANSWERS: transport::Options = transport::Options::DEFAULT.start(Id::EARLIEST).must_exist();
/// Bytes that an answer may take with its question.
const KEPT: usize = 64 * 1024;

#[derive(Parser)]
struct Options {
    /// The port, 0 for any that is free.
    #[arg(long, env, default_value_t = 3000)]
    port: u16,
    /// The time between two pieces of `/sse`.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    every: Duration,
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// The question in a body, or what is wrong with it.
fn question(body: &[u8]) -> Result<String, String> {
    let json: Value = serde_json::from_slice(body).map_err(|error| {
        let lines = body.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
        let byte = lines.map(<[u8]>::len).sum::<usize>() + error.column();
        format!("the body is not JSON, at byte {byte}: {error}\n")
    })?;
    let content = json.get("content").and_then(Value::as_str).filter(|content| !content.trim().is_empty());
    Ok(content.ok_or("the body is to be {\"content\":\"a question\"}\n")?.to_owned())
}

/// Begins an answer, and streams it as text.
async fn chat(mut ex: Exchange<'_>, hub: &Hub, every: Duration) -> tidings::Result<()> {
    let question = match question(&ex.body().await?) {
        Ok(question) => question,
        Err(what) => return ex.reply(Response::text(what).with_status(400)).await,
    };
    if !ex.hold() {
        return Err(Error::Full);
    }
    // Nobody guesses it. Who knows it may read the answer, and stop it.
    let id = format!("{:016x}", RandomState::new().hash_one(()));
    let answer = hub.begin_with(&id, &hub.bounds().keep_all(KEPT))?;
    let mut news = hub.follow(&[&id], Some(Id::EARLIEST))?;
    // A task of its own: when this client leaves it goes on for others, or for the same one when it is back.
    smol::spawn(write(answer, question, every)).detach();
    let head = head("text/plain; charset=utf-8").header("Location", format!("/chat/{id}"));
    let mut stream = ex.stream(head).await?;
    while let Wait::Ready(Some(batch)) = stream.wait(news.next(), Duration::MAX).await? {
        for message in batch.messages.iter().filter(|message| !message.is_end()) {
            stream.write(message.data().as_bytes()).await?;
        }
    }
    stream.finish().await
}

/// Writes an answer until it is whole, or somebody stops it.
async fn write(answer: Producer, question: String, every: Duration) -> tidings::Result<Id> {
    answer.send(format!("You ask: {question}\n\n"))?;
    for piece in pieces(ANSWER, PIECE) {
        answer.send(piece)?;
        let stopped = async { (answer.stopped().await, true).1 };
        let paused = async { (Timer::after(every).await, false).1 };
        if smol::future::or(stopped, paused).await {
            return answer.finish_with("stopped");
        }
    }
    answer.finish()
}

/// Tells the producer of an answer to stop, unless it has ended.
fn stop(hub: &Hub, id: &str) -> Response {
    match hub.topic(id) {
        Some(_) if hub.stop(id) => Response::text("it stops\n"),
        Some(_) => Response::text("it has ended\n"),
        None => Response::text("there is no such answer\n").with_status(404),
    }
}

async fn app(hub: &Hub, every: Duration, mut ex: Exchange<'_>) -> tidings::Result<()> {
    // Pages from anywhere may read the answer, and its name.
    ex.add_header("Access-Control-Allow-Origin", "*")?;
    ex.add_header("Access-Control-Expose-Headers", "Location")?;
    let path = ex.path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let refused = |allow| Response::text("method not allowed\n").with_status(405).header("Allow", allow);
    let answer = match (ex.method(), &*parts) {
        ("GET" | "HEAD", [""]) => Response::html(PAGE),
        ("GET" | "HEAD", ["sse"]) => return play(ex, ANSWER, every).await,
        ("POST", ["chat"]) => return chat(ex, hub, every / 10).await,
        ("GET" | "HEAD", ["chat", id]) => return ANSWERS.sse(ex, hub, &[id]).await,
        ("POST", ["chat", id, "stop"]) => stop(hub, id),
        // A browser asks so before a page from elsewhere may send JSON, or one of these fields.
        ("OPTIONS", _) => Response::new(204).header("Access-Control-Allow-Headers", FIELDS),
        (_, ["" | "sse"] | ["chat", _]) => refused("GET, HEAD, OPTIONS"),
        (_, ["chat"] | ["chat", _, "stop"]) => refused("POST, OPTIONS"),
        _ => Response::text("there is nothing here, see /\n").with_status(404),
    };
    ex.reply(answer.header("Cache-Control", "no-store")).await
}

fn main() -> anyhow::Result<()> {
    let Options { port, every } = Options::parse();
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}; try another --port"))?;
    let mut limits = Limits::DEFAULT;
    // A question is short. It is one message, in which line ends may take a few bytes each.
    (limits.body, limits.published) = (16 * 1024, KEPT);
    // Each answer is kept whole, and for a while behind its end.
    (limits.history_bytes, limits.topic_age) = (limits.topics * KEPT, Some(Duration::from_secs(600)));
    let (server, hub) = (Server::new(limits.clone()), Hub::new(&limits));
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    Ok(smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(&hub, every, ex).await))?)
}
