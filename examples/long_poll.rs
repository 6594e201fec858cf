//! Long polling as the tutorials show it: a client asks, and the answer waits until there is something to tell.
//!
//!     cargo run --example long_poll               # then open http://127.0.0.1:3000/
//!     curl http://127.0.0.1:3000/long-poll        # the next text, within 5 seconds
//!     curl http://127.0.0.1:3000/data             # the value; for the first it waits up to 10 seconds
//!     curl http://127.0.0.1:3000/poll -b jar -c jar         # the next message, and said again, the one after
//!     curl 'http://127.0.0.1:3000/poll?after=ID'            # the one after that which had `"next":"ID"`
//!     curl http://127.0.0.1:3000/update -H 'Content-Type: application/json' -d '{"data":"hello"}'
//!
//! `--port N` or `PORT=N` sets the port, `--every` the seconds between texts (5), `--wait` those of a wait (30).

use std::io::{self, Write};
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use smol::Async;
use tidings::{Batch, Exchange, Fault, Hub, Id, Limits, Message, Published, Response, Server, Wait};

const PAGE: &str = include_str!("pages/long_poll.html");
const USAGE: &str = "usage: [PORT=N] long_poll [--port N] [--every SECONDS] [--wait SECONDS]";

async fn app(hub: &Hub, wait: Duration, mut ex: Exchange<'_>) -> tidings::Result<()> {
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
        ("POST", "/update") => match data(&ex.text().await?) {
            Ok(data) => {
                // With a key only the newest is kept. What comes after it never fills the hub, so it stays.
                hub.send(Message::new("value", data.to_string()).key("newest"))?;
                hub.publish("messages", data.to_string())?;
                Response::json(r#"{"message":"Data updated successfully"}"#)
            }
            Err(what) => Response::json(json!({ "error": what }).to_string()).with_status(400),
        },
        // A browser asks so before a page from elsewhere may send JSON.
        ("OPTIONS", "/update") => Response::new(204)
            .header("Access-Control-Allow-Methods", "POST")
            .header("Access-Control-Allow-Headers", "Content-Type"),
        (_, "/") => refused("GET, HEAD"),
        (_, "/long-poll" | "/data" | "/poll" | "/api/long-poll") => refused("GET"),
        (_, "/update") => refused("OPTIONS, POST"),
        _ => Response::text("there is nothing here, see /\n").with_status(404),
    };
    // A tutorial's front end has a server of its own, or none. Here anybody may read and post anyway; else name
    // the origins that may. With `*` a browser has no cookie for it, so a page from elsewhere needs `?after=`.
    ex.reply(answer.header("Access-Control-Allow-Origin", "*").header("Cache-Control", "no-store")).await
}

/// Answers with the message behind the client's cursor, so that none is lost between two polls. The cursor is
/// `?after=` with the `next` of the answer before, else it is in a cookie. A browser's tabs share the cookie: what
/// one gets while another is between two polls, the other does not. With `?after=` each gets all.
async fn poll(ex: &mut Exchange<'_>, hub: &Hub, wait: Duration) -> tidings::Result<Response> {
    let after = ex.head().query("after").map(|id| id.parse().map_err(|_| Fault::Cursor)).transpose()?;
    let mut cookies = ex.head().header("Cookie").unwrap_or_default().split("; ");
    let cookie = cookies.find_map(|cookie| cookie.strip_prefix("long_poll_cursor="));
    // A cookie that can't be read is from elsewhere, so there is a gap.
    let mut messages =
        hub.subscribe(&["messages"], after.or(cookie.map(|id| id.parse().unwrap_or(Id::MAX))))?;
    let waited = ex.wait(messages.next(), wait).await?;
    let gap = matches!(&waited, Wait::Ready(Some(batch)) if batch.gap);
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
fn data(body: &str) -> Result<Value, String> {
    let mut json: Value = serde_json::from_str(body).map_err(|error| {
        let before = body.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len);
        format!("not JSON: {error}, byte {} of {}", before.sum::<usize>() + error.column(), body.len())
    })?;
    json.get_mut("data").map(Value::take).ok_or("it has no field \"data\"".into())
}

/// Has a new text now and then, for all who wait.
async fn tell(hub: Hub, every: Duration) -> tidings::Result<()> {
    loop {
        smol::Timer::after(every).await;
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        hub.publish("texts", format!("New message at {now}"))?;
    }
}

/// The port, how often there is a text, and how long a question waits.
fn options() -> Result<(u16, Duration, Duration), String> {
    let port = std::env::var("PORT").ok().filter(|port| !port.is_empty()).unwrap_or("3000".into());
    let mut options = [("--port", port), ("--every", "5".into()), ("--wait", "30".into())];
    let mut args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    while let Some(arg) = args.next() {
        if arg == "--help" {
            println!("{USAGE}");
            std::process::exit(0)
        }
        let option = options.iter_mut().find(|(name, _)| *name == arg).ok_or(format!("what is {arg}?"))?;
        option.1 = args.next().ok_or(format!("{arg} needs a value"))?;
    }
    let [(_, port), (_, every), (_, wait)] = options;
    let port = port.parse().map_err(|_| format!("--port or PORT takes a number up to 65535, not {port}"))?;
    Ok((port, seconds(&every)?, seconds(&wait)?))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let time = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.filter(|time| time.as_millis() >= 10).ok_or(format!("{text} is no number of seconds from 0.01"))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (port, every, wait) = options().unwrap_or_else(|what| {
        eprintln!("long_poll: {what}\n{USAGE}");
        std::process::exit(2)
    });
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))?;
    let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
    let _telling = smol::spawn(tell(hub.clone(), every));
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    Ok(smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(&hub, wait, ex).await))?)
}
