//! What the load tool of a benchmark asks for, built from the public API and the transports as they are: what is
//! measured is what users get.
//!
//!     cargo run --release --example bench_server -- 3000        # one thread; a second number sets how many
//!     curl http://127.0.0.1:3000/time                           # a fixed time, 25 bytes
//!     curl http://127.0.0.1:3000/poll                           # long poll
//!     curl -N http://127.0.0.1:3000/events                      # Server-Sent Events; /ws is a WebSocket
//!     curl -d hello http://127.0.0.1:3000/publish               # reaches all of them; /echo is a WebSocket echo

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use smol::Async;
use tidings::{Exchange, Hub, Limits, Response, Server, transport};

async fn app(hub: &Hub, ex: Exchange<'_>) -> tidings::Result<()> {
    let answer = match (ex.method(), ex.path()) {
        ("GET", "/time") => Response::text("2026-01-01T00:00:00+00:00"),
        ("GET", "/poll") => return transport::long_poll(ex, hub, &["bench"]).await,
        ("GET", "/events") => return transport::sse(ex, hub, &["bench"]).await,
        ("GET", "/ws") => return transport::websocket(ex, hub, &["bench"]).await,
        // Boxed: each request takes the memory of the largest of these futures.
        ("GET", "/echo") => return Box::pin(echo(ex)).await,
        ("POST", "/publish") => return Box::pin(publish(hub, ex)).await,
        _ => Response::new(404),
    };
    ex.reply(answer).await
}

async fn publish(hub: &Hub, mut ex: Exchange<'_>) -> tidings::Result<()> {
    let id = hub.publish("bench", ex.text().await?)?;
    ex.reply(Response::text(id)).await
}

async fn echo(ex: Exchange<'_>) -> tidings::Result<()> {
    let mut socket = ex.upgrade(None).await?;
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

/// Room for the 10,000 connections of the load tool, all from one address.
fn limits() -> Limits {
    let mut limits = Limits::DEFAULT;
    (limits.connections, limits.held) = (20_000, 20_000);
    (limits.message, limits.buffered) = (1 << 20, 16 << 20);
    // A connection that the load tool leaves alone for a while is no idle one.
    limits.idle = Duration::from_secs(300);
    limits
}

fn main() -> io::Result<()> {
    let mut numbers =
        std::env::args().skip(1).map(|arg| arg.parse::<u16>().map_err(|_| io::ErrorKind::InvalidInput));
    let port = numbers.next().unwrap_or(Ok(3000))?;
    let threads = numbers.next().unwrap_or(Ok(1))?;
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let (server, hub) = (Server::new(limits()), Hub::new(&limits()));
    let listener = TcpListener::bind(at)?;
    println!("http://127.0.0.1:{}", listener.local_addr()?.port());
    std::thread::scope(|scope| {
        // All threads accept from the one listener, and share the limits and the hub.
        for _ in 1..threads {
            scope.spawn(|| serve(&server, &hub, listener.try_clone()?));
        }
        serve(&server, &hub, listener.try_clone()?)
    })
}

fn serve(server: &Server, hub: &Hub, listener: TcpListener) -> io::Result<()> {
    let listener = Async::new(listener)?;
    smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(hub, ex).await))
}
