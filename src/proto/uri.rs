//! The URI grammar (RFC 3986) as far as a request needs it: targets, authorities, percent-decoding.
//!
//! Each check takes what has come so far, and whether that is all: a prefix passes if it can still become legal.

use core::net::Ipv6Addr;
use std::borrow::Cow;

use super::class::{Class, PATH, QUERY, REG_NAME};

/// The schemes that an origin server answers for in absolute-form (RFC 9110, 4.2).
const SCHEMES: [&[u8]; 2] = [b"http://", b"https://"];

/// Is this a legal request-target for `method` (RFC 9112, 3.2)? CONNECT has none here.
pub(super) fn is_target(method: &[u8], bytes: &[u8], all: bool) -> bool {
    match bytes.first() {
        None => !all,
        Some(b'*') => method == b"OPTIONS" && bytes.len() == 1,
        Some(b'/') => is_path_and_query(bytes, all),
        Some(_) => SCHEMES.iter().any(|scheme| is_absolute(scheme, bytes, all)),
    }
}

/// Is this `scheme://authority[/path][?query]` (RFC 9112, 3.2.2)?
fn is_absolute(scheme: &[u8], bytes: &[u8], all: bool) -> bool {
    let (start, rest) = bytes.split_at(scheme.len().min(bytes.len()));
    if !scheme[..start.len()].eq_ignore_ascii_case(start) {
        return false;
    }
    if start.len() < scheme.len() {
        return !all;
    }
    let (authority, path) = split_authority(rest);
    is_authority(authority, all || !path.is_empty()) && is_path_and_query(path, all)
}

/// Splits what follows `scheme://` into the authority and the rest.
fn split_authority(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(bytes.len());
    bytes.split_at(end)
}

/// Splits a legal target into its raw path and its raw query; an absolute-form without a path has `/`, or `*`
/// for OPTIONS (RFC 9112, 3.2.4).
pub(super) fn split_target<'a>(method: &[u8], target: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let scheme = SCHEMES.iter().find(|s| target.len() > s.len() && target[..s.len()].eq_ignore_ascii_case(s));
    let after = scheme.map_or(target, |s| split_authority(&target[s.len()..]).1);
    let end = after.iter().position(|b| *b == b'?').unwrap_or(after.len());
    let (path, query) = after.split_at(end);
    let path = match (path.is_empty(), method, query.is_empty()) {
        (false, _, _) => path,
        (true, b"OPTIONS", true) => b"*",
        (true, _, _) => b"/",
    };
    (path, query.get(1..).unwrap_or_default())
}

/// Is this `uri-host [":" port]` (RFC 3986, 3.2) with a host that is not empty?
pub(super) fn is_authority(bytes: &[u8], all: bool) -> bool {
    if bytes.first() == Some(&b'[') {
        return is_ip_literal(bytes, all);
    }
    let end = bytes.iter().position(|b| *b == b':').unwrap_or(bytes.len());
    let (host, port) = bytes.split_at(end);
    if host.is_empty() && (all || !port.is_empty()) {
        return false;
    }
    is_encoded(host, all || !port.is_empty(), REG_NAME) && is_port(port)
}

fn is_ip_literal(bytes: &[u8], all: bool) -> bool {
    let end = bytes.iter().position(|b| *b == b']');
    let Ok(address) = core::str::from_utf8(&bytes[1..end.unwrap_or(bytes.len())]) else { return false };
    match end {
        Some(end) => address.parse::<Ipv6Addr>().is_ok() && is_port(&bytes[end + 1..]),
        None => !all && may_become_address(address),
    }
}

/// Is this the start of an IPv6 address? If it is, one of these makes it whole.
fn may_become_address(start: &str) -> bool {
    ["", ":", "::", "0", "0.0", "0.0.0", ".0", ".0.0", ".0.0.0"]
        .iter()
        .any(|rest| format!("{start}{rest}").parse::<Ipv6Addr>().is_ok())
}

/// Is this empty, or a colon and digits that are a port?
fn is_port(bytes: &[u8]) -> bool {
    match bytes.split_first() {
        None => true,
        Some((b':', digits)) => digits.iter().all(u8::is_ascii_digit) && fits_port(digits),
        Some(_) => false,
    }
}

