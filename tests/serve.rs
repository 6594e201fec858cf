//! `Server::serve` on real sockets: curl, an independent WebSocket client, the caps, panics, descriptors.

mod common;

use std::future::{Future, poll_fn};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use common::client::{ALL, Client, Reader, Tiding};
use smol::Async;
use tidings::{BodyWriter, Exchange, Hub, Limits, ManualClock, Response, Server, Wait};

/// A server on a thread of its own.
struct Running {
    server: Server,
    hub: Hub,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(limits: Limits) -> Running {
        let (server, hub) = (Server::new(limits.clone()), Hub::new(&limits));
        let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).expect("a port");
        let address = listener.get_ref().local_addr().expect("bound");
        let thread = std::thread::spawn({
            let (server, hub) = (server.clone(), hub.clone());
            move || {
                let handler = async |ex: Exchange<'_>| match ex.path() {
                    "/panic" => panic!("a handler may"),
                    _ => common::app(&hub, ex).await,
                };
                smol::block_on(server.serve(listener, &handler)).expect("served");
            }
        });
        Running { server, hub, address, thread: Some(thread) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn client(&self) -> Client<smol::net::TcpStream> {
        Client::new(smol::net::TcpStream::connect(self.address).await.expect("connected"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        smol::block_on(self.server.shutdown(Duration::from_secs(5)));
        // serve returns after a shutdown, with every connection gone.
        self.thread.take().into_iter().for_each(|thread| thread.join().expect("no panic"));
    }
}

/// What curl prints.
fn curl(args: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "10"])
        .args(args)
        .output()
        .expect("curl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn curl_publishes_and_reads_by_poll_long_poll_and_events() {
    let running = Running::start(Limits::DEFAULT);
    let mut events = Command::new("curl")
        .args(["-sSN", "--max-time", "10", &running.url("/events")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl is installed");
    let mut lines =
        BufReader::new(events.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
    assert!(lines.next().expect("the cursor").starts_with("id: "));
    let waiting = std::thread::spawn({
        let url = running.url("/wait");
        move || curl(&[&url])
    });
    while running.server.stats().held < 2 {
        std::thread::yield_now();
    }
    let id = curl(&["-d", "hello", &running.url("/publish")]);
    assert_eq!(lines.find(|line| line.starts_with("data: ")).as_deref(), Some("data: hello"));
    assert!(waiting.join().expect("no panic").contains(&format!("\"next\":\"{id}\"")));
    assert!(curl(&[&running.url("/poll")]).contains("\"data\":\"hello\""));
    events.kill().expect("killed");
    events.wait().expect("gone");
}

#[test]
fn curl_uploads_with_chunks_and_with_an_expectation() {
    let running = Running::start(Limits::DEFAULT);
    let body = "x".repeat(50_000);
    for field in ["Transfer-Encoding: chunked", "Expect: 100-continue"] {
        assert_eq!(curl(&["-H", field, "-d", &body, &running.url("/echo")]), body);
    }
    let refused =
        curl(&["-d", &body.repeat(2), "-w", "%{http_code}", "-o", "/dev/null", &running.url("/echo")]);
    assert_eq!(refused, "413");
}

#[test]
fn all_four_transports_tell_the_same_over_tcp() {
    let running = Running::start(Limits::DEFAULT);
    smol::block_on(common::in_time(async {
        let before = running.hub.last().to_string();
        let mut readers = Vec::new();
        for transport in ALL {
            let stream = smol::net::TcpStream::connect(running.address).await.expect("connected");
            readers.push(Reader::open(stream, transport, Some(&before)).await);
        }
        let id = running.hub.publish("news", "你好").expect("published").to_string();
        for reader in &mut readers {
            assert_eq!(reader.message().await, Tiding::Message { id: id.clone(), data: "你好".to_owned() });
        }
    }));
}

#[test]
fn curl_reads_over_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("tidings-{}.sock", std::process::id()));
    let listener = smol::net::unix::UnixListener::bind(&path).expect("a socket");
    let (server, hub) = (Server::new(Limits::DEFAULT), Hub::new(&Limits::DEFAULT));
    hub.publish("news", "hello").expect("published");
    let asking = std::thread::spawn({
        let path = path.to_str().expect("text").to_owned();
        move || curl(&["--unix-socket", &path, "http://device/poll"])
    });
    smol::block_on(common::in_time(async {
        let (stream, _) = listener.accept().await.expect("accepted");
        smol::future::or(common::converse(tidings::Conn::new(stream, &server), hub), server.tick()).await;
    }));
    assert!(asking.join().expect("no panic").contains("\"data\":\"hello\""));
    std::fs::remove_file(path).expect("removed");
}

#[test]
fn a_panic_ends_one_connection_only() {
    let running = Running::start(Limits::DEFAULT);
    smol::block_on(common::in_time(async {
        let mut other = running.client().await;
        assert_eq!(other.get("/", "").await.status, 200);
        let mut client = running.client().await;
        assert_eq!(client.get("/panic", "").await.status, 500);
        assert_eq!(client.rest().await, "");
        assert_eq!(other.get("/", "").await.status, 200);
    }));
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a drop may");
    }
}

type Boxed<'a> = Pin<Box<dyn Future<Output = tidings::Result<()>> + 'a>>;

/// Panics where the path says.
fn faulty(ex: Exchange<'_>) -> Boxed<'_> {
    assert_ne!(ex.path(), "/before", "a bug before there is a future");
    match ex.path() {
        // Its own drop panics, when it has answered.
        "/behind" => {
            let (bomb, mut answer) = (Bomb, Box::pin(ex.reply(Response::text("fine"))));
            Box::pin(poll_fn(move |cx| {
                let _bomb = &bomb;
                answer.as_mut().poll(cx)
            }))
        }
        "/waits" => Box::pin(async move {
            let _bomb = Bomb;
            let _unanswered = ex;
            std::future::pending().await
        }),
        _ => Box::pin(ex.reply(Response::text("fine"))),
    }
}

#[test]
fn a_panic_before_and_behind_the_future_ends_one_connection_only() {
    let server = Server::new(Limits::DEFAULT);
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).expect("a port");
    let address = listener.get_ref().local_addr().expect("bound");
    let connect = async || Client::new(smol::net::TcpStream::connect(address).await.expect("connected"));
    let client = async {
        let (mut other, mut waits) = (connect().await, connect().await);
        assert_eq!(other.get("/", "").await.status, 200);
        waits.send("GET /waits HTTP/1.1\r\nHost: h\r\n\r\n").await;
        for (path, status) in [("/before", 500), ("/behind", 200)] {
            let mut client = connect().await;
            assert_eq!(client.get(path, "").await.status, status);
            assert_eq!(client.rest().await, "", "{path}: the connection ends");
        }
        assert_eq!(other.get("/", "").await.status, 200);
        // Cut off, with a future whose drop panics.
        drop(other);
        server.shutdown(Duration::from_millis(50)).await;
        assert_eq!(waits.rest().await, "");
    };
    let serve = async { server.serve(listener, &faulty).await.expect("served") };
    smol::block_on(common::in_time(smol::future::zip(client, serve)));
    assert_eq!(server.stats().connections, 0);
}

#[test]
fn connections_and_addresses_are_capped() {
    let mut limits = Limits::DEFAULT;
    (limits.connections, limits.per_ip) = (8, Some(2));
    let running = Running::start(limits);
    smol::block_on(common::in_time(async {
        let mut served = [running.client().await, running.client().await];
        for client in &mut served {
            assert_eq!(client.get("/", "").await.status, 200);
        }
        let answer = running.client().await.answer().await;
        assert_eq!(answer.status, 503);
        assert!(answer.field("retry-after").is_some());
        drop(served);
        while running.server.stats().connections > 0 {
            smol::future::yield_now().await;
        }
        assert_eq!(running.client().await.get("/", "").await.status, 200);
    }));
}

#[test]
fn a_shutdown_says_its_last_word_and_ends_serve() {
    let running = Running::start(Limits::DEFAULT);
    smol::block_on(common::in_time(async {
        let mut events = running.client().await;
        events.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n").await;
        events.until("retry: ").await;
        let mut idle = running.client().await;
        assert_eq!(idle.get("/", "").await.status, 200);
        let server = running.server.clone();
        let shutdown = smol::spawn(async move { server.shutdown(Duration::from_secs(3600)).await });
        assert!(events.rest().await.ends_with(": shutdown\n\n\r\n0\r\n\r\n"));
        assert_eq!(idle.rest().await, "");
        drop((events, idle));
        shutdown.await;
    }));
}

#[test]
fn a_handler_that_will_not_end_is_cut_off() {
    let (server, listener) = (Server::new(Limits::DEFAULT), Async::<TcpListener>::bind(([127, 0, 0, 1], 0)));
    let listener = listener.expect("a port");
    let address = listener.get_ref().local_addr().expect("bound");
    let stubborn = async |ex: Exchange<'_>| {
        let mut stream = ex.stream(Response::new(200)).await?;
        // It writes without end to a peer that does not read, and never asks whether it should stop.
        loop {
            stream.write(&[b'x'; 65536]).await?;
        }
    };
    let client = async {
        let mut client = Client::new(smol::net::TcpStream::connect(address).await.expect("connected"));
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        client.until("xxx").await;
        server.shutdown(Duration::from_millis(50)).await;
        while server.stats().connections > 0 {
            smol::future::yield_now().await;
        }
    };
    let serve = async { server.serve(listener, &stubborn).await.expect("served") };
    smol::block_on(common::in_time(smol::future::or(client, serve)));
}

