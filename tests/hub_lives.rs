//! Topics that begin, end, are stopped, and are forgotten.

use std::iter;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use smol::stream::StreamExt as _;
use tidings::{Batch, Error, Fault, Frame, Hub, Id, Limits, Message, Published, Subscription, TopicState};

fn hub(change: impl FnOnce(&mut Limits)) -> Hub {
    let mut limits = Limits::DEFAULT;
    change(&mut limits);
    Hub::new(&limits)
}

fn plain() -> Hub {
    hub(|_| ())
}

/// All that a reader gets now.
fn rest(news: &mut Subscription) -> (Vec<Arc<Published>>, Option<Id>) {
    let batches: Vec<Batch> = iter::from_fn(|| news.try_next()).collect();
    let gap = batches.iter().filter_map(|batch| batch.gap).max();
    (batches.into_iter().flat_map(|batch| batch.messages).collect(), gap)
}

/// What one gets who follows a topic from there, and the reason of its end.
fn follow(hub: &Hub, topic: &str, after: Option<Id>) -> (String, Option<String>, Option<Id>) {
    let (messages, gap) = rest(&mut hub.follow(&[topic], after).expect("it is there"));
    let text = messages.iter().filter(|message| !message.is_end()).map(|message| message.data()).collect();
    let reason = messages.iter().find(|message| message.is_end()).map(|end| end.data().to_owned());
    (text, reason, gap)
}

fn ended(reason: &str) -> Option<String> {
    Some(reason.to_owned())
}

#[test]
fn the_end_is_the_last_message_for_all_who_follow() {
    let hub = plain();
    let answer = hub.begin("answer").expect("it is new");
    let mut reader = hub.subscribe(&["answer"], None).expect("it is there");
    let first = answer.send("a").expect("room");
    answer.send("b").expect("room");
    let end = answer.finish().expect("room");
    assert_eq!(rest(&mut reader).0.len(), 3);
    assert!(reader.is_done());
    assert!(smol::block_on(reader.next()).is_none(), "nothing comes behind the end");
    // From the start, from the middle, and from behind the end.
    assert_eq!(follow(&hub, "answer", Some(Id::EARLIEST)), ("ab".into(), ended("finished"), None));
    assert_eq!(follow(&hub, "answer", Some(first)), ("b".into(), ended("finished"), None));
    assert_eq!(follow(&hub, "answer", Some(end)), (String::new(), None, None));
    assert!(hub.subscribe(&["answer"], Some(end)).expect("it is there").is_done());
    assert!(matches!(hub.publish("answer", "c"), Err(Error::Ended)));
    assert!(matches!(hub.remove("answer", "key"), Err(Error::Ended)));
}

#[test]
fn a_reader_of_two_topics_is_done_when_both_have_ended() {
    let hub = plain();
    let (a, b) = (hub.begin("a").expect("new"), hub.begin("b").expect("new"));
    let mut both = hub.subscribe(&["a", "b"], None).expect("they are there");
    a.finish().expect("room");
    assert_eq!((rest(&mut both).0.len(), both.is_done()), (1, false));
    b.send("goes on").expect("room");
    b.finish().expect("room");
    assert_eq!((rest(&mut both).0.len(), both.is_done()), (2, true));
}

#[test]
fn one_of_many_who_begin_at_once_gets_the_topic() {
    let hub = plain();
    let begin = |_| {
        let hub = hub.clone();
        thread::spawn(move || hub.begin("answer"))
    };
    let begun: Vec<_> =
        Vec::from_iter((0..8).map(begin)).into_iter().map(|t| t.join().expect("no panic")).collect();
    assert_eq!(begun.iter().filter(|begun| begun.is_ok()).count(), 1);
    assert_eq!(begun.iter().filter(|begun| matches!(begun, Err(Error::Running))).count(), 7);
    drop(begun);
    assert!(matches!(hub.begin("answer"), Err(Error::Ended)));
}

