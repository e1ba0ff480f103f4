"""What has come of one response, read by read, and its body with the time of arrival of every byte.

In two steps, because the moment of arrival may not afford both. `Received.add` only keeps a read and its
stamp, and says whether the response could be complete now: for most reads that is a comparison of a
length and of the last bytes. Only then, and away from the arrival path, `Received.look` walks the
framing. Of the chunks found there `body` makes the body, and maps every byte of it to the read that
brought it.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.http1 import Framer, Head, no_breath

_Offsets = NDArray[np.int64]

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
# A chunked body ends in an empty line.
_ENDS = (b"\r\n\r\n", b"\n\n")
_MANY = (
    65_536  # chunks joined at a time: a hostile body has millions, and each is an object while it is joined
)
_NO_END = b"\r\n\r\n\r\n"  # an event that ends so, and its chunk's own line end: no last chunk before that


class Received:
    """What has come of one response: its bytes, and for every read where it ended and when it was made."""

    __slots__ = ("_ends", "_enough", "framer", "own_stamps", "raw", "read_ends", "read_times")

    def __init__(self) -> None:
        self.raw = bytearray()
        self.read_ends = array("q")  # offset in `raw` just past each read, ascending
        self.read_times = array("q")  # ns, one a read
        self.own_stamps = 0  # reads not stamped by the kernel; whoever stamps them counts them
        self.framer = Framer()
        self._enough = 0  # the size at which it must be looked at
        self._ends: tuple[bytes, ...] = ()  # what the end of the response may look like before that

    def add(self, fresh: bytes | memoryview, time_ns: int) -> bool:
        """Keep one read and its stamp. True when it is time to `look`."""
        raw = self.raw
        raw += fresh
        size = len(raw)
        self.read_ends.append(size)
        self.read_times.append(time_ns)
        if size >= self._enough:
            del raw[MAX_RESPONSE_BYTES:]  # whatever comes until somebody looks
            self.read_ends[-1] = len(raw)
            return True
        return raw.endswith(self._ends) and not raw.endswith(_NO_END)

    def look(self, breathe: Callable[[], None] = no_breath) -> bool:
        """Is the response complete? `breathe` is called now and then on the way through a long one.

        Raises:
            ProtocolError: not an HTTP/1.x response.
        """
        knew = self.framer.head
        ended = self.framer.ended(self.raw, breathe)
        head = self.framer.head
        if head is not None and knew is None:
            self._ends = _ENDS if head.chunked else ()
            whole = MAX_RESPONSE_BYTES if head.length is None else head.body_start + head.length
            self._enough = min(whole, MAX_RESPONSE_BYTES)
        return ended

    def close(self) -> bool:
        """The connection ended: True if that completes the response."""
        return self.framer.close(self.raw)


@dataclass(frozen=True, slots=True)
class Body:
    """The body's bytes, and when each of them arrived."""

    data: bytes
    _starts: _Offsets  # offset in the body of each chunk's first byte, ascending
    _raw_starts: _Offsets  # offset in the raw response of the same byte
    _received: Received

    def arrivals_ns(self, ends: Sequence[int]) -> list[int]:
        """For each `end`, when byte `end - 1` of the body had been read, in ns. Each `end` is at least 1."""
        if not ends:
            return []
        last = np.array(ends, dtype=np.int64) - 1
        chunk = self._starts.searchsorted(last, side="right") - 1
        raw_last = self._raw_starts[chunk] + last - self._starts[chunk]
        read = np.array(self._received.read_ends).searchsorted(raw_last, side="right")
        arrivals: list[int] = np.array(self._received.read_times)[read].tolist()
        return arrivals


def body(received: Received, head: Head) -> Body:
    """The body received so far, complete or cut short; up to the first chunk that is not framed as it should be.

    To be called after `Received.look` or `close` has walked what came.
    """
    raw = received.raw
    if not head.chunked:
        stop = len(raw) if head.length is None else min(len(raw), head.body_start + head.length)
        data = bytes(raw[head.body_start : stop])
        return Body(data, np.array([0]), np.array([head.body_start]), received)
    offsets = np.array(received.framer.chunks, dtype=np.int64)
    if begun := received.framer.unfinished_chunk(raw):
        offsets = np.append(offsets, begun)
    with memoryview(raw) as view:
        batches = range(0, len(offsets), 2 * _MANY)
        data = b"".join([_joined(view, offsets[at : at + 2 * _MANY].tolist()) for at in batches])
    raw_starts = offsets[::2]
    lengths = offsets[1::2] - raw_starts
    return Body(data, lengths.cumsum() - lengths, raw_starts, received)


def _joined(view: memoryview, spans: list[int]) -> bytes:
    """The bytes of `spans`: first, past the last, first, ..."""
    return b"".join([view[start:stop] for start, stop in zip(spans[::2], spans[1::2], strict=True)])