/// Tells when it is dropped.
struct Dropped(mpsc::Sender<&'static str>, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        // Nobody listens any more when the watchdog has barked.
        let _ = self.0.send(self.1);
    }
}

/// Far longer than any of this takes: it is there so that a server that does not end fails and does not hang.
const WATCHDOG: Duration = common::PATIENCE;

/// Serves one request with a handler that never ends, on a thread of its own; shuts down when its answer has begun, and
/// holds that the shutdown returns, that serve does, and that all is dropped.
fn is_cut_off(handler: impl AsyncFn(Exchange<'_>) -> tidings::Result<()> + Send + 'static) {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let server = Server::new(Limits::DEFAULT);
        let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).expect("a port");
        let address = listener.get_ref().local_addr().expect("bound");
        let guarded = async |ex: Exchange<'_>| {
            let _dropped = Dropped(tell.clone(), "the handler is dropped");
            handler(ex).await
        };
        let client = async {
            let mut client = Client::new(smol::net::TcpStream::connect(address).await.expect("connected"));
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
            client.until("\r\n\r\n").await;
            server.shutdown(Duration::from_millis(100)).await;
            tell.send("the shutdown has returned").expect("awaited");
            client
        };
        let serve = async {
            server.serve(listener, &guarded).await.expect("served");
            tell.send("serve has returned").expect("awaited");
        };
        let (mut client, ()) = smol::block_on(smol::future::zip(client, serve));
        smol::block_on(client.rest());
        assert_eq!(server.stats().connections, 0);
        tell.send("the client is cut off").expect("awaited");
    });
    let mut events = Vec::new();
    while events.len() < 4 {
        match told.recv_timeout(WATCHDOG) {
            Ok(event) => events.push(event),
            Err(error) => panic!("{error}: no more than {events:?}"),
        }
    }
}

