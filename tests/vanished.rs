//! Clients that vanish without a word, as a phone does that leaves the WLAN: their places come back soon, by each transport
//! whose answer is held. In a network namespace of its own, where a cable can be pulled.
#![cfg(target_os = "linux")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use smol::Async;
use tidings::{Exchange, Hub, Limits, Server};

/// The server's address, and that of the clients that vanish.
const HERE: [u8; 4] = [10, 9, 9, 2];
const AWAY: [u8; 4] = [10, 9, 9, 1];

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Far longer than it takes, and far shorter than the kernel's own quarter of an hour.
const WATCHDOG: Duration = Duration::from_secs(300);

/// This test once more, where it may change the network. Root of a container may make a network namespace but no users, or
/// it is the other way round.
#[test]
fn who_vanishes_gives_its_place_back() {
    if std::env::var_os("TIDINGS_NAMESPACE").is_some() {
        return vanish();
    }
    let mut said = String::new();
    for options in ["-n", "-rn"] {
        let output = Command::new("unshare")
            .arg(options)
            .arg(std::env::current_exe().expect("a path"))
            .args(["--exact", "who_vanishes_gives_its_place_back", "--nocapture"])
            .env("TIDINGS_NAMESPACE", "1")
            .stdin(Stdio::null())
            .output()
            .expect("unshare, of util-linux, is installed");
        said = format!(
            "{said}{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        if said.contains("in a namespace") {
            print!("{said}");
            assert!(output.status.success());
            return;
        }
    }
    panic!(
        "FAIL: this test needs a network namespace (in a container: --cap-add SYS_ADMIN --cap-add NET_ADMIN). {said}"
    );
}

fn ip(args: &str) {
    let status = Command::new("ip").args(args.split(' ')).status().expect("ip, of iproute2, is installed");
    assert!(status.success(), "ip {args}");
}

/// A server whose answers by one transport are held, by nothing but what the test is about.
struct Held {
    path: &'static str,
    server: Server,
    hub: Hub,
    address: SocketAddr,
}

fn limits() -> Limits {
    let (mut limits, hour) = (Limits::DEFAULT, Duration::from_secs(3600));
    (limits.ping, limits.write_time) = (Duration::from_secs(1), Duration::from_secs(2));
    (limits.poll_wait, limits.pong) = (hour, hour);
    limits
}

impl Held {
    fn start(path: &'static str) -> Held {
        let (server, hub) = (Server::new(limits()), Hub::new(&limits()));
        let listener = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn({
            let (server, hub) = (server.clone(), hub.clone());
            move || {
                let handler = async |ex: Exchange<'_>| common::app(&hub, ex).await;
                let listener = Async::new(listener).expect("a listener");
                smol::block_on(server.serve(listener, &handler)).expect("served");
            }
        });
        Held { path, server, hub, address }
    }

    /// A client whose answer is held, from an address to an address.
    fn client(&self, from: [u8; 4], to: [u8; 4]) -> TcpStream {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&socket, &SocketAddr::from((from, 0))).expect("an address");
        connect(&socket, &SocketAddr::from((to, self.address.port()))).expect("connected");
        let (mut stream, before) = (TcpStream::from(socket), self.server.stats().held);
        let upgrade = if self.path == "/ws" { UPGRADE } else { "" };
        write!(stream, "GET {} HTTP/1.1\r\nHost: h\r\n{upgrade}\r\n", self.path).expect("sent");
        self.wait_for(before + 1);
        stream
    }

    fn wait_for(&self, held: usize) {
        let start = Instant::now();
        while self.server.stats().held != held {
            assert!(start.elapsed() < WATCHDOG, "{}: {} are held", self.path, self.server.stats().held);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn vanish() {
    println!("in a namespace");
    ip("link set lo up");
    ip("link add v0 type veth peer name v1");
    ip("link set v0 up");
    ip("link set v1 up");
    ip("addr add 10.9.9.1/32 dev lo");
    ip("addr add 10.9.9.2/32 dev lo");
    let servers = ["/events", "/wait", "/ws"].map(Held::start);
    let gone = servers.each_ref().map(|held| held.client(AWAY, HERE));
    let mut stay = servers.each_ref().map(|held| held.client([127, 0, 0, 1], [127, 0, 0, 1]));

    // The address goes, and what is sent to it is swallowed.
    ip("addr del 10.9.9.1/32 dev lo");
    ip("route add 10.9.9.1/32 dev v0");
    ip("neigh add 10.9.9.1 lladdr 02:00:00:00:00:01 dev v0");
    let start = Instant::now();
    std::thread::scope(|scope| {
        for held in &servers {
            scope.spawn(move || {
                held.wait_for(1);
                println!("{}: the place is back after {:.1} s (3)", held.path, start.elapsed().as_secs_f32());
            });
        }
    });

    // Who is there stays, also one that the kernel asks several times.
    let lines = BufReader::new(&stay[0]).lines().map(|line| line.expect("a line"));
    assert_eq!(lines.filter(|line| line.starts_with(':')).take(8).count(), 8, "heartbeats");
    for (held, stream) in servers.iter().zip(&mut stay) {
        assert_eq!(held.server.stats().held, 1, "{}: who is there was taken for gone", held.path);
        held.hub.publish("news", "still there").expect("published");
        let (mut text, mut byte) = (Vec::new(), [0]);
        while !String::from_utf8_lossy(&text).contains("still there") {
            assert_eq!(stream.read(&mut byte).expect("the message"), 1, "{}", held.path);
            text.push(byte[0]);
        }
    }
    drop(gone);
}
