"""An InfluxDB that does what a healthy one won't: refuses, hangs, answers too late or half, goes away.

It takes writes over real sockets in real threads, whatever gevent has patched, and reads their lines with a parser of its own,
which is the reference that the encoder is held against. A point is known by measurement, tags and time, as in InfluxDB; so a
second write of it shows as a count of two.

    python tests/influx_fake.py      serves until its stdin closes; prints its port, at the end what it got, as JSON
"""

import json
import sys
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from socket import IPPROTO_TCP, SHUT_RDWR, SO_REUSEADDR, SOL_SOCKET, TCP_NODELAY
from typing import Any, Self

from gevent import monkey

_socket: Any = monkey.get_original("socket", "socket")
_start: Callable[..., object] = monkey.get_original("_thread", "start_new_thread")
_lock: Callable[[], Any] = monkey.get_original("_thread", "allocate_lock")
_sleep: Callable[[float], None] = monkey.get_original("time", "sleep")

Value = int | float | str | bool


@dataclass(frozen=True, slots=True)
class Point:
    """One line, read."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, Value], ...]
    time_ns: int

    @property
    def identity(self) -> tuple[str, tuple[tuple[str, str], ...], int]:
        return self.measurement, self.tags, self.time_ns


def split_lines(text: str) -> Iterator[str]:
    """The lines of a body: `scanLine` of InfluxDB's models/points.go, which 3.x has taken over."""
    at = begin = 0
    quoted = fields = False
    equals = commas = 0
    while at < len(text):
        letter = text[at]
        if letter == "\\" and at + 2 < len(text):
            at += 2
            continue
        if letter == " ":
            fields = True
        if fields:
            if not quoted and letter == "=":
                equals += 1
            elif not quoted and letter == ",":
                commas += 1
            elif letter == '"' and equals > commas:
                quoted = not quoted
        if letter == "\n" and not quoted:
            yield text[begin:at]
            begin, fields, equals, commas = at + 1, False, 0, 0
        at += 1
    if begin < len(text):
        yield text[begin:]


def _cut(text: str, at: int, stops: str, *, collapse: bool) -> tuple[str, int]:
    """A name from `at` to the first unescaped letter of `stops`, unescaped; where that is.

    `collapse`: two backslashes are one, as 3.x reads tags; to 1.x and 2.x they are two.
    """
    found = ""
    while at < len(text) and text[at] not in stops:
        if text[at] == "\\" and at + 1 < len(text) and text[at + 1] in (", =\\" if collapse else ", ="):
            at += 1
        assert text[at].isprintable() or ord(text[at]) > 0x9F, "a control character in a tag"
        found += text[at]
        at += 1
    return found, at


def _quoted(text: str, at: int) -> tuple[str, int]:
    """A string's text from its opening quote on, and where what follows it begins."""
    found, at = "", at + 1
    while text[at] != '"':
        if text[at] == "\\" and text[at + 1] in '\\"':
            at += 1
        found += text[at]
        at += 1
    return found, at + 1


