//! [`Conn`]: the state machine, a stream, and its deadlines. It moves bytes and decides nothing about them.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use std::io;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use futures_lite::future;

use crate::error::{Error, Phase, Result};
use crate::exchange::Exchange;
use crate::limits::{LOOK, Limits, READ, SPARE, STARVED, TURNS};
use crate::moment::Moment;
use crate::out::Out;
use crate::proto::Fault;
use crate::proto::http1::{Http1, Turn};
use crate::proto::response::Response;
use crate::request::Request;
use crate::seat::{Seat, Standing};
use crate::server::{Server, Stage};
use crate::stream::{Io, Stream};

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
    pub(crate) io: Stream,
    pub(crate) http: Http1,
    pub(crate) seat: Seat,
    /// Bytes to be written.
    pub(crate) out: Out,
    life: Life,
    /// The request that is being answered, until its memory is given back.
    pub(crate) request: Option<Box<Request>>,
}

/// What a connection is doing, and by when it must have done it.
#[derive(Clone, Copy, Debug)]
enum Life {
    /// It was accepted, and no byte came.
    Fresh(Moment),
    /// It waits for the first byte of the next request.
    Idle(Moment),
    /// Part of a head came.
    Head(Moment),
    /// A request is being answered; the time is for its body, from when it is first asked for.
    Exchange(Option<Moment>),
    /// The rest of a body that nobody wanted is thrown away.
    Drain(Moment),
    /// Its writing half is closed; input is thrown away until the peer has seen that.
    Closing(Moment),
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
        Conn::seated(Stream::foreign(io), server.seat(None))
    }

    pub(crate) fn seated(io: Stream, seat: Seat) -> Conn {
        let life = Life::Fresh(seat.deadline(seat.server.limits().head_time));
        Conn { io, http: Http1::new(), seat, out: Out::default(), life, request: None }
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
        // What is rare is boxed, and what decides does not wait: an idle connection takes the memory of all this.
        let answered = self.end_exchange();
        self.flush().await?;
        if answered {
            // A busy client's next request comes while the others have their turn, and is then read without the
            // reactor: 4.8 instead of 6.6 µs per request of 64 busy clients.
            future::yield_now().await;
            self.seat.eager = true;
        }
        loop {
            if let Life::Closing(_) | Life::Over = self.life {
                Box::pin(self.close()).await;
                return Ok(None);
            }
            // A peer that keeps its socket full must not keep the thread: two of them held up a third for
            // seconds. (Before the head is taken: whoever drops this future must not lose one.)
            poll_fn(|cx| self.poll_turn(cx)).await;
            match self.take_head() {
                Taken::Head => return Ok(Some(Exchange { conn: self })),
                Taken::End => Box::pin(self.close()).await,
                Taken::Fault(fault) => return Err(Box::pin(self.refuse(fault.into())).await),
                Taken::Full => return Err(Box::pin(self.refuse(Error::Full)).await),
                Taken::NeedMore => {
                    let read = poll_fn(|cx| self.poll_read_head(cx)).await;
                    if self.is_due(read)? {
                        Box::pin(self.give_up()).await?;
                    }
                }
            }
        }
    }

    /// Brings the last exchange to its end, whatever state it was left in, as far as that can be done without a wait;
    /// whether a busy client's next request may follow at once.
    fn end_exchange(&mut self) -> bool {
        match (self.life, self.seat.standing) {
            (Life::Exchange(body), _) => self.end_answer(body),
            (Life::Closing(_) | Life::Over, _) => {
                // The end of the stream went out with the last answer.
                self.seat.release();
                self.request = None;
                false
            }
            (_, Standing::Served | Standing::Held) => false,
            (_, Standing::Refused) => {
                self.tell(&Error::Full);
                false
            }
            (_, Standing::Dropped) => {
                self.life = Life::Over;
                false
            }
        }
    }

    fn end_answer(&mut self, body: Option<Moment>) -> bool {
        // Behind a held one the reactor watches the stream already: trying to read first would be in vain.
        let held = self.seat.is_held();
        self.seat.release();
        if self.http.owes() {
            // What follows is the close, for the state machine is over.
            self.tell(&Error::Misuse("the request was not answered"));
        }
        self.request = None;
        self.life = match (self.http.is_streaming(), self.http.is_draining()) {
            // Without its end the peer sees that the stream is not whole.
            (true, _) => Life::Over,
            (false, true) => Life::Drain(body.unwrap_or_else(|| self.seat.deadline(self.limits().body_time))),
            (false, false) => self.await_head(),
        };
        !held && !matches!(self.life, Life::Over)
    }

    /// Takes the next head out of what was received.
    fn take_head(&mut self) -> Taken {
        match self.http.head(self.seat.server.limits()) {
            Ok(Turn::Head(head)) => {
                self.life = Life::Exchange(None);
                // A decoded path stands beside the bytes that were leased.
                if !self.seat.fit(self.http.buffered() + head.len()) {
                    return Taken::Full;
                }
                self.request = Some(Box::new(Request { head, ..Request::default() }));
                self.seat.server.shared.counts.requests.fetch_add(1, Ordering::Relaxed);
                Taken::Head
            }
            Ok(Turn::NeedMore) => {
                if let (Life::Drain(_), false) = (self.life, self.http.is_draining()) {
                    self.life = self.await_head();
                }
                Taken::NeedMore
            }
            Ok(Turn::End) => Taken::End,
            Err(fault) => Taken::Fault(fault),
        }
    }

    /// What a connection does between two requests.
    fn await_head(&self) -> Life {
        match self.http.is_between() {
            true => Life::Idle(self.seat.deadline(self.limits().idle)),
            false => Life::Head(self.seat.deadline(self.limits().head_time)),
        }
    }

    /// Whether nothing came in time while a head was awaited.
    fn is_due(&mut self, read: Read) -> Result<bool> {
        self.life = match (read, self.life) {
            (Read::Due, _) => return Ok(true),
            (Read::Failed(error), _) => return Err(self.broken(error)),
            (Read::Some, life @ Life::Idle(_)) if self.http.is_between() => life,
            (Read::Some, Life::Idle(_)) => Life::Head(self.seat.deadline(self.limits().head_time)),
            (Read::Some, Life::Fresh(by)) => Life::Head(by),
            (Read::Some, life) => life,
        };
        Ok(false)
    }

    /// The time for a head is up.
    async fn give_up(&mut self) -> Result<()> {
        match self.life {
            Life::Head(_) if self.seat.server.stage() < Stage::Cut => {
                let error = if self.seat.starved { Error::Full } else { Error::Timeout(Phase::Head) };
                return Err(self.refuse(error).await);
            }
            Life::Drain(_) => self.close().await,
            _ => self.shut().await,
        }
        Ok(())
    }

    /// Counts the body as far as it is collected.
    pub(crate) fn keep_collected(&mut self, bytes: usize) {
        self.request_mut().collected = bytes;
    }

    pub(crate) fn request_mut(&mut self) -> &mut Request {
        self.request.get_or_insert_default()
    }

    /// Adds the fields that the handler has added to whichever answer it is.
    pub(crate) fn add_headers(&self, answer: &mut Response) {
        if let Some(request) = &self.request {
            answer.headers.append(&request.headers);
        }
    }

    /// Tells the peer of an error, and hands it back.
    pub(crate) async fn refuse(&mut self, error: Error) -> Error {
        self.fail(&error).await;
        error
    }

    fn broken(&mut self, error: io::Error) -> Error {
        self.life = Life::Over;
        error.into()
    }

    /// Bytes that the exchange keeps: the head, and the body as far as it is collected.
    fn kept(&self) -> usize {
        self.request.as_ref().map_or(0, |request| request.size())
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.seat.server.limits()
    }

    /// Reads once while a head, or the rest of an unwanted body, is to come.
    fn poll_read_head(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        match self.life {
            Life::Fresh(by) | Life::Idle(by) | Life::Head(by) | Life::Drain(by) => self.poll_read_by(cx, by),
            Life::Exchange(_) | Life::Closing(_) | Life::Over => Poll::Ready(Read::Some),
        }
    }

    /// Reads once into the state machine. While nothing was begun, a shutdown is due at once.
    fn poll_read_by(&mut self, cx: &mut Context<'_>, by: Moment) -> Poll<Read> {
        match self.poll_fill(cx) {
            Poll::Ready(Ok(_)) => return Poll::Ready(Read::Some),
            Poll::Ready(Err(error)) => return Poll::Ready(Read::Failed(error)),
            Poll::Pending => self.seat.turns = 0,
        }
        if self.poll_due(cx, by).is_ready() {
            return Poll::Ready(Read::Due);
        }
        let idle = matches!(self.life, Life::Fresh(_) | Life::Idle(_));
        if idle && self.is_draining() { Poll::Ready(Read::Due) } else { Poll::Pending }
    }

    /// Ready when `by` has come or the server cuts everything; while there is no room to read to, the task is woken
    /// now and then to look again.
    pub(crate) fn poll_due(&self, cx: &mut Context<'_>, by: Moment) -> Poll<()> {
        let soonest = if self.seat.starved { by.min(self.seat.deadline(STARVED)) } else { by };
        ready!(self.seat.poll_due(cx, soonest));
        match self.seat.now() >= by || self.seat.server.stage() == Stage::Cut {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Moves what the peer sent into the state machine; `Ready(0)` is the end of its input.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Who waits for more has used it, and it counts no more from here on.
        self.http.drop_data();
        let room = self.http.room(self.limits());
        let used = self.http.buffered() + self.kept();
        let granted = self.seat.lease(used, room.min(READ));
        if granted == 0 {
            return Poll::Pending;
        }
        let http = &mut self.http;
        let read = self.io.poll_receive(cx, &mut self.seat.eager, granted, |bytes| http.receive(bytes));
        if let Poll::Ready(Ok(0)) = read {
            self.http.end();
        }
        self.seat.settle(self.http.buffered() + self.kept());
        read
    }

    /// Reads a piece of the body, within its time.
    pub(crate) async fn read_body(&mut self) -> Result<()> {
        let by = self.body_deadline();
        match poll_fn(|cx| self.poll_read_by(cx, by)).await {
            Read::Some => Ok(()),
            Read::Due if self.seat.starved || self.seat.server.stage() == Stage::Cut => Err(Error::Full),
            Read::Due => Err(Error::Timeout(Phase::Body)),
            Read::Failed(error) => Err(self.broken(error)),
        }
    }

    /// By when the request's body must have come: its time begins when it is first asked for, or in the way.
    fn body_deadline(&mut self) -> Moment {
        let by = match self.life {
            Life::Exchange(Some(by)) => by,
            _ => self.seat.deadline(self.limits().body_time),
        };
        self.life = Life::Exchange(Some(by));
        by
    }

    /// Throws away what the peer of a held request sends beyond the room that there is for it, and makes the answer
    /// the last: who does not read on never hears that the peer has left. A body that the handler may yet read is
    /// spared while its time lasts.
    pub(crate) fn poll_overflow(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.http.may_read_body() && self.seat.now() < self.body_deadline() {
            // Looks again now and then.
            self.seat.starved = true;
            return Poll::Pending;
        }
        self.http.overflow();
        self.seat.settle(self.kept());
        let read = ready!(self.io.poll_receive(cx, &mut self.seat.eager, READ, |_| {}));
        match read {
            Ok(0) => self.http.end(),
            // A flood must not keep the thread.
            Ok(_) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Err(_) => {}
        }
        Poll::Ready(read)
    }

    /// Throws away what has come early when it was kept for [`Limits::body_time`], if others could have its room: a stream
    /// may have no end.
    pub(crate) fn drop_early(&mut self) {
        let early = self.http.buffered();
        if early > 0
            && early + self.kept() > SPARE
            && !self.http.may_read_body()
            && self.seat.now() >= self.body_deadline()
        {
            self.http.overflow();
            self.seat.settle(self.kept());
        }
    }

    /// Whether nothing is read, for want of room.
    pub(crate) fn is_deaf(&self) -> bool {
        self.seat.starved || self.http.room(self.limits()) == 0
    }

    /// Writes what is to be written, within [`Limits::write_time`]. Cancel-safe.
    pub(crate) fn flush(&mut self) -> Flush<'_> {
        Flush { conn: self }
    }

    /// Counts what was done without a look at the peer; whether it was much.
    pub(crate) fn count_turn(&mut self) -> bool {
        self.seat.turns = self.seat.turns.saturating_add(1);
        self.seat.turns > TURNS
    }

    /// Counts a request, a message or a write, and lets the others go first after some without a wait.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.seat.turns = self.seat.turns.saturating_add(1);
        if self.seat.turns % LOOK < TURNS {
            return Poll::Ready(());
        }
        self.seat.turns = LOOK;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let last = self.out.is_last();
        while !self.out.rest().is_empty() {
            let written = match last {
                true => self.io.poll_write_last(cx, self.out.rest()),
                false => self.io.poll_write(cx, self.out.rest()),
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.out.advance(n),
            }
        }
        ready!(self.io.poll_flush(cx))?;
        // One that takes its time, and the failure of one, is no matter of the answer's.
        if last && self.io.poll_close(cx, false).is_ready() {
            self.life = match self.http.has_ended() {
                true => Life::Over,
                false => Life::Closing(self.seat.deadline(self.limits().linger)),
            };
        }
        self.out.clear();
        Poll::Ready(Ok(()))
    }

    /// Writes what is to be written, within its time.
    pub(crate) fn poll_flush_by(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // Mostly the peer takes it at once, and no time has to be looked up.
        let error = match self.poll_flush(cx) {
            Poll::Ready(Ok(())) => return self.poll_turn(cx).map(Ok),
            Poll::Ready(Err(error)) => Error::from(error),
            Poll::Pending => {
                self.seat.turns = LOOK;
                let seat = &self.seat;
                let by = self.out.by(|| seat.deadline(seat.server.limits().write_time));
                ready!(seat.poll_due(cx, by));
                Error::Timeout(Phase::Write)
            }
        };
        Poll::Ready(Err(self.unwritten(error)))
    }

    /// Nobody waits for the rest.
    pub(crate) fn unwritten(&mut self, error: Error) -> Error {
        self.out.clear();
        self.http.abandon();
        self.life = Life::Over;
        error
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
        self.tell(error);
        if self.flush().await.is_ok() {
            Box::pin(self.close()).await;
        }
    }

    /// Tells the peer of an error, if no answer was begun: the last that it is told.
    fn tell(&mut self, error: &Error) {
        self.seat.release();
        if let Life::Over = self.life {
            // It is broken: nothing can be told.
            self.http.abandon();
        }
        if self.http.is_streaming() {
            self.life = Life::Over;
        }
        let mut answer = self.last_answer(error);
        self.add_headers(&mut answer);
        let date = self.seat.server.date();
        self.http.refuse(&answer, date.as_deref(), self.out.bytes());
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
                self.life = Life::Closing(self.seat.deadline(self.limits().linger));
            }
        }
        let Life::Closing(by) = self.life else { return };
        self.http.abandon();
        self.seat.settle(0);
        poll_fn(|cx| self.poll_linger(cx, by)).await;
        self.life = Life::Over;
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>, by: Moment) -> Poll<()> {
        match self.io.poll_receive(cx, &mut self.seat.eager, READ, |_| {}) {
            Poll::Ready(Ok(n)) if n > 0 => {
                // Thrown away; yield, so that a flood does not keep the thread.
                cx.waker().wake_by_ref();
                if self.seat.now() < by { Poll::Pending } else { Poll::Ready(()) }
            }
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.seat.poll_due(cx, by),
        }
    }

    /// Closes the writing half.
    async fn shut(&mut self) {
        let by = self.seat.deadline(self.limits().linger);
        let gone = self.http.has_ended();
        self.http.abandon();
        self.seat.settle(0);
        poll_fn(|cx| match self.io.poll_close(cx, gone) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.seat.poll_due(cx, by),
        })
        .await;
        // Not before: whoever drops this goes on with it at the next call.
        self.life = Life::Over;
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
pub(crate) struct Flush<'c> {
    conn: &'c mut Conn,
}

impl Future for Flush<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.conn.out.is_empty() {
            true => {
                self.conn.out.clear();
                Poll::Ready(Ok(()))
            }
            false => self.conn.poll_flush_by(cx),
        }
    }
}

/// What was received so far.
enum Taken {
    /// A head: its exchange begins.
    Head,
    /// Part of one, or nothing.
    NeedMore,
    /// There will be no further request.
    End,
    /// A head that there is no room to keep.
    Full,
    Fault(Fault),
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