#[test]
fn others_do_not_publish_where_there_is_a_producer() {
    let hub = plain();
    let answer = hub.begin("answer").expect("new");
    assert!(matches!(hub.publish("answer", "another's"), Err(Error::Running)));
    let id = Id::new(u64::MAX, 0);
    assert!(matches!(hub.insert(id, Message::new("answer", "another's")), Err(Error::Running)));
    assert!(matches!(hub.send(Message::end("answer", "another's")), Err(Error::Running)));
    assert!(matches!(answer.send_message(Message::new("other", "x")), Err(Error::Misuse(_))));
    assert!(matches!(answer.send_message(Message::end("answer", "x")), Err(Error::Misuse(_))));
}

#[test]
fn a_producer_that_is_dropped_ends_its_topic_with_a_reason() {
    let hub = plain();
    drop(hub.begin("dropped").expect("new"));
    assert_eq!(follow(&hub, "dropped", Some(Id::EARLIEST)).1, ended("dropped"));
    let other = hub.clone();
    let panics = thread::spawn(move || {
        let producer = other.begin("panicked").expect("new");
        producer.send("half an ans").expect("room");
        panic!("as a task may");
    });
    assert!(panics.join().is_err());
    assert_eq!(follow(&hub, "panicked", Some(Id::EARLIEST)), ("half an ans".into(), ended("panicked"), None));
    // A task that is cancelled.
    let producer = hub.begin("cancelled").expect("new");
    let task = async move {
        let _producer = producer;
        std::future::pending::<()>().await;
    };
    drop(task);
    assert_eq!(follow(&hub, "cancelled", Some(Id::EARLIEST)).1, ended("dropped"));
}

#[test]
fn a_reason_that_is_too_long_ends_the_topic_as_dropped() {
    let hub = plain();
    let long = "x".repeat(Limits::DEFAULT.name + 1);
    assert!(matches!(hub.begin("answer").expect("new").finish_with(&long), Err(Error::TooLarge)));
    assert_eq!(follow(&hub, "answer", Some(Id::EARLIEST)).1, ended("dropped"));
}

#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<T>(future: impl Future<Output = T>, task: &Arc<Task>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(&Waker::from(task.clone())))
}

#[test]
fn a_stop_is_heard_by_all_who_wait_for_it() {
    let (hub, task) = (plain(), Arc::new(Task::default()));
    let answer = hub.begin("answer").expect("new");
    assert!(!hub.stop("other") && !answer.is_stopped());
    let (mut first, mut second) = (Box::pin(answer.stopped()), Box::pin(answer.stopped()));
    assert!(poll(first.as_mut(), &task).is_pending() && poll(second.as_mut(), &task).is_pending());
    // Who waits no more leaves nothing behind.
    let third = Arc::new(Task::default());
    assert!(poll(answer.stopped(), &third).is_pending());
    assert_eq!(Arc::strong_count(&third), 1);
    assert!(hub.stop("answer"));
    assert_eq!(task.0.load(Ordering::SeqCst), 2);
    assert!(poll(first, &task).is_ready() && poll(second, &task).is_ready() && answer.is_stopped());
    // It is a wish: the producer ends the topic when it likes.
    answer.send("a last word").expect("room");
    answer.finish_with("stopped").expect("room");
    assert!(!hub.stop("answer"));
    assert_eq!(follow(&hub, "answer", Some(Id::EARLIEST)), ("a last word".into(), ended("stopped"), None));
}

#[test]
fn a_close_stops_producers() {
    let (hub, task) = (plain(), Arc::new(Task::default()));
    let answer = hub.begin("answer").expect("new");
    let mut stopped = Box::pin(answer.stopped());
    assert!(poll(stopped.as_mut(), &task).is_pending());
    hub.close();
    assert_eq!(task.0.load(Ordering::SeqCst), 1);
    assert!(poll(stopped, &task).is_ready() && answer.is_stopped());
    assert!(matches!(answer.send("late"), Err(Error::Closed)));
    assert!(matches!(answer.finish(), Err(Error::Closed)));
}

