//! [`Conn`]: the state machine, a stream, and its deadlines. It moves bytes and decides nothing about them.

pub(crate) mod body_writer;
pub(crate) mod end;
pub(crate) mod exchange;
pub(crate) mod patience;
mod read;
mod request;
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
use crate::error::{Error, Phase, Result};
use crate::limits::Limits;
use crate::proto::head::Head;
use crate::proto::http1::{Http1, Receiving, Sending, Turn};
use crate::proto::response::Response;
use crate::server::clock::Moment;
use crate::server::permit::Standing;
use crate::server::seat::Seat;
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
    /// Whether the peer's next bytes may be there already: they are to be tried for before they are waited for.
    pub(crate) eager: bool,
    pub(crate) http: Http1,
    /// By when the peer must have sent what the state machine waits for; none until somebody waits.
    due: Option<Moment>,
    /// What that is the deadline of. (Beside it, since a pair of both takes 8 bytes more.)
    due_for: Receiving,
    ending: Ending,
    pub(crate) turns: Turns,
    watch: Watch,
    pub(crate) seat: Seat,
    pub(crate) out: WriteBuffer,
    /// The request that is being answered, until its memory is given back.
    pub(crate) request: Option<Box<Request>>,
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
        if answered && !self.eager {
            // A busy client's next request comes while the others have their turn, and is then read without the
            // reactor: 4.8 instead of 6.6 µs per request of 64 busy clients.
            self.eager = true;
            future::yield_now().await;
        }
        let read = poll_fn(|cx| self.poll_head(cx)).await;
        if !self.is_ending() {
            return Ok(Some(Exchange { conn: self }));
        }
        Box::pin(self.close_behind(read)).await.map(|()| None)
    }

    /// Closes, and hands the reason back.
    async fn close_behind(&mut self, read: core::result::Result<(), Box<Error>>) -> Result<()> {
        self.close().await;
        read.map_err(|error| *error)
    }

    /// Reads until the next head is there, or the connection ends. Whatever is wrong with it is put down for the peer.
    /// (The error is boxed, since an idle connection takes the memory of all that waits here.)
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<core::result::Result<(), Box<Error>>> {
        while !self.is_ending() {
            // A peer that keeps its socket full must not keep the thread: two of them held up a third for
            // seconds. (Before the head is taken: whoever drops this must not lose one.)
            ready!(self.turns.poll_give_way(cx));
            let failed = match self.http.head(self.seat.server.limits()) {
                Ok(Turn::Head(head)) => match self.begin(head) {
                    Ok(()) => return Poll::Ready(Ok(())),
                    Err(error) => Some(error),
                },
                Ok(Turn::End) => {
                    self.end(End::Clean);
                    None
                }
                Ok(Turn::NeedMore) => {
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

    /// Brings the last exchange to its end, whatever state it was left in, as far as that can be done without a wait;
    /// whether a busy client's next request may follow at once.
    fn end_exchange(&mut self) -> bool {
        match self.seat.standing() {
            Standing::Served | Standing::Held => {}
            Standing::Refused => self.end(End::Told(&Error::Full)),
            Standing::Dropped => self.end(End::Cut),
        }
        // Behind a held one the reactor watches the stream already: trying to read first would be in vain.
        let held = self.seat.standing() == Standing::Held;
        self.seat.release();
        match self.http.state().sending {
            Sending::Idle => return false,
            Sending::Owed => self.end(End::Told(&Error::Misuse("the request was not answered"))),
            // Without its end the peer sees that the stream is not whole.
            Sending::Streaming => self.end(End::Clean),
            Sending::Sent | Sending::Over => self.request = None,
        }
        !held && !self.is_ending()
    }

    /// Begins an exchange.
    fn begin(&mut self, head: Head) -> Result<()> {
        self.due = None;
        self.turns.take(1);
        // A decoded path stands beside the bytes that were leased.
        if !self.seat.fit(self.http.buffered() + head.len()) {
            return Err(Error::Full);
        }
        self.request = Some(Box::new(Request { head, ..Request::default() }));
        self.seat.server.shared.counts.requests.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What the peer is told when no more came of a head, or of a body that nobody wants; else the connection may have
    /// ended in silence.
    fn missed_head(&mut self, read: Read) -> Option<Error> {
        match (read, self.http.state().receiving) {
            (Read::Some, _) => None,
            (Read::Failed(error), _) => {
                // There is nobody to tell it to.
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

    /// Takes a place among the held requests, and has the kernel watch the peer while it is kept; false if there is none.
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
        self.request = None;
        self.settle();
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
