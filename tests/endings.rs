//! What each answer and each ending of the transports looks like on the wire: every header, reason, comment and close code.

mod common;

use std::time::Duration;

use common::World;
use common::client::Client;
use common::pipe::End;
use smol::future::yield_now;
use tidings::{Id, Limits, Message};

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

/// Reads a head and checks all of it but `Date`, in whatever order it comes.
async fn expect_head(client: &mut Client<End>, status: &str, fields: &[&str]) {
    let head = client.until("\r\n\r\n").await;
    let (dates, mut lines): (Vec<&str>, Vec<&str>) =
        head.trim_end().lines().partition(|line| line.starts_with("Date: "));
    assert_eq!((dates.len(), lines.remove(0)), (1, &*format!("HTTP/1.1 {status}")), "{head}");
    let mut expected = fields.to_vec();
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected, "{head}");
}

/// Reads an answer that is a poll's, and checks all of it.
async fn expect_poll(client: &mut Client<End>, next: Id, messages: &str, gap: Option<Id>, more: &[&str]) {
    let gap = gap.map_or("false".to_owned(), |until| format!("true,\"until\":\"{until}\""));
    expect_poll_saying(client, next, messages, &gap, more).await;
}

/// The same, with what stands behind `"gap":`.
async fn expect_poll_saying(client: &mut Client<End>, next: Id, messages: &str, gap: &str, more: &[&str]) {
    let body = format!("{{\"messages\":[{messages}],\"next\":\"{next}\",\"gap\":{gap}}}");
    let (tag, length) = (format!("ETag: \"{next}\""), format!("Content-Length: {}", body.len()));
    let fields = ["Cache-Control: no-store", "Content-Type: application/json", &*tag, &*length];
    expect_head(client, "200 OK", &[&fields, more].concat()).await;
    assert_eq!(take(client, body.len()).await, body.as_bytes());
}

/// Reads so many bytes.
async fn take(client: &mut Client<End>, count: usize) -> Vec<u8> {
    while client.input.len() < count {
        assert!(client.more().await, "{count} bytes were to come: {:?}", client.input);
    }
    client.input.drain(..count).collect()
}

/// Reads a 304 and checks all of it.
async fn expect_unchanged(client: &mut Client<End>, next: Id, more: &[&str]) {
    let tag = format!("ETag: \"{next}\"");
    expect_head(client, "304 Not Modified", &[&["Cache-Control: no-store", &*tag], more].concat()).await;
}

/// Reads a 503 and checks all of it.
async fn expect_refusal(client: &mut Client<End>, sentence: &str, more: &[&str]) {
    let length = format!("Content-Length: {}", sentence.len());
    let fields =
        ["Cache-Control: no-store", "Content-Type: text/plain; charset=utf-8", "Retry-After: 3", &*length];
    expect_head(client, "503 Service Unavailable", &[&fields, more].concat()).await;
    assert_eq!(take(client, sentence.len()).await, sentence.as_bytes());
}

/// The connection goes on with the next request.
async fn expect_next(client: &mut Client<End>) {
    assert_eq!(client.get("/", "").await.body, "hello");
}

/// The connection ends, without a further byte.
async fn expect_end(client: &mut Client<End>) {
    assert_eq!(client.rest().await, "");
}

fn message(id: Id, data: &str) -> String {
    format!("{{\"id\":\"{id}\",\"topic\":\"news\",\"data\":\"{data}\"}}")
}

/// Begins a shutdown; only from its own end may it be waited for.
fn shut_down(world: &World) {
    let server = world.server.clone();
    world.executor.spawn(async move { server.shutdown(NEVER).await }).detach();
}

