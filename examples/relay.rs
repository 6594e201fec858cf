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
use std::env;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::exit;
use std::time::Duration;

use smol::Async;
use tidings::{Exchange, Hub, Limits, Message, Payload, Response, Server, Wait};

const PAGE: &str = include_str!("pages/relay.html");
const USAGE: &str = "usage: [PORT=N] relay [--port N] [--mode both|reply|others]\n\
    N is 0 to 65535, 0 for any port that is free";
const GAP: &str = "(Some messages are missing here: this connection was too slow.)";

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Both,
    Reply,
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
                if batch.gap {
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
                Some(Payload::Binary(_)) => return socket.close(1003, "only text is understood here").await,
                None => return Ok(()),
            },
            Wait::Left => return Ok(()),
            _ => return socket.close(1001, "the server stops").await,
        }
    }
}

async fn run(port: u16, mode: Mode) -> io::Result<()> {
    let cannot =
        |error| io::Error::other(format!("cannot listen on 127.0.0.1:{port}: {error}; try another --port"));
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port)).map_err(cannot)?;
    let mut limits = Limits::DEFAULT;
    // A longer text is closed with 1009. The history takes up to 16 KiB, so it takes all that come through.
    limits.message = 8 * 1024;
    let (server, hub, clients) = (Server::new(limits.clone()), Hub::new(&limits), Cell::new(0));
    // Nobody may be reading it any more, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    server.serve(listener, &async |ex: Exchange<'_>| app(&hub, mode, &clients, ex).await).await
}

/// The port and the mode; or what is wrong with the command line.
fn options() -> Result<(u16, Mode), String> {
    let port = env::var("PORT").ok().filter(|port| !port.is_empty()).unwrap_or("8080".into());
    let mut options = [("--port", port), ("--mode", "both".into())];
    let mut args = env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    while let Some(name) = args.next() {
        let option = options.iter_mut().find(|option| option.0 == name).ok_or(name)?;
        option.1 = args.next().unwrap_or_default();
    }
    let [port, mode] = options.map(|option| option.1);
    let mode = match &*mode {
        "both" => Mode::Both,
        "reply" => Mode::Reply,
        "others" => Mode::Others,
        _ => return Err(mode),
    };
    Ok((port.parse().map_err(|_| port)?, mode))
}

fn main() {
    let (code, said) = match options().map(|(port, mode)| smol::block_on(run(port, mode))) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => (1, error.to_string()),
        Err(wrong) if wrong == "--help" => return println!("{USAGE}"),
        Err(wrong) => (2, format!("wrong argument '{wrong}'\n{USAGE}")),
    };
    eprintln!("relay: {said}");
    exit(code)
}
