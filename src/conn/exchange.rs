//! [`Exchange`]: one request, which is answered once.

use core::future::{Future, pending};
use core::pin::Pin;
use std::borrow::Cow;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::conn::Conn;
use crate::conn::body_writer::BodyWriter;
use crate::conn::wait::{HeldWait, Wait};
use crate::conn::write::Flush;
use crate::error::{Error, Fault, Result};
use crate::limits::Limits;
use crate::proto::body::Piece;
use crate::proto::content::Content;
use crate::proto::head::Head;
use crate::proto::http1::{Http1, Sending};
use crate::proto::response::Response;
use crate::server::Server;

/// One request. [`reply`](Exchange::reply), [`stream`](Exchange::stream) and `upgrade` consume the exchange, so the request
/// is answered once. If it is dropped instead, the response is a 500 and a close, at the next
/// [`Conn::next`] or [`Conn::fail`].
///
/// # Examples
///
/// ```
/// use tidings::{Exchange, Response};
///
/// async fn echo(mut ex: Exchange<'_>) -> tidings::Result<()> {
///     if ex.method() != "POST" {
///         return ex.reply(Response::new(405).header("Allow", "POST")).await;
///     }
///     let text = ex.text().await?;
///     ex.reply(Response::text(text)).await
/// }
/// # use tidings::{Conn, Limits, Server};
/// # smol::block_on(async {
/// # let server = Server::new(Limits::DEFAULT);
/// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
/// #     b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello".to_vec()));
/// # let mut conn = Conn::new(io, &server);
/// # echo(conn.next().await?.expect("a request")).await
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Exchange<'c> {
    pub(crate) conn: &'c mut Conn,
}

/// The head that is shown after [`forget_head`](Exchange::forget_head).
static NO_HEAD: Head = Head::EMPTY;

impl<'c> Exchange<'c> {
    /// The head of the request.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: curl/8.5.0\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// let agent = ex.head().header("User-Agent");
    /// assert_eq!(agent, Some("curl/8.5.0"));
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn head(&self) -> &Head {
        self.conn.request.as_ref().map_or(&NO_HEAD, |request| &request.head)
    }

    /// The method, as it was received.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Response, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"PUT / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// let response = match ex.method() {
    ///     "GET" | "HEAD" => Response::text("hello"),
    ///     _ => Response::new(405).header("Allow", "GET, HEAD"),
    /// };
    /// # assert_eq!(response.status(), 405);
    /// ex.reply(response).await?;
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn method(&self) -> &str {
        self.head().method()
    }

    /// The path, percent-decoded; see [`Head::path`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET /notes/to%20do?page=2 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// assert_eq!(ex.path(), "/notes/to do");
    /// assert_eq!(ex.path().strip_prefix("/notes/"), Some("to do"));
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn path(&self) -> &str {
        self.head().path()
    }

    /// Frees the memory of the head, which a request that is held for long need not keep. From now on
    /// [`head`](Self::head), [`method`](Self::method) and [`path`](Self::path) are empty.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Exchange, Response};
    /// async fn app(mut ex: Exchange<'_>) -> tidings::Result<()> {
    ///     let name = ex.head().query("name").unwrap_or_default().into_owned();
    ///     ex.forget_head();
    ///     ex.closed().await?;
    ///     ex.reply(Response::text(format!("good bye, {name}"))).await
    /// }
    /// ```
    pub fn forget_head(&mut self) {
        match &mut self.conn.request {
            Some(request) if !request.headers.is_empty() => {
                request.head = Head::EMPTY;
                self.conn.settle();
            }
            _ => self.conn.forget_request(),
        }
    }

