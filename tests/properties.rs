//! The properties that `fuzz/` tries with everything, here with what the golden pages have, and with mutations of it.
//!
//! `TIDINGS_MUTATIONS=n` sets how many each property gets, `TIDINGS_MUTATION_SEED=n` draws others.
//! `TIDINGS_CORPUS=folder` writes the seeds to `folder/PROPERTY/` instead, for `fuzz/run`.

#[path = "common/block.rs"]
mod block;
#[path = "properties/mod.rs"]
mod properties;
#[path = "common/random.rs"]
mod random;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{env, fs};

use random::Rng;

/// Bytes of a seed: small ones are tried more often.
const LONGEST: usize = 1_500;

macro_rules! properties {
    ($($(#[$gate:meta])* $test:ident $property:ident $fronts:expr;)*) => {
        $($(#[$gate])* #[test]
        fn $test() {
            hold(stringify!($property), properties::$property::check, $fronts);
        })*
    };
}

// The fronts are what a property decides by before it comes to what is on a page: see its `check`.
properties! {
    fields_are_split_as_httparse_splits_them fields &[b""];
    a_verdict_on_a_head_stays head &[b"\0", b"\x01", b"\x02"];
    chunks_are_the_same_however_cut chunked &[b"\0\0", b"\x01\0", b"\x02\x02\x02\0"];
    a_body_ends_where_its_head_says framing &[b"\0\0", b"\x01\x01\x06", b"\x02\0"];
    events_do_not_depend_on_cuts http1 &[
        b"\0\0\0\0",
        b"\x01\0\x04\0\x01\x0f\x06\x01",
        b"\x02\x02\x05\x01\0\0",
        b"\x01\0\x04-\x05\x0f\x06\x01HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ];
    an_answer_is_refused_or_read_back response &[
        b"\0\0\0\0\0\x02\0\x01X\x01v\0\x01Y\x01w",
        b"\x01\0\x01\0\0\x01\x01\0\x05close",
        b"\x02\x01\0\0\0\x01\x01\0\x03a,b",
        b"\0\x01\0\0\x01\x01\0\x01X\x06v\r\nY:w",
        // A field twice of which an answer has one at most.
        b"\x0e\x27\x5b\x0e\x0e\x0e\x0e\x0e\x0eLast-Event-ID: \x0eBB",
    ];
    an_event_is_refused_or_read_back sse &[
        b"",
        b"\x0e\x04a\r\nb\x021\n\x01n",
        b"\x06\x01d\x0217\x14\x01 \0\0\0\0\0\0\x0b\xb8",
    ];
    #[cfg(feature = "ws")]
    messages_do_not_depend_on_cuts frames &[
        b"\0\0\x09\0\0",
        b"\0\x01\x07\x02\0\x05\0",
        b"\x03\0\x0d\x01\x01\0",
        b"\x01\0\x01\0\0",
        b"\0\x01\0\x01\x06\x03\x03\x05hell\xc3\x03\x01\x04\x02\xff\x01\x02\x02\x06\x03abc\x03\x01\x03\x01a\0",
    ];
    #[cfg(feature = "ws")]
    an_upgrade_is_what_the_rfc_says ws_upgrade &[b""];
    a_hub_is_a_vec history &[b"", b"\x03\x40\x04", b"\x01\xff\x03"];
    a_connection_ends serve &[
        b"\0\0\0\0\0\x04\0\x01\x02\x04\0",
        b"\0\0\0\0\0\x03\x07\x08\x09\0",
        b"\0\0\0\0\0\x01\x0c\0",
        b"\0\0\0\0\0\x01\x0b\0",
        b"\0\0\0\0\x03\x01\x0a\x04\x00\x48\x00\x48",
        b"\x01\x7f\x04\0\0\x05\x01\x03\x05\x06\x0d\x02\x30\x48",
        b"\x02\0\x20\x02\x01\0\x05\x0e\x0f\x06\x02\x01\x06\x00\x48\x49\x60\x30\x00",
        b"\0\0\x04\0\0\x02\x01\x06\0POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3500\r\n\r\n\xfb\xfb\xfb\xfb\xfb",
        b"\x02\0\x08\x10\0\x01\x0c\0GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
          \x81\xfe\x20\xe0\0\0\0\0\xfb\xfb\xfb\xfb\xfb\xfb\xfb\xfb",
        b"\0\0\0\x10\0\x02\x06\x09\x02\x30\x30",
        b"\x02\0\x08\0\0\x01\x01\x03\x30\xff\x9aPOST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n\xfb\xfb\xfb\xfb",
        b"\0\0\x2c\x04\0\0\x01\x06\x05\xfe\xfe\xfe\xfe\xfeGET /%41\xfb HTTP/1.1\r\nHost: h\r\n\r\n\xfb\xfb\xfb\xfb",
        b"\0\0\x04\0\0\x01\x06\x05\xfe\xfe\xfe\xfe\xfeGET /%41\xfb HTTP/1.1\r\nHost: h\r\n\r\n\xfb\xfb\xfb\xfb",
        b"\0\0\0\0\0\x01\x06\0GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\0\0\x08\0\x05\x02\x06\x09\0GET / HTTP/1.1\r\nHost: h\r\na:\xfb\xfb\r\n\r\n\xfb\xfb\xfb",
        b"\0\0\0\0\0\x01\x0c\0GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
          \x81\x85\0\0\0\0hello\x01\xfe\x05\x78\0\0\0\0\xfb\xfb\x89\x80\0\0\0\0\x80\xfe\x05\x78\0\0\0\0\xfb\xfb",
    ];
}

/// Checks a property over the seeds, as they are and mutated.
fn hold(name: &str, check: fn(&[u8]), fronts: &[&[u8]]) {
    let seeds = seeds(name, fronts);
    if let Some(folder) = env::var_os("TIDINGS_CORPUS") {
        let folder = std::path::Path::new(&folder).join(name);
        fs::create_dir_all(&folder).expect("a folder");
        for (place, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("page-{place}")), seed).expect("a seed");
        }
        return;
    }
    for seed in &seeds {
        holds(name, check, seed);
    }
    let words = words();
    let mut rng = Rng::new(number("TIDINGS_MUTATION_SEED").unwrap_or(1));
    for _ in 0..number("TIDINGS_MUTATIONS").unwrap_or(15_000) {
        let mut data = rng.pick(&seeds).clone();
        for _ in 0..1 + rng.below(4) {
            mutate(&mut rng, &mut data, &seeds, &words);
        }
        holds(name, check, &data);
    }
}

fn holds(name: &str, check: fn(&[u8]), data: &[u8]) {
    let held = catch_unwind(AssertUnwindSafe(|| check(data)));
    assert!(held.is_ok(), "{name} does not hold for b\"{}\"", data.escape_ascii());
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

/// What the pages have, or only the bodies or the fields, behind each of the fronts in turn.
fn seeds(name: &str, fronts: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut pages = pages(if name == "frames" { "hex" } else { "http" });
    if name == "chunked" {
        let body = |page: Vec<u8>| Some(page[page.windows(4).position(|w| w == b"\r\n\r\n")? + 4..].to_vec());
        pages = pages.into_iter().filter_map(body).filter(|body| !body.is_empty()).collect();
    }
    if name == "fields" {
        let fields = |page: Vec<u8>| Some(page[page.windows(2).position(|w| w == b"\r\n")? + 2..].to_vec());
        pages = pages.into_iter().filter_map(fields).filter(|fields| !fields.is_empty()).collect();
    }
    let behind = |(place, page): (usize, &Vec<u8>)| [fronts[place % fronts.len()], &page[..]].concat();
    let all = fronts.iter().map(|front| front.to_vec());
    all.chain(pages.iter().enumerate().map(behind)).collect()
}

/// The bytes of every block of a kind, without the long ones.
fn pages(kind: &str) -> Vec<Vec<u8>> {
    let mut pages = Vec::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire");
    let mut names: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    for name in names {
        let text = fs::read_to_string(name).expect("a page");
        let fence = format!("```{kind}\n");
        let blocks = text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
        let bytes =
            blocks.map(|text| if kind == "hex" { block::hex(text) } else { block::input(text).0.concat() });
        pages.extend(bytes.filter(|bytes| bytes.len() <= LONGEST));
    }
    assert!(pages.len() > 90, "the pages are not there");
    pages
}

/// The words of the fuzzer's dictionary.
fn words() -> Vec<Vec<u8>> {
    let quoted = |line: &'static str| line.strip_prefix('"').and_then(|line| line.strip_suffix('"'));
    let words = include_str!("../fuzz/http.dict").lines().filter_map(quoted).map(|word| {
        let mut bytes = Vec::new();
        block::unescape(word, &mut bytes);
        bytes
    });
    words.collect()
}

/// A place, more often near the front, where a property decides.
fn place(rng: &mut Rng, end: usize) -> usize {
    let end = if rng.below(3) == 0 { end.min(12) } else { end };
    rng.below(end + 1).min(end)
}

fn mutate(rng: &mut Rng, data: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[Vec<u8>]) {
    let start = place(rng, data.len());
    let end = (start + rng.below(8)).min(data.len());
    let part = data[start..end].to_vec();
    let new = match rng.below(8) {
        // Another byte, or a bit of it.
        0 => vec![rng.below(256) as u8],
        1 => part.iter().take(1).map(|byte| byte ^ 1 << rng.below(8)).collect(),
        2 => rng.pick(words).clone(),
        // Once more, a few times more, or not at all.
        3 => [&part[..], &part[..]].concat(),
        4 => part.repeat(rng.below(20)),
        5 => Vec::new(),
        6 => [&part[..], &b"\r\n\0 ,:;"[rng.below(7)..][..1]].concat(),
        // From here on another seed.
        _ => {
            let other = rng.pick(seeds);
            data.truncate(start);
            other[place(rng, other.len())..].to_vec()
        }
    };
    let end = if rng.below(2) == 0 { end.min(data.len()) } else { start };
    data.splice(start..end, new);
}
