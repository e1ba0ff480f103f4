"""Which of several things a request gets, drawn by its number alone: the same for every number of workers.

A number is turned into a uniform draw by a hash (SplitMix64's finalizer, Steele, Lea and Flood 2014), so that draw
n needs none before it. Pure.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final
from zlib import crc32

__all__ = ["Lots", "uniform"]

_MASK: Final = 2**64 - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15


def uniform(seed: int, number: int) -> float:
    """A draw from [0, 1), one for each pair."""
    word = (seed * 0xD1342543DE82EF95 + (number + 1) * _GOLDEN) & _MASK
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & _MASK
    return ((word ^ (word >> 31)) >> 11) / 2**53


class Lots:
    """Draws an index by weights. `what` keeps different draws of one seed apart."""

    def __init__(self, weights: Sequence[float], seed: int, what: str) -> None:
        """Weights are finite and not negative, and not all 0."""
        self._seed = (seed ^ crc32(what.encode())) & _MASK
        self._ends = list(accumulate(weights))
        if not self._ends or not math.isfinite(self._ends[-1]) or self._ends[-1] <= 0:
            raise ValueError(f"weights {list(weights)} do not sum to something")

    def draw(self, number: int) -> int:
        """The index for a request of this number."""
        if len(self._ends) == 1:
            return 0
        at = bisect_right(self._ends, uniform(self._seed, number) * self._ends[-1])
        return min(at, len(self._ends) - 1)
