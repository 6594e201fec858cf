//! Takes the sources of the hub and of the deadlines as they are, or breaks them in one place: `MUTANT` names which.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// What a model must find: a name, a file, what stands there, and what is put in its place.
const MUTANTS: [(&str, &str, &str, &str); 4] = [
    (
        "a-reader-looks-and-waits-in-two-steps",
        "hub/subscription.rs",
        "_stale = log.wait(&mut self.reader, cx.waker());",
        "drop(log); _stale = self.hub.lock().wait(&mut self.reader, cx.waker());",
    ),
    (
        "a-frame-is-counted-with-its-message-before-the-hub-counts-it",
        "hub/ledger.rs",
        "        self.ledger.add(more);\n        let add = |bytes| (bytes != SETTLED).then(|| bytes + more);\n        if \
         self.bytes.fetch_update(Ordering::Release, Ordering::Relaxed, add).is_err() {\n            \
         self.ledger.take(more);\n        }",
        "        let add = |bytes| (bytes != SETTLED).then(|| bytes + more);\n        if \
         self.bytes.fetch_update(Ordering::Release, Ordering::Relaxed, add).is_ok() {\n            \
         self.ledger.add(more);\n        }",
    ),
    (
        "a-producer-looks-and-waits-in-two-steps",
        "hub/producer.rs",
        "_stale = running.waiting.wait(&mut this.place, cx.waker());",
        "drop(log);\n                let mut log = this.producer.hub.lock();\n                _stale = \
         log.running(this.producer.key).and_then(|running| running.waiting.wait(&mut this.place, cx.waker()));",
    ),
    (
        "a-deadline-is-moved-without-a-word",
        "server/deadlines.rs",
        "            wake_all(keepers);\n        }\n    }",
        "            drop(keepers);\n        }\n    }",
    ),
];

const FILES: [&str; 2] = ["error.rs", "limits.rs"];
const ROOMS: [&str; 1] = ["hub"];
const SERVER: [&str; 4] = ["alarm", "clock", "deadlines", "manual_clock"];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let src = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../src");
    println!("cargo::rerun-if-changed={}", src.display());
    println!("cargo::rerun-if-env-changed=MUTANT");
    for file in FILES {
        copy(&src, &out, file);
    }
    for room in ROOMS {
        for entry in fs::read_dir(src.join(room)).expect("a room").map(|entry| entry.expect("an entry")) {
            copy(&src, &out, &format!("{room}/{}", entry.file_name().into_string().expect("a name")));
        }
    }
    SERVER.iter().for_each(|name| copy(&src, &out, &format!("server/{name}.rs")));
    if let Ok(mutant) = env::var("MUTANT") {
        mutate(&out, &mutant);
    }
    let module = |name: &str, path: &str| format!("#[path = {:?}]\npub mod {name};\n", out.join(path));
    let server: String = SERVER.iter().map(|name| module(name, &format!("server/{name}.rs"))).collect();
    let root = module("error", "error.rs") + &module("limits", "limits.rs") + &module("hub", "hub/mod.rs");
    let make = "pub(crate) fn deadlines(clock: manual_clock::ManualClock) -> deadlines::Deadlines {\n\
                deadlines::Deadlines::new(clock::Clock::Manual(clock))\n}\n";
    let root = format!("{root}pub mod server {{\n{server}{make}}}\n");
    fs::write(out.join("sources.rs"), root).expect("written");
}

fn copy(src: &Path, out: &Path, file: &str) {
    let to = out.join(file);
    fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
    fs::copy(src.join(file), to).expect("a source");
}

fn mutate(out: &Path, mutant: &str) {
    let known = MUTANTS.iter().find(|(name, ..)| *name == mutant);
    let (_, file, from, to) = known.unwrap_or_else(|| panic!("no mutant {mutant}"));
    let path = out.join(file);
    let text = fs::read_to_string(&path).expect("a source");
    assert_eq!(text.matches(from).count(), 1, "{file} has changed: {from}");
    fs::write(path, text.replace(from, to)).expect("written");
}
