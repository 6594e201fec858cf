//! An answer that comes piece by piece, as those of language models do (this one is made up): by Server-Sent Events,
//! and as the answer to a POST. The page types it out.
//!
//!     cargo run --release --example ai_stream            # then open http://127.0.0.1:3000/
//!     cargo run --release --example ai_stream -- --help  # its options
//!     curl -N http://127.0.0.1:3000/sse
//!     curl -N -d '{"content":"Why is the sky blue?"}' http://127.0.0.1:3000/chat
//!
//! `/sse` sends a JSON string every second, so that a piece may have line breaks, then `event: done` and the end. An
//! EventSource comes back after any end unless it is closed, as our page does on `done`. It says in `Last-Event-ID`
//! what it has: one that was cut off gets the rest, one that has all is told 204, upon which it stays away for good.
//!
//! `/chat` takes `{"content":…}` and streams plain text, ten smaller pieces in the time of one. When the client aborts
//! its `fetch`, the server stops as well and logs a line.

use std::future::pending;
use std::io::{self, Write};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use serde_json::Value;
use smol::Async;
use tidings::{Error, Event, Exchange, Limits, Response, Server, Wait};

const FIELDS: &str = "Content-Type, Cache-Control, If-None-Match, Last-Event-ID";
const PAGE: &str = include_str!("pages/ai_stream.html");
const ANSWER: &str = include_str!("pages/ai_stream.md");
/// Characters of a piece from `/sse`, and of one from `/chat`.
const PIECE: (usize, usize) = (26, 5);

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

/// Cuts text after every so many characters, wherever that is.
fn pieces(text: &str, length: usize) -> impl Iterator<Item = String> {
    let mut rest = text.chars();
    let next = move || rest.by_ref().take(length).collect::<String>();
    std::iter::repeat_with(next).take_while(|piece| !piece.is_empty())
}

/// The head of a stream, which proxies pass on as it comes.
fn head(kind: &'static str) -> Response {
    let head = Response::new(200).header("Content-Type", kind).header("X-Accel-Buffering", "no");
    head.header("Cache-Control", "no-store, no-transform")
}

async fn sse(mut ex: Exchange<'_>, every: Duration) -> tidings::Result<()> {
    // An id that is not ours is as good as none.
    let has: usize = ex.head().header("last-event-id").and_then(|id| id.parse().ok()).unwrap_or(0);
    if has >= pieces(ANSWER, PIECE.0).count() {
        return ex.reply(Response::new(204)).await;
    }
    let (held, retry) = (ex.method() != "HEAD" && ex.hold(), ex.server().draw_retry());
    let mut stream = ex.stream(head("text/event-stream")).await?;
    stream.event(&Event::new().retry(retry.as_millis() as u64)).await?;
    if !held {
        // Where too many are held: after a 503 an EventSource would never come back, so it does after `retry:`.
        return stream.finish().await;
    }
    for (n, piece) in (1..).zip(pieces(ANSWER, PIECE.0)).skip(has) {
        stream.event(&Event::data(&Value::from(piece).to_string()).id(&n.to_string())).await?;
        if stream.wait(pending::<()>(), every).await? != Wait::Elapsed {
            return Ok(());
        }
    }
    stream.event(&Event::data("[DONE]").name("done")).await?;
    stream.finish().await
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

async fn chat(mut ex: Exchange<'_>, every: Duration) -> tidings::Result<()> {
    let text = match question(&ex.body().await?) {
        Ok(question) => format!("You ask: {question}\n\n{ANSWER}"),
        Err(what) => return ex.reply(Response::text(what).with_status(400)).await,
    };
    if !ex.hold() {
        return Err(Error::Full);
    }
    let mut stream = ex.stream(head("text/plain; charset=utf-8")).await?;
    for (n, piece) in (1..).zip(pieces(&text, PIECE.1)) {
        // A client that has gone is noticed while we wait, or by a write that fails.
        let written = stream.write(piece.as_bytes()).await;
        if written.is_err() || stream.wait(pending::<()>(), every).await? != Wait::Elapsed {
            let all = pieces(&text, PIECE.1).count();
            // Nobody may be reading it any more, which is no reason to stop.
            let _ = writeln!(io::stdout(), "/chat: the client left after {n} of {all} pieces");
            return Ok(());
        }
    }
    stream.finish().await
}

async fn app(mut ex: Exchange<'_>, every: Duration) -> tidings::Result<()> {
    // Pages from anywhere may read the answer.
    ex.add_header("Access-Control-Allow-Origin", "*")?;
    let refused = |allow| Response::text("method not allowed\n").with_status(405).header("Allow", allow);
    let answer = match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/") => Response::html(PAGE),
        ("GET" | "HEAD", "/sse") => return sse(ex, every).await,
        ("POST", "/chat") => return chat(ex, every / 10).await,
        // A browser asks so before a page from elsewhere may send JSON, or one of these fields.
        ("OPTIONS", _) => Response::new(204).header("Access-Control-Allow-Headers", FIELDS),
        (_, "/" | "/sse") => refused("GET, HEAD, OPTIONS"),
        (_, "/chat") => refused("POST, OPTIONS"),
        _ => Response::text("there is nothing here, see /\n").with_status(404),
    };
    ex.reply(answer.header("Cache-Control", "no-store")).await
}

fn main() -> anyhow::Result<()> {
    let Options { port, every } = Options::parse();
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}; try another --port"))?;
    let mut limits = Limits::DEFAULT;
    // A question is short.
    limits.body = 16 * 1024;
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    Ok(smol::block_on(Server::new(limits).serve(listener, &async |ex: Exchange<'_>| app(ex, every).await))?)
}
