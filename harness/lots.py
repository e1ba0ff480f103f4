"""Which of several things a request gets, drawn by its number alone: the same for every number of workers.

A number is turned into a uniform draw by a hash (`harness.draws.mix`), so that draw n needs none before it. Pure.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final
from zlib import crc32

from harness.draws import MASK, mix

__all__ = ["Lots", "uniform"]

_APART: Final = 0xD1342543DE82EF95  # seeds that follow each other have draws far from each other


def uniform(seed: int, number: int) -> float:
    """A draw from [0, 1), one for each pair."""
    return (mix(seed * _APART, number) >> 11) / 2**53


class Lots:
    """Draws an index by weights. `what` keeps different draws of one seed apart."""

    def __init__(self, weights: Sequence[float], seed: int, what: str) -> None:
        """Weights are finite and not negative, and not all 0."""
        self._seed = (seed ^ crc32(what.encode())) & MASK
        self._ends = list(accumulate(weights))
        if not self._ends or not math.isfinite(self._ends[-1]) or self._ends[-1] <= 0:
            raise ValueError(f"weights {list(weights)} do not sum to something")

    def draw(self, number: int) -> int:
        """The index for a request of this number."""
        if len(self._ends) == 1:
            return 0
        at = bisect_right(self._ends, uniform(self._seed, number) * self._ends[-1])
        return min(at, len(self._ends) - 1)
