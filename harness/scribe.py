"""The journal, written by a thread of its own, so that no read ever waits for the disk.

A write to a file mostly takes microseconds and now and then, on a busy or failing disk, seconds. The load
path only puts what happened into a queue; the thread packs it and appends it to the `Journal`. It runs
within microseconds, so a killed process loses what happened in its last moment and no more. If the disk
stands still for so long that `QUEUED` lines wait, further ones are dropped and counted.

The thread is a real one, whatever gevent has patched, and touches nothing but the journal.
"""

from collections.abc import Mapping
from typing import Any, Final

import gevent
from gevent import monkey

from harness.clock import ANCHOR_NS, now_ns
from harness.journal import Journal, pack
from harness.record import RequestRecord

QUEUED: Final = 50_000  # lines; some 150 MB of streamed requests of 150 tokens
CLOSE_S: Final = 30.0  # for a disk that hangs when the run is over
_LOOK_S: Final = 0.002

_SimpleQueue = monkey.get_original("queue", "SimpleQueue")
_start_new_thread = monkey.get_original("_thread", "start_new_thread")

Line = tuple[str, Mapping[str, Any] | RequestRecord]


class Scribe:
    """Appends to a journal without waiting for it. From greenlets of one thread only."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lines = _SimpleQueue()
        self._dropped = 0
        self._unwritable = 0  # counted by the thread
        self._closed = self._done = False
        _start_new_thread(self._write, ())

    def append(self, kind: str, value: Mapping[str, Any] | RequestRecord) -> None:
        """Have one line written; never raises and never waits."""
        if self._closed or self._lines.qsize() >= QUEUED:
            self._dropped += 1
        else:
            self._lines.put((kind, value))

    @property
    def problem(self) -> str | None:
        """What is wrong with the journal in one line, or None."""
        if self._dropped:
            return f"{self._journal.path}: the disk does not keep up; {self._dropped} lines dropped"
        if self._unwritable:
            return f"{self._journal.path}: {self._unwritable} lines could not be written as JSON"
        return self._journal.problem

    @property
    def dropped(self) -> int:
        """Lines that never reached the journal."""
        return self._dropped + self._unwritable

    def close(self) -> None:
        """Wait until all lines are written, or the disk has hung for `CLOSE_S`: then what waits is dropped."""
        self._closed = True
        self._lines.put(None)
        deadline_ns = now_ns() + int(CLOSE_S * 1e9)
        while not self._done and now_ns() < deadline_ns:
            gevent.sleep(_LOOK_S)
        if not self._done:
            self._dropped += self._lines.qsize()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            kind, value = line
            try:
                packed = pack(value, ANCHOR_NS) if isinstance(value, RequestRecord) else value
                self._journal.append(kind, packed)
            except Exception:  # noqa: BLE001  # one odd line must not end the thread that writes all others
                self._unwritable += 1
        self._done = True