#[test]
fn an_end_wakes_who_waits() {
    let (hub, task) = (plain(), Arc::new(Task::default()));
    let answer = hub.begin("answer").expect("new");
    let mut reader = hub.subscribe(&["answer"], None).expect("it is there");
    assert!(poll(reader.next(), &task).is_pending());
    drop(answer);
    assert_eq!(task.0.load(Ordering::SeqCst), 1);
    assert!(reader.try_next().expect("the end").messages[0].is_end());
}

#[test]
fn a_begin_that_takes_messages_away_wakes_who_waits() {
    let (hub, task) = (plain(), Arc::new(Task::default()));
    let id = hub.publish("news", "old").expect("room");
    let mut behind = hub.subscribe(&["news"], Some(Id::new(id.epoch(), 0))).expect("it is there");
    let mut ahead = hub.subscribe(&["news"], Some(id)).expect("it is there");
    assert!(poll(ahead.next(), &task).is_pending());
    let _producer = hub.begin("news").expect("it runs not yet");
    assert_eq!(behind.try_next().expect("a gap").gap, Some(id));
    assert!(ahead.try_next().is_none());
}

#[test]
fn a_name_that_begins_anew_goes_on_in_its_ids() {
    let hub = plain();
    let first = hub.begin("game").expect("new");
    let start = hub.last();
    first.send("white moves").expect("room");
    let end = first.finish().expect("room");
    assert!(matches!(hub.begin("game"), Err(Error::Ended)));
    let second = hub.begin_anew("game", &hub.bounds()).expect("it has ended");
    assert!(matches!(hub.begin_anew("game", &hub.bounds()), Err(Error::Running)));
    let id = second.send("black moves").expect("room");
    assert!(id > end);
    // Who had read the end gets the new life; who had not is told.
    assert_eq!(follow(&hub, "game", Some(end)), ("black moves".into(), None, None));
    assert_eq!(follow(&hub, "game", Some(start)), ("black moves".into(), None, Some(end)));
    assert_eq!(follow(&hub, "game", Some(Id::EARLIEST)), ("black moves".into(), None, None));
}

#[test]
fn an_end_that_was_evicted_is_a_gap_and_then_done() {
    let hub = hub(|limits| limits.history_bytes = 4_000);
    let start = hub.last();
    let answer = hub.begin("answer").expect("new");
    answer.send("a").expect("room");
    let end = answer.finish().expect("room");
    for _ in 0..8 {
        hub.publish("busy", "x".repeat(500)).expect("room");
    }
    assert_eq!(hub.topic("answer").expect("it is known").state, TopicState::Ended(end));
    assert_eq!(hub.topic("answer").expect("it is known").messages, 0, "{:?}", hub.stats());
    let mut late = hub.follow(&["answer"], Some(start)).expect("it is known");
    assert!(!late.is_done());
    let batch = late.try_next().expect("a gap");
    assert_eq!((batch.gap, batch.messages.len(), batch.next), (Some(end), 1, hub.last()));
    let told = &batch.messages[0];
    assert_eq!((told.id(), told.topic(), told.data()), (end, "answer", "finished"));
    assert!(told.is_end() && late.is_done() && smol::block_on(late.next()).is_none());
    // It is not kept, so it counts with nothing, nor does what is made of it.
    let before = hub.stats();
    assert_eq!(told.frame(Frame::Sse, |_| vec![0; 100]).len(), 100);
    assert_eq!((hub.stats().bytes, hub.stats().messages), (before.bytes, before.messages));
    assert_eq!(follow(&hub, "answer", Some(Id::EARLIEST)), (String::new(), ended("finished"), None));
    assert!(matches!(hub.begin("answer"), Err(Error::Ended)));
}

