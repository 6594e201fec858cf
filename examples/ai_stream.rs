//! An answer that comes piece by piece, as those of language models do (this one is made up): by Server-Sent Events,
//! and as the answer to a POST. The page types it out.
//!
//!     cargo run --release --example ai_stream            # --port N or PORT, --every SECONDS (default 1)
//!     curl -N http://127.0.0.1:3000/sse
//!     curl -N -d '{"content":"Why is the sky blue?"}' http://127.0.0.1:3000/chat
//!
//! `/sse` sends a JSON string every second, so that a piece may have line breaks, then `event: done` and the end. An
//! EventSource comes back after any end unless it is closed, so our page closes it on `done`. One that comes back all
//! the same says in `Last-Event-ID` what it has: behind the last piece it is told 204, upon which it stays away for
//! good, and one that was cut off gets the rest and nothing twice.
//!
//! `/chat` takes `{"content":…}` and streams plain text, ten smaller pieces in the time of one. When the client aborts
//! its `fetch`, the server stops as well and logs a line. Pages of other origins may ask both (CORS).

use std::fmt::Display;
use std::future::pending;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use smol::Async;
use tidings::{Error, Event, Exchange, Limits, Response, Server, Wait};

const PAGE: &str = include_str!("pages/ai_stream.html");
const ANSWER: &str = include_str!("pages/ai_stream.md");
/// Characters of a piece from `/sse`, and of one from `/chat`.
const PIECE: (usize, usize) = (26, 5);

/// Cuts text after every so many characters, wherever that is.
fn pieces(mut text: &str, length: usize) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let end = text.char_indices().nth(length).map_or(text.len(), |(at, _)| at);
        let (piece, rest) = text.split_at(end);
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Lets pages from anywhere read the answer, and proxies pass it on as it comes.
fn open(answer: Response) -> Response {
    let answer = answer.header("Access-Control-Allow-Origin", "*").header("X-Accel-Buffering", "no");
    answer.header("Cache-Control", "no-store, no-transform")
}

async fn sse(mut ex: Exchange<'_>, every: Duration) -> tidings::Result<()> {
    // An id that is not ours is as good as none.
    let has: usize = ex.head().header("last-event-id").and_then(|id| id.parse().ok()).unwrap_or(0);
    if has >= pieces(ANSWER, PIECE.0).count() {
        return ex.reply(open(Response::new(204))).await;
    }
    let (held, retry) = (ex.method() != "HEAD" && ex.hold(), ex.server().draw_retry());
    let mut stream = ex.stream(open(Response::new(200)).header("Content-Type", "text/event-stream")).await?;
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
        Err(what) => return ex.reply(open(Response::text(what).with_status(400))).await,
    };
    if !ex.hold() {
        return Err(Error::Full);
    }
    let kind = "text/plain; charset=utf-8";
    let mut stream = ex.stream(open(Response::new(200)).header("Content-Type", kind)).await?;
    for (n, piece) in (1..).zip(pieces(&text, PIECE.1)) {
        // A client that has gone is noticed while we wait, or by a write that fails.
        let written = stream.write(piece.as_bytes()).await;
        if written.is_err() || stream.wait(pending::<()>(), every).await? != Wait::Elapsed {
            log(format_args!(
                "/chat: the client left after {n} of {} pieces",
                pieces(&text, PIECE.1).count()
            ));
            return Ok(());
        }
    }
    stream.finish().await
}

async fn app(ex: Exchange<'_>, every: Duration) -> tidings::Result<()> {
    match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/") => ex.reply(Response::html(PAGE).header("Cache-Control", "no-store")).await,
        ("GET" | "HEAD", "/sse") => sse(ex, every).await,
        ("POST", "/chat") => chat(ex, every / 10).await,
        (_, "/") => ex.reply(Response::new(405).header("Allow", "GET, HEAD")).await,
        (_, "/sse") => other(ex, "GET, HEAD, OPTIONS").await,
        (_, "/chat") => other(ex, "POST, OPTIONS").await,
        _ => ex.reply(Response::text("there is nothing here, see /\n").with_status(404)).await,
    }
}

/// A browser asks by OPTIONS before it sends JSON to another origin. Any other method is not allowed.
async fn other(ex: Exchange<'_>, allow: &'static str) -> tidings::Result<()> {
    let answer = Response::new(if ex.method() == "OPTIONS" { 204 } else { 405 }).header("Allow", allow);
    let answer = answer.header("Access-Control-Allow-Methods", allow);
    ex.reply(open(answer).header("Access-Control-Allow-Headers", "Content-Type, Last-Event-ID")).await
}

/// Nobody may be reading it any more, which is no reason to stop.
fn log(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

async fn run(port: u16, every: Duration) -> io::Result<()> {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let cannot = |error| io::Error::other(format!("cannot listen on {at}: {error}; try another --port"));
    let listener = Async::<TcpListener>::bind(at).map_err(cannot)?;
    let mut limits = Limits::DEFAULT;
    // A question is short.
    limits.body = 16 * 1024;
    log(format_args!("http://{}/", listener.get_ref().local_addr()?));
    Server::new(limits).serve(listener, &async |ex: Exchange<'_>| app(ex, every).await).await
}

/// The port, and the time between two pieces.
fn parse() -> Result<(u16, Duration), String> {
    let port = std::env::var_os("PORT").filter(|port| !port.is_empty()).unwrap_or("3000".into());
    let (mut port, mut every) = (port.to_string_lossy().into_owned(), "1".to_owned());
    let mut args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--port" => port = args.next().unwrap_or_default(),
            "--every" => every = args.next().unwrap_or_default(),
            _ => return Err(format!("'{arg}'? usage: ai_stream [--port N] [--every SECONDS]")),
        }
    }
    let port = port.parse().map_err(|_| format!("the port is a number from 0 to 65535, not '{port}'"))?;
    let seconds = every.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok((port, seconds.ok_or(format!("--every takes seconds, not '{every}'"))?))
}

fn main() -> ExitCode {
    let (code, error) = match parse().map(|(port, every)| smol::block_on(run(port, every))) {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(error)) => (1, error.to_string()),
        Err(what) => (2, what),
    };
    let _ = writeln!(io::stderr(), "ai_stream: {error}");
    ExitCode::from(code)
}
