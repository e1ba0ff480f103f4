"""A run in bins of equal length: tokens by when they arrived, requests in flight, failures by when they were noticed.

Every content event is in the bin of its arrival, with its share of the answer's tokens, as `harness.windows` counts it; so the
bins of a whole run add up to all tokens that came. Requests in flight are the mean over a bin, to the ns. Pure.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.report.moments import Moments
from harness.report.shapes import nice
from harness.windows import BLOCK, NEVER, Floats, Ints

__all__ = ["Bins", "in_flight", "tokens", "width_s"]

MOST: Final = 1_500  # bins
FEW: Final = 100  # at least, where they are no shorter than 0.1 s
S: Final = 10**9


@dataclass(frozen=True, slots=True)
class Bins:
    """So many bins of `width_ns` from `start_ns` on."""

    start_ns: int
    width_ns: int
    number: int

    @classmethod
    def over(cls, start_ns: int, end_ns: int) -> "Bins":
        """Those of a stretch of time, its last moment included."""
        width = round(width_s((end_ns - start_ns) / S) * S)
        return cls(start_ns, width, (end_ns - start_ns) // width + 1)

    @property
    def width_s(self) -> float:
        """Of each."""
        return self.width_ns / S

    @property
    def edges_s(self) -> Floats:
        """Where each begins, and where the last ends, in seconds from the start."""
        edges: Floats = np.arange(self.number + 1, dtype=np.float64) * self.width_s
        return edges

    @property
    def middles_s(self) -> Floats:
        """In seconds from the start."""
        return (self.edges_s[:-1] + self.edges_s[1:]) / 2

    def sums(self, times: Ints, amounts: Floats | None = None) -> Floats:
        """How much falls into each, or how many; what lies outside is left out."""
        places = (times - self.start_ns) // self.width_ns
        inside = (places >= 0) & (places < self.number)
        if not inside.all():
            places, amounts = places[inside], None if amounts is None else amounts[inside]
        found: Floats = np.bincount(places, amounts, self.number).astype(np.float64)
        return found


def width_s(length_s: float) -> float:
    """1 s; less where the run is so short that few bins would be left, more where it is long."""
    if length_s > MOST - 1:
        return nice(length_s, MOST - 1)
    return max((width for width in (0.1, 0.2, 0.5, 1.0) if width * FEW <= length_s), default=0.1)


def tokens(moments: Moments, bins: Bins) -> Floats:
    """Output tokens that arrived in each bin, from any request; of answers whose tokens somebody counted."""
    streams = moments.streams
    rows = np.flatnonzero((streams.first_ns != NEVER) & ~np.isnan(streams.output_tokens))
    found = np.zeros(bins.number)
    for begin in range(0, len(rows), BLOCK):
        found += bins.sums(*streams.events(rows[begin : begin + BLOCK]))
    return found


def in_flight(moments: Moments, bins: Bins) -> Floats:
    """Mean number of requests in flight in each bin; probes are not of the load."""
    load = (moments.sent != NEVER) & ~moments.probes
    edges = bins.edges_s
    busy = _since(moments.sent[load], bins, edges) - _since(moments.end[load], bins, edges)
    return np.maximum(0.0, np.diff(busy)) / bins.width_s


def _since(stamps: Ints, bins: Bins, edges: Floats) -> Floats:
    """At each edge, for how many seconds all stamps together lie behind it."""
    ages = np.sort((stamps - bins.start_ns) / S)
    passed = np.searchsorted(ages, edges)
    sums = np.append(0.0, np.cumsum(ages))
    found: Floats = passed * edges - sums[passed]
    return found
