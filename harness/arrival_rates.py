"""How many arrivals a second, as time goes by, and the change of time that makes them so.

    Flat(10)                   10/s for ever
    Ramp(1, 20, 60)            from 1/s to 20/s within 60 s, then 20/s; one that ends at 0 has an end
    Steps(((5, 30), (10, 30))) 5/s for 30 s, 10/s for 30 s, the end

A profile's `expected(t)` is the integral of its rate: arrivals expected until t. Put through its inverse, the arrivals
of a process at a mean of one a unit (`harness.arrival_gaps`) come at this rate, and stay the same process: Poisson
arrivals become those of the inhomogeneous Poisson process (Çinlar, Introduction to Stochastic Processes, 1975, 4.7).

The rule: one rounding, of each arrival's own offset, to whole nanoseconds; never a sum of rounded gaps. Where
steps meet is computed from the decimals the user wrote, not from their binary neighbours, so that 5/s over 30 s are
150 arrivals. An arrival that would fall on the very beginning of a pause comes at its end, and none falls on the end.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final, Protocol

from harness import durations
from harness.arrival_gaps import text_of

NS: Final = 1_000_000_000


class Profile(Protocol):
    """A rate over time."""

    @property
    def length_s(self) -> float | None:
        """When the last arrival has come at the latest, in seconds; None if they never end."""

    def rate(self, at_s: float) -> float:
        """Arrivals a second at a moment; 0 before the beginning and after the end."""

    def expected(self, at_s: float) -> float:
        """Arrivals expected from the beginning until then."""

    def offsets(self, units: Iterable[float]) -> Iterator[int]:
        """The inverse of `expected`: ns from the beginning, for each of `units`, which must ascend."""


@dataclass(frozen=True, slots=True)
class Flat:
    """The same rate for ever."""

    per_s: float

    @property
    def length_s(self) -> float | None:
        """Endless."""
        return None

    def rate(self, at_s: float) -> float:
        """The rate."""
        return self.per_s if at_s >= 0 else 0.0

    def expected(self, at_s: float) -> float:
        """Rate times time."""
        return self.per_s * max(at_s, 0.0)

    def offsets(self, units: Iterable[float]) -> Iterator[int]:
        """Units over the rate."""
        per_s = self.per_s
        for unit in units:
            yield round(unit * NS / per_s)


@dataclass(frozen=True, slots=True)
class Ramp:
    """A rate that changes evenly, then holds."""

    first: float  # 1/s
    last: float
    over_s: float

    @property
    def length_s(self) -> float | None:
        """The ramp's own length if nothing is held after it."""
        return None if self.last else self.over_s

    def rate(self, at_s: float) -> float:
        """On the line from first to last, then last."""
        if at_s < 0:
            return 0.0
        return self.first + (self.last - self.first) * min(at_s / self.over_s, 1.0)

    def expected(self, at_s: float) -> float:
        """The area under the line."""
        on = min(max(at_s, 0.0), self.over_s)
        rising = on * (self.first + self.rate(on)) / 2
        return rising + self.last * max(at_s - self.over_s, 0.0)

    def offsets(self, units: Iterable[float]) -> Iterator[int]:
        """The quadratic equation of the area, solved in the form that cancels nothing."""
        first, last, over = self.first, self.last, self.over_s
        bend = 2 * (last - first) / over
        whole, end_ns = float((_exact(first) + _exact(last)) / 2 * _exact(over)), round(over * NS)
        for unit in units:
            if unit < whole:
                root = math.sqrt(max(first * first + bend * unit, 0.0))
                yield min(round(2 * unit * NS / (first + root)), end_ns) if unit else 0
            elif last:
                yield end_ns + round((unit - whole) * NS / last)
            else:
                return


@dataclass(frozen=True, slots=True)
class Steps:
    """A rate after the other, each held for a time."""

    steps: tuple[tuple[float, float], ...]  # (1/s, seconds)

    @property
    def length_s(self) -> float | None:
        """All steps together."""
        return _bounds(self.steps)[-1][2]

    def rate(self, at_s: float) -> float:
        """The step's; a step begins with its first moment and ends before its last."""
        for rate, begin, end, _, _ in _bounds(self.steps):
            if begin <= at_s < end:
                return rate
        return 0.0

    def expected(self, at_s: float) -> float:
        """The steps before, and a part of this one."""
        total = 0.0
        for rate, begin, end, lower, upper in _bounds(self.steps):
            total = upper if at_s >= end else lower + rate * max(at_s - begin, 0.0)
            if at_s < end:
                break
        return total

    def offsets(self, units: Iterable[float]) -> Iterator[int]:
        """Each unit in the step where it falls."""
        steps = iter(_bounds(self.steps))
        rate = begin_ns = lower = upper = 0.0
        end_ns = 0
        for unit in units:
            while unit >= upper:
                following = next(steps, None)
                if following is None:
                    return
                rate, begin, end, lower, upper = following
                begin_ns, end_ns = begin * NS, round(end * NS)
            yield min(round(begin_ns + (unit - lower) * NS / rate), end_ns)


@lru_cache(maxsize=64)
def _bounds(steps: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float, float, float, float], ...]:
    """Each step's rate, when it begins and ends in seconds, and the arrivals expected until either."""
    at, arrivals = Fraction(0), Fraction(0)
    found = []
    for per_s, seconds in steps:
        begin, lower = at, arrivals
        at, arrivals = at + _exact(seconds), arrivals + _exact(per_s) * _exact(seconds)
        found.append((per_s, float(begin), float(at), float(lower), float(arrivals)))
    return tuple(found)


def _exact(number: float) -> Fraction:
    """The decimal that the user wrote, which is the shortest that reads as this number."""
    return Fraction(repr(number))


def describe(profile: Profile) -> tuple[str, str]:
    """The word and the numbers of a profile as the command line has them: `ramp` and `1,20,1m`.

    A flat profile has no word of its own: its process has.
    """
    match profile:
        case Ramp(first, last, over_s):
            return "ramp", f"{text_of(first)},{text_of(last)},{durations.text(over_s)}"
        case Steps(steps):
            return "steps", ",".join(f"{text_of(rate)}@{durations.text(seconds)}" for rate, seconds in steps)
        case Flat(per_s):
            return "", text_of(per_s)
    raise TypeError(f"{profile!r} has no text")
