//! [`Options`]: where a client without a cursor starts, and what a topic that is not there is.

use super::{any, long_poll, poll, sse};
use crate::{Exchange, Hub, Id, Result, Subscription};

/// How the transports follow topics, where it is not as their plain functions do.
///
/// # Examples
///
/// Answers that are typed out, each in a topic of its own: who comes gets the answer from its beginning, and 404 if there
/// is none of that name.
///
/// ```
/// use tidings::transport::Options;
/// use tidings::{Exchange, Hub, Id, Response};
///
/// const ANSWERS: Options = Options::DEFAULT.start(Id::EARLIEST).must_exist();
///
/// async fn app(ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
///     match (ex.method(), ex.path().strip_prefix("/chat/")) {
///         ("GET" | "HEAD", Some(name)) => {
///             let topic = format!("answers/{name}");
///             ANSWERS.sse(ex, hub, &[&topic]).await
///         }
///         _ => ex.reply(Response::new(404)).await,
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Where a client without a cursor starts, if not where its transport says.
    start: Option<Id>,
    /// Whether a topic that is not there is refused.
    must_exist: bool,
}

impl Options {
    /// What the plain functions do: a client without a cursor starts now (of a short poll: with all that is kept), and a
    /// topic that is not there is waited for.
    pub const DEFAULT: Options = Options { start: None, must_exist: false };

    /// Sets where a client without a cursor starts: [`Id::EARLIEST`] is the beginning of what is kept, and
    /// [`Hub::before_last`] gives the last messages of a topic.
    ///
    /// # Examples
    ///
    /// See [`Options`].
    #[must_use]
    pub const fn start(mut self, start: Id) -> Options {
        self.start = Some(start);
        self
    }

    /// Makes it a fault to follow a topic that is not there: [`Fault::Topic`](crate::Fault::Topic), on the wire 404, also
    /// for a WebSocket. See [`Hub::follow`].
    ///
    /// # Examples
    ///
    /// See [`Options`].
    #[must_use]
    pub const fn must_exist(mut self) -> Options {
        self.must_exist = true;
        self
    }

    /// Answers as [`transport::poll`](fn@super::poll) does, with these options.
    ///
    /// # Errors
    ///
    /// Those of [`transport::poll`](fn@super::poll), and [`Fault::Topic`](crate::Fault::Topic) if a topic must exist.
    ///
    /// # Examples
    ///
    /// See [`Options`].
    pub fn poll(self, ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> impl Future<Output = Result<()>> {
        poll::run(ex, hub, topics, self)
    }

    /// Answers as [`transport::long_poll`](fn@super::long_poll) does, with these options.
    ///
    /// # Errors
    ///
    /// Those of [`transport::long_poll`](fn@super::long_poll), and [`Fault::Topic`](crate::Fault::Topic) if a topic must
    /// exist.
    ///
    /// # Examples
    ///
    /// See [`Options`].
    pub fn long_poll(self, ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> impl Future<Output = Result<()>> {
        long_poll::run(ex, hub, topics, self)
    }

    /// Streams as [`transport::sse`](fn@super::sse) does, with these options.
    ///
    /// # Errors
    ///
    /// Those of [`transport::sse`](fn@super::sse), and [`Fault::Topic`](crate::Fault::Topic) if a topic must exist.
    ///
    /// # Examples
    ///
    /// See [`Options`].
    pub fn sse(self, ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> impl Future<Output = Result<()>> {
        sse::run(ex, hub, topics, self)
    }

    /// Sends as [`transport::websocket`](fn@super::websocket) does, with these options.
    ///
    /// # Errors
    ///
    /// Those of [`transport::websocket`](fn@super::websocket), and [`Fault::Topic`](crate::Fault::Topic) if a topic must
    /// exist.
    ///
    /// # Examples
    ///
    /// See [`Options`].
    #[cfg(feature = "ws")]
    pub fn websocket(self, ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> impl Future<Output = Result<()>> {
        super::ws::run(ex, hub, topics, self)
    }

    /// Answers as [`transport::any`](fn@super::any) does, with these options.
    ///
    /// # Errors
    ///
    /// Those of [`transport::any`](fn@super::any), and [`Fault::Topic`](crate::Fault::Topic) if a topic must exist.
    ///
    /// # Examples
    ///
    /// See [`Options`].
    pub fn any(self, ex: Exchange<'_>, hub: &Hub, topics: &[&str]) -> impl Future<Output = Result<()>> {
        any::run(ex, hub, topics, self)
    }

    /// Follows topics for a client that waits.
    pub(super) fn follow(self, hub: &Hub, topics: &[&str], after: Option<Id>) -> Result<Subscription> {
        let after = after.or(self.start);
        if self.must_exist { hub.follow(topics, after) } else { hub.subscribe(topics, after) }
    }

    /// Reads topics for a client that does not wait.
    pub(super) fn read(self, hub: &Hub, topics: &[&str], after: Option<Id>) -> Result<Subscription> {
        let after = after.or(self.start).or(Some(Id::EARLIEST));
        if self.must_exist { hub.follow(topics, after) } else { hub.read(topics, after) }
    }
}
