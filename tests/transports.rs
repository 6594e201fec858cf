//! One table of scenarios, run through all four transports; then what each does alone, and all together.

mod common;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use common::World;
use common::client::{ALL, Client, Reader, Tiding, Transport};
use common::pipe::End;
use smol::io::{AsyncRead, AsyncWrite};
use tidings::{Error, Hub, Id, Limits, ManualClock, Message, Producer};

fn limits() -> Limits {
    let mut limits = Limits::DEFAULT;
    limits.history = 3;
    limits.poll_wait = Duration::from_millis(60);
    limits
}

impl World {
    async fn open(&self, transport: Transport, after: Option<Id>) -> Reader<End> {
        let after = after.map(|id| id.to_string());
        Reader::open(self.connect(), transport, after.as_deref()).await
    }

    fn publish(&self, data: &str) -> Id {
        self.hub.publish("news", data).expect("published")
    }
}

fn message(id: Id, data: &str) -> Tiding {
    Tiding::Message { id: id.to_string(), data: data.to_owned() }
}

/// Runs one scenario through all four transports, each in a world of its own.
fn through_all(limits: &Limits, scenario: impl AsyncFn(&World, Transport)) {
    for transport in ALL {
        World::run(limits.clone(), async |world| {
            println!("{transport:?}");
            scenario(&world, transport).await;
        });
    }
}

#[test]
fn fresh_means_from_now_on_and_for_a_short_poll_all_that_is_kept() {
    through_all(&limits(), async |world, transport| {
        let old = world.publish("old");
        let mut reader = world.open(transport, None).await;
        if transport == Transport::Poll {
            assert_eq!(reader.message().await, message(old, "old"));
        } else {
            // The cursor comes first: from there on nothing may be missed.
            assert_eq!(reader.next().await, Tiding::Cursor(old.to_string()));
        }
        let new = world.publish("new");
        assert_eq!(reader.message().await, message(new, "new"));
    });
}

#[test]
fn a_reader_resumes_behind_its_cursor() {
    through_all(&limits(), async |world, transport| {
        let ids = ["a", "b", "c"].map(|data| world.publish(data));
        let mut reader = world.open(transport, Some(ids[0])).await;
        assert_eq!(reader.message().await, message(ids[1], "b"));
        assert_eq!(reader.message().await, message(ids[2], "c"));
        let live = world.publish("d");
        assert_eq!(reader.message().await, message(live, "d"));
    });
}

#[test]
fn earliest_is_all_that_is_kept_and_no_gap() {
    through_all(&limits(), async |world, transport| {
        let ids = ["a", "b", "c", "d"].map(|data| world.publish(data));
        let mut reader = Reader::open(world.connect(), transport, Some("earliest")).await;
        for (id, data) in [(ids[1], "b"), (ids[2], "c"), (ids[3], "d")] {
            assert_eq!(reader.message().await, message(id, data));
        }
    });
}

#[test]
fn what_was_evicted_is_a_gap_and_the_rest_comes() {
    through_all(&limits(), async |world, transport| {
        let ids = ["a", "b", "c", "d", "e"].map(|data| world.publish(data));
        // With c, d and e kept, whoever has b misses nothing, and whoever has a misses b.
        let mut calm = world.open(transport, Some(ids[1])).await;
        assert_eq!(calm.message().await, message(ids[2], "c"));
        let mut reader = world.open(transport, Some(ids[0])).await;
        assert!(matches!(reader.message().await, Tiding::Gap { .. }));
        for (id, data) in [(ids[2], "c"), (ids[3], "d"), (ids[4], "e")] {
            assert_eq!(reader.message().await, message(id, data));
        }
    });
}

#[test]
fn the_cursor_of_a_gap_brings_all_that_is_kept_and_no_further_gap() {
    through_all(&limits(), async |world, transport| {
        let ids = ["a", "b", "c", "d", "e"].map(|data| world.publish(data));
        let mut reader = world.open(transport, Some(ids[0])).await;
        let Tiding::Gap { next, .. } = reader.message().await else { panic!("no gap") };
        let mut resumed = Reader::open(world.connect(), transport, Some(&next)).await;
        assert_eq!(resumed.next().await, Tiding::Cursor(next));
        // A poll has told everything by then, a stream nothing.
        if matches!(transport, Transport::Sse | Transport::WebSocket) {
            assert_eq!(resumed.next().await, message(ids[2], "c"));
        }
    });
}

#[test]
fn all_that_is_missing_is_at_most_where_the_gap_goes() {
    through_all(&limits(), async |world, transport| {
        // The hole is behind the first that is shown: whoever fetches what is missing has to know.
        let begin = world.hub.last();
        let quiet = world.hub.publish("weather", "quiet").expect("published");
        let ids = ["a", "b", "c", "d", "e"].map(|data| world.publish(data));
        let topics = ["news", "weather"];
        let begin = begin.to_string();
        let mut reader = Reader::any(world.connect(), transport, "/any", &topics, Some(&begin)).await;
        let Tiding::Gap { until, .. } = reader.message().await else { panic!("no gap") };
        assert_eq!(until, ids[1].to_string());
        assert_eq!(reader.message().await, message(quiet, "quiet"));
        assert_eq!(reader.message().await, message(ids[2], "c"));
    });
}

#[test]
fn a_cursor_of_the_last_run_is_a_gap() {
    through_all(&limits(), async |world, transport| {
        let before = Hub::new(&limits());
        let old = Id::new(before.last().epoch() - (1 << 20), 1);
        let id = world.publish("new");
        let mut reader = world.open(transport, Some(old)).await;
        assert!(matches!(reader.message().await, Tiding::Gap { .. }));
        assert_eq!(reader.message().await, message(id, "new"));
    });
}

