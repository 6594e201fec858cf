//! The least that a server can do on this machine, and a client that keeps any server busy: `benches/figures` measures
//! with the one and divides by the other. Neither speaks HTTP: nothing is parsed, nothing checked.
//!
//!     cargo run --release --example bare -- serve 3000
//!     cargo run --release --example bare -- ask 127.0.0.1:3000 GET 64

#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod server;

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", port] => server::serve(port.parse().map_err(std::io::Error::other)?),
        ["ask", address, kind, count] => {
            client::ask(address, kind, count.parse().map_err(std::io::Error::other)?)
        }
        _ => Err(std::io::Error::other("serve PORT, or ask HOST:PORT KIND CONNECTIONS")),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("only Linux has epoll");
}