    /// Adds a header field to the response, whichever that will be: the handler's own, a transport's, the 101 of a
    /// WebSocket, or the one by which [`Conn::fail`] tells of an error. So a handler adds a field that all of its responses
    /// need once, such as `Access-Control-Allow-Origin`.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`](crate::Error::Misuse) if the field is not legal or not the handler's to set; see [`Response`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{Exchange, Hub, transport};
    ///
    /// /// News for the pages of all sites.
    /// async fn app(mut ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
    ///     ex.add_header("Access-Control-Allow-Origin", "*")?;
    ///     transport::any(ex, hub, &["news"]).await
    /// }
    /// ```
    pub fn add_header(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Result<()> {
        self.conn.request_mut().headers.add(&name.into(), &value.into())
    }

    /// The server of this connection.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let ex = conn.next().await?.expect("a request");
    /// assert_eq!(ex.server().limits().body, 64 * 1024);
    /// assert_eq!(ex.server().stats().requests, 1);
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn server(&self) -> &Server {
        &self.conn.seat.server
    }

    /// The next piece of the request's body; `None` at its end. If the client waits for a `100 Continue` (RFC 9110, 10.1.1),
    /// it is sent first. [`Limits::body_time`](crate::Limits::body_time) begins with the first call.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`](crate::Error::Fault) if the body is larger than [`Limits::body`](crate::Limits::body)
    /// ([`Fault::BodyTooLarge`]), is not framed legally, or ends early. [`Error::Timeout`](crate::Error::Timeout) if the whole
    /// body does not arrive in its time. [`Error::Full`](crate::Error::Full) if in that time there was no room in
    /// [`Limits::buffered`](crate::Limits::buffered). [`Error::Io`](crate::Error::Io) if reading or writing fails.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped and `chunk` called again: no byte is lost, and the time does not begin anew.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Response, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let mut ex = conn.next().await?.expect("a request");
    /// let mut length = 0;
    /// while let Some(piece) = ex.chunk().await? {
    ///     length += piece.len();
    /// }
    /// assert_eq!(length, 5);
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn chunk(&mut self) -> Result<Option<&[u8]>> {
        self.send_continue().await?;
        let range = loop {
            match self.conn.http.data(self.conn.seat.server.limits())? {
                Piece::Data(range) => break range,
                Piece::End => return Ok(None),
                Piece::NeedMore => self.conn.read_body().await?,
            }
        };
        Ok(Some(self.conn.http.bytes(range)))
    }

    /// Sends `100 Continue`, if the client waits for that.
    async fn send_continue(&mut self) -> Result<()> {
        self.conn.http.push_continue(self.conn.seat.server.limits(), self.conn.out.bytes());
        self.conn.flush().await
    }

    /// The whole request body, at most [`Limits::body`](crate::Limits::body) bytes.
    ///
    /// # Errors
    ///
    /// Those of [`chunk`](Exchange::chunk).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the part of the body that it has read is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Response, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let mut ex = conn.next().await?.expect("a request");
    /// assert_eq!(ex.body().await?, b"hello");
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn body(&mut self) -> Result<Vec<u8>> {
        let (collecting, mut body) = (Collecting(self.conn), Vec::new());
        let mut ex = Exchange { conn: &mut *collecting.0 };
        while let Some(piece) = ex.chunk().await? {
            body.reserve_exact(piece.len());
            body.extend_from_slice(piece);
            // The bytes were leased when they were read; keep them counted while they are collected.
            ex.conn.request_mut().collected = body.len();
        }
        Ok(body)
    }

    /// The whole request body as text, at most [`Limits::body`](crate::Limits::body) bytes.
    ///
    /// # Errors
    ///
    /// Those of [`chunk`](Exchange::chunk), and [`Fault::NotUtf8`] if the body is not UTF-8.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the part of the body that it has read is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Response, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello".to_vec()));
    /// # let mut conn = Conn::new(io, &server);
    /// # let mut ex = conn.next().await?.expect("a request");
    /// assert_eq!(ex.text().await?, "hello");
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn text(&mut self) -> Result<String> {
        String::from_utf8(self.body().await?).map_err(|_| Fault::NotUtf8.into())
    }

    /// Takes a permit to hold the request; false if [`Limits::held`](crate::Limits::held) requests are held. The permit is
    /// kept until the exchange ends. [`wait`](Exchange::wait) takes one by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Exchange, Response};
    /// async fn app(mut ex: Exchange<'_>) -> tidings::Result<()> {
    ///     if !ex.hold() {
    ///         return ex.reply(Response::new(503)).await;
    ///     }
    ///     ex.closed().await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn hold(&mut self) -> bool {
        self.conn.hold()
    }

    /// Waits for `future`, at most for the time `within`, or until the client leaves or the server shuts down. The request is
    /// held meanwhile: it has no deadline but `within`. Bytes that wait to be written are written first, and that time counts.
    ///
    /// Pipelined bytes are kept while they are fewer than [`Limits::head`](crate::Limits::head). If more arrive, all of them
    /// are discarded, and the connection closes after the response. The same happens to more than 1 KiB of pipelined bytes,
    /// and of a body that the handler has not read, after [`Limits::body_time`](crate::Limits::body_time): read the body
    /// before a long wait.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) if [`Limits::held`](crate::Limits::held) requests are held.
    /// [`Error::Timeout`](crate::Error::Timeout) if bytes wait to be written and the client makes no progress in reading.
    /// [`Error::Io`](crate::Error::Io) if writing fails, or if the server has cut all connections off.
    ///
    /// # Cancel safety
    ///
    /// The wait may be dropped if `future` may be dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{Exchange, Hub, Response, Wait};
    ///
    /// async fn long_poll(mut ex: Exchange<'_>, hub: &Hub) -> tidings::Result<()> {
    ///     let mut news = hub.subscribe(&["news"], None)?;
    ///     let patience = ex.server().limits().poll_wait;
    ///     match ex.wait(news.next(), patience).await? {
    ///         Wait::Ready(Some(batch)) => ex.reply(Response::text(batch.messages[0].data())).await,
    ///         _ => ex.reply(Response::text("nothing new")).await,
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