#[test]
fn a_gap_is_told_before_any_cursor() {
    through_all(&limits(), async |world, transport| {
        world.publish("new");
        // Whoever is cut off after the first thing that it got has heard of its gap.
        let mut reader = world.open(transport, Some(Id::MAX)).await;
        assert!(matches!(reader.next().await, Tiding::Gap { .. }));
    });
}

#[test]
fn a_forged_cursor_is_a_gap() {
    through_all(&limits(), async |world, transport| {
        let id = world.publish("new");
        let mut reader = world.open(transport, Some(Id::new(id.epoch(), id.seq() + 1))).await;
        assert!(matches!(reader.message().await, Tiding::Gap { .. }));
        assert_eq!(reader.message().await, message(id, "new"));
    });
}

#[test]
fn a_gap_with_nothing_kept_is_told_as_well() {
    through_all(&limits(), async |world, transport| {
        let mut reader = world.open(transport, Some(Id::new(1, 1))).await;
        let begin = world.hub.last().to_string();
        assert_eq!(reader.message().await, Tiding::Gap { until: begin.clone(), next: begin });
        let id = world.publish("first");
        assert_eq!(reader.message().await, message(id, "first"));
    });
}

#[test]
fn nothing_new_is_a_cursor() {
    through_all(&limits(), async |world, transport| {
        let id = world.publish("old");
        let mut reader = world.open(transport, Some(id)).await;
        assert_eq!(reader.next().await, Tiding::Cursor(id.to_string()));
    });
}

#[test]
fn the_end_of_the_hub_is_told() {
    through_all(&limits(), async |world, transport| {
        let mut reader = world.open(transport, None).await;
        assert!(matches!(reader.next().await, Tiding::Cursor(_)));
        world.hub.close();
        assert_eq!(reader.message().await, Tiding::End("closed".to_owned()));
    });
}

#[test]
fn what_a_closed_hub_keeps_is_told_before_the_end() {
    through_all(&limits(), async |world, transport| {
        let seen = world.publish("seen");
        let last = world.publish("last");
        world.hub.close();
        let mut reader = world.open(transport, Some(seen)).await;
        assert_eq!(reader.message().await, message(last, "last"));
        assert_eq!(reader.message().await, Tiding::End("closed".to_owned()));
    });
}

fn done(topic: &str, reason: &str) -> Tiding {
    Tiding::Done { topic: topic.to_owned(), reason: reason.to_owned() }
}

/// The rest of what a reader gets, past cursors, up to why it ends.
async fn rest(reader: &mut Reader<End>) -> Vec<Tiding> {
    let mut tidings = Vec::new();
    loop {
        tidings.push(reader.message().await);
        if matches!(tidings.last(), Some(Tiding::End(_))) {
            return tidings;
        }
    }
}

fn over() -> Tiding {
    Tiding::End("done".to_owned())
}

impl World {
    /// Follows topics that are there, from a cursor or else from their beginning.
    async fn follow(&self, transport: Transport, topics: &[&str], after: Option<Id>) -> Reader<End> {
        let after = after.map(|id| id.to_string());
        Reader::any(self.connect(), transport, "/follow", topics, after.as_deref()).await
    }

    fn begin(&self, topic: &str) -> Producer {
        self.hub.begin(topic).expect("it neither runs nor has ended")
    }
}

#[test]
fn who_follows_a_topic_that_runs_gets_it_from_its_start_or_from_the_middle_to_its_end() {
    through_all(&limits(), async |world, transport| {
        let answer = world.begin("news");
        let [a, b] = ["a", "b"].map(|data| answer.send(data).expect("room"));
        let mut from_start = world.follow(transport, &["news"], None).await;
        let mut from_middle = world.follow(transport, &["news"], Some(a)).await;
        assert_eq!(from_start.message().await, message(a, "a"));
        for reader in [&mut from_start, &mut from_middle] {
            assert_eq!(reader.message().await, message(b, "b"));
        }
        let c = answer.send("c").expect("room");
        answer.finish().expect("room");
        for mut reader in [from_start, from_middle] {
            assert_eq!(rest(&mut reader).await, [message(c, "c"), done("news", "finished"), over()]);
        }
    });
}

#[test]
fn who_comes_after_the_end_gets_all_that_is_kept_and_the_end_and_behind_it_nothing() {
    through_all(&limits(), async |world, transport| {
        let answer = world.begin("news");
        let [a, b] = ["a", "b"].map(|data| answer.send(data).expect("room"));
        let end = answer.finish().expect("room");
        let all = [message(a, "a"), message(b, "b"), done("news", "finished"), over()];
        assert_eq!(rest(&mut world.follow(transport, &["news"], None).await).await, all);
        assert_eq!(rest(&mut world.follow(transport, &["news"], Some(a)).await).await, all[1..]);
        let behind = rest(&mut world.follow(transport, &["news"], Some(end)).await).await;
        // An EventSource that comes back is to stop.
        let none = if transport == Transport::Sse { "204" } else { "done" };
        assert_eq!(behind, [Tiding::End(none.to_owned())]);
    });
}

#[test]
fn a_reader_of_two_topics_goes_on_until_both_have_ended() {
    through_all(&limits(), async |world, transport| {
        let (news, weather) = (world.begin("news"), world.begin("weather"));
        let mut both = world.follow(transport, &["news", "weather"], None).await;
        news.finish().expect("room");
        assert_eq!(both.message().await, done("news", "finished"));
        let rain = weather.send("rain").expect("room");
        assert_eq!(both.message().await, message(rain, "rain"));
        weather.finish_with("dry").expect("room");
        assert_eq!(rest(&mut both).await, [done("weather", "dry"), over()]);
    });
}

