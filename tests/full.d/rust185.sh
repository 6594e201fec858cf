# Debian's Rust 1.85, our oldest supported one, unpacked into a folder of its own beside rustup's. To be sourced:
# sets $rust185, a compiler to be given to cargo as RUSTC.
rust185_root=${TIDINGS_RUST185:-${TMPDIR:-/tmp}/tidings-rust-1.85}
rust185=$rust185_root/rustc
if [ ! -x "$rust185" ]; then
  mkdir -p "$rust185_root/debs"
  version='1.85.0+dfsg3-1~deb12u3'
  (
    cd "$rust185_root/debs"
    apt-get update -qq
    apt-get download -qq "rustc-web=$version" "libstd-rust-web-1.85=$version" "libstd-rust-web-dev=$version" libllvm19
    for deb in *.deb; do dpkg -x "$deb" ..; done
  )
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s --sysroot %s "$@"\n' \
    "$rust185_root/usr/lib/x86_64-linux-gnu" "$rust185_root/usr/bin/rustc" "$rust185_root/usr" >"$rust185"
  chmod +x "$rust185"
fi
