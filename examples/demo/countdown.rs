//! A topic that ends, of `demo.rs`: it counts down, and is over.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use smol::Timer;
use tidings::transport::Options;
use tidings::{Exchange, Hub, Id, Producer, Response};

/// Where it begins, and the time between two numbers.
const FIRST: u32 = 10;
const STEP: Duration = Duration::from_millis(500);

/// How long it is kept behind its end, and in how many bytes: it is whole also where others publish a lot.
const KEPT: (Duration, usize) = (Duration::from_secs(60), 8 * 1024);

/// Begins one, and answers with its name.
pub(crate) async fn begin(ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
    // A fresh name for each: who comes back late must not take another one for its own.
    let name = format!("countdown/{:016x}", RandomState::new().hash_one(()));
    let mut bounds = hub.bounds().keep_all(KEPT.1);
    bounds.topic_age = Some(KEPT.0);
    let producer = hub.begin_with(&name, &bounds)?;
    // A task of its own: it does not end with the page that has begun it.
    smol::spawn(count_down(producer)).detach();
    ex.reply(Response::text(name)).await
}

async fn count_down(producer: Producer) -> tidings::Result<Id> {
    for number in (1..=FIRST).rev() {
        producer.send(number.to_string())?;
        Timer::after(STEP).await;
    }
    producer.finish()
}

/// Answers by whichever transport is asked for: the numbers from the first on, and the end.
pub(crate) async fn follow(ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
    let name = ex.path().trim_start_matches('/').to_owned();
    Options::DEFAULT.start(Id::EARLIEST).must_exist().any(ex, hub, &[&name]).await
}
