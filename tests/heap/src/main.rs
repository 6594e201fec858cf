//! The heap of a hub, and of a server with a hub, under hostile workloads, with limits drawn between a quarter and 16 times
//! the defaults: it stays below what `Limits::worst_case` promises, and what is promised is at most four times what the worst
//! of them takes.
//!
//! `TIDINGS_SEEDS=n` sets how many limits are drawn (20), `TIDINGS_SEED=n` runs one.

mod connections;
mod peer;
#[path = "../../common/random.rs"]
mod random;

use std::pin::pin;
use std::task::{Context, Waker};

use peak_alloc::PeakAlloc;
use random::Rng;
use tidings::{Frame, Hub, Id, Limits, Message, Subscription};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Something between a quarter of it and 16 times it.
fn draw(rng: &mut Rng, usual: usize) -> usize {
    let quarters = 1 << rng.below(7);
    usual * quarters / 4
}

/// Limits of a hub alone: nothing is promised for connections.
fn limits(rng: &mut Rng) -> Limits {
    let mut limits = Limits::DEFAULT;
    (limits.connections, limits.held, limits.buffered) = (0, 0, 0);
    for field in [
        &mut limits.topics,
        &mut limits.name,
        &mut limits.subscription,
        &mut limits.forgotten,
        &mut limits.history,
        &mut limits.history_bytes,
        &mut limits.published,
        &mut limits.batch,
    ] {
        *field = draw(rng, *field);
    }
    limits
}

/// A name of its own, as long as it may be.
fn name(number: usize, limits: &Limits) -> String {
    format!("{number:0>width$}", width = limits.name)
}

/// What it does to a hub; the list of readers is its own memory, and has room already.
type Workload = fn(&Hub, &Limits, &mut Vec<Subscription>);

const WORKLOADS: [(&str, Workload); 8] = [
    ("all tables are full", all_tables),
    ("topics with long names", topics),
    ("ends with long reasons", ends),
    ("keys that come and go", keys),
    ("small messages", small),
    ("the largest messages, framed", large),
    ("answers that keep all, framed", answers),
    ("removals", removals),
];

/// Who ignores what is refused, as somebody hostile does.
fn publish(hub: &Hub, message: Message) {
    let _refused = hub.send(message);
}

fn topics(hub: &Hub, limits: &Limits, read: &mut Vec<Subscription>) {
    (0..2 * limits.topics).for_each(|n| publish(hub, Message::new(&name(n, limits), "")));
    // So that they stay also without a message.
    let subscribe = |n: usize| hub.subscribe(&[&name(n + limits.topics, limits)], None).ok();
    read.extend((0..limits.topics).filter_map(subscribe));
    let one = name(limits.topics, limits);
    (0..limits.history).for_each(|_| publish(hub, Message::new(&one, "x".repeat(100))));
}

/// The reasons stay known though the ends have left.
fn ends(hub: &Hub, limits: &Limits, _: &mut Vec<Subscription>) {
    for n in 0..2 * limits.topics {
        if let Ok(answer) = hub.begin(&name(n, limits)) {
            let _refused = answer.finish_with(&"r".repeat(limits.name));
        }
    }
}

fn keys(hub: &Hub, limits: &Limits, _: &mut Vec<Subscription>) {
    let count = limits.history + limits.forgotten + limits.history_bytes / 400;
    for round in 0..2 {
        (round..count).for_each(|n| publish(hub, Message::new("devices", "").key(&n.to_string())));
    }
}

fn removals(hub: &Hub, limits: &Limits, _: &mut Vec<Subscription>) {
    for n in 0..limits.history_bytes / 200 {
        publish(hub, Message::new("devices", "").key(&n.to_string()));
        let _refused = hub.remove("devices", &n.to_string());
    }
}

fn small(hub: &Hub, limits: &Limits, _: &mut Vec<Subscription>) {
    (0..limits.history_bytes / 200).for_each(|n| publish(hub, Message::new(&(n % 50).to_string(), "")));
}

/// Frames what there is, as the transports do.
fn frame(hub: &Hub, topic: &str) {
    let Ok(mut reader) = hub.read(&[topic], Some(Id::EARLIEST)) else { return };
    while let Some(batch) = reader.try_next() {
        for message in &batch.messages {
            for kind in [Frame::Sse, Frame::Json, Frame::WebSocket] {
                message.frame(kind, |message| vec![b'.'; message.data().len() + message.topic().len()]);
            }
        }
    }
}

