//! The four transports side by side: a page that shows what each costs, and the same messages by curl.
//!
//!     cargo run --release --example demo              # then open http://127.0.0.1:3000/
//!     cargo run --release --example demo -- --port 8080 --bind 0.0.0.0
//!     curl http://127.0.0.1:3000/poll                 # short poll: all that is kept
//!     curl 'http://127.0.0.1:3000/wait'               # long poll: waits for the next message
//!     curl -N http://127.0.0.1:3000/events            # Server-Sent Events
//!     npx wscat -c ws://127.0.0.1:3000/ws             # WebSocket
//!     curl -d hello http://127.0.0.1:3000/publish     # reaches all of them, answers with the id
//!
//! What the page's buttons do, and the figures that it shows:
//!
//!     curl -X POST http://127.0.0.1:3000/burst        # 1,000 messages, more than the history keeps
//!     curl -X POST 'http://127.0.0.1:3000/cut?transport=sse'
//!     curl -X POST http://127.0.0.1:3000/restart      # a new log: whoever reads is told of the gap
//!     curl http://127.0.0.1:3000/stats
//!     curl -X POST http://127.0.0.1:3000/countdown    # begins a topic that ends by itself; answers with its name
//!     curl -N http://127.0.0.1:3000/countdown/ID -H 'Accept: text/event-stream'
//!
//! Ctrl-C or SIGTERM ends it, with a last word to every client. Whoever can reach the port may publish, so
//! `--bind` it to other addresses only where that is fine.

#[path = "demo/countdown.rs"]
mod countdown;
#[path = "demo/toys.rs"]
mod toys;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context as _;
use async_signal::{Signal, Signals};
use clap::Parser;
use smol::Async;
use smol::stream::StreamExt;
use tidings::{Exchange, Limits, Response, Server, transport};

use self::toys::{Demo, file, is_foreign};

const NEWS: &[&str] = &["news"];

#[derive(Parser)]
struct Options {
    /// The port, 0 for any that is free.
    #[arg(long, env, default_value_t = 3000)]
    port: u16,
    /// The address to listen on.
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST.into())]
    bind: IpAddr,
}

async fn app(demo: &Demo, mut ex: Exchange<'_>) -> tidings::Result<()> {
    let hub = &demo.hub;
    match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/poll") => demo.poll.serve(transport::poll(ex, hub, NEWS)).await,
        ("GET" | "HEAD", "/wait") => demo.wait.serve(transport::long_poll(ex, hub, NEWS)).await,
        ("GET" | "HEAD", "/events") => demo.sse.serve(transport::sse(ex, hub, NEWS)).await,
        ("GET", "/ws") => demo.ws.serve(transport::websocket(ex, hub, NEWS)).await,
        ("POST", "/publish") => {
            let id = demo.publish([ex.text().await?])?;
            ex.reply(Response::text(id)).await
        }
        ("GET" | "HEAD", path) if path.starts_with("/countdown/") => countdown::follow(ex, hub).await,
        ("POST", "/burst" | "/cut" | "/restart" | "/countdown") if is_foreign(ex.head()) => {
            ex.reply(Response::text("only for this server's own page\n").with_status(403)).await
        }
        ("POST", "/burst") => demo.burst(ex).await,
        ("POST", "/cut") => demo.cut(ex).await,
        ("POST", "/countdown") => countdown::begin(ex, hub).await,
        ("POST", "/restart") => ex.reply(Response::text(demo.restart())).await,
        ("GET" | "HEAD", "/stats") => {
            let stats = Response::json(demo.stats(&ex)?).header("Cache-Control", "no-store");
            ex.reply(stats).await
        }
        (method, path) => {
            let answer = file(method, path);
            ex.reply(answer).await
        }
    }
}

fn greet(mut at: SocketAddr, limits: &Limits) {
    let budget = limits.worst_case().div_ceil(1024);
    let listening =
        format!("listening on {at}; server and hub take at most {budget} KiB, whatever clients do");
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

fn main() -> anyhow::Result<()> {
    let Options { port, bind } = Options::parse();
    let at = SocketAddr::from((bind, port));
    let listener = Async::<TcpListener>::bind(at)
        .with_context(|| format!("cannot listen on {at}; try another --port or --bind"))?;
    let mut limits = Limits::DEFAULT;
    // Room for all news that is kept, and for countdowns beside it.
    limits.history_bytes = 128 * 1024;
    let (server, demo) = (Server::new(limits.clone()), Demo::new(&limits));
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
    greet(listener.get_ref().local_addr()?, &limits);
    Ok(smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(&demo, ex).await))?)
}
