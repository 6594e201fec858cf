//! WebSocket frames (RFC 6455, 5): [`FrameDecoder`] makes messages of the frames that a client sends; the `push_` functions
//! append the frames that the server sends to a buffer of the caller's.
//!
//! The decoder is a state machine, whose states say what the next byte is. A frame is refused by the first byte that makes
//! it wrong; a fault leads to `Nothing`:
//!
//! | state     | the next byte is                       | leaves by                                             |
//! | --------- | -------------------------------------- | ----------------------------------------------------- |
//! | `First`   | FIN, the reserved bits and the opcode  | → `Second`                                            |
//! | `Second`  | the mask bit and 7 bits of length      | 126 or 127 → `Length`; the length itself → `Mask`     |
//! | `Length`  | part of a length of 2 or 8 bytes       | its last byte → `Mask`                                |
//! | `Mask`    | part of the masking key                | its last byte → `Payload`                             |
//! | `Payload` | payload, if the frame has any          | its last byte → `First`, or `Nothing` behind a close  |
//! | `Nothing` | not looked at                          |                                                       |
//!
//! Which frames may begin depends on the message under way; a control frame may come at any time:
//!
//! | under way | may begin                | ends by                                        |
//! | --------- | ------------------------ | ---------------------------------------------- |
//! | nothing   | text, binary             | such a frame: that kind of message is under way |
//! | a message | a continuation           | the end of a frame with FIN: the message is whole |

mod encode;

pub use self::encode::{push_close, push_frame, push_head, split_text};
use crate::error::Fault;
use crate::limits::Limits;

/// The most payload of a control frame (RFC 6455, 5.5).
const MOST_CONTROL: u8 = 125;

/// The opcode of a frame (RFC 6455, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A further piece of the message under way.
    Continuation = 0,
    /// Text, or its first piece.
    Text = 1,
    /// Bytes, or their first piece.
    Binary = 2,
    /// A close, with a code and a reason or without either.
    Close = 8,
    /// A ping, which asks for a pong.
    Ping = 9,
    /// The answer to a ping.
    Pong = 10,
}

impl Opcode {
    fn of(bits: u8) -> Option<Opcode> {
        use Opcode::{Binary, Close, Continuation, Ping, Pong, Text};
        [Continuation, Text, Binary, Close, Ping, Pong].into_iter().find(|opcode| *opcode as u8 == bits)
    }

    fn is_control(self) -> bool {
        self as u8 >= Opcode::Close as u8
    }
}

/// What one step of the decoder found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole message of text.
    Text(String),
    /// A whole message of bytes.
    Binary(Vec<u8>),
    /// The payload of a ping; a pong with the same payload is to be sent.
    Ping(Vec<u8>),
    /// The payload of a pong.
    Pong(Vec<u8>),
    /// A close, with its code and reason if it has them. Nothing behind it is read.
    Close(Option<(u16, String)>),
    /// All of the input is used, and no message or control frame is whole.
    NeedMore,
    /// Nothing more is read: a close or a fault came before.
    End,
}

/// Finds the messages in the frames of a client. The messages do not depend on how the input is cut.
///
/// The decoder owns no memory between messages, and never more than one and a half times the payload that has arrived: it
/// makes no room for the length that the head of a frame announces.
#[derive(Clone, Debug, Default)]
pub struct FrameDecoder {
    next: NextByte,
    /// The kind of the message under way; `None` between messages.
    message: Option<Kind>,
    /// The payload of the message under way as far as it has arrived, and behind it that of a control frame. At most
    /// [`Limits::message`] and 125 bytes; it owns no memory while it is empty.
    data: Vec<u8>,
    /// How many bytes at the end of `data` belong to a control frame that is not whole.
    control: u8,
    /// How many bytes at the end of the text under way are the beginning of a character.
    torn: u8,
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

/// What the first byte of a frame says about the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FrameStart {
    opcode: Opcode,
    /// FIN: the message ends with this frame.
    last: bool,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum NextByte {
    /// FIN, the reserved bits and the opcode.
    #[default]
    First,
    /// The mask bit and 7 bits of length.
    Second(FrameStart),
    /// One of `left` further bytes of a length; the bytes before them make `length`.
    Length { frame: FrameStart, left: u8, length: u64 },
    /// One of `left` further bytes of the masking key; the bytes before them make `key`.
    Mask { frame: FrameStart, left: u8, key: u32, length: u64 },
    /// One of `left` further bytes of payload; `key` is rotated so that its first byte is for the next byte.
    Payload { frame: FrameStart, key: [u8; 4], left: u64 },
    /// Nothing.
    Nothing,
}

impl FrameDecoder {
    /// A decoder that has no input yet.
    pub fn new() -> FrameDecoder {
        FrameDecoder::default()
    }

    /// How many bytes of memory the decoder owns.
    pub fn owned(&self) -> usize {
        self.data.capacity()
    }