/// Publishes a message that takes so many bytes to write, or as many as the history has room for.
fn publish_large(hub: &Hub, limits: &Limits, written: usize) {
    // In the history it takes more than to write it.
    let most = written.saturating_sub(4).min(limits.history_bytes - 600);
    publish(hub, Message::new("news", "x".repeat(most)));
}

fn large(hub: &Hub, limits: &Limits, _: &mut Vec<Subscription>) {
    for _ in 0..8 + 2 * limits.history_bytes / limits.published {
        publish_large(hub, limits, limits.published);
        frame(hub, "news");
    }
}

fn answers(hub: &Hub, limits: &Limits, _: &mut Vec<Subscription>) {
    let mut running = Vec::new();
    let bounds = hub.bounds().keep_all(limits.history_bytes / 5);
    for n in 0..8 {
        let topic = n.to_string();
        if let Ok(answer) = hub.begin_with(&topic, &bounds) {
            while answer.send("x".repeat(40)).is_ok() {}
            running.push(answer);
        }
        frame(hub, &topic);
    }
}

/// So many topics leave that what the hub knows of them fills its table.
fn forget(hub: &Hub, limits: &Limits) {
    (0..limits.topics + limits.forgotten + 1)
        .for_each(|n| publish(hub, Message::new(&format!("gone{n}"), "")));
}

/// So many keys leave a topic that what the hub knows of them fills its table.
fn lose_keys(hub: &Hub, limits: &Limits, topic: &str) {
    for n in 0..limits.history + limits.forgotten + limits.history_bytes / 400 {
        publish(hub, Message::new(topic, "").key(&n.to_string()));
    }
}

fn all_tables(hub: &Hub, limits: &Limits, read: &mut Vec<Subscription>) {
    forget(hub, limits);
    lose_keys(hub, limits, &name(0, limits));
    topics(hub, limits, read);
    large(hub, limits, read);
}

/// By how much a workload makes the heap grow.
fn measure(workload: Workload, limits: &Limits) -> usize {
    let mut read = Vec::with_capacity(limits.topics);
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let hub = Hub::new(limits);
    workload(&hub, limits, &mut read);
    let peak = HEAP.peak_usage() - before;
    read.clear();
    hub.reset(Id::new(u64::MAX, 0));
    let left = HEAP.current_usage() - before;
    assert!(left < 16 * 1024, "{left} bytes are left when all have gone");
    peak
}

/// What readers of many topics take while they wait, against what is promised for as many held connections more.
fn followers(limits: &Limits) {
    let mut limits = limits.clone();
    (limits.topics, limits.forgotten) = (limits.subscription, 0);
    let alone = limits.worst_case();
    (limits.connections, limits.held) = (100, 100);
    let promised = limits.worst_case() - alone;
    let hub = Hub::new(&limits);
    let names: Vec<String> = (0..limits.subscription).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let _one = hub.subscribe(&names, None).expect("room");
    let mut readers = Vec::with_capacity(limits.held);
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    for _ in 0..limits.held {
        let mut reader = hub.subscribe(&names, None).expect("room");
        assert!(pin!(reader.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        readers.push(reader);
    }
    let grown = HEAP.peak_usage() - before;
    println!(
        "{} topics for each of 100: {grown} of {promised} bytes, {} %",
        names.len(),
        grown * 100 / promised
    );
    assert!(grown <= promised, "{limits:?}");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn main() {
    let seeds =
        number("TIDINGS_SEED").map_or(0..number("TIDINGS_SEEDS").unwrap_or(20), |seed| seed..seed + 1);
    for seed in seeds {
        // Seed 0 has the defaults.
        let mut limits = limits(&mut Rng::new(seed));
        if seed == 0 {
            limits = Limits::DEFAULT;
            (limits.connections, limits.held, limits.buffered) = (0, 0, 0);
        }
        let (promised, mut most) = (limits.worst_case(), 0);
        for (name, workload) in WORKLOADS {
            let grown = measure(workload, &limits);
            println!("{seed}: {name}: {grown} of {promised} bytes, {} %", grown * 100 / promised);
            assert!(grown <= promised, "TIDINGS_SEED={seed} shows more than is promised: {limits:?}");
            most = most.max(grown);
        }
        followers(&limits);
        assert!(promised <= 4 * most, "TIDINGS_SEED={seed} shows a promise of no use: {limits:?}");
        let limits = match seed {
            0 => Limits::DEFAULT,
            _ => connections::limits(&mut Rng::new(seed), limits),
        };
        connections::run(seed, &limits);
    }
}
