//! Long polling as the tutorials show it: a client asks, and the answer waits until there is something to tell.
//!
//!     cargo run --example long_poll               # then open http://127.0.0.1:3000/
//!     cargo run --example long_poll -- --help     # its options
//!     curl http://127.0.0.1:3000/long-poll        # the next text, within 5 seconds
//!     curl http://127.0.0.1:3000/data             # the value; for the first it waits up to 10 seconds
//!     curl http://127.0.0.1:3000/poll -b jar -c jar         # the next message, within 5 seconds; again: the one after
//!     curl 'http://127.0.0.1:3000/poll?after=ID'            # the one after that which had `"next":"ID"`
//!     curl http://127.0.0.1:3000/update -H 'Content-Type: application/json' -d '{"data":"hello"}'

use std::io::{self, Write};
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Parser;
use serde_json::{Value, json};
use smol::Async;
use tidings::{Batch, Exchange, Fault, Hub, Id, Limits, Message, Published, Response, Server, Wait};

const PAGE: &str = include_str!("pages/long_poll.html");
const FIELDS: &str = "Content-Type, Cache-Control, If-None-Match, Last-Event-ID";

#[derive(Parser)]
struct Options {
    /// The port, 0 for any that is free.
    #[arg(long, env, default_value_t = 3000)]
    port: u16,
    /// How often there is a text, which is a message too, 0.01 or more.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    every: Duration,
    /// How long a request waits, 0.01 or more; `/data` a third of it.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    wait: Duration,
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let time = text.parse().ok().filter(|seconds| (0.01..=1e9).contains(seconds));
    time.map(Duration::from_secs_f64).ok_or("it is to be 0.01 to 1e9")
}