    /// Whether a message has begun that is not whole.
    pub fn is_under_way(&self) -> bool {
        self.message.is_some()
    }

    /// Finds the next message or control frame; returns how many bytes of the input are used up with it. The decoder owns
    /// the payload that has arrived, or with spare memory for growth at most `room` bytes.
    ///
    /// # Errors
    ///
    /// The first fault in the order of the bytes. Nothing more is read after it.
    pub fn step(&mut self, input: &[u8], room: usize, limits: &Limits) -> Result<(usize, Found), Fault> {
        if let Some((used, found)) = self.short_message(input, limits) {
            return Ok((used, found));
        }
        let step = self.advance(input, room, limits);
        if let Err(_) | Ok((_, Found::Close(_))) = step {
            *self = FrameDecoder { next: NextByte::Nothing, ..FrameDecoder::new() };
        }
        step
    }

    /// The next message, if it is one whole short frame, as most are; with the number of bytes that it takes. Whatever is wrong
    /// with it is found by [`advance`](FrameDecoder::advance).
    fn short_message(&self, input: &[u8], limits: &Limits) -> Option<(usize, Found)> {
        let [first @ (0x81 | 0x82), second @ 0x80..=0xfd, rest @ ..] = input else { return None };
        let length = usize::from(second & 0x7f);
        let (key, rest) = rest.split_first_chunk::<4>()?;
        let fits = self.next == NextByte::First && self.message.is_none() && length <= limits.message;
        let mut data = rest.get(..length).filter(|_| fits)?.to_vec();
        unmask(&mut data, *key);
        let found = match first {
            0x81 => Found::Text(String::from_utf8(data).ok()?),
            _ => Found::Binary(data),
        };
        Some((6 + length, found))
    }

