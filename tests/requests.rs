//! What a request says to a transport: cursors, entity tags, `Accept`, topics, HEAD. Each is a table of fields, with what
//! comes of them.

mod common;

use std::time::Duration;

use common::World;
use common::client::{Answer, Client};
use smol::future::yield_now;
use tidings::{Id, Limits};

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// No deadline comes while a test runs.
fn patient() -> Limits {
    let mut limits = Limits::DEFAULT;
    (limits.poll_wait, limits.ping) = (Duration::from_secs(3600), Duration::from_secs(3600));
    limits
}

/// Publishes a, b and c.
fn publish_three(world: &World) -> [Id; 3] {
    ["a", "b", "c"].map(|data| world.hub.publish("news", data).expect("published"))
}

/// Writes the ids of a, b and c, and the next one, in place of `{a}`, `{b}`, `{c}`, `{d}`.
fn fill(text: &str, [a, b, c]: [Id; 3]) -> String {
    let d = Id::new(c.epoch(), c.seq() + 1);
    [("{a}", a), ("{b}", b), ("{c}", c), ("{d}", d)]
        .iter()
        .fold(text.to_owned(), |text, (name, id)| text.replace(name, &id.to_string()))
}

/// What a poll was told: `304`, another status, or the messages, behind `gap` if there was one.
fn told(answer: &Answer) -> String {
    if answer.status != 200 {
        return answer.status.to_string();
    }
    let json = answer.json();
    let gap = json["gap"].as_bool().expect("a gap or none").then_some("gap");
    let messages = json["messages"].as_array().expect("messages").iter();
    let data = messages.map(|message| message["data"].as_str().expect("data"));
    gap.into_iter().chain(data).collect::<Vec<_>>().join(" ")
}

/// The head of an answer, whatever follows it.
async fn head_of(world: &World, request: &str) -> String {
    let mut client = Client::new(world.connect());
    client.send(request).await;
    client.until("\r\n\r\n").await
}

/// The values of `If-None-Match`, one a line, and what a short poll is told of a, b and c.
const TAGS: [(&str, &str); 48] = [
    // A tag of what there is, alone and in lists (RFC 9110, 13.1.2).
    ("\"{c}\"", "304"),
    ("W/\"{c}\"", "304"),
    ("*", "304"),
    ("\"abc\", \"{c}\"", "304"),
    ("\"{c}\", \"abc\"", "304"),
    ("\"abc\"\n\"{c}\"", "304"),
    ("\"{c}\"\n\"abc\"", "304"),
    ("W/\"abc\", W/\"{c}\"", "304"),
    ("\"abc\",\"{c}\"", "304"),
    ("\"abc\"\t,\t\"{c}\"", "304"),
    ("*, \"{c}\"", "304"),
    // Commas and blanks in quotes are part of a tag (8.8.3), also where they make something that looks like another.
    ("\"a,b\", \"{c}\"", "304"),
    ("\"a, \", \"{c}\"", "304"),
    ("\"a,{c}\"", "gap a b c"),
    ("\"a, {c}\"", "gap a b c"),
    ("\"{c},x\"", "304"),
    ("\",\", \"{c}\"", "304"),
    // A backslash in a tag is no escape.
    ("\"\\\", \"{c}\"", "304"),
    // Empty elements are skipped (5.6.1.2).
    (", \"{c}\"", "304"),
    ("\"{c}\",", "304"),
    ("\"{c}\", ,", "304"),
    (",,\t,\"{c}\"", "304"),
    ("\"\", \"{c}\"", "304"),
    // None at all is no cursor.
    ("", "a b c"),
    (",", "a b c"),
    (", ,", "a b c"),
    // What a proxy that compresses makes of a tag.
    ("\"{c}-gzip\"", "304"),
    ("W/\"{c}-gzip\"", "304"),
    ("\"{c}--gzip\"", "304"),
    ("\"{c};br\"", "304"),
    ("\"{c}/brotli\"", "304"),
    ("\"{c}\"-gzip", "304"),
    ("\"{c}\"-gzip, \"abc\"", "304"),
    ("\"{b}-gzip\"", "c"),
    ("\"{c}-gzip-br\"", "304"),
    // The newest of ours counts.
    ("\"{a}\", \"{b}\"", "c"),
    ("\"{b}\", \"{a}\"", "c"),
    ("\"{b}\", \"abc\"", "c"),
    ("\"earliest\"", "a b c"),
    // Not ours: alone it is a gap, for silence would be worse; beside one of ours it does not count.
    ("\"abc\"", "gap a b c"),
    ("\"\"", "gap a b c"),
    ("\"*\"", "gap a b c"),
    ("\"{d}\"", "gap a b c"),
    ("\"{c}0-gzip\"", "gap a b c"),
    ("\"{d}\", \"{c}\"", "304"),
    ("\"99999999999999999999-1\"", "gap a b c"),
    ("\"-gzip\"", "gap a b c"),
    // Without quotes, as by hand.
    ("{b}", "c"),
];