/// Begins an answer, so that the client knows that the handler runs.
async fn begin(ex: Exchange<'_>) -> tidings::Result<BodyWriter<'_>> {
    let mut stream = ex.stream(Response::new(200)).await?;
    stream.flush().await?;
    Ok(stream)
}

#[test]
fn a_handler_that_waits_for_ever_is_cut_off() {
    is_cut_off(async |ex: Exchange<'_>| {
        let _stream = begin(ex).await?;
        std::future::pending().await
    });
}

#[test]
fn a_handler_that_always_has_something_to_do_is_cut_off() {
    is_cut_off(async |ex: Exchange<'_>| {
        let _stream = begin(ex).await?;
        loop {
            smol::future::yield_now().await;
        }
    });
}

#[test]
fn a_handler_that_goes_on_after_an_error_is_cut_off() {
    is_cut_off(async |ex: Exchange<'_>| {
        let mut stream = begin(ex).await?;
        loop {
            let _error = stream.write(&[b'x'; 65536]).await;
            smol::future::yield_now().await;
        }
    });
}

#[test]
fn a_handler_that_does_not_know_of_shutdown_is_cut_off() {
    is_cut_off(async |ex: Exchange<'_>| {
        let mut stream = begin(ex).await?;
        loop {
            match stream.wait(std::future::pending::<()>(), Duration::from_secs(1)).await? {
                Wait::Left => return Ok(()),
                Wait::Elapsed => stream.write(b"beat\n").await?,
                _ => {}
            }
        }
    });
}

