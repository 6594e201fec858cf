//! What makes half a request whole: the tails of some whole ones.

/// Requests, each of which is accepted. What is tried first stands first.
const REQUESTS: &[&[u8]] = &[
    b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    // A name, a value and an empty line, where `Host` has come and where it has not.
    b"GET http://h:80/%41 HTTP/1.1\r\nAccept: x\r\nHost: h:80\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: %41\r\n\r\n",
    // An address that ends in a double colon, and one that ends in four numbers.
    b"GET http://[1::]/ HTTP/1.1\r\nHost: [1::]\r\n\r\n",
    b"GET http://[1:2:3:4:5:6:1.0.0.0]/ HTTP/1.1\r\nHost: [1:2:3:4:5:6:1.0.0.0]\r\n\r\n",
    // Values of which we know what they may be, before and behind `Host`.
    b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: 0\r\nExpect: 100-continue\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
];

/// All tails of them.
pub fn tails() -> impl Iterator<Item = &'static [u8]> {
    REQUESTS.iter().flat_map(|request| (0..request.len()).map(|start| &request[start..]))
}

/// The tails, and what makes half a body whole: the end of a line, data, and the last chunk.
pub fn rests() -> impl Iterator<Item = Vec<u8>> {
    let line_ends = ["", "\n", "\r\n", "a\r\n", "a\"\r\n", ";a\r\n"].into_iter();
    let sizes = (0..=16).chain([65_535, 65_536]);
    let bodies = sizes.flat_map(move |size| {
        line_ends.clone().map(move |end| [end, &"a".repeat(size), "\r\n0\r\n\r\n"].concat().into_bytes())
    });
    tails().map(<[u8]>::to_vec).chain(bodies)
}

/// Whether this ends in a `Transfer-Encoding` with a coding that we do not know. What it is refused with hangs on the
/// last coding of the list, so it is refused at the end of its line: "A server that receives a request message with a
/// transfer coding it does not understand SHOULD respond with 501" (RFC 9112, 6.1), but if "the chunked transfer coding
/// is not the final encoding [...] the server MUST respond with the 400" (6.3).
pub fn ends_in_unknown_coding(bytes: &[u8]) -> bool {
    let line = bytes.rsplit(|b| *b == b'\n').next().unwrap_or_default().to_ascii_lowercase();
    let Some(value) = line.strip_prefix(b"transfer-encoding:") else { return false };
    let known = b"chunked".starts_with(value.trim_ascii_start()) || value.trim_ascii() == b"chunked";
    !known && !value.ends_with(b"\r")
}
