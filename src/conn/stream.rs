//! [`Stream`]: the stream of bytes under a connection: a TCP stream that `serve` accepted, or a stream of the embedder's.

use core::cell::RefCell;
use core::pin::Pin;
use std::io::ErrorKind::{Interrupted, WouldBlock};
use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpStream};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_io::Async;
use futures_lite::io::{AsyncRead, AsyncWrite};

use crate::conn::tcp;
use crate::limits::Limits;
use crate::proto::input::READ;

/// The stream of bytes under a connection: TCP, a Unix socket, TLS, a pipe in memory. Every type that is `AsyncRead`,
/// `AsyncWrite`, `Unpin` and `Send` implements it.
///
/// `poll_close` should close the writing half and leave the reading half open, as `smol::net::TcpStream` does, so that
/// the last response reaches a client that still sends. (`smol::Async<TcpStream>` only flushes there: such a client
/// sees the end of the response when the connection is dropped, [`Limits::linger`](crate::Limits::linger) later.)
///
/// A client that vanishes without a word, such as a phone that leaves the WLAN, is noticed by the operating system alone, by
/// default after a quarter of an hour. So long its request counts among the [held](crate::Limits::held) ones. For the streams
/// that [`Server::serve`](crate::Server::serve) accepts, Linux notices it within `ping` and `write_time` together. On a TCP
/// socket of your own, set `TCP_USER_TIMEOUT` and `SO_KEEPALIVE` (with `TCP_KEEPIDLE` and `TCP_KEEPINTVL`).
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

thread_local! {
    /// The read buffer of all connections of this thread. Bytes that are not used at once are copied to the connection's own
    /// buffer, so a connection that waits for its client owns none. The read buffer grows up to [`READ`] bytes when a read
    /// fills it: a server of small requests takes 14 KiB less.
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The size that the read buffer begins with, in bytes.
const FIRST_READ: usize = 2 * 1024;

/// How the kernel watches the peer of a held request, so that it notices when the peer has vanished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Watch {
    /// The kernel does not watch the peer.
    #[default]
    Not,
    /// The kernel asks the peer whether it is there, since nothing is written while the request is held.
    Asks,
    /// The kernel looks whether the peer acknowledges the heartbeats that are written.
    Listens,
}

/// The stream of bytes under a connection, in two words.
pub(crate) enum Stream {
    /// A TCP stream that `serve` accepted. It waits until it is readable before it reads: to read first costs a failed call
    /// per request, and registers the socket anew each time that a publish wakes the task.
    Tcp(Async<TcpStream>),
    /// A stream of the embedder's. Boxed twice, since the outer pointer fits beside the other variant.
    Foreign(Box<Box<dyn Io>>),
}

impl Stream {
    pub(crate) fn foreign(io: impl Io + 'static) -> Stream {
        Stream::Foreign(Box::new(Box::new(io)))
    }

    /// Has the kernel watch the peer as `to` says, so that it notices within [`Limits::ping`] and [`Limits::write_time`]
    /// together when the peer has vanished. `watch` is how the kernel watches it now.
    pub(crate) fn watch(&self, watch: &mut Watch, to: Watch, limits: &Limits) {
        if *watch == to {
            return;
        }
        // Without heartbeats the kernel alone can notice it.
        let (to, ping) = match limits.ping.is_zero() {
            true => (Watch::Asks, Limits::DEFAULT.ping),
            false => (to, limits.ping),
        };
        let (Stream::Tcp(stream), true) = (self, *watch != to) else { return };
        if *watch == Watch::Not {
            tcp::probe(stream.get_ref(), ping, limits.write_time);
        }
        // While the kernel asks, its first question comes after `ping`: without that time it would give up at the first
        // question that is lost.
        let asked = if to == Watch::Asks { ping } else { Duration::ZERO };
        tcp::set_user_timeout(stream.get_ref(), limits.write_time.saturating_add(asked));
        *watch = to;
    }

    /// Waits until bytes may have arrived, as far as that can be known without reading; `eager` is then set.
    pub(crate) fn poll_arrival(&self, cx: &mut Context<'_>, eager: &mut bool) -> Poll<()> {
        match self {
            Stream::Tcp(stream) if !*eager => {
                // An error is one of the read that follows.
                _ = ready!(stream.poll_readable(cx));
                *eager = true;
                Poll::Ready(())
            }
            Stream::Tcp(_) | Stream::Foreign(_) => Poll::Ready(()),
        }
    }

