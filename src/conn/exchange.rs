//! [`Exchange`]: one request and the one answer that it is owed.

use core::future::{Future, pending};
use std::borrow::Cow;
use std::time::Duration;

use crate::conn::Conn;
use crate::conn::body_writer::BodyWriter;
use crate::conn::wait::{Held, Wait};
use crate::error::Fault;
use crate::error::Result;
use crate::limits::Limits;
use crate::proto::body::Piece;
use crate::proto::content::Content;
use crate::proto::head::Head;
use crate::proto::http1::{Http1, Sending};
use crate::proto::response::Response;
use crate::server::Server;

/// One request. [`reply`](Exchange::reply), [`stream`](Exchange::stream) and `upgrade` consume it, so it is
/// answered once; one that is dropped unanswered becomes a 500.
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

/// What is shown in place of a head that was given back.
static NO_HEAD: Head = Head::EMPTY;

impl<'c> Exchange<'c> {
    /// The request's head.
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

    /// The method, as it came.
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
    /// let answer = match ex.method() {
    ///     "GET" | "HEAD" => Response::text("hello"),
    ///     _ => Response::new(405).header("Allow", "GET, HEAD"),
    /// };
    /// # assert_eq!(answer.status(), 405);
    /// ex.reply(answer).await?;
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub fn method(&self) -> &str {
        self.head().method()
    }

    /// The path, percent-decoded.
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

    /// Gives the memory of the head back, which an answer that is held for long need not keep: [`head`](Self::head),
    /// [`method`](Self::method) and [`path`](Self::path) are empty from now on.
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
            Some(request) if !request.headers.is_empty() => request.head = Head::EMPTY,
            request => *request = None,
        }
        self.conn.settle();
    }

    /// Adds a field to the answer, whichever it will be: one of the handler's own, a transport's, the 101 of a
    /// WebSocket, or what [`Conn::fail`] tells of an error. So a handler adds what all of its answers need once,
    /// such as `Access-Control-Allow-Origin`.
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

    /// The server that the request came to.
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

    /// The next piece of the request's body, `None` at its end; asks the client to go on if it waits for that
    /// (RFC 9110, 10.1.1).
    ///
    /// # Errors
    ///
    /// [`Fault::BodyTooLarge`] and the faults of framing, [`Error::Timeout`](crate::Error::Timeout),
    /// [`Error::Full`](crate::Error::Full), [`Error::Io`](crate::Error::Io).
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again: no byte is lost.
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
        self.go_on().await?;
        let range = loop {
            match self.conn.http.data(self.conn.seat.server.limits())? {
                Piece::Data(range) => break range,
                Piece::End => return Ok(None),
                Piece::NeedMore => self.conn.read_body().await?,
            }
        };
        Ok(Some(self.conn.http.bytes(range)))
    }

    /// Sends `100 Continue` if the client waits for it.
    async fn go_on(&mut self) -> Result<()> {
        self.conn.http.go_on(self.conn.seat.server.limits(), self.conn.out.bytes());
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
    /// What was read is lost if it is dropped.
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

    /// The whole request body as text.
    ///
    /// # Errors
    ///
    /// Those of [`chunk`](Exchange::chunk), and [`Fault::NotUtf8`].
    ///
    /// # Cancel safety
    ///
    /// What was read is lost if it is dropped.
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

    /// Takes a place among the [held](crate::Limits::held) requests, if one is free. Once taken it is kept until
    /// the exchange ends.
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

    /// Waits for `future`, at most `within`, and watches the peer and the server meanwhile: a request that is
    /// held has left its own deadlines. What the peer sends early is kept while it is less than
    /// [`Limits::head`](crate::Limits::head) bytes; more is thrown away, and the connection closes behind the answer. So
    /// it is with more than 1 KiB that was kept for [`Limits::body_time`](crate::Limits::body_time).
    /// A body is kept for the handler as long as [`Limits::body_time`](crate::Limits::body_time), so read it before a
    /// long wait. What is still to be written goes out first, and that time counts.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) if no place among the [held](crate::Limits::held) requests is free.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped if `future` may.
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
        Held::new(&mut *self.conn, future, within)
    }

    /// Waits until the peer has gone or ended its input, or the server shuts down.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Exchange::wait).
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
    /// # let mut ex = conn.next().await?.expect("a request");
    /// // There is nothing to say before the client ends its input, or the server shuts down.
    /// ex.closed().await?;
    /// ex.reply(Response::text("good bye")).await?;
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn closed(&mut self) -> Result<()> {
        self.wait(pending::<()>(), Duration::MAX).await.map(|_| ())
    }

    /// Answers, in one write if the peer takes it.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`](crate::Error::Misuse) if the answer is not legal,
    /// [`Error::Timeout`](crate::Error::Timeout), [`Error::Io`](crate::Error::Io).
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, the next [`Conn::next`] goes on writing.
    ///
    /// # Examples
    ///
    /// See [`Conn`].
    pub async fn reply(self, answer: Response) -> Result<()> {
        self.conn.give(answer, Http1::respond)?;
        self.conn.flush().await
    }

    /// Begins an answer that is written piece by piece. Its head goes out with the first piece, or at the first
    /// flush or wait.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`](crate::Error::Misuse) if the answer is not legal or has a body.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{Event, Exchange, Response};
    ///
    /// async fn count(ex: Exchange<'_>) -> tidings::Result<()> {
    ///     let answer = Response::new(200).header("Content-Type", "text/event-stream");
    ///     let mut stream = ex.stream(answer).await?;
    ///     for n in 0..3 {
    ///         stream.event(&Event::data(&n.to_string())).await?;
    ///     }
    ///     stream.finish().await
    /// }
    /// ```
    pub async fn stream(self, answer: Response) -> Result<BodyWriter<'c>> {
        self.conn.give(answer, Http1::start)?;
        Ok(BodyWriter { conn: self.conn })
    }
}

/// While a body is collected: however that ends, it is counted no more.
struct Collecting<'c>(&'c mut Conn);

impl Drop for Collecting<'_> {
    fn drop(&mut self) {
        if let Some(request) = &mut self.0.request {
            request.collected = 0;
        }
        self.0.settle();
    }
}

/// How an answer is begun: [`Http1::respond`] or [`Http1::start`].
type Begin = fn(&mut Http1, Response, Option<&str>, &Limits, &mut Vec<u8>) -> Result<Content>;

impl Conn {
    /// Puts an answer down to be written.
    fn give(&mut self, mut answer: Response, begin: Begin) -> Result<()> {
        if self.is_draining() {
            self.http.make_last();
        }
        self.add_headers(&mut answer);
        let date = self.seat.server.date();
        let limits = self.seat.server.limits();
        let content = begin(&mut self.http, answer, date.as_deref(), limits, self.out.bytes())?;
        self.out.push(content);
        self.forget_request();
        if self.http.state().sending == Sending::Over {
            self.out.make_last();
        }
        Ok(())
    }
}