#[test]
fn readers_see_why_a_producer_has_ended() {
    through_all(&limits(), async |world, transport| {
        let panics = world.begin("news");
        let dropped = world.begin("weather");
        let stopped = world.begin("sport");
        let mut readers = Vec::new();
        for topic in ["news", "weather", "sport"] {
            readers.push(world.follow(transport, &[topic], None).await);
        }
        let thread = std::thread::spawn(move || {
            let _producer = panics;
            panic!("as a task may");
        });
        assert!(thread.join().is_err());
        drop(dropped);
        assert!(world.hub.stop("sport"));
        stopped.stopped().await;
        stopped.finish_with("stopped").expect("room");
        let ends = [("news", "panicked"), ("weather", "dropped"), ("sport", "stopped")];
        for (mut reader, (topic, reason)) in readers.into_iter().zip(ends) {
            assert_eq!(rest(&mut reader).await, [done(topic, reason), over()]);
        }
    });
}

#[test]
fn a_second_begin_is_refused_or_a_new_life_in_the_same_ids() {
    through_all(&limits(), async |world, transport| {
        let start = world.hub.last();
        let first = world.begin("news");
        assert!(matches!(world.hub.begin("news"), Err(Error::Running)));
        let a = first.send("a").expect("room");
        let end = first.finish().expect("room");
        assert!(matches!(world.hub.begin("news"), Err(Error::Ended)));
        // Nobody has noticed.
        let mut reader = world.follow(transport, &["news"], None).await;
        assert_eq!(rest(&mut reader).await, [message(a, "a"), done("news", "finished"), over()]);
        let second = world.hub.begin_anew("news", &world.hub.bounds()).expect("it has ended");
        let b = second.send("b").expect("room");
        second.finish().expect("room");
        let new = [message(b, "b"), done("news", "finished"), over()];
        // Who had read the end gets the new life, who had not is told of what it missed.
        assert_eq!(rest(&mut world.follow(transport, &["news"], Some(end)).await).await, new);
        let mut late = world.follow(transport, &["news"], Some(start)).await;
        assert!(matches!(late.message().await, Tiding::Gap { until, .. } if until == end.to_string()));
        assert_eq!(rest(&mut late).await, new);
    });
}

#[test]
fn an_end_that_was_evicted_is_a_gap_and_then_done() {
    let mut limits = Limits::DEFAULT;
    limits.history_bytes = 4_000;
    through_all(&limits, async |world, transport| {
        let start = world.hub.last();
        let answer = world.begin("news");
        answer.send("a").expect("room");
        let end = answer.finish().expect("room");
        for _ in 0..8 {
            world.hub.publish("busy", "x".repeat(500)).expect("room");
        }
        assert_eq!(world.hub.topic("news").expect("it is known").messages, 0);
        let mut late = world.follow(transport, &["news"], Some(start)).await;
        assert!(matches!(late.message().await, Tiding::Gap { until, .. } if until == end.to_string()));
        assert_eq!(rest(&mut late).await, [done("news", "finished"), over()]);
        // Who comes for all that is kept has no gap, and whoever has read the end nothing more.
        let mut fresh = world.follow(transport, &["news"], None).await;
        assert_eq!(rest(&mut fresh).await, [done("news", "finished"), over()]);
        let behind = rest(&mut world.follow(transport, &["news"], Some(end)).await).await;
        assert_eq!(
            behind,
            [if transport == Transport::Sse { Tiding::End("204".to_owned()) } else { over() }]
        );
        // Of several topics each shows its end, in the order of all ids.
        let (weather, sport) = (world.begin("weather"), world.begin("sport"));
        let rain = weather.send("rain").expect("room");
        sport.finish_with("rained off").expect("room");
        weather.finish().expect("room");
        let mut all = world.follow(transport, &["sport", "weather", "news"], Some(start)).await;
        assert!(matches!(all.message().await, Tiding::Gap { until, .. } if until == end.to_string()));
        let ends = [done("sport", "rained off"), done("weather", "finished"), over()];
        let wanted = [vec![done("news", "finished"), message(rain, "rain")], ends.to_vec()].concat();
        assert_eq!(rest(&mut all).await, wanted);
    });
}

#[test]
fn what_has_left_by_its_age_is_a_gap() {
    let hour = Duration::from_secs(3600);
    let mut limits = limits();
    limits.message_age = Some(hour);
    through_all(&limits, async |world, transport| {
        let start = world.hub.last();
        let aged = |data: &str, age| world.hub.send(Message::new("news", data).age(age)).expect("room");
        let (old, new) = (aged("old", 2 * hour), aged("new", Duration::ZERO));
        world.hub.send(Message::end("news", "finished")).expect("room");
        let mut late = world.follow(transport, &["news"], Some(start)).await;
        assert!(matches!(late.message().await, Tiding::Gap { until, .. } if until == old.to_string()));
        assert_eq!(rest(&mut late).await, [message(new, "new"), done("news", "finished"), over()]);
    });
}

