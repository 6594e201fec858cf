//! The `http` and `hex` blocks of the golden pages; `tests/wire/README.md` says how they are written.
#![allow(unreachable_pub, reason = "test files share it")]

/// The bytes between the waits, and whether the input ends.
pub fn input(block: &str) -> (Vec<Vec<u8>>, bool) {
    let mut parts = vec![Vec::new()];
    for line in block.lines() {
        let part = parts.last_mut().expect("a part");
        match line {
            "{EOF}" => {
                parts.retain(|part| !part.is_empty());
                return (parts, true);
            }
            "{pause}" => parts.push(Vec::new()),
            // Markdown has no way to show a blank at the end of a line, and editors eat it: `\x20` stands for it.
            line => match line.strip_suffix('\\').filter(|line| !line.ends_with('\\')) {
                Some(line) => unescape(line, part),
                None => {
                    unescape(line, part);
                    part.extend_from_slice(b"\r\n");
                }
            },
        }
    }
    parts.retain(|part| !part.is_empty());
    (parts, false)
}

/// The bytes of a block in hex, with text in quotes.
pub fn hex(block: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (place, part) in block.split('"').enumerate() {
        if place % 2 == 1 {
            unescape(part, &mut bytes);
            continue;
        }
        let digits: Vec<u8> = part.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        for pair in digits.chunks(2) {
            let pair = std::str::from_utf8(pair).expect("digits");
            bytes.push(u8::from_str_radix(pair, 16).expect("two hex digits"));
        }
    }
    bytes
}

/// The bytes that a line stands for, without its end.
pub fn unescape(line: &str, out: &mut Vec<u8>) {
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let repeat = rest.strip_prefix('{').and_then(|r| r.split_once('}'));
        if let Some((count, text)) = repeat.and_then(|(inner, _)| inner.split_once(" x ")) {
            let mut once = Vec::new();
            unescape(text, &mut once);
            out.extend(once.repeat(count.parse().expect("a count")));
            rest = repeat.expect("a repeat").1;
        } else if first == '\\' {
            rest = escape(&rest[1..], out);
        } else {
            out.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[first.len_utf8()..];
        }
    }
}

/// Reads what follows a backslash; returns the rest.
fn escape<'t>(text: &'t str, out: &mut Vec<u8>) -> &'t str {
    if let Some(hex) = text.strip_prefix('x') {
        out.push(u8::from_str_radix(&hex[..2], 16).expect("two hex digits"));
        return &hex[2..];
    }
    let (at, byte) = [('r', b'\r'), ('n', b'\n'), ('t', b'\t'), ('0', 0), ('\\', b'\\'), ('{', b'{')]
        .into_iter()
        .find(|(name, _)| text.starts_with(*name))
        .unwrap_or_else(|| panic!("no escape: \\{text}"));
    out.push(byte);
    &text[at.len_utf8()..]
}
