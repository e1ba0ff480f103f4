"""What the system gave at a level, in bins of Unix time: tokens as they came, and requests as they ended.

    output   output tokens, spread evenly from an answer's first content to its last
    prompt   prompt tokens, when the first content came: prefill is over then
    ended    requests that ended well

The rule: the size is bounded. Bins are 12.5 ms wide as long as `BINS` of them are enough; then neighbours become one, and
so on. They begin at whole multiples of their width, so bins of several parts add up whatever their widths are.

Rates of any stretch of time follow (`Bins.within`), with the bins at its ends taken in part: near enough to judge a
level while load runs, and not for results, which count each event (`harness.windows`). Pure.
"""

import math
import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Final, Self

from harness.hearsay import MOST, Malformed, number

__all__ = ["BINS", "SERIES", "Bins"]

BINS: Final = 600
BASE_NS: Final = 12_500_000  # so a level of seconds has hundreds of them, as one of hours
_DOUBLINGS: Final = 40  # three thousand years a bin
SERIES: Final = ("output", "prompt", "ended")


def _empty() -> dict[str, defaultdict[int, float]]:
    return {name: defaultdict(float) for name in SERIES}


@dataclass(slots=True)
class Bins:
    """Amounts by bin; bin `n` is [n, n + 1) x width of Unix time."""

    doublings: int = 0  # of the width
    first: int | None = None  # bin of all; None: there is nothing
    last: int = 0
    _change: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))  # of output, a bin
    _amounts: dict[str, defaultdict[int, float]] = field(default_factory=_empty)
    rows: dict[str, tuple[float, ...]] | None = (
        None  # as they came: the series from `first` on, instead of `_amounts`
    )

    @property
    def amounts(self) -> dict[str, defaultdict[int, float]]:
        """By series and bin."""
        if self.rows is not None:
            first, rows, self.rows = self.first or 0, self.rows, None
            for name, row in rows.items():
                self._amounts[name].update({place: one for place, one in enumerate(row, first) if one})
        return self._amounts

    @property
    def width_ns(self) -> int:
        """Of each bin."""
        return BASE_NS << self.doublings

    def add(self, series: str, at_ns: int, amount: float) -> None:
        """All of it at one moment."""
        self._reach(at_ns, at_ns)
        self.amounts[series][at_ns // self.width_ns] += amount

    def spread(self, from_ns: int, to_ns: int, amount: float) -> None:
        """Output tokens that came evenly from one moment to another; costs the same however far apart these are."""
        if to_ns <= from_ns:
            self.add("output", from_ns, amount)
            return
        self._reach(from_ns, to_ns)
        width = self.width_ns
        first, last = from_ns // width, to_ns // width
        output, rate = self.amounts["output"], amount / (to_ns - from_ns)
        if first == last:
            output[first] += amount
            return
        output[first] += rate * ((first + 1) * width - from_ns)
        output[last] += rate * (to_ns - last * width)
        self._change[first + 1] += rate * width
        self._change[last] -= rate * width

    def merge(self, other: "Bins") -> None:
        """Add all of another's; the other's width may change by it, its amounts do not."""
        if other.first is None:
            return
        while self.doublings < other.doublings:
            self.coarsen()
        self._reach(other.first * other.width_ns, other.last * other.width_ns)
        while other.doublings < self.doublings:
            other.coarsen()
        other.settle()
        for name, amounts in other.amounts.items():
            mine = self.amounts[name]
            if not mine:
                mine.update(amounts)
                continue
            for place, amount in amounts.items():
                mine[place] += amount

    @classmethod
    def together(cls, parts: Sequence[Self]) -> Self:
        """All of several, which may change their width by it. Those that were read, alike and of one time, take the short way."""
        found, some = cls(), [part for part in parts if part.first is not None]
        first = min((part.first or 0 for part in some), default=0)
        last = max((part.last for part in some), default=0)
        if last - first >= BINS or any(
            part.rows is None or part.doublings != some[0].doublings for part in some
        ):
            for part in some:
                found.merge(part)
            return found
        if some:
            found.doublings, found.first, found.last = some[0].doublings, first, last
            found.rows = {
                name: _added([(part.first or 0, (part.rows or {})[name]) for part in some], first, last)
                for name in SERIES
            }
        return found

    def within(self, series: str, start_ns: int, end_ns: int) -> float:
        """How much there was in [start, end)."""
        self.settle()
        width, total = self.width_ns, 0.0
        for place, amount in self.amounts[series].items():
            inside = min(end_ns, (place + 1) * width) - max(start_ns, place * width)
            total += amount * max(0, inside) / width
        return total

    def settle(self) -> None:
        """Turn what was spread into amounts."""
        if not self._change:
            return
        output, level = self.amounts["output"], 0.0
        for place in range(min(self._change), max(self._change)):
            level += self._change.get(place, 0.0)
            output[place] += level
        self._change.clear()

    def coarsen(self) -> None:
        """Two bins become one."""
        self.settle()
        for name, amounts in list(self.amounts.items()):
            wider: defaultdict[int, float] = defaultdict(float)
            for place, amount in amounts.items():
                wider[place >> 1] += amount
            self._amounts[name] = wider
        self.doublings += 1
        if self.first is not None:
            self.first, self.last = self.first >> 1, self.last >> 1

    def stored(self) -> list[int | bytes]:
        """[doublings, first bin, then of each series the bins in order, as little-endian 32-bit floats]."""
        self.settle()
        first, last = self.first, self.last
        if first is None:
            return [self.doublings, 0, *(b"" for _ in SERIES)]
        numbers = [[self.amounts[name].get(n, 0.0) for n in range(first, last + 1)] for name in SERIES]
        packed = [struct.pack(f"<{len(row)}f", *(min(max(one, 0.0), 1e30) for one in row)) for row in numbers]
        return [self.doublings, first, *packed]

    @classmethod
    def read(cls, stored: object) -> Self:
        """What `stored` gave.

        Raises:
            Malformed: it is anything else.
        """
        if not isinstance(stored, (list, tuple)) or len(stored) != 2 + len(SERIES):
            raise Malformed("bins are not [int, int, bytes, ...]")
        doublings, first, *rows = stored
        size = len(rows[0]) if isinstance(rows[0], bytes) else 1
        if number(doublings) > _DOUBLINGS or size % 4 or size > 4 * BINS:
            raise Malformed("not so many bins")
        if number(first) > MOST // BASE_NS:
            raise Malformed("bins that never come")
        found = cls(doublings=doublings)
        if size:
            found.first, found.last = first, first + size // 4 - 1
        rows_read: dict[str, tuple[float, ...]] = {}
        for name, row in zip(SERIES, rows, strict=True):
            if not isinstance(row, bytes) or len(row) != size:
                raise Malformed("bins of different lengths")
            values = struct.unpack(f"<{size // 4}f", row)
            # The sum tells of a NaN, which is neither the least nor the greatest.
            if values and not (math.isfinite(sum(values)) and min(values) >= 0 and max(values) <= 2e30):
                raise Malformed("not an amount")
            rows_read[name] = values
        found.rows = rows_read
        return found

    def _reach(self, from_ns: int, to_ns: int) -> None:
        """Have bins for all of it."""
        while True:
            width = self.width_ns
            first, last = from_ns // width, to_ns // width
            if self.first is not None:
                first, last = min(first, self.first), max(last, self.last)
            if last - first < BINS:
                self.first, self.last = first, last
                return
            self.coarsen()


def _added(rows: Sequence[tuple[int, tuple[float, ...]]], first: int, last: int) -> tuple[float, ...]:
    """Rows that begin at several bins, in one from `first` to `last`."""
    total = [0.0] * (last - first + 1)
    for begin, row in rows:
        here = slice(begin - first, begin - first + len(row))
        total[here] = map(add, total[here], row)
    return tuple(total)
