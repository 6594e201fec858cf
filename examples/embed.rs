//! A guest in a program that does something else: a device whose control loop reads sensors and switches a fan. The
//! server runs on the same executor, in one thread, with little memory. Its page shows live gauges.
//!
//!     cargo run --release --example embed                       # then open http://127.0.0.1:3000/
//!     cargo run --release --example embed -- --help             # its options
//!     curl http://127.0.0.1:3000/readings                       # the newest of each sensor
//!     curl -N 'http://127.0.0.1:3000/events?after=earliest'     # the same, and then each new one
//!
//! A reading has its sensor for a key, so the history keeps the newest of each, however often they come: who connects
//! has all gauges at once, and who was away gets the newest, without a gap.

use std::io::{self, Write};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use smol::{Async, LocalExecutor, Timer};
use tidings::{Exchange, Hub, Limits, Message, Response, Server, transport};

const PAGE: &str = include_str!("pages/embed.html");

#[derive(Parser)]
struct Options {
    /// The port, 0 for any that is free.
    #[arg(long, env, default_value_t = 3000)]
    port: u16,
    /// The time between two readings, 0.001 or more.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    every: Duration,
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let time = text.parse().ok().filter(|seconds| (0.001..=1e9).contains(seconds));
    time.map(Duration::from_secs_f64).ok_or("it is to be 0.001 to 1e9")
}

/// What the device grants to clients.
fn limits() -> Limits {
    let mut limits = Limits::DEFAULT;
    (limits.head, limits.headers, limits.body) = (4 * 1024, 32, 1024);
    (limits.connections, limits.held, limits.buffered) = (16, 12, 16 * 1024);
    (limits.topics, limits.history, limits.history_bytes) = (1, 16, 4 * 1024);
    (limits.message, limits.published, limits.batch) = (1024, 1024, 1024);
    (limits.subscription, limits.forgotten) = (1, 16);
    limits
}

async fn app(hub: &Hub, ex: Exchange<'_>) -> tidings::Result<()> {
    match (ex.method(), ex.path()) {
        ("GET" | "HEAD", "/") => ex.reply(Response::html(PAGE).header("Cache-Control", "no-store")).await,
        ("GET" | "HEAD", "/readings") => transport::poll(ex, hub, &["readings"]).await,
        ("GET" | "HEAD", "/events") => transport::sse(ex, hub, &["readings"]).await,
        (_, "/" | "/readings" | "/events") => ex.reply(Response::new(405).header("Allow", "GET, HEAD")).await,
        _ => ex.reply(Response::text("there is nothing here, see /\n").with_status(404)).await,
    }
}

/// What the program is there for. To publish never waits, so no client can hold it up.
async fn control(hub: &Hub, server: &Server, every: Duration) -> io::Result<()> {
    let (mut time, mut temperature, mut fan) = (0.0_f64, 21.0, false);
    loop {
        // A device would read its sensors here; in ours the sun heats and the fan cools.
        let sun = 50.0 + 50.0 * (time / 30.0).sin();
        temperature += sun / 200.0 - if fan { 0.7 } else { 0.05 };
        // Off at 22 °C, on at 25.
        fan = temperature > if fan { 22.0 } else { 25.0 };
        publish(hub, "Temperature", temperature, "°C", 40);
        publish(hub, "Sun", sun, "%", 100);
        publish(hub, "Fan", if fan { 900.0 } else { 0.0 }, "rpm", 1200);
        publish(hub, "Clients", server.stats().held as f64, "", server.limits().held);
        Timer::after(every).await;
        time += 1.0;
    }
}

fn publish(hub: &Hub, sensor: &str, value: f64, unit: &str, most: usize) {
    let json = format!(r#"{{"sensor":"{sensor}","value":{value:.1},"unit":"{unit}","most":{most}}}"#);
    if let Err(error) = hub.send(Message::new("readings", json).key(sensor)) {
        // The device goes on without it.
        log(format_args!("{sensor} is not published: {error}"));
    }
}

/// Nobody may be reading it any more, which is no reason to stop.
fn log(line: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn main() -> anyhow::Result<()> {
    let Options { port, every } = Options::parse();
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}; try another --port"))?;
    let limits = limits();
    let budget = limits.worst_case().div_ceil(1024);
    log(format_args!(
        "http://{}/\nat most {budget} KiB, whatever clients do",
        listener.get_ref().local_addr()?
    ));
    let (server, hub) = (Server::new(limits.clone()), Hub::new(&limits));
    let handler = async |ex: Exchange<'_>| app(&hub, ex).await;
    let executor = LocalExecutor::new();
    executor.spawn(server.serve(listener, &handler)).detach();
    // `run` polls what it is given at each wake of any task, so it is given no more than a handle.
    let control = executor.spawn(control(&hub, &server, every));
    Ok(smol::block_on(executor.run(control))?)
}
