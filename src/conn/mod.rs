//! [`Conn`]: one connection, which is a stream, the state machine of its protocol, and its deadlines. It moves bytes, and
//! `proto` decides what they mean.

pub(crate) mod body_writer;
pub(crate) mod end;
pub(crate) mod exchange;
pub(crate) mod patience;
mod read;
pub(crate) mod request;
pub(crate) mod stream;
pub(crate) mod tcp;
pub(crate) mod turns;
pub(crate) mod wait;
pub(crate) mod write;
pub(crate) mod write_buffer;

use core::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use futures_lite::future;

use self::end::{End, Ending};
use self::exchange::Exchange;
use self::read::Read;
use self::request::Request;
use self::stream::{Io, Stream, Watch};
use self::turns::Turns;
use self::write_buffer::WriteBuffer;
use crate::error::{Error, Fault, Phase, Result};
use crate::limits::Limits;
use crate::proto::http1::{Http1, NextHead, Receiving, Sending};
use crate::proto::response::Response;
use crate::server::clock::Moment;
use crate::server::permit::Standing;
use crate::server::seat::Seat;
use crate::server::{Server, Stage};

/// One connection. Its requests are taken one after the other, and each is answered before the next is taken.
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
    /// Whether the client's next bytes may have arrived already, so that reading comes before waiting.
    pub(crate) eager: bool,
    pub(crate) http: Http1,
    /// The deadline of the phase that the state machine is in; `None` until it is first asked for.
    due: Option<Moment>,
    /// The phase of that deadline. (Two fields, since an `Option` of both takes 8 bytes more.)
    due_for: Receiving,
    ending: Ending,
    pub(crate) turns: Turns,
    watch: Watch,
    pub(crate) seat: Seat,
    pub(crate) out: WriteBuffer,
    /// The request that is being answered; `None` once nothing of it is needed any more.
    pub(crate) request: Option<Box<Request>>,
}