async fn app(hub: &Hub, wait: Duration, mut ex: Exchange<'_>) -> tidings::Result<()> {
    admit(&mut ex)?;
    let refused = |allow| Response::text("method not allowed\n").with_status(405).header("Allow", allow);
    let answer = match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/") => Response::html(PAGE),
        ("GET", "/long-poll") => {
            let text = ex.wait(hub.subscribe(&["texts"], None)?.next(), wait).await?;
            Response::text(first(&text).map_or("timed out, ask again", |text| text.data()))
        }
        ("GET", "/data") => {
            let value = ex.wait(hub.subscribe(&["value"], Some(Id::EARLIEST))?.next(), wait / 3).await?;
            Response::json(format!(r#"{{"data":{}}}"#, first(&value).map_or("null", |value| value.data())))
        }
        ("GET", "/poll" | "/api/long-poll") => poll(&mut ex, hub, wait).await?,
        ("POST", "/update") => match data(&ex.body().await?) {
            Ok(data) => {
                // With a key only the newest is kept. What comes after it never fills the hub, so it stays.
                hub.send(Message::new("value", data.to_string()).key("newest"))?;
                hub.publish("messages", data.to_string())?;
                Response::json(r#"{"message":"Data updated successfully"}"#)
            }
            Err(what) => Response::json(json!({ "error": what }).to_string()).with_status(400),
        },
        // A browser asks so before a page from elsewhere may send JSON, or a field of its own.
        ("OPTIONS", _) => Response::new(204).header("Access-Control-Allow-Headers", FIELDS),
        (_, "/") => refused("GET, HEAD, OPTIONS"),
        (_, "/long-poll" | "/data" | "/poll" | "/api/long-poll") => refused("GET, OPTIONS"),
        (_, "/update") => refused("OPTIONS, POST"),
        _ => Response::text("there is nothing here, see /\n").with_status(404),
    };
    ex.reply(answer.header("Cache-Control", "no-store")).await
}

/// Lets pages from elsewhere read the answer: a tutorial's front end has a server of its own, or none. With `*` a
/// browser sends no cookie; pages of this machine get it by `credentials: "include"`, the others need `?after=`.
fn admit(ex: &mut Exchange<'_>) -> tidings::Result<()> {
    let origin = ex.head().header("Origin").unwrap_or_default().to_owned();
    let host = origin.strip_prefix("http://").or(origin.strip_prefix("https://"));
    let name = host.and_then(|host| host.split(':').next());
    ex.add_header("Vary", "Origin")?;
    if !matches!(name, Some("localhost" | "127.0.0.1")) {
        return ex.add_header("Access-Control-Allow-Origin", "*");
    }
    ex.add_header("Access-Control-Allow-Credentials", "true")?;
    ex.add_header("Access-Control-Allow-Origin", origin)
}

/// Answers with the message behind the client's cursor, so that none is lost between two polls. The cursor is
/// `?after=` with the `next` of the answer before, else it is in a cookie. A browser's tabs share the cookie: what
/// one gets while another is between two polls, the other does not. With `?after=` each gets all.
async fn poll(ex: &mut Exchange<'_>, hub: &Hub, wait: Duration) -> tidings::Result<Response> {
    let after = ex.head().query("after").filter(|id| !id.is_empty());
    let after = after.map(|id| id.parse().map_err(|_| Fault::Cursor)).transpose()?;
    let mut cookies = ex.head().header("Cookie").unwrap_or_default().split("; ");
    let cookie = cookies.find_map(|cookie| cookie.strip_prefix("long_poll_cursor="));
    // A cookie that can't be read is from elsewhere, so there is a gap.
    let cookie = cookie.map(|id| id.parse().unwrap_or(Id::MAX));
    let mut messages = hub.subscribe(&["messages"], after.or(cookie))?;
    let waited = ex.wait(messages.next(), wait).await?;
    let gap = matches!(&waited, Wait::Ready(Some(batch)) if batch.gap.is_some());
    let timeout = !matches!(&waited, Wait::Ready(_));
    let (data, next) = first(&waited).map_or(("null", messages.cursor()), |first| (first.data(), first.id()));
    // Some tutorials look for `data`, others for `message`.
    let json =
        format!(r#"{{"data":{data},"message":{data},"next":"{next}","gap":{gap},"timeout":{timeout}}}"#);
    let cookie = format!("long_poll_cursor={next}; HttpOnly; SameSite=Lax; Path=/");
    Ok(if after.is_some() { Response::json(json) } else { Response::json(json).header("Set-Cookie", cookie) })
}

/// The first message of what came, if anything came in time.
fn first(waited: &Wait<Option<Batch>>) -> Option<&Published> {
    if let Wait::Ready(Some(batch)) = waited { batch.messages.first().map(AsRef::as_ref) } else { None }
}

/// The field `data` of a JSON object, or what is wrong.
fn data(body: &[u8]) -> Result<Value, String> {
    let mut json: Value = serde_json::from_slice(body).map_err(|error| {
        let before = body.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
        let byte = before.map(<[u8]>::len).sum::<usize>() + error.column();
        format!("not JSON: {error}, byte {byte} of {}", body.len())
    })?;
    json.get_mut("data").map(Value::take).ok_or("it has no field \"data\"".into())
}

/// Has a new text now and then, for all who wait: as a text, and as a message in JSON.
async fn tell(hub: Hub, every: Duration) -> tidings::Result<()> {
    loop {
        smol::Timer::after(every).await;
        let text = format!("New message at {}", humantime::format_rfc3339_millis(SystemTime::now()));
        hub.publish("messages", Value::from(&*text).to_string())?;
        hub.publish("texts", text)?;
    }
}

fn main() -> anyhow::Result<()> {
    let Options { port, every, wait } = Options::parse();
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}; try another --port"))?;
    let mut limits = Limits::DEFAULT;
    // Room for the value, the newest message that was posted, and all that the clock says behind them.
    limits.history_bytes = 192 * 1024;
    let (server, hub) = (Server::new(limits.clone()), Hub::new(&limits));
    let _telling = smol::spawn(tell(hub.clone(), every));
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    Ok(smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(&hub, wait, ex).await))?)
}
