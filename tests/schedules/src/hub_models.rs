//! A hub and its readers, publishers and producers.

use shuttle::future::block_on;
use shuttle::thread;

use crate::error::Error;
use crate::hub::{Frame, Hub, Id, Subscription};
use crate::limits::Limits;

pub const MODELS: [(&str, fn()); 7] = [
    ("a reader gets all and the end", all_and_the_end),
    ("an end that leaves is told", an_end_that_leaves),
    ("one of two begins, the other follows", start_or_follow),
    ("a stop is heard", stop),
    ("frames and evictions", frames),
    ("readers come and go", come_and_go),
    ("a reset reaches who waits", reset),
];

fn hub(change: impl FnOnce(&mut Limits)) -> Hub {
    let mut limits = Limits::DEFAULT;
    change(&mut limits);
    Hub::new(&limits)
}

/// All that a reader gets until the end: how many messages, and whether a gap.
fn read_all(mut news: Subscription) -> (usize, bool) {
    let (mut messages, mut gap) = (0, false);
    while let Some(batch) = block_on(news.next()) {
        messages += batch.messages.len();
        gap |= batch.gap.is_some();
    }
    (messages, gap)
}

fn all_and_the_end() {
    let hub = hub(|_| ());
    let answer = hub.begin("answer").expect("new");
    let reader = hub.follow(&["answer"], None).expect("it is there");
    let other = hub.subscribe(&["answer"], None).expect("it is there");
    let first = thread::spawn(move || read_all(reader));
    let second = thread::spawn(move || read_all(other));
    let producer = thread::spawn(move || {
        answer.send("a").expect("room");
        answer.send("b").expect("room");
        // The end is that of the drop.
    });
    producer.join().expect("no panic");
    assert_eq!(first.join().expect("no panic"), (3, false));
    assert_eq!(second.join().expect("no panic"), (3, false));
    assert_eq!(hub.stats().readers, 0);
}

/// A topic ends while others push its messages out: the end comes, kept or not, and once.
fn an_end_that_leaves() {
    let hub = hub(|limits| limits.history_bytes = 1_000);
    let answer = hub.begin("answer").expect("new");
    let mut reader = hub.follow(&["answer"], None).expect("it is there");
    let producer = thread::spawn(move || answer.finish().expect("an end has room"));
    let other = hub.clone();
    let publisher = thread::spawn(move || {
        (0..3).for_each(|_| _ = other.publish("busy", "x".repeat(300)).expect("room"));
    });
    let mut ends = 0;
    while let Some(batch) = block_on(reader.next()) {
        ends += batch.messages.iter().filter(|message| message.is_end()).count();
    }
    assert_eq!(ends, 1);
    producer.join().expect("no panic");
    publisher.join().expect("no panic");
}

fn start_or_follow() {
    let hub = hub(|_| ());
    let start = |hub: Hub| {
        thread::spawn(move || match hub.begin("answer") {
            Ok(answer) => {
                answer.send("the only one").expect("room");
                answer.finish().expect("room");
                1
            }
            Err(Error::Running | Error::Ended) => {
                let reader = hub.follow(&["answer"], Some(Id::EARLIEST)).expect("it is there");
                assert_eq!(read_all(reader), (2, false));
                0
            }
            Err(error) => panic!("{error}"),
        })
    };
    let both = [start(hub.clone()), start(hub.clone())];
    assert_eq!(both.map(|task| task.join().expect("no panic")).iter().sum::<usize>(), 1);
}

fn stop() {
    let hub = hub(|_| ());
    let answer = hub.begin("answer").expect("new");
    let reader = hub.follow(&["answer"], None).expect("it is there");
    let producer = thread::spawn(move || {
        block_on(answer.stopped());
        answer.finish_with("stopped").expect("room");
    });
    assert!(hub.stop("answer"));
    assert_eq!(read_all(reader), (1, false));
    producer.join().expect("no panic");
}

/// A frame is made while its message leaves: what it counts with is put in and taken out.
fn frames() {
    let hub = hub(|limits| limits.history = 1);
    let mut news = hub.subscribe(&["news"], None).expect("room");
    hub.publish("news", "first").expect("room");
    let message = news.try_next().expect("the first").messages[0].clone();
    let framing =
        thread::spawn(move || assert_eq!(message.frame(Frame::Sse, |_| vec![0; 10_000]).len(), 10_000));
    let other = hub.clone();
    let publishing = thread::spawn(move || other.publish("news", "second").expect("room"));
    // It is never less than nothing.
    assert!(hub.stats().bytes < 20_000, "{:?}", hub.stats());
    publishing.join().expect("no panic");
    assert!(hub.stats().bytes < 20_000, "{:?}", hub.stats());
    framing.join().expect("no panic");
    let one = self::hub(|_| ());
    one.publish("news", "second").expect("room");
    assert_eq!(hub.stats().bytes, one.stats().bytes);
}

fn come_and_go() {
    let hub = hub(|limits| (limits.topics, limits.forgotten) = (2, 4));
    let start = hub.last();
    let read = |hub: Hub, names: &'static [&'static str]| {
        thread::spawn(move || {
            let Ok(mut news) = hub.subscribe(names, Some(start)) else { return };
            if let Some(batch) = news.try_next() {
                assert!(batch.gap.is_none(), "nothing has left that this one reads");
            }
        })
    };
    let readers = [read(hub.clone(), &["a"]), read(hub.clone(), &["a", "b"])];
    hub.publish("a", "1").expect("it is there, or there is a place");
    readers.into_iter().for_each(|reader| reader.join().expect("no panic"));
    let stats = hub.stats();
    assert_eq!((stats.topics, stats.readers, stats.messages), (1, 0, 1));
}

fn reset() {
    let hub = hub(|_| ());
    let mut news = hub.subscribe(&["news"], None).expect("room");
    let reader = thread::spawn(move || block_on(news.next()).expect("a gap").gap);
    let floor = Id::new(u64::MAX, 0);
    hub.reset(floor);
    assert_eq!(reader.join().expect("no panic"), Some(floor));
}
