//! Server-Sent Events as the tutorials show them: the time, every two seconds, to all who listen.
//!
//!     cargo run --example ticks                   # then open http://127.0.0.1:3000/
//!     cargo run --example ticks -- --every 0.5 --text --stop-after 10
//!     curl -N http://127.0.0.1:3000/events        # data: {"time":…,"timestamp":…,"message":…}
//!     curl -N http://127.0.0.1:3000/events -H 'Last-Event-ID: ID'       # what came after that one
//!
//! A stream ends with the event `close`; `-- --help` lists the options.

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Parser;
use smol::Async;
use tidings::{Error, Event, Exchange, Hub, Id, Limits, Response, Server, Wait};

const PAGE: &str = include_str!("pages/ticks.html");
const FIELDS: &str = "Content-Type, Cache-Control, If-None-Match, Last-Event-ID";

#[derive(Parser)]
struct Options {
    /// The port, 0 for any that is free.
    #[arg(long, env, default_value_t = 3000)]
    port: u16,
    /// The time between two ticks, 0.01 or more.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    every: Duration,
    /// How long a stream lasts, 0.01 or more. The default is some thirty years.
    #[arg(long, value_name = "SECONDS", default_value = "1e9", value_parser = seconds)]
    stop_after: Duration,
    /// Sends plain text and no JSON.
    #[arg(long)]
    text: bool,
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let time = text.parse().ok().filter(|seconds| (0.01..=1e9).contains(seconds));
    time.map(Duration::from_secs_f64).ok_or("it is to be 0.01 to 1e9")
}

async fn app(hub: &Hub, lasts: Duration, mut ex: Exchange<'_>) -> tidings::Result<()> {
    // A tutorial's front end has a server of its own, or none. All are told the same, so any page may read.
    ex.add_header("Access-Control-Allow-Origin", "*")?;
    let refused = |allow| Response::text("method not allowed\n").with_status(405).header("Allow", allow);
    let answer = match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/") => Response::html(PAGE),
        ("GET", "/events") => return events(ex, hub, lasts).await,
        // A browser asks so before a page from elsewhere may send a field of its own.
        ("OPTIONS", _) => Response::new(204).header("Access-Control-Allow-Headers", FIELDS),
        (_, "/") => refused("GET, HEAD, OPTIONS"),
        (_, "/events") => refused("GET, OPTIONS"),
        _ => Response::text("there is nothing here, see /\n").with_status(404),
    };
    ex.reply(answer.header("Cache-Control", "no-store")).await
}

/// As `transport::sse`, but with an end that a page is told of.
async fn events(ex: Exchange<'_>, hub: &Hub, lasts: Duration) -> tidings::Result<()> {
    // What an EventSource had when it comes back; a new one can say it in the query. An id that can't be read is from
    // elsewhere, so it has a gap.
    let last = ex.head().header("Last-Event-ID").map(Cow::from).or(ex.head().query("last_event_id"));
    let last = last.filter(|id| !id.is_empty()).map(|id| id.parse().unwrap_or(Id::MAX));
    let mut ticks = hub.subscribe(&["ticks"], last)?;
    let (retry, heartbeat) = (ex.server().draw_retry().as_millis(), ex.server().limits().ping);
    let end = Instant::now() + lasts;
    let head = Response::new(200)
        .header("Content-Type", "text/event-stream")
        .header("Cache-Control", "no-store, no-transform")
        .header("X-Accel-Buffering", "no");
    let mut stream = ex.stream(head).await?;
    let (cursor, id) = (ticks.cursor(), ticks.cursor().to_string());
    // With an id from the start, so that who is cut off before the first tick misses none. But for one that could
    // not be read.
    let hello = Event::new().retry(retry as u64);
    stream.event(&if cursor == Id::MAX { hello } else { hello.id(&id) }).await?;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match stream.wait(ticks.next(), heartbeat.min(left)).await {
            Ok(Wait::Ready(Some(new))) => {
                if new.gap.is_some() {
                    let gap = Event::data(r#"{"gap":true}"#).name("gap");
                    stream.event(&gap.id(&new.from.to_string())).await?;
                }
                for message in &new.messages {
                    stream.event(&Event::data(message.data()).id(&message.id().to_string())).await?;
                }
            }
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

fn main() -> anyhow::Result<()> {
    let Options { port, every, stop_after, text } = Options::parse();
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}; try another --port"))?;
    let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
    let _ticking = smol::spawn(tick(hub.clone(), every, text));
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    Ok(smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(&hub, stop_after, ex).await))?)
}
