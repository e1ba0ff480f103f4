"""Fetching a parcel: all its bytes, whatever the messages between here and there go through.

`WINDOW` pieces are asked for at a time, so that a long way costs waiting only once: at 100 ms there and back
some 10 MB/s. Pieces may come in any order, twice or never; they are kept and hashed in the order of their
places. After `timeout_s` in which nothing came, a new turn begins, and the earliest that is missing is asked
for again, alone. Only when that is answered in its turn is all that was asked for in earlier turns lost and
asked for again: a way that is just slow is not filled with doubles.

A sink that holds the beginning of the parcel already is continued. At the end size and SHA-256 must be those
of the offer; if not, everything is fetched once more, since a beginning of another parcel may have been
continued. Decompressing, hashing and the disk have a thread; only messages are the hub's.

Does not send or receive: `ask` sends a message, and whoever hears a chunk hands it to `Fetch.deliver`.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from gevent.event import Event

from harness.aside import aside
from harness.distributed.parcel import PIECE, Damaged, Offer, opened
from harness.distributed.parcel_sinks import FetchError, Sink

WINDOW: Final = 4  # pieces on their way, or here and not yet kept
PATIENCE: Final = 2  # times `timeout_s`, after a silence and until a get of its turn is answered
DAMAGED: Final = 20  # in a row; no line is that bad, so something else is


class Fetch:
    """One parcel on its way here. From greenlets of one thread."""

    def __init__(
        self,
        offer: Offer,
        ask: Callable[[dict[str, int | str]], None],
        sink: Sink,
        *,
        timeout_s: float = 5.0,
        give_up_s: float = 60.0,
        progress: Callable[[int, int], None] = lambda _done, _size: None,
        piece: int = PIECE,
    ) -> None:
        """A fetch that has not begun.

        Args:
            offer: what to fetch.
            ask: sends a get to whoever offered it. A message it loses is asked for again; what it raises ends
                the fetch.
            sink: where the parcel goes.
            timeout_s: silence after which a message counts as lost.
            give_up_s: silence after which the other side counts as gone.
            progress: told after each piece how many bytes are kept, and of how many.
            piece: bytes asked for at a time, `PIECE` at most.
        """
        self.offer = offer
        self._ask = ask
        self._sink = sink
        self._timeout_s, self._give_up_s = timeout_s, give_up_s
        self._progress = progress
        self._piece = piece
        self._position: int | None = None  # bytes kept; None: not under way
        self._digest = hashlib.sha256()  # of these
        self._patience_s = timeout_s
        self._turn = 0
        self._damaged = 0  # in a row
        self._asked: dict[int, int] = {}  # the place of a piece: in which turn
        self._came: dict[int, Mapping[str, Any]] = {}
        self._arrived = Event()

    def deliver(self, message: object) -> bool:
        """A chunk was heard. Never waits and never raises; False if nobody here misses it."""
        if not isinstance(message, Mapping) or message.get("parcel") != self.offer.name:
            return False
        at = message.get("at")
        if not isinstance(at, int) or at in self._came or at not in self._missing():
            return False
        self._came[at] = message
        self._asked.pop(at, None)
        if message.get("turn") == self._turn:
            self._patience_s = self._timeout_s
            self._asked = {at: turn for at, turn in self._asked.items() if turn == self._turn}
        self._arrived.set()
        return True

    def run(self) -> None:
        """Fetch it; returns when the sink has all of it.

        Raises:
            FetchError: the other side is silent or says no, the disk refuses, or what came twice is not what
                was offered. Unless it is that, what has come is kept, and another fetch continues it.
        """
        try:
            for _ in range(2):
                self._asked.clear()
                self._came.clear()
                self._position = aside(self._begin)
                while self._position < self.offer.size:
                    self._take(self._next(self._position), self._position)
                if self._digest.hexdigest() == self.offer.sha256:
                    aside(self._sink.finish, self.offer.size)
                    return
                aside(self._sink.drop)
        finally:
            self._position = None
        raise FetchError(
            f"parcel {self.offer.name}: came twice, the second time with SHA-256 {self._digest.hexdigest()}, "
            f"and was offered with {self.offer.sha256}; it was changed or damaged where it comes from"
        )

    def _begin(self) -> int:
        """Take up what the sink has: its size, and its digest so far. Too much is as wrong as other bytes."""
        self._digest = hashlib.sha256()
        position = 0
        for found in self._sink.kept():
            position += len(found)
            self._digest.update(found)
        return position

    def _missing(self) -> range:
        """The places of the pieces that may be on their way."""
        if self._position is None:
            return range(0)
        end = min(self._position + WINDOW * self._piece, self.offer.size)
        return range(self._position, end, self._piece)

    def _size(self, at: int) -> int:
        return min(self._piece, self.offer.size - at)

    def _ask_on(self) -> None:
        """Ask for what may be and is not on its way, the earliest first."""
        for at in self._missing():
            if at not in self._asked and at not in self._came:
                self._asked[at] = self._turn
                self._ask({"parcel": self.offer.name, "at": at, "size": self._size(at), "turn": self._turn})

    def _next(self, position: int) -> Mapping[str, Any]:
        """Wait for the piece that follows what is kept."""
        left_s = self._give_up_s
        while True:
            self._arrived.clear()
            self._ask_on()
            if found := self._came.get(position):
                return found
            # Silence is counted in waits, not by the clock: a process that stood still for a minute finds what
            # came meanwhile, and not that a minute is over.
            wait_s = min(self._patience_s, left_s)
            if self._arrived.wait(wait_s):
                left_s = self._give_up_s
                continue
            left_s -= wait_s
            if left_s <= 0:
                raise FetchError(
                    f"parcel {self.offer.name}: nothing came for {self._give_up_s:g} s, {position} of "
                    f"{self.offer.size} bytes are here; is the other side alive?"
                )
            self._turn += 1
            self._patience_s = PATIENCE * self._timeout_s
            self._asked.pop(position, None)

    def _take(self, message: Mapping[str, Any], at: int) -> None:
        """Keep the piece that a chunk brought, or have it asked for again."""
        if error := message.get("error"):
            said = "".join(one if one.isprintable() else " " for one in str(error)[:400])
            raise FetchError(f"parcel {self.offer.name}: the other side says: {said}")
        size = self._size(at)
        try:
            aside(self._keep, message, at, size, self._digest)
        except Damaged as error:
            self._damaged += 1
            if self._damaged >= DAMAGED:
                raise FetchError(
                    f"parcel {self.offer.name}: the piece at {at} came damaged {DAMAGED} times in a row ({error}); "
                    "do both sides run the same version?"
                ) from error
        else:
            self._damaged = 0
            self._position = at + size
        # Only now: a double that came while this one was being kept was known to be one.
        del self._came[at]
        if not self._damaged:
            self._progress(at + size, self.offer.size)

    def _keep(self, message: Mapping[str, Any], at: int, size: int, digest: "hashlib._Hash") -> None:
        data = opened(message, self.offer.name, at, size)
        self._sink.write(at, data)
        digest.update(data)
