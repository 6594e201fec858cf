//! A world that stands still between two events: all that can run has run, and time passes when the test says so. So no
//! test here waits for the machine, and how often a task was polled can be counted.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use smol::io::{AsyncRead, AsyncWrite};
use smol::{LocalExecutor, Task};
use tidings::{Conn, Hub, Io, Limits, ManualClock, Server};

use crate::common::pipe::{self, End};
use crate::common::{World, converse};

/// As often may a task be polled between two events. Most are polled once or twice; one that reads much lets others go
/// first now and then.
const MOST_POLLS: usize = 1000;

/// A world whose tasks run when the test says so.
pub struct Still {
    pub world: World,
    pub clock: ManualClock,
    tasks: RefCell<Vec<Counted>>,
}

/// A task by its name, and how often it was polled since the last event.
struct Counted {
    name: &'static str,
    polls: Rc<Cell<usize>>,
}

impl Still {
    pub fn new(limits: Limits) -> Still {
        let still = Still::without_tick(limits);
        let server = still.server().clone();
        still.spawn("tick", async move { server.tick().await }).detach();
        still
    }

    /// A world in which no deadline is kept, unless the test sees to it.
    pub fn without_tick(limits: Limits) -> Still {
        let clock = ManualClock::new();
        let (server, hub) = (Server::with_clock(limits.clone(), &clock), Hub::new(&limits));
        let world = World { server, hub, executor: Rc::new(LocalExecutor::new()) };
        Still { world, clock, tasks: RefCell::default() }
    }

    pub fn server(&self) -> &Server {
        &self.world.server
    }

    /// Spawns a task whose polls are counted.
    pub fn spawn<T: 'static>(&self, name: &'static str, task: impl Future<Output = T> + 'static) -> Task<T> {
        let polls = Rc::new(Cell::new(0));
        self.tasks.borrow_mut().push(Counted { name, polls: polls.clone() });
        self.world.executor.spawn(async move {
            let mut task = pin!(task);
            poll_fn(|cx| {
                polls.set(polls.get() + 1);
                task.as_mut().poll(cx)
            })
            .await
        })
    }

    /// Lets all run that can. A task that goes on and on without an event is a busy loop.
    pub fn settle(&self) {
        self.tasks.borrow_mut().retain(|task| Rc::strong_count(&task.polls) > 1);
        let tasks = self.tasks.borrow();
        tasks.iter().for_each(|task| task.polls.set(0));
        while self.world.executor.try_tick() {
            for Counted { name, polls } in tasks.iter() {
                assert!(polls.get() <= MOST_POLLS, "{name} runs without end");
            }
        }
    }

    /// Lets so many turns be taken, where there may be tasks that always have something to do.
    pub fn turns(&self, turns: usize) {
        (0..turns).for_each(|_| _ = self.world.executor.try_tick());
    }

    /// Lets so much time pass, at once, and all run that is due then.
    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.settle();
    }

    /// A connection that is served by the usual routes.
    pub fn connect(&self) -> Hand {
        let (client, end) = pipe::pipe();
        let hub = self.world.hub.clone();
        self.serve("converse", end, |conn| converse(conn, hub)).detach();
        Hand::new(client)
    }

    /// Serves a stream by a loop of the test's own.
    pub fn serve<F: Future<Output = T> + 'static, T: 'static>(
        &self,
        name: &'static str,
        io: impl Io + 'static,
        serve: impl FnOnce(Conn) -> F,
    ) -> Task<T> {
        self.spawn(name, serve(Conn::new(io, self.server())))
    }

    /// The connections, the held ones and the bytes of this moment.
    pub fn figures(&self) -> (usize, usize, usize) {
        let stats = self.server().stats();
        (stats.connections, stats.held, stats.buffered)
    }
}

/// A client in the hands of the test: it does nothing by itself.
pub struct Hand {
    pub end: End,
    /// What has come so far.
    pub seen: Vec<u8>,
    /// Whether the server has ended its half, or the connection.
    pub over: bool,
}

impl Hand {
    pub fn new(end: End) -> Hand {
        Hand { end, seen: Vec::new(), over: false }
    }

    /// Sends what the pipe has room for; returns how much that was.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> usize {
        let (mut rest, cx) = (bytes.as_ref(), &mut Context::from_waker(Waker::noop()));
        while let Poll::Ready(Ok(n @ 1..)) = Pin::new(&mut self.end).poll_write(cx, rest) {
            rest = &rest[n..];
        }
        bytes.as_ref().len() - rest.len()
    }

    /// Reads once, at most so many bytes; returns how many there were.
    pub fn read(&mut self, most: usize) -> usize {
        let mut buffer = vec![0; most];
        let cx = &mut Context::from_waker(Waker::noop());
        match Pin::new(&mut self.end).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(n @ 1..)) => {
                self.seen.extend_from_slice(&buffer[..n]);
                n
            }
            Poll::Ready(_) => {
                self.over = true;
                0
            }
            Poll::Pending => 0,
        }
    }

    /// Reads all that there is; returns how much that was.
    pub fn read_all(&mut self) -> usize {
        std::iter::from_fn(|| Some(self.read(4096)).filter(|n| *n > 0)).sum()
    }

    /// Ends our half.
    pub fn finish(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.end).poll_close(cx);
    }

    /// What has come so far, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}