    /// Waits until the client has gone or ended its input, or until the server shuts down.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Exchange::wait).
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
    /// # let mut ex = conn.next().await?.expect("a request");
    /// // There is nothing to say before the client ends its input, or the server shuts down.
    /// ex.closed().await?;
    /// ex.reply(Response::text("good bye")).await?;
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn closed(&mut self) -> Result<()> {
        self.wait(pending::<()>(), Duration::MAX).await.map(|_| ())
    }

    /// Answers the request with a whole response, in one write if the client takes all of it at once. The call puts the
    /// response into the write buffer, and the future that it returns writes it. If the handler has not read the request's
    /// body, the next [`Conn::next`] reads and discards it within the limits, or closes the connection.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`](crate::Error::Misuse) if the response is not legal; see [`Response`].
    /// [`Error::Timeout`](crate::Error::Timeout) if the client makes no progress in reading for
    /// [`Limits::write_time`](crate::Limits::write_time). [`Error::Io`](crate::Error::Io) if writing fails.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the next [`Conn::next`] goes on writing.
    ///
    /// # Examples
    ///
    /// See [`Conn`].
    pub fn reply(self, response: Response) -> Reply<'c> {
        let failed = self.conn.put_response(response, Http1::respond).err().map(Box::new);
        Reply { flush: self.conn.flush(), failed }
    }

    /// Begins a response whose body is written piece by piece. Its head is written with the first piece, or by the first
    /// flush or wait.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`](crate::Error::Misuse) if the response is not legal, or has a body of its own.
    ///
    /// # Cancel safety
    ///
    /// The future is ready at its first poll.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{Event, Exchange, Response};
    ///
    /// async fn count(ex: Exchange<'_>) -> tidings::Result<()> {
    ///     let response = Response::new(200).header("Content-Type", "text/event-stream");
    ///     let mut stream = ex.stream(response).await?;
    ///     for n in 0..3 {
    ///         stream.event(&Event::data(&n.to_string())).await?;
    ///     }
    ///     stream.finish().await
    /// }
    /// ```
    pub async fn stream(self, response: Response) -> Result<BodyWriter<'c>> {
        self.conn.put_response(response, Http1::start)?;
        Ok(BodyWriter { conn: self.conn })
    }
}

/// The future of [`Exchange::reply`]: writes a response that was given. It keeps none of it, since a handler takes as much memory
/// as its largest await.
///
/// # Examples
///
/// See [`Exchange::reply`].
#[must_use = "a response is written when this is awaited"]
pub struct Reply<'c> {
    flush: Flush<'c, Conn>,
    /// Why the response could not be given.
    failed: Option<Box<Error>>,
}

impl Future for Reply<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.failed.take() {
            Some(error) => Poll::Ready(Err(*error)),
            None => Pin::new(&mut self.flush).poll(cx),
        }
    }
}

impl core::fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}

/// Counts a body while it is collected; however that ends, the body is then counted no more.
struct Collecting<'c>(&'c mut Conn);

impl Drop for Collecting<'_> {
    fn drop(&mut self) {
        if let Some(request) = &mut self.0.request {
            request.collected = 0;
        }
        self.0.settle();
    }
}

/// How a response is begun: by [`Http1::respond`] or [`Http1::start`].
type BeginResponse = fn(&mut Http1, Response, Option<&str>, &Limits, &mut Vec<u8>) -> Result<Content>;

impl Conn {
    /// Puts a response into the write buffer.
    fn put_response(&mut self, mut response: Response, begin: BeginResponse) -> Result<()> {
        if self.is_draining() {
            self.http.make_last();
        }
        self.add_headers(&mut response);
        let date = self.seat.server.date();
        let limits = self.seat.server.limits();
        let content = begin(&mut self.http, response, date.as_deref(), limits, self.out.bytes())?;
        self.out.push(content);
        self.forget_request();
        if self.http.state().sending == Sending::Over {
            self.out.make_last();
        }
        Ok(())
    }
}