#[test]
fn the_oldest_end_leaves_for_a_place_but_none_that_is_read() {
    let hub = hub(|limits| limits.topics = 4);
    hub.publish("feed", "older than all").expect("room");
    for name in ["first", "second", "third"] {
        hub.begin(name).expect("a place").finish().expect("room");
    }
    let _reader = hub.subscribe(&["first"], None).expect("it is there");
    let running = hub.begin("fourth").expect("the place of the second");
    let names = || ["feed", "first", "second", "third", "fourth"].map(|name| hub.topic(name).is_some());
    assert_eq!(names(), [true, true, false, true, true]);
    hub.publish("fifth", "x").expect("the place of the third");
    hub.publish("sixth", "x").expect("the place of the feed");
    assert_eq!(names(), [false, true, false, false, true]);
    hub.publish("seventh", "x").expect("the place of the fifth");
    let _readers = hub.subscribe(&["sixth", "seventh"], None).expect("they are there");
    assert!(matches!(hub.publish("eighth", "x"), Err(Error::Full)), "one runs, three are read");
    assert!(matches!(hub.begin("eighth"), Err(Error::Full)));
    drop(running);
}

#[test]
fn a_thousand_answers_come_and_go_and_a_quiet_topic_has_no_gap() {
    for quiet_is_there in [true, false] {
        let hub = hub(|limits| limits.topics = 16);
        let cursor =
            if quiet_is_there { hub.publish("quiet", "all is well").expect("room") } else { hub.last() };
        let reader = hub.subscribe(&["quiet"], Some(cursor)).expect("room");
        for answer in 0..1_000 {
            let producer = hub.begin(&format!("answers/{answer}")).expect("a place");
            producer.send("a piece").expect("room");
            producer.finish().expect("room");
        }
        drop(reader);
        let mut back = hub.subscribe(&["quiet"], Some(cursor)).expect("the place of an answer is not needed");
        assert!(quiet_is_there == hub.topic("quiet").is_some_and(|quiet| quiet.newest.is_some()));
        assert!(back.try_next().is_none(), "there is nothing new and no gap");
        // Who was in the middle of one that is gone hears of it.
        let mut late = hub.read(&["answers/3"], Some(cursor)).expect("it can be read");
        assert!(late.try_next().expect("a gap").gap.is_some());
        assert_eq!(hub.stats().forgotten, 985);
    }
}

#[test]
fn what_falls_out_of_the_table_is_a_gap_for_who_was_away() {
    let hub = hub(|limits| (limits.topics, limits.forgotten) = (2, 1));
    let start = hub.last();
    let (a, b) = (hub.publish("a", "1").expect("room"), hub.publish("b", "2").expect("room"));
    hub.publish("c", "3").expect("the place of a");
    let gap = |name: &str, after| {
        let mut reader = hub.read(&[name], Some(after)).expect("it can be read");
        reader.try_next().and_then(|batch| batch.gap)
    };
    assert_eq!((gap("a", start), gap("never", start)), (Some(a), None));
    hub.publish("d", "4").expect("the place of b");
    assert_eq!((gap("b", start), gap("a", start), gap("a", a)), (Some(b), Some(a), None));
    // It is not known any more which one that was.
    assert_eq!(gap("never", start), Some(a));
}

#[test]
fn a_topic_that_keeps_all_is_passed_by() {
    let hub = hub(|limits| limits.history_bytes = 32 * 1024);
    let answer = hub.begin_with("answer", &hub.bounds().keep_all(16 * 1024)).expect("room");
    let reserved = hub.stats().reserved;
    assert!(reserved >= 16 * 1024 && hub.stats().bytes == reserved);
    assert!(matches!(hub.begin_with("other", &hub.bounds().keep_all(16 * 1024)), Err(Error::Full)));
    assert!(hub.topic("other").is_none(), "nothing is changed");
    let mut sent = 0;
    while let Ok(_id) = answer.send("x".repeat(500)) {
        sent += 1;
        hub.publish("busy", "y".repeat(1_000)).expect("the oldest of its own leaves");
        assert!(hub.stats().bytes <= 32 * 1024);
    }
    assert!(sent > 15 && matches!(answer.send("x".repeat(500)), Err(Error::Full)));
    let end = answer.finish().expect("an end always has room");
    let (messages, gap) = rest(&mut hub.follow(&["answer"], Some(Id::EARLIEST)).expect("it is known"));
    assert_eq!((messages.len(), gap, messages.last().map(|last| last.id())), (sent + 1, None, Some(end)));
    // What it has not used is free.
    assert!(hub.stats().reserved < reserved);
}

