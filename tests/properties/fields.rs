//! Field lines are split as httparse splits them, but for what is refused on purpose.

use tidings::proto::Step;
use tidings::{Fault, Head, Limits};

use super::input::Input;

/// It needs no `Host`, so that most fields make it whole.
const LINE: &[u8] = b"GET / HTTP/1.0\r\n";

/// So many fields are split at most.
const MOST: usize = 64;

pub fn check(data: &[u8]) {
    let bytes = Input::new(data).rest();
    let head = [LINE, bytes].concat();
    let mut limits = Limits::DEFAULT;
    (limits.head, limits.headers) = (head.len() + 1, MOST);
    splits_as_httparse(&head, bytes, &limits);
}

fn splits_as_httparse(head: &[u8], bytes: &[u8], limits: &Limits) {
    let mut slots = [httparse::EMPTY_HEADER; MOST];
    let theirs = httparse::parse_headers(bytes, &mut slots);
    match (Head::parse(head, limits), theirs) {
        (Ok(Step::Complete((ours, used))), Ok(httparse::Status::Complete((length, fields)))) => {
            assert_eq!(used, LINE.len() + length);
            let fields: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
            assert_eq!(ours.headers().collect::<Vec<_>>(), fields);
        }
        (Ok(Step::NeedMore), Ok(httparse::Status::Partial)) => {}
        (Err(fault), theirs) => assert!(may_differ(fault, theirs.err()), "{fault:?}"),
        (ours, theirs) => panic!("{ours:?}, but {theirs:?}"),
    }
}

/// Whether this may be refused where httparse has this to say, or nothing: it takes a bare LF for a line end, and
/// judges no value.
fn may_differ(fault: Fault, theirs: Option<httparse::Error>) -> bool {
    use httparse::Error;
    match fault {
        Fault::Field { .. } => {
            matches!(theirs, Some(Error::HeaderName | Error::HeaderValue | Error::NewLine))
        }
        Fault::TooManyFields
        | Fault::LineEnd
        | Fault::Host
        | Fault::ContentLength
        | Fault::TransferEncoding => true,
        Fault::UnknownCoding | Fault::TwoFramings => true,
        _ => false,
    }
}
