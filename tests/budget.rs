//! The sizes that the memory per connection is made of, and the budget that they add up to.

use tidings::{Conn, Error, Exchange, Fault, Hub, Limits, Server, transport};

#[test]
fn an_error_is_small() {
    assert!(size_of::<Error>() <= 32, "{}", size_of::<Error>());
    // Three numbers: which byte, where it stands, in which field.
    assert!(size_of::<Fault>() <= 12, "{}", size_of::<Fault>());
}

#[test]
fn a_connection_is_small() {
    println!("Conn {}, Exchange {}", size_of::<Conn>(), size_of::<Exchange<'_>>());
    assert!(size_of::<Conn>() <= 120, "{}", size_of::<Conn>());
    assert!(size_of::<Exchange<'_>>() <= 8);
}

#[cfg(feature = "ws")]
#[test]
fn a_websocket_decoder_is_small() {
    let size = size_of::<tidings::proto::frame::FrameDecoder>();
    println!("Decoder {size}");
    assert!(size <= 48, "{size}");
}

async fn app(hub: &Hub, ex: Exchange<'_>) -> tidings::Result<()> {
    match ex.path() {
        "/poll" => transport::poll(ex, hub, &["news"]).await,
        "/wait" => transport::long_poll(ex, hub, &["news"]).await,
        "/events" => transport::sse(ex, hub, &["news"]).await,
        #[cfg(feature = "ws")]
        "/ws" => transport::websocket(ex, hub, &["news"]).await,
        _ => ex.reply(tidings::Response::new(404)).await,
    }
}

async fn converse(mut conn: Conn, hub: Hub) {
    while let Ok(Some(ex)) = conn.next().await {
        if let Err(error) = app(&hub, ex).await {
            conn.fail(&error).await;
            break;
        }
    }
}

/// The future can be spawned on an executor of several threads.
fn is_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn the_task_of_a_connection_with_all_four_transports_fits_its_budget() {
    let server = Server::new(Limits::DEFAULT);
    let io = smol::io::AssertAsync::new(std::io::Cursor::new(Vec::new()));
    let task = is_send(converse(Conn::new(io, &server), Hub::new(&Limits::DEFAULT)));
    println!("task {} bytes", size_of_val(&task));
    assert!(size_of_val(&task) <= 720, "{}", size_of_val(&task));
}

#[test]
fn what_is_held_for_long_is_small() {
    smol::block_on(async {
        let server = Server::new(Limits::DEFAULT);
        let request = b"GET / HTTP/1.0\r\n\r\n".to_vec();
        let hub = Hub::new(&Limits::DEFAULT);
        let mut conn = Conn::new(smol::io::AssertAsync::new(std::io::Cursor::new(request)), &server);
        assert!(size_of_val(&conn.next()) <= 32, "{}", size_of_val(&conn.next()));
        let ex = conn.next().await.expect("a request").expect("one");
        let sse = transport::sse(ex, &hub, &["news"]);
        println!("sse {} bytes", size_of_val(&sse));
        assert!(size_of_val(&sse) <= 152, "{}", size_of_val(&sse));
    });
}

#[test]
fn the_default_budget_suits_a_small_device() {
    let worst = Limits::DEFAULT.worst_case();
    println!("at most {} KiB", worst / 1024);
    assert!(worst < 24 * 1024 * 1024);
}

#[test]
fn connections_fit_in_as_little_as_they_are_given() {
    let mut limits = Limits::DEFAULT;
    (limits.connections, limits.held, limits.buffered) = (220, 200, 128 * 1024);
    (limits.topics, limits.subscription, limits.forgotten) = (16, 1, 64);
    (limits.history_bytes, limits.published, limits.batch) = (32 * 1024, 1024, 1024);
    println!("220 connections in {} KiB", limits.worst_case() / 1024);
    assert!(
        limits.worst_case()
            <= 2 * 1024 * 1024 + if cfg!(feature = "tungstenite") { 200 * limits.message } else { 0 }
    );
    // A large history makes no connection larger.
    (limits.connections, limits.held, limits.history_bytes) = (1_000, 1_000, 16 * 1024 * 1024);
    (limits.published, limits.batch) = (Limits::DEFAULT.published, Limits::DEFAULT.batch);
    limits.message = 0;
    assert!(limits.worst_case() < 64 * 1024 * 1024, "{}", limits.worst_case());
}

#[test]
fn more_header_fields_take_more() {
    let mut limits = Limits::DEFAULT;
    limits.headers = 1064;
    assert_eq!(limits.worst_case(), Limits::DEFAULT.worst_case() + 1000 * 16 * limits.connections);
    // A head has no room for more than so many.
    limits.headers = usize::MAX;
    assert_eq!(limits.worst_case(), Limits::DEFAULT.worst_case() + (2048 - 64) * 16 * limits.connections);
}
