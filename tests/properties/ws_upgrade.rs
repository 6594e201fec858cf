//! An upgrade is accepted if, and only if, RFC 6455, 4.2.1 read by the letter agrees, and answered as 4.2.2 says.

use sha1::{Digest, Sha1};
use tidings::proto::Step;
use tidings::proto::http1::{Http1, NextHead};
use tidings::proto::ws::{Upgrade, is_upgrade, offered};
use tidings::{Fault, Head, Limits};

use super::input::Input;
use super::naive;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub fn check(data: &[u8]) {
    let bytes = Input::new(data).rest();
    let Ok(Step::Complete((head, used))) = Head::parse(bytes, &Limits::DEFAULT) else { return };
    let lines = naive::head(bytes).expect("lines");
    let told = Upgrade::of(&head);
    assert_eq!(told.is_ok(), is_handshake(&lines), "{told:?}");
    match &told {
        Ok(upgrade) => {
            assert!(is_upgrade(&head));
            accepts(&head, &lines, &upgrade.accept, &bytes[used..]);
        }
        Err(Fault::UpgradeRequired) => assert!(!is_upgrade(&head)),
        Err(Fault::WebSocketVersion) => assert_ne!(lines.values("sec-websocket-version"), [b"13"]),
        Err(fault) => assert!(matches!(fault, Fault::Handshake(_))),
    }
    if let Some(names) = offered(&head) {
        let mut distinct: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        assert!(distinct.iter().all(|name| naive::is_token(name)));
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len());
    }
}

/// RFC 6455, 4.2.1, without regard to speed.
fn is_handshake(head: &naive::Head<'_>) -> bool {
    let lists = |name: &str, option: &[u8]| head.list(name).iter().any(|element| element == option);
    let body = !head.values("transfer-encoding").is_empty()
        || head.values("content-length").iter().any(|length| length.iter().any(|digit| *digit != b'0'));
    let key = head.values("sec-websocket-key");
    let mut protocols: Vec<&[u8]> = Vec::new();
    for value in head.values("sec-websocket-protocol") {
        protocols.extend(value.split(|b| *b == b',').map(naive::trim).filter(|name| !name.is_empty()));
    }
    let repeated = |place: usize| protocols[..place].contains(&protocols[place]);
    head.method == b"GET"
        && head.minor > 0
        && !body
        && lists("connection", b"upgrade")
        && lists("upgrade", b"websocket")
        && head.values("sec-websocket-version") == [b"13"]
        && key.len() == 1
        && is_key(key[0])
        && head.values("sec-websocket-extensions").into_iter().all(are_extensions)
        && protocols.iter().all(|name| naive::is_token(name))
        && !(0..protocols.len()).any(repeated)
}

/// 16 bytes in base64: 22 digits, and twice `=`.
fn is_key(key: &[u8]) -> bool {
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(|digit| ALPHABET.contains(digit))
}

/// `#( token *( ";" token [ "=" ( token / quoted-string that is a token ) ] ) )` (RFC 6455, 9.1), of which elements may
/// be empty.
fn are_extensions(value: &[u8]) -> bool {
    let Some(words) = words(value) else { return false };
    words.split(|word| matches!(word, Word::Mark(b','))).all(is_extension)
}

fn is_extension(words: &[Word]) -> bool {
    let mut rest = match words {
        [] => return true,
        [Word::Token, tail @ ..] => tail,
        _ => return false,
    };
    while let [Word::Mark(b';'), Word::Token, tail @ ..] = rest {
        rest = match tail {
            [Word::Mark(b'='), Word::Token | Word::Quoted, tail @ ..] => tail,
            tail => tail,
        };
    }
    rest.is_empty()
}

enum Word {
    Token,
    /// Quoted text that is a token.
    Quoted,
    Mark(u8),
}

/// Splits a value into words; `None` if it is not made of such.
fn words(value: &[u8]) -> Option<Vec<Word>> {
    let (mut words, mut token, mut bytes) = (Vec::new(), false, value.iter().copied());
    while let Some(byte) = bytes.next() {
        if naive::is_token(&[byte]) {
            if !token {
                words.push(Word::Token);
            }
            token = true;
            continue;
        }
        token = false;
        match byte {
            b' ' | b'\t' => {}
            b'"' => {
                let mut text = Vec::new();
                loop {
                    match bytes.next()? {
                        b'"' => break,
                        b'\\' => text.push(bytes.next()?),
                        byte => text.push(byte),
                    }
                }
                words.push(naive::is_token(&text).then_some(Word::Quoted)?);
            }
            byte => words.push(Word::Mark(byte)),
        }
    }
    Some(words)
}

/// The answer is the one that the client waits for, and what came behind the head is handed on.
fn accepts(head: &Head, lines: &naive::Head<'_>, accept: &str, behind: &[u8]) {
    let key = lines.values("sec-websocket-key")[0];
    let digest = Sha1::digest([key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat());
    assert_eq!(accept, base64(&digest));
    let (mut http, mut out) = (Http1::new(), Vec::new());
    http.receive(&[&minimal(lines)[..], behind].concat());
    assert!(matches!(http.head(&mut Head::default(), &Limits::DEFAULT), Ok(NextHead::Whole)));
    let protocol = offered(head).expect("tokens").first().copied();
    assert_eq!(http.upgrade(accept, protocol, None, &Default::default(), &mut out), behind);
    let answer = naive::answer(&out, false).expect("all of it");
    assert_eq!((answer.status, answer.used), (101, out.len()));
    assert!(answer.has_option("upgrade"));
    assert_eq!(answer.field("upgrade"), Some(&b"websocket"[..]));
    assert_eq!(answer.field("sec-websocket-accept"), Some(accept.as_bytes()));
    assert_eq!(answer.field("sec-websocket-protocol"), protocol.map(str::as_bytes));
    assert!(matches!(http.head(&mut Head::default(), &Limits::DEFAULT), Ok(NextHead::End)));
}

/// The same handshake again, from its parts.
fn minimal(lines: &naive::Head<'_>) -> Vec<u8> {
    let mut head = [b"GET ", lines.target, b" HTTP/1.1\r\n"].concat();
    for (name, value) in &lines.fields {
        head.extend([*name, b": ", *value, b"\r\n"].concat());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Base64 (RFC 4648, 4) of 20 bytes.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(three.get(at).copied().unwrap_or(0)));
        for digit in 0..4 {
            let place = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= three.len() { char::from(ALPHABET[place]) } else { '=' });
        }
    }
    text
}