#[test]
fn a_topic_that_keeps_all_loses_nothing_and_ends_though_it_is_full() {
    through_all(&limits(), async |world, transport| {
        let start = world.hub.last();
        let bounds = world.hub.bounds().keep_all(8_000);
        let answer = world.hub.begin_with("news", &bounds).expect("room");
        let text = "x".repeat(500);
        let mut all = Vec::new();
        loop {
            match answer.send(text.clone()) {
                Ok(id) => all.push(message(id, &text)),
                Err(error) => break assert!(matches!(error, Error::Full), "{error}"),
            }
        }
        assert!(all.len() > limits().history, "its own bounds hold");
        for _ in 0..200 {
            world.hub.publish("busy", "y".repeat(1_000)).expect("the oldest of its own leaves");
        }
        answer.finish().expect("room always");
        all.extend([done("news", "finished"), over()]);
        assert_eq!(rest(&mut world.follow(transport, &["news"], Some(start)).await).await, all);
    });
}

#[test]
fn a_closed_hub_without_news_sends_an_event_source_away() {
    World::run(limits(), async |world| {
        let last = world.publish("last");
        world.hub.close();
        for path in ["/events".to_owned(), format!("/events?after={last}")] {
            let answer = Client::new(world.connect()).get(&path, "").await;
            assert_eq!((answer.status, answer.field("cache-control")), (204, Some("no-store")), "{path}");
        }
    });
}

#[test]
fn the_shutdown_is_told() {
    let mut limits = limits();
    limits.poll_wait = HOUR;
    through_all(&limits, async |world, transport| {
        if transport == Transport::Poll {
            return;
        }
        let mut reader = match transport {
            Transport::LongPoll => world.open(transport, Some(world.hub.last())).await,
            _ => world.open(transport, None).await,
        };
        let server = world.server.clone();
        let shutdown = world.executor.spawn(async move {
            while server.stats().held == 0 {
                smol::future::yield_now().await;
            }
            server.shutdown(HOUR).await;
        });
        assert_eq!(reader.message().await, Tiding::End("shutdown".to_owned()));
        drop(reader);
        shutdown.await;
        assert_eq!(world.server.stats().connections, 0);
    });
}

#[test]
fn a_client_that_leaves_is_noticed_without_a_write() {
    let mut limits = limits();
    limits.poll_wait = HOUR;
    through_all(&limits, async |world, transport| {
        if transport == Transport::Poll {
            return;
        }
        let mut client = Client::new(world.connect());
        match transport {
            Transport::WebSocket => {
                let socket = client.upgrade("/ws").await;
                world.held(1).await;
                drop(socket);
            }
            _ => {
                let path = if transport == Transport::Sse { "/events" } else { "/wait" };
                client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
                world.held(1).await;
                drop(client);
            }
        }
        while world.server.stats().connections > 0 {
            smol::future::yield_now().await;
        }
        assert_eq!(world.hub.stats().readers, 0);
    });
}

