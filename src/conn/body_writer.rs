//! [`BodyWriter`]: a streamed answer, piece by piece.

use core::future::{Future, pending};
use std::time::Duration;

use crate::conn::Conn;
use crate::conn::wait::{HeldWait, Wait};
use crate::error::Result;
use crate::proto::sse::Event;
use crate::server::Server;

/// A streamed answer: chunked for HTTP/1.1, until the close for HTTP/1.0, nothing for HEAD. One that is dropped
/// without [`finish`](BodyWriter::finish) is cut off, and the client sees that it is not whole.
///
/// # Examples
///
/// ```
/// # use tidings::{Conn, Limits, Response, Server};
/// # smol::block_on(async {
/// # let server = Server::new(Limits::DEFAULT);
/// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
/// #     b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
/// # let mut conn = Conn::new(io, &server);
/// # let ex = conn.next().await?.expect("a request");
/// let table = Response::new(200).header("Content-Type", "text/csv");
/// let mut stream = ex.stream(table).await?;
/// for n in 0..1000 {
///     stream.write(format!("{n},{}\n", n * n).as_bytes()).await?;
/// }
/// stream.finish().await?;
/// # tidings::Result::Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct BodyWriter<'c> {
    pub(crate) conn: &'c mut Conn,
}

impl BodyWriter<'_> {
    /// Writes one piece, in one write with the answer's head if that is still to go.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`](crate::Error::Timeout) if the peer does not read within
    /// [`Limits::write_time`](crate::Limits::write_time),
    /// [`Error::Io`](crate::Error::Io).
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, the rest of the piece goes out with the next one.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn app(ex: tidings::Exchange<'_>) -> tidings::Result<()> {
    /// let mut stream = ex.stream(tidings::Response::new(200)).await?;
    /// stream.write(b"hello, ").await?;
    /// stream.write(b"world").await?;
    /// stream.finish().await
    /// # }
    /// ```
    pub async fn write(&mut self, data: &[u8]) -> Result<()> {
        self.push(data)?;
        self.conn.flush().await
    }

    /// Adds a piece to what the next write or flush sends, so that several go out in one write. Nothing is sent
    /// before, so whoever adds without end takes memory without end.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`](crate::Error::Misuse) if a write has failed before.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn app(ex: tidings::Exchange<'_>) -> tidings::Result<()> {
    /// let mut stream = ex.stream(tidings::Response::new(200)).await?;
    /// for line in ["a\n", "b\n", "c\n"] {
    ///     stream.push(line.as_bytes())?;
    /// }
    /// stream.flush().await?;
    /// stream.finish().await
    /// # }
    /// ```
    pub fn push(&mut self, data: &[u8]) -> Result<()> {
        self.conn.http.write(data, self.conn.out.bytes())
    }

    /// Writes one event of an event stream.
    ///
    /// # Errors
    ///
    /// Those of [`write`](BodyWriter::write) and of [`Event::encode`].
    ///
    /// # Cancel safety
    ///
    /// That of [`write`](BodyWriter::write).
    ///
    /// # Examples
    ///
    /// See [`Exchange::stream`](crate::Exchange::stream).
    pub async fn event(&mut self, event: &Event<'_>) -> Result<()> {
        self.write(&event.encode()?).await
    }

    /// Writes what is still to go.
    ///
    /// # Errors
    ///
    /// Those of [`write`](BodyWriter::write).
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Response, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// let mut stream = ex.stream(Response::new(200)).await?;
    /// // The client sees the head now, before there is anything to write.
    /// stream.flush().await?;
    /// # stream.finish().await?;
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn flush(&mut self) -> impl Future<Output = Result<()>> {
        self.conn.flush()
    }

    /// Takes a place among the held requests; see [`Exchange::hold`](crate::Exchange::hold).
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Event, Limits, Response, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// let mut stream = ex.stream(Response::new(200)).await?;
    /// if !stream.hold() {
    ///     stream.event(&Event::comment("full")).await?;
    ///     return stream.finish().await;
    /// }
    /// # assert_eq!(server.stats().held, 1);
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn hold(&mut self) -> bool {
        self.conn.hold()
    }

    /// The server that the request came to.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Response, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// let stream = ex.stream(Response::new(200)).await?;
    /// let heartbeat = stream.server().limits().ping;
    /// # assert_eq!(heartbeat, Limits::DEFAULT.ping);
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn server(&self) -> &Server {
        &self.conn.seat.server
    }

    /// Waits for `future`, at most `within`, and watches the peer and the server meanwhile; what is still to be
    /// written goes out first, and that time counts. See [`Exchange::wait`](crate::Exchange::wait).
    ///
    /// # Errors
    ///
    /// Those of [`write`](BodyWriter::write), and [`Error::Full`](crate::Error::Full).
    ///
    /// # Cancel safety
    ///
    /// It may be dropped if `future` may.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{BodyWriter, Event, Subscription, Wait};
    ///
    /// async fn feed(mut stream: BodyWriter<'_>, mut news: Subscription) -> tidings::Result<()> {
    ///     let heartbeat = stream.server().limits().ping;
    ///     loop {
    ///         match stream.wait(news.next(), heartbeat).await? {
    ///             Wait::Ready(Some(batch)) => {
    ///                 for message in &batch.messages {
    ///                     stream.event(&Event::data(message.data())).await?;
    ///                 }
    ///             }
    ///             Wait::Elapsed => stream.event(&Event::comment("")).await?,
    ///             _ => return stream.finish().await,
    ///         }
    ///     }
    /// }
    /// ```
    pub fn wait<F: Future>(
        &mut self,
        future: F,
        within: Duration,
    ) -> impl Future<Output = Result<Wait<F::Output>>> {
        HeldWait::new(&mut *self.conn, future, within)
    }

    /// Waits until the peer has gone or ended its input, or the server shuts down.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](BodyWriter::wait).
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Response, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// let mut stream = ex.stream(Response::new(200)).await?;
    /// stream.write(b"I am up\n").await?;
    /// stream.closed().await?;
    /// stream.finish().await?;
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn closed(&mut self) -> Result<()> {
        self.wait(pending::<()>(), Duration::MAX).await.map(|_| ())
    }

    /// Ends the answer.
    ///
    /// # Errors
    ///
    /// Those of [`write`](BodyWriter::write).
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, the next [`Conn::next`] goes on writing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Response, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// let mut stream = ex.stream(Response::new(200)).await?;
    /// stream.write(b"all of it").await?;
    /// stream.finish().await?;
    /// // The connection goes on, until the client has no further request.
    /// assert!(conn.next().await?.is_none());
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn finish(self) -> Result<()> {
        if self.conn.is_draining() {
            self.conn.http.make_last();
        }
        self.conn.http.finish(self.conn.out.bytes());
        self.conn.flush().await
    }
}
