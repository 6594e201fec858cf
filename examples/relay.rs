//! A relay: what one client sends comes back as `You said: …` and reaches the others as `Other client said: …`.
//!
//!     cargo run --example relay                    # then open http://127.0.0.1:8080/ in two tabs
//!     cargo run --example relay -- --port 3000     # or PORT=3000
//!     cargo run --example relay -- --mode reply    # only answers its sender: 服务器回应:…
//!     cargo run --example relay -- --mode others   # only reaches the others, unchanged
//!     npx wscat -c ws://127.0.0.1:8080/            # Welcome to the WebSocket server!
//!     curl -i http://127.0.0.1:8080/               # the page, which tries ten times to come back when it was cut off
//!
//! Each client has a number, and what it says is published with that as the event's name, so that each reader knows
//! its own. (As a key it would not do: of the messages with one key only the newest is kept.)
//!
//! Any page of any site may connect, as a tutorial's own page does that was opened from a file. Where that is not
//! fine, look at the request's `Origin` before `upgrade`.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use smol::Async;
use tidings::{Exchange, Hub, Limits, Message, Payload, Response, Server, Wait};

const PAGE: &str = include_str!("pages/relay.html");
const GAP: &str = "(Some messages are missing here: this connection was too slow.)";

#[derive(Parser)]
struct Options {
    /// The port, 0 for any that is free.
    #[arg(long, env, default_value_t = 8080)]
    port: u16,
    /// Whom a text reaches.
    #[arg(long, value_enum, default_value_t = Mode::Both)]
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Mode {
    /// All, each with its own wording.
    Both,
    /// Its sender only.
    Reply,
    /// All but its sender, unchanged.
    Others,
}

impl Mode {
    /// How a published text is told to its sender, or to another client; `None` if it is not.
    fn wording(self, own: bool, text: &str) -> Option<String> {
        match (self, own) {
            (Mode::Both, true) => Some(format!("You said: {text}")),
            (Mode::Both, false) => Some(format!("Other client said: {text}")),
            (Mode::Others, false) => Some(text.to_owned()),
            (Mode::Others, true) | (Mode::Reply, _) => None,
        }
    }
}

async fn app(hub: &Hub, mode: Mode, clients: &Cell<u64>, ex: Exchange<'_>) -> tidings::Result<()> {
    match (ex.method(), ex.path()) {
        (_, "/") if ex.is_upgrade() => {
            clients.set(clients.get() + 1);
            relay(hub, mode, &clients.get().to_string(), ex).await
        }
        ("GET" | "HEAD", "/") => ex.reply(Response::html(PAGE).header("Cache-Control", "no-store")).await,
        (_, "/") => ex.reply(Response::new(405).header("Allow", "GET, HEAD")).await,
        _ => ex.reply(Response::text("there is nothing here, see /\n").with_status(404)).await,
    }
}

async fn relay(hub: &Hub, mode: Mode, me: &str, ex: Exchange<'_>) -> tidings::Result<()> {
    // First the subscription, then the handshake: what is said once the client is connected reaches it.
    let mut said = hub.subscribe(&["said"], None)?;
    let mut socket = ex.upgrade(None).await?;
    if mode == Mode::Both {
        socket.send("Welcome to the WebSocket server!").await?;
    }
    loop {
        match socket.wait(said.next(), Duration::MAX).await? {
            Wait::Ready(Some(batch)) => {
                if batch.gap.is_some() {
                    socket.send(GAP).await?;
                }
                for message in &batch.messages {
                    if let Some(text) = mode.wording(message.event() == Some(me), message.data()) {
                        socket.send(text).await?;
                    }
                }
            }
            Wait::Readable => match socket.recv().await? {
                // Nobody else hears it, so it need not be published.
                Some(Payload::Text(text)) if mode == Mode::Reply => {
                    socket.send(format!("服务器回应:{text}")).await?;
                }
                Some(Payload::Text(text)) => {
                    hub.send(Message::new("said", text).event(me))?;
                }
                Some(_) => return socket.close(1003, "only text is understood here").await,
                None => return Ok(()),
            },
            Wait::Left => return Ok(()),
            _ => return socket.close(1001, "the server stops").await,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let Options { port, mode } = Options::parse();
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}; try another --port"))?;
    let mut limits = Limits::DEFAULT;
    // A longer text is closed with 1009. The history takes up to 16 KiB, so it takes all that come through.
    limits.message = 8 * 1024;
    let (server, hub, clients) = (Server::new(limits.clone()), Hub::new(&limits), Cell::new(0));
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    Ok(smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(&hub, mode, &clients, ex).await))?)
}
