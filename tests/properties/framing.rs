//! A body ends where its head says, read by the letter; and behind a fault there is never data.

use tidings::proto::Step;
use tidings::proto::body::{Framing, Piece};
use tidings::proto::http1::{Http1, NextHead};
use tidings::{Fault, Head, Limits};

use super::input::{Cuts, Input};
use super::naive;

pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (limits, cuts) = (input.limits(), input.cuts());
    let bytes = input.rest();
    let told = match Head::parse(bytes, &limits) {
        Ok(Step::Complete((head, _))) => Ok(Some(head.framing())),
        Ok(Step::NeedMore) => Ok(None),
        Err(fault) => Err(fault),
    };
    let read = read(bytes, cuts, &limits);
    let Ok(Some(framing)) = told else {
        assert_eq!(read, Read { data: Vec::new(), end: told.map(|_| None) }, "data without a head");
        return;
    };
    let head = naive::head(bytes).expect("lines");
    assert_eq!(Some(framing), by_the_letter(&head));
    let body = &bytes[head.used..];
    let (expected, length) = match framing {
        Framing::None => (Vec::new(), Some(0)),
        Framing::Length(length) if length > limits.body as u64 => {
            assert_eq!(read, Read { data: Vec::new(), end: Err(Fault::BodyTooLarge) });
            return;
        }
        Framing::Length(length) => {
            let length = length as usize;
            (body[..length.min(body.len())].to_vec(), (length <= body.len()).then_some(length))
        }
        Framing::Chunked if read.end.is_err() => return,
        Framing::Chunked => match naive::chunks(body) {
            Some(chunks) => (chunks.data, Some(chunks.used)),
            None => (read.data.clone(), None),
        },
    };
    assert_eq!(read, Read { data: expected, end: Ok(length.map(|length| head.used + length)) });
}

/// The framing of RFC 9112, 6.3; `None` where it must be refused.
fn by_the_letter(head: &naive::Head<'_>) -> Option<Framing> {
    let (lengths, codings) = (head.values("content-length"), head.values("transfer-encoding"));
    match (&lengths[..], &codings[..]) {
        ([], []) => Some(Framing::None),
        ([length], []) if length.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(length).ok()?.parse().ok().map(Framing::Length)
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && head.minor > 0 => Some(Framing::Chunked),
        _ => None,
    }
}

/// A request as it was read: its data, and where it ended if it did.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    data: Vec<u8>,
    end: Result<Option<usize>, Fault>,
}

fn read(bytes: &[u8], cuts: Cuts<'_>, limits: &Limits) -> Read {
    let mut peer = Peer { http: Http1::new(), pieces: cuts.pieces(bytes).into_iter(), later: &[], came: 0 };
    let mut data = Vec::new();
    let end = read_head(&mut peer, limits).and_then(|found| match found {
        true => read_data(&mut peer, limits, &mut data),
        false => Ok(None),
    });
    if end.is_err() {
        silent(&mut peer, limits);
    }
    Read { data, end }
}

fn read_head(peer: &mut Peer<'_>, limits: &Limits) -> Result<bool, Fault> {
    loop {
        match peer.http.head(&mut Head::default(), limits)? {
            NextHead::Whole => return Ok(true),
            NextHead::NeedMore if peer.feed(limits) => {}
            NextHead::NeedMore => return Ok(false),
            NextHead::End => panic!("an end that nobody made"),
        }
    }
}

fn read_data(peer: &mut Peer<'_>, limits: &Limits, data: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
    loop {
        match peer.http.data(limits)? {
            Piece::Data(range) => data.extend_from_slice(peer.http.bytes(range)),
            Piece::NeedMore if peer.feed(limits) => {}
            Piece::NeedMore => return Ok(None),
            Piece::End => return Ok(Some(peer.came - peer.http.buffered())),
        }
    }
}

/// Behind a fault there is no data, no request, and no room for more.
fn silent(peer: &mut Peer<'_>, limits: &Limits) {
    for _ in 0..3 {
        assert!(peer.http.data(limits).is_err(), "data behind a fault");
        peer.http.receive(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(peer.http.buffered(), 0, "what comes behind a fault is thrown away");
        assert!(
            matches!(peer.http.head(&mut Head::default(), limits), Ok(NextHead::End)),
            "a request behind a fault"
        );
    }
}

struct Peer<'b> {
    http: Http1,
    pieces: std::vec::IntoIter<&'b [u8]>,
    /// What of a piece found no room.
    later: &'b [u8],
    /// How many bytes were taken.
    came: usize,
}

impl Peer<'_> {
    /// Sends more; false if there is no more.
    fn feed(&mut self, limits: &Limits) -> bool {
        if self.later.is_empty() {
            let Some(piece) = self.pieces.next() else { return false };
            self.later = piece;
        }
        let room = self.http.room(limits);
        assert!(room > 0, "it needs more and takes nothing");
        let (now, later) = self.later.split_at(room.min(self.later.len()));
        self.http.receive(now);
        (self.later, self.came) = (later, self.came + now.len());
        true
    }
}
