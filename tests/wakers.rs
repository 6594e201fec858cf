//! Wakers that are legal and unkind: none is recognized in its clone, one panics, one uses the server when it is woken or
//! dropped.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use smol::io::{AsyncRead, AsyncWrite};
use tidings::{Conn, Hub, Limits, ManualClock, Server, Subscription};

/// A task that counts how often it was woken.
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

/// A task of an executor with a bug.
struct Faulty;

impl Wake for Faulty {
    fn wake(self: Arc<Self>) {
        panic!("a bug of an executor");
    }
}

fn poll<F: Future>(future: Pin<&mut F>, task: &Arc<impl Wake + Send + Sync + 'static>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(task.clone())))
}

/// A waker each of which is another, as an executor may hand out.
fn fresh() -> Arc<Task> {
    Arc::default()
}

/// Polls the futures of as many tasks, the one in the middle with a waker that panics; returns the others.
fn begin<F: Future>(futures: &mut [Pin<Box<F>>]) -> Vec<Arc<Task>> {
    let faulty = futures.len() / 2;
    let mut tasks = Vec::new();
    for (place, future) in futures.iter_mut().enumerate() {
        if place == faulty {
            assert!(poll(future.as_mut(), &Arc::new(Faulty)).is_pending());
        } else {
            tasks.push(fresh());
            assert!(poll(future.as_mut(), &tasks[tasks.len() - 1]).is_pending());
        }
    }
    tasks
}

/// Holds that each task was woken, and that who woke them heard nothing of the one that panicked.
fn all_are_woken(tasks: &[Arc<Task>], wake: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(wake)).is_ok(), "the panic of a waker is that of its task");
    assert!(
        tasks.iter().all(|task| task.wakes() > 0),
        "{:?}",
        Vec::from_iter(tasks.iter().map(|t| t.wakes()))
    );
}

/// A stream whose peer says nothing. It keeps no waker itself.
struct Silent;

impl AsyncRead for Silent {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
}