#[test]
fn a_short_poll_has_its_fields() {
    World::run(limits(), async |world| {
        let begin = world.hub.last();
        let mut client = ask(&world, "/poll", "").await;
        expect_poll(&mut client, begin, "", None, &[]).await;
        let a = world.hub.publish("news", "a").expect("published");
        client.send("GET /poll HTTP/1.1\r\nHost: h\r\n\r\n").await;
        expect_poll(&mut client, a, &message(a, "a"), None, &[]).await;
        client.send(format!("GET /poll?after={a} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        expect_poll(&mut client, a, "", None, &[]).await;
        client.send("GET /poll?after=1-1 HTTP/1.1\r\nHost: h\r\n\r\n").await;
        expect_poll(&mut client, a, &message(a, "a"), Some(begin), &[]).await;
        client.send(format!("GET /poll HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"{a}\"\r\n\r\n")).await;
        expect_unchanged(&mut client, a, &[]).await;
        expect_next(&mut client).await;
    });
}

#[test]
fn a_message_of_a_poll_has_its_event_and_its_key() {
    World::run(limits(), async |world| {
        let sent = Message::new("news", "\"a\"\n").event("note").key("k\\");
        let id = world.hub.send(sent).expect("published");
        let body = ask(&world, "/poll", "").await.answer().await.body;
        let data = r#""topic":"news","event":"note","key":"k\\","data":"\"a\"\n"}"#;
        assert_eq!(
            body,
            format!("{{\"messages\":[{{\"id\":\"{id}\",{data}],\"next\":\"{id}\",\"gap\":false}}")
        );
    });
}

#[test]
fn a_long_history_of_a_poll_has_the_same_fields_and_one_cursor() {
    World::run(limits(), async |world| {
        let begin = world.hub.last();
        let ids: Vec<Id> =
            (0..8).map(|_| world.hub.publish("news", "x".repeat(3000)).expect("published")).collect();
        let last = *ids.last().expect("eight");
        let mut client = ask(&world, "/poll?after=1-1", "").await;
        let tag = format!("ETag: \"{last}\"");
        let fields = [
            "Cache-Control: no-store",
            "Content-Type: application/json",
            &*tag,
            "Transfer-Encoding: chunked",
        ];
        expect_head(&mut client, "200 OK", &fields).await;
        let mut body = String::new();
        while let Some(chunk) = client.chunk().await {
            body += &chunk;
        }
        let messages: Vec<String> = ids.iter().map(|id| message(*id, &"x".repeat(3000))).collect();
        assert_eq!(
            body,
            format!(
                "{{\"messages\":[{}],\"next\":\"{last}\",\"gap\":true,\"until\":\"{begin}\"}}",
                messages.join(",")
            )
        );
        expect_next(&mut client).await;
    });
}

#[test]
fn a_short_poll_of_a_closed_hub_says_so() {
    World::run(limits(), async |world| {
        let a = world.hub.publish("news", "a").expect("published");
        world.hub.close();
        // What is kept comes first, and is no end.
        let mut client = ask(&world, "/poll", "").await;
        expect_poll(&mut client, a, &message(a, "a"), None, &[]).await;
        client.send(format!("GET /poll?after={a} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        expect_poll(&mut client, a, "", None, &["Tidings-Reason: closed"]).await;
        client.send(format!("GET /poll HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"{a}\"\r\n\r\n")).await;
        expect_unchanged(&mut client, a, &["Tidings-Reason: closed"]).await;
        expect_next(&mut client).await;
    });
}

#[test]
fn a_long_poll_that_waited_in_vain_says_timeout() {
    let mut limits = limits();
    limits.poll_wait = Duration::from_millis(20);
    World::run(limits, async |world| {
        let begin = world.hub.last();
        let mut client = ask(&world, "/wait", "").await;
        expect_poll(&mut client, begin, "", None, &["Tidings-Reason: timeout"]).await;
        client.send(format!("GET /wait HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"{begin}\"\r\n\r\n")).await;
        expect_unchanged(&mut client, begin, &["Tidings-Reason: timeout"]).await;
        expect_next(&mut client).await;
        assert_eq!(world.server.stats().held, 0);
    });
}

#[test]
fn a_long_poll_with_something_to_say_gives_no_reason() {
    World::run(limits(), async |world| {
        let begin = world.hub.last();
        let mut client = ask(&world, "/wait", "").await;
        world.held(1).await;
        let a = world.hub.publish("news", "a").expect("published");
        expect_poll(&mut client, a, &message(a, "a"), None, &[]).await;
        client.send("GET /wait?after=1-1 HTTP/1.1\r\nHost: h\r\n\r\n").await;
        expect_poll(&mut client, a, &message(a, "a"), Some(begin), &[]).await;
        expect_next(&mut client).await;
    });
}

const GO: [&str; 2] = ["Retry-After: 3", "Connection: close"];

#[test]
fn a_long_poll_of_a_server_that_shuts_down_says_so() {
    for conditional in [false, true] {
        World::run(limits(), async |world| {
            let begin = world.hub.last();
            let fields = if conditional { "If-None-Match: *\r\n" } else { "" };
            let mut client = ask(&world, "/wait", fields).await;
            world.held(1).await;
            shut_down(&world);
            let more = [&GO[..], &["Tidings-Reason: shutdown"]].concat();
            match conditional {
                true => expect_unchanged(&mut client, begin, &more).await,
                false => expect_poll(&mut client, begin, "", None, &more).await,
            }
            expect_end(&mut client).await;
        });
    }
}

#[test]
fn a_long_poll_of_a_client_that_ended_its_half_is_answered_at_once() {
    // Before the poll, with it, and while it is held.
    for (conditional, held) in [(false, false), (true, false), (false, true), (true, true)] {
        World::run(limits(), async |world| {
            let begin = world.hub.last();
            let fields = if conditional { "If-None-Match: *\r\n" } else { "" };
            let (mut client, end) = common::pipe::pipe();
            let mut client = match held {
                true => {
                    world.serve(end);
                    let mut client = Client::new(client);
                    client.send(format!("GET /wait HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
                    world.held(1).await;
                    client.finish().await;
                    client
                }
                // Nobody has read the request when the half is closed.
                false => {
                    let request = format!("GET /wait HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
                    smol::io::AsyncWriteExt::write_all(&mut client, request.as_bytes()).await.expect("sent");
                    let mut client = Client::new(client);
                    client.finish().await;
                    world.serve(end);
                    client
                }
            };
            let more = [&GO[..], &["Tidings-Reason: left"]].concat();
            match conditional {
                true => expect_unchanged(&mut client, begin, &more).await,
                false => expect_poll(&mut client, begin, "", None, &more).await,
            }
            world.held(0).await;
            expect_end(&mut client).await;
        });
    }
}

#[test]
fn a_client_that_ended_its_half_gets_what_is_new_and_all_of_its_answers() {
    World::run(limits(), async |world| {
        let (before, a) = (world.hub.last(), world.hub.publish("news", "a").expect("published"));
        // What is new needs no reason.
        let mut client = ask(&world, &format!("/wait?after={before}"), "").await;
        client.finish().await;
        expect_poll(&mut client, a, &message(a, "a"), None, &[]).await;
        expect_end(&mut client).await;
        // A request behind the poll is answered too, and then it ends.
        let mut client = ask(&world, "/wait", "").await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.finish().await;
        let poll = client.answer().await;
        assert_eq!((poll.status, poll.field("tidings-reason")), (200, Some("left")));
        let last = client.answer().await;
        assert_eq!((&*last.body, last.field("connection")), ("hello", Some("close")));
        expect_end(&mut client).await;
    });
}

const CLOSED: &str = "the hub is closed\n";

#[test]
fn a_long_poll_of_a_closed_hub_is_told_to_come_back_later() {
    World::run(limits(), async |world| {
        let a = world.hub.publish("news", "a").expect("published");
        let mut held = ask(&world, "/wait", "").await;
        let mut conditional = ask(&world, "/wait", "If-None-Match: *\r\n").await;
        world.held(2).await;
        world.hub.close();
        for client in [&mut held, &mut conditional] {
            expect_refusal(client, CLOSED, &["Tidings-Reason: closed"]).await;
            expect_next(client).await;
        }
        world.held(0).await;
        // From then on as well, behind what is kept.
        let mut client = ask(&world, "/wait?after=earliest", "").await;
        expect_poll(&mut client, a, &message(a, "a"), None, &[]).await;
        for (target, fields) in [
            ("/wait", ""),
            (&*format!("/wait?after={a}"), ""),
            ("/any?wait=1", ""),
            ("/wait", "If-None-Match: *\r\n"),
        ] {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
            expect_refusal(&mut client, CLOSED, &["Tidings-Reason: closed"]).await;
        }
        expect_next(&mut client).await;
    });
}

/// What stands behind `"gap":` in an answer after which no further poll is needed.
const DONE: &str = "false,\"done\":true";

fn end(id: Id, reason: &str) -> String {
    format!(r#"{{"id":"{id}","topic":"news","done":true,"reason":"{reason}"}}"#)
}

#[test]
fn the_end_of_a_topic_is_in_the_messages_of_a_poll_and_at_its_top() {
    World::run(limits(), async |world| {
        let answer = world.hub.begin("news").expect("new");
        let a = answer.send("a").expect("room");
        let id = answer.finish_with("\"stop\"").expect("room");
        let both = format!("{},{}", message(a, "a"), end(id, r#"\"stop\""#));
        for target in ["/poll", "/poll?after=earliest", "/wait?after=earliest"] {
            let mut client = ask(&world, target, "").await;
            expect_poll_saying(&mut client, id, &both, DONE, &[]).await;
            expect_next(&mut client).await;
        }
        let mut client = ask(&world, &format!("/poll?after={id}"), "").await;
        expect_poll_saying(&mut client, id, "", DONE, &["Tidings-Reason: done"]).await;
        client.send(format!("GET /poll HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"{id}\"\r\n\r\n")).await;
        expect_unchanged(&mut client, id, &["Tidings-Reason: done"]).await;
        expect_next(&mut client).await;
    });
}

#[test]
fn a_long_poll_behind_the_end_is_answered_at_once() {
    for held in [0, 1] {
        let mut limits = limits();
        limits.held = held;
        World::run(limits, async |world| {
            let id = world.hub.begin("news").expect("new").finish().expect("room");
            // That the hub is closed as well is of no matter.
            for _ in 0..2 {
                let tag = format!("If-None-Match: \"{id}\"\r\n");
                for (target, fields) in [("/wait", ""), ("/any?topic=news&wait=1", ""), ("/wait", &*tag)] {
                    let mut client = ask(&world, target, fields).await;
                    let more = ["Tidings-Reason: done", "Retry-After: 3"];
                    expect_poll_saying(&mut client, id, "", DONE, &more).await;
                    expect_next(&mut client).await;
                }
                world.hub.close();
            }
        });
    }
}

#[test]
fn a_long_poll_that_is_held_is_answered_by_the_end() {
    World::run(limits(), async |world| {
        let answer = world.hub.begin("news").expect("new");
        let mut client = ask(&world, "/wait", "").await;
        world.held(1).await;
        drop(answer);
        let id = world.hub.last();
        expect_poll_saying(&mut client, id, &end(id, "dropped"), DONE, &[]).await;
        expect_next(&mut client).await;
    });
}

#[test]
fn an_event_stream_has_an_event_for_the_end_and_ends() {
    World::run(limits(), async |world| {
        let answer = world.hub.begin("news").expect("new");
        let mut client = open_events(&world, "/events").await;
        let a = answer.send("a").expect("room");
        assert_eq!(client.chunk().await, Some(format!("id: {a}\ndata: a\n\n")));
        let id = answer.finish().expect("room");
        let data = r#"{"topic":"news","done":true,"reason":"finished"}"#;
        assert_eq!(client.chunk().await, Some(format!("event: done\nid: {id}\ndata: {data}\n\n")));
        expect_last_word(&mut client, "done").await;
        expect_next(&mut client).await;
        // Whoever comes back is told to stop, by GET and by HEAD; whoever comes late gets all of it.
        for method in ["GET", "HEAD"] {
            let fields = format!("Host: h\r\nLast-Event-ID: {id}\r\n\r\n");
            client.send(format!("{method} /events HTTP/1.1\r\n{fields}")).await;
            expect_head(&mut client, "204 No Content", &["Cache-Control: no-store"]).await;
        }
        let body = client.get("/events?after=earliest&envelope=1", "").await.body;
        let (first, last) = (message(a, "a"), end(id, "finished"));
        let events = format!("id: {a}\ndata: {first}\n\nevent: done\nid: {id}\ndata: {last}\n\n");
        assert_eq!(body, format!("id: 0-0\nretry: 3000\n\n{events}: done\n\n"));
        expect_next(&mut client).await;
    });
}

#[test]
fn an_event_stream_that_can_not_be_held_says_that_it_is_done_rather_than_that_there_is_no_place() {
    let mut limits = limits();
    limits.held = 0;
    World::run(limits, async |world| {
        world.hub.begin("news").expect("new").finish().expect("room");
        let body = ask(&world, "/events?after=earliest", "").await.answer().await.body;
        assert!(body.contains("event: done\n") && body.ends_with("\n\n: done\n\n"), "{body}");
    });
}

#[test]
fn a_feed_has_a_frame_for_the_end_and_is_closed() {
    World::run(limits(), async |world| {
        let answer = world.hub.begin("news").expect("new");
        let mut client = open_feed(&world).await;
        let id = answer.finish().expect("room");
        assert_eq!(frame(&mut client).await, (1, end(id, "finished").into_bytes()));
        expect_close(&mut client, 1000, "done").await;
        let mut client = open_feed_of_a_closed_hub(&world).await;
        expect_close(&mut client, 1000, "done").await;
    });
}

#[test]
fn the_removal_of_a_value_has_its_key() {
    World::run(limits(), async |world| {
        world.hub.send(Message::new("news", "1").key("k")).expect("published");
        let before = world.hub.last();
        let id = world.hub.remove("news", "k").expect("published");
        let removal = format!(r#"{{"id":"{id}","topic":"news","key":"k","removed":true}}"#);
        let mut client = ask(&world, &format!("/wait?after={before}"), "").await;
        expect_poll(&mut client, id, &removal, None, &[]).await;
        for (envelope, data) in [(0, r#"{"topic":"news","key":"k","removed":true}"#), (1, &removal)] {
            let mut client = ask(&world, &format!("/events?after={before}&envelope={envelope}"), "").await;
            client.until("retry: 3000\n\n\r\n").await;
            assert_eq!(client.chunk().await, Some(format!("event: removed\nid: {id}\ndata: {data}\n\n")));
        }
        let mut client = ask(&world, &format!("/ws?after={before}"), UPGRADE).await;
        client.until("\r\n\r\n").await;
        frame(&mut client).await;
        assert_eq!(frame(&mut client).await, (1, removal.into_bytes()));
    });
}

const FULL: &str = "too many requests are held, try later\n";

#[test]
fn a_long_poll_that_can_not_be_held_is_told_to_come_back_later() {
    let mut limits = limits();
    limits.held = 0;
    World::run(limits, async |world| {
        let mut client = ask(&world, "/wait", "").await;
        expect_refusal(&mut client, FULL, &["Tidings-Reason: full"]).await;
        let a = world.hub.publish("news", "a").expect("published");
        client.send("GET /wait?after=earliest HTTP/1.1\r\nHost: h\r\n\r\n").await;
        expect_poll(&mut client, a, &message(a, "a"), None, &[]).await;
        expect_next(&mut client).await;
    });
}

#[test]
fn that_the_hub_is_closed_comes_before_all_other_reasons() {
    let mut limits = limits();
    limits.held = 0;
    World::run(limits, async |world| {
        world.hub.close();
        let mut client = ask(&world, "/wait", "").await;
        expect_refusal(&mut client, CLOSED, &["Tidings-Reason: closed"]).await;
        client.send("HEAD /wait HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let head = client.until("\r\n\r\n").await;
        assert!(
            head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nTidings-Reason: closed\r\n"),
            "{head}"
        );
        expect_next(&mut client).await;
    });
}

#[test]
fn what_is_held_keeps_no_head() {
    for (target, fields) in [("/wait", ""), ("/events", ""), ("/ws", UPGRADE)] {
        World::run(limits(), async |world| {
            let long = format!("{fields}X: {}\r\n", "x".repeat(5000));
            let _client = ask(&world, target, &long).await;
            world.held(1).await;
            while world.server.stats().buffered > 0 {
                yield_now().await;
            }
        });
    }
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
        // No more than `retry:` can tell in milliseconds.
        (Duration::from_secs(u64::MAX), "18446744073709552"),
        (Duration::MAX, "18446744073709552"),
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
            world.hub.close();
            let answer = ask(&world, "/wait", "").await.answer().await;
            assert_eq!((answer.status, answer.field("retry-after")), (503, Some(seconds)));
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

const EVENTS: [&str; 4] = [
    "Content-Type: text/event-stream",
    "Cache-Control: no-store, no-transform",
    "X-Accel-Buffering: no",
    "Transfer-Encoding: chunked",
];

/// Opens an event stream of a hub without messages, and reads its first bytes.
async fn open_events(world: &World, target: &str) -> Client<End> {
    let mut client = ask(world, target, "").await;
    expect_head(&mut client, "200 OK", &EVENTS).await;
    let first = client.chunk().await.expect("the first bytes");
    assert_eq!(first, format!("id: {}\nretry: 3000\n\n", world.hub.last()));
    world.held(1).await;
    client
}

/// A last comment and the last chunk.
async fn expect_last_word(client: &mut Client<End>, reason: &str) {
    assert_eq!(client.chunk().await, Some(format!(": {reason}\n\n")));
    assert_eq!(client.chunk().await, None);
}

#[test]
fn an_event_has_its_id_its_name_and_its_data() {
    World::run(limits(), async |world| {
        let mut client = open_events(&world, "/events").await;
        let a = world.hub.publish("news", "two\nlines").expect("published");
        assert_eq!(client.chunk().await, Some(format!("id: {a}\ndata: two\ndata: lines\n\n")));
        let b = world.hub.send(Message::new("news", "b").event("note").key("k")).expect("published");
        assert_eq!(client.chunk().await, Some(format!("event: note\nid: {b}\ndata: b\n\n")));
        let mut wrapped = ask(&world, &format!("/events?envelope=1&after={a}"), "").await;
        expect_head(&mut wrapped, "200 OK", &EVENTS).await;
        assert_eq!(wrapped.chunk().await, Some(format!("id: {a}\nretry: 3000\n\n")));
        let json = format!(r#"{{"id":"{b}","topic":"news","event":"note","key":"k","data":"b"}}"#);
        assert_eq!(wrapped.chunk().await, Some(format!("event: note\nid: {b}\ndata: {json}\n\n")));
    });
}

#[test]
fn a_gap_of_an_event_stream_says_up_to_where_it_goes_and_where_to_go_on() {
    World::run(limits(), async |world| {
        let begin = world.hub.last();
        let mut client = ask(&world, "/events?after=1-1", "").await;
        expect_head(&mut client, "200 OK", &EVENTS).await;
        assert_eq!(client.chunk().await.as_deref(), Some("retry: 3000\n\n"));
        let gap = format!(r#"{{"gap":true,"until":"{begin}","next":"{begin}"}}"#);
        assert_eq!(client.chunk().await, Some(format!("event: gap\nid: {begin}\ndata: {gap}\n\n")));
        let a = world.hub.publish("news", "a").expect("published");
        let mut client = ask(&world, "/events?after=1-1", "").await;
        expect_head(&mut client, "200 OK", &EVENTS).await;
        client.chunk().await.expect("the time to come back");
        let gap = format!(r#"{{"gap":true,"until":"{begin}","next":"{begin}"}}"#);
        assert_eq!(client.chunk().await, Some(format!("event: gap\nid: {begin}\ndata: {gap}\n\n")));
        assert_eq!(client.chunk().await, Some(format!("id: {a}\ndata: a\n\n")));
    });
}

#[test]
fn a_heartbeat_of_an_event_stream_is_a_comment_or_the_cursor() {
    let mut limits = limits();
    limits.ping = Duration::from_millis(20);
    World::run(limits, async |world| {
        let mut client = ask(&world, "/events", "").await;
        expect_head(&mut client, "200 OK", &EVENTS).await;
        client.chunk().await.expect("the first bytes");
        assert_eq!(client.chunk().await.as_deref(), Some(": \n\n"));
        let id = world.hub.publish("weather", "rain").expect("published");
        loop {
            match client.chunk().await.as_deref() {
                Some(": \n\n") => {}
                other => break assert_eq!(other, Some(&*format!("id: {id}\n\n"))),
            }
        }
        // It is told once.
        assert_eq!(client.chunk().await.as_deref(), Some(": \n\n"));
    });
}

#[test]
fn an_event_stream_says_why_it_ends_and_ends_whole() {
    World::run(limits(), async |world| {
        let mut client = open_events(&world, "/events").await;
        world.hub.close();
        expect_last_word(&mut client, "closed").await;
        expect_next(&mut client).await;
        // Whoever comes back is told to stop.
        let mut client = ask(&world, "/events", "").await;
        expect_head(&mut client, "204 No Content", &["Cache-Control: no-store"]).await;
        expect_next(&mut client).await;
    });
    World::run(limits(), async |world| {
        let mut client = open_events(&world, "/events").await;
        shut_down(&world);
        expect_last_word(&mut client, "shutdown").await;
        expect_end(&mut client).await;
    });
    let mut aged = limits();
    aged.stream_age = Some(Duration::from_millis(1));
    World::run(aged, async |world| {
        let mut client = ask(&world, "/events", "").await;
        expect_head(&mut client, "200 OK", &EVENTS).await;
        client.chunk().await.expect("the first bytes");
        expect_last_word(&mut client, "age").await;
        expect_next(&mut client).await;
    });
    let mut full = limits();
    full.held = 0;
    World::run(full, async |world| {
        let mut client = ask(&world, "/events", "").await;
        expect_head(&mut client, "200 OK", &EVENTS).await;
        client.chunk().await.expect("the first bytes");
        expect_last_word(&mut client, "full").await;
        expect_next(&mut client).await;
    });
}

#[test]
fn an_event_stream_that_can_not_be_held_has_all_that_is_kept() {
    let mut limits = limits();
    limits.held = 0;
    World::run(limits, async |world| {
        // More than one batch.
        let ids: Vec<Id> =
            (0..8).map(|_| world.hub.publish("news", "x".repeat(3000)).expect("published")).collect();
        let body = ask(&world, "/events?after=earliest", "").await.answer().await.body;
        let events = ids.iter().map(|id| format!("id: {id}\ndata: {}\n\n", "x".repeat(3000)));
        let told = format!("id: 0-0\nretry: 3000\n\n{}: full\n\n", events.collect::<String>());
        assert_eq!(body, told);
    });
}

#[test]
fn an_event_stream_that_can_not_be_held_has_no_more_than_was_kept_at_first() {
    let mut limits = limits();
    limits.held = 0;
    World::run(limits, async |world| {
        for _ in 0..2 {
            world.hub.publish("news", "x".repeat(3000)).expect("published");
        }
        let mut client = Client::new(world.connect());
        client.stream.capacity(64);
        client.send("GET /events?after=earliest HTTP/1.1\r\nHost: h\r\n\r\n").await;
        while client.stream.pending() == 0 {
            yield_now().await;
        }
        world.hub.publish("news", "late").expect("published");
        let body = client.answer().await.body;
        assert!(body.ends_with("xxx\n\n: full\n\n"), "{body}");
    });
}

#[test]
fn an_event_stream_of_a_client_that_ended_its_half_ends_whole() {
    World::run(limits(), async |world| {
        let mut client = open_events(&world, "/events").await;
        client.finish().await;
        expect_last_word(&mut client, "left").await;
        expect_end(&mut client).await;
        assert_eq!(world.server.stats().held, 0);
    });
    // It had ended it before: what is kept comes first.
    World::run(limits(), async |world| {
        let a = world.hub.publish("news", "a").expect("published");
        let (client, end) = common::pipe::pipe();
        let mut client = Client::new(client);
        client.send("GET /events?after=earliest HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.finish().await;
        world.serve(end);
        let head = client.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        client.chunk().await.expect("the first bytes");
        assert_eq!(client.chunk().await, Some(format!("id: {a}\ndata: a\n\n")));
        expect_last_word(&mut client, "left").await;
        expect_end(&mut client).await;
    });
}

#[test]
fn an_event_stream_of_http_1_0_ends_with_its_last_word() {
    World::run(limits(), async |world| {
        let mut client = Client::new(world.connect());
        client.send("GET /events HTTP/1.0\r\n\r\n").await;
        expect_head(&mut client, "200 OK", &[&EVENTS[..3], &["Connection: close"]].concat()).await;
        client.until("retry: 3000\n\n").await;
        world.hub.close();
        assert_eq!(client.rest().await, ": closed\n\n");
    });
}

/// Opens a feed of a hub without messages, and reads its first frame.
async fn open_feed(world: &World) -> Client<End> {
    let mut client = ask(world, "/ws", UPGRADE).await;
    let fields =
        ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="];
    expect_head(&mut client, "101 Switching Protocols", &fields).await;
    assert_eq!(frame(&mut client).await, (1, format!(r#"{{"next":"{}"}}"#, world.hub.last()).into_bytes()));
    world.held(1).await;
    client
}

/// Reads one short frame of the server's: its opcode and its payload.
async fn frame(client: &mut Client<End>) -> (u8, Vec<u8>) {
    let head = take(client, 2).await;
    assert!(head[0] & 0x80 != 0 && head[1] < 126, "{head:?}");
    (head[0] & 0x0f, take(client, head[1].into()).await)
}

/// Reads a close frame, answers it, and sees the connection end.
async fn expect_close(client: &mut Client<End>, code: u16, reason: &str) {
    assert_eq!(frame(client).await, (8, [&code.to_be_bytes()[..], reason.as_bytes()].concat()));
    client.send(b"\x88\x80\0\0\0\0").await;
    expect_end(client).await;
}

#[test]
fn a_feed_says_why_it_ends() {
    World::run(limits(), async |world| {
        let mut client = open_feed(&world).await;
        world.hub.close();
        expect_close(&mut client, 1000, "closed").await;
        // Whoever comes back is told so at once.
        let mut client = open_feed_of_a_closed_hub(&world).await;
        expect_close(&mut client, 1000, "closed").await;
    });
    World::run(limits(), async |world| {
        let mut client = open_feed(&world).await;
        shut_down(&world);
        expect_close(&mut client, 1001, "shutdown").await;
    });
    World::run(limits(), async |world| {
        let mut client = open_feed(&world).await;
        client.send(b"\x81\x82\0\0\0\0hi").await;
        expect_close(&mut client, 1008, "this is a feed: nothing is to be sent").await;
    });
    let mut full = limits();
    full.held = 0;
    World::run(full, async |world| {
        let mut client = ask(&world, "/ws", UPGRADE).await;
        expect_refusal(&mut client, "a limit is reached, try later\n", &["Connection: close"]).await;
        expect_end(&mut client).await;
    });
}

#[test]
fn what_is_no_upgrade_is_told_how_to_be_one() {
    World::run(limits(), async |world| {
        for (version, status, sentence) in [
            ("", "426 Upgrade Required", "this resource speaks WebSocket only\n"),
            (
                &*UPGRADE.replace("13", "12"),
                "426 Upgrade Required",
                "Sec-WebSocket-Version must be there once, and be 13\n",
            ),
        ] {
            let mut client = ask(&world, "/ws", version).await;
            let length = format!("Content-Length: {}", sentence.len());
            let fields = [
                "Content-Type: text/plain; charset=utf-8",
                "Cache-Control: no-store",
                "Sec-WebSocket-Version: 13",
                "Upgrade: websocket",
                "Connection: Upgrade, close",
                &*length,
            ];
            expect_head(&mut client, status, &fields).await;
            assert_eq!(client.rest().await, sentence);
        }
    });
}

#[test]
fn what_can_not_be_read_is_told_in_a_sentence() {
    World::run(limits(), async |world| {
        for (target, status, sentence) in [
            ("/poll?after=x", "400 Bad Request", "the cursor is not an id\n"),
            ("/wait?after=x", "400 Bad Request", "the cursor is not an id\n"),
            ("/any?topic=x", "404 Not Found", "there is no such topic here\n"),
            ("/follow?topic=news", "404 Not Found", "there is no such topic here\n"),
            ("/follow?topic=news&wait=1", "404 Not Found", "there is no such topic here\n"),
        ] {
            let mut client = ask(&world, target, "").await;
            let length = format!("Content-Length: {}", sentence.len());
            let fields = [
                "Content-Type: text/plain; charset=utf-8",
                "Cache-Control: no-store",
                "Connection: close",
                &*length,
            ];
            expect_head(&mut client, status, &fields).await;
            assert_eq!(client.rest().await, sentence);
        }
    });
}

async fn open_feed_of_a_closed_hub(world: &World) -> Client<End> {
    let mut client = ask(world, "/ws", UPGRADE).await;
    client.until("\r\n\r\n").await;
    assert_eq!(frame(&mut client).await.0, 1);
    client
}

#[test]
fn a_feed_ends_with_its_client() {
    World::run(limits(), async |world| {
        let mut client = open_feed(&world).await;
        client.send(b"\x88\x82\0\0\0\0\x03\xe8").await;
        assert_eq!(frame(&mut client).await, (8, b"\x03\xe8".to_vec()));
        expect_end(&mut client).await;
    });
    World::run(limits(), async |world| {
        let mut client = open_feed(&world).await;
        client.finish().await;
        // It is told what was wrong, but by the other engine.
        if !cfg!(feature = "tungstenite") {
            let close = [&1002u16.to_be_bytes()[..], b"the WebSocket ended without a close"].concat();
            assert_eq!(frame(&mut client).await, (8, close));
        }
        expect_end(&mut client).await;
        while world.server.stats().connections > 0 {
            yield_now().await;
        }
    });
}

#[test]
fn a_feed_has_frames_for_messages_gaps_and_cursors_that_moved() {
    let mut limits = limits();
    limits.ping = Duration::from_millis(20);
    World::run(limits, async |world| {
        let begin = world.hub.last();
        let mut client = ask(&world, "/ws?after=1-1", UPGRADE).await;
        client.until("\r\n\r\n").await;
        // The gap comes first, for it carries the cursor.
        let gap = format!(r#"{{"gap":true,"until":"{begin}","next":"{begin}"}}"#);
        assert_eq!(frame(&mut client).await, (1, gap.into_bytes()));
        // A heartbeat is a ping, and the cursor if it moved.
        assert_eq!(frame(&mut client).await.0, 9);
        client.send(b"\x8a\x80\0\0\0\0").await;
        let elsewhere = world.hub.publish("weather", "rain").expect("published");
        let mut told = Vec::new();
        let news = loop {
            match frame(&mut client).await {
                (9, _) => client.send(b"\x8a\x80\0\0\0\0").await,
                other if told.is_empty() => told.push(other),
                _ if told.len() > 1 => unreachable!("only the cursor was to be told"),
                other => break other,
            }
            if told.len() == 1 && world.hub.last() == elsewhere {
                world.hub.publish("news", "a").expect("published");
            }
        };
        assert_eq!(told, [(1, format!(r#"{{"next":"{elsewhere}"}}"#).into_bytes())]);
        assert_eq!(news, (1, message(world.hub.last(), "a").into_bytes()));
    });
}
