"""One connection of the pacing server: the request it reads, the answer it is in the middle of, what is logged.

It keeps no queue and sends nothing; `harness.selftest.pacer` does, when an event is due.
"""

import json
import re
import socket
import ssl
import struct
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from harness.clock import now_ns

SO_TIMESTAMPNS: Final = 35  # asm-generic/socket.h; Python has no name for it
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID: Final = re.compile(rb"\r\nx-request-id: *([!-~]+)", re.IGNORECASE)
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Id: %b\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_EVENT: Final = (
    b'data: {"id":"chatcmpl-%b","object":"chat.completion.chunk","created":1,"model":"selftest",'
    b'"choices":[%b]%b}\n\n'
)
_TOKEN: Final = b'{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}'
_FINISH: Final = b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}'
_USAGE: Final = b',"usage":{"prompt_tokens":1,"completion_tokens":%d,"total_tokens":%d}'


@dataclass(slots=True, eq=False)
class Row:
    """What is logged of one request. An accumulator."""

    request_id: str
    read_ns: int
    sends: "array[int]" = field(default_factory=lambda: array("q"))  # ns, one an event
    lates: "array[int]" = field(default_factory=lambda: array("q"))  # ns behind the plan, one an event


@dataclass(slots=True, eq=False)
class Stream:
    """One connection. An accumulator."""

    sock: socket.socket
    number: int
    row: Row = field(default_factory=lambda: Row("", 0))
    plan: Sequence[int] = ()  # ns after the request at which each event is due
    left: int = 0
    head: bytes = b""
    chunk: bytes = b""  # every token's
    tail: bytes = b""  # finish, usage, end mark, end of the body
    _buffer: bytes = b""
    _shaken: bool = False

    def receive(self) -> tuple[bytes, int]:
        """(bytes, their arrival in ns); no bytes at the end.

        Raises:
            BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError: nothing to read yet.
            OSError: the connection broke.
        """
        if not isinstance(self.sock, ssl.SSLSocket):
            data, notes, _, _ = self.sock.recvmsg(65_536, 64)
            return data, arrival_ns(notes)
        if not self._shaken:
            self.sock.do_handshake()
            self._shaken = True
        # SSLSocket refuses recvmsg, since the data it gives would be of no use. The stamp is.
        _, notes, _, _ = socket.socket.recvmsg(self.sock, 1, 64, socket.MSG_PEEK)
        return self.sock.recv(65_536), arrival_ns(notes)

    def take(self, data: bytes) -> tuple[bytes, int] | None:
        """Add what was read; (request id, `max_tokens`) once a request is complete.

        Raises:
            ValueError: it is not a request for tokens.
        """
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        length, request_id = _LENGTH.search(head), _ID.search(head)
        if not blank or (length and len(body) < int(length[1])):
            return None
        self._buffer = b""
        try:
            return (request_id[1] if request_id else b"-"), int(json.loads(body)["max_tokens"])
        except (KeyError, TypeError) as error:
            raise ValueError(error) from None

    def begin(self, request_id: bytes, tokens: int, plan: Sequence[int], read_ns: int) -> None:
        """Prepare the answer to a request: all its bytes are made here, none while it streams."""
        self.plan = plan
        self.left = max(1, min(tokens, len(plan)))
        self.row = Row(request_id.decode("ascii"), read_ns)
        self.head = _HEAD % request_id
        self.chunk = _chunk(_EVENT % (request_id, _TOKEN, b""))
        usage = _USAGE % (self.left, self.left + 1)
        events = (_EVENT % (request_id, _FINISH, b""), _EVENT % (request_id, b"", usage), b"data: [DONE]\n\n")
        self.tail = b"".join(map(_chunk, events)) + b"0\r\n\r\n"


def arrival_ns(notes: Sequence[tuple[int, int, bytes]]) -> int:
    """The kernel's stamp of what `recvmsg` read, on our clock; the time now where there is none."""
    now = now_ns()
    for level, kind, data in notes:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= 16:
            seconds, nanoseconds = struct.unpack("=qq", data[:16])
            # The stamp is in Unix time, which may be stepped: so both clocks are read here, side by side.
            arrival = int(seconds) * 1_000_000_000 + int(nanoseconds) - time.time_ns() + now
            if 0 <= now - arrival < 10_000_000_000:
                return arrival
    return now


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
