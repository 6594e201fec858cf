//! The usual server on a Unix socket, and with it an accept loop of one's own, for whatever listener there is.
//!
//!     cargo run --release --example unix_socket                  # --path FILE, by default tidings.sock in this folder
//!     curl --unix-socket tidings.sock http://localhost/poll      # the host name does not matter
//!     curl --unix-socket tidings.sock -N http://localhost/events
//!     curl --unix-socket tidings.sock -d hello http://localhost/publish
//!
//! Whoever may write to the file may connect: it is made for its owner only (0600). To let a group in, `chgrp` and
//! `chmod 660` it, and keep it in a folder in which nobody else may write.
//!
//! A file left over from a run that was killed is replaced. One that somebody listens on, or that is no socket, is
//! not touched. Ctrl-C or SIGTERM removes it and ends the program, with a last word to every client.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use async_signal::{Signal, Signals};
use clap::Parser;
use rustix::fs::{FlockOperation, flock};
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketType};
use smol::net::unix::{UnixListener, UnixStream};
use smol::stream::StreamExt;
use smol::{Timer, future};
use tidings::{Conn, Exchange, Hub, Limits, Response, Server, transport};

#[derive(Parser)]
struct Options {
    /// The file of the socket.
    #[arg(long, value_name = "FILE", default_value = "tidings.sock")]
    path: PathBuf,
}

async fn app(hub: &Hub, mut ex: Exchange<'_>) -> tidings::Result<()> {
    match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/poll") => transport::poll(ex, hub, &["news"]).await,
        ("GET" | "HEAD", "/wait") => transport::long_poll(ex, hub, &["news"]).await,
        ("GET" | "HEAD", "/events") => transport::sse(ex, hub, &["news"]).await,
        ("GET", "/ws") => transport::websocket(ex, hub, &["news"]).await,
        ("POST", "/publish") => {
            let id = hub.publish("news", ex.text().await?)?;
            ex.reply(Response::text(id)).await
        }
        (_, "/poll" | "/wait" | "/events") => ex.reply(Response::new(405).header("Allow", "GET, HEAD")).await,
        (_, "/ws") => ex.reply(Response::new(405).header("Allow", "GET")).await,
        (_, "/publish") => ex.reply(Response::new(405).header("Allow", "POST")).await,
        _ => ex.reply(Response::text("there is nothing here\n").with_status(404)).await,
    }
}

/// Answers one connection's requests until there are no more.
async fn converse(mut conn: Conn, hub: Hub) {
    while let Ok(Some(ex)) = conn.next().await {
        if let Err(error) = app(&hub, ex).await {
            return conn.fail(&error).await;
        }
    }
}

/// Accepts for ever, and waits for nothing else here: what a client leaves out holds up a task of its own only.
async fn accept(listener: UnixListener, server: &Server, hub: &Hub) {
    let mut pause = Duration::from_millis(10);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // `Conn::new` counts: one above `Limits::connections` is told 503 and closed.
                smol::spawn(converse(Conn::new(stream, server), hub.clone())).detach();
                pause = Duration::from_millis(10);
            }
            Err(error) => {
                // With no descriptor left, trying again at once would spin.
                let _ = writeln!(io::stderr(), "cannot accept: {error}");
                Timer::after(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}

/// Locks the folder of the socket until the file is dropped: of two programs that start at once, one would take the
/// other's socket for left over.
fn lock(path: &Path) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new(".")))?;
    flock(&folder, FlockOperation::LockExclusive)?;
    Ok(folder)
}

/// Removes a socket on which nobody listens, and nothing else.
async fn clear(path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => ensure!(found?.file_type().is_socket(), "there is a file that is no socket"),
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(fs::remove_file(path)?),
        _ => bail!("somebody listens there"),
    }
}

async fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let _lock = lock(path)?;
    clear(path).await?;
    let socket = net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Nobody can connect before it listens.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    net::listen(&socket, 128)?;
    Ok(std::os::unix::net::UnixListener::from(socket).try_into()?)
}

async fn run(path: &Path) -> anyhow::Result<()> {
    let listener = listen(path).await.with_context(|| format!("cannot listen on {}", path.display()))?;
    let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
    let mut signals = Signals::new([Signal::Int, Signal::Term])?;
    let _ = writeln!(io::stdout(), "listening: curl --unix-socket {} http://localhost/poll", path.display());
    let serve = async {
        future::or(accept(listener, &server, &hub), async { drop(signals.next().await) }).await;
        server.shutdown(Duration::from_secs(1)).await;
    };
    // `tick` keeps the deadlines of all connections.
    future::or(serve, server.tick()).await;
    if let Ok(_lock) = lock(path) {
        // If it is another's by now, it stays.
        let _ = clear(path).await;
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    smol::block_on(run(&Options::parse().path))
}
