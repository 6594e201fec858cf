//! Short polling as the tutorials show it: a client asks every few seconds, and is answered at once.
//!
//!     cargo run --example short_poll              # then open http://127.0.0.1:3000/
//!     cargo run --example short_poll -- --help    # its options
//!     curl http://127.0.0.1:3000/time             # 2026-01-31T12:00:00.000Z
//!     curl http://127.0.0.1:3000/api/status       # {"status":"pending"}, later another
//!     curl -i http://127.0.0.1:3000/update        # JSON with an ETag; every 5 seconds there is another
//!     curl -i http://127.0.0.1:3000/update -H 'If-None-Match: "ID"'     # 304 while it is still that one

use std::io::{self, Write};
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Parser;
use smol::Async;
use tidings::{Error, Exchange, Hub, Id, Limits, Message, Response, Server};

const PAGE: &str = include_str!("pages/short_poll.html");
const FIELDS: &str = "Content-Type, Cache-Control, If-None-Match, Last-Event-ID";

#[derive(Parser)]
struct Options {
    /// The port, 0 for any that is free.
    #[arg(long, env, default_value_t = 3000)]
    port: u16,
    /// How often there is something new, 0.01 or more.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    every: Duration,
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let time = text.parse().ok().filter(|seconds| (0.01..=1e9).contains(seconds));
    time.map(Duration::from_secs_f64).ok_or("it is to be 0.01 to 1e9")
}

async fn app(hub: &Hub, mut ex: Exchange<'_>) -> tidings::Result<()> {
    // Lets pages from elsewhere read the answer: a tutorial's front end has a server of its own, or none. `*` is safe,
    // as everybody is told the same, and a browser takes it only for requests without cookies.
    ex.add_header("Access-Control-Allow-Origin", "*")?;
    ex.add_header("Access-Control-Expose-Headers", "ETag")?;
    let answer = match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/") => Response::html(PAGE),
        ("GET" | "HEAD", "/time") => Response::text(now()),
        ("GET" | "HEAD", "/api/status") => return newest(ex, hub, "status").await,
        ("GET" | "HEAD", "/update") => return newest(ex, hub, "update").await,
        // A browser asks so before a page from elsewhere may send a field of its own.
        ("OPTIONS", _) => Response::new(204).header("Access-Control-Allow-Headers", FIELDS),
        (_, "/" | "/time" | "/api/status" | "/update") => {
            Response::text("method not allowed\n").with_status(405).header("Allow", "GET, HEAD, OPTIONS")
        }
        _ => Response::text("there is nothing here, see /\n").with_status(404),
    };
    ex.reply(answer.header("Cache-Control", "no-store")).await
}

/// Answers with the newest message of a topic, or with 304 if that is the one that the client has.
async fn newest(ex: Exchange<'_>, hub: &Hub, topic: &str) -> tidings::Result<()> {
    // In its first moment the server has to wait for one.
    let batch = hub.subscribe(&[topic], Some(Id::EARLIEST))?.next().await;
    let message = batch.iter().flat_map(|batch| &batch.messages).next_back().ok_or(Error::Closed)?;
    let etag = format!("\"{}\"", message.id());
    let fields = ex.head().headers().filter(|(name, _)| name.eq_ignore_ascii_case("If-None-Match"));
    let has_it = fields.flat_map(|(_, tags)| tags.split(|byte| *byte == b',')).any(|tag| {
        let tag = tag.trim_ascii();
        tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes()
    });
    let answer = if has_it { Response::new(304) } else { Response::json(message.data()) };
    // `no-cache`: a browser keeps the answer, and asks by its ETag whether it still holds.
    ex.reply(answer.header("Cache-Control", "no-cache").header("ETag", etag)).await
}

/// Has something new now and then, whoever asks and how often. With a key, as only the newest is of use.
async fn work(hub: Hub, every: Duration) -> tidings::Result<()> {
    for (count, status) in ["pending", "processing", "completed"].into_iter().cycle().enumerate() {
        let update = format!(r#"{{"update":{count},"message":"Update {count}","time":"{}"}}"#, now());
        hub.send(Message::new("update", update).key("newest"))?;
        hub.send(Message::new("status", format!(r#"{{"status":"{status}"}}"#)).key("newest"))?;
        smol::Timer::after(every).await;
    }
    Ok(())
}

fn now() -> impl std::fmt::Display {
    humantime::format_rfc3339_millis(SystemTime::now())
}

fn main() -> anyhow::Result<()> {
    let Options { port, every } = Options::parse();
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}; try another --port"))?;
    let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
    let _work = smol::spawn(work(hub.clone(), every));
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    Ok(smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(&hub, ex).await))?)
}
