//! Server-Sent Events as the tutorials show them: the time, every two seconds, to all who listen.
//!
//!     cargo run --example ticks                   # then open http://127.0.0.1:3000/
//!     cargo run --example ticks -- --every 0.5 --text --stop-after 10
//!     curl -N http://127.0.0.1:3000/events        # data: {"time":…,"timestamp":…,"message":…}
//!     curl -N http://127.0.0.1:3000/events -H 'Last-Event-ID: ID'       # what came after that one
//!
//! `--port N` or `PORT=N` sets the port, 0 for any that is free. A stream ends with the event `close`.

use std::io::{self, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use smol::Async;
use tidings::{Error, Event, Exchange, Hub, Id, Limits, Response, Server, Wait};

const PAGE: &str = include_str!("pages/ticks.html");
const USAGE: &str = "usage: [PORT=N] ticks [--port N] [--every SECONDS] [--text] [--stop-after SECONDS]";

async fn app(hub: &Hub, lasts: Option<Duration>, ex: Exchange<'_>) -> tidings::Result<()> {
    let refused = |allow| Response::text("method not allowed\n").with_status(405).header("Allow", allow);
    let answer = match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/") => Response::html(PAGE),
        ("GET", "/events") => return events(ex, hub, lasts).await,
        (_, "/") => refused("GET, HEAD"),
        (_, "/events") => refused("GET"),
        _ => Response::text("there is nothing here, see /\n").with_status(404),
    };
    ex.reply(answer.header("Cache-Control", "no-store")).await
}

/// As `transport::sse`, but with an end that a page is told of, and pages from elsewhere may read it.
async fn events(ex: Exchange<'_>, hub: &Hub, lasts: Option<Duration>) -> tidings::Result<()> {
    // What an EventSource had when it comes back. An id that can't be read is from elsewhere, so it has a gap.
    let last = ex.head().header("Last-Event-ID").filter(|id| !id.is_empty());
    let mut ticks = hub.subscribe(&["ticks"], last.map(|id| id.parse().unwrap_or(Id::MAX)))?;
    let (retry, heartbeat) = (ex.server().draw_retry().as_millis(), ex.server().limits().ping);
    let end = lasts.and_then(|lasts| Instant::now().checked_add(lasts));
    let head = Response::new(200)
        .header("Content-Type", "text/event-stream")
        .header("Cache-Control", "no-store, no-transform")
        .header("X-Accel-Buffering", "no")
        // A tutorial's front end has a server of its own, or none. All are told the same, so any page may read.
        .header("Access-Control-Allow-Origin", "*");
    let mut stream = ex.stream(head).await?;
    // With an id from the start, so that who is cut off before the first tick misses none.
    let cursor = ticks.cursor().to_string();
    stream.event(&Event::new().id(&cursor).retry(retry as u64)).await?;
    let mut batch = ticks.try_next();
    loop {
        while let Some(new) = batch.take() {
            if new.gap {
                stream.event(&Event::data(r#"{"gap":true}"#).name("gap").id(&new.from.to_string())).await?;
            }
            for message in &new.messages {
                stream.event(&Event::data(message.data()).id(&message.id().to_string())).await?;
            }
            batch = ticks.try_next();
        }
        let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        match stream.wait(ticks.next(), heartbeat.min(left)).await {
            Ok(Wait::Ready(Some(new))) => batch = Some(new),
            Ok(Wait::Elapsed) if left <= heartbeat => {
                // An EventSource comes back after any end, unless the page closes it.
                stream.event(&Event::data("{}").name("close")).await?;
                return stream.finish().await;
            }
            Ok(Wait::Elapsed) => stream.event(&Event::comment("")).await?,
            // Where too many listen, this one ends, and comes back after `retry`. After a 503 it would not.
            Ok(_) | Err(Error::Full) => return stream.finish().await,
            Err(error) => return Err(error),
        }
    }
}

/// Ticks once for all, however many listen.
async fn tick(hub: Hub, every: Duration, text: bool) -> tidings::Result<()> {
    loop {
        smol::Timer::after(every).await;
        let now = SystemTime::now();
        let timestamp = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let time = humantime::format_rfc3339_millis(now);
        let message = format!("New message at {time}");
        let json = format!(r#"{{"time":"{time}","timestamp":{timestamp},"message":"{message}"}}"#);
        hub.publish("ticks", if text { message } else { json })?;
    }
}

/// The port, the time between two ticks, whether they are plain text, and how long a stream lasts.
type Options = (u16, Duration, bool, Option<Duration>);

fn options() -> Result<Options, String> {
    let mut port = std::env::var("PORT").ok().filter(|port| !port.is_empty()).unwrap_or("3000".into());
    let (mut every, mut text, mut lasts) = (Duration::from_secs(2), false, None);
    let mut args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--port" => port = value()?,
            "--every" => every = seconds(&value()?)?,
            "--text" => text = true,
            "--stop-after" => lasts = Some(seconds(&value()?)?),
            "--help" => {
                println!("{USAGE}");
                std::process::exit(0)
            }
            _ => return Err(format!("what is {arg}?")),
        }
    }
    let port = port.parse().map_err(|_| format!("--port or PORT takes a number up to 65535, not {port}"))?;
    Ok((port, every, text, lasts))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let time = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.filter(|time| time.as_millis() >= 10).ok_or(format!("{text} is no number of seconds from 0.01"))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (port, every, text, lasts) = options().unwrap_or_else(|what| {
        eprintln!("ticks: {what}\n{USAGE}");
        std::process::exit(2)
    });
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))?;
    let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
    let _ticking = smol::spawn(tick(hub.clone(), every, text));
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    Ok(smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(&hub, lasts, ex).await))?)
}
