//! Server-Sent Events as the tutorials show them: what anybody posts reaches all who listen.
//!
//!     cargo run --example events                  # then open http://127.0.0.1:3000/
//!     cargo run --example events -- --help        # its options
//!     curl -N http://127.0.0.1:3000/events        # data: Connected, then what is posted
//!     curl http://127.0.0.1:3000/update -H 'Content-Type: application/json' -d '{"data":"hello"}'
//!     curl -N http://127.0.0.1:3000/events -H 'Last-Event-ID: ID'       # what came after that one

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::TcpListener;

use anyhow::Context as _;
use clap::Parser;
use serde_json::{Value, json};
use smol::Async;
use tidings::{Error, Event, Exchange, Hub, Id, Limits, Response, Server, Wait};

const PAGE: &str = include_str!("pages/events.html");
const FIELDS: &str = "Content-Type, Cache-Control, If-None-Match, Last-Event-ID";

#[derive(Parser)]
struct Options {
    /// The port, 0 for any that is free.
    #[arg(long, env, default_value_t = 3000)]
    port: u16,
}

async fn app(hub: &Hub, mut ex: Exchange<'_>) -> tidings::Result<()> {
    // Lets pages from elsewhere read the answer: a tutorial's front end has a server of its own, or none. Here anybody
    // may read and post anyway; else name the origins that may. A browser takes `*` only without cookies.
    ex.add_header("Access-Control-Allow-Origin", "*")?;
    let refused = |allow| Response::text("method not allowed\n").with_status(405).header("Allow", allow);
    let answer = match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/") => Response::html(PAGE),
        ("GET", "/events") => return events(ex, hub).await,
        ("POST", "/update") => match data(&ex.body().await?) {
            Ok(data) => {
                hub.publish("updates", json!({ "data": data }).to_string())?;
                Response::json(r#"{"message":"Data sent successfully"}"#)
            }
            Err(what) => Response::json(json!({ "error": what }).to_string()).with_status(400),
        },
        // A browser asks so before a page from elsewhere may send JSON, or a field of its own.
        ("OPTIONS", _) => Response::new(204).header("Access-Control-Allow-Headers", FIELDS),
        (_, "/") => refused("GET, HEAD, OPTIONS"),
        (_, "/events") => refused("GET, OPTIONS"),
        (_, "/update") => refused("OPTIONS, POST"),
        _ => Response::text("there is nothing here, see /\n").with_status(404),
    };
    ex.reply(answer.header("Cache-Control", "no-store")).await
}

/// As `transport::sse`, but it greets.
async fn events(ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
    // What an EventSource had when it comes back; a new one can say it in the query. An id that can't be read is from
    // elsewhere, so it has a gap.
    let last = ex.head().header("Last-Event-ID").map(Cow::from).or(ex.head().query("last_event_id"));
    let last = last.filter(|id| !id.is_empty()).map(|id| id.parse().unwrap_or(Id::MAX));
    let mut updates = hub.subscribe(&["updates"], last)?;
    let (retry, heartbeat) = (ex.server().draw_retry().as_millis(), ex.server().limits().ping);
    let head = Response::new(200)
        .header("Content-Type", "text/event-stream")
        .header("Cache-Control", "no-store, no-transform")
        .header("X-Accel-Buffering", "no");
    let mut stream = ex.stream(head).await?;
    let (cursor, id) = (updates.cursor(), updates.cursor().to_string());
    // With an id from the start, so that who is cut off before the first update misses none. But for one that
    // could not be read.
    let hello = Event::data("Connected").retry(retry as u64);
    stream.event(&if cursor == Id::MAX { hello } else { hello.id(&id) }).await?;
    loop {
        match stream.wait(updates.next(), heartbeat).await {
            Ok(Wait::Ready(Some(new))) => {
                if new.gap.is_some() {
                    let gap = Event::data(r#"{"gap":true}"#).name("gap");
                    stream.event(&gap.id(&new.from.to_string())).await?;
                }
                for message in &new.messages {
                    stream.event(&Event::data(message.data()).id(&message.id().to_string())).await?;
                }
            }
            Ok(Wait::Elapsed) => stream.event(&Event::comment("")).await?,
            // Where too many listen, this one ends, and comes back after `retry`. After a 503 it would not.
            Ok(_) | Err(Error::Full) => return stream.finish().await,
            Err(error) => return Err(error),
        }
    }
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

fn main() -> anyhow::Result<()> {
    let Options { port } = Options::parse();
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}; try another --port"))?;
    let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    Ok(smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(&hub, ex).await))?)
}
