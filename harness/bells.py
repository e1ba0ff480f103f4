"""Distributions of token counts that have one hump: normal, lognormal, gamma.

Each is given by its mean and standard deviation in tokens. Samples are rounded and then clipped to the bounds of a
count, not drawn again, so a wide one has a heap at `LOW`; `mean` is the mean after clipping. How they are written is
`harness.distributions`' to read.
"""

import math
import random
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from harness.counts import HIGH, LOW, clip, text_of

__all__ = ["Gamma", "Lognormal", "Normal"]

# From this shape on a gamma is drawn and computed as a normal: its skewness is 2/sqrt(shape) = 0.002 at most.
_BELL_SHAPE: Final = 1e6
_CLOSE: Final = 1e-14
_STEPS: Final = 100_000  # never reached; no input shall hang


@dataclass(frozen=True, slots=True)
class Normal:
    """A bell around `centre` with deviation `spread`, in tokens, before clipping."""

    centre: float
    spread: float

    @property
    def mean(self) -> float:
        """Mean of the clipped bell."""
        if self.spread == 0:
            return self.centre
        bell = NormalDist(self.centre, self.spread)
        inside = bell.cdf(HIGH) - bell.cdf(LOW)
        pull = self.spread**2 * (bell.pdf(LOW) - bell.pdf(HIGH))
        return LOW * bell.cdf(LOW) + HIGH * (1 - bell.cdf(HIGH)) + self.centre * inside + pull

    @property
    def asked_least(self) -> float:
        """The centre."""
        return self.centre

    def sample(self, rng: random.Random) -> int:
        """One count."""
        return clip(rng.gauss(self.centre, self.spread))

    def describe(self) -> str:
        """`normal:550,150`."""
        return f"normal:{text_of(self.centre)},{text_of(self.spread)}"


@dataclass(frozen=True, slots=True)
class Lognormal:
    """A count whose logarithm is normal; `centre` and `spread` are its own mean and deviation, in tokens.

    With m and s for them: sigma^2 = ln(1 + s^2/m^2), mu = ln m - sigma^2/2.
    """

    centre: float
    spread: float

    @property
    def _log(self) -> tuple[float, float]:
        sigma = math.sqrt(math.log1p((self.spread / self.centre) ** 2))
        return math.log(self.centre) - sigma**2 / 2, sigma

    @property
    def mean(self) -> float:
        """Mean of the clipped count."""
        if self.spread == 0:
            return self.centre
        mu, sigma = self._log
        log, tilted = NormalDist(mu, sigma), NormalDist(mu + sigma**2, sigma)
        inside = tilted.cdf(math.log(HIGH)) - tilted.cdf(math.log(LOW))
        return LOW * log.cdf(math.log(LOW)) + HIGH * (1 - log.cdf(math.log(HIGH))) + self.centre * inside

    @property
    def asked_least(self) -> float:
        """The mean as named."""
        return self.centre

    def sample(self, rng: random.Random) -> int:
        """One count."""
        mu, sigma = self._log
        return clip(math.exp(min(rng.gauss(mu, sigma), math.log(HIGH))))

    def describe(self) -> str:
        """`lognormal:550,150`."""
        return f"lognormal:{text_of(self.centre)},{text_of(self.spread)}"


@dataclass(frozen=True, slots=True)
class Gamma:
    """A gamma with mean `centre` and deviation `spread`, in tokens: m and s give shape (m/s)^2 and scale s^2/m.

    A deviation as large as the mean is an exponential; a larger one has its mode at nothing, and so a heap at `LOW`.
    """

    centre: float
    spread: float

    @property
    def _shape(self) -> float:
        return (self.centre / self.spread) ** 2 if self.spread else math.inf

    @property
    def mean(self) -> float:
        """Mean of the clipped count.

        The part of the mean that lies below x is m P(k + 1, x/scale), P being the regularised incomplete gamma.
        """
        shape = self._shape
        if shape >= _BELL_SHAPE:
            return Normal(self.centre, self.spread).mean
        scale = self.spread**2 / self.centre
        below, above = _share_below(shape, LOW / scale), 1 - _share_below(shape, HIGH / scale)
        inside = _share_below(shape + 1, HIGH / scale) - _share_below(shape + 1, LOW / scale)
        return LOW * below + HIGH * above + self.centre * inside

    @property
    def asked_least(self) -> float:
        """The mean as named."""
        return self.centre

    def sample(self, rng: random.Random) -> int:
        """One count."""
        shape = self._shape
        if shape >= _BELL_SHAPE:
            return clip(rng.gauss(self.centre, self.spread))
        return clip(rng.gammavariate(shape, self.spread**2 / self.centre))

    def describe(self) -> str:
        """`gamma:550,300`."""
        return f"gamma:{text_of(self.centre)},{text_of(self.spread)}"


def _share_below(shape: float, x: float) -> float:
    """P(shape, x), the regularised lower incomplete gamma: a power series below the hump, else a continued fraction.

    Both take some sqrt(shape) steps at worst. Source: DLMF 8.11.4 and 8.9.2 (https://dlmf.nist.gov/8), the fraction by
    Lentz's method as Thompson and Barnett modified it.
    """
    if x <= 0:
        return 0.0
    factor = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if factor == 0:
        return 0.0 if x < shape else 1.0
    if x < shape + 1:
        term = total = 1 / shape
        for step in range(1, _STEPS):
            term *= x / (shape + step)
            total += term
            if term < total * _CLOSE:
                break
        return min(factor * total, 1.0)
    base = x + 1 - shape
    upper, lower = 1e300, 1 / base
    fraction = lower
    for step in range(1, _STEPS):
        numerator = -step * (step - shape)
        base += 2
        lower = 1 / (numerator * lower + base)
        upper = base + numerator / upper
        fraction *= lower * upper
        if abs(lower * upper - 1) < _CLOSE:
            break
    return max(1 - factor * fraction, 0.0)
