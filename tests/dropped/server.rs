//! The futures of a server and of a subscription.

use std::time::Duration;

use smol::io::AsyncWriteExt as _;
use tidings::{Hub, Limits, Server};

use crate::common::client::Client;
use crate::common::{app, in_time};
use crate::knife::{Cut, Knife, is_the_same};
use crate::still::Still;

#[test]
fn subscription_next() {
    let read = is_the_same(|knife| {
        let still = Still::new(Limits::DEFAULT);
        let mut news = still.world.hub.subscribe(&["news", "weather"], None).expect("room");
        let reads = still.spawn("reader", async move {
            let mut read = Vec::new();
            while let Some(batch) = again!(knife, news.next()) {
                read.extend(batch.messages.iter().map(|message| message.data().to_owned()));
            }
            read
        });
        for message in 0..10 {
            still.settle();
            let topic = ["news", "weather", "other"][message % 3];
            still.world.hub.publish(topic, format!("message {message}")).expect("room");
        }
        still.world.hub.close();
        still.settle();
        smol::block_on(reads)
    });
    assert_eq!(read.len(), 7, "{read:?}");
}

#[test]
fn server_tick() {
    let came = is_the_same(|knife| {
        let still = Still::without_tick(Limits::DEFAULT);
        let server = still.server().clone();
        let ticks = async move { again!(knife, server.tick()) };
        still.spawn("tick", ticks).detach();
        let (mut events, mut silent) = (still.connect(), still.connect());
        events.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n");
        silent.send("GET / HTT");
        still.settle();
        events.read_all();
        // What each of them got in each second.
        Vec::from_iter((0..40).map(|_| {
            still.pass(Duration::from_secs(1));
            [events.read_all(), silent.read_all()].map(|bytes| bytes > 0)
        }))
    });
    assert_eq!(came.iter().filter(|[events, _]| *events).count(), 2, "{came:?}");
    assert!(came[4][1], "{came:?}");
}

#[test]
fn server_shutdown() {
    let second = Duration::from_secs(1);
    for cut in [Cut::Never, Cut::At(1)] {
        let (still, knife) = (Still::new(Limits::DEFAULT), Knife::new(cut));
        let (mut idle, mut busy) = (still.connect(), still.connect());
        busy.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
        still.settle();
        let server = still.server().clone();
        let shutdown = still.spawn("shutdown", async move { knife.poll(server.shutdown(second)).await });
        still.settle();
        // One connection less has it look again.
        idle.read_all();
        let was_dropped = shutdown.is_finished();
        assert_eq!((idle.over, was_dropped, still.figures().0), (true, cut != Cut::Never, 1), "{cut:?}");
        still.pass(second);
        assert_eq!(still.figures().0, usize::from(was_dropped), "{cut:?}");
        // Called again, it cuts off after its time.
        let server = still.server().clone();
        let again = still.spawn("shutdown", async move { server.shutdown(second).await });
        still.settle();
        still.pass(second);
        assert!(again.is_finished() && still.figures() == (0, 0, 0), "{cut:?}");
        busy.read_all();
        assert!(busy.over, "{cut:?}");
    }
}

#[test]
fn server_serve() {
    for poll in 1..20 {
        let (server, knife) = (Server::new(Limits::DEFAULT), Knife::new(Cut::At(poll)));
        let listener = smol::Async::<std::net::TcpListener>::bind(([127, 0, 0, 1], 0)).expect("a port");
        let address = listener.get_ref().local_addr().expect("bound");
        let hub = Hub::new(&Limits::DEFAULT);
        let handler = async |ex: tidings::Exchange<'_>| app(&hub, ex).await;
        let serve = async { knife.poll(server.serve(listener, &handler)).await };
        let clients = async {
            let mut clients = Vec::new();
            while let Ok(stream) = smol::net::TcpStream::connect(address).await {
                let mut client = Client::new(stream);
                client.stream.write_all(b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap_or_default();
                clients.push(client);
                smol::future::yield_now().await;
            }
            clients
        };
        smol::block_on(in_time(async {
            let (served, clients) = smol::future::zip(serve, clients).await;
            assert!(served.is_none());
            let stats = server.stats();
            assert_eq!((stats.connections, stats.held, stats.buffered), (0, 0, 0), "{poll}");
            for mut client in clients {
                client.rest().await;
            }
        }));
    }
}
