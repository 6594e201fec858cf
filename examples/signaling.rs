//! Signaling for WebRTC: two browsers meet in a room, the server passes on their offers, answers and ICE candidates,
//! and then they talk to each other directly.
//!
//!     cargo run --example signaling                  # then open http://127.0.0.1:3000/ in two tabs, and join
//!     cargo run --example signaling -- --port 8080   # or PORT=8080
//!     curl -i http://127.0.0.1:3000/                 # the page
//!     npx wscat -c ws://127.0.0.1:3000/              # and then {"type":"join","room":"kitchen"}
//!
//! | a client sends | | gets |
//! | --- | --- | --- |
//! | `{"type":"join","room":ROOM}` | it | `{"type":"joined","room":ROOM,"you":PEER,"peers":[PEER]}` |
//! | | the other | `{"type":"peer-joined","peer":PEER}` |
//! | `{"type":"offer","to":PEER,"sdp":TEXT}` | that peer | the same, with `from` for `to` |
//! | `{"type":"answer","to":PEER,"sdp":TEXT}` | that peer | the same, with `from` for `to` |
//! | `{"type":"candidate","to":PEER,"candidate":ANY}` | that peer | the same, with `from` for `to` |
//! | its close | the other | `{"type":"peer-left","peer":PEER}` |
//! | anything else | it | `{"type":"error","reason":TEXT}`, and may go on; so if a room is full |
//!
//! Binary is closed with 1003, more than 32 KiB with 1009. A room is a topic, and the event name of a message says for
//! whom it is. This is longer than the other examples, since each thing that a client can do wrong has its answer.
//!
//! The page names no STUN or TURN server: the two must reach each other without, as on one machine or in one network.
//! Any page of any site may connect; where that is not fine, look at the request's `Origin` before `upgrade`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Parser;
use serde_json::{Map, Value, json};
use smol::Async;
use tidings::{Exchange, Hub, Limits, Message, Payload, Response, Server, Subscription, Wait, WebSocket};

const PAGE: &str = include_str!("pages/signaling.html");
/// How many rooms there may be at once.
const ROOMS: usize = 64;
/// How many peers there may be in a room.
const SEATS: usize = 2;
/// How many bytes a room's name may have.
const NAME: usize = 64;

#[derive(Parser)]
struct Options {
    /// The port, 0 for any that is free.
    #[arg(long, env, default_value_t = 3000)]
    port: u16,
}

/// A message. Why one is refused is an `anyhow::Error`, told to its sender.
type Object = Map<String, Value>;

struct Rooms {
    hub: Hub,
    /// Who is in each room. A room without peers is gone.
    peers: RefCell<HashMap<String, Vec<String>>>,
    /// How many peers there ever were.
    count: Cell<u64>,
}

/// A peer's place in a room, which it leaves when this is dropped, however its connection ends.
struct Seat<'r> {
    rooms: &'r Rooms,
    room: String,
    me: String,
    news: Subscription,
}

impl Rooms {
    async fn app(&self, ex: Exchange<'_>) -> tidings::Result<()> {
        match (ex.method(), ex.path()) {
            (_, "/") if ex.is_upgrade() => self.converse(ex).await,
            ("GET" | "HEAD", "/") => ex.reply(Response::html(PAGE).header("Cache-Control", "no-store")).await,
            (_, "/") => ex.reply(Response::new(405).header("Allow", "GET, HEAD")).await,
            _ => ex.reply(Response::text("there is nothing here, see /\n").with_status(404)).await,
        }
    }

    async fn converse(&self, ex: Exchange<'_>) -> tidings::Result<()> {
        let mut socket = ex.upgrade(None).await?;
        let mut seat = loop {
            let Some(message) = receive(&mut socket).await? else { return Ok(()) };
            match parse(&message).and_then(|message| self.join(&message)) {
                Ok(seat) => break seat,
                Err(reason) => refuse(&mut socket, reason).await?,
            }
        };
        socket.send(seat.joined()).await?;
        loop {
            match socket.wait(seat.news.next(), Duration::MAX).await? {
                Wait::Ready(Some(batch)) => {
                    if batch.gap.is_some() {
                        refuse(&mut socket, "messages may be missing: this connection is too slow").await?;
                    }
                    for message in batch.messages.iter().filter(|m| m.event() == Some(&seat.me)) {
                        socket.send(message.data()).await?;
                    }
                }
                Wait::Readable => {
                    let Some(message) = receive(&mut socket).await? else { return Ok(()) };
                    if let Err(reason) = parse(&message).and_then(|message| seat.pass_on(message)) {
                        refuse(&mut socket, reason).await?;
                    }
                }
                Wait::Left => return Ok(()),
                _ => return socket.close(1001, "the server stops").await,
            }
        }
    }

