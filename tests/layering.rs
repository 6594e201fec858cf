//! Who may import whom: arrows never go back.

use std::path::Path;

/// A folder or file of src/, and which modules of the crate its code may name.
const RULES: [(&str, &[&str]); 19] = [
    ("limits.rs", &[]),
    ("moment.rs", &[]),
    ("error.rs", &["proto"]),
    ("decimal.rs", &[]),
    ("proto", &["decimal", "limits", "error"]),
    ("hub", &["decimal", "limits", "error"]),
    ("request.rs", &["proto"]),
    ("sweep.rs", &["limits", "moment"]),
    ("server.rs", &["limits", "moment", "proto", "seat", "sweep"]),
    ("seat.rs", &["limits", "moment", "server"]),
    ("tcp.rs", &[]),
    ("stream.rs", &["limits", "tcp"]),
    ("out.rs", &["limits", "moment"]),
    (
        "conn",
        &["error", "exchange", "limits", "moment", "out", "proto", "request", "seat", "server", "stream"],
    ),
    ("wait.rs", &["conn", "error", "moment"]),
    ("exchange.rs", &["conn", "error", "limits", "proto", "server", "wait", "writer"]),
    ("writer.rs", &["conn", "error", "proto", "server", "wait"]),
    ("ws", &["conn", "error", "exchange", "limits", "moment", "out", "proto", "seat", "server", "wait"]),
    ("serve.rs", &["conn", "error", "exchange", "limits", "moment", "seat", "server", "stream", "tcp"]),
];

/// The Rust files at and below a path.
fn sources(path: &Path) -> Vec<(String, String)> {
    if path.is_file() {
        return vec![(path.display().to_string(), std::fs::read_to_string(path).expect("a source"))];
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|_| panic!("{} is gone", path.display()));
    entries.flat_map(|entry| sources(&entry.expect("an entry").path())).collect()
}

/// The lines that are no comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn arrows_never_go_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (place, allowed) in RULES {
        for (file, text) in sources(&root.join(place)) {
            for line in code(&text) {
                for path in line.split("crate::").skip(1) {
                    let module: String =
                        path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    assert!(allowed.contains(&&*module), "{file} names crate::{module}: {line}");
                }
            }
        }
    }
}

#[test]
fn the_protocol_does_no_input_or_output() {
    for (file, text) in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/proto")) {
        for word in [
            "std::io",
            "std::net",
            "std::time",
            "std::sync",
            "async ",
            "async_",
            "futures",
            ".await",
            "println",
        ] {
            assert!(!code(&text).any(|line| line.contains(word)), "{file} has {word}");
        }
    }
}

#[test]
fn transports_use_the_public_surface_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (file, text) in sources(&root.join("transport")) {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code.filter(|line| line.contains("crate::")) {
            let private = [
                "conn::",
                "server::",
                "seat::",
                "hub::",
                "error::",
                "exchange::",
                "writer::",
                "limits::",
                "wait::",
            ];
            assert!(!private.iter().any(|name| line.contains(name)), "{file}: {line}");
        }
    }
}

#[test]
fn one_file_names_the_other_websocket_engine() {
    for (file, text) in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let names = code(&text).any(|line| line.contains("async_tungstenite"));
        assert!(!names || file.ends_with("src/ws/tungstenite.rs"), "{file}");
    }
}