#[test]
fn a_client_that_leaves_behind_more_than_there_is_room_for_is_noticed_as_well() {
    let mut limits = limits();
    (limits.poll_wait, limits.ping) = (HOUR, HOUR);
    limits.body_time = Duration::from_millis(60);
    for (method, path) in [("GET", "/wait"), ("GET", "/events"), ("POST", "/any"), ("POST", "/any?wait=1")] {
        for early in [limits.head, limits.head + 1, 40_000] {
            World::run(limits.clone(), async |world| {
                let mut client = Client::new(world.connect());
                // The body of a POST, or what a GET sends ahead of its next request.
                let accept = if path == "/any" { "Accept: text/event-stream\r\n" } else { "" };
                let length = if method == "POST" { "Content-Length: 40000\r\n" } else { "" };
                client.send(format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{accept}{length}\r\n")).await;
                world.held(1).await;
                client.send(vec![b'x'; early]).await;
                drop(client);
                while world.server.stats().connections > 0 {
                    smol::future::yield_now().await;
                }
                assert_eq!((world.hub.stats().readers, world.server.stats().buffered), (0, 0));
            });
        }
    }
}

#[test]
fn a_held_client_that_sends_without_end_is_answered_and_closed() {
    let mut limits = limits();
    (limits.poll_wait, limits.head_time) = (HOUR, Duration::from_millis(300));
    World::run(limits.clone(), async |world| {
        for early in [100, limits.head + 1, 100_000] {
            let mut client = Client::new(world.connect());
            client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n").await;
            world.held(1).await;
            client.send(vec![b'x'; early]).await;
            while client.stream.unread() {
                smol::future::yield_now().await;
            }
            assert!(world.server.stats().buffered <= limits.head);
            world.publish("a");
            let answer = client.answer().await;
            assert_eq!(answer.json()["messages"][0]["data"], "a");
            let end = client.rest().await;
            match early {
                // It is the start of a request.
                100 => assert!(end.starts_with("HTTP/1.1 408 "), "{end}"),
                _ => assert_eq!((answer.field("connection"), &*end), (Some("close"), "")),
            }
        }
    });
}

#[test]
fn a_client_that_half_closes_is_answered_first() {
    World::run(limits(), async |world| {
        let id = world.publish("old");
        for (path, ending) in [("/poll", "\"data\":\"old\""), ("/wait", "\"messages\":[]"), ("/", "hello")] {
            let mut client = Client::new(world.connect());
            client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            client.finish().await;
            let answer = client.answer().await;
            assert!(answer.body.contains(ending), "{path}: {answer:?}");
            assert_eq!(client.rest().await, "");
        }
        let mut client = Client::new(world.connect());
        client.send("GET /events HTTP/1.1\r\nHost: h\r\nLast-Event-ID: earliest\r\n\r\n").await;
        client.finish().await;
        assert!(client.rest().await.contains(&format!("id: {id}\ndata: old\n\n")));
    });
}

#[test]
fn a_client_changes_transport_in_mid_stream() {
    World::run(Limits::DEFAULT, async |world| {
        let data = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let ids = data.map(|data| world.publish(data));
        let (mut cursor, mut got) = (ids[0].predecessor_for_test(), Vec::new());
        let order =
            [(Transport::Sse, 3), (Transport::LongPoll, 2), (Transport::WebSocket, 2), (Transport::Poll, 1)];
        for (transport, count) in order {
            let mut reader = world.open(transport, Some(cursor)).await;
            for _ in 0..count {
                let Tiding::Message { id, data } = reader.message().await else { panic!("{transport:?}") };
                cursor = id.parse().expect("an id");
                got.push(data);
            }
        }
        assert_eq!(got, data);
    });
}

trait Predecessor {
    fn predecessor_for_test(self) -> Id;
}

impl Predecessor for Id {
    fn predecessor_for_test(self) -> Id {
        Id::new(self.epoch(), self.seq() - 1)
    }
}

#[test]
fn a_short_poll_is_cached_by_its_etag() {
    World::run(limits(), async |world| {
        let id = world.publish("a");
        let mut client = Client::new(world.connect());
        let first = client.get("/poll", "").await;
        assert_eq!(first.field("etag"), Some(&*format!("\"{id}\"")));
        assert_eq!(first.field("cache-control"), Some("no-store"));
        let quoted = format!("\"{id}\"");
        for tags in [quoted.clone(), format!("W/{quoted}"), format!("\"0-1\", {quoted}"), "*".to_owned()] {
            let answer = client.get("/poll", &format!("If-None-Match: {tags}\r\n")).await;
            assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{tags}");
            assert_eq!(answer.field("etag"), Some(quoted.as_str()));
        }
        // A tag from elsewhere is a gap, and by `after` nothing new is a 200.
        assert_eq!(client.get("/poll", "If-None-Match: \"x\"\r\n").await.json()["gap"], true);
        assert_eq!(client.get(&format!("/poll?after={id}"), "").await.status, 200);
        let waited = client.get("/wait", &format!("If-None-Match: {quoted}\r\n")).await;
        assert_eq!((waited.status, waited.field("tidings-reason")), (304, Some("timeout")));
    });
}

#[test]
fn a_cursor_that_can_not_be_read_is_400_but_for_an_event_source() {
    World::run(limits(), async |world| {
        for path in ["/poll", "/wait", "/ws"] {
            let mut client = Client::new(world.connect());
            let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
            let answer = client.get(&format!("{path}?after=x"), upgrade).await;
            assert_eq!(answer.status, 400, "{path}");
            assert_eq!(client.rest().await, "");
        }
        let mut reader = Reader::open(world.connect(), Transport::Sse, Some("x")).await;
        assert!(matches!(reader.message().await, Tiding::Gap { .. }));
        world.publish("a");
        let first = async |target: &str, field: &[u8]| {
            let mut client = Client::new(world.connect());
            client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n")).await;
            client.send([field, b"\r\n\r\n"].concat()).await;
            client.until("\r\n\r\n").await;
            client.chunk().await.expect("the first bytes") + &client.chunk().await.expect("what is kept")
        };
        // Not even text: no way to think that there was none.
        for field in [&b"Last-Event-ID: \xff\xfe"[..], b"Last-Event-ID: 1-x", b"Last-Event-ID: earliest\xff"]
        {
            assert!(first("/events?after=earliest", field).await.contains("event: gap\n"));
        }
        // What is empty is none, and the next place may have one.
        for target in ["/events?last_event_id=&after=earliest", "/events?lastEventId=earliest"] {
            for field in [&b"Last-Event-ID:"[..], b"Last-Event-ID: \r\nLast-Event-ID:", b"X: y"] {
                let first = first(target, field).await;
                assert!(first.contains("data: a\n") && !first.contains("gap"), "{target}: {first}");
            }
        }
    });
}

#[test]
fn an_event_stream_has_its_fields_and_its_first_bytes() {
    World::run(limits(), async |world| {
        world.hub.send(Message::new("news", "two\nlines").event("note")).expect("published");
        let mut client = Client::new(world.connect());
        client.send("GET /events?last_event_id=earliest&envelope=0 HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let head = client.until("\r\n\r\n").await;
        for field in ["text/event-stream", "no-store, no-transform", "X-Accel-Buffering: no", "chunked"] {
            assert!(head.contains(field), "{field}: {head}");
        }
        let first = client.chunk().await.expect("the first bytes");
        assert!(first.starts_with("id: ") && first.contains("\nretry: "), "{first}");
        let event = client.chunk().await.expect("what is kept");
        assert!(event.ends_with("data: two\ndata: lines\n\n") && event.contains("event: note\n"), "{event}");
        let retry = first.split("retry: ").nth(1).and_then(|rest| rest.split('\n').next()?.parse().ok());
        assert!(retry.is_some_and(|ms: u64| (2000..=5000).contains(&ms)), "{first}");
        // Head, cursor and history went out in one write.
        assert_eq!(client.stream.writes(), 1);
    });
}

#[test]
fn an_event_stream_of_http_1_0_ends_with_the_connection() {
    World::run(limits(), async |world| {
        let id = world.publish("a");
        let mut client = Client::new(world.connect());
        client.send("GET /events?lastEventId=earliest&envelope=1 HTTP/1.0\r\n\r\n").await;
        let head = client.until("\r\n\r\n").await;
        assert!(head.contains("Connection: close") && !head.contains("chunked"), "{head}");
        world.hub.close();
        let body = client.rest().await;
        assert!(
            body.contains(&format!("data: {{\"id\":\"{id}\",\"topic\":\"news\",\"data\":\"a\"}}\n\n")),
            "{body}"
        );
        assert!(body.ends_with(": closed\n\n"), "{body}");
        // Whoever comes back is told to stop.
        let mut client = Client::new(world.connect());
        assert_eq!(client.get("/events", "").await.status, 204);
    });
}

#[test]
fn heartbeats_carry_a_cursor_that_moved() {
    let mut limits = limits();
    limits.ping = Duration::from_millis(30);
    through_all(&limits, async |world, transport| {
        if !matches!(transport, Transport::Sse | Transport::WebSocket) {
            return;
        }
        let mut reader = world.open(transport, None).await;
        assert!(matches!(reader.next().await, Tiding::Cursor(_)));
        // Elsewhere in the hub something happens; the quiet reader's cursor follows.
        let id = world.hub.publish("weather", "rain").expect("published");
        assert_eq!(reader.next().await, Tiding::Cursor(id.to_string()));
    });
}

#[test]
fn a_stream_that_is_old_ends_cleanly() {
    let mut limits = limits();
    limits.stream_age = Some(Duration::from_millis(50));
    World::run(limits, async |world| {
        let mut reader = world.open(Transport::Sse, None).await;
        assert_eq!(reader.message().await, Tiding::End("age".to_owned()));
    });
}

#[test]
fn where_no_request_can_be_held_there_is_an_honest_answer() {
    let mut limits = limits();
    limits.held = 0;
    World::run(limits, async |world| {
        let id = world.publish("a");
        let mut reader = Reader::open(world.connect(), Transport::Sse, Some("earliest")).await;
        assert_eq!(reader.message().await, message(id, "a"));
        assert_eq!(reader.message().await, Tiding::End("full".to_owned()));
        let mut client = Client::new(world.connect());
        assert_eq!(client.get("/wait?after=earliest", "").await.json()["messages"][0]["data"], "a");
        let refused = client.get("/wait", "").await;
        assert_eq!((refused.status, refused.field("tidings-reason")), (503, Some("full")));
        assert!(refused.field("retry-after").is_some());
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let refused = client.get("/ws", upgrade).await;
        assert_eq!(refused.status, 503);
        assert!(refused.field("retry-after").is_some());
    });
}

#[test]
fn one_path_serves_all_four_and_picks_topics() {
    World::run(limits(), async |world| {
        world.hub.publish("weather", "rain").expect("published");
        world.publish("a");
        let mut client = Client::new(world.connect());
        let all = client.get("/any", "").await.json();
        assert_eq!(all["messages"].as_array().map(Vec::len), Some(2));
        let one = client.get("/any?topic=weather&topic=weather&wait=1&after=earliest", "").await.json();
        assert_eq!(
            (&one["messages"][0]["data"], one["messages"].as_array().map(Vec::len)),
            (&"rain".into(), Some(1))
        );
        assert_eq!(client.get("/any?topic=secret", "").await.status, 404);
        let mut client = Client::new(world.connect());
        client.send("GET /any?after=earliest HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n").await;
        assert!(client.until("\n\n").await.contains("text/event-stream"));
        Client::new(world.connect()).upgrade("/any").await;
    });
}

#[test]
fn a_field_that_the_handler_adds_is_in_whatever_answer_it_is() {
    World::run(limits(), async |world| {
        world.publish("a");
        for (path, status) in [
            ("/", 200),
            ("/poll", 200),
            ("/poll?after=x", 400),
            ("/wait", 200),
            ("/events", 200),
            ("/any?after=earliest", 200),
            ("/ws", 426),
            ("/error", 500),
            ("/silent", 500),
            ("/nowhere", 404),
        ] {
            let mut client = Client::new(world.connect());
            client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nOrigin: http://page\r\n\r\n")).await;
            let head = client.until("\r\n\r\n").await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
            assert_eq!(head.matches("\r\nAccess-Control-Allow-Origin: *\r\n").count(), 1, "{path}: {head}");
        }
        let mut client = Client::new(world.connect());
        client.send("GET /ws HTTP/1.1\r\nHost: h\r\nOrigin: http://page\r\nUpgrade: websocket\r\n").await;
        client.send("Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n").await;
        client.send("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").await;
        assert!(client.until("\r\n\r\n").await.contains("\r\nAccess-Control-Allow-Origin: *\r\n"));
        // It is that one answer's.
        let mut client = Client::new(world.connect());
        assert!(
            client.get("/", "Origin: http://page\r\n").await.field("access-control-allow-origin").is_some()
        );
        assert!(client.get("/", "").await.field("access-control-allow-origin").is_none());
    });
}

#[test]
fn a_long_history_comes_whole_though_in_pieces() {
    let mut limits = Limits::DEFAULT;
    limits.history_bytes = 1 << 20;
    through_all(&limits, async |world, transport| {
        let data = "x".repeat(1000);
        let ids: Vec<Id> = (0..100).map(|_| world.publish(&data)).collect();
        let mut reader = Reader::open(world.connect(), transport, Some("earliest")).await;
        for id in ids {
            assert_eq!(reader.message().await, message(id, &data));
        }
    });
}

/// A stream that keeps what is written until it is flushed, and takes its time to close, as one with TLS does.
struct Buffered {
    end: End,
    kept: Vec<u8>,
    closing: bool,
}

impl AsyncRead for Buffered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.end).poll_read(cx, buf)
    }
}

