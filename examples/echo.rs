//! Echoes what it gets: any request's body, and on an upgrade every WebSocket message. For conformance tests.
//!
//!     cargo run --release --example echo -- --port 3000
//!     curl -d hello http://127.0.0.1:3000/

use std::net::TcpListener;

use smol::Async;
use tidings::{Exchange, Limits, Response, Server};

async fn echo(mut ex: Exchange<'_>) -> tidings::Result<()> {
    // Not `is_upgrade`: an `Upgrade: websocket` alone is one that a server may ignore, and here it is ignored.
    let fields = ["sec-websocket-key", "sec-websocket-version"];
    if ex.head().headers().any(|(name, _)| fields.iter().any(|field| name.eq_ignore_ascii_case(field))) {
        let mut socket = ex.upgrade(None).await?;
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?;
        }
        return Ok(());
    }
    let body = ex.body().await?;
    ex.reply(Response::new(200).header("Content-Type", "application/octet-stream").body(body)).await
}

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let port = args.iter().position(|arg| arg == "--port").and_then(|at| args.get(at + 1)?.parse().ok());
    let mut limits = Limits::DEFAULT;
    (limits.body, limits.message, limits.buffered) = (16 << 20, 16 << 20, 64 << 20);
    let server = Server::new(limits);
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port.unwrap_or(3000)))?;
    println!("http://{}", listener.get_ref().local_addr()?);
    smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| echo(ex).await))
}
