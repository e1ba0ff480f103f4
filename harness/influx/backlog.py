"""Lines that wait to be sent: the newest in memory, older ones in a file once there are many, the oldest dropped if it must be.

Rules of this file
1. Who adds never waits and never fails, whatever becomes of the disk.
2. First in, first out, since some points are written again later with more. What goes to the file is always older than what
   is in memory, and newer than what is in the file.
3. A line is in memory, in the file, handed out, or dropped and told of.

Greenlets of one thread only. Compression and the file are other threads' business, so that no greenlet waits for them.
"""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import gevent
from gevent.lock import BoundedSemaphore

from harness.aside import aside
from harness.clock import now_ns
from harness.influx.spool import Batch, Spool, pack

__all__ = ["BATCH_BYTES", "BATCH_LINES", "MEMORY_BYTES", "Backlog"]

BATCH_LINES: Final = 5_000
BATCH_BYTES: Final = 1_000_000  # before compression
LEAST_BYTES: Final = 20_000  # of a batch, however little a server takes at once
MEMORY_BYTES: Final = 16_000_000  # beyond these the oldest lines are dropped
SPILL_BYTES: Final = 8_000_000  # beyond these they go to disk, so that there is time to write them
LINE_BYTES: Final = 48  # that Python adds to each
DISK_S: Final = 5.0  # after a failure of the disk
CLOSE_S: Final = 1.0  # for a thread that is at the file


class Backlog:
    """Lines in the order in which they came.

    Args:
        path: of the file; None: there is none.
        drop: told of lines that are gone, how many and why.
        trouble: told what is wrong with the disk, as long as nothing is lost.
    """

    def __init__(
        self, path: Path | None, drop: Callable[[int, str], None], trouble: Callable[[str], None]
    ) -> None:
        self._spool = Spool(path) if path else None
        self._drop, self._trouble = drop, trouble
        self._lines: deque[bytes] = deque()
        self._bytes = 0  # of these
        self._moving = 0  # lines on their way to the file, or out
        self.spooled = 0
        self._most_bytes = BATCH_BYTES
        self._front = BoundedSemaphore()  # held while lines are taken from the beginning of either
        self._spiller: gevent.Greenlet | None = None
        self._spill_from_ns = 0

    @property
    def queued(self) -> int:
        """Lines in memory."""
        return len(self._lines) + self._moving

    @property
    def full_batch(self) -> bool:
        """Is there enough for one?"""
        return self.spooled > 0 or len(self._lines) >= BATCH_LINES or self._bytes >= BATCH_BYTES

    def add(self, lines: Sequence[bytes]) -> None:
        """Lines that come last."""
        self._lines.extend(lines)
        self._bytes += sum(map(len, lines)) + LINE_BYTES * len(lines)
        if self._bytes <= SPILL_BYTES:
            return
        if self._spool and not self._spiller and now_ns() >= self._spill_from_ns:
            self._spiller = gevent.spawn(self._spill, self._spool)
        gone = 0
        while self._bytes > MEMORY_BYTES and self._lines:
            self._bytes -= len(self._lines.popleft()) + LINE_BYTES
            gone += 1
        if gone:
            self._drop(gone, f"over {MEMORY_BYTES / 1e6:g} MB wait in memory")

    def take(self) -> Batch | None:
        """The oldest lines, which are here no more; None where nothing waits."""
        batch: Batch | None
        with self._front:
            if self.spooled and self._spool:
                try:
                    batch = aside(self._spool.take)
                except OSError as error:
                    gone, self.spooled = self.spooled, 0
                    self._spool.clear()
                    self._drop(gone, f"{self._spool.path} cannot be read ({_why(error)})")
                else:
                    self.spooled -= batch.count
                    return batch
            lines = self._pop()
            batch = aside(pack, lines) if lines else None
            self._moving -= len(lines)
            return batch

    def smaller(self, batch: Batch) -> None:
        """This one was more than the server takes at once."""
        self._most_bytes = max(LEAST_BYTES, min(self._most_bytes, batch.length // 2))

    def close(self) -> None:
        """Remove the file; nothing must be asked afterwards but the counts."""
        # Never let go: whoever holds it is at the file. A thread that hangs there keeps it, and the file stays.
        if self._spool and self._front.acquire(timeout=CLOSE_S):
            with gevent.Timeout(CLOSE_S, False):
                aside(self._spool.close)
        if self._spiller:
            self._spiller.kill(block=False)

    def _pop(self) -> list[bytes]:
        """The oldest lines in memory, as many as a batch may have."""
        popped: list[bytes] = []
        queue, length = self._lines, 0
        while queue and len(popped) < BATCH_LINES:
            size = len(queue[0]) + 1
            if length + size > self._most_bytes and popped:
                break
            length += size
            popped.append(queue.popleft())
        self._bytes -= length + (LINE_BYTES - 1) * len(popped)
        self._moving += len(popped)
        return popped

    def _spill(self, spool: Spool) -> None:
        """Move the oldest lines to the file until a half of what is allowed is left."""
        try:
            while self._bytes > SPILL_BYTES / 2:
                with self._front:
                    lines = self._pop()
                    try:
                        aside(spool.append, aside(pack, lines))
                    except OSError as error:
                        self._bytes += sum(map(len, lines)) + LINE_BYTES * len(lines)
                        self._lines.extendleft(reversed(lines))
                        self._spill_from_ns = now_ns() + int(DISK_S * 1e9)
                        self._trouble(f"{spool.path} cannot be written ({_why(error)})")
                        return
                    else:
                        self.spooled += len(lines)
                    finally:
                        self._moving -= len(lines)
        finally:
            self._spiller = None


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
