//! **tidings** is a small realtime HTTP/1.1 server on the smol stack, for embedding in services that have little
//! memory. A message is published once, and reaches every client by the transport that the client can use: short
//! poll, long poll, Server-Sent Events, WebSocket. All four read one log with one kind of id: a client may change
//! its transport in mid-stream and lose nothing, and a client that was too slow is told so.
//!
//! tidings is no framework: it has no router, no extractors, no middleware. A handler is an async function that gets
//! an [`Exchange`], one request, and answers it once.
//!
//! # The 20-line server
//!
//! ```no_run
//! use tidings::{Exchange, Hub, Limits, Response, Server, transport};
//!
//! async fn app(hub: &Hub, mut ex: Exchange<'_>) -> tidings::Result<()> {
//!     match (ex.method(), ex.path()) {
//!         ("GET", "/poll") => transport::poll(ex, hub, &["news"]).await,
//!         ("GET", "/wait") => transport::long_poll(ex, hub, &["news"]).await,
//!         ("GET", "/events") => transport::sse(ex, hub, &["news"]).await,
//!         # #[cfg(feature = "ws")]
//!         ("GET", "/ws") => transport::websocket(ex, hub, &["news"]).await,
//!         ("POST", "/publish") => {
//!             let id = hub.publish("news", ex.text().await?)?;
//!             ex.reply(Response::text(id)).await
//!         }
//!         _ => ex.reply(Response::new(404)).await,
//!     }
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
//!     let listener = smol::Async::<std::net::TcpListener>::bind(([127, 0, 0, 1], 3000))?;
//!     smol::block_on(server.serve(listener, &async |ex: Exchange<'_>| app(&hub, ex).await))
//! }
//! ```
//!
//! # Topics that end
//!
//! The typed-out answer of a model, the progress of a job, the log of a build: [`Hub::begin`] gives a topic one
//! [`Producer`], which ends it. Each transport tells the end and its reason, whoever comes late gets all that is kept, and
//! then the client is told that nothing more comes. See [`transport::Options`] and the ends of [`transport`].
//!
//! # Where to look
//!
//! - [`Server`], [`Conn`], [`Exchange`]: from a socket to a request and its response. [`Limits`] bounds all of them.
//! - [`Hub`], [`Subscription`], [`Id`]: publish, subscribe, resume. They know nothing of HTTP.
//! - [`transport`]: the four transports, 70 to 290 lines each over the public API. Copy one to change it.
//!
//! # Words
//!
//! A *client* sends requests, and a request is answered by a *response*. A request is *held* while its response waits for
//! something or is streamed: by a long poll, an event stream, a WebSocket. *Pipelined bytes* arrive while a response is
//! pending. A *slow reader* is a client that lets bytes wait to be written. A *deadline* bounds a phase, such as the time for
//! a head, and not a single read or write.
//!
//! # Features
//!
//! - `ws` (default): the WebSocket upgrade, `WebSocket` and `transport::websocket`.
//! - `tungstenite`: async-tungstenite reads and writes the WebSocket frames, instead of this crate's own code. It passes the
//!   same tests, and takes more memory: see [`Limits::worst_case`].

mod conn;
mod error;
mod hub;
mod limits;
#[doc(hidden)]
pub mod proto;
mod serve;
mod server;
pub mod transport;
#[cfg(feature = "ws")]
mod ws;

pub use crate::conn::Conn;
pub use crate::conn::body_writer::BodyWriter;
pub use crate::conn::exchange::{Exchange, Reply};
pub use crate::conn::stream::Io;
pub use crate::conn::wait::Wait;
pub use crate::error::{Error, Fault, HandshakeFault, Phase, Result};
pub use crate::hub::{
    Batch, Bounds, Frame, Hub, HubStats, Id, Message, Messages, Next, ParseIdError, Producer, Published,
    Stopped, Subscription, TopicState, TopicStats,
};
pub use crate::limits::Limits;
pub use crate::proto::content::Content;
pub use crate::proto::field_lines::FieldLines;
pub use crate::proto::head::Head;
pub use crate::proto::response::Response;
pub use crate::proto::sse::Event;
pub use crate::proto::version::Version;
#[doc(hidden)]
pub use crate::server::ManualClock;
pub use crate::server::{Server, Stats};
#[cfg(feature = "ws")]
pub use crate::ws::{Payload, WebSocket};

/// The README's server is compiled as well.
#[cfg(all(doctest, feature = "ws"))]
#[doc = include_str!("../README.md")]
struct Readme;
