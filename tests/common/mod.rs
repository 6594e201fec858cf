//! What the tests share: a pipe in memory, a server on it, and clients.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

pub mod client;
pub mod pipe;

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use smol::LocalExecutor;
use smol::future::FutureExt as _;
use tidings::transport::Options;
use tidings::{Conn, Exchange, Hub, Id, Io, Limits, ManualClock, Response, Server, transport};

use pipe::End;

/// A server in memory with the usual routes.
pub struct World {
    pub server: Server,
    pub hub: Hub,
    pub executor: Rc<LocalExecutor<'static>>,
}

impl World {
    /// Runs a test in a world with these limits; fails it if it hangs.
    pub fn run<F: Future<Output = ()>>(limits: Limits, test: impl FnOnce(World) -> F) {
        World::run_on(Server::new(limits), test);
    }

    /// Runs a test in a world whose clock it advances itself.
    pub fn run_by<F: Future<Output = ()>>(
        clock: &ManualClock,
        limits: Limits,
        test: impl FnOnce(World) -> F,
    ) {
        World::run_on(Server::with_clock(limits, clock), test);
    }

    fn run_on<F: Future<Output = ()>>(server: Server, test: impl FnOnce(World) -> F) {
        let hub = Hub::new(server.limits());
        let world = World { server: server.clone(), hub, executor: Rc::new(LocalExecutor::new()) };
        let executor = world.executor.clone();
        executor.spawn(async move { server.tick().await }).detach();
        smol::block_on(executor.run(in_time(test(world))));
    }

    /// A connection to the server.
    pub fn connect(&self) -> End {
        let (client, end) = pipe::pipe();
        self.serve(end);
        client
    }

    /// Waits until this many requests are held.
    pub async fn held(&self, count: usize) {
        while self.server.stats().held != count {
            smol::future::yield_now().await;
        }
    }

    /// Serves a stream.
    pub fn serve(&self, io: impl Io + 'static) {
        let conn = Conn::new(io, &self.server);
        self.executor.spawn(converse(conn, self.hub.clone())).detach();
    }
}

/// Fails a test that hangs.
pub async fn in_time<T>(test: impl Future<Output = T>) -> T {
    let hangs = async {
        smol::Timer::after(Duration::from_secs(20)).await;
        panic!("the test hangs");
    };
    // Looked at first: else the wake-up of this timer would stand in for one that was lost.
    hangs.or(test).await
}

/// The loop that an embedder writes.
pub async fn converse(mut conn: Conn, hub: Hub) {
    while let Ok(Some(ex)) = conn.next().await {
        if let Err(error) = app(&hub, ex).await {
            conn.fail(&error).await;
            break;
        }
    }
}

/// From the beginning, and only what is there.
const FOLLOW: Options = Options::DEFAULT.start(Id::EARLIEST).must_exist();

/// The usual routes.
pub async fn app(hub: &Hub, mut ex: Exchange<'_>) -> tidings::Result<()> {
    if ex.head().header("Origin").is_some() {
        ex.add_header("Access-Control-Allow-Origin", "*")?;
    }
    match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/poll") => transport::poll(ex, hub, &["news"]).await,
        ("GET" | "HEAD", "/wait") => transport::long_poll(ex, hub, &["news"]).await,
        ("GET" | "HEAD", "/events") => transport::sse(ex, hub, &["news"]).await,
        ("GET" | "HEAD", "/ws") => transport::websocket(ex, hub, &["news"]).await,
        ("GET" | "HEAD" | "POST", "/any") => transport::any(ex, hub, &["news", "weather"]).await,
        ("GET" | "HEAD", "/follow") => FOLLOW.any(ex, hub, &["news", "weather", "sport"]).await,
        ("GET", "/socket") => {
            let mut socket = ex.upgrade(None).await?;
            while let Some(message) = socket.recv().await? {
                socket.send(message).await?;
            }
            Ok(())
        }
        ("POST", "/publish") => {
            let id = hub.publish("news", ex.text().await?)?;
            ex.reply(Response::text(id)).await
        }
        ("POST", "/echo") => {
            let body = ex.body().await?;
            ex.reply(Response::new(200).body(body)).await
        }
        ("POST", "/stream") => {
            let body = ex.body().await?;
            let mut stream = ex.stream(Response::new(200)).await?;
            for piece in body.chunks(3) {
                stream.write(piece).await?;
            }
            stream.finish().await
        }
        (_, "/silent") => Ok(()),
        (_, "/torn") => {
            let mut stream = ex.stream(Response::new(200)).await?;
            stream.write(b"half").await
        }
        (_, "/error") => Err(tidings::Error::other("secret")),
        // Of a file of its own, say: the connection is well.
        (_, "/io-error") => Err(std::io::Error::other("secret").into()),
        ("GET" | "HEAD", "/") => ex.reply(Response::text("hello")).await,
        ("GET", "/empty") => ex.reply(Response::new(204)).await,
        _ => ex.reply(Response::new(404)).await,
    }
}
