//! A server to attack: what the demo has, limits of choice, and routes that misbehave. For tests/full.d.
//!
//!     cargo run --release --example lab -- --port 3000 --limit head_time=1.5 --limit connections=2000
//!     curl http://127.0.0.1:3000/stats
//!
//! `--limit` takes a field of `Limits` (times in seconds), `--unix PATH` listens there instead of on a port, and
//! with `--grain N` every read of a connection returns at most N bytes.

use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::unix::UnixListener;
use tidings::{Conn, Exchange, Hub, Io, Limits, Message, Response, Server, transport};

async fn app(hub: &Hub, mut ex: Exchange<'_>) -> tidings::Result<()> {
    match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/") => ex.reply(Response::text("lab\n").header("Cache-Control", "no-store")).await,
        ("GET" | "HEAD", "/poll") => transport::poll(ex, hub, &["news"]).await,
        ("GET" | "HEAD", "/wait") => transport::long_poll(ex, hub, &["news"]).await,
        ("GET" | "HEAD", "/events") => transport::sse(ex, hub, &["news"]).await,
        #[cfg(feature = "ws")]
        ("GET", "/ws") => transport::websocket(ex, hub, &["news"]).await,
        #[cfg(feature = "ws")]
        ("GET", "/socket") => {
            let mut socket = ex.upgrade(None).await?;
            while let Some(message) = socket.recv().await? {
                socket.send(message).await?;
            }
            Ok(())
        }
        ("POST", "/publish") => {
            let message = Message::new("news", ex.text().await?);
            let id = match ex.head().query("event") {
                Some(event) => hub.send(message.event(&event))?,
                None => hub.send(message)?,
            };
            ex.reply(Response::text(id)).await
        }
        ("POST", "/echo") => {
            let body = ex.body().await?;
            ex.reply(Response::new(200).header("Content-Type", "application/octet-stream").body(body)).await
        }
        ("GET", "/stats") => {
            let figures = stats(ex.server(), hub);
            ex.reply(Response::json(figures).header("Cache-Control", "no-store")).await
        }
        ("GET", "/endless") => {
            let mut stream = ex.stream(Response::new(200).header("Content-Type", "text/plain")).await?;
            loop {
                stream.write(&[b'x'; 16 * 1024]).await?;
            }
        }
        ("GET", "/panic") => {
            let held = ex.hold();
            panic!("as asked, held: {held}")
        }
        (_, "/publish" | "/echo") => only(ex, "POST").await,
        (_, "/" | "/poll" | "/wait" | "/events") => only(ex, "GET, HEAD").await,
        (_, "/ws" | "/socket" | "/stats" | "/endless" | "/panic") => only(ex, "GET").await,
        _ => ex.reply(Response::text("there is nothing here\n").with_status(404)).await,
    }
}

async fn only(ex: Exchange<'_>, allow: &'static str) -> tidings::Result<()> {
    ex.reply(Response::text("the method is not allowed\n").with_status(405).header("Allow", allow)).await
}

fn stats(server: &Server, hub: &Hub) -> String {
    let (of, kept) = (server.stats(), hub.stats());
    format!(
        r#"{{"connections":{},"held":{},"buffered":{},"accepted":{},"refused":{},"requests":{},"#,
        of.connections, of.held, of.buffered, of.accepted, of.refused, of.requests
    ) + &format!(
        r#""topics":{},"messages":{},"bytes":{},"readers":{},"gaps":{}}}"#,
        kept.topics, kept.messages, kept.bytes, kept.readers, kept.gaps
    )
}

