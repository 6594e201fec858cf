//! A verdict on a head comes once and stays, also where it comes byte by byte, and an accepted head says what its lines
//! say.

use std::str::from_utf8;

use tidings::proto::Step;
use tidings::proto::http1::{Http1, NextHead};
use tidings::{Fault, Head, Limits, Version};

use super::completions::{ends_in_unknown_coding, tails};
use super::input::Input;
use super::naive;

/// A verdict; `None` while there is none.
type Verdict = Option<Result<(Head, usize), Fault>>;

pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = input.limits();
    let bytes = input.rest();
    let whole = parse(bytes, &limits);
    stays(bytes, &limits, &whole);
    goes_on(&bytes[..bytes.len().min(400)], &limits);
    match &whole {
        None => may_become_whole(bytes, &limits),
        Some(Ok((head, used))) => {
            assert!(*used <= limits.head && head.headers().count() <= limits.headers);
            says_its_lines(head, bytes, *used);
            agrees_with_httparse(head, &bytes[..*used]);
        }
        Some(Err(fault)) => {
            assert!((400..=505).contains(&fault.status()));
            may_become_whole(bytes, &limits);
        }
    }
}

fn parse(bytes: &[u8], limits: &Limits) -> Verdict {
    match Head::parse(bytes, limits) {
        Ok(Step::NeedMore) => None,
        Ok(Step::Complete(head)) => Some(Ok(head)),
        Err(fault) => Some(Err(fault)),
    }
}

/// No prefix has another verdict than the whole: none yet, and from some byte on the one.
fn stays(bytes: &[u8], limits: &Limits, whole: &Verdict) {
    let (length, mut found) = (bytes.len(), false);
    // Each prefix of short ones, and a part of those of long ones.
    for end in (0..=length).filter(|end| length < 400 || end % (length / 100) == 0 || length - end < 40) {
        let verdict = parse(&bytes[..end], limits);
        assert!(verdict == *whole || (verdict.is_none() && !found), "{verdict:?} at {end}, then {whole:?}");
        found |= verdict.is_some();
    }
}

/// What is read on from where it stopped has the verdict of what is read from the start.
fn goes_on(bytes: &[u8], limits: &Limits) {
    let mut http = Http1::new();
    for end in 1..=bytes.len() {
        http.receive(&bytes[end - 1..end]);
        let mut head = Head::default();
        let verdict = match http.head(&mut head, limits) {
            Ok(NextHead::Whole) => Some(Ok((head, end))),
            Ok(NextHead::NeedMore) => None,
            Ok(NextHead::End) => panic!("an end that nobody made"),
            Err(fault) => Some(Err(fault)),
        };
        assert_eq!(verdict, parse(&bytes[..end], limits), "byte by byte, {end} of them");
        if verdict.is_some() {
            return;
        }
    }
}

/// "Not yet" is not "never": what has no verdict yet can be made whole. That is shown of the longest such prefix, since
/// what makes it whole makes all shorter ones whole.
fn may_become_whole(bytes: &[u8], limits: &Limits) {
    let ends: Vec<usize> = (0..=bytes.len()).collect();
    let open = &bytes[..ends.partition_point(|end| parse(&bytes[..*end], limits).is_none()) - 1];
    // What is too large is refused when it is (RFC 9110, 5.4), so let there be room.
    let mut roomy = limits.clone();
    (roomy.head, roomy.headers) = (limits.head + 1_000, limits.headers + 3);
    let becomes_whole = |tail| matches!(parse(&[open, tail].concat(), &roomy), Some(Ok(_)));
    let excused = ends_in_unknown_coding(open);
    assert!(excused || tails().any(becomes_whole), "nothing makes it whole: {}", open.escape_ascii());
}

fn says_its_lines(head: &Head, bytes: &[u8], used: usize) {
    let lines = naive::head(bytes).expect("lines");
    assert_eq!((lines.used, naive::lone_ends(&bytes[..used])), (used, 0));
    assert_eq!((head.method().as_bytes(), head.target().as_bytes()), (lines.method, lines.target));
    assert_eq!(head.version() == Version::Http10, lines.minor == 0);
    let fields: Vec<_> = head.headers().map(|(name, value)| (name.as_bytes(), value)).collect();
    assert_eq!(fields, lines.fields);
    for (name, value) in &fields {
        assert!(naive::is_token(name) && !value.iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f));
        let first = lines.values(from_utf8(name).expect("a token"))[0];
        assert_eq!(head.header(from_utf8(name).expect("a token")), from_utf8(first).ok());
    }
    assert!(naive::is_token(lines.method) && lines.target.iter().all(u8::is_ascii_graphic));
    let hosts = lines.values("host").len();
    assert!(hosts == 1 || (hosts == 0 && lines.minor == 0), "{hosts} hosts");
    assert!(head.path().starts_with('/') || (head.path() == "*" && head.method() == "OPTIONS"));
    same_query(head);
}

/// The first value of a query is the first of all its values, and an absent one is absent.
fn same_query(head: &Head) {
    let query = head.target().split_once('?').map_or("", |(_, query)| query);
    for pair in query.split('&').filter(|pair| !pair.contains(['%', '+'])) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let values: Vec<_> = head.queries(name).collect();
        assert!(query.is_empty() || values.iter().any(|v| v == value), "{name} is lost");
        assert_eq!(head.query(name).as_ref(), values.first());
    }
}

fn agrees_with_httparse(head: &Head, bytes: &[u8]) {
    let mut slots = vec![httparse::EMPTY_HEADER; head.headers().count()];
    let mut parsed = httparse::Request::new(&mut slots);
    // It knows no version above 1.1.
    match parsed.parse(bytes) {
        Err(httparse::Error::Version) => return,
        used => assert_eq!(used, Ok(httparse::Status::Complete(bytes.len()))),
    }
    assert_eq!((parsed.method, parsed.path), (Some(head.method()), Some(head.target())));
    let fields: Vec<_> = parsed.headers.iter().map(|field| (field.name, field.value)).collect();
    assert_eq!(fields, head.headers().collect::<Vec<_>>());
}
