//! TCP with fewer system calls, where the operating system has them. (A connect, GET and close of 64 clients costs an eighth
//! less with these, see `PERFORMANCE.md`.)

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

pub(crate) use self::system::{accept, prepare, probe, set_user_timeout, write_last};

#[cfg(target_os = "linux")]
mod system {
    use rustix::net::{SendFlags, SocketFlags, acceptfrom_with, send, sockopt};

    use super::{Duration, SocketAddr, TcpListener, TcpStream, io};

    /// The longest `TCP_KEEPIDLE` and `TCP_KEEPINTVL`, in seconds.
    const LONGEST: u64 = 32_767;

    /// The shortest time within which a peer must acknowledge: a lost segment is sent again after 200 ms at the earliest.
    const SHORTEST: Duration = Duration::from_secs(1);

    /// Sets `TCP_NODELAY`, which all accepted streams inherit: without it a small event waits until the one before is
    /// acknowledged.
    pub(crate) fn prepare(listener: &TcpListener) {
        // If this fails, events are slower.
        let _ = sockopt::set_tcp_nodelay(listener, true);
    }

    /// Accepts a stream that does not block, in one call.
    pub(crate) fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        let peer = peer.and_then(|peer| peer.try_into().ok()).ok_or(io::ErrorKind::NotConnected)?;
        Ok((stream.into(), peer))
    }

    /// Writes the last bytes of a stream, so that they go out in one segment with its end.
    pub(crate) fn write_last(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(stream, bytes, SendFlags::MORE | SendFlags::NOSIGNAL)?)
    }

    /// Has the kernel ask a peer that was silent for `ping` whether it is there, several times within `write_time`. (It first
    /// asks a second later, so that a heartbeat comes first, which makes the question needless.)
    pub(crate) fn probe(stream: &TcpStream, ping: Duration, write_time: Duration) {
        let seconds = |time: Duration| Duration::from_secs(time.as_secs().clamp(1, LONGEST));
        // If this fails, the request of a peer that has vanished is held for longer.
        let _ = sockopt::set_tcp_keepidle(stream, seconds(ping.saturating_add(SHORTEST)));
        let _ = sockopt::set_tcp_keepintvl(stream, seconds(write_time / 4));
        let _ = sockopt::set_socket_keepalive(stream, true);
    }

    /// Has the kernel give a connection up if its peer does not acknowledge within `time` the bytes that were sent, or the
    /// questions of [`probe`].
    pub(crate) fn set_user_timeout(stream: &TcpStream, time: Duration) {
        let millis = time.max(SHORTEST).as_millis().min(i32::MAX as u128) as u32;
        let _ = sockopt::set_tcp_user_timeout(stream, millis);
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io::Write;

    use super::{Duration, SocketAddr, TcpListener, TcpStream, io};

    pub(crate) fn prepare(_: &TcpListener) {}

    pub(crate) fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = listener.accept()?;
        stream.set_nonblocking(true)?;
        // If this fails, events are slower.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }

    pub(crate) fn write_last(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        stream.write(bytes)
    }

    /// std has no call for this: when a peer that has vanished is noticed is for the operating system to decide.
    pub(crate) fn probe(_: &TcpStream, _: Duration, _: Duration) {}

    pub(crate) fn set_user_timeout(_: &TcpStream, _: Duration) {}
}
