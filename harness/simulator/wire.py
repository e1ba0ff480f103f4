"""HTTP/1.1 as a server needs it: bytes in, requests out; responses and chunks as bytes.

Rules kept: one request after another on a kept-alive connection, bodies by Content-Length only, CRLF line
ends, bounded head and body. What is not HTTP raises `BadHttp`, after which the connection cannot go on.
No socket here. Chunked request bodies, trailers, compression and upgrades are refused or ignored.

Source: RFC 9112.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
JSON_TYPE = "application/json; charset=utf-8"
SSE_TYPE = "text/event-stream; charset=utf-8"

_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[!-~]*) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")


class BadHttp(Exception):
    """What came is not a request we can answer. `status` is the reply before the connection closes."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. Header names are in lower case; of a repeated header the values are joined by `, `."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    minor: int  # 0 or 1, of HTTP/1.x
    body: bytes = b""

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request."""
        options = {o.strip().lower() for o in self.headers.get("connection", "").split(",")}
        return "close" not in options and (self.minor == 1 or "keep-alive" in options)


@dataclass(slots=True)
class RequestParser:
    """Incremental: `feed` bytes as they come, `take` requests as they are complete."""

    _buffer: bytearray = field(default_factory=bytearray)
    _head: Request | None = None
    _body_bytes: int = 0

    def feed(self, data: bytes) -> None:
        """Add bytes. Raises BadHttp when a client sends on and on without waiting for answers."""
        self._buffer += data
        if len(self._buffer) > MAX_HEAD_BYTES + MAX_BODY_BYTES:
            raise BadHttp(413, f"more than {MAX_BODY_BYTES} bytes sent ahead of the answer")

    def take(self) -> Request | None:
        """The next complete request, or None. Raises BadHttp."""
        if self._head is None and not self._take_head():
            return None
        head = self._head
        if head is None or len(self._buffer) < self._body_bytes:
            return None
        body = bytes(memoryview(self._buffer)[: self._body_bytes])
        del self._buffer[: self._body_bytes]
        self._head = None
        return Request(
            method=head.method,
            path=head.path,
            query=head.query,
            headers=head.headers,
            minor=head.minor,
            body=body,
        )

    @property
    def awaits_continue(self) -> bool:
        """Whether the client holds its body back until it is told to go on (curl does, above 1 MB)."""
        return self._head is not None and self._head.headers.get("expect", "").lower() == "100-continue"

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_HEAD_BYTES:
                raise BadHttp(431, f"request head longer than {MAX_HEAD_BYTES} bytes")
            return False
        self._head = _parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        self._body_bytes = _body_bytes(self._head.headers)
        return True


def _parse_head(head: bytes) -> Request:
    first, *rest = head.split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise BadHttp(400, f"not an HTTP/1.x request line: {first[:80]!r}")
    headers: dict[str, str] = {}
    for raw in rest:
        header = _HEADER.fullmatch(raw)
        if header is None:
            raise BadHttp(400, f"not a header line: {raw[:80]!r}")
        name, value = header[1].decode("ascii").lower(), header[2].decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    minor = int(line[3])
    if minor == 1 and "host" not in headers:
        raise BadHttp(400, "an HTTP/1.1 request must have a Host header")
    path, _, query = line[2].decode("ascii").partition("?")
    return Request(
        method=line[1].decode("ascii"),
        path=path,
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers=headers,
        minor=minor,
    )


def _body_bytes(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise BadHttp(411, "send the body with Content-Length; chunked requests are not supported")
    length = headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise BadHttp(400, f"bad Content-Length: {length[:40]!r}")
    if int(length) > MAX_BODY_BYTES:
        raise BadHttp(413, f"body of {length} bytes; the limit is {MAX_BODY_BYTES}")
    return int(length)


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """A response's status line and headers, up to and with the empty line."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; `data` must not be empty, or it would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
