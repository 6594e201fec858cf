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
//!
//! Ctrl-C or SIGTERM ends it, with a last word to every client. Whoever can reach the port may publish, so
//! `--bind` it to other addresses only where that is fine.

#[path = "demo/toys.rs"]
mod toys;

use std::env;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::exit;
use std::time::Duration;

use async_signal::{Signal, Signals};
use smol::Async;
use smol::stream::StreamExt;
use tidings::{Exchange, Limits, Response, Server, transport};

use self::toys::{Demo, file, is_foreign};

const NEWS: &[&str] = &["news"];
const USAGE: &str = "usage: [PORT=N] demo [--port N] [--bind ADDR]\n\
    N is 0 to 65535, 0 for any port that is free; ADDR is an IP address, else 127.0.0.1";

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
        ("POST", "/burst" | "/cut" | "/restart") if is_foreign(ex.head()) => {
            ex.reply(Response::text("only for this server's own page\n").with_status(403)).await
        }
        ("POST", "/burst") => demo.burst(ex).await,
        ("POST", "/cut") => demo.cut(ex).await,
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

async fn run(at: SocketAddr) -> io::Result<()> {
    let listener = Async::<TcpListener>::bind(at)
        .map_err(|e| io::Error::other(format!("cannot listen on {at}: {e}; try another --port or --bind")))?;
    let (server, demo) = (Server::new(Limits::DEFAULT), Demo::new());
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
    server.serve(listener, &async |ex: Exchange<'_>| app(&demo, ex).await).await
}

fn greet(mut at: SocketAddr) {
    let budget = Limits::DEFAULT.worst_case().div_ceil(1024);
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

/// Where to listen, or what is wrong with the command line.
fn options() -> Result<SocketAddr, String> {
    let port = env::var("PORT").ok().filter(|port| !port.is_empty()).unwrap_or("3000".into());
    let mut options = [("--port", port), ("--bind", "127.0.0.1".into())];
    let mut args = env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    while let Some(name) = args.next() {
        let option = options.iter_mut().find(|option| option.0 == name).ok_or(name)?;
        option.1 = args.next().unwrap_or_default();
    }
    let [port, bind] = options.map(|option| option.1);
    let ip: IpAddr = bind.parse().map_err(|_| bind)?;
    Ok((ip, port.parse().map_err(|_| port)?).into())
}

fn main() {
    let (code, said) = match options().map(|at| smol::block_on(run(at))) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => (1, error.to_string()),
        Err(wrong) if wrong == "--help" => return println!("{USAGE}"),
        Err(wrong) => (2, format!("wrong argument '{wrong}'\n{USAGE}")),
    };
    eprintln!("demo: {said}");
    exit(code)
}
