//! WebSocket frames give the same messages and the same fault however they are cut, in no more memory than what came;
//! tungstenite agrees with the verdict, and reads what we frame as we read what it frames.

use std::io::{self, Cursor, Read, Write};

use async_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use async_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use async_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use async_tungstenite::tungstenite::{Error, Message};
use tidings::proto::frame::{Found, FrameDecoder, Opcode, close_code, is_close_code, push_close, push_frame};
use tidings::proto::frame::{push_head, split_text};
use tidings::{Fault, Limits};

use super::input::{Cuts, Input};

pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let mut limits = Limits::DEFAULT;
    limits.message = input.pick(&[65_536, 0, 1, 10, 125, 126, 300]);
    let (room, mark, cuts) = (input.pick(&[Room::Tight, Room::Loose]), input.byte(), input.cuts());
    if input.one_in(4) {
        return there_and_back(&mut input, room, cuts);
    }
    let bytes = input.rest();
    let whole = decode(bytes, Cuts::NONE, Room::Tight, &limits);
    assert_eq!(decode(bytes, cuts.clone(), room, &limits), whole, "cut");
    assert_eq!(decode(bytes, Cuts::EVERYWHERE, room, &limits), whole, "byte by byte");
    is_honest(&bytes[..bytes.len().min(usize::from(mark))], &limits);
    agree(bytes, &whole, &theirs(bytes, Role::Server, limits.message));
}

/// How much a decoder may own beyond what it must.
#[derive(Clone, Copy)]
enum Room {
    Tight,
    Loose,
}

/// What a decoder made of some bytes.
#[derive(Debug, PartialEq)]
struct Decoded {
    messages: Vec<Message>,
    end: End,
}

#[derive(Debug, PartialEq)]
enum End {
    NeedMore,
    Closed,
    Fault(Fault),
}

fn decode(bytes: &[u8], cuts: Cuts<'_>, room: Room, limits: &Limits) -> Decoded {
    let (mut decoder, mut messages, mut arrived) = (FrameDecoder::new(), Vec::new(), 0);
    for piece in cuts.pieces(bytes) {
        let mut rest = piece;
        arrived += piece.len();
        loop {
            let (room, most) = match room {
                Room::Tight => (decoder.owned() + rest.len(), arrived),
                Room::Loose => (usize::MAX, arrived + arrived / 2),
            };
            let step = decoder.step(rest, room, limits);
            assert!(decoder.owned() <= most.min(limits.message + 125), "it owns {}", decoder.owned());
            let (used, found) = match step {
                Ok(step) => step,
                Err(fault) => {
                    is_over(&mut decoder);
                    return Decoded { messages, end: End::Fault(fault) };
                }
            };
            rest = &rest[used..];
            let whole = !matches!(found, Found::NeedMore) && !decoder.is_under_way();
            assert!(!whole || decoder.owned() == 0, "nothing is kept between messages");
            messages.push(match found {
                Found::Text(text) => Message::Text(text.into()),
                Found::Binary(bytes) => Message::Binary(bytes.into()),
                Found::Ping(payload) => Message::Ping(payload.into()),
                Found::Pong(payload) => Message::Pong(payload.into()),
                Found::Close(close) => {
                    is_over(&mut decoder);
                    messages.push(Message::Close(close.map(|(code, reason)| {
                        assert!(is_close_code(code));
                        CloseFrame { code: code.into(), reason: reason.into() }
                    })));
                    return Decoded { messages, end: End::Closed };
                }
                Found::NeedMore => {
                    assert!(rest.is_empty());
                    break;
                }
                Found::End => panic!("an end out of nothing"),
            });
        }
    }
    Decoded { messages, end: End::NeedMore }
}