    /// Reads. `eager` is whether there may be bytes already, so that reading comes before waiting.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        eager: &mut bool,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => poll_read_tcp(stream, cx, eager, buf),
            Stream::Foreign(io) => Pin::new(io).poll_read(cx, buf),
        }
    }

    /// Reads up to `most` bytes into the thread's read buffer, and passes them to `take`.
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        eager: &mut bool,
        most: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        let read = |buffer: &mut [u8]| {
            let most = most.min(buffer.len());
            let read = ready!(self.poll_read(cx, eager, &mut buffer[..most]));
            Poll::Ready(read.inspect(|n| take(&buffer[..*n])))
        };
        READ_BUFFER.with(|buffer| match buffer.try_borrow_mut() {
            Ok(mut buffer) => {
                if buffer.is_empty() {
                    buffer.resize(FIRST_READ, 0);
                }
                let read = read(&mut buffer);
                let size = buffer.len();
                if size < READ && matches!(read, Poll::Ready(Ok(n)) if n == size) {
                    buffer.resize(2 * size, 0);
                }
                read
            }
            // The buffer is in use if a stream's `poll_read` polls another connection on this thread.
            Err(_) => read(&mut [0; 512]),
        })
    }

    /// Writes as many bytes as the kernel takes at once. A stream that is not TCP takes none without a task that waits.
    pub(crate) fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) if !bytes.is_empty() => {
                match io::Write::write(&mut stream.get_ref(), bytes) {
                    Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => Ok(0),
                    written => written,
                }
            }
            Stream::Tcp(_) | Stream::Foreign(_) => Ok(0),
        }
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Foreign(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    /// Writes two parts, of which either may be empty. If they are the `last` bytes,
    /// [`poll_close`](Stream::poll_close) follows as soon as all of them are taken.
    pub(crate) fn poll_write_parts(
        &mut self,
        cx: &mut Context<'_>,
        parts: [IoSlice<'_>; 2],
        last: bool,
    ) -> Poll<io::Result<usize>> {
        match parts {
            [first, second] if second.is_empty() && last => self.poll_write_last(cx, &first),
            [first, second] if second.is_empty() => self.poll_write(cx, &first),
            [first, second] if first.is_empty() => self.poll_write(cx, &second),
            both => match self {
                Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, &both),
                Stream::Foreign(io) => Pin::new(io).poll_write_vectored(cx, &both),
            },
        }
    }

    /// Writes the last bytes of the stream, which its end follows at once.
    fn poll_write_last(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Stream::Tcp(stream) = self else { return self.poll_write(cx, bytes) };
        loop {
            match tcp::write_last(stream.get_ref(), bytes) {
                Err(error) if error.kind() == WouldBlock => ready!(stream.poll_writable(cx))?,
                Err(error) if error.kind() == Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(_) => Poll::Ready(Ok(())),
            Stream::Foreign(io) => Pin::new(io).poll_flush(cx),
        }
    }

    /// Closes the writing half, which `Async` itself would only flush. If the peer has `gone`, `serve` drops the connection
    /// next, which closes it with one system call less.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>, gone: bool) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(_) if gone => Poll::Ready(Ok(())),
            Stream::Tcp(stream) => Poll::Ready(stream.get_ref().shutdown(Shutdown::Write)),
            Stream::Foreign(io) => Pin::new(io).poll_close(cx),
        }
    }
}

fn poll_read_tcp(
    stream: &Async<TcpStream>,
    cx: &mut Context<'_>,
    eager: &mut bool,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    loop {
        if !*eager {
            ready!(stream.poll_readable(cx))?;
        }
        *eager = false;
        match io::Read::read(&mut stream.get_ref(), buf) {
            Err(error) if error.kind() == WouldBlock => {}
            Err(error) if error.kind() == Interrupted => *eager = true,
            read => {
                // A read that filled the buffer may have left more bytes.
                *eager = matches!(read, Ok(n) if n == buf.len());
                return Poll::Ready(read);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn it_is_as_large_as_a_socket() {
        assert_eq!(size_of::<Stream>(), size_of::<Async<TcpStream>>());
    }
}