#[test]
fn a_handler_that_waits_again_after_an_error_is_cut_off() {
    is_cut_off(async |ex: Exchange<'_>| {
        let mut stream = begin(ex).await?;
        loop {
            let _any_end = stream.wait(std::future::pending::<()>(), Duration::from_secs(1)).await;
        }
    });
}

/// A request by blocking calls.
fn ask(address: &str, within: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(within))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn it_survives_being_out_of_descriptors() {
    if std::env::var_os("TIDINGS_SERVE").is_some() {
        return serve_for_ever();
    }
    // This test once more, as a server that may open few descriptors.
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 24 && exec \"$0\" --exact it_survives_being_out_of_descriptors --nocapture"])
        .arg(std::env::current_exe().expect("a path"))
        .env("TIDINGS_SERVE", "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let address = lines.find_map(|line| Some(line.split_once("serving ")?.1.to_owned())).expect("an address");
    let many: Vec<TcpStream> =
        (0..40).map(|_| TcpStream::connect(&address).expect("in the backlog")).collect();
    assert!(ask(&address, Duration::from_secs(1)).is_err(), "the descriptors should be used up");
    drop(many);
    assert!(ask(&address, common::PATIENCE).expect("back again").ends_with("hello"));
    child.kill().expect("killed");
    child.wait().expect("gone");
}

fn serve_for_ever() {
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).expect("a port");
    println!("serving {}", listener.get_ref().local_addr().expect("bound"));
    let mut limits = Limits::DEFAULT;
    // Those that say nothing keep their descriptors for the length of the test.
    limits.head_time = Duration::from_secs(3600);
    let hello = async |ex: Exchange<'_>| ex.reply(Response::text("hello")).await;
    smol::block_on(Server::new(limits).serve(listener, &hello)).expect("served");
}

/// Runs the future that it is given, and counts how often it is polled.
async fn counted(served: impl Future<Output = std::io::Result<()>>, polls: &mut usize) {
    let mut served = std::pin::pin!(served);
    std::future::poll_fn(|cx| {
        *polls += 1;
        served.as_mut().poll(cx).map(|_| ())
    })
    .await;
}

#[cfg(target_os = "linux")]
#[test]
fn a_failed_accept_is_tried_again_and_then_waited_for() {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};

    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    // It does not listen yet, so that accepting from it fails.
    let listener = TcpListener::from(socket);
    let twin = listener.try_clone().expect("a descriptor");
    let (server, mut polls) = (Server::new(Limits::DEFAULT), 0);
    let hello = async |ex: Exchange<'_>| ex.reply(Response::text("hello")).await;
    let served = server.serve(Async::new(listener).expect("a listener"), &hello);
    let client = async {
        smol::Timer::after(Duration::from_millis(5)).await;
        listen(&twin, 16).expect("it listens");
        // Nobody comes for a while.
        smol::Timer::after(Duration::from_millis(300)).await;
        let address = twin.local_addr().expect("bound").to_string();
        assert!(
            smol::unblock(move || ask(&address, common::PATIENCE))
                .await
                .expect("an answer")
                .ends_with("hello")
        );
    };
    smol::block_on(common::in_time(smol::future::or(client, counted(served, &mut polls))));
    assert!(polls < 50, "it was polled {polls} times");
}

