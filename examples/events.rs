//! Server-Sent Events as the tutorials show them: what anybody posts reaches all who listen.
//!
//!     cargo run --example events                  # then open http://127.0.0.1:3000/
//!     curl -N http://127.0.0.1:3000/events        # data: Connected, then what is posted
//!     curl http://127.0.0.1:3000/update -H 'Content-Type: application/json' -d '{"data":"hello"}'
//!     curl -N http://127.0.0.1:3000/events -H 'Last-Event-ID: ID'       # what came after that one
//!
//! `--port N` or `PORT=N` sets the port, 0 for any that is free.

use std::io::{self, Write};
use std::net::TcpListener;

use serde_json::{Value, json};
use smol::Async;
use tidings::{Error, Event, Exchange, Hub, Id, Limits, Response, Server, Wait};

const PAGE: &str = include_str!("pages/events.html");
const USAGE: &str = "usage: [PORT=N] events [--port N]";

async fn app(hub: &Hub, mut ex: Exchange<'_>) -> tidings::Result<()> {
    let refused = |allow| Response::text("method not allowed\n").with_status(405).header("Allow", allow);
    let answer = match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/") => Response::html(PAGE),
        ("GET", "/events") => return events(ex, hub).await,
        ("POST", "/update") => match data(&ex.text().await?) {
            Ok(data) => {
                hub.publish("updates", json!({ "data": data }).to_string())?;
                Response::json(r#"{"message":"Data sent successfully"}"#)
            }
            Err(what) => Response::json(json!({ "error": what }).to_string()).with_status(400),
        },
        // A browser asks so before a page from elsewhere may send JSON.
        ("OPTIONS", "/update") => Response::new(204)
            .header("Access-Control-Allow-Methods", "POST")
            .header("Access-Control-Allow-Headers", "Content-Type"),
        (_, "/") => refused("GET, HEAD"),
        (_, "/events") => refused("GET"),
        (_, "/update") => refused("OPTIONS, POST"),
        _ => Response::text("there is nothing here, see /\n").with_status(404),
    };
    ex.reply(public(answer).header("Cache-Control", "no-store")).await
}

/// As `transport::sse`, but it greets, and pages from elsewhere may read it.
async fn events(ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
    // What an EventSource had when it comes back. An id that can't be read is from elsewhere, so it has a gap.
    let last = ex.head().header("Last-Event-ID").filter(|id| !id.is_empty());
    let mut updates = hub.subscribe(&["updates"], last.map(|id| id.parse().unwrap_or(Id::MAX)))?;
    let (retry, heartbeat) = (ex.server().draw_retry().as_millis(), ex.server().limits().ping);
    let head = Response::new(200)
        .header("Content-Type", "text/event-stream")
        .header("Cache-Control", "no-store, no-transform")
        .header("X-Accel-Buffering", "no");
    let mut stream = ex.stream(public(head)).await?;
    // With an id from the start, so that who is cut off before the first update misses none.
    let cursor = updates.cursor().to_string();
    stream.event(&Event::data("Connected").id(&cursor).retry(retry as u64)).await?;
    let mut batch = updates.try_next();
    loop {
        while let Some(new) = batch.take() {
            if new.gap {
                stream.event(&Event::data(r#"{"gap":true}"#).name("gap").id(&new.from.to_string())).await?;
            }
            for message in &new.messages {
                stream.event(&Event::data(message.data()).id(&message.id().to_string())).await?;
            }
            batch = updates.try_next();
        }
        match stream.wait(updates.next(), heartbeat).await {
            Ok(Wait::Ready(Some(new))) => batch = Some(new),
            Ok(Wait::Elapsed) => stream.event(&Event::comment("")).await?,
            // Where too many listen, this one ends, and comes back after `retry`. After a 503 it would not.
            Ok(_) | Err(Error::Full) => return stream.finish().await,
            Err(error) => return Err(error),
        }
    }
}

/// Lets pages from elsewhere read the answer: a tutorial's front end has a server of its own, or none. Here
/// anybody may read and post anyway; else name the origins that may. A browser takes `*` only without cookies.
fn public(answer: Response) -> Response {
    answer.header("Access-Control-Allow-Origin", "*")
}

/// The field `data` of a JSON object, or what is wrong.
fn data(body: &str) -> Result<Value, String> {
    let mut json: Value = serde_json::from_str(body).map_err(|error| {
        let before = body.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len);
        format!("not JSON: {error}, byte {} of {}", before.sum::<usize>() + error.column(), body.len())
    })?;
    json.get_mut("data").map(Value::take).ok_or("it has no field \"data\"".into())
}

fn port() -> Result<u16, String> {
    let args: Vec<_> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let port = match &args[..] {
        [] => std::env::var("PORT").ok().filter(|port| !port.is_empty()).unwrap_or("3000".into()),
        [option, port] if option == "--port" => port.clone(),
        [option] if option == "--help" => {
            println!("{USAGE}");
            std::process::exit(0)
        }
        _ => return Err(format!("what is {}?", args.join(" "))),
    };
    port.parse().map_err(|_| format!("--port or PORT takes a number up to 65535, not {port}"))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = port().unwrap_or_else(|what| {
        eprintln!("events: {what}\n{USAGE}");
        std::process::exit(2)
    });
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))?;
    let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    Ok(smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(&hub, ex).await))?)
}
