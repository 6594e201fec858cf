"""What the scripts beside this file share: a server under measurement, its clients, and figures with their limits.

Server and clients get a core each where there are two, and precedence over others where we are root.
"""

import contextlib
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "full.d"))
from lab import TARGET, Lab, bounded, example, shared, spawn  # noqa: E402, F401

FIELDS = b"Host: 127.0.0.1\r\n\r\n"
# With the sample key of RFC 6455.
UPGRADE = (
    b"Host: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# What a client sends, and what shows that it was heard; a poll that waits has no such thing.
KINDS = {
    "keep-alive": (b"GET /time HTTP/1.1\r\n" + FIELDS, b"+00:00"),
    "long poll": (b"GET /poll HTTP/1.1\r\n" + FIELDS, None),
    "SSE": (b"GET /events HTTP/1.1\r\n" + FIELDS, b"\n\n"),
    "WebSocket": (b"GET /ws HTTP/1.1\r\n" + UPGRADE, b"\r\n\r\n"),
    "WebSocket echo": (b"GET /echo HTTP/1.1\r\n" + UPGRADE, b"\r\n\r\n"),
}
# So much of what came is kept, to find a mark that came in two parts.
TAIL = 64


def take_core(process, core):
    """Binds all threads of a process to a core, if there are two, and lets them go before others, if we may."""
    for thread in map(int, os.listdir(f"/proc/{process}/task")):
        if os.cpu_count() > 1:
            os.sched_setaffinity(thread, {core})
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, thread, -10)
    # Where the kernel groups tasks by session, that is what counts; our own is shared with who called us.
    if process != os.getpid():
        with contextlib.suppress(OSError):
            pathlib.Path(f"/proc/{process}/autogroup").write_text("-10")


class Measured(Lab):
    """A server that is measured; it has answered a request."""

    def __init__(self, name="bench_server", args=("0",), **options):
        super().__init__(name, args, **options)
        take_core(self.pid, 0)
        take_core(os.getpid(), 1)
        self.settle()

    def settle(self):
        """Waits for an answer, and until all is done: what was sent before it from this core has then arrived as well."""
        request, mark = KINDS["keep-alive"]
        with self.connect(request) as stream:
            assert stream.recv(4096).endswith(mark)
        self.calm()

    def cpu(self):
        """Seconds of CPU that the process has used, all threads, system calls included."""
        return time.clock_gettime(~self.pid << 3 | 2)

    def states(self):
        """What its threads do: `S` waits for something, `R` runs or waits for a core, `T` is stopped."""
        states = set()
        for thread in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                states.add((thread / "stat").read_text().rpartition(")")[2].split()[0])
        return states

    @contextlib.contextmanager
    def stopped(self):
        """It stands still meanwhile."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            # `t` is for `T` where strace looks on.
            while not self.states() <= {"T", "t"}:
                time.sleep(0.0001)
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def calm(self, within=10):
        """Waits until it has done what it was asked to."""
        by, last, calm = time.monotonic() + within, self.cpu(), 0
        while calm < 3 and time.monotonic() < by:
            time.sleep(0.002)
            now = self.cpu()
            calm, last = calm + 1 if now - last < 20e-6 and self.states() == {"S"} else 0, now


class Crowd:
    """Connections of one kind, each heard by the server. Bytes are searched for marks, and not parsed."""

    def __init__(self, server, kind, count):
        self.server, (self.request, opened) = server, KINDS[kind]
        self.polls = kind == "long poll"
        self.epoll, self.streams, self.tails = select.epoll(), {}, {}
        while len(self.streams) < count:
            new = [self._connect() for _ in range(min(100, count - len(self.streams)))]
            if opened:
                self.wait(new, opened)
            else:
                server.settle()
        server.calm()

    def _connect(self):
        stream = self.server.connect(self.request)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.setblocking(False)
        self.streams[stream.fileno()], self.tails[stream.fileno()] = stream, b""
        self.epoll.register(stream, select.EPOLLIN)
        return stream.fileno()

    def wait(self, whom, mark):
        """Reads until each of them has got the mark."""
        missing, by = set(whom), time.monotonic() + 30
        while missing:
            assert time.monotonic() < by, f"{len(missing)} of {len(self.streams)} never got {mark}"
            for place, _ in self.epoll.poll(1):
                data = self.streams[place].recv(1 << 18)
                assert data, "closed by the server"
                seen = self.tails[place] + data
                if mark in seen:
                    seen = seen[seen.rindex(mark) + len(mark) :]
                    missing.discard(place)
                self.tails[place] = seen[-TAIL:]

    def publish(self, messages, size):
        """Publishes one message after the other. The server has sent all of one when the first is read, and those that
        poll come back all at once, so that it never waits for us, nor wakes us: that would depend on our speed."""
        with self.server.connect() as publisher:
            for number in range(messages):
                mark = b"<%06d>" % number
                head = b"POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % size
                publisher.sendall(head + mark.rjust(size, b"x"))
                assert publisher.recv(4096).startswith(b"HTTP/1.1 200")
                self.server.calm()
                self.wait(self.streams, mark)
                if self.polls:
                    self._come_back()

    def _come_back(self):
        with self.server.stopped():
            for number, stream in enumerate(self.streams.values()):
                stream.send(self.request)
                # The kernel drops packets when it is 1,000 behind.
                if number % 200 == 0:
                    time.sleep(0.001)
        self.server.calm()

    def ask(self, what, mark):
        """Sends something on each connection and waits for what comes back, for some after the other."""
        places = list(self.streams)
        for at in range(0, len(places), 50):
            for place in places[at : at + 50]:
                self.streams[place].settimeout(5)
                self.streams[place].sendall(what)
                self.streams[place].setblocking(False)
            self.wait(places[at : at + 50], mark)
        self.server.calm()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """They leave with FIN, as who closes a page."""
        self.epoll.close()
        for stream in self.streams.values():
            stream.close()


class Busy:
    """Connections of a client that is faster than we are: of `bare`."""

    def __init__(self, server, kind, count):
        self.server = server
        words = [example("bare"), "ask", ":".join(map(str, server.at)), kind, count]
        self.process = spawn(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        take_core(self.process.pid, 1)
        self._expect("ready")

    def go(self, times):
        """Has each of them ask a hundred times, so often."""
        for _ in range(times):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            self._expect("done")

    def _expect(self, word):
        line = self.process.stdout.readline().strip()
        assert line == word, f"the client ended: {line}"
        self.server.calm()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def text_frame(payload):
    """A client's WebSocket message; its mask changes nothing."""
    size = len(payload)
    head = bytes([size | 0x80]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x81" + head + b"\0\0\0\0" + payload


class Verdicts:
    """A table of figures, each with the most that it may be."""

    def __init__(self, title):
        self.over = 0
        print(f"| {title} | | at most | |\n| --- | --: | --: | --- |", flush=True)

    def __call__(self, name, value, most, digits=0, counts=True):
        """Prints one; whether it counts: a time does not, since it depends on who else uses the machine."""
        over = most is not None and value > most
        self.over += over and counts
        limit = "" if most is None else f"{most:,}"
        verdict = "" if most is None else "over" if over else "ok"
        print(f"| {name} | {value:,.{digits}f} | {limit} | {verdict} |", flush=True)


def load():
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
