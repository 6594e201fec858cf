//! An answer is refused with nothing written, or a client reads back just its fields and those that the server adds.

use tidings::proto::http1::{Http1, NextHead, Sending};
use tidings::{Error, Head, Limits, Response};

use super::input::Input;
use super::naive;

const REQUESTS: [&[u8]; 5] = [
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
];

/// Names that mean something, so that they come up.
const NAMES: [&str; 8] = [
    "Connection",
    "Content-Length",
    "transfer-encoding",
    "DATE",
    "Set-Cookie",
    "X",
    "Content-Type",
    "connection",
];

/// Fields of which an answer has one at most: the last that was added.
const SINGLETONS: [&str; 15] = [
    "access-control-allow-credentials",
    "access-control-allow-origin",
    "access-control-max-age",
    "age",
    "content-location",
    "content-range",
    "content-type",
    "etag",
    "expires",
    "last-modified",
    "location",
    "retry-after",
    "server",
    "strict-transport-security",
    "x-accel-buffering",
];

/// Fields that are not the handler's to set.
const OURS: [&str; 6] = [
    "content-length",
    "transfer-encoding",
    "date",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
];

const DATE: &str = "Sat, 29 Feb 2020 23:59:59 GMT";

pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (request, limits) = (input.below(REQUESTS.len()), Limits::DEFAULT);
    let (streams, date) = (input.one_in(2), input.one_in(2).then_some(DATE));
    let status = match input.byte() {
        n @ 0..200 => input.pick(&[200, 204, 205, 304, 404, 503]) + u16::from(n / 100),
        n => u16::from(n) * 256 + u16::from(input.byte()),
    };
    let (mut fields, mut answer) = (Vec::new(), Response::new(status));
    for _ in 0..input.below(6) {
        let name = if input.one_in(2) { input.text() } else { input.pick(&NAMES).to_owned() };
        let value = input.text();
        answer = answer.header(name.clone(), value.clone());
        fields.push((name, value));
    }
    let body = input.rest();
    let whole = if streams { answer } else { answer.body(body.to_vec()) };

    let (mut http, mut out) = (Http1::new(), b"before".to_vec());
    http.receive(REQUESTS[request]);
    assert!(matches!(http.head(&mut Head::default(), &limits), Ok(NextHead::Whole)));
    let written = match streams {
        true => http.start(whole, date, &limits, &mut out),
        false => http.respond(whole, date, &limits, &mut out),
    };
    assert_eq!(written.is_ok(), is_legal(status, &fields, if streams { b"" } else { body }), "{written:?}");
    if written.is_err() {
        assert!(
            matches!(written, Err(Error::Misuse(_)))
                && out == b"before"
                && http.state().sending == Sending::Owed
        );
        return;
    }
    out.extend_from_slice(written.expect("a legal answer").bytes());
    if streams {
        http.write(body, &mut out).expect("a stream");
        http.finish(&mut out);
    }
    let out = &out[b"before".len()..];
    let head_only = request == 1;
    let answer = naive::answer(out, head_only).expect("all of it");
    assert_eq!((answer.status, answer.used), (status, out.len()));
    let has_body = !head_only && !matches!(status, 204 | 304);
    assert_eq!(answer.body, if has_body { body } else { b"" });
    has_these_fields(&answer, &fields, date);
    says_how_it_ends(&answer, request, streams, body.len());
    assert_eq!(
        matches!(http.head(&mut Head::default(), &limits), Ok(NextHead::NeedMore)),
        !answer.has_option("close") && answer.framed
    );
}

fn is_legal(status: u16, fields: &[(String, String)], body: &[u8]) -> bool {
    let legal = |(name, value): &(String, String)| {
        naive::is_token(name.as_bytes())
            && !OURS.contains(&name.to_ascii_lowercase().as_str())
            && value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f))
    };
    let bodiless = matches!(status, 204 | 205 | 304);
    (200..600).contains(&status) && fields.iter().all(legal) && (body.is_empty() || !bodiless)
}

/// The fields in their order, the date, and what there must be of connection and framing; nothing else.
fn has_these_fields(answer: &naive::Answer, fields: &[(String, String)], date: Option<&str>) {
    let added = ["connection", "content-length", "transfer-encoding"];
    let own = |name: &str| !added.contains(&name.to_ascii_lowercase().as_str());
    let mut expected: Vec<(&str, &[u8])> = Vec::new();
    for (name, value) in fields.iter().filter(|(name, _)| own(name)) {
        if SINGLETONS.contains(&name.to_ascii_lowercase().as_str()) {
            expected.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        }
        expected.push((name, naive::trim(value.as_bytes())));
    }
    expected.extend(date.map(|date| ("Date", date.as_bytes())));
    let found = answer.fields.iter().map(|(name, value)| (&name[..], &value[..]));
    assert_eq!(found.filter(|(name, _)| own(name)).collect::<Vec<_>>(), expected);
    // Each option of `Connection` is one of the answer's own, or about the end of the connection.
    let own = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let own: Vec<&[u8]> =
        own.flat_map(|(_, value)| value.as_bytes().split(|b| *b == b',')).map(naive::trim).collect();
    for option in answer.field("connection").unwrap_or_default().split(|b| *b == b',').map(naive::trim) {
        let added = matches!(option, b"" | b"close" | b"keep-alive");
        assert!(added || own.contains(&option), "{}", option.escape_ascii());
    }
}

fn says_how_it_ends(answer: &naive::Answer, request: usize, streams: bool, length: usize) {
    let coding = answer.field("transfer-encoding").is_some();
    let expected = match (answer.status, streams) {
        (204 | 304, _) | (_, true) => None,
        (_, false) => Some(length.to_string().into_bytes()),
    };
    assert_eq!(answer.field("content-length"), expected.as_deref());
    let old = matches!(request, 2 | 3);
    assert_eq!(coding, streams && !old && !matches!(answer.status, 204 | 304));
    // A client that did not ask to stay is told that it is over; what has no end in itself ends the connection.
    assert!(!matches!(request, 2 | 4) || answer.has_option("close"));
    assert!(answer.framed || answer.has_option("close"));
}
