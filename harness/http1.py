"""HTTP/1.x responses: where a response ends, and which bytes of it are the body.

Two passes, because the load path may not afford one thorough one. While bytes arrive, `Framer.ended`
answers only "is this response complete?": for most reads that is one comparison of the last four bytes
(`_may_end`), and when these look like an end, a walk over the chunk headers that never visits a byte
twice. After the end, `body` walks the same framing once more and maps every byte of the body to the
read that brought it.

No socket and no clock here. Rules from RFC 9112: sections 6.3 (message body length) and 7.1 (chunked).
Bare LF is accepted as a line end; a chunk extension and trailers are skipped; 1xx responses are
skipped. A `Content-Encoding` is refused: we asked for none, and a compressor would hide arrival times.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.errors import ProtocolError

MAX_HEAD_BYTES = 65_536
_MAX_LINE_BYTES = 4_096  # of a chunk header or a trailer


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers. `length` is None for a chunked body or one that ends with the connection."""

    status: int
    headers: dict[str, str]  # names in lower case; repeated fields joined with ", "
    body_start: int
    chunked: bool
    length: int | None
    keep_alive: bool


class Framer:
    """Follows one response through the bytes received so far. `raw` must only ever grow."""

    __slots__ = ("_at", "_in_trailers", "end", "head")

    def __init__(self) -> None:
        self.head: Head | None = None
        self.end: int | None = None  # offset just past the response, once known
        self._at = 0
        self._in_trailers = False

    def ended(self, raw: bytearray, fresh: bytes) -> bool:
        """Is the response in `raw` complete, now that `fresh` is its newest part?

        Raises:
            ProtocolError: the bytes are not an HTTP/1.x response.
        """
        head = self.head
        if head is None:
            head = self._read_head(raw)
            if head is None:
                return False
        elif head.chunked and not _may_end(fresh):
            return False
        if head.chunked:
            return self._walk(raw)
        if head.length is not None and len(raw) >= head.body_start + head.length:
            self.end = head.body_start + head.length
        return self.end is not None

    def close(self, raw: bytearray) -> bool:
        """The connection ended: True if that completes the response, False if it cut it short."""
        if self.head is None:
            return False
        if self.head.chunked:
            return self._walk(raw)
        if self.head.length is None:
            self.end = len(raw)
        return self.end is not None

    def _read_head(self, raw: bytearray) -> Head | None:
        while True:
            stop, body = _blank_line(raw, self._at)
            if stop < 0:
                if len(raw) - self._at > MAX_HEAD_BYTES:
                    raise ProtocolError(f"no end of headers in {MAX_HEAD_BYTES} bytes")
                return None
            head = _parse_head(bytes(raw[self._at : stop]), body)
            self._at = body
            if head.status >= 200:
                self.head = head
                return head

    def _walk(self, raw: bytearray) -> bool:
        """Step over complete chunks; remember where the next chunk header stands."""
        while not self._in_trailers:
            size, data = _chunk_header(raw, self._at)
            if size is None:
                return False
            if size == 0:
                self._at, self._in_trailers = data, True
                break
            after = data + size
            newline = _line_end(raw, after)
            if newline is None:
                return False
            self._at = newline
        return self._skip_trailers(raw)

    def _skip_trailers(self, raw: bytearray) -> bool:
        while True:
            newline = raw.find(b"\n", self._at)
            if newline < 0:
                if len(raw) - self._at > MAX_HEAD_BYTES:
                    raise ProtocolError(f"no end of trailers in {MAX_HEAD_BYTES} bytes")
                return False
            line = raw[self._at : newline].rstrip(b"\r")
            self._at = newline + 1
            if not line:
                self.end = self._at
                return True


class Received:
    """What has come of one response: its bytes, and for every read where it ended and when it was made."""

    __slots__ = ("framer", "raw", "read_ends", "read_times")

    def __init__(self) -> None:
        self.raw = bytearray()
        self.read_ends: list[int] = []  # offset in `raw` just past each read, ascending
        self.read_times: list[int] = []  # ns, one a read
        self.framer = Framer()

    def add(self, fresh: bytes, time_ns: int) -> bool:
        """Take in one read. True when it completes the response.

        Raises:
            ProtocolError: not an HTTP/1.x response.
        """
        self.raw += fresh
        self.read_ends.append(len(self.raw))
        self.read_times.append(time_ns)
        return self.framer.ended(self.raw, fresh)

    def close(self) -> bool:
        """The connection ended: True if that completes the response."""
        return self.framer.close(self.raw)