    fn join(&self, message: &Object) -> anyhow::Result<Seat<'_>> {
        ensure!(text(message, "type")? == "join", "join a room first");
        let room = text(message, "room")?;
        ensure!((1..=NAME).contains(&room.len()), "the name of a room has 1 to {NAME} bytes");
        let (peers, rooms) = (self.peers(room).len(), self.peers.borrow().len());
        ensure!(peers < SEATS, "the room is full: it has {SEATS} places");
        ensure!(peers > 0 || rooms < ROOMS, "all {ROOMS} rooms are taken, try later");
        let news = self.hub.subscribe(&[room], None)?;
        self.count.set(self.count.get() + 1);
        let me = format!("peer-{}", self.count.get());
        self.peers.borrow_mut().entry(room.to_owned()).or_default().push(me.clone());
        let seat = Seat { rooms: self, room: room.to_owned(), me, news };
        seat.tell_others("peer-joined")?;
        Ok(seat)
    }

    /// Who is in a room.
    fn peers(&self, room: &str) -> Vec<String> {
        self.peers.borrow().get(room).cloned().unwrap_or_default()
    }
}

impl Seat<'_> {
    fn joined(&self) -> String {
        json!({"type": "joined", "room": self.room, "you": self.me, "peers": self.others()}).to_string()
    }

    /// Who else is in the room.
    fn others(&self) -> Vec<String> {
        self.rooms.peers(&self.room).into_iter().filter(|peer| *peer != self.me).collect()
    }

    fn pass_on(&self, mut message: Object) -> anyhow::Result<()> {
        match text(&message, "type")? {
            "offer" | "answer" => drop(text(&message, "sdp")?),
            "candidate" => ensure!(message.contains_key("candidate"), "'candidate' is missing"),
            "join" => bail!("you are in the room '{}' already", self.room),
            other => bail!("unknown type '{other:.40}'"),
        }
        let to = text(&message, "to")?.to_owned();
        ensure!(self.others().contains(&to), "there is no peer '{to:.40}' in this room");
        message.remove("to");
        message.insert("from".into(), self.me.as_str().into());
        self.tell(&to, Value::Object(message))
    }

    fn tell_others(&self, what: &str) -> anyhow::Result<()> {
        self.others().iter().try_for_each(|peer| self.tell(peer, json!({"type": what, "peer": self.me})))
    }

    fn tell(&self, peer: &str, message: Value) -> anyhow::Result<()> {
        self.rooms.hub.send(Message::new(&self.room, message.to_string()).event(peer))?;
        Ok(())
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        // It fails only once the hub is closed, and then all are told of that.
        let _ = self.tell_others("peer-left");
        let mut rooms = self.rooms.peers.borrow_mut();
        if let Some(peers) = rooms.get_mut(&self.room) {
            peers.retain(|peer| *peer != self.me);
        }
        rooms.retain(|_, peers| !peers.is_empty());
    }
}

/// The next message, or `None` when there will be none.
async fn receive(socket: &mut WebSocket<'_>) -> tidings::Result<Option<String>> {
    match socket.recv().await? {
        Some(Payload::Text(message)) => Ok(Some(message)),
        Some(_) => socket.close(1003, "only text is understood here").await.map(|()| None),
        None => Ok(None),
    }
}

async fn refuse(socket: &mut WebSocket<'_>, reason: impl ToString) -> tidings::Result<()> {
    socket.send(json!({"type": "error", "reason": reason.to_string()}).to_string()).await
}

fn parse(message: &str) -> anyhow::Result<Object> {
    serde_json::from_str(message).map_err(|error| {
        let lines_before = message.split_inclusive('\n').take(error.line().saturating_sub(1));
        let byte = lines_before.map(str::len).sum::<usize>() + error.column();
        anyhow!("no JSON object, at byte {byte}: {error}")
    })
}

/// A field that has to be there.
fn text<'m>(message: &'m Object, name: &str) -> anyhow::Result<&'m str> {
    message.get(name).and_then(Value::as_str).with_context(|| format!("'{name}' is missing, or is no text"))
}

fn main() -> anyhow::Result<()> {
    let Options { port } = Options::parse();
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}; try another --port"))?;
    let mut limits = Limits::DEFAULT;
    // An offer with voice and picture has some 8 KiB, one with a screen beside them more; it is published with the
    // peer's name around it, and with its line ends and quotes escaped.
    (limits.message, limits.published, limits.history_bytes) = (32 * 1024, 64 * 1024, 256 * 1024);
    // A topic is there while it has a reader or a message is kept in it, also of a room that is gone. A message counts
    // with more than 256 bytes, so that there is always a topic for a new room.
    limits.topics = ROOMS + limits.history_bytes / 256;
    let rooms = Rooms { hub: Hub::new(&limits), peers: RefCell::default(), count: Cell::new(0) };
    // Nobody may be reading it, which is no reason to stop.
    let _ = writeln!(io::stdout(), "http://{}/", listener.get_ref().local_addr()?);
    Ok(smol::block_on(Server::new(limits).serve(listener, &async |ex: Exchange<'_>| rooms.app(ex).await))?)
}
