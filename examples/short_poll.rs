//! Short polling as the tutorials show it: a client asks every few seconds, and is answered at once.
//!
//!     cargo run --example short_poll              # then open http://127.0.0.1:3000/
//!     curl http://127.0.0.1:3000/time             # 2026-01-31T12:00:00.000Z
//!     curl http://127.0.0.1:3000/api/status       # {"status":"pending"}, later another
//!     curl -i http://127.0.0.1:3000/update        # JSON with an ETag; every 5 seconds there is another
//!     curl -i http://127.0.0.1:3000/update -H 'If-None-Match: "ID"'     # 304 while it is still that one
//!
//! `--port N` or `PORT=N` sets the port, 0 for any that is free; `--every SECONDS` the time for each update.

use std::env;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::exit;
use std::time::{Duration, SystemTime};

use smol::Async;
use tidings::{Error, Exchange, Hub, Id, Limits, Message, Response, Server};

const PAGE: &str = include_str!("pages/short_poll.html");
const USAGE: &str = "usage: [PORT=N] short_poll [--port N] [--every SECONDS]\n\
    N is 0 to 65535, 0 for any port that is free; SECONDS is 0.01 or more";
/// What pages from elsewhere may send.
const FIELDS: &str = "Content-Type, Cache-Control, If-None-Match, Last-Event-ID";

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

async fn run(port: u16, every: Duration) -> io::Result<()> {
    let cannot =
        |error| io::Error::other(format!("cannot listen on 127.0.0.1:{port}: {error}; try another --port"));
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port)).map_err(cannot)?;
    let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
    let _work = smol::spawn(work(hub.clone(), every));
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    server.serve(listener, &async |ex: Exchange<'_>| app(&hub, ex).await).await
}

/// The port, and how often there is something new; or what is wrong with the command line.
fn options() -> Result<(u16, Duration), String> {
    let port = env::var("PORT").ok().filter(|port| !port.is_empty()).unwrap_or("3000".into());
    let mut options = [("--port", port), ("--every", "5".into())];
    let mut args = env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    while let Some(name) = args.next() {
        let option = options.iter_mut().find(|option| option.0 == name).ok_or(name)?;
        option.1 = args.next().unwrap_or_default();
    }
    let [port, every] = options.map(|option| option.1);
    Ok((port.parse().map_err(|_| port)?, seconds(every)?))
}

fn seconds(text: String) -> Result<Duration, String> {
    let time = text.parse().ok().filter(|seconds| (0.01..=1e9).contains(seconds));
    time.map(Duration::from_secs_f64).ok_or(text)
}

fn main() {
    let (code, said) = match options().map(|(port, every)| smol::block_on(run(port, every))) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => (1, error.to_string()),
        Err(wrong) if wrong == "--help" => return println!("{USAGE}"),
        Err(wrong) => (2, format!("wrong argument '{wrong}'\n{USAGE}")),
    };
    eprintln!("short_poll: {said}");
    exit(code)
}
