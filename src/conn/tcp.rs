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

    /// The shortest time that a peer is given to acknowledge: what is lost is sent again after 200 ms at the earliest.
    const SHORTEST: Duration = Duration::from_secs(1);

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

    /// Has the kernel ask a peer that has said nothing for `ping` whether it is there, several times within `write_time`.
    /// (A second later than that, so that a heartbeat comes first, and no question is asked.)
    pub(crate) fn probe(stream: &TcpStream, ping: Duration, write_time: Duration) {
        let seconds = |time: Duration| Duration::from_secs(time.as_secs().clamp(1, LONGEST));
        // If it fails, a peer that has vanished keeps its place for longer.
        let _ = sockopt::set_tcp_keepidle(stream, seconds(ping.saturating_add(SHORTEST)));
        let _ = sockopt::set_tcp_keepintvl(stream, seconds(write_time / 4));
        let _ = sockopt::set_socket_keepalive(stream, true);
    }

    /// Has the kernel give a connection up whose peer has acknowledged nothing for so long: of what was sent to it, or of
    /// what [`probe`] asks.
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
        // If it fails, it is slower.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }

    pub(crate) fn write_last(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        stream.write(bytes)
    }

    /// std can't ask for it: a peer that has vanished is noticed when the system's own patience ends.
    pub(crate) fn probe(_: &TcpStream, _: Duration, _: Duration) {}

    pub(crate) fn set_user_timeout(_: &TcpStream, _: Duration) {}
}
