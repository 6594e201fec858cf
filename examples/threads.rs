//! All cores: a thread each with an executor and a listening socket of its own, one hub for all of them.
//!
//!     cargo run --release --example threads                       # --threads N, --port N or PORT
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

use std::env;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZero;
use std::process::exit;
use std::thread;
use std::time::Duration;

use async_signal::{Signal, Signals};
use smol::Async;
use smol::stream::StreamExt;
use tidings::{Exchange, Hub, Limits, Response, Server, transport};

const USAGE: &str = "usage: [PORT=N] threads [--port N] [--threads N]\n\
    a port is 0 to 65535, 0 for any that is free; there are 1 to 256 threads, else one for each core";

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

fn run(port: u16, threads: usize) -> io::Result<()> {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let cannot = |error| io::Error::other(format!("cannot listen on {at}: {error}; try another --port"));
    let listeners = listen(at, threads).map_err(cannot)?;
    let at = listeners.first().map_or(Ok(at), TcpListener::local_addr)?;
    let mut signals = Signals::new([Signal::Int, Signal::Term]).or_else(|_| Signals::new([Signal::Int]))?;
    let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
    let (server, hub) = (&server, &hub);
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
        started
    })
}

/// The port and the number of threads; or what is wrong with the command line.
fn options() -> Result<(u16, usize), String> {
    let port = env::var("PORT").ok().filter(|port| !port.is_empty()).unwrap_or("3000".into());
    let cores = thread::available_parallelism().map_or(1, NonZero::get).min(256);
    let mut options = [("--port", port), ("--threads", cores.to_string())];
    let mut args = env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    while let Some(name) = args.next() {
        let option = options.iter_mut().find(|option| option.0 == name).ok_or(name)?;
        option.1 = args.next().unwrap_or_default();
    }
    let [port, threads] = options.map(|option| option.1);
    let number = threads.parse().ok().filter(|number| (1..=256).contains(number));
    Ok((port.parse().map_err(|_| port)?, number.ok_or(threads)?))
}

fn main() {
    let (code, said) = match options().map(|(port, threads)| run(port, threads)) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => (1, error.to_string()),
        Err(wrong) if wrong == "--help" => return println!("{USAGE}"),
        Err(wrong) => (2, format!("wrong argument '{wrong}'\n{USAGE}")),
    };
    eprintln!("threads: {said}");
    exit(code)
}
