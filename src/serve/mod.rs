//! [`Server::serve`]: accepts and serves connections on one thread.

mod back_off;
mod call;

use core::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use async_executor::LocalExecutor;
use async_io::Async;
use futures_lite::{FutureExt, future};

use self::back_off::BackOff;
use self::call::Call;
use crate::conn::Conn;
use crate::conn::exchange::Exchange;
use crate::conn::stream::Stream;
use crate::conn::tcp;
use crate::conn::turns::TURNS;
use crate::error::Result;
use crate::server::clock::Moment;
use crate::server::permit::Standing;
use crate::server::{Server, Stage};

impl Server {
    /// Serves the clients of `listener` on this thread until [`shutdown`](Server::shutdown): accepts them, keeps their
    /// deadlines, and calls `handler` for each request. If the handler returns an error before its response has begun, the
    /// response is the status of that error. If the handler panics, its connection ends, with a 500 if its response has not
    /// begun; other connections go on.
    ///
    /// No more clients are served than [`Limits::connections`](crate::Limits::connections) and
    /// [`Limits::per_ip`](crate::Limits::per_ip) allow: the others are refused with a 503. After an accept that fails, the
    /// next one waits for 10 ms, and after each further failure twice as long, up to 1 s. On Linux, a client that vanishes
    /// while its request is held is noticed within [`Limits::ping`](crate::Limits::ping) and
    /// [`Limits::write_time`](crate::Limits::write_time) together.
    ///
    /// # Errors
    ///
    /// None at present: an error of one connection ends that connection alone.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, all its connections are dropped with it.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidings::{Exchange, Limits, Response, Server};
    ///
    /// # smol::block_on(async {
    /// let server = Server::new(Limits::DEFAULT);
    /// let listener = smol::Async::<std::net::TcpListener>::bind(([127, 0, 0, 1], 0))?;
    /// let hello = async |ex: Exchange<'_>| ex.reply(Response::text("hello")).await;
    /// # let serve = async {
    /// server.serve(listener, &hello).await
    /// # }; smol::future::or(serve, async { Ok(()) }).await
    /// # }).unwrap();
    /// ```
    pub async fn serve(
        &self,
        listener: Async<TcpListener>,
        handler: &impl AsyncFn(Exchange<'_>) -> Result<()>,
    ) -> io::Result<()> {
        let executor = Rc::new(LocalExecutor::new());
        let accepting = accept(self, listener, handler, Rc::downgrade(&executor));
        // Boxed, so that both tasks are of one type: each type of task takes 4 KiB of code.
        executor.spawn(self.tick().boxed_local()).detach();
        let over = async {
            accepting.await;
            // Connections that are left when the server cuts all off are dropped with the executor.
            self.emptied(Stage::Cut).await;
        };
        // The accept loop is a task of its own: the future beside `drive` is polled whenever any task is woken, and to poll
        // the loop itself so often would cost an accept4 and an epoll_ctl per request.
        executor.spawn(over.boxed_local()).or(drive(&executor)).await;
        Ok(())
    }
}

/// Runs the executor's tasks, as [`LocalExecutor::run`] does, but without a local queue for 512 tasks: the queue takes 8 KiB,
/// and is of use only to threads that share their tasks.
async fn drive(executor: &LocalExecutor<'_>) {
    loop {
        for _ in 0..200 {
            executor.tick().await;
        }
        future::yield_now().await;
    }
}

/// Accepts clients until the server shuts down.
async fn accept<'a>(
    server: &'a Server,
    listener: Async<TcpListener>,
    handler: &'a impl AsyncFn(Exchange<'_>) -> Result<()>,
    executor: Weak<LocalExecutor<'a>>,
) {
    tcp::prepare(listener.get_ref());
    let (entry, mut back_off) = (server.shared.deadlines.entry(), BackOff::default());
    let (mut waits, mut turns) = (false, 0);
    loop {
        let accepted = poll_fn(|cx| {
            // A deadline that has passed would wake this task again and again.
            let until = back_off.until.filter(|until| server.shared.deadlines.now() < *until);
            entry.arm(cx, until.unwrap_or(Moment::NEVER));
            // Look at the stage after arming: a shutdown between the two would wake nobody.
            if server.stage() > Stage::Running {
                return Poll::Ready(None);
            }
            match until {
                Some(_) => Poll::Pending,
                None => poll_accept(&listener, &mut waits, cx).map(Some),
            }
        });
        match accepted.await {
            None => return,
            Some(Ok((stream, client))) => {
                back_off = BackOff::default();
                if let Some(conn) = seat_client(server, stream, client) {
                    // Not kept for longer: an executor that one of its own tasks keeps is never dropped.
                    let Some(executor) = executor.upgrade() else { return };
                    executor.spawn(converse(conn, handler)).detach();
                }
                // Now and then the connections that were accepted go first. Not after each accept: while many of them are
                // busy, the backlog would overflow, and a client that finds it full tries again after a second.
                turns = (turns + 1) % TURNS;
                if turns == 0 {
                    future::yield_now().await;
                }
            }
            Some(Err(_)) => back_off.begin_pause(server.shared.deadlines.now()),
        }
    }
}

/// The connection of a client that was accepted; `None` if it is to be closed without a response.
fn seat_client(server: &Server, stream: Async<TcpStream>, client: SocketAddr) -> Option<Conn> {
    let seat = server.seat(Some(client.ip()));
    if seat.standing() == Standing::Dropped {
        return None;
    }
    let mut conn = Conn::seated(Stream::Tcp(stream), seat);
    // Mostly the first request has arrived by the time of the accept.
    conn.eager = true;
    Some(conn)
}

/// Accepts one client. `waits` is whether the last try found none: then the next waits until the listener is readable.
fn poll_accept(
    listener: &Async<TcpListener>,
    waits: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(Async<TcpStream>, SocketAddr)>> {
    loop {
        if *waits {
            ready!(listener.poll_readable(cx))?;
            *waits = false;
        }
        match tcp::accept(listener.get_ref()) {
            Ok((stream, client)) => {
                return Poll::Ready(Async::new_nonblocking(stream).map(|stream| (stream, client)));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => *waits = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

/// Answers the requests of one connection until there are no more.
#[expect(clippy::manual_async_fn, reason = "the future of an async fn would hold the connection twice")]
fn converse(mut conn: Conn, handler: &impl AsyncFn(Exchange<'_>) -> Result<()>) -> impl Future<Output = ()> {
    async move {
        loop {
            let call = match conn.next().await {
                Ok(Some(exchange)) => Call::new(|| handler(exchange)),
                Ok(None) | Err(_) => return,
            };
            // The error is boxed together with the future that answers it: else each idle connection would have room for both.
            if let Some(refusal) = call.await.err().map(|error| Box::pin(conn.fail_with(error))) {
                refusal.await;
                return;
            }
        }
    }
}