impl AsyncWrite for Silent {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Connections that wait for a head.
fn silent(server: &Server) -> Vec<Pin<Box<impl Future<Output = ()> + use<>>>> {
    let connect = |_| {
        let mut conn = Conn::new(Silent, server);
        Box::pin(async move { while let Ok(Some(_)) = conn.next().await {} })
    };
    Vec::from_iter((0..5).map(connect))
}

#[test]
fn a_waker_that_panics_lets_other_deadlines_be_kept() {
    let clock = ManualClock::new();
    let server = Server::with_clock(Limits::DEFAULT, &clock);
    let mut conns = silent(&server);
    let tasks = begin(&mut conns);
    let (mut tick, keeper) = (pin!(server.tick()), fresh());
    assert!(poll(tick.as_mut(), &keeper).is_pending());
    clock.advance(Limits::DEFAULT.head_time);
    assert_eq!(keeper.wakes(), 1);
    all_are_woken(&tasks, || assert!(poll(tick.as_mut(), &keeper).is_pending()));
}

#[test]
fn a_waker_that_panics_lets_others_hear_of_a_shutdown() {
    let server = Server::new(Limits::DEFAULT);
    let mut conns = silent(&server);
    let tasks = begin(&mut conns);
    let mut shutdown = pin!(server.shutdown(Duration::from_secs(3600)));
    all_are_woken(&tasks, || assert!(poll(shutdown.as_mut(), &fresh()).is_pending()));
}

#[test]
fn a_waker_that_panics_lets_others_keep_the_deadlines() {
    let server = Server::new(Limits::DEFAULT);
    let mut ticks = Vec::from_iter((0..3).map(|_| Box::pin(server.tick())));
    let tasks = begin(&mut ticks);
    let mut conns = silent(&server);
    all_are_woken(&tasks, || _ = begin(&mut conns[..1]));
}

#[test]
fn a_waker_that_panics_lets_others_hear_that_the_clock_went() {
    let clock = ManualClock::new();
    let server = Server::with_clock(Limits::DEFAULT, &clock);
    let mut ticks = Vec::from_iter((0..3).map(|_| Box::pin(server.tick())));
    let tasks = begin(&mut ticks);
    all_are_woken(&tasks, || clock.advance(Duration::from_secs(1)));
}

#[test]
fn the_last_connection_wakes_the_shutdown() {
    let server = Server::with_clock(Limits::DEFAULT, &ManualClock::new());
    let (mut conns, before, task) = (silent(&server), fresh(), fresh());
    // Only a shutdown waits for it.
    let waits = before.clone();
    assert!(poll(conns[0].as_mut(), &waits).is_pending());
    conns.truncate(2);
    assert_eq!(before.wakes(), 0);
    let mut shutdown = pin!(server.shutdown(Duration::from_secs(1)));
    assert!(poll(shutdown.as_mut(), &task).is_pending());
    conns.truncate(1);
    assert_eq!(task.wakes(), 0, "there is one left");
    drop(conns);
    assert_eq!(task.wakes(), 1);
    assert!(poll(shutdown.as_mut(), &task).is_ready());
}

/// Readers of one topic.
fn readers(hub: &Hub) -> Vec<Pin<Box<impl Future<Output = ()> + use<>>>> {
    let read = |mut news: Subscription| Box::pin(async move { while news.next().await.is_some() {} });
    Vec::from_iter((0..5).map(|_| read(hub.subscribe(&["news"], None).expect("room"))))
}

#[test]
fn a_waker_that_panics_lets_others_hear_of_a_message() {
    let ways: [fn(&Hub); 3] =
        [|hub| _ = hub.publish("news", "text").expect("room"), |hub| hub.reset(hub.last()), Hub::close];
    for wake in ways {
        let hub = Hub::new(&Limits::DEFAULT);
        let mut readers = readers(&hub);
        let tasks = begin(&mut readers);
        all_are_woken(&tasks, || wake(&hub));
    }
}

#[test]
fn a_tick_keeps_the_last_waker_alone() {
    let server = Server::new(Limits::DEFAULT);
    let mut tick = Box::pin(server.tick());
    let tasks = Vec::from_iter((0..100).map(|_| fresh()));
    for task in &tasks {
        assert!(poll(tick.as_mut(), task).is_pending());
    }
    let kept = tasks.iter().filter(|task| Arc::strong_count(task) > 1);
    assert_eq!(kept.count(), 1, "wakers of a task that has moved on");
    drop(tick);
    assert!(tasks.iter().all(|task| Arc::strong_count(task) == 1), "a waker of a tick that is gone");
}

#[test]
fn deadlines_and_readers_wake_the_last_waker_alone() {
    let (clock, hub) = (ManualClock::new(), Hub::new(&Limits::DEFAULT));
    let server = Server::with_clock(Limits::DEFAULT, &clock);
    let (mut conns, mut readers, mut tick) = (silent(&server), readers(&hub), pin!(server.tick()));
    let (conn, reader) = (&mut conns[0], &mut readers[0]);
    let tasks = Vec::from_iter((0..10).map(|_| [fresh(), fresh(), fresh()]));
    for [of_conn, of_reader, of_tick] in &tasks {
        assert!(poll(conn.as_mut(), of_conn).is_pending());
        assert!(poll(reader.as_mut(), of_reader).is_pending());
        assert!(poll(tick.as_mut(), of_tick).is_pending());
    }
    clock.advance(Limits::DEFAULT.head_time);
    assert!(poll(tick.as_mut(), &fresh()).is_pending());
    hub.publish("news", "text").expect("room");
    let (last, others) = tasks.split_last().expect("some");
    assert!(others.iter().flatten().all(|task| task.wakes() == 0), "one that has moved on was woken");
    assert!(last.iter().all(|task| task.wakes() == 1));
}

/// A task that asks the server when it is woken and when it goes: neither may happen under a lock.
struct Curious(Server, ManualClock);

impl Curious {
    fn ask(&self) {
        // Both take the lock of the deadlines, or of the clock.
        drop(Conn::new(Silent, &self.0));
        self.1.advance(Duration::ZERO);
    }
}

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        self.ask();
    }
}

impl Drop for Curious {
    fn drop(&mut self) {
        self.ask();
    }
}

#[test]
fn wakers_are_used_and_dropped_without_a_lock() {
    let clock = ManualClock::new();
    let server = Server::with_clock(Limits::DEFAULT, &clock);
    let curious = || Arc::new(Curious(server.clone(), clock.clone()));
    let mut conns = silent(&server);
    let (done, wait) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let done = done;
            let mut tick = Box::pin(server.tick());
            // Replaced by another, woken, and left behind by one that goes.
            for _ in 0..2 {
                conns.iter_mut().for_each(|conn| assert!(poll(conn.as_mut(), &curious()).is_pending()));
                assert!(poll(tick.as_mut(), &curious()).is_pending());
            }
            clock.advance(Limits::DEFAULT.head_time);
            assert!(poll(tick.as_mut(), &curious()).is_pending());
            assert!(
                poll(Box::pin(server.shutdown(Duration::from_secs(1))).as_mut(), &curious()).is_pending()
            );
            drop((tick, conns));
            done.send(()).expect("awaited");
        });
        // A thread that hangs can't be ended.
        if wait.recv_timeout(Duration::from_secs(300)) == Err(RecvTimeoutError::Timeout) {
            eprintln!("it hangs: a waker was used under a lock");
            std::process::exit(1);
        }
    });
}
