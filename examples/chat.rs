//! A chat: each text that one client sends goes to all, the sender too. Each connect and leave is on the log.
//!
//!     cargo run --example chat                             # then open http://127.0.0.1:3000/ in two tabs
//!     cargo run --example chat -- --port 8080              # or PORT=8080
//!     npx wscat -c ws://127.0.0.1:3000/                    # what is said from now on
//!     npx wscat -c 'ws://127.0.0.1:3000/?after=earliest'   # and first what was said before, as far as it is kept
//!     curl -i http://127.0.0.1:3000/                       # the page
//!
//! The texts go through a topic of a hub: there is no list of clients to keep, and no queue for each. Whoever reads
//! too slowly for the topic's history is told that texts are missing. They are plain text both ways, as `ws` has it.
//! With `?envelope=1` each comes as `{"id":…,"data":…}`, and `?after=ID` goes on behind that one: so our page misses
//! nothing of what was said while it was cut off.
//!
//! Any page of any site may connect, as a tutorial's own page does that was opened from a file. Where that is not
//! fine, look at the request's `Origin` before `upgrade`.

use std::io::{self, Write};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use serde_json::json;
use smol::Async;
use tidings::{Exchange, Fault, Hub, Id, Limits, Payload, Response, Server, Subscription, Wait, WebSocket};

const PAGE: &str = include_str!("pages/chat.html");
const GAP: &str = "(Some messages are missing here: this connection was too slow, or away.)";

#[derive(Parser)]
struct Options {
    /// The port, 0 for any that is free.
    #[arg(long, env, default_value_t = 3000)]
    port: u16,
}

async fn app(hub: &Hub, ex: Exchange<'_>) -> tidings::Result<()> {
    match (ex.method(), ex.path()) {
        (_, "/") if ex.is_upgrade() => join(hub, ex).await,
        ("GET" | "HEAD", "/") => ex.reply(Response::html(PAGE).header("Cache-Control", "no-store")).await,
        (_, "/") => ex.reply(Response::new(405).header("Allow", "GET, HEAD")).await,
        _ => ex.reply(Response::text("there is nothing here, see /\n").with_status(404)).await,
    }
}

async fn join(hub: &Hub, ex: Exchange<'_>) -> tidings::Result<()> {
    let after = ex.head().query("after").filter(|id| !id.is_empty());
    let after = after.map(|id| id.parse::<Id>().map_err(|_| Fault::Cursor)).transpose()?;
    // First the subscription, then the handshake: what is said once the client is connected reaches it.
    let mut room = hub.subscribe(&["chat"], after)?;
    let envelope = ex.head().query("envelope").as_deref() == Some("1");
    let mut socket = ex.upgrade(None).await?;
    log(&format!("connected, now {}", hub.stats().readers));
    let ended = talk(hub, &mut room, &mut socket, envelope).await;
    drop(room);
    log(&format!("left, now {}", hub.stats().readers));
    ended
}

async fn talk(
    hub: &Hub,
    room: &mut Subscription,
    socket: &mut WebSocket<'_>,
    envelope: bool,
) -> tidings::Result<()> {
    loop {
        match socket.wait(room.next(), Duration::MAX).await? {
            Wait::Ready(Some(batch)) => {
                if batch.gap.is_some() {
                    let gap = json!({"gap": true, "next": batch.from.to_string()}).to_string();
                    socket.send(if envelope { &gap } else { GAP }).await?;
                }
                for message in &batch.messages {
                    let json = || json!({"id": message.id().to_string(), "data": message.data()}).to_string();
                    socket.send(if envelope { json() } else { message.data().to_owned() }).await?;
                }
            }
            Wait::Readable => match socket.recv().await? {
                Some(Payload::Text(text)) => {
                    hub.publish("chat", text)?;
                }
                Some(_) => return socket.close(1003, "only text is understood here").await,
                None => return Ok(()),
            },
            Wait::Left => return Ok(()),
            _ => return socket.close(1001, "the server stops").await,
        }
    }
}

/// Nobody may be reading it any more, which is no reason to stop.
fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn main() -> anyhow::Result<()> {
    let Options { port } = Options::parse();
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}; try another --port"))?;
    let mut limits = Limits::DEFAULT;
    // A longer text is closed with 1009. The history takes up to 16 KiB, so it takes all that come through.
    limits.message = 8 * 1024;
    let (server, hub) = (Server::new(limits.clone()), Hub::new(&limits));
    log(&format!("http://{}/", listener.get_ref().local_addr()?));
    Ok(smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(&hub, ex).await))?)
}
