//! WebSocket frames (RFC 6455, 5): [`Decoder`] makes messages of what a client sends; what a server sends is appended
//! to a buffer of the caller's.
//!
//! The decoder is a state machine, named by what the next byte is. Whatever is not legal there is a fault, at the first
//! byte that makes it certain, and leads to `Over`:
//!
//! | state     | the next byte is                       | leaves by                                             |
//! | --------- | -------------------------------------- | ----------------------------------------------------- |
//! | `First`   | FIN, the reserved bits and the opcode  | → `Second`                                            |
//! | `Second`  | the mask bit and 7 bits of length      | 126 or 127 → `Length`; the length itself → `Mask`     |
//! | `Length`  | of a length of 2 or 8 bytes            | the last one → `Mask`                                 |
//! | `Mask`    | of the masking key                     | the last one → `Payload`                              |
//! | `Payload` | payload, if the frame has any          | the last one → `First`; that of a close → `Over`      |
//! | `Over`    | not looked at                          |                                                       |
//!
//! Across frames, what may begin depends on the message under way; a control frame may come at any time:
//!
//! | under way | may begin                | leaves by                                      |
//! | --------- | ------------------------ | ---------------------------------------------- |
//! | nothing   | text, binary             | such a frame: that kind of message is under way |
//! | a message | a continuation           | the end of a frame with FIN: the message is whole |

mod encode;

pub use self::encode::{push_close, push_frame, push_head, split_text};
use crate::error::Fault;
use crate::limits::Limits;

/// The most payload of a control frame (RFC 6455, 5.5).
const CONTROL: u8 = 125;

/// What a frame carries (RFC 6455, 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A further piece of the message under way.
    Continuation = 0,
    /// Text, or its first piece.
    Text = 1,
    /// Bytes, or their first piece.
    Binary = 2,
    /// The close: a code and a reason, or nothing.
    Close = 8,
    /// A question for a pong.
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

/// What a decoder found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole message of text.
    Text(String),
    /// A whole message of bytes.
    Binary(Vec<u8>),
    /// A ping, which is owed a pong with the same payload.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// The close, with its code and reason if it has them. Nothing behind it is read.
    Close(Option<(u16, String)>),
    /// All input is used, and more is to come.
    NeedMore,
    /// Nothing more is read: a close or a fault came before.
    End,
}

/// Finds the messages in what a client sends, however it is cut.
///
/// What it owns is never more than the payload that has arrived and half of that again, and nothing between messages:
/// what a head announces is refused or believed, but not made room for.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    state: State,
    /// What is under way since a frame began it, if anything is.
    message: Option<Kind>,
    /// The payload of the message under way as far as it came, and behind it that of a control frame. At most
    /// [`Limits::message`] and 125 bytes; it owns no memory while it is empty.
    data: Vec<u8>,
    /// How many bytes at the end of `data` are of a control frame that is not whole.
    control: u8,
    /// How many bytes at the end of the text under way are the beginning of a character.
    torn: u8,
}

/// What a message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

/// What the first byte of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    opcode: Opcode,
    /// FIN: the message ends with this frame.
    last: bool,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// FIN, the reserved bits and the opcode.
    #[default]
    First,
    /// The mask bit and 7 bits of length.
    Second(Frame),
    /// One of the `left` bytes that are to come behind those that make `length`.
    Length { frame: Frame, left: u8, length: u64 },
    /// One of the `left` bytes that are to come behind those that make `key`.
    Mask { frame: Frame, left: u8, key: u32, length: u64 },
    /// One of the `left` bytes of payload; `key` is turned so that its first byte is for the next one.
    Payload { frame: Frame, key: [u8; 4], left: u64 },
    /// Nothing.
    Over,
}

impl Decoder {
    /// A decoder to which nothing came.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// How many bytes of memory it owns.
    pub fn owned(&self) -> usize {
        self.data.capacity()
    }

    /// Whether a message was begun that is not whole.
    pub fn is_under_way(&self) -> bool {
        self.message.is_some()
    }

