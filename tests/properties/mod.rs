//! What holds for all input, one module each with a `check(data)` that panics if it does not. `tests/properties.rs`
//! runs them over seeds and mutations of them, `fuzz/` over whatever libFuzzer finds.
#![allow(dead_code, unreachable_pub, reason = "each fuzz target uses a part of it")]

pub mod chunked;
mod completions;
pub mod fields;
#[cfg(feature = "ws")]
pub mod frames;
pub mod framing;
pub mod head;
pub mod history;
pub mod http1;
mod input;
mod naive;
pub mod response;
pub mod serve;
pub mod sse;
#[cfg(feature = "ws")]
pub mod ws_upgrade;