impl AsyncWrite for Buffered {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.kept.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.kept.is_empty() {
            let Buffered { end, kept, .. } = &mut *self;
            let written = std::task::ready!(Pin::new(end).poll_write(cx, kept))?;
            kept.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.as_mut().poll_flush(cx))?;
        if !std::mem::replace(&mut self.closing, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.end).poll_close(cx)
    }
}

#[test]
fn a_stream_that_has_to_be_flushed_is() {
    through_all(&limits(), async |world, transport| {
        let (client, end) = common::pipe::pipe();
        world.serve(Buffered { end, kept: Vec::new(), closing: false });
        let mut reader = Reader::open(client, transport, None).await;
        reader.next().await;
        let id = world.publish("a");
        assert_eq!(reader.message().await, message(id, "a"));
        world.hub.close();
        assert_eq!(reader.message().await, Tiding::End("closed".to_owned()));
    });
    World::run(limits(), async |world| {
        let (client, end) = common::pipe::pipe();
        world.serve(Buffered { end, kept: Vec::new(), closing: false });
        let mut client = Client::new(client);
        // The last answer, whose end closes the stream.
        assert_eq!(client.get("/error", "").await.status, 500);
        assert_eq!(client.rest().await, "");
    });
}

/// A short poll of a history that is longer than a batch, of which a client reads the end only when `change` was done.
async fn read_while(world: &World, target: &str, change: impl FnOnce()) -> serde_json::Value {
    let mut client = Client::new(world.connect());
    client.stream.capacity(1000);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    while client.stream.pending() == 0 {
        smol::future::yield_now().await;
    }
    change();
    client.answer().await.json()
}