@dataclass(frozen=True, slots=True)
class Body:
    """The body's bytes, and when each of them arrived."""

    data: bytes
    _starts: Sequence[int]  # offset in the body of each chunk's first byte, ascending
    _raw_starts: Sequence[int]  # offset in the raw response of the same byte
    _read_ends: Sequence[int]
    _read_times: Sequence[int]

    def arrival_ns(self, end: int) -> int:
        """When byte `end - 1` of the body had been read, in ns. `end` is at least 1."""
        chunk = bisect_right(self._starts, end - 1) - 1
        raw_end = self._raw_starts[chunk] + end - self._starts[chunk]
        return self._read_times[bisect_left(self._read_ends, raw_end)]


def body(received: Received, head: Head) -> Body:
    """The body received so far, complete or cut short; up to the first chunk that is not framed as it should be."""
    raw, reads = received.raw, (received.read_ends, received.read_times)
    if not head.chunked:
        stop = len(raw) if head.length is None else min(len(raw), head.body_start + head.length)
        return Body(bytes(raw[head.body_start : stop]), (0,), (head.body_start,), *reads)
    pieces: list[bytes] = []
    starts: list[int] = []
    raw_starts: list[int] = []
    filled = 0
    for start, stop in _chunks(raw, head.body_start):
        starts.append(filled)
        raw_starts.append(start)
        pieces.append(bytes(raw[start:stop]))
        filled += stop - start
    return Body(b"".join(pieces), starts, raw_starts, *reads)


def _chunks(raw: bytearray, at: int) -> Iterator[tuple[int, int]]:
    """(first, past the last) offset of the data of each chunk, the last one perhaps not all there."""
    try:
        while True:
            size, data = _chunk_header(raw, at)
            if not size or data >= len(raw):
                return
            yield data, min(data + size, len(raw))
            newline = _line_end(raw, data + size)
            if newline is None:
                return
            at = newline
    except ProtocolError:  # the framer has said so already; what came before still counts
        return


def _may_end(fresh: bytes) -> bool:
    # A chunked body ends in an empty line. However the network cuts it, the last piece either ends so or
    # is too short to show it.
    return fresh[-1:] == b"\n" and (len(fresh) < 4 or fresh[-4:] == b"\r\n\r\n" or fresh[-2:] == b"\n\n")


def _blank_line(raw: bytearray, start: int) -> tuple[int, int]:
    """(offset of the header block's end, offset of the body), or (-1, -1)."""
    crlf = raw.find(b"\r\n\r\n", start)
    lf = raw.find(b"\n\n", start, crlf if crlf >= 0 else len(raw))
    if lf >= 0:
        return lf, lf + 2
    return (crlf, crlf + 4) if crlf >= 0 else (-1, -1)


def _line_end(raw: bytearray, at: int) -> int | None:
    """Offset past the line end that must stand at `at`; None if it has not arrived."""
    if raw[at : at + 2] == b"\r\n":
        return at + 2
    if raw[at : at + 1] == b"\n":
        return at + 1
    if len(raw) - at < 2 and bytes(raw[at:]) in (b"", b"\r"):
        return None
    raise ProtocolError("chunk is longer than its size says")


def _chunk_header(raw: bytearray, at: int) -> tuple[int | None, int]:
    """(size, offset of the data) of the chunk whose header stands at `at`; size None if not all there."""
    newline = raw.find(b"\n", at, at + _MAX_LINE_BYTES)
    if newline < 0:
        if len(raw) - at >= _MAX_LINE_BYTES:
            raise ProtocolError(f"no end of chunk header in {_MAX_LINE_BYTES} bytes")
        return None, at
    digits = bytes(raw[at:newline]).partition(b";")[0].strip()
    # int() would also take a sign, an underscore, a 0x
    if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
        raise ProtocolError(f"not a chunk size: {digits[:40]!r}")
    return int(digits, 16), newline + 1


def _parse_head(block: bytes, body_start: int) -> Head:
    lines = block.decode("latin-1").replace("\r\n", "\n").split("\n")
    version, _, rest = lines[0].partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit() and len(status) == 3):
        raise ProtocolError(f"not an HTTP/1.x status line: {lines[0][:80]!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ProtocolError(f"not a header line: {line[:80]!r}")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    code = int(status)
    chunked = headers.get("transfer-encoding", "").lower().endswith("chunked")
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection and (version != "HTTP/1.0" or "keep-alive" in connection)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise ProtocolError(f"unasked-for content-encoding {headers['content-encoding']!r}")
    length = None if chunked or code < 200 else _content_length(headers.get("content-length"), code)
    return Head(code, headers, body_start, chunked, length, keep_alive)


def _content_length(text: str | None, status: int) -> int | None:
    if status in (204, 304):
        return 0
    if text is None:
        return None
    # The same length given twice is allowed (RFC 9112 6.3); two different ones are not.
    values = {part.strip() for part in text.split(",")}
    value = values.pop()
    if values or not (value.isascii() and value.isdigit() and len(value) < 16):
        raise ProtocolError(f"not a content-length: {text[:40]!r}")
    return int(value)
