//! See `tests/properties/ws_upgrade.rs`.
#![no_main]

#[path = "../../tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::ws_upgrade::check(data));