#[test]
fn a_poll_is_json_whatever_happens_while_it_is_read() {
    let send = |world: &World, n: usize, text: &str| {
        let message = Message::new("news", text.repeat(500)).key(&format!("key {n}"));
        world.hub.send(message).expect("published");
    };
    for (keys, gap) in [(20, false), (200, true)] {
        World::run(Limits::DEFAULT, async |world| {
            (0..20).for_each(|n| send(&world, n, "old"));
            // All that is left of what the answer was to have is replaced, or pushed out.
            let answer = read_while(&world, "/poll", || (0..keys).for_each(|n| send(&world, n, "new"))).await;
            let messages = answer["messages"].as_array().expect("a list");
            assert!(
                (1..20).contains(&messages.len()) && answer["gap"] == gap,
                "{} of {keys}",
                messages.len()
            );
            assert!(messages.iter().all(|message| message["key"].is_string()));
        });
    }
}

#[test]
fn two_gaps_of_a_poll_are_a_gap() {
    World::run(limits(), async |world| {
        let publish = || [(); 3].map(|()| world.publish(&"x".repeat(3000)));
        let ids = publish();
        // One before the first message, and one where the rest was pushed out.
        let answer = read_while(&world, "/poll?after=1-1", || _ = publish()).await;
        assert_eq!((&answer["gap"], answer["messages"].as_array().map(Vec::len)), (&true.into(), Some(1)));
        assert_eq!(answer["until"], ids[2].to_string(), "the greatest of both");
    });
}

#[test]
fn an_end_behind_the_cursor_of_a_poll_is_not_told_by_it() {
    // The end comes while the answer is read; what is read is pushed out as well, or not.
    for pushed in [0, 6] {
        World::run(Limits::DEFAULT, async |world| {
            (0..8).for_each(|_| _ = world.publish(&"x".repeat(3000)));
            let end = || {
                world.hub.send(Message::end("news", "finished")).expect("published");
                (0..pushed).for_each(|_| _ = world.hub.publish("busy", "x".repeat(15_000)).expect("room"));
            };
            let answer = read_while(&world, "/poll", end).await;
            assert!(answer.get("done").is_none() && answer["gap"] == (pushed > 0), "{}", answer["next"]);
            let next = answer["next"].as_str().expect("a cursor");
            let rest = Client::new(world.connect()).get(&format!("/poll?after={next}"), "").await.json();
            assert_eq!((&rest["done"], &rest["gap"]), (&true.into(), &(pushed > 0).into()), "{rest}");
        });
    }
}

#[test]
fn a_poll_of_topics_of_which_one_is_not_there_is_not_done() {
    World::run(limits(), async |world| {
        world.hub.begin("news").expect("new").finish().expect("room");
        let mut client = Client::new(world.connect());
        assert_eq!(client.get("/any?topic=news", "").await.json()["done"], true);
        let both = client.get("/any?topic=news&topic=weather", "").await.json();
        assert_eq!((both["messages"].as_array().map(Vec::len), both.get("done")), (Some(1), None));
    });
}

#[test]
fn what_is_pushed_out_behind_the_cursor_of_a_poll_is_no_gap_of_it() {
    World::run(limits(), async |world| {
        let ids = [(); 3].map(|()| world.publish(&"x".repeat(3000)));
        let mut client = Client::new(world.connect());
        client.stream.capacity(1000);
        client.send("GET /poll HTTP/1.1\r\nHost: h\r\n\r\n").await;
        // The last message is on its way.
        let begin = client.until(&format!("\"id\":\"{}\"", ids[2])).await;
        (0..5).for_each(|_| _ = world.publish("later"));
        let end = client.until("\r\n0\r\n\r\n").await;
        assert!(begin.matches("\"id\"").count() == 3 && end.contains("\"gap\":false"), "{end}");
        assert!(!end.contains("later"));
    });
}

