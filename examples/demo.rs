//! The four transports side by side: a page in the browser, and the same messages by curl.
//!
//!     cargo run --release --example demo              # then open http://127.0.0.1:3000/
//!     cargo run --release --example demo -- --port 8080 --bind 0.0.0.0
//!     curl http://127.0.0.1:3000/poll                 # short poll: all that is kept
//!     curl 'http://127.0.0.1:3000/wait'               # long poll: waits for the next message
//!     curl -N http://127.0.0.1:3000/events            # Server-Sent Events
//!     npx wscat -c ws://127.0.0.1:3000/ws             # WebSocket
//!     curl -d hello http://127.0.0.1:3000/publish     # reaches all of them, answers with the id
//!
//! Ctrl-C or SIGTERM ends it, with a last word to every client. Whoever can reach the port may publish, so
//! `--bind` it to other addresses only where that is fine.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use async_signal::{Signal, Signals};
use smol::Async;
use smol::stream::StreamExt;
use tidings::{Exchange, Hub, Limits, Response, Server, transport};

const PAGE: &str = include_str!("pages/demo.html");
const USAGE: &str = "usage: demo [--port N] [--bind ADDR]

  --port N      the port to listen on, 0 for any that is free (default 3000)
  --bind ADDR   the IP address to listen on (default 127.0.0.1)
  --help        this text
";

async fn app(hub: &Hub, mut ex: Exchange<'_>) -> tidings::Result<()> {
    match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/") => ex.reply(Response::html(PAGE).header("Cache-Control", "no-store")).await,
        ("GET" | "HEAD", "/poll") => transport::poll(ex, hub, &["news"]).await,
        ("GET" | "HEAD", "/wait") => transport::long_poll(ex, hub, &["news"]).await,
        ("GET" | "HEAD", "/events") => transport::sse(ex, hub, &["news"]).await,
        ("GET", "/ws") => transport::websocket(ex, hub, &["news"]).await,
        ("POST", "/publish") => {
            let id = hub.publish("news", ex.text().await?)?;
            ex.reply(Response::text(id)).await
        }
        (_, "/" | "/poll" | "/wait" | "/events") => only(ex, "GET, HEAD").await,
        (_, "/ws") => only(ex, "GET").await,
        (_, "/publish") => only(ex, "POST").await,
        _ => ex.reply(Response::text("there is nothing here, see /\n").with_status(404)).await,
    }
}

async fn only(ex: Exchange<'_>, allow: &'static str) -> tidings::Result<()> {
    ex.reply(Response::text("the method is not allowed\n").with_status(405).header("Allow", allow)).await
}

async fn run(at: SocketAddr) -> io::Result<()> {
    let listener = Async::<TcpListener>::bind(at)
        .map_err(|e| io::Error::other(format!("cannot listen on {at}: {e}; try another --port or --bind")))?;
    let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
    // Windows has no SIGTERM.
    let mut signals = Signals::new([Signal::Int, Signal::Term]).or_else(|_| Signals::new([Signal::Int]))?;
    // A task of its own: beside `serve` it would be polled at each of its wakes. Dropping it would cancel it.
    let _stop = smol::spawn({
        let server = server.clone();
        async move {
            signals.next().await;
            server.shutdown(Duration::from_secs(1)).await;
        }
    });
    greet(listener.get_ref().local_addr()?);
    server.serve(listener, &async |ex: Exchange<'_>| app(&hub, ex).await).await
}

fn greet(mut at: SocketAddr) {
    let budget = Limits::DEFAULT.worst_case().div_ceil(1024);
    let listening = format!("listening on {at}; takes at most {budget} KiB, whatever its clients do");
    if at.ip().is_unspecified() {
        at.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let lines = format!(
        "{listening}\n
  page         http://{at}/
  short poll   curl http://{at}/poll
  long poll    curl 'http://{at}/wait'
  SSE          curl -N http://{at}/events
  WebSocket    npx wscat -c ws://{at}/ws
  publish      curl -d hello http://{at}/publish\n\nCtrl-C ends it.\n"
    );
    // Nobody may be reading it any more, which is no reason to stop.
    let _ = io::stdout().write_all(lines.as_bytes());
}

/// Where to listen; `None` if only help was wanted.
fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<SocketAddr>, String> {
    let (mut ip, mut port) = (IpAddr::from(Ipv4Addr::LOCALHOST), 3000);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--port" => port = value()?.parse().map_err(|_| "--port takes a number from 0 to 65535")?,
            "--bind" => ip = value()?.parse().map_err(|_| "--bind takes an IP address")?,
            _ => return Err(format!("unknown argument '{arg}'")),
        }
    }
    Ok(Some((ip, port).into()))
}

fn main() -> ExitCode {
    let (code, error) = match parse(std::env::args().skip(1)) {
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Ok(Some(at)) => match smol::block_on(run(at)) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => (1, error.to_string()),
        },
        Err(what) => (2, format!("{what}\n\n{}", USAGE.trim_end())),
    };
    eprintln!("demo: {error}");
    ExitCode::from(code)
}
