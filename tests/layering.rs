//! Who may import whom: arrows never go back.

use std::path::Path;

/// A room of src/, and which other rooms its code may name: arrows go up this list only. (`transport` has a test of its
/// own: it names nothing but the public surface.)
const ROOMS: [(&str, &[&str]); 9] = [
    ("limits.rs", &[]),
    ("error.rs", &[]),
    ("proto", &["limits", "error"]),
    ("hub", &["limits", "error"]),
    ("server", &["limits", "error", "proto"]),
    ("conn", &["limits", "error", "proto", "server"]),
    ("ws", &["limits", "error", "proto", "server", "conn"]),
    ("serve", &["limits", "error", "proto", "server", "conn"]),
    ("transport", &[]),
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

/// The modules of the crate that a line of code names by their path.
fn modules(line: &str) -> impl Iterator<Item = String> {
    let word = |path: &str| path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    line.split("crate::").skip(1).map(word).filter(|name| name.starts_with(char::is_lowercase))
}

/// What may get more fields or variants without a break.
const MAY_GROW: [(&str, &str); 5] = [
    ("hub/batch.rs", "pub struct Batch {"),
    ("hub/published.rs", "pub enum Frame {"),
    ("conn/wait.rs", "pub enum Wait<T> {"),
    ("ws/payload.rs", "pub enum Payload {"),
    ("proto/version.rs", "pub enum Version {"),
];

#[test]
fn what_may_grow_says_so() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (file, item) in MAY_GROW {
        let text = std::fs::read_to_string(root.join(file)).expect("a source");
        assert!(text.contains(&format!("#[non_exhaustive]\n{item}")), "{file}: {item}");
    }
}

#[test]
fn a_room_of_the_list_is_all_that_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(root).expect("src") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        assert!(name == "lib.rs" || ROOMS.iter().any(|(room, _)| *room == name), "{name} is no room");
    }
}

#[test]
fn arrows_never_go_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (room, allowed) in ROOMS {
        for (file, text) in sources(&root.join(room)) {
            for line in code(&text) {
                for module in modules(line) {
                    let own = room.trim_end_matches(".rs") == module;
                    assert!(own || allowed.contains(&&*module), "{file} names crate::{module}: {line}");
                }
            }
        }
    }
}

/// The files of `src/proto/`, and which of them each names.
fn protocol() -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/proto");
    let name = |file: &str| {
        let path = Path::new(file).strip_prefix(&root).expect("below proto").with_extension("");
        path.components().next().expect("a file").as_os_str().to_str().expect("a name").to_owned()
    };
    let files = sources(&root).into_iter().filter(|(file, _)| !file.ends_with("proto/mod.rs"));
    files
        .map(|(file, text)| {
            let own = name(&file);
            let lines = code(&text).filter(|line| line.trim_start().starts_with("use super"));
            let words = lines
                .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned));
            let named =
                words.filter(|word| *word != own && root.join(format!("{word}.rs")).exists()).collect();
            (own, named)
        })
        .collect()
}

#[test]
fn the_files_of_the_protocol_have_no_circle() {
    let mut files = protocol();
    // Whoever names nobody who is left goes, until all have gone.
    while !files.is_empty() {
        let left: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
        let before = files.len();
        files.retain(|(_, named)| named.iter().any(|name| left.contains(name)));
        assert!(files.len() < before, "a circle among {left:?}");
    }
}

#[test]
fn the_protocol_does_no_input_or_output() {
    for (file, text) in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/proto")) {
        for word in [
            "std::io",
            "std::net",
            "std::time",
            "Mutex",
            "atomic",
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
        for line in code(&text).filter(|line| line.contains("crate::")) {
            assert_eq!(modules(line).next(), None, "{file}: {line}");
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
