//! Models of the hub and of the deadlines: the real sources, under schedules that an explorer draws. One that hangs, or
//! breaks what a model asserts, is printed; `tests/full.d/schedules` runs them, and breaks the sources to see them fail.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the sources are those of the crate, which uses all of them"
)]

extern crate scheduled_std as std;

include!(concat!(env!("OUT_DIR"), "/sources.rs"));

mod deadline_models;
mod hub_models;

/// Runs a model under so many schedules, half of them drawn evenly, half with few switches at bad moments.
fn explore(name: &str, model: fn()) {
    let schedules =
        std::env::var("TIDINGS_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    shuttle::check_random(model, schedules / 2);
    shuttle::check_pct(model, schedules / 2, 3);
    println!("{name}: {schedules} schedules");
}

fn main() {
    for (name, model) in hub_models::MODELS.into_iter().chain(deadline_models::MODELS) {
        explore(name, model);
    }
}
