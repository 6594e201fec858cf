//! What each answer and each ending of the transports looks like on the wire: every header, reason, comment and close code.

mod common;

use std::time::Duration;

use common::World;
use common::client::Client;
use common::pipe::End;
use tidings::Limits;

const NEVER: Duration = Duration::from_secs(3600);

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// No deadline comes while a test runs, and who should come back does so after 3 seconds.
fn limits() -> Limits {
    let mut limits = Limits::DEFAULT;
    (limits.poll_wait, limits.ping) = (NEVER, NEVER);
    limits.retry = (Duration::from_secs(3), Duration::from_secs(3));
    limits
}

async fn ask(world: &World, target: &str, fields: &str) -> Client<End> {
    let mut client = Client::new(world.connect());
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
    client
}

#[test]
fn retry_after_is_in_whole_seconds_rounded_up_by_whoever_writes_it() {
    for (retry, seconds) in [
        (Duration::ZERO, "0"),
        (Duration::from_nanos(1), "1"),
        (Duration::from_millis(999), "1"),
        (Duration::from_secs(1), "1"),
        (Duration::from_millis(1001), "2"),
        (Duration::from_secs(2), "2"),
        (Duration::from_secs(u64::MAX), "18446744073709551615"),
        (Duration::MAX, "18446744073709551615"),
    ] {
        let mut limits = limits();
        (limits.retry, limits.held) = ((retry, retry), 0);
        World::run(limits.clone(), async |world| {
            // A long poll, and what the connection itself says where there is no room.
            for (target, fields) in [("/wait", ""), ("/ws", UPGRADE)] {
                let answer = ask(&world, target, fields).await.answer().await;
                assert_eq!((answer.status, answer.field("retry-after")), (503, Some(seconds)), "{target}");
                assert_eq!(answer.head.to_lowercase().matches("retry-after").count(), 1);
            }
        });
        limits.connections = 0;
        World::run(limits, async |world| {
            let answer = ask(&world, "/", "").await.answer().await;
            assert_eq!((answer.status, answer.field("retry-after")), (503, Some(seconds)));
        });
    }
}

#[test]
fn retry_is_in_milliseconds_however_long_it_is() {
    for (retry, milliseconds) in [
        (Duration::ZERO, "0"),
        (Duration::from_nanos(1), "1"),
        (Duration::from_millis(1001), "1001"),
        (Duration::from_secs(u64::MAX), "18446744073709551615"),
        (Duration::MAX, "18446744073709551615"),
    ] {
        let mut limits = limits();
        limits.retry = (retry, retry);
        World::run(limits, async |world| {
            let mut client = ask(&world, "/events", "").await;
            client.until("\r\n\r\n").await;
            let first = client.chunk().await.expect("the first bytes");
            assert_eq!(first, format!("id: {}\nretry: {milliseconds}\n\n", world.hub.last()));
        });
    }
}

#[test]
fn each_client_is_told_another_time_to_come_back() {
    let mut limits = limits();
    limits.retry = (Duration::from_secs(1_000_000), Duration::from_secs(2_000_000));
    limits.held = 30;
    World::run(limits, async |world| {
        let (mut held, mut times) = (Vec::new(), Vec::new());
        for _ in 0..30 {
            let mut client = ask(&world, "/events", "").await;
            client.until("retry: ").await;
            times.push(client.until("\n").await.trim_end().parse::<u64>().expect("a number"));
            held.push(client);
        }
        for _ in 0..30 {
            let answer = ask(&world, "/wait", "").await.answer().await;
            times.push(1000 * answer.field("retry-after").expect("one").parse::<u64>().expect("a number"));
        }
        assert!(times.iter().all(|time| (1_000_000_000..=2_000_000_000).contains(time)), "{times:?}");
        for part in times.chunks(30) {
            // That two of thirty draws are the same may happen, that many are may not.
            let distinct: std::collections::HashSet<&u64> = part.iter().collect();
            assert!(distinct.len() > 20, "{times:?}");
        }
    });
}
