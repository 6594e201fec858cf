//! [`Peer`]: a client in memory that takes none of it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use smol::io::{AsyncRead, AsyncWrite};

/// A client that sends bytes which it shares with others, and then nothing more; and that takes as many bytes as there is
/// room for, and drops them.
pub struct Peer {
    input: Arc<[u8]>,
    /// How many bytes of the input it has sent.
    sent: usize,
    /// How many more bytes it takes. Whoever makes that more wakes nobody: it may only become less.
    room: Arc<AtomicUsize>,
}

impl Peer {
    pub fn new(input: &Arc<[u8]>, room: &Arc<AtomicUsize>) -> Peer {
        Peer { input: input.clone(), sent: 0, room: room.clone() }
    }
}

impl AsyncRead for Peer {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let rest = &self.input[self.sent..];
        let len = rest.len().min(buf.len());
        if len == 0 {
            return Poll::Pending;
        }
        buf[..len].copy_from_slice(&rest[..len]);
        self.sent += len;
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let len = buf.len().min(self.room.load(Ordering::Relaxed));
        if len == 0 {
            return Poll::Pending;
        }
        self.room.fetch_sub(len, Ordering::Relaxed);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
