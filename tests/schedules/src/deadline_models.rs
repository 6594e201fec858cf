//! The deadlines of connections, and who looks through their table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use core::future::poll_fn;

use shuttle::future::block_on;
use shuttle::thread;

use crate::server::clock::Moment;
use crate::server::deadlines;
use crate::server::deadlines::Deadlines;
use crate::server::manual_clock::ManualClock;

pub const MODELS: [(&str, fn()); 2] =
    [("a deadline that is armed while another looks is kept", armed), ("all are woken", woken)];

/// Waits until its deadline has come.
fn wait(deadlines: &Deadlines, due: Moment) {
    let entry = deadlines.entry();
    block_on(poll_fn(|cx| {
        entry.arm(cx, due);
        if deadlines.now() >= due { Poll::Ready(()) } else { Poll::Pending }
    }));
}

/// The keeper of the deadlines, which ends when something else has ended.
fn keep(deadlines: Arc<Deadlines>, until: impl Future<Output = ()> + Unpin) {
    block_on(futures_lite::future::or(async { deadlines.run().await }, until));
}

fn armed() {
    let clock = ManualClock::new();
    let deadlines = Arc::new(deadlines(clock.clone()));
    let (keeper, waiting) = (deadlines.clone(), deadlines.clone());
    let minute = Duration::from_secs(60);
    let due = deadlines.now().after(minute);
    let done = Arc::new(AtomicBool::new(false));
    let (over, told) = (deadlines.clone(), done.clone());
    let keeper = thread::spawn(move || {
        let entry = over.entry();
        let until = poll_fn(move |cx| {
            entry.arm(cx, Moment::NEVER);
            if told.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        });
        keep(keeper, Box::pin(until));
    });
    let waiter = thread::spawn(move || wait(&waiting, due));
    clock.advance(minute);
    waiter.join().expect("no panic");
    done.store(true, Ordering::SeqCst);
    deadlines.wake_entries();
    keeper.join().expect("no panic");
}

fn woken() {
    let deadlines = Arc::new(deadlines(ManualClock::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let wait = || {
        let (deadlines, stop) = (deadlines.clone(), stop.clone());
        thread::spawn(move || {
            let entry = deadlines.entry();
            block_on(poll_fn(|cx| {
                entry.arm(cx, Moment::NEVER);
                if stop.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
            }));
        })
    };
    let both = [wait(), wait()];
    stop.store(true, Ordering::SeqCst);
    deadlines.wake_entries();
    both.into_iter().for_each(|task| task.join().expect("no panic"));
}