#[test]
fn a_drop_has_room_where_all_is_used() {
    let hub = plain();
    let answer = hub.begin_with("answer", &hub.bounds().keep_all(2_000)).expect("room");
    while answer.send("").is_ok() {}
    drop(answer);
    assert_eq!(follow(&hub, "answer", Some(Id::EARLIEST)).1, ended("dropped"));
}

#[test]
fn a_newer_value_takes_no_more_room_where_all_is_kept() {
    let hub = plain();
    let job = hub.begin_with("job", &hub.bounds().keep_all(1_000)).expect("room");
    for percent in 0..100 {
        job.send_message(Message::new("job", percent.to_string()).key("progress"))
            .expect("the room of the last");
    }
    assert_eq!(hub.latest("job", "progress").expect("a value").data(), "99");
}

#[test]
fn frames_push_out_nothing_where_all_is_kept() {
    let hub = hub(|limits| limits.history_bytes = 16 * 1024);
    let answer = hub.begin_with("answer", &hub.bounds().keep_all(12 * 1024)).expect("room");
    answer.send("x").expect("room");
    hub.publish("feed", "y").expect("room");
    let mut reader = hub.follow(&["answer"], Some(Id::EARLIEST)).expect("it is there");
    let piece = reader.try_next().expect("a piece").messages[0].clone();
    let frame = |size: usize, kind| piece.frame(kind, |_| vec![b'.'; size]).len();
    assert_eq!(frame(1_000, Frame::Sse), 1_000);
    let kept = hub.stats().bytes;
    // There is no room for this one beside the feed: it is made each time.
    assert_eq!((frame(8_000, Frame::Json), frame(7_000, Frame::Json)), (8_000, 7_000));
    assert_eq!((frame(1_000, Frame::Sse), hub.stats().bytes, hub.stats().messages), (1_000, kept, 2));
    // Nor do frames keep a producer from publishing.
    answer.send("x".repeat(10_000)).expect("it is reserved");
}

#[test]
fn ended_topics_give_back_what_is_reserved_for_them_the_oldest_first() {
    let hub = hub(|limits| limits.history_bytes = 32 * 1024);
    let bounds = hub.bounds().keep_all(9 * 1024);
    for name in ["first", "second", "third"] {
        let answer = hub.begin_with(name, &bounds).expect("room");
        answer.send("x".repeat(8_000)).expect("room");
        answer.finish().expect("room");
    }
    let _reader = hub.follow(&["first"], None).expect("it is known");
    let fourth = hub.begin_with("fourth", &bounds).expect("the room of the second");
    let messages = |name| hub.topic(name).map(|topic| topic.messages);
    assert_eq!([messages("first"), messages("second"), messages("third")], [Some(2), Some(0), Some(2)]);
    let (text, reason, gap) = follow(&hub, "second", Some(Id::new(0, 1)));
    assert!(text.is_empty() && reason == ended("finished") && gap.is_some());
    assert!(matches!(hub.topic("second").expect("it is known").state, TopicState::Ended(_)));
    drop(fourth);
}

#[test]
fn a_topic_has_bounds_of_its_own() {
    let hub = plain();
    let mut bounds = hub.bounds();
    bounds.messages = 2;
    hub.set_bounds("short", &bounds).expect("a place");
    (bounds.messages, bounds.bytes) = (100, 2_000);
    hub.set_bounds("light", &bounds).expect("a place");
    for n in 0..10 {
        hub.publish("short", n.to_string()).expect("room");
        hub.publish("light", "x".repeat(400)).expect("room");
        hub.publish("plain", n.to_string()).expect("room");
    }
    let messages = |name| hub.topic(name).expect("it is there").messages;
    assert_eq!((messages("short"), messages("light"), messages("plain")), (2, 2, 10));
    // They hold at once for what is there, until they are taken back.
    bounds.messages = 3;
    hub.set_bounds("plain", &bounds).expect("a place");
    assert_eq!(messages("plain"), 3);
    hub.clear_bounds("plain");
    (0..5).for_each(|n| drop(hub.publish("plain", n.to_string())));
    assert_eq!(messages("plain"), 8);
    assert!(matches!(hub.set_bounds("plain", &bounds.keep_all(1_000)), Err(Error::Misuse(_))));
}

