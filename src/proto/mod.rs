//! HTTP/1.1 and the WebSocket handshake without I/O: bytes in, values out.
//!
//! Everything that a stranger on the network can do to us is decided in this folder, so it has no async, no
//! clock, no lock, no `std::io` and no logging, and everything in it is fuzzed. Read [`http1`] first.
//!
//! A parse step returns *complete*, *need more* or a [`Fault`]. "Not yet" and "never" are different values: code that has
//! one `None` for both waits for ever.
//!
//! The module is public for fuzz targets and wire tests; it is not covered by semantic versioning.

pub mod body;
mod class;
pub(crate) mod content;
mod facts;
mod field_kind;
pub(crate) mod field_lines;
mod fields;
#[cfg(feature = "ws")]
pub mod frame;
pub mod head;
mod head_reader;
pub mod headers;
pub mod http1;
pub(crate) mod input;
mod request_line;
pub mod response;
pub mod sse;
mod step;
mod text;
mod uri;
mod value;
pub(crate) mod version;
#[cfg(feature = "ws")]
pub mod ws;

pub use self::step::Step;
pub use crate::error::Fault;