    /// Finds what comes next; returns how much of the input is used up with it. Of what arrives it keeps what it must;
    /// beyond that, for growth, it owns at most `room` bytes.
    ///
    /// # Errors
    ///
    /// The first fault in the order of the bytes. Nothing more is read after it.
    pub fn step(&mut self, input: &[u8], room: usize, limits: &Limits) -> Result<(usize, Found), Fault> {
        let step = self.advance(input, room, limits);
        if let Err(_) | Ok((_, Found::Close(_))) = step {
            *self = Decoder { state: State::Over, ..Decoder::new() };
        }
        step
    }

    fn advance(&mut self, input: &[u8], room: usize, limits: &Limits) -> Result<(usize, Found), Fault> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            match (self.state, rest.first()) {
                (State::Over, _) => return Ok((used, Found::End)),
                (State::Payload { frame, left: 0, .. }, _) => {
                    self.state = State::First;
                    if let Some(found) = self.finish(frame)? {
                        return Ok((used, found));
                    }
                }
                (_, None) => return Ok((used, Found::NeedMore)),
                (State::Payload { frame, key, left }, Some(_)) => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let (part, _) = rest.split_at(length);
                    used += length;
                    self.payload(frame, key, left - length as u64, part, room, limits)?;
                }
                (_, Some(byte)) => {
                    self.state = self.head(*byte, limits)?;
                    used += 1;
                }
            }
        }
    }

    /// The state after one more byte of a frame's head.
    fn head(&mut self, byte: u8, limits: &Limits) -> Result<State, Fault> {
        match self.state {
            State::First => self.first(byte),
            State::Second(frame) => self.second(frame, byte, limits),
            State::Length { frame, left, length } => {
                self.length(frame, left.saturating_sub(1), length << 8 | u64::from(byte), limits)
            }
            State::Mask { frame, left, key, length } => {
                let key = key << 8 | u32::from(byte);
                Ok(match left {
                    0 | 1 => State::Payload { frame, key: key.to_be_bytes(), left: length },
                    _ => State::Mask { frame, left: left - 1, key, length },
                })
            }
            // `advance` has seen to these.
            state @ (State::Payload { .. } | State::Over) => Ok(state),
        }
    }

    fn first(&mut self, byte: u8) -> Result<State, Fault> {
        // The reserved bits are for extensions, and none was agreed on.
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
        Ok(State::Second(Frame { opcode, last }))
    }

    fn second(&self, frame: Frame, byte: u8, limits: &Limits) -> Result<State, Fault> {
        if byte & 0x80 == 0 {
            return Err(Fault::Unmasked);
        }
        match (byte & 0x7f, frame.opcode) {
            (length, opcode) if length > CONTROL && opcode.is_control() => Err(Fault::ControlFrame),
            // A code has two bytes.
            (1, Opcode::Close) => Err(Fault::CloseFrame),
            // What takes so many bytes is at least so long.
            (126, _) => self.fits(frame, 126, limits).map(|()| State::Length { frame, left: 2, length: 0 }),
            (127, _) => {
                self.fits(frame, 0x1_0000, limits).map(|()| State::Length { frame, left: 8, length: 0 })
            }
            (length, _) => self.announced(frame, length.into(), limits),
        }
    }

    /// The state after one more byte of a length of 2 or 8 bytes.
    fn length(&self, frame: Frame, left: u8, length: u64, limits: &Limits) -> Result<State, Fault> {
        let legal = match left {
            // The first bit is 0, and no shorter form would do.
            7 => length < 0x80,
            2 => length > 0,
            0 => length > CONTROL.into(),
            _ => true,
        };
        if !legal {
            return Err(Fault::Frame);
        }
        // It is at least what the bytes that came make it.
        self.fits(frame, length << (8 * u32::from(left)), limits)?;
        match left {
            0 => self.announced(frame, length, limits),
            _ => Ok(State::Length { frame, left, length }),
        }
    }

    /// The state after a length.
    fn announced(&self, frame: Frame, length: u64, limits: &Limits) -> Result<State, Fault> {
        self.fits(frame, length, limits)?;
        if frame.last && !frame.opcode.is_control() {
            // A torn character is to be ended in the last frame.
            let at = self.data.len().saturating_sub(self.torn.into());
            torn(self.data.get(at..).unwrap_or_default(), Some(length))?;
        }
        Ok(State::Mask { frame, left: 4, key: 0, length })
    }

    /// Whether a frame of at least this length may come.
    fn fits(&self, frame: Frame, length: u64, limits: &Limits) -> Result<(), Fault> {
        let room = limits.message.saturating_sub(self.data.len()) as u64;
        if frame.opcode.is_control() || length <= room { Ok(()) } else { Err(Fault::MessageTooLarge) }
    }

    /// Takes a part of a frame's payload, behind which `left` bytes are to come.
    fn payload(
        &mut self,
        frame: Frame,
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
        self.state = State::Payload { frame, key, left };
        match (frame.opcode, self.message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {
                // Never above 125: `second` has refused that.
                self.control = self.control.saturating_add(u8::try_from(part.len()).unwrap_or(CONTROL));
                if frame.opcode == Opcode::Close {
                    close_of(self.control(), left).map(|_| ())
                } else {
                    Ok(())
                }
            }
            // With its last byte, all of a text is checked at once.
            (_, Some(Kind::Text)) if !frame.last => self.check_text(part.len(), None),
            (_, Some(Kind::Text)) if left > 0 => self.check_text(part.len(), Some(left)),
            _ => Ok(()),
        }
    }

    /// Makes room for a part of a frame's payload. By half more than it takes, or a large message that comes in small
    /// parts would be copied for each of them.
    fn grow(&mut self, frame: Frame, left: u64, part: usize, room: usize, limits: &Limits) {
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

    /// Checks the text under way as far as it came; `new` bytes were not checked yet, and `left` are to come, if that is
    /// known.
    fn check_text(&mut self, new: usize, left: Option<u64>) -> Result<(), Fault> {
        let at = self.data.len().saturating_sub(new + usize::from(self.torn));
        self.torn = torn(self.data.get(at..).unwrap_or_default(), left)?;
        Ok(())
    }

    /// The payload of the control frame under way as far as it came.
    fn control(&self) -> &[u8] {
        let at = self.data.len().saturating_sub(self.control.into());
        self.data.get(at..).unwrap_or_default()
    }

    /// What a frame brings whose last byte has come.
    fn finish(&mut self, frame: Frame) -> Result<Option<Found>, Fault> {
        match frame.opcode {
            Opcode::Close => close(self.control()).map(|close| Some(Found::Close(close))),
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

/// How many bytes at the end of a text are the beginning of a character, which the `left` bytes to come can end.
fn torn(text: &[u8], left: Option<u64>) -> Result<u8, Fault> {
    let Err(error) = core::str::from_utf8(text) else { return Ok(0) };
    let (_, rest) = text.split_at(error.valid_up_to());
    let size = match rest.first() {
        // It ends within a character: what came of that is legal.
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

/// The code and the beginning of the reason in a close's payload, behind which `left` bytes are to come.
fn close_of(payload: &[u8], left: u64) -> Result<Option<(u16, &[u8])>, Fault> {
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

fn close(payload: &[u8]) -> Result<Option<(u16, String)>, Fault> {
    let Some((code, reason)) = close_of(payload, 0)? else { return Ok(None) };
    let reason = core::str::from_utf8(reason).map_err(|_| Fault::NotUtf8)?;
    Ok(Some((code, reason.to_owned())))
}

/// Whether this code may stand in a close frame (RFC 6455, 7.4): it is assigned and not for use within a program, or it
/// is for libraries and applications.
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The code of the close that tells the peer of a fault (RFC 6455, 7.4.1).
pub fn close_code(fault: Fault) -> u16 {
    match fault {
        Fault::NotUtf8 => 1007,
        Fault::MessageTooLarge => 1009,
        _ => 1002,
    }
}

/// Removes a mask (RFC 6455, 5.3). By eight bytes, which becomes SIMD: 16 KiB take 0.3 µs, byte by byte 7 to 21.
fn unmask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        // Never otherwise: a chunk is of eight bytes.
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
            let (mut decoder, mut limits) = (Decoder::new(), Limits::DEFAULT);
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