#[cfg(target_os = "linux")]
#[test]
fn an_accept_pauses_behind_one_that_failed_and_not_else() {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};

    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let listener = TcpListener::from(socket);
    let twin = listener.try_clone().expect("a descriptor");
    let address = twin.local_addr().expect("bound");
    let clock = ManualClock::new();
    let server = Server::with_clock(Limits::DEFAULT, &clock);
    let hello = async |ex: Exchange<'_>| ex.reply(Response::text("hello")).await;
    let connect = async || Client::new(smol::net::TcpStream::connect(address).await.expect("connected"));
    let client = async {
        // It does not listen yet: accepting from it fails.
        for _ in 0..10 {
            smol::future::yield_now().await;
        }
        listen(&twin, 16).expect("it listens");
        let mut client = connect().await;
        for _ in 0..100 {
            smol::future::yield_now().await;
        }
        assert_eq!(server.stats().accepted, 0, "it did not pause");
        clock.advance(Duration::from_millis(10));
        assert_eq!(client.get("/", "").await.body, "hello");
        // Those that come when nobody was there are accepted without a pause.
        for _ in 0..3 {
            for _ in 0..100 {
                smol::future::yield_now().await;
            }
            assert_eq!(connect().await.get("/", "").await.body, "hello");
        }
    };
    let serve =
        async { server.serve(Async::new(listener).expect("a listener"), &hello).await.expect("served") };
    smol::block_on(common::in_time(smol::future::or(client, serve)));
}

#[test]
fn who_drops_serve_drops_all_its_connections() {
    let server = Server::new(Limits::DEFAULT);
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).expect("a port");
    let address = listener.get_ref().local_addr().expect("bound");
    let _clients: Vec<TcpStream> =
        (0..120).map(|_| TcpStream::connect(address).expect("connected")).collect();
    let hello = async |ex: Exchange<'_>| ex.reply(Response::text("hello")).await;
    // Dropped in the middle of accepting.
    let polled = smol::block_on(smol::future::poll_once(Box::pin(server.serve(listener, &hello))));
    assert!(polled.is_none() && server.stats().accepted > 0);
    assert_eq!(server.stats().connections, 0);
}

/// Sends a request, and reads the answer to the end while a body or another request is still under way.
fn ask_for_much(address: SocketAddr, path: &str, body: bool) {
    let mut stream = TcpStream::connect(address).expect("connected");
    let mut other = stream.try_clone().expect("a descriptor");
    let head = format!("{path} HTTP/1.1\r\nHost: h\r\n");
    let sender = std::thread::spawn(move || {
        if !body {
            return write!(other, "GET {head}Connection: close\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
        }
        write!(other, "POST {head}Content-Length: 10000000\r\n\r\n")?;
        // Too much to be drained; it may be cut off.
        (0..20).try_for_each(|_| other.write_all(&[b'y'; 50_000]))
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("no reset");
    assert!((3_000_000..3_001_000).contains(&answer.len()), "{path} {body}: {}", answer.len());
    let _cut_off = sender.join().expect("no panic");
}

#[test]
fn a_large_last_answer_is_whole_whatever_comes_meanwhile() {
    let server = Server::new(Limits::DEFAULT);
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).expect("a port");
    let address = listener.get_ref().local_addr().expect("bound");
    let much = async |ex: Exchange<'_>| {
        let path = ex.path().to_owned();
        ex.reply(Response::new(200).body(vec![b'x'; 3_000_000])).await?;
        match &*path {
            "/slow" => _ = smol::Timer::after(Duration::from_millis(100)).await,
            "/fails" => return Err(tidings::Error::other("late")),
            _ => {}
        }
        Ok(())
    };
    let ways = ["/", "/slow", "/fails"].into_iter().flat_map(|path| [(path, false), (path, true)]);
    let clients: Vec<JoinHandle<()>> =
        ways.map(|(path, body)| std::thread::spawn(move || ask_for_much(address, path, body))).collect();
    let client = async {
        for client in clients {
            smol::unblock(|| client.join().expect("a whole answer")).await;
        }
    };
    let serve = async { server.serve(listener, &much).await.expect("served") };
    smol::block_on(common::in_time(smol::future::or(client, serve)));
}

/// A connection whose reads fail rather than hang.
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(common::PATIENCE)).expect("a time-out");
    stream.set_nodelay(true).expect("each write goes at once");
    stream
}

