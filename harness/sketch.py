"""How one figure is distributed, in bins that several processes may add up.

DDSketch's bins are 2 % wide, so a quantile is within 1 % of the order statistic that numpy calls `lower`, and bins of several
parts add up to the bins of all their values. Pure.
"""

import struct
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import add
from typing import Final

from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import DenseStore

from harness.hearsay import Malformed

__all__ = ["HIGHEST", "LOWEST", "Sketch"]

# One microsecond to 28 hours, or a token in 17 minutes to a hundred million a second. What is beyond counts
# as the end of the range: that is what bounds a sketch, whatever a server or a peer may say.
LOWEST, HIGHEST = 1e-3, 1e8
_BINS: Final = LogarithmicMapping(relative_accuracy=0.01)
_FIRST, _LAST = _BINS.key(LOWEST), _BINS.key(HIGHEST)
_BIN_MOST: Final = 2**32 - 1


class Sketch:
    """How one figure is distributed. Values are positive; a quantile is within 1 %."""

    __slots__ = ("_counts", "_first", "_store")

    def __init__(self) -> None:
        # Most of those that are read are only added to others, or not even that: theirs are made when they are asked for.
        self._store: DenseStore | None = None
        self._first, self._counts = 0, ()  # type: tuple[int, tuple[int, ...]]

    @property
    def store(self) -> DenseStore:
        """Its bins."""
        if self._store is None:
            self._store = made = DenseStore()
            if self._counts:
                made.bins, made.count, made.offset = list(self._counts), sum(self._counts), self._first
                made.min_key, made.max_key = self._first, self._first + len(self._counts) - 1
        return self._store

    @property
    def count(self) -> int:
        """How many values it has seen."""
        return sum(self._counts) if self._store is None else int(self._store.count)

    @staticmethod
    def key(value: float) -> int:
        """The bin that a value counts in."""
        return int(_BINS.key(min(max(value, LOWEST), HIGHEST)))

    def add(self, value: float) -> None:
        """Count one value."""
        self.store.add(self.key(value))

    def tally(self, key: int, number: int) -> None:
        """Count so many values of one bin."""
        self.store.add(key, number)

    def merge(self, other: "Sketch") -> None:
        """Count all of another's values too; the other stays as it is."""
        if not other.count:
            return
        mine, theirs = self.store, other.store
        if not mine.count:
            mine.merge(theirs)
            return
        if theirs.min_key < mine.min_key or theirs.max_key > mine.max_key:
            mine._extend_range(theirs.min_key, theirs.max_key)  # noqa: SLF001  as its own merge, which adds bin by bin
        size = theirs.max_key - theirs.min_key + 1
        here, there = theirs.min_key - mine.offset, theirs.min_key - theirs.offset
        mine.bins[here : here + size] = map(
            add, mine.bins[here : here + size], theirs.bins[there : there + size]
        )
        mine.count += theirs.count

    def quantile(self, share: float) -> float | None:
        """The value at rank `share` x (count - 1), rounded down, 0 <= share <= 1; None without values."""
        if not self.store.count:
            return None
        return _BINS.value(self.store.key_at_rank(share * (self.store.count - 1)))

    def quantiles(self, shares: Sequence[float]) -> list[float] | None:
        """Several at once."""
        if not self.count:
            return None
        store = self.store
        steps, most = list(accumulate(store.bins)), store.count - 1
        last = store.max_key - store.offset
        return [_BINS.value(store.offset + min(bisect_right(steps, share * most), last)) for share in shares]

    def since(self, earlier: "Sketch") -> "Sketch":
        """What has come on top of an earlier state of it; of another one's state nothing that makes sense."""
        found = Sketch()
        before = {earlier.store.offset + at: n for at, n in enumerate(earlier.store.bins) if n}
        for at, seen in enumerate(self.store.bins):
            key = self.store.offset + at
            if (more := seen - before.get(key, 0)) > 0:
                found.store.add(key, more)
        return found

    def stored(self) -> list[int | bytes]:
        """[key of the first bin, the bins' counts in order as little-endian unsigned 32-bit integers]."""
        store = self.store
        if not store.count:
            return [0, b""]
        bins = store.bins[store.min_key - store.offset : store.max_key - store.offset + 1]
        return [store.min_key, struct.pack(f"<{len(bins)}I", *(min(int(n), _BIN_MOST) for n in bins))]

    @classmethod
    def read(cls, stored: object) -> "Sketch":
        """What `stored` gave.

        Raises:
            Malformed: anything else, bins outside the range among it.
        """
        first, packed = stored if isinstance(stored, (list, tuple)) and len(stored) == 2 else (None, None)
        if type(first) is not int or not isinstance(packed, bytes) or len(packed) % 4:
            raise Malformed("a sketch is not [int, bytes]")
        last = first + len(packed) // 4 - 1
        if packed and (first < _FIRST or last > _LAST):
            raise Malformed("bins outside the range of a sketch")
        counts = struct.unpack(f"<{len(packed) // 4}I", packed)
        sketch = cls()
        if any(counts):
            sketch._first, sketch._counts = first, counts
        return sketch