/// Is the number at most 65535, however many zeros stand before it?
fn fits_port(digits: &[u8]) -> bool {
    let value = digits.iter().try_fold(0u16, |n, d| n.checked_mul(10)?.checked_add(u16::from(d - b'0')));
    value.is_some()
}

fn is_path_and_query(bytes: &[u8], all: bool) -> bool {
    let end = bytes.iter().position(|b| *b == b'?').unwrap_or(bytes.len());
    let (path, query) = bytes.split_at(end);
    is_encoded(path, all || !query.is_empty(), PATH) && is_encoded(query, all, QUERY)
}

/// Is every byte legal, or part of a `%XX`?
fn is_encoded(bytes: &[u8], all: bool, legal: Class) -> bool {
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let digits = &tail[..tail.len().min(2)];
            if !digits.iter().all(u8::is_ascii_hexdigit) || (digits.len() < 2 && all) {
                return false;
            }
            rest = &tail[digits.len()..];
        } else if !legal.has(byte) {
            return false;
        }
    }
    true
}

/// Undoes percent-encoding, and `+` for a blank in a query. What is not UTF-8 then becomes U+FFFD.
pub(super) fn decode(text: &str, plus: bool) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%' || (plus && b == b'+')) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, hex_pair(tail)) {
            (b'%', Some(value)) => {
                decoded.push(value);
                rest = &tail[2..];
            }
            (b'+', _) if plus => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_of_a_legal_target_may_still_become_one() {
        let plain =
            ["/", "/a%20b?c=%41&d", "/[|]^?{`\\}", "http://h/x", "HTTPS://[::1]:80?q", "http://a.b:1"];
        let addresses =
            ["1:2:3:4:5:6:7:8", "::", "1::8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::5:6:7:abcd"];
        let mixed = ["::1.20.255.0", "1:2:3:4:5:6:1.2.3.4", "::2:3:4:5:6:1.2.3.4", "1:2:3:4:5::1.2.3.4"];
        let literals = addresses.iter().chain(&mixed).map(|address| format!("http://[{address}]"));
        for target in plain.into_iter().map(str::to_owned).chain(literals) {
            assert!(is_target(b"GET", target.as_bytes(), true), "{target}");
            for end in 0..target.len() {
                assert!(is_target(b"GET", &target.as_bytes()[..end], false), "{target} cut at {end}");
            }
        }
    }

    #[test]
    fn a_hopeless_prefix_is_refused_at_once() {
        for target in [
            "*",
            "a",
            "ftp",
            "/#",
            "/%g",
            "/\\",
            "/{",
            "/?<",
            "/%4?",
            "http://:",
            "http://[g",
            "http://u@",
            "http://h:6553a",
            "http://[:1",
            "http://[:::",
            "http://[1::2::",
            "http://[12345",
            "http://[1:2:3:4:5:6:7:8:",
            "http://[1:2:3:4:5:6:7:1.",
            "http://[1:2:3:4:5:1.",
            "http://[::256.",
            "http://[::1..",
            "http://[::1.2.3.4:",
        ] {
            assert!(!is_target(b"GET", target.as_bytes(), false), "{target}");
        }
    }

    #[test]
    fn ports_end_at_65535() {
        assert!(is_authority(b"h:65535", true) && is_authority(b"h:", true) && is_authority(b"h:0080", true));
        assert!(!is_authority(b"h:65536", true) && !is_authority(b":80", true));
    }

    #[test]
    fn decoding_never_fails() {
        assert_eq!(decode("a%20b+c", true), "a b c");
        assert_eq!(decode("a%20b+c", false), "a b+c");
        assert_eq!(decode("a%2", false), "a%2");
        assert_eq!(decode("%ff%", false), "\u{fffd}%");
        assert_eq!(decode("%E4%BD%A0", false), "你");
    }

    #[test]
    fn absolute_form_has_a_path() {
        assert_eq!(split_target(b"GET", b"http://h?q=1"), (&b"/"[..], &b"q=1"[..]));
        assert_eq!(split_target(b"OPTIONS", b"http://h"), (&b"*"[..], &b""[..]));
        assert_eq!(split_target(b"GET", b"/a?b?c"), (&b"/a"[..], &b"b?c"[..]));
    }
}