    fn advance(&mut self, input: &[u8], room: usize, limits: &Limits) -> Result<(usize, Found), Fault> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            match (self.next, rest.first()) {
                (NextByte::Nothing, _) => return Ok((used, Found::End)),
                (NextByte::Payload { frame, left: 0, .. }, _) => {
                    self.next = NextByte::First;
                    if let Some(found) = self.finish_frame(frame)? {
                        return Ok((used, found));
                    }
                }
                (_, None) => return Ok((used, Found::NeedMore)),
                (NextByte::Payload { frame, key, left }, Some(_)) => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let (part, _) = rest.split_at(length);
                    used += length;
                    self.payload(frame, key, left - length as u64, part, room, limits)?;
                }
                (_, Some(byte)) => {
                    self.next = self.head_byte(*byte, limits)?;
                    used += 1;
                }
            }
        }
    }

    /// What comes after one more byte of a frame's head.
    fn head_byte(&mut self, byte: u8, limits: &Limits) -> Result<NextByte, Fault> {
        match self.next {
            NextByte::First => self.first_byte(byte),
            NextByte::Second(frame) => self.second_byte(frame, byte, limits),
            NextByte::Length { frame, left, length } => {
                self.length_byte(frame, left.saturating_sub(1), length << 8 | u64::from(byte), limits)
            }
            NextByte::Mask { frame, left, key, length } => {
                let key = key << 8 | u32::from(byte);
                Ok(match left {
                    0 | 1 => NextByte::Payload { frame, key: key.to_be_bytes(), left: length },
                    _ => NextByte::Mask { frame, left: left - 1, key, length },
                })
            }
            // `advance` handles these two itself.
            next @ (NextByte::Payload { .. } | NextByte::Nothing) => Ok(next),
        }
    }

    fn first_byte(&mut self, byte: u8) -> Result<NextByte, Fault> {
        // The reserved bits are for extensions, of which none was agreed on.
        let opcode = Opcode::of(byte & 0x7f).ok_or(Fault::Frame)?;
        let last = byte & 0x80 != 0;
        self.message = match (opcode, self.message) {
            (Opcode::Text, None) => Some(Kind::Text),
            (Opcode::Binary, None) => Some(Kind::Binary),
            (Opcode::Continuation, Some(_)) => self.message,
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) if last => self.message,
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => return Err(Fault::ControlFrame),
            _ => return Err(Fault::Fragments),
        };
        Ok(NextByte::Second(FrameStart { opcode, last }))
    }

    fn second_byte(&self, frame: FrameStart, byte: u8, limits: &Limits) -> Result<NextByte, Fault> {
        if byte & 0x80 == 0 {
            return Err(Fault::Unmasked);
        }
        match (byte & 0x7f, frame.opcode) {
            (length, opcode) if length > MOST_CONTROL && opcode.is_control() => Err(Fault::ControlFrame),
            // A close code has two bytes.
            (1, Opcode::Close) => Err(Fault::CloseFrame),
            // A length in 2 or 8 bytes is at least the shortest that needs so many bytes.
            (126, _) => {
                self.fits(frame, 126, limits).map(|()| NextByte::Length { frame, left: 2, length: 0 })
            }
            (127, _) => {
                self.fits(frame, 0x1_0000, limits).map(|()| NextByte::Length { frame, left: 8, length: 0 })
            }
            (length, _) => self.announced(frame, length.into(), limits),
        }
    }

    /// What comes after one more byte of a length of 2 or 8 bytes.
    fn length_byte(
        &self,
        frame: FrameStart,
        left: u8,
        length: u64,
        limits: &Limits,
    ) -> Result<NextByte, Fault> {
        let legal = match left {
            // The first bit is 0, and the length does not fit into fewer bytes.
            7 => length < 0x80,
            2 => length > 0,
            0 => length > MOST_CONTROL.into(),
            _ => true,
        };
        if !legal {
            return Err(Fault::Frame);
        }
        // The length is at least this, whatever its further bytes are.
        self.fits(frame, length << (8 * u32::from(left)), limits)?;
        match left {
            0 => self.announced(frame, length, limits),
            _ => Ok(NextByte::Length { frame, left, length }),
        }
    }

    /// What comes after a whole length.
    fn announced(&self, frame: FrameStart, length: u64, limits: &Limits) -> Result<NextByte, Fault> {
        self.fits(frame, length, limits)?;
        if frame.last && !frame.opcode.is_control() {
            // The last frame must have room for the rest of a torn character.
            let at = self.data.len().saturating_sub(self.torn.into());
            torn(self.data.get(at..).unwrap_or_default(), Some(length))?;
        }
        Ok(NextByte::Mask { frame, left: 4, key: 0, length })
    }

    /// Checks that a frame of at least this length fits into [`Limits::message`].
    fn fits(&self, frame: FrameStart, length: u64, limits: &Limits) -> Result<(), Fault> {
        let room = limits.message.saturating_sub(self.data.len()) as u64;
        if frame.opcode.is_control() || length <= room { Ok(()) } else { Err(Fault::MessageTooLarge) }
    }

    /// Takes a part of a frame's payload, behind which `left` more bytes are to come.
    fn payload(
        &mut self,
        frame: FrameStart,
        mut key: [u8; 4],
        left: u64,
        part: &[u8],
        room: usize,
        limits: &Limits,
    ) -> Result<(), Fault> {
        self.grow(frame, left, part.len(), room, limits);
        let at = self.data.len();
        self.data.extend_from_slice(part);
        unmask(self.data.get_mut(at..).unwrap_or_default(), key);
        key.rotate_left(part.len() % 4);
        self.next = NextByte::Payload { frame, key, left };
        match (frame.opcode, self.message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {
                // Never above 125: `second_byte` has refused that.
                self.control = self.control.saturating_add(u8::try_from(part.len()).unwrap_or(MOST_CONTROL));
                if frame.opcode == Opcode::Close {
                    close_so_far(self.control(), left).map(|_| ())
                } else {
                    Ok(())
                }
            }
            // A text whose last byte has arrived is checked as a whole, in `take_message`.
            (_, Some(Kind::Text)) if !frame.last => self.check_text(part.len(), None),
            (_, Some(Kind::Text)) if left > 0 => self.check_text(part.len(), Some(left)),
            _ => Ok(()),
        }
    }

    /// Makes room for a part of a frame's payload, and for half as much again: else a large message that comes in small
    /// parts would be copied for each part.
    fn grow(&mut self, frame: FrameStart, left: u64, part: usize, room: usize, limits: &Limits) {
        let needed = self.data.len() + part;
        if needed > self.data.capacity() {
            let end = match frame.last {
                true => needed.saturating_add(usize::try_from(left).unwrap_or(usize::MAX)),
                false => limits.message,
            };
            let wanted = (needed + needed / 2).min(end).min(room).max(needed);
            self.data.reserve_exact(wanted - self.data.len());
        }
    }

    /// Checks the text under way as far as it has arrived. Its last `new` bytes were not checked yet; `left` more bytes are to
    /// come, if that is known.
    fn check_text(&mut self, new: usize, left: Option<u64>) -> Result<(), Fault> {
        let at = self.data.len().saturating_sub(new + usize::from(self.torn));
        self.torn = torn(self.data.get(at..).unwrap_or_default(), left)?;
        Ok(())
    }

    /// The payload of the control frame under way as far as it has arrived.
    fn control(&self) -> &[u8] {
        let at = self.data.len().saturating_sub(self.control.into());
        self.data.get(at..).unwrap_or_default()
    }

    /// The message or control frame that ends with this frame, whose last byte has arrived.
    fn finish_frame(&mut self, frame: FrameStart) -> Result<Option<Found>, Fault> {
        match frame.opcode {
            Opcode::Close => whole_close(self.control()).map(|close| Some(Found::Close(close))),
            Opcode::Ping => Ok(Some(Found::Ping(self.take_control()))),
            Opcode::Pong => Ok(Some(Found::Pong(self.take_control()))),
            Opcode::Continuation | Opcode::Text | Opcode::Binary if !frame.last => Ok(None),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => self.take_message().map(Some),
        }
    }

    fn take_control(&mut self) -> Vec<u8> {
        let at = self.data.len().saturating_sub(self.control.into());
        self.control = 0;
        if at == 0 { core::mem::take(&mut self.data) } else { self.data.split_off(at) }
    }

    fn take_message(&mut self) -> Result<Found, Fault> {
        let data = core::mem::take(&mut self.data);
        self.torn = 0;
        match self.message.take() {
            Some(Kind::Text) => String::from_utf8(data).map(Found::Text).map_err(|_| Fault::NotUtf8),
            _ => Ok(Found::Binary(data)),
        }
    }
}

