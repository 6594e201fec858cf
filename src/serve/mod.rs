//! [`Server::serve`]: the accept loop for one thread. A cap on connections, a back-off, and panics caught.

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
use crate::conn::write::TURNS;
use crate::error::Result;
use crate::server::clock::Moment;
use crate::server::seat::Standing;
use crate::server::{Server, Stage};

impl Server {
    /// Serves what comes to `listener` on this thread, until [`shutdown`](Server::shutdown): accepts, keeps the
    /// deadlines, and calls `handler` for each request. An error that the handler returns is told to the peer if
    /// no answer was begun, and a panic in it ends its connection only, with a 500.
    ///
    /// [`Limits::connections`](crate::Limits::connections) and [`Limits::per_ip`](crate::Limits::per_ip) hold
    /// here; an accept that fails is tried again after a pause.
    ///
    /// # Errors
    ///
    /// None at present: what goes wrong with one connection ends that connection.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops all its connections.
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
        // Boxed as one type: each other type of task takes 4 KiB of code.
        executor.spawn(self.tick().boxed_local()).detach();
        // What `drive` runs beside is polled at every wake of any task, so give it a task's handle, which is cheap to
        // poll: the accept loop itself would cost an accept4 and an epoll_ctl per request.
        let over = async {
            accepting.await;
            // Whoever is still there when all is cut goes with the executor.
            self.emptied(Stage::Cut).await;
        };
        executor.spawn(over.boxed_local()).or(drive(&executor)).await;
        Ok(())
    }
}

/// Runs what is spawned: [`LocalExecutor::run`] without its queue for 512 tasks, 8 KiB, which only threads need that
/// share their tasks.
async fn drive(executor: &LocalExecutor<'_>) {
    loop {
        for _ in 0..200 {
            executor.tick().await;
        }
        future::yield_now().await;
    }
}

/// Accepts until the server shuts down.
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
            // What is past is not armed: it would wake us at once, again and again.
            let until = back_off.until.filter(|until| server.shared.deadlines.now() < *until);
            entry.arm(cx, until.unwrap_or(Moment::NEVER));
            // Look behind that: a shutdown between the two would wake nobody.
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
            Some(Ok((stream, peer))) => {
                back_off = BackOff::default();
                let mut seat = server.seat(Some(peer.ip()));
                // Mostly its first request came with it.
                seat.eager = true;
                if seat.standing != Standing::Dropped {
                    // Not kept for longer: an executor that one of its own tasks keeps is never dropped.
                    let Some(executor) = executor.upgrade() else { return };
                    executor.spawn(converse(Conn::seated(Stream::Tcp(stream), seat), handler)).detach();
                }
                // Now and then those that were accepted go first. Not after each: while many are busy, the backlog
                // would overflow, and who finds it full tries again after a second.
                turns = (turns + 1) % TURNS;
                if turns == 0 {
                    future::yield_now().await;
                }
            }
            Some(Err(_)) => back_off.begin(server.shared.deadlines.now()),
        }
    }
}

/// Accepts. `waits` is whether there was nothing at the last try: then one before the listener is readable is in vain.
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
            Ok((stream, peer)) => {
                return Poll::Ready(Async::new_nonblocking(stream).map(|stream| (stream, peer)));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => *waits = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

/// Answers one connection's requests until there are no more.
#[expect(clippy::manual_async_fn, reason = "an async fn would hold the connection twice")]
fn converse(mut conn: Conn, handler: &impl AsyncFn(Exchange<'_>) -> Result<()>) -> impl Future<Output = ()> {
    async move {
        loop {
            let call = match conn.next().await {
                Ok(Some(exchange)) => Call::new(|| handler(exchange)),
                Ok(None) | Err(_) => return,
            };
            if let Err(error) = call.await {
                Box::pin(conn.refuse(error)).await;
                return;
            }
        }
    }
}
