//! [`Server::serve`]: the accept loop for one thread. A cap on connections, a back-off, and panics caught.

use std::io;
use std::net::TcpListener;
use std::panic::AssertUnwindSafe;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use futures_lite::{FutureExt, future};

use crate::conn::Conn;
use crate::error::{Error, Result};
use crate::exchange::Exchange;
use crate::moment::Moment;
use crate::seat::Standing;
use crate::server::{Server, Stage};
use crate::stream::Stream;

/// The first pause after a failed accept, and the longest: with no descriptor left, trying again at once would
/// spin.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

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
        let accepting = executor.spawn(accept(self, listener, handler, Rc::downgrade(&executor)));
        executor.spawn(self.tick()).detach();
        // `run` polls what it is given at every wake of any task, so give it task handles, which are cheap to
        // poll: the accept loop itself would cost an accept4 and an epoll_ctl per request.
        let over = executor.spawn(async {
            accepting.await;
            // Whoever is still there when all is cut goes with the executor.
            future::or(self.drained(), self.reached(Stage::Cut)).await;
        });
        executor.run(over).await;
        Ok(())
    }
}

/// Accepts until the server shuts down.
async fn accept<'a>(
    server: &'a Server,
    listener: Async<TcpListener>,
    handler: &'a impl AsyncFn(Exchange<'_>) -> Result<()>,
    executor: Weak<LocalExecutor<'a>>,
) {
    let (mut pause, shutdown) = (BACK_OFF.0, server.reached(Stage::Draining));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = future::or(async { Some(listener.accept().await) }, async {
            shutdown.as_mut().await;
            None
        });
        match accepted.await {
            None => return,
            Some(Ok((stream, peer))) => {
                pause = BACK_OFF.0;
                let seat = server.seat(Some(peer.ip()));
                let Some(executor) = executor.upgrade() else { return };
                if seat.standing != Standing::Dropped {
                    executor.spawn(converse(Conn::seated(Stream::tcp(stream), seat), handler)).detach();
                }
            }
            Some(Err(_)) => {
                Timer::after(pause).await;
                pause = (pause * 2).min(BACK_OFF.1);
            }
        }
    }
}

/// Answers one connection's requests until there are no more.
#[expect(clippy::manual_async_fn, reason = "an async fn would hold the connection twice")]
fn converse(mut conn: Conn, handler: &impl AsyncFn(Exchange<'_>) -> Result<()>) -> impl Future<Output = ()> {
    async move {
        loop {
            // Boxed, so that a connection between two requests does not take the room of the largest handler.
            let answer = match conn.next().await {
                Ok(Some(exchange)) => AssertUnwindSafe(Box::pin(handler(exchange))),
                Ok(None) | Err(_) => return,
            };
            let answered = answer.catch_unwind().await;
            if let Err(error) = answered.unwrap_or_else(|_| Err(Error::other("the handler panicked"))) {
                Box::pin(conn.refuse(error)).await;
                return;
            }
        }
    }
}

impl Server {
    /// Waits until the shutdown has come so far.
    async fn reached(&self, stage: Stage) {
        let key = Key { server: self, key: self.shared.sweep.enter() };
        std::future::poll_fn(|cx| {
            self.shared.sweep.arm(key.key, Moment::NEVER, cx.waker());
            if self.stage() >= stage { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// An entry in the sweep that is given back when dropped.
struct Key<'s> {
    server: &'s Server,
    key: usize,
}

impl Drop for Key<'_> {
    fn drop(&mut self) {
        self.server.shared.sweep.leave(self.key);
    }
}
