//! The frames that a server sends: they are appended to a buffer of the caller's, and can be taken apart again.

use super::Opcode;

/// Appends the head of a server's frame. Its length takes as few bytes as possible (RFC 6455, 5.2).
pub fn push_head(opcode: Opcode, length: usize, out: &mut Vec<u8>) {
    out.push(0x80 | opcode as u8);
    match length {
        0..=125 => out.push(length as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Appends a whole frame of a server's.
pub fn push_frame(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    // A head has 10 bytes at most. Room for exactly so many, since most buffers hold one frame.
    out.reserve_exact(10 + payload.len());
    push_head(opcode, payload.len(), out);
    out.extend_from_slice(payload);
}

/// Appends a close with a code that may be sent, and a reason of at most 123 bytes.
pub fn push_close(code: u16, reason: &str, out: &mut Vec<u8>) {
    push_frame(Opcode::Close, &[&code.to_be_bytes(), reason.as_bytes()].concat(), out);
}

/// The payload of the server's text frame at the front, and the bytes behind that frame; `None` if no whole text frame
/// stands there.
pub fn split_text(frames: &[u8]) -> Option<(&[u8], &[u8])> {
    let ([0x81, second], rest) = frames.split_first_chunk()? else { return None };
    let (length, rest) = match second {
        0..=125 => (u64::from(*second), rest),
        126 => rest.split_first_chunk().map(|(length, rest)| (u16::from_be_bytes(*length).into(), rest))?,
        127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        _ => return None,
    };
    rest.split_at_checked(usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_as_few_bytes_as_it_can() {
        let cases: [(usize, &[u8]); 5] = [
            (0, &[0x81, 0]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ];
        for (length, head) in cases {
            let mut out = Vec::new();
            push_head(Opcode::Text, length, &mut out);
            assert_eq!(out, head);
        }
    }

    #[test]
    fn what_is_no_whole_text_frame_is_none() {
        let whole = b"\x81\x02hi\x81\x00";
        assert_eq!(split_text(whole), Some((&b"hi"[..], &b"\x81\x00"[..])));
        for bad in
            [&b""[..], b"\x81", b"\x81\x02h", b"\x82\x00", b"\x01\x00", b"\x81\x80\0\0\0\0", b"\x81\x7e\0"]
        {
            assert_eq!(split_text(bad), None, "{bad:?}");
        }
    }
}