/// Sends from a thread, until all is sent or the peer takes no more.
fn send_beside(stream: &TcpStream, pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> JoinHandle<()> {
    let mut stream = stream.try_clone().expect("a descriptor");
    std::thread::spawn(move || {
        let _cut_off = { pieces }.try_for_each(|piece| stream.write_all(&piece));
    })
}

#[test]
fn who_posts_far_too_much_reads_the_413_however_it_sends() {
    let running = Running::start(Limits::DEFAULT);
    let block = vec![b'x'; 50_000];
    let chunk = [b"c350\r\n", &*block, b"\r\n"].concat();
    for (fields, piece) in [
        ("Content-Length: 50000000", &block),
        ("Content-Length: 50000000\r\nExpect: 100-continue", &block),
        ("Transfer-Encoding: chunked", &chunk),
    ] {
        let mut stream = connect(running.address);
        write!(stream, "POST /echo HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n").expect("sent");
        let sender = send_beside(&stream, std::iter::repeat_n(piece.clone(), 1000));
        let mut answer = Vec::new();
        // It may be cut off behind the answer, for it never ends.
        let _end = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("too large"), "{fields}: {answer}");
        sender.join().expect("no panic");
    }
}

#[test]
fn what_is_sent_at_once_is_answered_one_by_one() {
    let running = Running::start(Limits::DEFAULT);
    let last = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    for (first, status) in [
        ("HEAD /events HTTP/1.1\r\nHost: h\r\n\r\n", "200"),
        ("HEAD /poll HTTP/1.1\r\nHost: h\r\n\r\n", "200"),
        ("GET /poll HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\n\r\n", "304"),
        ("PUT /nothing HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "404"),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "200"),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\r\n", "200"),
        (
            "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"a;b\"\r\nabc\r\n0\r\nX: 1\r\n\r\n",
            "200",
        ),
    ] {
        let mut stream = connect(running.address);
        write!(stream, "{first}{last}").expect("sent");
        let mut answers = String::new();
        stream.read_to_string(&mut answers).expect("a clean end");
        assert!(answers.starts_with(&format!("HTTP/1.1 {status} ")), "{first}: {answers}");
        assert!(
            answers.matches("HTTP/1.1 ").count() == 2 && answers.ends_with("hello"),
            "{first}: {answers}"
        );
    }
    // Many more than one read takes.
    let mut stream = connect(running.address);
    let many = [vec!["GET / HTTP/1.1\r\nHost: h\r\n\r\n"; 2999].concat(), last.to_owned()].concat();
    let sender = send_beside(&stream, std::iter::once(many.into_bytes()));
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("a clean end");
    sender.join().expect("no panic");
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 3000);
}

#[test]
fn a_handshake_may_come_byte_by_byte_and_a_frame_right_behind_it() {
    let running = Running::start(Limits::DEFAULT);
    let mut stream = connect(running.address);
    let handshake = "GET /socket HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    for byte in [handshake.as_bytes(), b"\x81\x85\0\0\0\0early"].concat() {
        stream.write_all(&[byte]).expect("sent");
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"\x81\x05early") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the frame");
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
}
