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

use std::env;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::exit;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use smol::Async;
use tidings::{Batch, Exchange, Fault, Hub, Id, Limits, Message, Published, Response, Server, Wait};

const PAGE: &str = include_str!("pages/long_poll.html");
const USAGE: &str = "usage: [PORT=N] long_poll [--port N] [--every SECONDS] [--wait SECONDS]\n\
    N is 0 to 65535, 0 for any port that is free; SECONDS is 0.01 or more";
/// What pages from elsewhere may send.
const FIELDS: &str = "Content-Type, Cache-Control, If-None-Match, Last-Event-ID";

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
    let hosts = ["http://localhost", "https://localhost", "http://127.0.0.1", "https://127.0.0.1"];
    let has_host = |origin: &str, host: &str| {
        origin.strip_prefix(host).is_some_and(|port| port.is_empty() || port.starts_with(':'))
    };
    let near = ex.head().header("Origin").filter(|origin| hosts.iter().any(|host| has_host(origin, host)));
    let near = near.map(str::to_owned);
    ex.add_header("Vary", "Origin")?;
    if near.is_some() {
        ex.add_header("Access-Control-Allow-Credentials", "true")?;
    }
    ex.add_header("Access-Control-Allow-Origin", near.unwrap_or("*".into()))
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
fn data(body: &[u8]) -> Result<Value, String> {
    let mut json: Value = serde_json::from_slice(body).map_err(|error| {
        let before = body.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
        let byte = before.map(<[u8]>::len).sum::<usize>() + error.column();
        format!("not JSON: {error}, byte {byte} of {}", body.len())
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

async fn run(port: u16, every: Duration, wait: Duration) -> io::Result<()> {
    let cannot =
        |error| io::Error::other(format!("cannot listen on 127.0.0.1:{port}: {error}; try another --port"));
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port)).map_err(cannot)?;
    let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
    let _telling = smol::spawn(tell(hub.clone(), every));
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    server.serve(listener, &async |ex: Exchange<'_>| app(&hub, wait, ex).await).await
}

/// The port, how often there is a text, and how long a question waits; or what is wrong with the command line.
fn options() -> Result<(u16, Duration, Duration), String> {
    let port = env::var("PORT").ok().filter(|port| !port.is_empty()).unwrap_or("3000".into());
    let mut options = [("--port", port), ("--every", "5".into()), ("--wait", "30".into())];
    let mut args = env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    while let Some(name) = args.next() {
        let option = options.iter_mut().find(|option| option.0 == name).ok_or(name)?;
        option.1 = args.next().unwrap_or_default();
    }
    let [port, every, wait] = options.map(|option| option.1);
    Ok((port.parse().map_err(|_| port)?, seconds(every)?, seconds(wait)?))
}

fn seconds(text: String) -> Result<Duration, String> {
    let time = text.parse().ok().filter(|seconds| (0.01..=1e9).contains(seconds));
    time.map(Duration::from_secs_f64).ok_or(text)
}

fn main() {
    let (code, said) = match options().map(|(port, every, wait)| smol::block_on(run(port, every, wait))) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => (1, error.to_string()),
        Err(wrong) if wrong == "--help" => return println!("{USAGE}"),
        Err(wrong) => (2, format!("wrong argument '{wrong}'\n{USAGE}")),
    };
    eprintln!("long_poll: {said}");
    exit(code)
}
