//! [`Conn`]: the state machine, a stream, and its deadlines. It moves bytes and decides nothing about them.

use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use std::io;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_lite::future;
use futures_lite::io::{AsyncRead, AsyncWrite};

use crate::error::{Error, Phase, Result};
use crate::exchange::Exchange;
use crate::limits::{Limits, READ, STARVED, TURNS};
use crate::proto::head::Head;
use crate::proto::http1::{Http1, Turn};
use crate::proto::response::Response;
use crate::seat::{Seat, Standing};
use crate::server::{Server, Stage};
use crate::sweep::deadline;

/// What a connection runs on: TCP, a Unix socket, TLS, a pipe in memory. Implemented for whatever has the parts.
///
/// `poll_close` should close the writing half and leave the reading half open, as `smol::net::TcpStream` does; so
/// the last answer reaches a client that still sends. (`smol::Async<TcpStream>` only flushes there: such a client
/// sees the end of the answer when the connection is dropped, [`Limits::linger`] later.)
///
/// # Examples
///
/// ```
/// # use tidings::{Conn, Io, Response, Server};
/// /// TCP, TLS or a pipe: from here on it is all the same.
/// async fn converse(io: impl Io + 'static, server: &Server) -> tidings::Result<()> {
///     let mut conn = Conn::new(io, server);
///     while let Some(ex) = conn.next().await? {
///         ex.reply(Response::text("hello")).await?;
///     }
///     Ok(())
/// }
/// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(b"GET / HTTP/1.0\r\n\r\n".to_vec()));
/// # smol::block_on(converse(io, &Server::new(tidings::Limits::DEFAULT))).unwrap();
/// ```
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A stream as the connection sees it. A trait of its own beside [`Io`], which all streams have without knowing.
pub(crate) trait Stream: Io {
    /// The peer's next bytes may be there already: they are to be tried for before they are waited for.
    fn expect(&mut self) {}
}

/// A stream that was handed to us.
struct Foreign<T>(T);

impl<T: Io> Stream for Foreign<T> {}

impl<T: Io> AsyncRead for Foreign<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: Io> AsyncWrite for Foreign<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

