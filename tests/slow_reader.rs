//! What clients that do not read take of the heap, counted by the allocator: the bodies of answers are the embedder's and are
//! never copied, and a slow reader keeps no memory that was used for others.

mod common;

use std::alloc::System;
use std::sync::{Arc, Mutex, PoisonError};

use common::World;
use common::client::Client;
use common::pipe::End;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tidings::{Conn, Content, Limits, Response};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The heap is counted for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

const LARGE: usize = 200_000;

/// What the heap has grown by, in bytes.
fn grown(since: &Region<'_, System>) -> isize {
    let stats = since.change();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

/// A client of a connection that answers each request with what `body` makes; it can take `capacity` bytes unread.
fn client(world: &World, capacity: usize, body: impl Fn() -> Content + 'static) -> Client<End> {
    let (client, end) = common::pipe::pipe();
    client.capacity(capacity);
    let mut conn = Conn::new(end, &world.server);
    let answer = async move {
        while let Ok(Some(ex)) = conn.next().await {
            if ex.reply(Response::new(200).body(body())).await.is_err() {
                return;
            }
        }
    };
    world.executor.spawn(answer).detach();
    Client::new(client)
}

/// Lets all others run until they wait.
async fn settle() {
    for _ in 0..1000 {
        smol::future::yield_now().await;
    }
}

#[test]
fn a_body_is_not_copied_for_slow_clients() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    static PAGE: [u8; LARGE] = [b'p'; LARGE];
    let shared: Arc<[u8]> = vec![b's'; LARGE].into();
    for body in [Content::from(&PAGE), Content::from(shared)] {
        World::run(Limits::DEFAULT, async |world| {
            let (region, mut clients) = (Region::new(HEAP), Vec::new());
            for _ in 0..250 {
                let body = body.clone();
                let mut client = client(&world, 100, move || body.clone());
                client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
                clients.push(client);
            }
            settle().await;
            // A copy each would be 50 MB.
            let each = grown(&region) / 250;
            assert!(each < 4 * 1024, "{each} bytes for each client");
            // And all of it comes.
            let mut last = clients.pop().expect("a client");
            assert_eq!(last.answer().await.body.len(), LARGE);
        });
    }
}

#[test]
fn an_owned_body_is_not_copied_either() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    World::run(Limits::DEFAULT, async |world| {
        let (region, mut clients) = (Region::new(HEAP), Vec::new());
        for _ in 0..20 {
            let mut client = client(&world, 100, || vec![b'o'; LARGE].into());
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
            clients.push(client);
        }
        settle().await;
        let each = grown(&region) / 20;
        assert!((LARGE as isize..LARGE as isize + 4 * 1024).contains(&each), "{each} bytes for each client");
    });
}

#[test]
fn a_slow_reader_keeps_no_memory_of_other_answers() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    World::run(Limits::DEFAULT, async |world| {
        // Its answers leave the most spare memory behind that there can be.
        let mut fast = client(&world, 1 << 20, || vec![b'f'; 500].into());
        let mut large = chunky(&world);
        let mut slow = Vec::new();
        for _ in 0..10 {
            slow.push(client(&world, 10, || vec![b's'; 500].into()));
        }
        large.get("/", "").await;
        fast.get("/", "").await;
        settle().await;
        let region = Region::new(HEAP);
        for client in &mut slow {
            large.get("/", "").await;
            fast.get("/", "").await;
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
            settle().await;
        }
        let each = grown(&region) / 10;
        assert!(each < 3 * 1024, "{each} bytes for each slow reader");
    });
}

/// A client of a connection that streams an answer in one piece of 15 KiB, which goes through the write buffer.
fn chunky(world: &World) -> Client<End> {
    let (client, end) = common::pipe::pipe();
    let mut conn = Conn::new(end, &world.server);
    let answer = async move {
        while let Ok(Some(ex)) = conn.next().await {
            let mut stream = ex.stream(Response::new(200)).await.expect("a stream");
            stream.write(&[b'c'; 15 * 1024]).await.expect("written");
            stream.finish().await.expect("finished");
        }
    };
    world.executor.spawn(answer).detach();
    Client::new(client)
}
