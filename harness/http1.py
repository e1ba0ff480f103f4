"""HTTP/1.x responses: where a response ends, and which bytes of it are the body.

`Framer` walks the framing of what has come so far; it never visits a byte twice, and remembers where the
chunks lie. It is asked only when a response could be complete (`harness.received`), and away from the
arrival path.

No socket and no clock here. Rules from RFC 9112: sections 6.3 (message body length) and 7.1 (chunked).
Bare LF is accepted as a line end; a chunk extension and trailers are skipped; 1xx responses are
skipped. A `Content-Encoding` is refused: we asked for none, and a compressor would hide arrival times.

All that is not body is bounded in size, and what is refused does not depend on where the reads fell.
"""

import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import ProtocolError

MAX_HEAD_BYTES = 65_536  # of one header block; of the trailers
MAX_INTERIM = 10_000  # 1xx responses before the real one
MAX_CHUNKS = 4_000_000  # a token has some hundred bytes, and a response at most 64 MiB
BREATH_CHUNKS = 256  # chunks walked at a time
_MAX_LINE_BYTES = 4_096  # of a chunk header or a trailer
_PLAIN_HEADER = re.compile(rb"([1-9A-Fa-f][0-9A-Fa-f]{0,15})\r\n")
_STATUS = re.compile("[1-9][0-9]{2}")
_BLANK_LINE = re.compile(rb"\n\r?\n")


def no_breath() -> None:
    """Nothing else to do meanwhile."""


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

    __slots__ = ("_at", "_in_trailers", "_interim", "_seen", "chunks", "end", "head")

    def __init__(self) -> None:
        self.head: Head | None = None
        self.end: int | None = None  # offset just past the response, once known
        # Offsets in `raw` of the data of each whole chunk: first, past the last, ...
        self.chunks = array("q")
        self._at = 0  # where the next header block, chunk or trailer begins
        self._seen = 0  # no blank line begins before this
        self._interim = 0
        self._in_trailers = False

    def ended(self, raw: bytearray, breathe: Callable[[], None]) -> bool:
        """Is the response in `raw` complete?

        Raises:
            ProtocolError: the bytes are not an HTTP/1.x response.
        """
        if self.end is not None:
            return True
        head = self.head or self._read_head(raw, breathe)
        if head is None:
            return False
        if head.chunked:
            return self._walk(raw, breathe)
        if head.length is not None and len(raw) >= head.body_start + head.length:
            self.end = head.body_start + head.length
        return self.end is not None

    def close(self, raw: bytearray) -> bool:
        """The connection ended: True if that completes the response, False if it cut it short."""
        if (
            not self.ended(raw, no_breath)
            and self.head
            and not self.head.chunked
            and self.head.length is None
        ):
            self.end = len(raw)
        return self.end is not None

    def _read_head(self, raw: bytearray, breathe: Callable[[], None]) -> Head | None:
        while True:
            body = self._past_blank_line(raw, "headers")
            if body is None:
                return None
            head = _parse_head(bytes(raw[self._at : body]), body)
            self._at = self._seen = body
            if head.status >= 200:
                self.head = head
                return head
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise ProtocolError(f"more than {MAX_INTERIM} responses of status 1xx")
            breathe()

    def _past_blank_line(self, raw: bytearray, what: str) -> int | None:
        """The offset past the next blank line; None if it has not come."""
        found = _BLANK_LINE.search(raw, self._seen)
        self._seen = max(self._seen, len(raw) - 2)
        past = found.end() if found else None
        if (past or len(raw) + 1) - self._at > MAX_HEAD_BYTES:
            raise ProtocolError(f"no end of {what} in {MAX_HEAD_BYTES} bytes")
        return past

    def _walk(self, raw: bytearray, breathe: Callable[[], None]) -> bool:
        """Step over complete chunks; remember where they lie and where the next chunk header stands."""
        while not self._in_trailers:
            self._stride(raw)
            if len(self.chunks) > 2 * MAX_CHUNKS:
                raise ProtocolError(f"more than {MAX_CHUNKS} chunks")
            breathe()
            size, data = _chunk_header(raw, self._at)
            if size is None:
                return False
            if size == 0:
                self._at, self._in_trailers = data, True
                self._seen = data - 1  # the line end of the last chunk's header may begin the blank line
                break
            newline = _line_end(raw, data + size)
            if newline is None:
                return False
            self.chunks.extend((data, data + size))
            self._at = newline
        return self._skip_trailers(raw)

    def _stride(self, raw: bytearray) -> None:
        """Step over up to `BREATH_CHUNKS` complete chunks that look as nearly all do."""
        at = self._at
        for _ in range(BREATH_CHUNKS):
            header = _PLAIN_HEADER.match(raw, at)
            if header is None:
                break
            data = header.end()
            after = data + int(header[1], 16)
            if not raw.startswith(b"\r\n", after):
                break
            self.chunks.append(data)
            self.chunks.append(after)
            at = after + 2
        self._at = at

    def unfinished_chunk(self, raw: bytearray) -> tuple[int, int] | None:
        """Where the data lies that came of a chunk which is not all there."""
        if self._in_trailers:
            return None
        try:
            size, data = _chunk_header(raw, self._at)
        except ProtocolError:  # `ended` has said so already; what came before still counts
            return None
        return (data, min(data + size, len(raw))) if size and data < len(raw) else None

    def _skip_trailers(self, raw: bytearray) -> bool:
        self.end = self._past_blank_line(raw, "trailers")
        return self.end is not None


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
    lines = block.decode("latin-1").replace("\r\n", "\n").rstrip("\n").split("\n")
    version, _, rest = lines[0].partition(" ")
    status = rest.partition(" ")[0]
    if not version.startswith("HTTP/1.") or not _STATUS.fullmatch(status):
        raise ProtocolError(f"not an HTTP/1.x status line: {lines[0][:80]!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ProtocolError(f"not a header line: {line[:80]!r}")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    code = int(status)
    chunked = _is_chunked(headers.get("transfer-encoding", ""))
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection and (version != "HTTP/1.0" or "keep-alive" in connection)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise ProtocolError(f"unasked-for content-encoding {headers['content-encoding']!r}")
    length = None if chunked or code < 200 else _content_length(headers.get("content-length"), code)
    return Head(code, headers, body_start, chunked, length, keep_alive)


def _is_chunked(text: str) -> bool:
    codings = {part.strip().lower() for part in text.split(",")} - {"", "identity"}
    if codings - {"chunked"}:
        raise ProtocolError(f"unasked-for transfer-encoding {text[:40]!r}")
    return bool(codings)


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