/// Who needs more, can go on with some next byte.
fn is_honest(bytes: &[u8], limits: &Limits) {
    let (mut decoder, mut rest) = (FrameDecoder::new(), bytes);
    loop {
        match decoder.step(rest, usize::MAX, limits) {
            Ok((_, Found::NeedMore)) => break,
            Ok((_, Found::Close(_))) | Err(_) => return,
            Ok((used, _)) => rest = &rest[used..],
        }
    }
    let goes_on = |byte| decoder.clone().step(&[byte], usize::MAX, limits).is_ok();
    assert!((0..=u8::MAX).any(goes_on), "{decoder:?} waits for nothing");
}

fn is_over(decoder: &mut FrameDecoder) {
    let behind = decoder.step(b"\x81\x80\0\0\0\0", usize::MAX, &Limits::DEFAULT);
    assert_eq!((behind, decoder.owned()), (Ok((0, Found::End)), 0));
}

/// What tungstenite made of some bytes, and how it ended.
struct Theirs {
    messages: Vec<Message>,
    end: Error,
}

fn theirs(bytes: &[u8], role: Role, most: usize) -> Theirs {
    let config = WebSocketConfig::default()
        .read_buffer_size(512)
        .max_message_size(Some(most))
        // It takes control frames for messages.
        .max_frame_size(Some(most.max(125)));
    let mut socket = WebSocket::from_raw_socket(Wire(Cursor::new(bytes), Vec::new()), role, Some(config));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => messages.push(message),
            Err(end) => return Theirs { messages, end },
        }
    }
}

/// What it reads is there, what it writes is kept.
struct Wire<'d>(Cursor<&'d [u8]>, Vec<u8>);

impl Read for Wire<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.1.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both found the same. It looks at a frame only when that is whole, and is not strict about lengths and codes.
fn agree(bytes: &[u8], ours: &Decoded, theirs: &Theirs) {
    let ends_early = theirs.end.to_string().contains("without closing handshake");
    // A short length may stand there in the form of a long one.
    let longer = bytes.windows(3).any(|at| matches!(at, [0xfe, 0, 0..126] | [0xff, 0, 0]));
    let same = ours.messages == theirs.messages;
    match (&ours.end, &theirs.end) {
        (End::NeedMore, _) => assert!(same && ends_early, "{ours:?}, {:?}", theirs.end),
        // 1014 is too young for it.
        (End::Closed, Error::ConnectionClosed) => {
            let last = |messages: &[Message]| messages.len() - 1;
            assert_eq!(ours.messages[..last(&ours.messages)], theirs.messages[..last(&theirs.messages)]);
            assert!(same || is_close_with(1014, ours.messages.last()), "{ours:?}");
        }
        (End::Fault(_), _) if longer => assert!(theirs.messages.starts_with(&ours.messages)),
        (End::Fault(Fault::CloseFrame), Error::ConnectionClosed) => {
            assert!(theirs.messages.starts_with(&ours.messages));
            assert!(is_close_with(1002, theirs.messages.last()));
        }
        (End::Fault(fault), end) => {
            assert!(same, "{ours:?}, {:?}", theirs.messages);
            let alike = match end {
                // It looks at the reason before it looks at the code.
                Error::Utf8(_) => matches!(fault, Fault::NotUtf8 | Fault::CloseFrame),
                Error::Capacity(_) => *fault != Fault::NotUtf8,
                _ => close_code(*fault) == 1002,
            };
            assert!(alike || ends_early, "{fault:?}, {end:?}");
        }
        (End::Closed, end) => panic!("{ours:?}, {end:?}"),
    }
}

fn is_close_with(code: u16, message: Option<&Message>) -> bool {
    matches!(message, Some(Message::Close(Some(close))) if u16::from(close.code) == code)
}