impl Conn {
    /// A connection of `server` on the stream `io`. If the server serves [`Limits::connections`] already, the first
    /// [`next`](Conn::next) refuses the client with a 503. [`Io`] says how to set a socket up, so that a client that has
    /// vanished is noticed.
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
        let mut conn = Conn {
            io,
            eager: false,
            http: Http1::new(),
            due: None,
            due_for: Receiving::First,
            ending: Ending::Open,
            turns: Turns::default(),
            watch: Watch::Not,
            seat,
            out: WriteBuffer::default(),
            request: None,
        };
        // The time for the first head begins now.
        conn.receive_by();
        conn
    }

    /// The next request; `None` when there will be none. If the last exchange was dropped without an answer, it is answered
    /// with a 500, and the connection ends.
    ///
    /// # Errors
    ///
    /// After an error the connection is over, and the client was told of the error if it could be. [`Error::Fault`] if the
    /// client broke the protocol. [`Error::Timeout`] if a head took longer than [`Limits::head_time`], or if the client made
    /// no progress in reading for [`Limits::write_time`]. [`Error::Full`] if there was no room in [`Limits::buffered`].
    /// [`Error::Io`] if reading or writing failed.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped and `next` called again: no byte is lost, and no deadline begins anew.
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
    /// // The client was told of it, so there is nothing left to do.
    /// assert_eq!(error.status(), 505);
    /// assert!(conn.next().await?.is_none());
    /// # tidings::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn next(&mut self) -> Result<Option<Exchange<'_>>> {
        // An idle connection takes the memory of this future: so the rare future is boxed, and functions that need not wait
        // are not async.
        let answered = self.end_exchange();
        if !self.out.is_empty() {
            self.flush().await?;
        }
        if answered && !self.eager {
            // The next request of a busy client arrives while other connections have their turn, and is then read without
            // the reactor, which saves a quarter of the time of a request.
            self.eager = true;
            future::yield_now().await;
        }
        let read = poll_fn(|cx| self.poll_head(cx)).await;
        if !self.is_ending() {
            return Ok(Some(Exchange { conn: self }));
        }
        Box::pin(self.close_behind(read)).await.map(|()| None)
    }

    /// Closes the connection, and returns the error for which it ends.
    async fn close_behind(&mut self, read: core::result::Result<(), Box<Error>>) -> Result<()> {
        self.close().await;
        read.map_err(|error| *error)
    }

    /// Reads until the next head is whole, or the connection ends. If the head is wrong, the response that says so is put into
    /// the write buffer. (The error is boxed, since an idle connection takes the memory of the future that returns it.)
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<core::result::Result<(), Box<Error>>> {
        while !self.is_ending() {
            // A client that keeps its socket full must not keep the thread. (Give way before a head is taken: if the future
            // is dropped, no head may be lost.)
            ready!(self.turns.poll_give_way(cx));
            let failed = match self.next_head() {
                Ok(NextHead::Whole) => match self.begin_exchange() {
                    Ok(()) => return Poll::Ready(Ok(())),
                    Err(error) => Some(error),
                },
                Ok(NextHead::End) => {
                    self.end(End::Clean);
                    None
                }
                Ok(NextHead::NeedMore) => {
                    let read = ready!(self.poll_read(cx));
                    self.missed_head(read)
                }
                Err(fault) => Some(fault.into()),
            };
            if let Some(error) = failed {
                self.end(End::Told(&error));
                return Poll::Ready(Err(Box::new(error)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the last exchange, in whatever state it was left, as far as that needs no wait. Returns whether the next request
    /// of a busy client may follow at once.
    fn end_exchange(&mut self) -> bool {
        match self.seat.standing() {
            Standing::Served | Standing::Held => {}
            Standing::Refused => self.end(End::Told(&Error::Full)),
            Standing::Dropped => self.end(End::Cut),
        }
        // After a held request the reactor watches the stream already, so to read before waiting would be in vain.
        let held = self.seat.standing() == Standing::Held;
        self.seat.release();
        match self.http.state().sending {
            Sending::Idle => return false,
            Sending::Owed => self.end(End::Told(&Error::Misuse("the request was not answered"))),
            // The body has no end, so the client sees that it is not whole.
            Sending::Streaming => self.end(End::Clean),
            Sending::Sent | Sending::Over => self.end_request(),
        }
        !held && !self.is_ending()
    }

    /// Takes the head of the next request into [`request`](Conn::request), if it is whole.
    fn next_head(&mut self) -> core::result::Result<NextHead, Fault> {
        let state = self.http.state();
        let is_idle = matches!(state.receiving, Receiving::First | Receiving::Idle);
        // Mostly it is asked for before anything has come.
        if is_idle && state.sending == Sending::Idle && !state.ended && self.http.buffered() == 0 {
            return Ok(NextHead::NeedMore);
        }
        let mut request = Request::new();
        let next = self.http.head(&mut request.head, self.seat.server.limits());
        match next {
            Ok(NextHead::Whole) => self.request = Some(request),
            _ => request.put_back(),
        }
        next
    }

    /// Begins an exchange.
    fn begin_exchange(&mut self) -> Result<()> {
        self.due = None;
        self.turns.count(1);
        // A decoded path takes memory beyond the bytes that were leased.
        if !self.seat.fit(self.http.buffered() + self.kept()) {
            return Err(Error::Full);
        }
        self.seat.server.shared.counts.requests.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// How the read of a head, or of a body that is being discarded, has ended: the error that the client is told of, or
    /// `None` if bytes arrived or the connection ends without a word.
    fn missed_head(&mut self, read: Read) -> Option<Error> {
        match (read, self.http.state().receiving) {
            (Read::Some, _) => None,
            (Read::Failed(error), _) => {
                // No response can reach the client.
                self.end(End::Cut);
                Some(error.into())
            }
            (Read::Due, Receiving::Head) if self.seat.server.stage() < Stage::Cut => {
                Some(self.late(Phase::Head))
            }
            (Read::Due, _) => {
                self.end(End::Clean);
                None
            }
        }
    }

    /// Takes a permit to hold the request, and has the kernel watch the peer from now on; false if no permit is free.
    pub(crate) fn hold(&mut self) -> bool {
        let to = if self.http.state().sending == Sending::Owed { Watch::Asks } else { Watch::Listens };
        let held = self.seat.hold();
        if held {
            self.io.watch(&mut self.watch, to, self.seat.server.limits());
        }
        held
    }

    /// The request's memory is given back, and counts no more.
    pub(crate) fn forget_request(&mut self) {
        self.end_request();
        self.settle();
    }

    fn end_request(&mut self) {
        if let Some(request) = self.request.take() {
            request.end();
        }
    }

    pub(crate) fn request_mut(&mut self) -> &mut Request {
        self.request.get_or_insert_with(Request::new)
    }

    /// Adds the handler's header fields for whichever response it is.
    pub(crate) fn add_headers(&self, response: &mut Response) {
        if let Some(request) = &self.request {
            response.headers.append(&request.headers);
        }
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
        let mut text = f.debug_struct("Conn");
        text.field("state", &self.http.state()).field("ending", &self.ending).finish_non_exhaustive()
    }
}
