//! A chunked body gives the same data and the same fault however it is cut, and what we encode decodes to itself.

use tidings::proto::body::{BodyDecoder, Framing, Piece};
use tidings::proto::http1::{Http1, NextHead};
use tidings::{Fault, Head, Limits, Response};

use super::input::{Cuts, Input};
use super::naive;

pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let (limits, cuts) = (input.limits(), input.cuts());
    let bytes = input.rest();
    let whole = decode(bytes, Cuts::NONE, &limits);
    assert_eq!(decode(bytes, cuts.clone(), &limits), whole, "cut");
    assert_eq!(decode(bytes, Cuts::EVERYWHERE, &limits), whole, "byte by byte");
    assert!(whole.data.len() <= limits.body);
    if let End::Done(used) = whole.end {
        let naive = naive::chunks(bytes).expect("all of it");
        assert_eq!((naive.data, naive.used), (whole.data, used));
        assert!(naive.beside <= limits.chunk_overhead);
    }
    there_and_back(bytes, cuts);
}

/// What a decoder made of some bytes.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    data: Vec<u8>,
    end: End,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    NeedMore,
    /// It is whole, and took this many bytes.
    Done(usize),
    Fault(Fault),
}

fn decode(bytes: &[u8], cuts: Cuts<'_>, limits: &Limits) -> Decoded {
    let (mut decoder, mut data, mut total) = (BodyDecoder::new(Framing::Chunked), Vec::new(), 0);
    for piece in cuts.pieces(bytes) {
        let mut at = 0;
        loop {
            let rest = &piece[at..];
            let (used, step) = match decoder.step(rest, limits) {
                Ok(step) => step,
                Err(fault) => return Decoded { data, end: End::Fault(fault) },
            };
            at += used;
            match step {
                Piece::Data(range) => {
                    assert!(!range.is_empty() && range.end == used, "{range:?} of {used}");
                    data.extend_from_slice(&rest[range]);
                }
                Piece::NeedMore => {
                    assert!(at == piece.len() && !decoder.is_done());
                    break;
                }
                Piece::End => {
                    assert!(decoder.is_done());
                    return Decoded { data, end: End::Done(total + at) };
                }
            }
        }
        total += piece.len();
    }
    Decoded { data, end: End::NeedMore }
}

/// Streams the bytes in pieces, and reads them back.
fn there_and_back(bytes: &[u8], cuts: Cuts<'_>) {
    let mut limits = Limits::DEFAULT;
    (limits.body, limits.chunk_overhead) = (usize::MAX, usize::MAX);
    let (mut http, mut out) = (Http1::new(), Vec::new());
    http.receive(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(matches!(http.head(&mut Head::default(), &limits), Ok(NextHead::Whole)));
    http.start(Response::new(200), None, &limits, &mut out).expect("a legal answer");
    let head = out.len();
    for piece in cuts.pieces(bytes) {
        http.write(piece, &mut out).expect("a stream");
        http.write(b"", &mut out).expect("a stream");
    }
    http.finish(&mut out);
    let body = &out[head..];
    let read = decode(body, Cuts::NONE, &limits);
    assert_eq!(read, Decoded { data: bytes.to_vec(), end: End::Done(body.len()) });
    assert_eq!(naive::answer(&out, false).expect("all of it").body, bytes);
}