#[test]
fn bounds_hold_again_when_a_topic_comes_back() {
    let hub = hub(|limits| limits.topics = 1);
    let mut bounds = hub.bounds();
    bounds.messages = 1;
    hub.set_bounds("a", &bounds).expect("a place");
    assert!(matches!(hub.set_bounds("b", &bounds), Err(Error::Full)));
    for name in ["a", "b", "a", "a"] {
        hub.publish(name, "x").expect("the place of the other");
    }
    assert_eq!(hub.topic("a").expect("it is there").messages, 1);
}

#[test]
fn what_is_too_old_goes_when_the_hub_is_used() {
    let hub = hub(|limits| limits.message_age = Some(Duration::from_secs(3_600)));
    let aged = |text: &str, hours: u64| Message::new("news", text).age(Duration::from_secs(3_600 * hours));
    let start = hub.last();
    let old = hub.send(aged("old", 2)).expect("room");
    hub.send(aged("new", 0)).expect("room");
    assert_eq!((hub.stats().messages, hub.stats().aged), (1, 1));
    assert_eq!(follow(&hub, "news", Some(start)), ("new".into(), None, Some(old)));
    // Without an age it does not matter how old something is.
    let mut bounds = hub.bounds();
    bounds.message_age = None;
    hub.set_bounds("archive", &bounds).expect("a place");
    hub.send(Message::new("archive", "old").age(Duration::MAX)).expect("room");
    assert_eq!(hub.topic("archive").expect("it is there").messages, 1);
}

#[test]
fn a_topic_is_forgotten_when_its_time_is_over() {
    let hub = hub(|limits| limits.topic_age = Some(Duration::from_secs(3_600)));
    let aged = |topic: &str, hours: u64| Message::new(topic, "x").age(Duration::from_secs(3_600 * hours));
    let id = hub.send(aged("old", 2)).expect("room");
    hub.send(aged("new", 0)).expect("room");
    let read = hub.subscribe(&["read"], None).expect("room");
    hub.send(aged("read", 2)).expect("room");
    hub.send(Message::end("ended", "finished").age(Duration::from_secs(7_200))).expect("room");
    let running = hub.begin("running").expect("new");
    running.send_message(aged("running", 2)).expect("room");
    let names = || ["old", "new", "read", "ended", "running"].map(|name| hub.topic(name).is_some());
    assert_eq!(names(), [false, true, true, false, true]);
    assert_eq!(hub.stats().aged, 2);
    drop(read);
    assert_eq!(names(), [false, true, false, false, true]);
    let mut late = hub.read(&["old"], Some(Id::new(id.epoch(), 0))).expect("it can be read");
    assert_eq!(late.try_next().expect("a gap").gap, Some(id));
    drop(running);
    assert!(hub.topic("running").is_some(), "its end is new");
}

#[test]
fn what_is_handed_over_begins_and_ends_as_it_did() {
    let (old, new) = (plain(), plain());
    let floor = old.last();
    let answer = old.begin("answer").expect("new");
    answer.send("once").expect("room");
    answer.finish().expect("room");
    old.send(Message::new("sensors", "1").key("a")).expect("room");
    old.remove("sensors", "a").expect("room");
    old.begin_anew("answer", &old.bounds()).expect("it has ended").send("twice").expect("room");
    new.reset(floor);
    let mut all = old.subscribe(&["answer", "sensors"], Some(Id::new(0, 1))).expect("they are there");
    for message in rest(&mut all).0 {
        let (topic, data) = (message.topic(), message.data());
        let copy = match message.key() {
            _ if message.is_end() => Message::end(topic, data),
            Some(key) if message.is_removed() => Message::removal(topic, key),
            Some(key) => Message::new(topic, data).key(key),
            None => Message::new(topic, data),
        };
        assert!(new.insert(message.id(), copy).expect("room"));
    }
    assert_eq!(follow(&new, "answer", Some(Id::EARLIEST)), ("twice".into(), ended("dropped"), None));
    assert!(new.latest("sensors", "a").is_none());
    assert_eq!(new.last(), old.last());
    // What comes behind an end begins a new life.
    let id = Id::new(new.last().epoch(), new.last().seq() + 1);
    assert!(new.insert(id, Message::new("answer", "thrice")).expect("room"));
    assert_eq!(follow(&new, "answer", Some(Id::EARLIEST)), ("thrice".into(), None, None));
}

