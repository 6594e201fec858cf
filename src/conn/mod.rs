//! [`Conn`]: the state machine, a stream, and its deadlines. It moves bytes and decides nothing about them.

pub(crate) mod body_writer;
mod close;
pub(crate) mod exchange;
mod read;
mod request;
pub(crate) mod stream;
pub(crate) mod tcp;
pub(crate) mod wait;
pub(crate) mod write;
pub(crate) mod write_buffer;

use core::future::poll_fn;
use std::io;
use std::sync::atomic::Ordering;

use futures_lite::future;

use self::read::Read;
use crate::conn::exchange::Exchange;
use crate::conn::request::Request;
use crate::conn::stream::{Io, Stream, Watch};
use crate::conn::write_buffer::Out;
use crate::error::Fault;
use crate::error::{Error, Phase, Result};
use crate::limits::Limits;
use crate::proto::http1::{Http1, Turn};
use crate::proto::response::Response;
use crate::server::clock::Moment;
use crate::server::seat::{Seat, Standing};
use crate::server::{Server, Stage};

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
    watch: Watch,
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
    /// A connection of `server` on `io`. If the server has no room, it will be told 503. See [`Io`] for what a socket needs,
    /// so that a peer that has vanished is noticed.
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
        Conn { io, http: Http1::new(), seat, out: Out::default(), life, watch: Watch::Not, request: None }
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

    /// Takes a place among the held requests, and has the kernel watch the peer while it is kept; false if there is none.
    pub(crate) fn hold(&mut self) -> bool {
        let to = if self.http.owes() { Watch::Asks } else { Watch::Listens };
        let held = self.seat.hold();
        if held {
            self.io.watch(&mut self.watch, to, self.seat.server.limits());
        }
        held
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

    pub(crate) fn limits(&self) -> &Limits {
        self.seat.server.limits()
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
