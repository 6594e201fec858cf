//! Waiting for a hub: no wake-up is lost, whoever races with whom. The commonest bug of this field is a message
//! that comes between two long polls and is seen by neither.
//!
//! `TIDINGS_RUNS=n` repeats the races.

#[path = "common/random.rs"]
mod random;

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use random::Rng;
use tidings::{Hub, Id, Limits, Subscription};

/// Far longer than a run of any of these tests takes: it is there so that a lost wake-up fails and does not hang.
const WATCHDOG: Duration = Duration::from_secs(120);

/// Runs something that hangs if a wake-up is lost.
fn watched(work: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        // Nobody listens any more when the watchdog has barked.
        let _ = done.send(());
    });
    if wait.recv_timeout(WATCHDOG * runs() as u32) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("it hangs: a wake-up was lost, or a lock is held");
    }
    if let Err(panic) = worker.join() {
        std::panic::resume_unwind(panic);
    }
}

fn runs() -> usize {
    std::env::var("TIDINGS_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A hub with room for all that these tests publish.
fn hub() -> Hub {
    let mut limits = Limits::DEFAULT;
    (limits.topics, limits.history, limits.history_bytes) = (20_000, 20_000, 1 << 30);
    Hub::new(&limits)
}

fn subscribe(hub: &Hub, topics: &[&str]) -> Subscription {
    hub.subscribe(topics, None).expect("room")
}

fn publish(hub: &Hub, topic: &str) -> Id {
    hub.publish(topic, "text").expect("room")
}

/// One long poll: a subscription of its own, which waits for one batch. The ids that it brings, and where the next
/// goes on.
async fn long_poll(hub: &Hub, topics: &[&str], after: Id) -> (Vec<Id>, Id) {
    let mut news = hub.subscribe(topics, Some(after)).expect("room");
    let batch = news.next().await.expect("the hub is open");
    assert!(batch.gap.is_none(), "nothing has left the history");
    (batch.messages.iter().map(|message| message.id()).collect(), batch.next)
}

/// Long polls until there are so many messages, or more.
async fn long_polls(hub: &Hub, topics: &[&str], mut after: Id, count: usize) -> Vec<Id> {
    let mut got = Vec::new();
    while got.len() < count {
        let (ids, next) = long_poll(hub, topics, after).await;
        got.extend(ids);
        after = next;
    }
    got
}

const TOPICS: usize = 10_000;
const PUBLISHERS: usize = 3;
const ROUNDS: usize = 6;

/// Publishes once in each topic in each round; returns the topics with the ids.
fn publish_in_all(hub: &Hub, seed: usize) -> Vec<(usize, Id)> {
    let rounds = (0..ROUNDS).flat_map(|round| Rng::new((seed * ROUNDS + round) as u64).shuffled(TOPICS));
    let publish = |topic: usize| {
        // Without a pause readers come too late to wait, with one after each message hardly any comes late.
        if topic % 512 == 0 {
            thread::yield_now();
        }
        (topic, publish(hub, &topic.to_string()))
    };
    rounds.map(publish).collect()
}

/// Three publishers race with a long-polling reader per topic; returns what was published in each topic and what
/// its reader got.
fn race(seed: usize) -> (Vec<Vec<Id>>, Vec<Vec<Id>>) {
    let (hub, executor, (stop, stopped)) = (hub(), smol::Executor::new(), smol::channel::bounded::<()>(1));
    let (hub, executor, start) = (&hub, &executor, hub.last());
    let mut published = vec![Vec::new(); TOPICS];
    let got = thread::scope(|scope| {
        // It goes when this closure ends, in a panic too, and the executor's threads with it.
        let _stop = stop;
        let read = move |topic: usize| {
            executor.spawn(
                async move { long_polls(hub, &[&topic.to_string()], start, PUBLISHERS * ROUNDS).await },
            )
        };
        let readers: Vec<_> = (0..TOPICS).map(read).collect();
        for _ in 0..2 {
            let stopped = stopped.clone();
            scope.spawn(move || smol::block_on(executor.run(stopped.recv())).is_err());
        }
        let publisher = |number| scope.spawn(move || publish_in_all(hub, seed * PUBLISHERS + number));
        for publisher in Vec::from_iter((0..PUBLISHERS).map(publisher)) {
            publisher.join().expect("published").iter().for_each(|(topic, id)| published[*topic].push(*id));
        }
        readers.into_iter().map(smol::block_on).collect()
    });
    published.iter_mut().for_each(|ids| ids.sort_unstable());
    (published, got)
}

#[test]
fn long_polls_of_ten_thousand_topics_miss_nothing() {
    watched(|| {
        for run in 0..runs() {
            let (published, got) = race(run);
            assert!(published == got, "lost, twice, or out of order in run {run}");
        }
    });
}

/// Each waits for the other, so that each publish meets a reader that is just about to wait.
#[test]
fn two_threads_that_answer_each_other_never_stop() {
    watched(|| {
        let (hub, pairs, rounds) = (hub(), 3, 1_500 * runs());
        let play = |own: String, other: String, begins: bool| {
            let (hub, mut after) = (hub.clone(), hub.last());
            if begins {
                publish(&hub, &other);
            }
            thread::spawn(move || {
                for _ in 0..rounds {
                    let (ids, next) = smol::block_on(long_poll(&hub, &[&own], after));
                    assert_eq!(ids.len(), 1, "one ball is in the game");
                    publish(&hub, &other);
                    after = next;
                }
            })
        };
        let both =
            |n| [play(format!("a{n}"), format!("b{n}"), false), play(format!("b{n}"), format!("a{n}"), true)];
        let players: Vec<_> = (0..pairs).flat_map(both).collect();
        players.into_iter().for_each(|player| player.join().expect("the last ball"));
    });
}

/// Some threads long poll all of some topics, each with its own pace, while others publish.
#[test]
fn all_readers_of_the_same_topics_get_the_same() {
    watched(|| {
        for _ in 0..runs() {
            let (hub, topics, each) = (hub(), ["a", "b", "c"], 5_000);
            let start = hub.last();
            let reader =
                |hub: Hub| move || smol::block_on(long_polls(&hub, &topics, start, each * topics.len()));
            let readers = [0; 3].map(|_| thread::spawn(reader(hub.clone())));
            let publisher = |hub: Hub, topic| {
                let publish = move |_| (thread::yield_now(), publish(&hub, topic)).1;
                move || Vec::from_iter((0..each).map(publish))
            };
            let publishers = topics.map(|topic| thread::spawn(publisher(hub.clone(), topic)));
            let mut published = publishers.map(|thread| thread.join().expect("published")).concat();
            published.sort_unstable();
            assert!(readers.into_iter().all(|reader| reader.join().expect("got all") == published));
        }
    });
}

/// A task that only counts how often it was woken.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Task {
    fn wakes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>, task: &Arc<Task>) -> Poll<T> {
    future.poll(&mut Context::from_waker(&Waker::from(task.clone())))
}

/// Lets a task begin to wait, and drops the future.
fn wait(news: &mut Subscription, task: &Arc<Task>) {
    assert!(poll(pin!(news.next()), task).is_pending());
}

/// What a task gets at once: how many messages, and whether a gap.
fn get(news: &mut Subscription, task: &Arc<Task>) -> Option<(usize, bool)> {
    match poll(pin!(news.next()), task) {
        Poll::Ready(batch) => batch.map(|batch| (batch.messages.len(), batch.gap.is_some())),
        Poll::Pending => panic!("there is something to get"),
    }
}

#[test]
fn a_publish_wakes_who_waits() {
    let (hub, task) = (hub(), Arc::new(Task::default()));
    let mut news = subscribe(&hub, &["news"]);
    let mut next = pin!(news.next());
    assert!(poll(next.as_mut(), &task).is_pending());
    publish(&hub, "other");
    assert_eq!(task.wakes(), 0, "a topic of others");
    let id = publish(&hub, "news");
    assert_eq!(task.wakes(), 1);
    assert!(matches!(poll(next, &task), Poll::Ready(Some(batch)) if batch.next == id));
    publish(&hub, "news");
    assert_eq!(task.wakes(), 1, "it does not wait now");
}

#[test]
fn each_of_its_topics_wakes_a_reader() {
    let (hub, task) = (hub(), Arc::new(Task::default()));
    let mut news = subscribe(&hub, &["a", "b", "c"]);
    for topic in ["b", "a", "c"] {
        let before = task.wakes();
        wait(&mut news, &task);
        publish(&hub, topic);
        assert_eq!(task.wakes(), before + 1);
        assert_eq!(get(&mut news, &task), Some((1, false)));
    }
}

#[test]
fn an_insert_wakes_who_waits() {
    let (hub, task) = (hub(), Arc::new(Task::default()));
    let mut news = subscribe(&hub, &["news"]);
    wait(&mut news, &task);
    let id = Id::new(hub.last().epoch() + 1, 0);
    assert!(hub.insert(id, tidings::Message::new("news", "text")).expect("room"));
    assert_eq!((task.wakes(), get(&mut news, &task)), (1, Some((1, false))));
}

#[test]
fn a_close_wakes_who_waits_and_is_the_end() {
    let (hub, task) = (hub(), Arc::new(Task::default()));
    let mut news = subscribe(&hub, &["news"]);
    wait(&mut news, &task);
    hub.close();
    assert_eq!((task.wakes(), get(&mut news, &task)), (1, None));
}

#[test]
fn what_is_kept_comes_before_the_end() {
    let (hub, task) = (hub(), Arc::new(Task::default()));
    let mut news = subscribe(&hub, &["news"]);
    wait(&mut news, &task);
    publish(&hub, "news");
    hub.close();
    assert_eq!(get(&mut news, &task), Some((1, false)));
    assert_eq!(get(&mut news, &task), None);
}

#[test]
fn a_reset_wakes_who_waits_with_a_gap() {
    let (hub, task) = (hub(), Arc::new(Task::default()));
    let mut news = subscribe(&hub, &["news"]);
    wait(&mut news, &task);
    hub.reset(Id::new(hub.last().epoch() + 1, 0));
    assert_eq!((task.wakes(), get(&mut news, &task)), (1, Some((0, true))));
    wait(&mut news, &task);
}

#[test]
fn a_dropped_wait_loses_nothing() {
    let (hub, task) = (hub(), Arc::new(Task::default()));
    let mut news = subscribe(&hub, &["news"]);
    // Dropped before the publish, and after it but before the task ran.
    wait(&mut news, &task);
    publish(&hub, "news");
    assert_eq!(get(&mut news, &task), Some((1, false)));
    {
        let mut next = pin!(news.next());
        assert!(poll(next.as_mut(), &task).is_pending());
        publish(&hub, "news");
    }
    assert_eq!(get(&mut news, &task), Some((1, false)));
    wait(&mut news, &task);
}

#[test]
fn a_subscription_that_moves_wakes_its_new_task() {
    let (hub, old, new) = (hub(), Arc::new(Task::default()), Arc::new(Task::default()));
    let mut news = subscribe(&hub, &["a", "b"]);
    wait(&mut news, &old);
    let mover = thread::spawn(move || {
        wait(&mut news, &new);
        (news, new)
    });
    let (mut news, new) = mover.join().expect("moved");
    publish(&hub, "b");
    assert_eq!((old.wakes(), new.wakes()), (0, 1));
    assert_eq!(get(&mut news, &new), Some((1, false)));
}

#[test]
fn who_has_left_is_not_woken_and_leaves_nothing_behind() {
    let (hub, task) = (hub(), Arc::new(Task::default()));
    let (mut news, mut stays) = (subscribe(&hub, &["a", "b"]), subscribe(&hub, &["a"]));
    wait(&mut news, &task);
    wait(&mut stays, &Arc::new(Task::default()));
    drop(news);
    assert_eq!(Arc::strong_count(&task), 1, "no waker is left");
    publish(&hub, "a");
    assert_eq!(task.wakes(), 0);
}

/// A task that looks at the hub when it is woken and when it goes: neither may happen under the hub's lock.
struct Curious(Hub);

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        self.0.stats();
    }
}

impl Drop for Curious {
    fn drop(&mut self) {
        self.0.stats();
    }
}

#[test]
fn wakers_are_used_and_dropped_without_the_lock() {
    let wait = |news: &mut Subscription, hub: &Hub| {
        let waker = Waker::from(Arc::new(Curious(hub.clone())));
        assert!(pin!(news.next()).poll(&mut Context::from_waker(&waker)).is_pending());
    };
    watched(move || {
        let hub = hub();
        let mut news = subscribe(&hub, &["a", "b"]);
        // Replaced by another, woken by a publish, and left behind by a reader that goes.
        wait(&mut news, &hub);
        wait(&mut news, &hub);
        publish(&hub, "a");
        assert!(news.try_next().is_some());
        wait(&mut news, &hub);
        drop(news);
        assert_eq!(hub.stats().readers, 0);
    });
}
