"""A response's text while it comes: pieces for people to look at, out of what the engine has kept so far.

Looks only: it walks the framing with a `Framer` of its own and reads whole events with the decoder that reads the response when
it is there (`harness.decode`), each byte once. No stamp is read and nothing of the record comes from here. The pieces of a
stream together are the text that the record will have; of a response that is no stream there are none.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from harness.answer import Answer, mended
from harness.backends.base import Backend, Framing
from harness.decode import MAX_EVENT_BYTES, is_streamed, read_part
from harness.errors import ProtocolError
from harness.http1 import Framer, Head, no_breath
from harness.received import Received

__all__ = ["Follow", "Piece"]

PART_BYTES: Final = 256 * 1024  # read at a time, so that a fast server cannot hold up the engine's reads
_MOST_PENDING: Final = 2 * MAX_EVENT_BYTES  # without an event's end: nothing that an answer has
_MARK: Final = b"\xef\xbb\xbf"
_BLANK: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")


class Piece(NamedTuple):
    """What came since the last look."""

    answer: str
    reasoning: str


class Follow:
    """Reads one response as it grows; `received` may be another one only as long as nothing has come."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._framer = Framer()
        self._begun = 0  # chunks that are read, as offsets in the framer's list
        self._taken = 0  # bytes of the raw response that are read, or none of the body
        self._pending = bytearray()  # of the body: what has come of the next events
        self._searched = 0  # bytes of it that hold no event's end
        self._answer = Answer()
        self._pieces = 0  # of it that were given out
        self._halves = ["", ""]  # of a character, that the next piece completes
        self._is_first = True
        self.is_behind = False  # another look, with nothing more received, gives more
        self.is_over = False  # nothing more will come out

    def look(self, received: Received) -> Piece:
        """The text since the last look; at most `PART_BYTES` are read."""
        if not self.is_over:
            self._take(received)
            self._read(self._whole_events(), complete=False)
        return self._fresh()

    def finish(self, received: Received) -> Piece:
        """The text that is left when the response has ended, however that went."""
        pieces: list[Piece] = []
        while not self.is_over:
            pieces.append(self.look(received))
            if not self.is_behind:
                break
        if not self.is_over and self._framer.head is not None:
            self._read(bytes(self._pending), complete=True)
        self.is_over = True
        pieces.append(self._fresh(last=True))
        return Piece("".join(piece.answer for piece in pieces), "".join(piece.reasoning for piece in pieces))

    def _take(self, received: Received) -> None:
        """Bring the body's next bytes to those that are pending."""
        self.is_behind = False
        raw = received.raw
        with contextlib.suppress(ProtocolError):  # the engine says so; what came before still counts
            self._framer.ended(raw, no_breath)
        head = self._framer.head
        if head is None:
            return
        if not is_streamed(self._backend, head):
            self.is_over = True
            return
        left = PART_BYTES
        for start, stop in self._spans(raw, head):
            begin = max(self._taken, start)
            end = min(stop, begin + left)
            self._pending += raw[begin:end]
            self._taken, left = end, left - (end - begin)
            if end < stop or not left:
                self.is_behind = True
                return

    def _spans(self, raw: bytearray, head: Head) -> Iterator[tuple[int, int]]:
        """Where the body's unread bytes lie in the raw response: first, past the last."""
        if not head.chunked:
            stop = len(raw) if head.length is None else min(len(raw), head.body_start + head.length)
            if stop > max(self._taken, head.body_start):
                yield head.body_start, stop
            return
        chunks = self._framer.chunks
        while self._begun < len(chunks):
            start, stop = chunks[self._begun], chunks[self._begun + 1]
            if self._taken < stop:
                yield start, stop
            if self._taken < stop:
                return
            self._begun += 2
        begun = self._framer.unfinished_chunk(raw)
        if begun and begun[1] > self._taken:
            yield begun

    def _whole_events(self) -> bytes:
        """Cut off what holds whole events; b"" if there are none."""
        pending = self._pending
        if self._backend.framing is Framing.LINES:
            cut = pending.rfind(b"\n", self._searched) + 1
        else:
            cut = 0
            for found in _BLANK.finditer(pending, max(0, self._searched - 3)):
                cut = found.end()
        if not cut:
            self._searched = len(pending)
            self.is_over = len(pending) > _MOST_PENDING
            return b""
        whole = bytes(pending[:cut])
        del pending[:cut]
        self._searched = 0
        return whole

    def _read(self, part: bytes, *, complete: bool) -> None:
        if part:
            if not self._is_first and part.startswith(_MARK):
                part = b"\n" + part  # it is a byte order mark only at the stream's beginning
            self._is_first = False
            self.is_over = not read_part(self._backend, part, self._answer, complete=complete) or self.is_over

    def _fresh(self, *, last: bool = False) -> Piece:
        """The pieces since the last time, reasoning apart."""
        said = self._answer
        answer, reasoning = [self._halves[0]], [self._halves[1]]
        for at in range(self._pieces, len(said.pieces)):
            thought = said.thoughts.get(at, 0)
            if thought:
                reasoning.append(said.pieces[at][:thought])
            answer.append(said.pieces[at][thought:])
        self._pieces = len(said.pieces)
        return Piece(self._mend(0, "".join(answer), last=last), self._mend(1, "".join(reasoning), last=last))

    def _mend(self, which: int, text: str, *, last: bool) -> str:
        """`text` without a half character at its end, which waits for the other."""
        half = text[-1:] if not last and "\ud800" <= text[-1:] <= "\udbff" else ""
        self._halves[which] = half
        return mended(text[: len(text) - len(half)])
