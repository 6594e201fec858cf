//! Server-Sent Events as the tutorials show them: the time, every two seconds, to all who listen.
//!
//!     cargo run --example ticks                   # then open http://127.0.0.1:3000/
//!     cargo run --example ticks -- --every 0.5 --text --stop-after 10
//!     curl -N http://127.0.0.1:3000/events        # data: {"time":…,"timestamp":…,"message":…}
//!     curl -N http://127.0.0.1:3000/events -H 'Last-Event-ID: ID'       # what came after that one
//!
//! `--port N` or `PORT=N` sets the port, 0 for any that is free. A stream ends with the event `close`.

use std::borrow::Cow;
use std::env;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::exit;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use smol::Async;
use tidings::{Error, Event, Exchange, Hub, Id, Limits, Response, Server, Wait};

const PAGE: &str = include_str!("pages/ticks.html");
const USAGE: &str = "usage: [PORT=N] ticks [--port N] [--every SECONDS] [--text] [--stop-after SECONDS]\n\
    N is 0 to 65535, 0 for any port that is free; SECONDS is 0.01 or more";
/// What pages from elsewhere may send.
const FIELDS: &str = "Content-Type, Cache-Control, If-None-Match, Last-Event-ID";

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
                if new.gap {
                    stream
                        .event(&Event::data(r#"{"gap":true}"#).name("gap").id(&new.from.to_string()))
                        .await?;
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

async fn run((port, every, lasts, text): Options) -> io::Result<()> {
    let cannot =
        |error| io::Error::other(format!("cannot listen on 127.0.0.1:{port}: {error}; try another --port"));
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port)).map_err(cannot)?;
    let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
    let _ticking = smol::spawn(tick(hub.clone(), every, text));
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    server.serve(listener, &async |ex: Exchange<'_>| app(&hub, lasts, ex).await).await
}

/// The port, the time between two ticks, how long a stream lasts (some thirty years), and whether ticks are plain text.
type Options = (u16, Duration, Duration, bool);

/// The options, or what is wrong with the command line.
fn options() -> Result<Options, String> {
    let port = env::var("PORT").ok().filter(|port| !port.is_empty()).unwrap_or("3000".into());
    let mut options = [("--port", port), ("--every", "2".into()), ("--stop-after", "1e9".into())];
    let text = env::args_os().any(|arg| arg == "--text");
    let mut args =
        env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).filter(|arg| arg != "--text");
    while let Some(name) = args.next() {
        let option = options.iter_mut().find(|option| option.0 == name).ok_or(name)?;
        option.1 = args.next().unwrap_or_default();
    }
    let [port, every, stop_after] = options.map(|option| option.1);
    Ok((port.parse().map_err(|_| port)?, seconds(every)?, seconds(stop_after)?, text))
}

fn seconds(text: String) -> Result<Duration, String> {
    let time = text.parse().ok().filter(|seconds| (0.01..=1e9).contains(seconds));
    time.map(Duration::from_secs_f64).ok_or(text)
}

fn main() {
    let (code, said) = match options().map(|options| smol::block_on(run(options))) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => (1, error.to_string()),
        Err(wrong) if wrong == "--help" => return println!("{USAGE}"),
        Err(wrong) => (2, format!("wrong argument '{wrong}'\n{USAGE}")),
    };
    eprintln!("ticks: {said}");
    exit(code)
}
