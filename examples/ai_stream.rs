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

use std::env;
use std::future::pending;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::exit;
use std::time::Duration;

use serde_json::Value;
use smol::Async;
use tidings::{Error, Event, Exchange, Limits, Response, Server, Wait};

const USAGE: &str = "usage: [PORT=N] ai_stream [--port N] [--every SECONDS]\n\
    N is 0 to 65535, 0 for any port that is free";
/// What pages from elsewhere may send.
const FIELDS: &str = "Content-Type, Cache-Control, If-None-Match, Last-Event-ID";
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
        // A browser asks so before a page from elsewhere may send JSON, or a field of its own.
        ("OPTIONS", _) => Response::new(204).header("Access-Control-Allow-Headers", FIELDS),
        (_, "/" | "/sse") => refused("GET, HEAD, OPTIONS"),
        (_, "/chat") => refused("POST, OPTIONS"),
        _ => Response::text("there is nothing here, see /\n").with_status(404),
    };
    ex.reply(answer.header("Cache-Control", "no-store")).await
}

async fn run(port: u16, every: Duration) -> io::Result<()> {
    let cannot =
        |error| io::Error::other(format!("cannot listen on 127.0.0.1:{port}: {error}; try another --port"));
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port)).map_err(cannot)?;
    let mut limits = Limits::DEFAULT;
    // A question is short.
    limits.body = 16 * 1024;
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    Server::new(limits).serve(listener, &async |ex: Exchange<'_>| app(ex, every).await).await
}

/// The port, and the time between two pieces; or what is wrong with the command line.
fn options() -> Result<(u16, Duration), String> {
    let port = env::var("PORT").ok().filter(|port| !port.is_empty()).unwrap_or("3000".into());
    let mut options = [("--port", port), ("--every", "1".into())];
    let mut args = env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    while let Some(name) = args.next() {
        let option = options.iter_mut().find(|option| option.0 == name).ok_or(name)?;
        option.1 = args.next().unwrap_or_default();
    }
    let [port, every] = options.map(|option| option.1);
    Ok((port.parse().map_err(|_| port)?, seconds(every)?))
}

fn seconds(text: String) -> Result<Duration, String> {
    let time = text.parse().ok().filter(|seconds| (0.0..=1e9).contains(seconds));
    time.map(Duration::from_secs_f64).ok_or(text)
}

fn main() {
    let (code, said) = match options().map(|(port, every)| smol::block_on(run(port, every))) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => (1, error.to_string()),
        Err(wrong) if wrong == "--help" => return println!("{USAGE}"),
        Err(wrong) => (2, format!("wrong argument '{wrong}'\n{USAGE}")),
    };
    eprintln!("ai_stream: {said}");
    exit(code)
}
