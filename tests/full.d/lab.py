"""What the scripts beside this file share: examples/lab.rs as a process, checks, and what is to be installed."""

import atexit
import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROCESSES = []


@atexit.register
def stop_all():
    for process in PROCESSES:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def spawn(args, descriptors=20_000, **options):
    """A process of ours, in a group of its own, gone when the script is."""
    most = min(descriptors, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    limit = ["prlimit", f"--nofile={most}:{most}", "--"] if shutil.which("prlimit") else []
    process = subprocess.Popen([*limit, *map(str, args)], start_new_session=True, **options)
    PROCESSES.append(process)
    return process


def bounded(seconds):
    """Ends the script, as failed, if it takes longer."""

    def stuck(*_):
        print(f"stuck for {seconds} s\n0 passed, 1 failed", flush=True)
        sys.exit(1)

    signal.signal(signal.SIGALRM, stuck)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.alarm(seconds)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def shared(*words):
    """Calls a function of tests/shared.sh, such as `need`, and takes over its PATH."""
    script = '. "$1"; shift; "$@" >&2; printf %s "$PATH"'
    call = ["bash", "-euc", script, "bash", HERE.parent / "shared.sh", *words]
    os.environ["PATH"] = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout


def python():
    """The interpreter of a virtual environment with requirements.txt in it."""
    wanted, home = (HERE / "requirements.txt").read_text(), TARGET / "full.d" / "python"
    done = home / "requirements.txt"
    if not done.exists() or done.read_text() != wanted:
        shutil.rmtree(home, ignore_errors=True)
        shared("need_python")
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        pip = [home / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", HERE / "requirements.txt"], check=True)
        done.write_text(wanted)
    return home / "bin" / "python"


def in_venv():
    """Goes on in that interpreter."""
    wanted = python()
    if pathlib.Path(sys.prefix).resolve() != wanted.parent.parent.resolve():
        os.execv(wanted, [wanted, "-B", *sys.argv])


def example(name):
    """The path of an example's binary, built; TIDINGS_EXAMPLES names a folder where they are already."""
    if folder := os.environ.get("TIDINGS_EXAMPLES"):
        return pathlib.Path(folder) / name
    build = ["cargo", "build", "--release", "--quiet", "--example", name]
    subprocess.run(build, check=True, cwd=ROOT)
    return TARGET / "release" / "examples" / name


class Lab:
    """A running server."""

    def __init__(self, name="lab", args=(), descriptors=20_000, stderr=subprocess.DEVNULL, **limits):
        settings = [word for key, value in limits.items() for word in ("--limit", f"{key}={value}")]
        command = [example(name), *args, *settings]
        # A panic that was asked for says so on standard error.
        self.process = spawn(command, descriptors, text=True, stdout=subprocess.PIPE, stderr=stderr)
        self.worst_case, self.at = None, None
        for line in self.process.stdout:
            if line.startswith("worst_case "):
                self.worst_case = int(line.split()[1])
            if "--unix-socket " in line:
                self.at = line.split("--unix-socket ")[1].split()[0]
                break
            if "http://" in line:
                host, port = line.split("http://")[1].split()[0].rstrip("/").split(":")
                self.at = (host, int(port))
                break
            if line.startswith("unix "):
                self.at = line.split()[1]
                break
        assert self.at, f"{name} did not start"
        self.url = f"http://{self.at[0]}:{self.at[1]}" if isinstance(self.at, tuple) else None
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def connect(self, send=b"", receive_buffer=None):
        family = socket.AF_INET if isinstance(self.at, tuple) else socket.AF_UNIX
        stream = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        stream.settimeout(120)
        stream.connect(self.at)
        if send:
            stream.sendall(send)
        return stream

    def served(self):
        """A connection that was answered: there is a place soon after others were closed."""
        by = time.monotonic() + 60
        while time.monotonic() < by:
            stream = self.connect(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                if answers(stream, 1) == [200]:
                    return stream
            stream.close()
            time.sleep(0.02)
        raise AssertionError("no place is given back")

    def ask(self, method, target, body=b"", fields="", within=120):
        """The status and the body of an answer on a connection of its own."""
        head = f"{method} {target} HTTP/1.0\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
        with self.connect() as stream:
            stream.settimeout(within)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                stream.sendall(head.encode() + body)
            answer = read_all(stream)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def stats(self):
        for _ in range(100):
            status, body = self.ask("GET", "/stats")
            if status == 200:
                return json.loads(body)
            # Full for a moment.
            time.sleep(0.05)
        raise AssertionError(f"/stats: {status} {body}")

    def settled(self, within=60, open=0):
        """Whether nothing is left but the connection that asks, and so many that are open; and the last figures."""
        by = time.monotonic() + within
        while True:
            of = self.stats()
            over = of["connections"] <= open + 1 and of["held"] == of["buffered"] == of["readers"] == 0
            if over or time.monotonic() > by:
                return over, {name: of[name] for name in ("connections", "held", "buffered", "readers")}
            time.sleep(0.05)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def pss(self):
        """Bytes of memory that are this process's."""
        rollup = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def read_all(stream):
    """What comes until the end, a reset or the time-out."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := stream.recv(1 << 16):
            data += piece
    return data


def answers(stream, count):
    """Reads so many answers whose bodies have a length, and gives the status of each."""
    statuses, data = [], b""
    while len(statuses) < count:
        head, end, rest = data.partition(b"\r\n\r\n")
        length = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if not end or len(rest) < sum(length):
            piece = stream.recv(1 << 16)
            if not piece:
                return [*statuses, "the end"]
            data += piece
            continue
        statuses.append(int(head.split()[1]))
        data = rest[sum(length) :]
    return statuses


def reset(stream):
    """Closes with RST."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def upgrade(path):
    return (
        f"GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


class Checks:
    """Counts what held and what did not."""

    def __init__(self):
        self.passed = self.failed = 0

    def __call__(self, name, good, figures=""):
        self.passed += bool(good)
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'}  {name}" + (f": {figures}" if figures != "" else ""), flush=True)
        return good

    def done(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(self.failed > 0)
