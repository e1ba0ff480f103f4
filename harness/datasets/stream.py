"""The entries of a dataset while load runs: a thread reads ahead, so that nobody who needs one waits for the disk.

The rule: `next` returns at once, with the next entry or with none. The thread keeps up to `AHEAD` entries ready, fewer where
they are large, goes through its share from the beginning again when that ends, and reads images and turns them into
data URLs. It is a real thread, whatever gevent has patched, and hands over Python's lock after every entry.
"""

from collections.abc import Iterator
from typing import Any, Final

import gevent
from gevent import monkey

from harness.clock import now_ns
from harness.datasets.dataset import Dataset
from harness.datasets.entries import Entry, Unusable
from harness.datasets.images import Cache
from harness.datasets.order import Share
from harness.errors import ConfigError

__all__ = ["AHEAD", "AHEAD_BYTES", "Stream"]

AHEAD: Final = 512  # entries
AHEAD_BYTES: Final = 64_000_000
_LOOK_S: Final = 0.001
# After each entry, unless few are ready. Without a rest the thread has Python's lock again before a waiting one wakes, which
# then waits for the 5 ms after which Python takes it away: filling up made a timer of the load's late by 4 ms in 5 %.
_REST_S: Final = 0.00005

_SimpleQueue: Final = monkey.get_original("queue", "SimpleQueue")
_start_new_thread: Final = monkey.get_original("_thread", "start_new_thread")
_sleep: Final = monkey.get_original("time", "sleep")


class Stream:
    """An endless supply of a dataset's entries. Greenlets of one thread may share it.

    Args:
        dataset: what to read.
        share: which of it; in a distributed run a worker's share was made by the master, so it is all.
        start: the position of the whole that the first pass begins at.
    """

    def __init__(
        self,
        dataset: Dataset,
        share: Share = Share(),  # noqa: B008  # a constant
        *,
        start: int = 0,
        ahead: int = AHEAD,
        ahead_bytes: int = AHEAD_BYTES,
    ) -> None:
        self._dataset, self._share, self._start = dataset, share, start
        self._ahead, self._ahead_bytes = ahead, ahead_bytes
        self._entries: Any = _SimpleQueue()  # what is ready: (entry, its bytes)
        self._room: Any = _SimpleQueue()  # bytes of what was taken; None: it is over
        self._ended: ConfigError | None = None  # why no more entries come; set by the thread
        self._is_full = False  # was so once
        self._taken = self._starved = self._waited_ns = 0
        _start_new_thread(self._read_ahead, ())

    def fill(self, limit_s: float = 30.0) -> None:
        """Wait until as much is ready as shall be, before load begins.

        Raises:
            ConfigError: the dataset cannot be read, or nothing came of it in that time.
        """
        deadline_ns = now_ns() + int(limit_s * 1e9)
        while not self._is_full and self._ended is None and now_ns() < deadline_ns:
            gevent.sleep(_LOOK_S)
        if self._entries.empty():
            raise self._ended or ConfigError(
                f"{self._dataset.path}: nothing could be read of it in {limit_s:g} s; give a copy on a quicker disk"
            )

    def next(self) -> Entry | None:
        """The next entry; None where the disk has not kept up, which is counted.

        Raises:
            ConfigError: the dataset can be read no further.
        """
        entry = self._ready()
        self._starved += entry is None
        return entry

    def take(self) -> Entry:
        """The next entry, as soon as there is one. Having to wait is counted once.

        Raises:
            ConfigError: the dataset can be read no further.
        """
        if (entry := self.next()) is not None:
            return entry
        began_ns = now_ns()
        try:
            while (entry := self._ready()) is None:
                gevent.sleep(_LOOK_S)
        finally:
            self._waited_ns += now_ns() - began_ns
        return entry

    @property
    def entries(self) -> int:
        """In one pass over the share."""
        return self._share.size(len(self._dataset))

    @property
    def taken(self) -> int:
        """Entries handed out."""
        return self._taken

    @property
    def starved(self) -> int:
        """How often an entry was wanted and none was ready."""
        return self._starved

    @property
    def waited_s(self) -> float:
        """For how long, all waits of `take` together."""
        return self._waited_ns / 1e9

    @property
    def passes(self) -> float:
        """How often the share was gone through: above 1, entries came again."""
        return self._taken / self.entries

    def describe(self) -> str:
        """What became of it, in one line."""
        name, count = self._dataset.path.name, self.entries
        said = f"{name} was gone through {self.passes:.1f} times"
        if self._taken < count:
            said = f"{self._taken:,} of the {count:,} entries of {name} were used"
        if self._starved:
            said += f"; it was not ready {self._starved:,} times, which took {self.waited_s:.1f} s in all"
        return said

    def close(self) -> None:
        """Have the thread end; what is ready is no longer handed out."""
        self._ended = ConfigError(f"{self._dataset.path}: no longer read, since the run is over")
        self._entries = _SimpleQueue()
        self._room.put(None)

    def _ready(self) -> Entry | None:
        """The next entry if there is one."""
        if self._entries.empty():
            if self._ended is not None:
                raise self._ended
            return None
        entry: Entry
        entry, size = self._entries.get_nowait()
        self._room.put(size)
        self._taken += 1
        return entry

    def _read_ahead(self) -> None:
        """The thread."""
        entries, path = self._entries, self._dataset.path
        try:
            self._fill_up(entries)
        except ConfigError as error:
            self._ended = error
        except Unusable as problem:
            self._ended = ConfigError(f"{path}: {problem}; leave a dataset alone while a run reads it")
        except Exception as error:  # noqa: BLE001  # whatever it is: users must not wait forever
            self._ended = ConfigError(f"{path}: cannot be read ({type(error).__name__}: {error})")

    def _fill_up(self, entries: Any) -> None:  # noqa: ANN401  a queue of the real `queue`
        cache, waiting, held = Cache(), 0, 0
        for entry in self._endless():
            ready = entry._replace(turns=cache.embed(entry.turns))
            size = ready.size
            waiting, held = waiting + 1, held + size
            entries.put((ready, size))
            while (is_full := waiting >= self._ahead or held >= self._ahead_bytes) or not self._room.empty():
                self._is_full = self._is_full or is_full
                taken = self._room.get()
                if taken is None:
                    return
                waiting, held = waiting - 1, held - taken
            _sleep(_REST_S if 4 * waiting > self._ahead else 0)

    def _endless(self) -> Iterator[Entry]:
        start = self._start
        while True:
            yield from self._dataset.entries(self._share, start)
            start = 0
