//! [`Version`]: HTTP/1.0 or HTTP/1.1.

/// The HTTP version of a request (RFC 9112, 2.3).
///
/// # Examples
///
/// ```
/// # use tidings::{Conn, Limits, Server, Version};
/// # smol::block_on(async {
/// # let server = Server::new(Limits::DEFAULT);
/// # let io = smol::io::AssertAsync::new(std::io::Cursor::new(
/// #     b"GET / HTTP/1.0\r\n\r\n".to_vec()));
/// # let mut conn = Conn::new(io, &server);
/// # let ex = conn.next().await?.expect("a request");
/// let framing = match ex.head().version() {
///     Version::Http10 => "until the close",
///     _ => "in chunks",
/// };
/// assert_eq!(framing, "until the close");
/// # tidings::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Version {
    /// HTTP/1.0: it has no chunked bodies, and the connection closes after the response unless the client asks for
    /// `keep-alive`.
    Http10,
    /// HTTP/1.1, and any later 1.x.
    Http11,
}
