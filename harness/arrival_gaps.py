"""How regular arrivals are: the gaps between them, at a mean of one.

    constant     every gap is 1; the first arrival is at 0
    poisson      exponential gaps, mean 1; the first arrival comes after the first gap
    gamma:0.5    gamma gaps of shape 0.5, mean 1: coefficient of variation 1/sqrt(shape), so 1 is poisson, less is
                 bursty, more is regular

`Process.units` sums the gaps: arrival k in units of arrivals expected until then. What that is in seconds is the
affair of `harness.arrival_rates`.

The rule: the same seed gives the same arrivals, on every Python from 3.11. Python promises that for `random()` of a
`Random` seeded with a text, and for nothing else of `random`, so gaps are made of that alone. It leaves one thing to
the platform: the last bit of a logarithm, a sine or a power, which a nanosecond seldom shows.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal

LEAST_SHAPE: Final = 0.01  # a coefficient of variation of 10
MOST_SHAPE: Final = 1000.0  # one of 0.03


@dataclass(frozen=True, slots=True)
class Process:
    """An arrival process at a mean of one arrival a unit of time."""

    kind: Literal["constant", "poisson", "gamma"] = "constant"
    shape: float = 1.0  # of the gamma distribution of gaps; says nothing for the other two

    def units(self, seed: int) -> Iterator[float]:
        """When each arrival comes, in mean gaps since the beginning: ascending, endless."""
        if self.kind == "constant":
            return map(float, count())
        rng = random.Random(f"{seed} arrivals")
        return _exponential(rng) if self.kind == "poisson" else _gamma(rng, self.shape)

    def describe(self) -> str:
        """`poisson`, `gamma:0.5`."""
        return f"gamma:{text_of(self.shape)}" if self.kind == "gamma" else self.kind


def text_of(number: float) -> str:
    """A number of up to six digits after the point, as the command line has it and reads it back."""
    return f"{number:.6f}".rstrip("0").rstrip(".")


def _exponential(rng: random.Random) -> Iterator[float]:
    """Sums of exponential gaps, by the inverse of their distribution; `random()` is never 1."""
    uniform, log, now = rng.random, math.log, 0.0
    while True:
        now -= log(1.0 - uniform())
        yield now


def _gamma(rng: random.Random, shape: float) -> Iterator[float]:
    """Sums of gamma gaps.

    Source: Marsaglia and Tsang, A simple method for generating gamma variables, ACM TOMS 26 (2000). Below a shape of
    1 they draw from shape + 1 and multiply by U^(1/shape).
    """
    uniform, log, now = rng.random, math.log, 0.0
    boosted = shape < 1
    d = (shape + 1 if boosted else shape) - 1 / 3
    c, power = 1 / math.sqrt(9 * d), 1 / shape
    scale = d / shape  # the gap's mean becomes 1
    for x in _normal(rng):
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v *= v * v
        u = 1.0 - uniform()  # never 0
        if u >= 1.0 - 0.0331 * x**4 and log(u) >= 0.5 * x * x + d * (1.0 - v + log(v)):
            continue
        now += v * scale * uniform() ** power if boosted else v * scale
        yield now


def _normal(rng: random.Random) -> Iterator[float]:
    """Standard normal numbers, two at a time (Box and Muller 1958)."""
    uniform = rng.random
    while True:
        radius = math.sqrt(-2.0 * math.log(1.0 - uniform()))
        angle = math.tau * uniform()
        yield radius * math.cos(angle)
        yield radius * math.sin(angle)
