"""Bringing workers' journals to the master, a few at a time, and knowing that they are whole.

A journal that lies in the run directory already, since master and worker share a file system, is only checked. Any other
is fetched in pieces (`harness.distributed.fetch`) and gets its name when size and SHA-256 hold. What cannot be had is said, stays where
it is, and is named in the results.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from gevent.lock import Semaphore
from gevent.pool import Group

from harness import orders
from harness.aside import aside
from harness.distributed.fetch import Fetch
from harness.distributed.hand import Hand
from harness.distributed.parcel import Offer
from harness.distributed.parcel_sinks import FetchError, FileSink
from harness.say import say

__all__ = ["Collecting"]

AT_ONCE: Final = 4
TELL_S: Final = 5.0
_SLICE: Final = 1 << 20

Send = Callable[[str, str, dict[str, Any]], None]


class Collecting:
    """Takes the journals of those who have ended."""

    def __init__(self, send: Send) -> None:
        """`send(worker's id, kind, data)` sends a message."""
        self._send = send
        self._group = Group()
        self._turn = Semaphore(
            AT_ONCE
        )  # waited for in the journal's own greenlet: `take` is called where chunks are heard
        self._under_way: dict[str, Fetch] = {}
        self._got: dict[str, tuple[int, int]] = {}

    def take(self, hand: Hand, folder: Path, then: Callable[[], object]) -> None:
        """Have its journal brought to `folder`; `hand` says what became of it when `then` is called."""
        if hand.id not in self._got:
            self._got[hand.id] = (0, 0)
            self._group.spawn(self._take, hand, folder, then)

    def deliver(self, client_id: str, chunk: object) -> None:
        """A piece has come."""
        if fetch := self._under_way.get(client_id):
            fetch.deliver(chunk)

    def join(self) -> None:
        """Wait for all; says how far it is if that takes long."""
        while not self._group.join(timeout=TELL_S):
            done, size = (sum(each) / 1e6 for each in zip(*self._got.values(), strict=True))
            say(f"collecting journals: {done:,.0f} of {size:,.0f} MB")
        self._got.clear()

    def _take(self, hand: Hand, folder: Path, then: Callable[[], object]) -> None:
        try:
            with self._turn:
                hand.verified = self._is_here(hand, folder) or self._fetch(hand, folder)
        except (FetchError, OSError, ValueError) as error:
            hand.events.append(f"its journal could not be brought here: {error}")
            say(f"worker {hand.name}: its journal could not be brought here ({error})")
        finally:
            self._under_way.pop(hand.id, None)
            hand.is_taken = hand.verified
            then()

    def _is_here(self, hand: Hand, folder: Path) -> bool:
        """It was written here, all of it."""
        said = hand.report
        if said is None or not said.in_place:
            return False
        offer = Offer.from_dict(said.journal)
        path = folder / hand.file
        return path.is_file() and path.stat().st_size == offer.size and aside(_sha256, path) == offer.sha256

    def _fetch(self, hand: Hand, folder: Path) -> bool:
        offer = Offer.from_dict(hand.report.journal if hand.report else None)

        def ask(get: Mapping[str, int | str]) -> None:
            self._send(hand.id, orders.GET, dict(get))

        def progress(done: int, size: int) -> None:
            self._got[hand.id] = (done, size)

        self._under_way[hand.id] = fetch = Fetch(offer, ask, FileSink(folder / hand.file), progress=progress)
        fetch.run()
        return True


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_SLICE):
            digest.update(piece)
    return digest.hexdigest()
