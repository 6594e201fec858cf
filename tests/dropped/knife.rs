//! [`Knife`]: drops a future at one of its polls. [`Play`]: a client, a server and what happens, which give the same however
//! its futures are cut.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tidings::{Conn, Hub, Id, Limits};

use crate::common::pipe;
use crate::still::{Hand, Still};

/// When a future is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cut {
    Never,
    /// At the poll with this number, of those after which the futures under test are not ready.
    At(usize),
    /// At each third poll of those.
    Often,
}

/// Polls futures, and drops one now and then.
#[derive(Clone)]
pub(crate) struct Knife {
    pub(crate) cut: Cut,
    /// How many polls there were after which a future was not ready.
    pub(crate) polls: Rc<Cell<usize>>,
}

impl Knife {
    pub(crate) fn new(cut: Cut) -> Knife {
        Knife { cut, polls: Rc::default() }
    }

    pub(crate) fn cuts(&self) -> bool {
        self.polls.set(self.polls.get() + 1);
        match self.cut {
            Cut::Never => false,
            Cut::At(poll) => self.polls.get() == poll,
            Cut::Often => self.polls.get() % 3 == 0,
        }
    }

    /// Polls a future to its end; `None` if it was dropped before.
    pub(crate) async fn poll<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if self.cuts() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// Calls it until it is not dropped.
macro_rules! again {
    ($knife:expr, $future:expr) => {
        loop {
            if let Some(value) = $knife.poll($future).await {
                break value;
            }
        }
    };
}

/// What a client does, and what happens around it.
pub(crate) struct Play {
    /// What the client sends: each part when it has read what there is, or all at once.
    pub(crate) input: Vec<&'static [u8]>,
    /// What happens in each round: the client sends some bytes and reads some.
    pub(crate) happens: fn(&Still, usize),
    /// So many rounds there are at least.
    pub(crate) rounds: usize,
    /// Whether the client sends though there is something to read.
    pub(crate) pipelines: bool,
}

/// So many bytes are sent, read, or in the pipe at once.
pub(crate) const GRAIN: usize = 3;

impl Play {
    pub(crate) fn of(input: &[&'static [u8]]) -> Play {
        Play { input: input.to_vec(), happens: |_, _| {}, rounds: 0, pipelines: false }
    }

    /// Runs it against a server; returns what the client saw, and how many polls there were.
    pub(crate) fn run<F: Future<Output = ()> + 'static>(
        &self,
        cut: Cut,
        serve: &impl Fn(Conn, Hub, Knife) -> F,
    ) -> (Vec<u8>, usize) {
        let mut limits = Limits::DEFAULT;
        limits.retry = (Duration::ZERO, Duration::ZERO);
        let (still, knife, (end, io)) = (Still::new(limits), Knife::new(cut), pipe::pipe());
        still.world.hub.reset(Id::new(1, 1));
        end.grain(GRAIN);
        end.capacity(GRAIN);
        let (hub, polls) = (still.world.hub.clone(), knife.polls.clone());
        let served = still.serve("serve", io, |conn| serve(conn, hub, knife));
        let (mut hand, mut quiet, mut round) = (Hand::new(end), 0, 0);
        let (mut parts, mut part) = (self.input.iter(), &[][..]);
        while !hand.over && quiet < 10 {
            still.settle();
            if part.is_empty() && (self.pipelines || hand.end.pending() == 0) {
                part = parts.next().copied().unwrap_or_default();
            }
            let sent = hand.send(&part[..part.len().min(GRAIN)]);
            part = &part[sent..];
            still.settle();
            (self.happens)(&still, round);
            still.settle();
            round += 1;
            quiet = if sent + hand.read(GRAIN) > 0 || round < self.rounds { 0 } else { quiet + 1 };
            if quiet == 5 {
                hand.finish();
            }
        }
        assert!(hand.over, "{cut:?}: it does not end: {}", hand.text());
        hand.finish();
        still.settle();
        assert!(served.is_finished(), "{cut:?}: the connection does not end");
        assert_eq!(still.figures(), (0, 0, 0), "{cut:?}");
        (hand.seen, polls.get())
    }

    /// Runs it undisturbed, and then with each cut: the client sees the same.
    pub(crate) fn try_all_cuts<F: Future<Output = ()> + 'static>(
        mut self,
        serve: impl Fn(Conn, Hub, Knife) -> F,
    ) -> String {
        self.pipelines = true;
        self.try_cuts(&serve, 1);
        self.pipelines = false;
        self.try_cuts(&serve, 3)
    }

    fn try_cuts<F: Future<Output = ()> + 'static>(
        &self,
        serve: &impl Fn(Conn, Hub, Knife) -> F,
        least: usize,
    ) -> String {
        let (whole, polls) = self.run(Cut::Never, serve);
        assert!(polls >= least, "no more than {polls} polls");
        for cut in (1..=polls).map(Cut::At).chain([Cut::Often]) {
            let (seen, _) = self.run(cut, serve);
            assert_eq!(String::from_utf8_lossy(&seen), String::from_utf8_lossy(&whole), "{cut:?} of {polls}");
        }
        String::from_utf8_lossy(&whole).into_owned()
    }
}

/// Runs something undisturbed, and then with each cut; it gives the same.
pub(crate) fn is_the_same<T: PartialEq + std::fmt::Debug>(run: impl Fn(Knife) -> T) -> T {
    let undisturbed = Knife::new(Cut::Never);
    let whole = run(undisturbed.clone());
    let polls = undisturbed.polls.get();
    assert!(polls >= 3, "no more than {polls} polls");
    for cut in (1..=polls).map(Cut::At).chain([Cut::Often]) {
        assert_eq!(run(Knife::new(cut)), whole, "{cut:?} of {polls}");
    }
    whole
}

/// Publishes something in some rounds; time passes in all.
pub(crate) fn publish(still: &Still, round: usize) {
    still.clock.advance(Duration::from_millis(10));
    if [150, 200, 250, 300].contains(&round) {
        still.world.hub.publish("news", format!("news of round {round}")).expect("room");
    }
}
