//! Each public future, dropped at each of its polls: what the docs say of it under "Cancel safety" holds. A scenario runs once
//! undisturbed, and then once for each poll after which a future is not ready: that one is dropped there, and called again
//! or gone on behind, as its docs say. The client sees the same bytes each time.

#[macro_use]
#[path = "dropped/knife.rs"]
mod knife;
mod common;
#[path = "dropped/http.rs"]
mod http;
#[path = "dropped/server.rs"]
mod server;
#[path = "dropped/socket.rs"]
mod socket;
#[path = "common/still.rs"]
mod still;
