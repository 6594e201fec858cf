//! [`Upgrade`]: the server's half of the WebSocket handshake (RFC 6455, 4.2).

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::body::Framing;
use super::class::TOKEN;
use super::head::Head;
use super::text::{is_token, is_value_byte};
use super::version::Version;
use crate::error::{Fault, HandshakeFault};

/// The text that is appended to the client's key (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A WebSocket upgrade that may be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: String,
}

/// Whether a request is meant as a WebSocket upgrade, be it legal or not: it has `Upgrade: websocket` or one of the
/// fields that only a handshake has.
pub fn is_upgrade(head: &Head) -> bool {
    lists(head, "upgrade", b"websocket")
        || head.values("sec-websocket-key").next().is_some()
        || head.values("sec-websocket-version").next().is_some()
}

impl Upgrade {
    /// Checks a request against RFC 6455, 4.2.1.
    ///
    /// # Errors
    ///
    /// [`Fault::UpgradeRequired`] for a request that is no handshake at all, [`Fault::WebSocketVersion`] for a version other
    /// than 13, [`Fault::Handshake`] for everything else.
    pub fn of(head: &Head) -> Result<Upgrade, Fault> {
        if !is_upgrade(head) {
            return Err(Fault::UpgradeRequired);
        }
        check_request(head)?;
        if one(head, "sec-websocket-version") != Some(b"13") {
            return Err(Fault::WebSocketVersion);
        }
        let key = one(head, "sec-websocket-key").filter(|key| is_key(key));
        let key = key.ok_or(Fault::Handshake(HandshakeFault::Key))?;
        if !head.values("sec-websocket-extensions").all(is_extension_list) {
            return Err(Fault::Handshake(HandshakeFault::Extensions));
        }
        if offered(head).is_none() {
            return Err(Fault::Handshake(HandshakeFault::Protocols));
        }
        let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
        Ok(Upgrade { accept: STANDARD.encode(digest) })
    }
}

/// Checks the method, the HTTP version, the body, `Connection` and `Upgrade`.
fn check_request(head: &Head) -> Result<(), Fault> {
    let empty = matches!(head.framing(), Framing::None | Framing::Length(0));
    let rules = [
        (head.method() == "GET", HandshakeFault::Method),
        (head.version() == Version::Http11, HandshakeFault::Version),
        (empty, HandshakeFault::Body),
        (lists(head, "connection", b"upgrade"), HandshakeFault::Connection),
        (lists(head, "upgrade", b"websocket"), HandshakeFault::Upgrade),
    ];
    let broken = rules.into_iter().find(|(kept, _)| !kept);
    broken.map_or(Ok(()), |(_, fault)| Err(Fault::Handshake(fault)))
}

/// The subprotocols that the client offers in all `Sec-WebSocket-Protocol` fields; `None` unless they are distinct tokens
/// (RFC 6455, 4.1 and 11.3.4).
pub fn offered(head: &Head) -> Option<Vec<&str>> {
    let mut names: Vec<&str> = Vec::new();
    for name in head.list("sec-websocket-protocol") {
        names.push(core::str::from_utf8(name).ok().filter(|_| is_token(name))?);
    }
    // A set, since a head has room for thousands of names.
    let mut seen = HashSet::new();
    names.iter().all(|name| seen.insert(*name)).then_some(names)
}

fn lists(head: &Head, name: &str, element: &[u8]) -> bool {
    head.list(name).any(|e| e.eq_ignore_ascii_case(element))
}

/// The value of a field that must stand once; `None` if it stands never or more often.
fn one<'a>(head: &'a Head, name: &'a str) -> Option<&'a [u8]> {
    let mut values = head.values(name);
    values.next().filter(|_| values.next().is_none())
}

/// Whether a key is 16 bytes in base64 (RFC 6455, 4.2.1): 22 digits and the padding. The four bits of the last digit that
/// belong to no byte may be 0 or 1 (RFC 4648, 3.5).
fn is_key(key: &[u8]) -> bool {
    let is_digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    matches!(key, [digits @ .., b'=', b'='] if digits.len() == 22 && digits.iter().all(is_digit))
}

/// Whether a value is a list of `token *( ";" token [ "=" ( token / quoted-string ) ] )` (RFC 6455, 9.1). Elements of the
/// list may be empty (RFC 9110, 5.6.1.2).
fn is_extension_list(value: &[u8]) -> bool {
    let mut rest = skip_blanks(value);
    while !rest.is_empty() {
        if rest[0] != b',' {
            let Some(after) = extension(rest) else { return false };
            rest = after;
        }
        match rest.split_first() {
            None => return true,
            Some((b',', tail)) => rest = skip_blanks(tail),
            Some(_) => return false,
        }
    }
    true
}

/// Skips one extension with its parameters and the blanks behind it; `None` if there is none.
fn extension(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = skip_blanks(token(bytes)?);
    while let Some((b';', tail)) = rest.split_first() {
        rest = skip_blanks(token(skip_blanks(tail))?);
        if let Some((b'=', tail)) = rest.split_first() {
            let value = skip_blanks(tail);
            rest = skip_blanks(token(value).or_else(|| quoted_token(value))?);
        }
    }
    Some(rest)
}

fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|b| !matches!(b, b' ' | b'\t')).unwrap_or(bytes.len());
    &bytes[end..]
}

fn token(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|b| !TOKEN.has(*b)).unwrap_or(bytes.len());
    (end > 0).then(|| &bytes[end..])
}

/// Skips a quoted string whose text is a token (RFC 6455, 9.1); `None` if there is none.
fn quoted_token(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(b"\"")?;
    let mut length = 0;
    loop {
        let (byte, tail) = rest.split_first()?;
        rest = tail;
        let byte = match byte {
            b'"' => return (length > 0).then_some(rest),
            b'\\' => {
                let (escaped, tail) = rest.split_first().filter(|(b, _)| is_value_byte(**b))?;
                rest = tail;
                escaped
            }
            byte => byte,
        };
        TOKEN.has(*byte).then_some(())?;
        length += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_follow_their_grammar() {
        for good in [
            "",
            "a",
            "a; b",
            "a; b=c",
            "a;b=\"c\", d",
            "a; b=\"\\c\"",
            "a ; b = c , d",
            ",a",
            "a,",
            "a, \t,b",
            " , ,",
        ] {
            assert!(is_extension_list(good.as_bytes()), "{good}");
        }
        for bad in ["a;", "a;,b", "a;;b", "a b", ", a b", "a; b=", "a; b=\"c", "a; b=\"\"", "a; b=\"c d\""] {
            assert!(!is_extension_list(bad.as_bytes()), "{bad}");
        }
    }
}