#[test]
fn if_none_match_is_a_list_of_entity_tags() {
    World::run(patient(), async |world| {
        let ids = publish_three(&world);
        for (tags, expected) in TAGS {
            let lines = fill(tags, ids)
                .split('\n')
                .map(|line| format!("If-None-Match: {line}\r\n"))
                .collect::<String>();
            let mut client = Client::new(world.connect());
            assert_eq!(told(&client.get("/poll", &lines).await), expected, "a short poll with {tags}");
            // A long poll is answered by the same, and held where there is nothing new.
            if matches!(expected, "304" | "a b c") && !tags.contains("earliest") {
                client.send(format!("GET /wait HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).await;
                while client.stream.unread() {
                    yield_now().await;
                }
                assert_eq!(
                    (world.server.stats().held, client.stream.pending()),
                    (1, 0),
                    "a long poll with {tags}"
                );
                drop(client);
                world.held(0).await;
            } else {
                assert_eq!(told(&client.get("/wait", &lines).await), expected, "a long poll with {tags}");
            }
        }
    });
}

#[test]
fn a_tag_that_is_not_text_is_not_ours_and_its_ending_may_be() {
    World::run(patient(), async |world| {
        let ids = publish_three(&world);
        for (tag, expected) in [("\"{c}\u{e9}\"", "304"), ("\"\u{e9}\"", "gap a b c")] {
            let mut client = Client::new(world.connect());
            client.send(b"GET /poll HTTP/1.1\r\nHost: h\r\nIf-None-Match: ").await;
            // Latin-1, as a field may have it.
            client.send(fill(tag, ids).chars().map(|c| c as u8).collect::<Vec<u8>>()).await;
            client.send(b"\r\n\r\n").await;
            assert_eq!(told(&client.answer().await), expected, "{tag}");
        }
    });
}

#[test]
fn a_long_poll_with_a_lengthened_tag_is_answered_once_per_message() {
    World::run(patient(), async |world| {
        publish_three(&world);
        let mut client = Client::new(world.connect());
        let mut tag = client.get("/poll", "").await.field("etag").expect("a tag").to_owned();
        for data in ["d", "e"] {
            // As a proxy hands it back.
            let lengthened = tag.replacen('"', "W/\"", 1).trim_end_matches('"').to_owned() + "-gzip\"";
            client
                .send(format!("GET /wait HTTP/1.1\r\nHost: h\r\nIf-None-Match: {lengthened}\r\n\r\n"))
                .await;
            world.held(1).await;
            world.hub.publish("news", data).expect("published");
            let answer = client.answer().await;
            assert_eq!(told(&answer), data);
            answer.field("etag").expect("a tag").clone_into(&mut tag);
        }
    });
}

/// Cursors in a query, and what a short poll is told; `Err` where a short poll, a long poll and a WebSocket are told 400.
const QUERIES: [(&str, Option<&str>); 14] = [
    ("", Some("a b c")),
    ("after=", Some("a b c")),
    ("after", Some("a b c")),
    ("after=&after={b}", Some("c")),
    ("after={b}&after=", Some("c")),
    ("after={b}&after={a}", Some("c")),
    ("after={c}", Some("")),
    ("after=earliest", Some("a b c")),
    ("after={d}", Some("gap a b c")),
    ("after=%20", None),
    ("after=null", None),
    ("after=%22{c}%22", None),
    ("after={c}-gzip", None),
    ("after=&after=x", None),
];

#[test]
fn an_empty_cursor_in_the_query_is_none() {
    World::run(patient(), async |world| {
        let ids = publish_three(&world);
        for (query, expected) in QUERIES {
            let query = fill(query, ids);
            let answer = Client::new(world.connect()).get(&format!("/poll?{query}"), "").await;
            assert_eq!(told(&answer), expected.unwrap_or("400"), "/poll?{query}");
            assert!(expected.is_some() || answer.body.contains("cursor"), "{answer:?}");
            // By all of the others.
            let status = |head: String| head.get(9..12).map(str::to_owned);
            for path in ["/wait", "/ws", "/events", "/any"] {
                let fields = if path == "/ws" { UPGRADE } else { "" };
                let request = format!("GET {path}?{query} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
                let held = path == "/wait" && ["", "after=", "after"].contains(&&*query);
                let begun = if path == "/ws" { "101" } else { "200" };
                if held || (path == "/wait" && expected == Some("")) {
                    let mut client = Client::new(world.connect());
                    client.send(request).await;
                    world.held(1).await;
                } else if expected.is_none() && path != "/events" {
                    assert_eq!(status(head_of(&world, &request).await).as_deref(), Some("400"), "{request}");
                } else {
                    assert_eq!(status(head_of(&world, &request).await).as_deref(), Some(begun), "{request}");
                }
                world.held(0).await;
            }
        }
    });
}

#[test]
fn an_event_stream_takes_the_first_cursor_that_is_not_empty() {
    World::run(patient(), async |world| {
        let ids = publish_three(&world);
        for (query, field, expected) in [
            ("after={b}", "", "data: c\n"),
            ("after=&after={b}", "", "data: c\n"),
            ("last_event_id=&lastEventId=&after={b}", "", "data: c\n"),
            ("last_event_id={b}&lastEventId={a}&after=earliest", "", "data: c\n"),
            ("lastEventId={b}&after=earliest", "", "data: c\n"),
            ("last_event_id=&last_event_id={b}", "", "data: c\n"),
            ("after=earliest", "Last-Event-ID: {b}\r\n", "data: c\n"),
            ("after={b}", "Last-Event-ID:\r\n", "data: c\n"),
            ("after={b}", "Last-Event-ID: \r\nLast-Event-ID: \r\n", "data: c\n"),
            ("after=earliest", "Last-Event-ID: \r\nlast-event-id: {b}\r\n", "data: c\n"),
            ("", "Last-Event-ID: nonsense\r\n", "event: gap\n"),
            ("after=nonsense", "", "event: gap\n"),
            ("", "If-None-Match: \"{b}\"\r\n", "id: {c}\nretry: "),
        ] {
            let mut client = Client::new(world.connect());
            client.send(fill(&format!("GET /events?{query} HTTP/1.1\r\nHost: h\r\n{field}\r\n"), ids)).await;
            client.until("\r\n\r\n").await;
            let (mut got, expected) = (String::new(), fill(expected, ids));
            while !got.contains(&expected) {
                got += &client.chunk().await.unwrap_or_else(|| panic!("no {expected:?} in {got}"));
            }
            let all = got.contains("data: a\n") || got.contains("data: b\n");
            assert!(!all || expected.contains("gap"), "{query} {field}: {got}");
            drop(client);
            world.held(0).await;
        }
    });
}

/// Lines of `Accept`, and whether they wish for an event stream.
const ACCEPTS: [(&str, bool); 38] = [
    ("text/event-stream", true),
    ("TEXT/Event-Stream", true),
    ("text/event-stream, */*", true),
    ("application/json,text/event-stream", true),
    ("application/json\ntext/event-stream", true),
    ("text/event-stream\napplication/json", true),
    ("text/event-stream;q=1", true),
    ("text/event-stream;q=0.001", true),
    ("text/event-stream;q=0.1, application/json", true),
    ("text/event-stream;charset=utf-8", true),
    ("text/event-stream;charset=utf-8;q=0.5", true),
    (" , text/event-stream ,", true),
    ("text/event-stream;", true),
    // It is named, and nobody knows how much it is wanted.
    ("text/event-stream;q=", true),
    ("text/event-stream;q=x", true),
    ("text/event-stream;q=00x", true),
    // Not acceptable (RFC 9110, 12.4.2).
    ("text/event-stream;q=0", false),
    ("text/event-stream;q=0.", false),
    ("text/event-stream;q=0.0", false),
    ("text/event-stream;q=0.000", false),
    ("text/event-stream;Q=0", false),
    ("text/event-stream ; q=0", false),
    ("text/event-stream;\tq=0\t, */*", false),
    ("text/event-stream;q = 0", false),
    ("text/event-stream;charset=utf-8;q=0", false),
    ("text/event-stream;charset=\"utf-8\";q=0.0", false),
    ("text/event-stream;q=0;ext=1", false),
    ("application/json, text/event-stream;q=0", false),
    ("application/json\ntext/event-stream;q=0", false),
    // The range that says most decides (12.5.1).
    ("*/*, text/event-stream;q=0", false),
    ("text/event-stream, */*;q=0", true),
    ("text/event-stream, text/event-stream;charset=utf-8;q=0", false),
    ("text/event-stream;q=0, text/event-stream;charset=utf-8", true),
    ("text/event-stream;q=0\ntext/event-stream", true),
    // What is in quotes is a value, and no range and no weight (5.6.4).
    ("text/plain;x=\"a, text/event-stream\"", false),
    ("text/plain;x=\"\\\", text/event-stream\"", false),
    ("text/event-stream;x=\"a;q=0,b\\\";q=0\"", true),
    ("text/event-streams, xtext/event-stream, text/*, */*, text/event-stream/x", false),
];

#[test]
fn accept_wishes_for_an_event_stream_by_naming_it_with_a_weight() {
    World::run(patient(), async |world| {
        publish_three(&world);
        for (accept, wished) in ACCEPTS {
            let lines: String = accept.split('\n').map(|line| format!("Accept: {line}\r\n")).collect();
            let head = head_of(&world, &format!("GET /any HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).await;
            let kind = if wished { "text/event-stream" } else { "application/json" };
            assert!(head.contains(&format!("\r\nContent-Type: {kind}\r\n")), "{accept}: {head}");
        }
    });
}

#[test]
fn without_a_wish_it_is_a_poll_and_only_wait_1_makes_it_long() {
    World::run(patient(), async |world| {
        let [.., c] = publish_three(&world);
        let mut client = Client::new(world.connect());
        for query in ["", "&wait", "&wait=", "&wait=0", "&wait=2", "&wait=0&wait=1"] {
            assert_eq!(told(&client.get(&format!("/any?after={c}{query}"), "").await), "", "{query}");
        }
        client.send(format!("GET /any?after={c}&wait=1 HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        world.held(1).await;
    });
}

#[test]
fn a_topic_of_the_query_is_one_of_those_and_an_empty_one_is_none() {
    World::run(patient(), async |world| {
        world.hub.publish("news", "n").expect("published");
        world.hub.publish("weather", "w").expect("published");
        let mut asked = 0;
        for (query, expected) in [
            ("", "n w"),
            ("topic=", "n w"),
            ("topic", "n w"),
            ("topic=&topic=", "n w"),
            ("topic=news", "n"),
            ("topic=weather&topic=", "w"),
            ("topic=&topic=weather", "w"),
            ("topic=weather&topic=weather", "w"),
            ("topic=weather&topic=news", "n w"),
            ("topic=n%65ws", "n"),
            ("topic=NEWS", "404"),
            ("topic=news,weather", "404"),
            ("topic=news&topic=sport", "404"),
            ("topic=%20", "404"),
        ] {
            let answer = Client::new(world.connect()).get(&format!("/any?{query}"), "").await;
            assert_eq!(told(&answer), expected, "{query}");
            asked += 1;
        }
        assert_eq!(world.server.stats().requests, asked);
    });
}

#[test]
fn only_envelope_1_wraps_the_data_of_an_event_stream() {
    World::run(patient(), async |world| {
        let [a, ..] = publish_three(&world);
        let json = format!("data: {{\"id\":\"{a}\",\"topic\":\"news\",\"data\":\"a\"}}\n");
        for (query, expected) in [
            ("", "data: a\n"),
            ("&envelope=", "data: a\n"),
            ("&envelope=0", "data: a\n"),
            ("&envelope=1", &*json),
        ] {
            let mut client = Client::new(world.connect());
            client.send(format!("GET /events?after=earliest{query} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            client.until("\r\n\r\n").await;
            client.chunk().await.expect("the first bytes");
            let event = client.chunk().await.expect("what is kept");
            assert!(event.contains(expected), "{query}: {event}");
        }
    });
}

/// The lines of a head but `Date`, which has another value each second.
fn lines(head: &str) -> Vec<&str> {
    head.lines().filter(|line| !line.starts_with("Date: ")).collect()
}

#[test]
fn head_is_answered_at_once_by_the_head_of_get() {
    let mut limits = patient();
    limits.retry = (Duration::from_secs(3), Duration::from_secs(3));
    World::run(limits, async |world| {
        let [.., c] = publish_three(&world);
        let events = "Accept: text/event-stream\r\n";
        for (target, fields, status) in [
            ("/poll", "", 200),
            (&*format!("/poll?after={c}"), "", 200),
            ("/poll", "If-None-Match: *\r\n", 304),
            ("/poll?after=x", "", 400),
            ("/wait?after=earliest", "", 200),
            ("/wait?after=x", "", 400),
            ("/events", "", 200),
            ("/any", events, 200),
            ("/any?wait=1&after=earliest", "", 200),
            ("/any?topic=x", "", 404),
            ("/ws", "", 426),
            // GET would be upgraded.
            ("/ws", UPGRADE, 400),
        ] {
            let ask = async |method| {
                let mut client = Client::new(world.connect());
                client.send(format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
                (client.until("\r\n\r\n").await, client)
            };
            let (head, mut client) = ask("HEAD").await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {head}");
            if fields != UPGRADE {
                assert_eq!(lines(&head), lines(&ask("GET").await.0), "{target}");
            }
            // No body, and the connection goes on unless it was an error.
            if status < 400 {
                assert_eq!(client.get("/", "").await.body, "hello", "{target}");
            } else {
                assert_eq!(client.rest().await, "", "{target}");
            }
            world.held(0).await;
        }
    });
}

#[test]
fn more_topics_than_a_subscription_may_have_are_refused() {
    let mut limits = patient();
    limits.subscription = 2;
    World::run(limits, async |world| {
        for topic in ["news", "weather", "sport"] {
            world.hub.publish(topic, &topic[..1]).expect("published");
        }
        for (query, expected) in [
            // What the embedder allows may be more.
            ("topic=news", "n"),
            ("topic=news&topic=sport", "n s"),
            ("topic=news&topic=sport&topic=news&topic=sport", "n s"),
            ("topic=news&topic=sport&topic=weather", "400"),
            ("topic=news&topic=sport&topic=x", "404"),
            ("", "400"),
        ] {
            for fields in ["", "Accept: text/event-stream\r\n", UPGRADE] {
                let mut client = Client::new(world.connect());
                client.send(format!("GET /follow?{query} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
                match expected.parse::<u16>() {
                    Ok(status) => assert_eq!(client.answer().await.status, status, "{query} {fields}"),
                    Err(_) if fields.is_empty() => assert_eq!(told(&client.answer().await), expected),
                    Err(_) => world.held(1).await,
                }
                drop(client);
                world.held(0).await;
            }
        }
    });
}

#[test]
fn a_topic_that_must_exist_is_not_made() {
    World::run(patient(), async |world| {
        world.hub.publish("news", "n").expect("published");
        for fields in ["", "Accept: text/event-stream\r\n", UPGRADE] {
            for query in ["topic=weather", "topic=weather&wait=1", "topic=news&topic=weather", ""] {
                let target = format!("/follow?{query}");
                let answer = Client::new(world.connect()).get(&target, fields).await;
                assert_eq!(answer.status, 404, "{target} {fields}");
            }
        }
        assert_eq!((world.hub.stats().topics, world.hub.stats().readers), (1, 0));
        let mut client = Client::new(world.connect());
        for query in ["topic=news", "topic=news&wait=1", "topic=news&wait=1&after=earliest"] {
            assert_eq!(told(&client.get(&format!("/follow?{query}"), "").await), "n", "{query}");
        }
    });
}

#[test]
fn head_of_a_long_poll_does_not_wait_and_takes_no_place() {
    let mut limits = patient();
    limits.held = 0;
    World::run(limits, async |world| {
        let [.., c] = publish_three(&world);
        let body = format!("{{\"messages\":[],\"next\":\"{c}\",\"gap\":false}}");
        for (target, fields, status) in [
            ("/wait", "", 200),
            (&*format!("/wait?after={c}"), "", 200),
            ("/any?wait=1", "", 200),
            ("/wait", "If-None-Match: *\r\n", 304),
        ] {
            let mut client = Client::new(world.connect());
            client.send(format!("HEAD {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
            let head = client.until("\r\n\r\n").await;
            let mut expected = vec![format!("ETag: \"{c}\""), "Cache-Control: no-store".to_owned()];
            match status {
                304 => expected.push("HTTP/1.1 304 Not Modified".to_owned()),
                _ => expected.extend([
                    "HTTP/1.1 200 OK".to_owned(),
                    "Content-Type: application/json".to_owned(),
                    format!("Content-Length: {}", body.len()),
                ]),
            }
            let mut got = lines(&head);
            got.retain(|line| !line.is_empty());
            got.sort_unstable();
            expected.sort_unstable();
            assert_eq!(got, expected, "{target}");
            assert_eq!(client.get("/", "").await.body, "hello");
        }
        // An event stream begins for HEAD as for GET, and needs no place either.
        let mut client = Client::new(world.connect());
        client.send("HEAD /events HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(client.until("\r\n\r\n").await.contains("text/event-stream"));
        assert_eq!(client.get("/", "").await.body, "hello");
    });
}
