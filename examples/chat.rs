//! A chat: each text that one client sends goes to all, the sender too. Each connect and leave is on the log.
//!
//!     cargo run --example chat                             # then open http://127.0.0.1:3000/ in two tabs
//!     cargo run --example chat -- --port 8080              # or PORT=8080
//!     npx wscat -c ws://127.0.0.1:3000/                    # what is said from now on
//!     npx wscat -c 'ws://127.0.0.1:3000/?after=earliest'   # and first what was said before, as far as it is kept
//!     curl -i http://127.0.0.1:3000/                       # the page
//!
//! The texts go through a topic of a hub: there is no list of clients to keep, and no queue for each. Whoever reads
//! too slowly for the topic's history is told that texts are missing. They are plain text both ways, as `ws` has it,
//! so they carry no ids: what was said while a client was away is in `?after=earliest`, not resumed from a cursor.
//!
//! Any page of any site may connect, as a tutorial's own page does that was opened from a file. Where that is not
//! fine, look at the request's `Origin` before `upgrade`.

use std::io::{self, Write};
use std::net::TcpListener;
use std::time::Duration;

use smol::Async;
use tidings::{Exchange, Fault, Hub, Id, Limits, Payload, Response, Server, Subscription, Wait, WebSocket};

const PAGE: &str = include_str!("pages/chat.html");
const USAGE: &str = "usage: chat [--port N]

  --port N   the port, 0 for any that is free (default: the variable PORT, else 3000)";
const GAP: &str = "(Some messages are missing here: this connection was too slow, or away.)";

async fn app(hub: &Hub, ex: Exchange<'_>) -> tidings::Result<()> {
    match (ex.method(), ex.path()) {
        (_, "/") if ex.is_upgrade() => join(hub, ex).await,
        ("GET" | "HEAD", "/") => ex.reply(Response::html(PAGE).header("Cache-Control", "no-store")).await,
        (_, "/") => ex.reply(Response::new(405).header("Allow", "GET, HEAD")).await,
        _ => ex.reply(Response::text("there is nothing here, see /\n").with_status(404)).await,
    }
}

async fn join(hub: &Hub, ex: Exchange<'_>) -> tidings::Result<()> {
    let after = ex.head().query("after").map(|id| id.parse::<Id>().map_err(|_| Fault::Cursor)).transpose()?;
    // First the subscription, then the handshake: what is said once the client is connected reaches it.
    let mut room = hub.subscribe(&["chat"], after)?;
    let mut socket = ex.upgrade(None).await?;
    log(&format!("connected, now {}", hub.stats().readers));
    let ended = talk(hub, &mut room, &mut socket).await;
    drop(room);
    log(&format!("left, now {}", hub.stats().readers));
    ended
}

async fn talk(hub: &Hub, room: &mut Subscription, socket: &mut WebSocket<'_>) -> tidings::Result<()> {
    loop {
        match socket.wait(room.next(), Duration::MAX).await? {
            Wait::Ready(Some(batch)) => {
                if batch.gap {
                    socket.send(GAP).await?;
                }
                for message in &batch.messages {
                    socket.send(message.data()).await?;
                }
            }
            Wait::Readable => match socket.recv().await? {
                Some(Payload::Text(text)) => {
                    hub.publish("chat", text)?;
                }
                Some(Payload::Binary(_)) => return socket.close(1003, "only text is understood here").await,
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

async fn run(port: u16) -> io::Result<()> {
    let cannot =
        |error| io::Error::other(format!("cannot listen on port {port}: {error}; try another --port"));
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port)).map_err(cannot)?;
    let mut limits = Limits::DEFAULT;
    // A longer text is closed with 1009. The history takes up to 16 KiB, so it takes all that come through.
    limits.message = 8 * 1024;
    let (server, hub) = (Server::new(limits.clone()), Hub::new(&limits));
    log(&format!("http://{}/", listener.get_ref().local_addr()?));
    server.serve(listener, &async |ex: Exchange<'_>| app(&hub, ex).await).await
}

/// The port of `--port N`, else of the environment variable PORT, else 3000.
fn port() -> Result<u16, String> {
    let port = std::env::var_os("PORT").filter(|port| !port.is_empty());
    let mut port = port.unwrap_or("3000".into());
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--port") => port = args.next().unwrap_or_default(),
            Some("--help") => end(0, USAGE),
            _ => return Err(format!("what is {arg:?}?\n{USAGE}")),
        }
    }
    let number = port.to_str().and_then(|port| port.parse().ok());
    number.ok_or(format!("--port or PORT takes a number from 0 to 65535, not {port:?}"))
}

fn end(status: i32, what: &str) -> ! {
    // Nobody may be reading it any more, which is no reason to panic.
    let _ = match status {
        0 => writeln!(io::stdout(), "{what}"),
        _ => writeln!(io::stderr(), "chat: {what}"),
    };
    std::process::exit(status)
}

fn main() {
    let port = port().unwrap_or_else(|what| end(2, &what));
    smol::block_on(run(port)).unwrap_or_else(|error| end(1, &error.to_string()));
}
