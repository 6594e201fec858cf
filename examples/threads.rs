//! All cores: a thread each with an executor and a listening socket of its own, one hub for all of them.
//!
//!     cargo run --release --example threads
//!     cargo run --release --example threads -- --help             # its options
//!     curl http://127.0.0.1:3000/                                 # which thread is it? Ask again
//!     curl -N http://127.0.0.1:3000/ http://127.0.0.1:3000/events # one connection: its thread, then the messages
//!     curl -i -d hello http://127.0.0.1:3000/publish              # reaches the clients of every thread
//!
//! The `Server` is one as well: its limits, figures and shutdown are for all threads together, since the kernel
//! spreads the connections by chance. What the threads share is a few counters and the lock of the hub. A connection
//! stays on its thread.
//!
//! On Linux the kernel chooses the thread when a connection comes (`SO_REUSEPORT`). Elsewhere that option gives all
//! connections to one socket, or does not exist; so there the threads share one socket, and whoever is first accepts.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZero;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use async_signal::{Signal, Signals};
use clap::{Parser, value_parser};
use smol::Async;
use smol::stream::StreamExt;
use tidings::{Exchange, Hub, Limits, Response, Server, transport};

#[derive(Parser)]
struct Options {
    /// The port, 0 for any that is free.
    #[arg(long, env, default_value_t = 3000)]
    port: u16,
    /// How many threads there are; without it, one for each core.
    #[arg(long, value_parser = value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

async fn app(hub: &Hub, mut ex: Exchange<'_>) -> tidings::Result<()> {
    match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/") => {
            let (thread, connections) = (name(), ex.server().stats().connections);
            let text = format!("{thread} answers you; connections on all threads: {connections}\n");
            ex.reply(Response::text(text).header("Cache-Control", "no-store").header("Thread", thread)).await
        }
        ("GET" | "HEAD", "/poll") => transport::poll(ex, hub, &["news"]).await,
        ("GET" | "HEAD", "/wait") => transport::long_poll(ex, hub, &["news"]).await,
        ("GET" | "HEAD", "/events") => transport::sse(ex, hub, &["news"]).await,
        ("GET", "/ws") => transport::websocket(ex, hub, &["news"]).await,
        ("POST", "/publish") => {
            let id = hub.publish("news", ex.text().await?)?;
            ex.reply(Response::text(id).header("Thread", name())).await
        }
        (_, "/" | "/poll" | "/wait" | "/events") => {
            ex.reply(Response::new(405).header("Allow", "GET, HEAD")).await
        }
        (_, "/ws") => ex.reply(Response::new(405).header("Allow", "GET")).await,
        (_, "/publish") => ex.reply(Response::new(405).header("Allow", "POST")).await,
        _ => ex.reply(Response::text("there is nothing here\n").with_status(404)).await,
    }
}

/// The name of this thread.
fn name() -> String {
    thread::current().name().unwrap_or("a thread without a name").to_owned()
}

/// A listening socket for each thread.
#[cfg(target_os = "linux")]
fn listen(at: SocketAddr, threads: usize) -> io::Result<Vec<TcpListener>> {
    use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
    // The first binds without the option: a port that others listen on, another run of this too, is an error then,
    // and not shared with them.
    let first = TcpListener::bind(at)?;
    sockopt::set_socket_reuseport(&first, true)?;
    let at = first.local_addr()?;
    let mut listeners = vec![first];
    while listeners.len() < threads {
        let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        net::bind(&socket, &at)?;
        net::listen(&socket, 128)?;
        listeners.push(socket.into());
    }
    Ok(listeners)
}

/// One listening socket, shared by the threads.
#[cfg(not(target_os = "linux"))]
fn listen(at: SocketAddr, threads: usize) -> io::Result<Vec<TcpListener>> {
    let first = TcpListener::bind(at)?;
    let mut listeners = (1..threads).map(|_| first.try_clone()).collect::<io::Result<Vec<_>>>()?;
    listeners.push(first);
    Ok(listeners)
}

fn main() -> anyhow::Result<()> {
    let Options { port, threads } = Options::parse();
    let cores = || thread::available_parallelism().map_or(1, NonZero::get);
    let threads = threads.map_or_else(cores, usize::from);
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listeners =
        listen(at, threads).with_context(|| format!("cannot listen on {at}; try another --port"))?;
    let at = listeners.first().map_or(Ok(at), TcpListener::local_addr)?;
    let mut signals = Signals::new([Signal::Int, Signal::Term]).or_else(|_| Signals::new([Signal::Int]))?;
    let (server, hub) = (&Server::new(Limits::DEFAULT), &Hub::new(&Limits::DEFAULT));
    thread::scope(|scope| {
        let started = listeners.into_iter().zip(1..).try_for_each(|(listener, n)| {
            let listener = Async::new(listener)?;
            // `serve` makes the executor of its thread.
            let serve =
                move || smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(hub, ex).await));
            thread::Builder::new().name(format!("thread-{n}")).spawn_scoped(scope, serve).map(drop)
        });
        if started.is_ok() {
            let _ = write!(io::stdout(), "http://{at}/\n{threads} threads\n");
            smol::block_on(signals.next());
        }
        smol::block_on(server.shutdown(Duration::from_secs(1)));
        Ok(started?)
    })
}
