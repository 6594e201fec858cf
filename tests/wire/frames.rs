//! Plays a page of WebSocket frames through the decoder (`src/proto/frame.rs`).

use tidings::proto::frame::{Found, FrameDecoder, close_code};
use tidings::{Fault, Limits};

/// Decodes what comes, and returns the log.
pub(super) fn play(pieces: &[Vec<u8>], limits: &Limits) -> String {
    let (mut decoder, mut log, mut arrived) = (FrameDecoder::new(), String::new(), 0);
    for piece in pieces {
        let mut rest = &piece[..];
        arrived += rest.len();
        loop {
            let step = decoder.step(rest, decoder.owned() + rest.len(), limits);
            assert!(decoder.owned() <= arrived.min(limits.message + 125), "it owns {}", decoder.owned());
            let Ok((used, found)) = step else {
                stays_over(&mut decoder);
                let fault = step.expect_err("a fault");
                let at = certain(&pieces.concat(), limits);
                return log + &format!("fault {fault:?} {} at {at}\nclosed\n", close_code(fault));
            };
            rest = &rest[used..];
            match line(&found) {
                Some(line) => log += &line,
                None => {
                    assert!(rest.is_empty(), "it needs more, and there is some");
                    break;
                }
            }
            if let Found::Close(_) = found {
                stays_over(&mut decoder);
                return log + "closed\n";
            }
        }
        assert!(decoder.is_under_way() || decoder.owned() <= 125, "nothing is kept between messages");
    }
    log + "need more\n"
}

fn line(found: &Found) -> Option<String> {
    Some(match found {
        Found::Text(text) => format!("text \"{}\"\n", text.escape_debug()),
        Found::Binary(bytes) => format!("binary \"{}\"\n", bytes.escape_ascii()),
        Found::Ping(payload) => format!("ping \"{}\"\n", payload.escape_ascii()),
        Found::Pong(payload) => format!("pong \"{}\"\n", payload.escape_ascii()),
        Found::Close(Some((code, reason))) => format!("close {code} \"{}\"\n", reason.escape_debug()),
        Found::Close(None) => "close\n".to_owned(),
        Found::NeedMore => return None,
        Found::End => panic!("an end out of nothing"),
    })
}

/// What comes behind a close or a fault is not looked at.
fn stays_over(decoder: &mut FrameDecoder) {
    let behind = decoder.step(b"\x81\x80\0\0\0\0", usize::MAX, &Limits::DEFAULT);
    assert_eq!((behind, decoder.owned()), (Ok((0, Found::End)), 0));
}

/// With how many bytes a fault is certain.
fn certain(bytes: &[u8], limits: &Limits) -> usize {
    let (mut decoder, mut at) = (FrameDecoder::new(), 0);
    let mut fault = None::<Fault>;
    while fault.is_none() {
        fault = decoder.step(&bytes[at..=at], usize::MAX, limits).err();
        at += 1;
    }
    at
}