def _bare(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    if text.endswith("i"):
        number = int(text[:-1])
        assert -(2**63) <= number < 2**63
        return number
    return float(text)


def parse(line: str, *, collapse: bool = False) -> Point:
    """One line as a point. Raises ValueError, IndexError or AssertionError for what is none."""
    assert not line.startswith("#"), "a comment"
    measurement, at = _cut(line, 0, ", ", collapse=collapse)
    tags: dict[str, str] = {}
    while line[at] == ",":
        name, at = _cut(line, at + 1, "=", collapse=collapse)
        tags[name], at = _cut(line, at + 1, ", =", collapse=collapse)
        assert tags[name], "an empty tag"
    assert line[at] == " "
    assert measurement
    fields: dict[str, Value] = {}
    while line[at] in " ,":
        if fields and line[at] == " ":
            break
        name, at = _cut(line, at + 1, "=", collapse=collapse)
        at += 1
        if line[at] == '"':
            fields[name], at = _quoted(line, at)
        else:
            end = min(found for found in (line.find(",", at), line.find(" ", at)) if found >= 0)
            fields[name], at = _bare(line[at:end]), end
    assert list(tags) == sorted(tags), "tags are sorted"
    return Point(measurement, tuple(tags.items()), tuple(fields.items()), int(line[at + 1 :]))


@dataclass(slots=True)
class Write:
    """One request to write."""

    number: int
    path: str
    headers: dict[str, str]
    body: bytes  # decompressed
    sent: int  # its bytes on the wire
    sock: Any
    fake: "Fake"

    def store(self) -> None:
        """Keep its points."""
        self.fake.store(self.body)

    def answer(self, status: int, body: str = "", headers: str = "") -> bool:
        """Answer; the connection stays."""
        data = body.encode()
        head = f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n{headers}"
        length = "" if status == 204 else f"Content-Length: {len(data)}\r\n"
        self.sock.sendall(f"{head}{length}\r\n".encode() + data)
        return True


Fault = Callable[[Write], bool]
"""What becomes of a write instead of being stored and answered 204; False: the connection is closed afterwards."""


def says(status: int, body: str = "", **headers: str) -> Fault:
    """An answer, and nothing stored."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return lambda write: write.answer(status, body, lines)


def late(seconds: float) -> Fault:
    """Stored at once, answered when the client may have given up."""

    def fault(write: Write) -> bool:
        write.store()
        _sleep(seconds)
        return write.answer(204)

    return fault


def hangs(write: Write) -> bool:
    """Nothing stored and no answer, until the client goes."""
    write.sock.recv(1)
    return False


def half(write: Write) -> bool:
    """Stored, and the connection breaks in the middle of the answer."""
    write.store()
    write.sock.sendall(b"HTTP/1.1 2")
    return False


def drops(write: Write) -> bool:
    """Nothing stored, and the connection is closed instead of an answer."""
    return False


@dataclass(slots=True)
class Fake:
    """The server. Writes meet `faults` in turn, then `always`; where there is none they are stored."""

    version: str = "2.8.0"
    most_bytes: int | None = None  # of a body; more is a 413
    always: Fault | None = None
    faults: "deque[Fault]" = field(default_factory=deque)
    writes: list[Write] = field(default_factory=list)
    stored: "Counter[object]" = field(default_factory=Counter)  # how often each point
    points: dict[object, Point] = field(default_factory=dict)  # the latest of each
    broken: list[str] = field(default_factory=list)  # what could not be parsed
    port: int = 0
    _listener: Any = None
    _socks: list[Any] = field(default_factory=list)
    _guard: Any = field(default_factory=_lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> Self:
        """Begin to listen, where it did before if it did."""
        self._listener = _socket()
        self._listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(16)
        self.port = self._listener.getsockname()[1]
        _start(self._accept, (self._listener,))
        return self

    def down(self) -> None:
        """Stop listening and hang up."""
        for sock in (self._listener, *self._socks):
            with suppress(OSError):
                sock.shutdown(SHUT_RDWR)
            sock.close()
        self._socks.clear()

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(self, *_: object) -> None:
        self.down()
        assert self.broken == []

    def _accept(self, listener: Any) -> None:
        with suppress(OSError):
            while True:
                fd, _ = (
                    listener._accept()
                )  # `accept` would make gevent's kind of socket, if it has patched the module
                sock = _socket(fileno=fd)
                sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
                self._socks.append(sock)
                _start(self._serve, (sock,))

    def _serve(self, sock: Any) -> None:
        buffer = b""
        with suppress(OSError):
            while (request := _request(sock, buffer)) is not None:
                head, body, buffer = request
                if not self._handle(sock, head, body):
                    break
        with suppress(OSError):
            sock.shutdown(SHUT_RDWR)
        sock.close()

    def _handle(self, sock: Any, head: str, body: bytes) -> bool:
        first, *rest = head.split("\r\n")
        path = first.split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        if path.endswith("/ping"):
            head = f"HTTP/1.1 204 No Content\r\nX-Influxdb-Version: {self.version}\r\n\r\n"
            sock.sendall((head if self.version else "HTTP/1.1 204 No Content\r\n\r\n").encode())
            return True
        try:
            text = zlib.decompress(body, 31) if headers.get("content-encoding") == "gzip" else body
        except zlib.error as error:
            self.broken.append(repr(error))
            text = b""
        write = Write(len(self.writes), path, headers, text, len(body), sock, self)
        with self._guard:
            self.writes.append(write)
            fault = self.faults.popleft() if self.faults else self.always
        if self.most_bytes is not None and len(text) > self.most_bytes:
            return write.answer(413, '{"code":"request too large","message":"too large"}')
        if fault is not None:
            return fault(write)
        try:
            write.store()
        except (AssertionError, ValueError, IndexError) as error:
            self.broken.append(repr(error))
            return write.answer(400, '{"code":"invalid","message":"unable to parse"}')
        return write.answer(204)

    def store(self, text: bytes) -> None:
        points = [parse(line) for line in split_lines(text.decode())]
        with self._guard:
            for point in points:
                self.stored[point.identity] += 1
                self.points[point.identity] = point


def _request(sock: Any, buffer: bytes) -> tuple[str, bytes, bytes] | None:
    """The next request's head and body, and what came after it; None: the client is gone."""
    while b"\r\n\r\n" not in buffer:
        data = sock.recv(65_536)
        if not data:
            return None
        buffer += data
    head, _, buffer = buffer.partition(b"\r\n\r\n")
    text = head.decode("latin-1")
    length = next(
        (int(line[15:]) for line in text.split("\r\n") if line.lower().startswith("content-length:")), 0
    )
    while len(buffer) < length:
        data = sock.recv(1 << 20)
        if not data:
            return None
        buffer += data
    return text, buffer[:length], buffer[length:]


def main() -> None:
    """Serve a process of another's."""
    # Lines are read afterwards: while it is measured what writing them costs, this shall cost little.
    with Fake(always=lambda write: write.answer(204)) as fake:
        print(fake.port, flush=True)
        sys.stdin.read()
        for write in fake.writes:
            write.store()
        told = {
            "writes": len(fake.writes),
            "points": len(fake.stored),
            "again": sum(fake.stored.values()) - len(fake.stored),
            "wire_bytes": [write.sent for write in fake.writes],
            "bytes": [len(write.body) for write in fake.writes],
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