/// How many bytes at the end of a text are the beginning of a character. `left` more bytes are to come, if that is known: a
/// character that they cannot end is a fault.
fn torn(text: &[u8], left: Option<u64>) -> Result<u8, Fault> {
    let Err(error) = core::str::from_utf8(text) else { return Ok(0) };
    let (_, rest) = text.split_at(error.valid_up_to());
    let size = match rest.first() {
        // The text ends within a character of so many bytes, whose first bytes are legal.
        Some(..0xe0) if error.error_len().is_none() => 2,
        Some(0xe0..0xf0) if error.error_len().is_none() => 3,
        Some(_) if error.error_len().is_none() => 4,
        _ => return Err(Fault::NotUtf8),
    };
    if left.is_some_and(|left| left < size - rest.len() as u64) {
        return Err(Fault::NotUtf8);
    }
    Ok(rest.len() as u8)
}

/// The code and the beginning of the reason in the payload of a close, behind which `left` more bytes are to come.
fn close_so_far(payload: &[u8], left: u64) -> Result<Option<(u16, &[u8])>, Fault> {
    if let [first] = payload {
        let mut codes = (0..=0xff).map(|second| u16::from_be_bytes([*first, second]));
        return if codes.any(is_close_code) { Ok(None) } else { Err(Fault::CloseFrame) };
    }
    let Some((code, reason)) = payload.split_first_chunk() else { return Ok(None) };
    let code = u16::from_be_bytes(*code);
    if !is_close_code(code) {
        return Err(Fault::CloseFrame);
    }
    torn(reason, Some(left))?;
    Ok(Some((code, reason)))
}

fn whole_close(payload: &[u8]) -> Result<Option<(u16, String)>, Fault> {
    let Some((code, reason)) = close_so_far(payload, 0)? else { return Ok(None) };
    let reason = core::str::from_utf8(reason).map_err(|_| Fault::NotUtf8)?;
    Ok(Some((code, reason.to_owned())))
}

/// Whether this code may stand in a close frame (RFC 6455, 7.4): it is assigned and not reserved for use within a program,
/// or it is for libraries and applications.
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The code of the close that tells the client of a fault (RFC 6455, 7.4.1).
pub fn close_code(fault: Fault) -> u16 {
    match fault {
        Fault::NotUtf8 => 1007,
        Fault::MessageTooLarge => 1009,
        _ => 1002,
    }
}

/// Removes a mask (RFC 6455, 5.3), eight bytes at a time, which compiles to SIMD: byte by byte takes at least 20 times as long.
fn unmask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        // It never fails: each chunk has eight bytes.
        if let Ok(eight) = <&mut [u8; 8]>::try_from(chunk) {
            *eight = (u64::from_ne_bytes(*eight) ^ wide).to_ne_bytes();
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(key.into_iter().chain(key)) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_by_half_up_to_the_limit_the_end_of_the_message_and_the_room() {
        let owned = |head: &[u8], part: usize, room: usize| {
            let (mut decoder, mut limits) = (FrameDecoder::new(), Limits::DEFAULT);
            limits.message = 1000;
            let step = decoder.step(&[head, &[0; 4], &vec![0; part]].concat(), room, &limits);
            assert!(matches!(step, Ok((_, Found::NeedMore))));
            decoder.owned()
        };
        // A frame of 1000 bytes, with and without FIN; and one of 700 with FIN.
        assert_eq!(owned(b"\x82\xfe\x03\xe8", 400, usize::MAX), 600);
        assert_eq!(owned(b"\x02\xfe\x03\xe8", 900, usize::MAX), 1000);
        assert_eq!(owned(b"\x82\xfe\x02\xbc", 600, usize::MAX), 700);
        assert_eq!(owned(b"\x82\xfe\x03\xe8", 400, 500), 500);
        assert_eq!(owned(b"\x82\xfe\x03\xe8", 400, 0), 400);
    }
}
