//! A pipe in memory with two ends, which a test can cut into short reads, fill up, half-close and break.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use smol::io::{AsyncRead, AsyncWrite};

/// So many writes in a row find no room only if a task does not wait. Nothing else would end such a test.
const SPINS: usize = 100_000;

/// One end of a pipe.
pub struct End {
    read: Arc<Mutex<Half>>,
    write: Arc<Mutex<Half>>,
}

/// One direction.
struct Half {
    bytes: VecDeque<u8>,
    /// How many bytes fit in before a write waits.
    capacity: usize,
    /// How many bytes a read gets at most.
    grain: usize,
    /// How many writes there were.
    writes: usize,
    /// How many writes found no room since the last read.
    in_vain: usize,
    closed: bool,
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// A client's end and a server's end.
pub fn pipe() -> (End, End) {
    let half = || {
        Arc::new(Mutex::new(Half {
            bytes: VecDeque::new(),
            capacity: 1 << 20,
            grain: usize::MAX,
            writes: 0,
            in_vain: 0,
            closed: false,
            broken: false,
            reader: None,
            writer: None,
        }))
    };
    let (up, down) = (half(), half());
    (End { read: down.clone(), write: up.clone() }, End { read: up, write: down })
}

impl End {
    /// The other end reads at most this many bytes at once.
    pub fn grain(&self, grain: usize) {
        lock(&self.write).grain = grain;
    }

    /// The other end can write this much before it has to wait for us.
    pub fn capacity(&self, capacity: usize) {
        lock(&self.read).capacity = capacity;
    }

    /// How many writes the other end has made.
    pub fn writes(&self) -> usize {
        lock(&self.read).writes
    }

    /// Whether the other end has bytes of ours to read.
    pub fn unread(&self) -> bool {
        !lock(&self.write).bytes.is_empty()
    }

    /// Breaks the pipe: reading and writing fail at the other end.
    pub fn reset(&self) {
        for half in [&self.read, &self.write] {
            let mut half = lock(half);
            half.broken = true;
            half.wake();
        }
    }

    /// What has come and was not read.
    pub fn pending(&self) -> usize {
        lock(&self.read).bytes.len()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        for half in [&self.read, &self.write] {
            let mut half = lock(half);
            half.closed = true;
            half.wake();
        }
        let mut read = lock(&self.read);
        read.broken = true;
        read.wake();
    }
}

impl Half {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

fn lock(half: &Mutex<Half>) -> MutexGuard<'_, Half> {
    half.lock().unwrap()
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut half = lock(&self.read);
        if half.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if half.bytes.is_empty() && !half.closed {
            half.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = buf.len().min(half.bytes.len()).min(half.grain);
        for (place, byte) in buf.iter_mut().zip(half.bytes.drain(..len)) {
            *place = byte;
        }
        half.in_vain = 0;
        half.writer.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut half = lock(&self.write);
        if half.broken || half.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let len = buf.len().min(half.capacity.saturating_sub(half.bytes.len()));
        if len == 0 {
            half.in_vain += 1;
            half.writer = Some(cx.waker().clone());
            let in_vain = half.in_vain;
            drop(half);
            assert!(in_vain < SPINS, "a task writes again and again without a wait");
            return Poll::Pending;
        }
        half.bytes.extend(&buf[..len]);
        half.writes += 1;
        half.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut half = lock(&self.write);
        half.closed = true;
        half.wake();
        Poll::Ready(Ok(()))
    }
}