/// Draws messages, has tungstenite frame them as a client, and reads them; and the other way round.
fn there_and_back(input: &mut Input<'_>, room: Room, cuts: Cuts<'_>) {
    let (mut messages, mut frames, mut out) = (Vec::new(), Vec::new(), Vec::new());
    while !input.is_empty() && messages.len() < 8 {
        let size = input.pick(&[0, 1, 124, 125, 126, 65_535, 65_536, 7]);
        let part = input.some();
        let payload: Vec<u8> =
            part.iter().copied().cycle().take(if part.is_empty() { 0 } else { size }).collect();
        let text = String::from_utf8_lossy(&payload).into_owned();
        let (opcode, bytes, message) = match input.below(5) {
            0 => (Opcode::Ping, &payload[..size.min(payload.len()).min(125)], None),
            1 => (Opcode::Pong, &payload[..payload.len().min(125)], None),
            2 => (Opcode::Binary, &payload[..], Some(Message::from(payload.clone()))),
            _ => (Opcode::Text, text.as_bytes(), Some(Message::from(text.clone()))),
        };
        push_frame(opcode, bytes, &mut out);
        if opcode == Opcode::Text {
            reads_back(text.as_bytes());
        }
        match message {
            Some(message) => fragment(input, &message, &mut frames),
            None => frames.push(if opcode == Opcode::Ping {
                Frame::ping(bytes.to_vec())
            } else {
                Frame::pong(bytes.to_vec())
            }),
        }
        messages.push(match opcode {
            Opcode::Ping => Message::Ping(bytes.to_vec().into()),
            Opcode::Pong => Message::Pong(bytes.to_vec().into()),
            Opcode::Binary => Message::Binary(bytes.to_vec().into()),
            _ => Message::from(text),
        });
    }
    let close = CloseFrame { code: 1001.into(), reason: "bye".into() };
    push_close(1001, "bye", &mut out);
    frames.push(Frame::close(Some(close.clone())));
    messages.push(Message::Close(Some(close)));
    let mut limits = Limits::DEFAULT;
    limits.message = 1 << 20;
    let ours = decode(&masked(frames), cuts, room, &limits);
    assert_eq!(ours, Decoded { messages: messages.clone(), end: End::Closed });
    assert_eq!(theirs(&out, Role::Client, limits.message).messages, messages);
}

/// Cuts a message into fragments.
fn fragment(input: &mut Input<'_>, message: &Message, frames: &mut Vec<Frame>) {
    let (kind, bytes) = match message {
        Message::Text(text) => (Data::Text, text.as_bytes()),
        message => (Data::Binary, &message.clone().into_data()[..]),
    };
    let width = input.pick(&[usize::MAX, 1, 5, 1000]).max(bytes.len() / 20 + 1);
    let mut parts: Vec<&[u8]> = bytes.chunks(width).collect();
    parts.resize(parts.len().max(1) + input.below(2), b"");
    let last = parts.len() - 1;
    for (place, part) in parts.into_iter().enumerate() {
        let opcode = OpCode::Data(if place == 0 { kind } else { Data::Continue });
        frames.push(Frame::message(part.to_vec(), opcode, place == last));
    }
}

/// The frames as a client sends them, under masks of its own choice.
fn masked(frames: Vec<Frame>) -> Vec<u8> {
    let mut socket = WebSocket::from_raw_socket(Wire(Cursor::new(&[]), Vec::new()), Role::Client, None);
    for frame in frames {
        socket.send(Message::Frame(frame)).expect("sent");
    }
    std::mem::take(&mut socket.get_mut().1)
}

/// A text frame is found again, and half of one is none.
fn reads_back(text: &[u8]) {
    let mut frame = Vec::new();
    push_frame(Opcode::Text, text, &mut frame);
    assert_eq!(split_text(&frame), Some((text, &b""[..])));
    for end in [0, 1, 2, frame.len() / 2, frame.len() - 1] {
        assert!(split_text(&frame[..end.min(frame.len() - 1)]).is_none());
    }
    let mut head = Vec::new();
    push_head(Opcode::Text, text.len(), &mut head);
    assert_eq!(&frame[..head.len()], head);
}