thread_local! {
    /// Where this thread's connections read to. What is not used at once is copied to the connection's own
    /// buffer, so one that waits for its peer owns none.
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// One connection: requests come out one after the other, each to be answered before the next.
///
/// # Examples
///
/// ```
/// # use tidings::{Conn, Limits, Response, Server};
/// # smol::block_on(async {
/// # let server = Server::new(Limits::DEFAULT);
/// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(b"GET / HTTP/1.0\r\n\r\n".to_vec()));
/// let mut conn = Conn::new(io, &server);
/// while let Some(ex) = conn.next().await? {
///     let path = ex.path().to_owned();
///     ex.reply(Response::text(path)).await?;
/// }
/// # tidings::Result::Ok(()) }).unwrap();
/// ```
pub struct Conn {
    pub(crate) io: Box<dyn Stream>,
    pub(crate) http: Http1,
    pub(crate) seat: Seat,
    /// Bytes to be written; it owns no memory while it is empty.
    pub(crate) out: Vec<u8>,
    /// How many of them are written.
    written: usize,
    life: Life,
    /// Bytes that the exchange keeps: the head, and the body as far as it is collected.
    pub(crate) kept: usize,
    /// Requests, messages and writes in a row without a wait.
    pub(crate) turns: u8,
    /// Whether the last try to read found no room in `buffered`.
    pub(crate) starved: bool,
}

/// What a connection is doing, and by when it must have done it.
#[derive(Clone, Copy, Debug)]
enum Life {
    /// It was accepted, and no byte came.
    Fresh(Instant),
    /// It waits for the first byte of the next request.
    Idle(Instant),
    /// Part of a head came.
    Head(Instant),
    /// A request is being answered; the time is for its body, from when it is first asked for.
    Exchange(Option<Instant>),
    /// The rest of a body that nobody wanted is thrown away.
    Drain(Instant),
    /// Its writing half is closed; input is thrown away until the peer has seen that.
    Closing(Instant),
    /// Nothing more happens.
    Over,
}

impl Conn {
    /// A connection of `server` on `io`. If the server has no room, it will be told 503.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(Vec::new()));
    /// let server = Server::new(Limits::DEFAULT);
    /// let conn = Conn::new(io, &server);
    /// assert_eq!(server.stats().connections, 1);
    /// ```
    pub fn new(io: impl Io + 'static, server: &Server) -> Conn {
        Conn::seated(Box::new(Foreign(io)), server.seat(None))
    }

    pub(crate) fn seated(io: Box<dyn Stream>, seat: Seat) -> Conn {
        let life = Life::Fresh(deadline(seat.server.limits().head_time));
        Conn {
            io,
            http: Http1::new(),
            seat,
            out: Vec::new(),
            written: 0,
            life,
            kept: 0,
            turns: 0,
            starved: false,
        }
    }

    /// The next request; `None` when there will be none. What is wrong with a request was already told to the
    /// peer when this returns the error. An exchange that was dropped without an answer is answered 500 here.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] and [`Error::Timeout`] for what the peer did, [`Error::Io`]. The connection is over.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again: no byte is lost and no deadline starts anew.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/2.0\r\n\r\n".to_vec()));
    /// let mut conn = Conn::new(io, &server);
    /// let error = conn.next().await.expect_err("only HTTP/1 is spoken here");
    /// // The peer was told so; there is nothing left to do.
    /// assert_eq!(error.status(), 505);
    /// assert!(conn.next().await?.is_none());
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn next(&mut self) -> Result<Option<Exchange<'_>>> {
        match self.next_head().await? {
            Some(head) => Ok(Some(Exchange::new(self, head))),
            None => Ok(None),
        }
    }

    async fn next_head(&mut self) -> Result<Option<Head>> {
        self.end_exchange().await?;
        loop {
            if let Life::Closing(_) | Life::Over = self.life {
                Box::pin(self.close()).await;
                return Ok(None);
            }
            // A peer that keeps its socket full must not keep the thread: two of them held up a third for
            // seconds. (Before the head is taken: whoever drops this future must not lose one.)
            poll_fn(|cx| self.poll_turn(cx)).await;
            // A match that awaits would keep the head's place in the memory of an idle connection.
            let turn = match self.http.head(self.seat.server.limits()) {
                Ok(Turn::Head(head)) => {
                    self.begin_exchange(&head);
                    return Ok(Some(head));
                }
                Ok(Turn::NeedMore) => Ok(true),
                Ok(Turn::End) => Ok(false),
                Err(fault) => Err(fault),
            };
            match turn {
                Ok(true) => self.read_head().await?,
                Ok(false) => Box::pin(self.close()).await,
                Err(fault) => {
                    self.fail_aside(&Error::Fault(fault)).await;
                    return Err(fault.into());
                }
            }
        }
    }

    fn begin_exchange(&mut self, head: &Head) {
        self.life = Life::Exchange(None);
        self.kept = head.len();
        self.seat.server.shared.counts.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Brings the last exchange to its end, whatever state it was left in.
    async fn end_exchange(&mut self) -> Result<()> {
        if let Life::Exchange(body) = self.life {
            let held = self.seat.is_held();
            self.seat.release();
            self.kept = 0;
            if self.http.owes() {
                self.fail_aside(&Error::Misuse("the request was not answered")).await;
                return Ok(());
            }
            if self.http.is_streaming() {
                // Without its end the peer sees that the stream is not whole.
                self.flush().await?;
                self.life = Life::Over;
                return Ok(());
            }
            self.life = match self.http.is_draining() {
                true => Life::Drain(body.unwrap_or(deadline(self.limits().body_time))),
                false => self.await_head(),
            };
            self.flush().await?;
            if !held {
                // A busy client's next request comes while the others have their turn, and is then read without the
                // reactor: 4.8 instead of 6.6 µs per request of 64 busy clients. Behind a held one it would be in
                // vain, since the reactor watches the stream already.
                future::yield_now().await;
                self.io.expect();
            }
        }
        match (self.seat.standing, self.life) {
            (Standing::Served, _) | (_, Life::Closing(_) | Life::Over) => {}
            (Standing::Refused, _) => self.fail_aside(&Error::Full).await,
            (Standing::Dropped, _) => self.life = Life::Over,
        }
        self.flush().await
    }

    /// What a connection does between two requests.
    fn await_head(&self) -> Life {
        match self.http.buffered() {
            0 => Life::Idle(deadline(self.limits().idle)),
            _ => Life::Head(deadline(self.limits().head_time)),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.seat.server.limits()
    }

    /// Reads once while a head, or the rest of an unwanted body, is to come.
    async fn read_head(&mut self) -> Result<()> {
        if let (Life::Drain(_), false) = (self.life, self.http.is_draining()) {
            self.life = self.await_head();
        }
        let (Life::Fresh(by) | Life::Idle(by) | Life::Head(by) | Life::Drain(by)) = self.life else {
            return Ok(());
        };
        match self.read_by(by).await {
            Read::Some => {
                if let Life::Idle(_) = self.life {
                    self.life = Life::Head(deadline(self.limits().head_time));
                } else if let Life::Fresh(by) = self.life {
                    self.life = Life::Head(by);
                }
                Ok(())
            }
            Read::Due if matches!(self.life, Life::Head(_)) && self.seat.server.stage() < Stage::Cut => {
                let error = if self.starved { Error::Full } else { Error::Timeout(Phase::Head) };
                self.fail_aside(&error).await;
                Err(error)
            }
            Read::Due if matches!(self.life, Life::Drain(_)) => {
                Box::pin(self.close()).await;
                Ok(())
            }
            Read::Due => {
                Box::pin(self.shut()).await;
                Ok(())
            }
            Read::Failed(error) => {
                self.life = Life::Over;
                Err(error.into())
            }
        }
    }

    /// Reads once into the state machine. While nothing was begun, a shutdown is due at once.
    async fn read_by(&mut self, by: Instant) -> Read {
        poll_fn(|cx| {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(_)) => return Poll::Ready(Read::Some),
                Poll::Ready(Err(error)) => return Poll::Ready(Read::Failed(error)),
                Poll::Pending => self.turns = 0,
            }
            if self.poll_due(cx, Some(by)).is_ready() {
                return Poll::Ready(Read::Due);
            }
            let idle = matches!(self.life, Life::Fresh(_) | Life::Idle(_));
            if idle && self.seat.server.stage() > Stage::Running {
                return Poll::Ready(Read::Due);
            }
            Poll::Pending
        })
        .await
    }

    /// Ready when `by` has come or the server cuts everything; while there is no room to read to, the task is woken
    /// now and then to look again.
    pub(crate) fn poll_due(&self, cx: &mut Context<'_>, by: Option<Instant>) -> Poll<()> {
        let again = self.starved.then(|| Instant::now() + STARVED);
        let soonest = by.into_iter().chain(again).min();
        ready!(self.seat.poll_due(cx, soonest));
        match by.is_some_and(|by| Instant::now() >= by) || self.seat.server.stage() == Stage::Cut {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Moves what the peer sent into the state machine; `Ready(0)` is the end of its input.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = self.http.room(self.limits());
        let granted = self.seat.lease(self.http.buffered() + self.kept, room.min(READ));
        self.starved = granted == 0 && room > 0;
        if granted == 0 {
            return Poll::Pending;
        }
        let http = &mut self.http;
        let read = poll_read(&mut *self.io, cx, granted, |bytes| http.receive(bytes));
        if let Poll::Ready(Ok(0)) = read {
            self.http.end();
        }
        self.seat.settle(self.http.buffered() + self.kept);
        read
    }

    /// Reads a piece of the body, within its time.
    pub(crate) async fn read_body(&mut self) -> Result<()> {
        let by = match self.life {
            Life::Exchange(Some(by)) => by,
            _ => deadline(self.limits().body_time),
        };
        self.life = Life::Exchange(Some(by));
        match self.read_by(by).await {
            Read::Some => Ok(()),
            Read::Due if self.starved || self.seat.server.stage() == Stage::Cut => Err(Error::Full),
            Read::Due => Err(Error::Timeout(Phase::Body)),
            Read::Failed(error) => {
                self.life = Life::Over;
                Err(error.into())
            }
        }
    }

    /// Writes what is to be written, within [`Limits::write_time`]. Cancel-safe.
    pub(crate) fn flush(&mut self) -> Flush<'_, 'static> {
        self.write(b"")
    }

    /// Writes what is to be written and these bytes behind it, within [`Limits::write_time`]; if it is dropped, the
    /// next write goes on. Bytes that the peer takes at once are not copied.
    pub(crate) fn write<'b>(&mut self, bytes: &'b [u8]) -> Flush<'_, 'b> {
        Flush { conn: self, bytes, by: None }
    }

    /// Counts what was done without a wait; whether it was much, or the first since one.
    pub(crate) fn count_turn(&mut self) -> bool {
        let look = self.turns == 0 || self.turns >= TURNS;
        self.turns = self.turns.saturating_add(1);
        look
    }

    /// Counts a request, a message or a write, and lets the others go first after some without a wait.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.turns = self.turns.saturating_add(1);
        if self.turns < TURNS {
            return Poll::Ready(());
        }
        self.turns = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes these bytes straight from where they are if nothing is to go before them, and keeps the rest.
    fn poll_write(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) -> Poll<io::Result<()>> {
        if self.out.is_empty() && !bytes.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => bytes = &bytes[written..],
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        self.out.extend_from_slice(bytes);
        self.poll_flush(cx)
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.out[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        (self.out, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Tells the peer of an error, if no answer was begun, and closes: half-closes, and reads on for a while so
    /// that the answer is not lost to a reset. The error of an exchange goes here.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, the next call of [`next`](Conn::next) goes on closing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tidings::{Conn, Exchange, Fault, Limits, Server};
    /// # smol::block_on(async {
    /// # let server = Server::new(Limits::DEFAULT);
    /// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
    /// #     b"GET / HTTP/1.0\r\n\r\n".to_vec()));
    /// async fn app(_: Exchange<'_>) -> tidings::Result<()> {
    ///     Err(Fault::Topic.into())
    /// }
    ///
    /// # let mut conn = Conn::new(io, &server);
    /// while let Some(ex) = conn.next().await? {
    ///     if let Err(error) = app(ex).await {
    ///         conn.fail(&error).await; // The client sees a 404, and a close.
    ///     }
    /// }
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn fail(&mut self, error: &Error) {
        self.seat.release();
        if let Life::Over = self.life {
            // It is broken: nothing can be told.
            self.http.abandon();
        }
        if self.http.is_streaming() {
            self.life = Life::Over;
        }
        let answer = self.last_answer(error);
        let date = self.seat.server.date();
        self.http.refuse(&answer, date.as_deref(), &mut self.out);
        if self.flush().await.is_ok() {
            Box::pin(self.close()).await;
        }
    }

    /// As `fail`, but beside the future that waits for the next request: an idle connection takes the memory of the
    /// largest part of that.
    async fn fail_aside(&mut self, error: &Error) {
        Box::pin(self.fail(error)).await;
    }

    /// What the peer is told of an error: all about its own faults, nothing about ours.
    fn last_answer(&self, error: &Error) -> Response {
        match error {
            Error::Fault(fault) => Response::fault(*fault),
            Error::Misuse(_) | Error::Other(_) | Error::Io(_) => Response::error(500, "the server failed"),
            Error::Full => Response::error(503, error).header("Retry-After", self.retry_after()),
            _ => Response::error(error.status(), error),
        }
    }

    /// Seconds for `Retry-After`, another number for each connection.
    pub(crate) fn retry_after(&self) -> String {
        let retry = self.seat.server.draw_retry();
        // Rounded up, without floats: to write one takes 20 KiB of code.
        (retry.as_secs() + u64::from(retry.subsec_nanos() > 0)).to_string()
    }

    /// Closes with care: half-closes, then reads until the peer has seen it.
    pub(crate) async fn close(&mut self) {
        if !matches!(self.life, Life::Closing(_) | Life::Over) {
            let gone = self.http.has_ended();
            self.shut().await;
            if !gone {
                self.life = Life::Closing(deadline(self.limits().linger));
            }
        }
        let Life::Closing(by) = self.life else { return };
        poll_fn(|cx| match poll_read(&mut *self.io, cx, READ, |_| {}) {
            Poll::Ready(Ok(n)) if n > 0 => {
                // Thrown away; yield, so that a flood does not keep the thread.
                cx.waker().wake_by_ref();
                if Instant::now() < by { Poll::Pending } else { Poll::Ready(()) }
            }
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.seat.poll_due(cx, Some(by)),
        })
        .await;
        self.life = Life::Over;
    }

    /// Closes the writing half.
    async fn shut(&mut self) {
        let by = deadline(self.limits().linger);
        self.http.abandon();
        self.seat.settle(0);
        self.life = Life::Over;
        poll_fn(|cx| match Pin::new(&mut self.io).poll_close(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.seat.poll_due(cx, Some(by)),
        })
        .await;
    }

    /// Whether the server wants its connections to end.
    pub(crate) fn is_draining(&self) -> bool {
        self.seat.server.stage() > Stage::Running
    }
}

impl core::fmt::Debug for Conn {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Conn").field("life", &self.life).field("http", &self.http).finish_non_exhaustive()
    }
}

/// Writes what is to be written. By hand, since it lies in the memory of whatever writes: as an `async fn` it took three
/// times as much.
pub(crate) struct Flush<'c, 'b> {
    conn: &'c mut Conn,
    /// What goes behind that, until it is written or kept.
    bytes: &'b [u8],
    /// When it must be done, from when it had to wait.
    by: Option<Instant>,
}

impl Future for Flush<'_, '_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let (bytes, this) = (core::mem::take(&mut self.bytes), &mut *self);
        if this.by.is_none() && this.conn.out.is_empty() && bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        // Mostly the peer takes it at once, and no time has to be looked up.
        let error = match this.conn.poll_write(cx, bytes) {
            Poll::Ready(Ok(())) => return this.conn.poll_turn(cx).map(Ok),
            Poll::Ready(Err(error)) => Error::from(error),
            Poll::Pending => {
                this.conn.turns = 0;
                let patience = this.conn.limits().write_time;
                let by = *this.by.get_or_insert_with(|| deadline(patience));
                ready!(this.conn.seat.poll_due(cx, Some(by)));
                Error::Timeout(Phase::Write)
            }
        };
        // Nobody waits for the rest.
        (this.conn.out, this.conn.written) = (Vec::new(), 0);
        this.conn.http.abandon();
        this.conn.life = Life::Over;
        Poll::Ready(Err(error))
    }
}

/// How a read ended.
enum Read {
    /// Something came, or the end of the input.
    Some,
    /// The time is up.
    Due,
    /// The connection is broken.
    Failed(io::Error),
}

/// Reads up to `most` bytes through the thread's buffer.
pub(crate) fn poll_read(
    io: &mut dyn Stream,
    cx: &mut Context<'_>,
    most: usize,
    take: impl FnOnce(&[u8]),
) -> Poll<io::Result<usize>> {
    let read = |buffer: &mut [u8]| {
        let most = most.min(buffer.len());
        let read = ready!(Pin::new(io).poll_read(cx, &mut buffer[..most]));
        Poll::Ready(read.inspect(|n| take(&buffer[..*n])))
    };
    READ_BUFFER.with(|buffer| match buffer.try_borrow_mut() {
        Ok(mut buffer) => read(&mut buffer),
        // A stream whose poll_read polls another connection on this thread.
        Err(_) => read(&mut [0; 512]),
    })
}
