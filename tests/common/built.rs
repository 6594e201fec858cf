//! Where the built examples are.

use std::env::consts::EXE_EXTENSION;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The program of an example. All examples are built first: `cargo test` has done so, but `cargo test --test NAME` and
/// `cargo test --tests` have not.
pub(crate) fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).join(name).with_extension(EXE_EXTENSION)
}

fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let [profile, target] = [2, 3].map(|up| test.ancestors().nth(up).expect("target/debug/deps/NAME"));
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--examples", "--manifest-path"]);
    build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).arg("--target-dir").arg(target);
    build.args(profile.ends_with("release").then_some("--release"));
    build.args((!cfg!(feature = "ws")).then_some("--no-default-features"));
    assert!(build.status().expect("cargo").success(), "the examples can't be built");
    profile.join("examples")
}