/// Sets the field of `Limits` that `NAME=VALUE` names.
fn set(limits: &mut Limits, setting: &str) -> Option<()> {
    let (name, value) = setting.split_once('=')?;
    let number = match name {
        "head" => &mut limits.head,
        "headers" => &mut limits.headers,
        "body" => &mut limits.body,
        "chunk_overhead" => &mut limits.chunk_overhead,
        "connections" => &mut limits.connections,
        "held" => &mut limits.held,
        "per_ip" => limits.per_ip.insert(0),
        "buffered" => &mut limits.buffered,
        "topics" => &mut limits.topics,
        "name" => &mut limits.name,
        "subscription" => &mut limits.subscription,
        "forgotten" => &mut limits.forgotten,
        "history" => &mut limits.history,
        "history_bytes" => &mut limits.history_bytes,
        "published" => &mut limits.published,
        "batch" => &mut limits.batch,
        "message" => &mut limits.message,
        _ => return set_time(limits, name, Duration::try_from_secs_f64(value.parse().ok()?).ok()?),
    };
    *number = value.parse().ok()?;
    Some(())
}

fn set_time(limits: &mut Limits, name: &str, value: Duration) -> Option<()> {
    let time = match name {
        "head_time" => &mut limits.head_time,
        "body_time" => &mut limits.body_time,
        "idle" => &mut limits.idle,
        "write_time" => &mut limits.write_time,
        "linger" => &mut limits.linger,
        "poll_wait" => &mut limits.poll_wait,
        "ping" => &mut limits.ping,
        "pong" => &mut limits.pong,
        "stream_age" => limits.stream_age.insert(value),
        "message_age" => limits.message_age.insert(value),
        "topic_age" => limits.topic_age.insert(value),
        "retry" => {
            limits.retry = (value, value);
            return Some(());
        }
        _ => return None,
    };
    *time = value;
    Some(())
}

/// A stream whose reads return at most so many bytes.
struct Grain<S>(S, usize);

impl<S: AsyncRead + Unpin> AsyncRead for Grain<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let most = self.1.min(buf.len());
        Pin::new(&mut self.0).poll_read(cx, &mut buf[..most])
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Grain<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// A loop of one's own: what `serve` does, on any stream.
async fn converse(io: impl Io + 'static, server: Server, hub: Hub) {
    let mut conn = Conn::new(io, &server);
    while let Ok(Some(ex)) = conn.next().await {
        if let Err(error) = app(&hub, ex).await {
            return conn.fail(&error).await;
        }
    }
}

async fn run(limits: Limits, port: u16, unix: Option<String>, grain: Option<usize>) -> io::Result<()> {
    println!("worst_case {}", limits.worst_case());
    let (server, hub) = (Server::new(limits.clone()), Hub::new(&limits));
    let deadlines = server.clone();
    if let Some(path) = unix {
        let listener = UnixListener::bind(&path)?;
        println!("unix {path}");
        smol::spawn(async move { deadlines.tick().await }).detach();
        loop {
            let stream = Grain(listener.accept().await?.0, grain.unwrap_or(usize::MAX));
            smol::spawn(converse(stream, server.clone(), hub.clone())).detach();
        }
    }
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))?;
    println!("http://{}", listener.get_ref().local_addr()?);
    let Some(grain) = grain else {
        return server.serve(listener, &async |ex: Exchange<'_>| app(&hub, ex).await).await;
    };
    smol::spawn(async move { deadlines.tick().await }).detach();
    loop {
        let stream = Grain(smol::net::TcpStream::from(listener.accept().await?.0), grain);
        smol::spawn(converse(stream, server.clone(), hub.clone())).detach();
    }
}

fn main() -> io::Result<()> {
    let (mut limits, mut port, mut unix, mut grain) = (Limits::DEFAULT, 0, None, None);
    let mut args = std::env::args().skip(1);
    while let (Some(option), Some(value)) = (args.next(), args.next()) {
        let known = match option.as_str() {
            "--limit" => set(&mut limits, &value),
            "--port" => value.parse().ok().map(|value| port = value),
            "--unix" => Some(&value).map(|path| unix = Some(path.clone())),
            "--grain" => value.parse().ok().map(|value| grain = Some(value)),
            _ => None,
        };
        known.ok_or_else(|| io::Error::other(format!("{option} {value}: what is that?")))?;
    }
    smol::block_on(run(limits, port, unix, grain))
}
