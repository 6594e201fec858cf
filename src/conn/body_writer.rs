//! [`BodyWriter`]: writes a streamed response, piece by piece.

use core::future::{Future, pending};
use core::ops::ControlFlow;
use std::time::{Duration, Instant};

use futures_lite::Stream;

use crate::conn::Conn;
use crate::conn::wait::{HeldWait, Wait, wait_each};
use crate::error::Result;
use crate::proto::response::push_chunk;
use crate::proto::sse::Event;
use crate::server::Server;

/// Writes the body of a streamed response. The body is chunked for HTTP/1.1, lasts until the close for HTTP/1.0, and is
/// not sent for HEAD. If the writer is dropped without [`finish`](BodyWriter::finish), the connection ends, and a client of
/// HTTP/1.1 sees that the body is not whole.
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
    /// Writes one piece of the body, together with the response's head if that was not yet written. It returns when the
    /// stream has taken all of it: this is the back-pressure of a slow reader.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`](crate::Error::Timeout) if the client makes no progress in reading for
    /// [`Limits::write_time`](crate::Limits::write_time). [`Error::Io`](crate::Error::Io) if writing fails.
    /// [`Error::Misuse`](crate::Error::Misuse) if a write has failed before.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before its first poll, nothing is written. If it is dropped later, the next call that writes
    /// or waits sends the rest of the piece.
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
        match self.push(data) {
            Ok(()) => self.conn.flush().await,
            Err(error) => Box::pin(self.conn.fail_in_turn(error)).await,
        }
    }

    /// Adds one piece of the body to the write buffer, which the next write, flush or wait sends: so several pieces go out in
    /// one write. The write buffer has no limit: a handler that pushes and never flushes takes memory without end.
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

    /// One piece of a body as [`push_framed`](BodyWriter::push_framed) takes it: made once, and written to many clients.
    ///
    /// # Examples
    ///
    /// See [`push_framed`](BodyWriter::push_framed).
    pub fn frame(data: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        push_chunk(data, &mut frame);
        frame
    }

    /// Writes one piece of the body that [`frame`](BodyWriter::frame) has made, as far as the client takes it at once; the rest
    /// is added to the write buffer, as [`push`](BodyWriter::push) adds it. If `more` is to follow, or other bytes wait already,
    /// all of it is only added, so that they go out in one write.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`](crate::Error::Misuse) if a write has failed before, or if this is no frame.
    /// [`Error::Io`](crate::Error::Io) if writing fails; then the connection is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::BodyWriter;
    ///
    /// # async fn app(ex: tidings::Exchange<'_>) -> tidings::Result<()> {
    /// let frame = BodyWriter::frame(b"data: hello\n\n");
    /// let mut stream = ex.stream(tidings::Response::new(200)).await?;
    /// stream.push_framed(&frame, false)?;
    /// stream.finish().await
    /// # }
    /// ```
    pub fn push_framed(&mut self, frame: &[u8], more: bool) -> Result<()> {
        let bytes = self.conn.http.chunk(frame)?;
        self.conn.push_bytes(bytes, more)
    }

    /// Writes one event of an event stream (Server-Sent Events).
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

    /// Writes all bytes that wait to be written, the response's head included.
    ///
    /// # Errors
    ///
    /// Those of [`write`](BodyWriter::write).
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped and `flush` called again.
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

    /// Takes a permit to hold the request; false if none is free. See [`Exchange::hold`](crate::Exchange::hold).
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

    /// The server of this connection.
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

    /// Waits for `future`, at most for the time `within`, or until the client leaves or the server shuts down. Bytes that wait
    /// to be written are written first, and that time counts. See [`Exchange::wait`](crate::Exchange::wait).
    ///
    /// # Errors
    ///
    /// Those of [`Exchange::wait`](crate::Exchange::wait).
    ///
    /// # Cancel safety
    ///
    /// The wait may be dropped if `future` may be dropped.
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

    /// Waits for one item of `source` after another, as [`wait`](BodyWriter::wait) waits for one value, and calls `each` with how
    /// each wait has ended. `Elapsed` comes every [`heartbeat`](crate::Limits::heartbeat), whatever else has come. What `each`
    /// pushes is written before the next wait ends. Returns what `each` breaks with; `None` when `end` has come.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](BodyWriter::wait), and those that `each` returns.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped if a wait for the next item of `source` may be dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow::{Break, Continue};
    /// use tidings::{BodyWriter, Event, Subscription, Wait};
    ///
    /// async fn feed(mut stream: BodyWriter<'_>, mut news: Subscription) -> tidings::Result<()> {
    ///     let fed = stream.wait_each(&mut news, None, |stream, _, wait| {
    ///         match wait {
    ///             Wait::Ready(Some(batch)) => {
    ///                 for message in &batch.messages {
    ///                     stream.push(&Event::data(message.data()).encode()?)?;
    ///                 }
    ///             }
    ///             Wait::Elapsed => stream.push(&Event::comment("").encode()?)?,
    ///             _ => return Ok(Break(())),
    ///         }
    ///         Ok(Continue(()))
    ///     });
    ///     fed.await?;
    ///     stream.finish().await
    /// }
    /// ```
    pub fn wait_each<S: Stream + Unpin, R>(
        &mut self,
        source: &mut S,
        end: Option<Instant>,
        mut each: impl FnMut(&mut BodyWriter<'_>, &mut S, Wait<Option<S::Item>>) -> Result<ControlFlow<R>>,
    ) -> impl Future<Output = Result<Option<R>>> {
        let end = self.conn.seat.moment(end);
        wait_each(&mut *self.conn, source, end, move |conn, source, wait| {
            each(&mut BodyWriter { conn }, source, wait)
        })
    }

    /// Waits until the client has gone or ended its input, or until the server shuts down.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](BodyWriter::wait).
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped and `closed` called again.
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

    /// Ends the response, and writes all bytes that wait to be written.
    ///
    /// # Errors
    ///
    /// Those of [`write`](BodyWriter::write).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before its first poll, the response is not ended. If it is dropped later, the next
    /// [`Conn::next`] goes on writing.
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
