//! Every public type and function has an example.

use std::path::{Path, PathBuf};

/// Files from which nothing is exported that is not hidden.
const HIDDEN: [&str; 9] = [
    "proto/body.rs",
    "proto/frame.rs",
    "proto/frame/encode.rs",
    "proto/headers.rs",
    "proto/http1.rs",
    "proto/http1/answer.rs",
    "proto/uri.rs",
    "proto/ws.rs",
    "server/manual_clock.rs",
];

/// What begins a public item; `pub(crate) fn` and the like do not.
const ITEMS: [&str; 7] =
    ["pub fn ", "pub async fn ", "pub const fn ", "pub struct ", "pub enum ", "pub trait ", "pub type "];

/// The files at and below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The public items that have no example in the doc comment above them.
fn without_example(text: &str) -> Vec<&str> {
    let (mut excused, mut missing) = (false, Vec::new());
    for line in text.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]") {
        if line.starts_with("///") || line.starts_with("#[") {
            excused |= line == "/// # Examples" || line == "#[doc(hidden)]";
            continue;
        }
        if !excused && ITEMS.iter().any(|item| line.starts_with(item)) {
            missing.push(line);
        }
        excused = false;
    }
    missing
}

#[test]
fn every_public_item_has_an_example() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut missing = Vec::new();
    for path in files(&src).iter().filter(|path| !HIDDEN.iter().any(|hidden| path.ends_with(hidden))) {
        let text = std::fs::read_to_string(path).expect("a source");
        let name = path.strip_prefix(&src).unwrap_or(path).display();
        missing.extend(without_example(&text).iter().map(|item| format!("{name}: {item}")));
    }
    assert!(missing.is_empty(), "without # Examples:\n{}", missing.join("\n"));
}

#[test]
fn an_item_without_example_is_found() {
    let text = "/// # Examples\npub fn a() {}\n/// Does.\n#[must_use]\npub fn b() {}\npub(crate) fn c() {}";
    assert_eq!(without_example(text), ["pub fn b() {}"]);
}