#[test]
fn what_is_handed_over_is_as_old_as_it_was() {
    let hub = hub(|limits| limits.message_age = Some(Duration::from_secs(3_600)));
    let id = |seq| Id::new(hub.last().epoch() + 1, seq);
    let [old, young] = [id(1), id(2)];
    let aged = |hours: u64| Message::new("news", "x").age(Duration::from_secs(3_600 * hours));
    assert!(hub.insert(old, aged(2)).expect("room") && hub.insert(young, aged(0)).expect("room"));
    let mut reader = hub.read(&["news"], Some(Id::EARLIEST)).expect("it can be read");
    assert_eq!(reader.try_next().expect("one message").messages[0].id(), young);
    assert_eq!((hub.stats().messages, hub.stats().aged), (1, 1));
}

#[test]
fn a_reset_leaves_producers_where_they_are() {
    let hub = plain();
    let answer = hub.begin_with("answer", &hub.bounds().keep_all(4_000)).expect("room");
    answer.send("a").expect("room");
    hub.begin("ended").expect("new").finish().expect("room");
    let mut reader = hub.follow(&["answer"], None).expect("it is there");
    hub.reset(Id::new(u64::MAX, 0));
    assert!(hub.topic("ended").is_none());
    answer.send("b").expect("room");
    answer.finish().expect("room");
    let (messages, gap) = rest(&mut reader);
    assert_eq!((messages.len(), gap), (2, Some(Id::new(u64::MAX, 0))));
    assert!(reader.is_done());
}

#[test]
fn only_what_is_there_is_followed() {
    let hub = plain();
    let refused = |names: &[&str]| matches!(hub.follow(names, None), Err(Error::Fault(Fault::Topic)));
    assert!(refused(&["answer"]));
    let answer = hub.begin("answer").expect("new");
    assert!(!refused(&["answer"]) && refused(&["answer", "anwser"]));
    drop(answer);
    assert!(!refused(&["answer"]), "its end is known");
    assert_eq!(hub.stats().topics, 1, "nothing was made");
}

#[test]
fn a_subscription_is_a_stream() {
    smol::block_on(async {
        let hub = plain();
        let answer = hub.begin("answer").expect("new");
        let reader = hub.subscribe(&["answer"], None).expect("it is there");
        answer.send("a").expect("room");
        answer.finish().expect("room");
        let messages: Vec<usize> = reader.map(|batch| batch.messages.len()).collect().await;
        assert_eq!(messages.iter().sum::<usize>(), 2);
    });
}

#[test]
fn what_an_ended_topic_loses_by_age_is_reserved_no_more() {
    let hub = plain();
    let mut bounds = hub.bounds().keep_all(8_000);
    bounds.message_age = Some(Duration::from_secs(3_600));
    let answer = hub.begin_with("answer", &bounds).expect("room");
    let old =
        Message::new("answer", "x".repeat(4_000)).age(Duration::from_secs(3_600) - Duration::from_millis(50));
    answer.send_message(old).expect("room");
    answer.finish().expect("room");
    assert!(hub.stats().reserved > 4_000 || hub.stats().aged == 1);
    while hub.stats().aged == 0 {
        thread::yield_now();
    }
    assert!((1..1_000).contains(&hub.stats().reserved), "{:?}", hub.stats());
    assert_eq!(follow(&hub, "answer", Some(Id::EARLIEST)).1, ended("finished"));
}
