//! [`Kind`]: what a header field is to a response: whether it may stand twice, and who writes it.

/// What a field is to a response.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A response has one at most: a second one replaces the first. It has a bit in a set of them.
    Singleton(u16),
    /// Its options are joined with those of the connection.
    Connection,
    /// The connection writes it.
    Ours,
    /// The WebSocket handshake writes it.
    Handshake,
    /// It may stand in several lines, as `Set-Cookie` and `Vary` do (RFC 9110, 5.3).
    Other,
}

/// What a field is to a response. Only names of its length are compared with its name.
pub(super) const fn kind(name: &[u8]) -> Kind {
    use Kind::{Connection, Handshake, Other, Ours, Singleton};
    let known: &[(&str, Kind)] = match name.len() {
        3 => &[("Age", Singleton(1))],
        4 => &[("ETag", Singleton(1 << 1)), ("Date", Ours)],
        6 => &[("Server", Singleton(1 << 2))],
        7 => &[("Expires", Singleton(1 << 3))],
        8 => &[("Location", Singleton(1 << 4))],
        10 => &[("Connection", Connection)],
        11 => &[("Retry-After", Singleton(1 << 5))],
        12 => &[("Content-Type", Singleton(1 << 6))],
        13 => &[("Content-Range", Singleton(1 << 7)), ("Last-Modified", Singleton(1 << 8))],
        14 => &[("Content-Length", Ours)],
        16 => &[("Content-Location", Singleton(1 << 9))],
        17 => &[("X-Accel-Buffering", Singleton(1 << 10)), ("Transfer-Encoding", Ours)],
        20 => &[("Sec-WebSocket-Accept", Handshake)],
        22 => &[("Access-Control-Max-Age", Singleton(1 << 11)), ("Sec-WebSocket-Protocol", Handshake)],
        24 => &[("Sec-WebSocket-Extensions", Handshake)],
        25 => &[("Strict-Transport-Security", Singleton(1 << 12))],
        27 => &[("Access-Control-Allow-Origin", Singleton(1 << 13))],
        32 => &[("Access-Control-Allow-Credentials", Singleton(1 << 14))],
        _ => &[],
    };
    let mut place = 0;
    while place < known.len() {
        if is_same(name, known[place].0.as_bytes()) {
            return known[place].1;
        }
        place += 1;
    }
    Other
}

/// Whether two names of one length are the same, whatever their case.
const fn is_same(name: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < name.len() {
        if !name[at].eq_ignore_ascii_case(&other[at]) {
            return false;
        }
        at += 1;
    }
    true
}
