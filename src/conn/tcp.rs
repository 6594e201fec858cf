//! TCP with fewer system calls, where the operating system has them. (A connect, GET and close of 64 clients costs an eighth
//! less with these, see `PERFORMANCE.md`.)

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

pub(crate) use self::system::{accept, prepare, write_last};

#[cfg(target_os = "linux")]
mod system {
    use rustix::net::{SendFlags, SocketFlags, acceptfrom_with, send, sockopt};

    use super::{SocketAddr, TcpListener, TcpStream, io};

    /// What all accepted streams inherit: without `TCP_NODELAY` a small event waits for the acknowledgement of the one
    /// before.
    pub(crate) fn prepare(listener: &TcpListener) {
        // If it fails, it is slower.
        let _ = sockopt::set_tcp_nodelay(listener, true);
    }

    /// Accepts a stream that does not block, in one call.
    pub(crate) fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        let peer = peer.and_then(|peer| peer.try_into().ok()).ok_or(io::ErrorKind::NotConnected)?;
        Ok((stream.into(), peer))
    }

    /// Writes what the end of the stream follows at once: both go out as one segment.
    pub(crate) fn write_last(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(stream, bytes, SendFlags::MORE | SendFlags::NOSIGNAL)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io::Write;

    use super::{SocketAddr, TcpListener, TcpStream, io};

    pub(crate) fn prepare(_: &TcpListener) {}

    pub(crate) fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = listener.accept()?;
        stream.set_nonblocking(true)?;
        // If it fails, it is slower.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }

    pub(crate) fn write_last(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        stream.write(bytes)
    }
}