#[test]
fn a_poll_may_begin_with_an_empty_batch() {
    // A gap with nothing kept, and messages by the time that more is looked for: found by publishing meanwhile.
    World::run(Limits::DEFAULT, async |world| {
        let (hub, over) = (world.hub.clone(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
        let publisher = std::thread::spawn({
            let over = over.clone();
            move || {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    hub.reset(hub.last());
                    let _ = hub.publish("news", "a");
                }
            }
        });
        let mut client = Client::new(world.connect());
        for _ in 0..3000 {
            let answer = client.get("/poll?after=1-1", "").await.json();
            assert_eq!(answer["gap"], true, "{answer}");
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        publisher.join().expect("no panic");
    });
}

#[test]
fn no_message_takes_more_to_write_than_it_may() {
    let mut limits = Limits::DEFAULT;
    limits.published = 2048;
    for text in ["x", "\n", "\r\n", "\u{1}", "\"", "\\", "\u{1f600}", "\t\n\0"] {
        through_all(&limits, async |world, transport| {
            let send = |n: usize| world.hub.send(Message::new("news", text.repeat(n)).key(text));
            let most = (1..2048).rev().find(|n| send(*n).is_ok()).expect("one is small enough");
            assert!(most * text.len() > 2048 / 8, "{text:?}: {most}");
            let mut reader = world.connect();
            let path = match transport {
                Transport::Poll => "/poll",
                Transport::LongPoll => "/wait?after=earliest",
                Transport::Sse => "/events?after=earliest",
                Transport::WebSocket => "/any?after=earliest&envelope=1",
            };
            let accept = if path.starts_with("/any") { "Accept: text/event-stream\r\n" } else { "" };
            let request = format!("GET {path} HTTP/1.0\r\n{accept}\r\n");
            smol::io::AsyncWriteExt::write_all(&mut reader, request.as_bytes()).await.expect("sent");
            let begin = reader.pending();
            while reader.pending() == begin {
                smol::future::yield_now().await;
            }
            // The head, the first bytes of a stream, and what stands around the message.
            assert!(reader.pending() < 2048 + 512, "{text:?} by {path}: {}", reader.pending());
        });
    }
}

#[test]
fn what_waits_for_a_reader_goes_out_in_one_write() {
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (path, fields) in [("/wait", ""), ("/events", ""), ("/ws", upgrade)] {
        World::run(Limits::DEFAULT, async |world| {
            let mut client = Client::new(world.connect());
            client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
            world.held(1).await;
            let before = client.stream.writes();
            // Nobody else runs until all are published, so that the reader finds all of them.
            for n in 0..10 {
                world.publish(&format!("number {n}"));
            }
            while !client.input.windows(8).any(|bytes| bytes == b"number 9") {
                assert!(client.more().await);
            }
            // async-tungstenite flushes behind each message.
            let each = path == "/ws" && cfg!(feature = "tungstenite");
            assert_eq!(client.stream.writes() - before, if each { 10 } else { 1 }, "{path}");
        });
    }
}

#[test]
fn a_feed_takes_nothing() {
    World::run(limits(), async |world| {
        let mut socket = Client::new(world.connect()).upgrade("/ws").await;
        socket.send("hello".into()).await.expect("sent");
        let mut reader = Reader::WebSocket(Box::new(socket));
        assert!(matches!(reader.message().await, Tiding::End(reason) if reason.contains("feed")));
        assert_eq!(world.hub.stats().messages, 0);
    });
}

/// Reads an event stream to its end, slowly, while there is always something new.
async fn read_slowly(world: &World, cursor: &str) -> String {
    let mut client = Client::new(world.connect());
    client.stream.capacity(64);
    client.send(format!("GET /events?after={cursor} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).await;
    loop {
        world.hub.publish("news", "x".repeat(100)).expect("published");
        smol::future::yield_now().await;
        if !client.more().await {
            return client.rest().await;
        }
    }
}

#[test]
fn a_stream_that_is_not_held_ends_with_what_there_was_though_it_is_read_slowly() {
    let mut limits = limits();
    limits.held = 0;
    World::run(limits, async |world| {
        for _ in 0..2 {
            // More than one batch.
            world.hub.publish("news", "x".repeat(3000)).expect("published");
        }
        assert!(read_slowly(&world, "earliest").await.ends_with(": full\n\n\r\n0\r\n\r\n"));
    });
}

#[test]
fn a_stream_that_always_has_something_to_say_ends_at_its_age() {
    let mut limits = limits();
    limits.stream_age = Some(Duration::from_millis(50));
    World::run(limits, async |world| {
        assert!(read_slowly(&world, "earliest").await.ends_with(": age\n\n\r\n0\r\n\r\n"));
    });
}

#[test]
fn who_always_has_something_to_say_hears_a_shutdown_and_that_the_client_has_ended() {
    // By an event stream and a WebSocket, read slowly or fast.
    for (request, capacity) in [(EVENTS, 64), (EVENTS, 1 << 20), (SOCKET, 64), (SOCKET, 1 << 20)] {
        for leaves in [false, true] {
            let mut limits = limits();
            limits.linger = Duration::ZERO;
            // No time passes: neither the shutdown nor a deadline cuts it off.
            World::run_by(&ManualClock::new(), limits, async |world| {
                let mut client = Client::new(world.connect());
                client.stream.capacity(capacity);
                client.send(request).await;
                world.held(1).await;
                let server = world.server.clone();
                match leaves {
                    true => client.finish().await,
                    false => world.executor.spawn(async move { server.shutdown(HOUR).await }).detach(),
                }
                loop {
                    world.hub.publish("news", "x".repeat(100)).expect("published");
                    smol::future::yield_now().await;
                    if world.server.stats().held == 0 || !client.more().await {
                        break;
                    }
                }
            });
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

const EVENTS: &str = "GET /events?after=earliest HTTP/1.1\r\nHost: h\r\n\r\n";

const SOCKET: &str = "GET /ws?after=earliest HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
