"""Two runs' passes against each other: Welch's t, its interval, and how many passes would settle what it cannot.

The unit is the pass: its figure is one value, and what the passes of a run differ by among themselves is the noise.

    positive figures   x = log(value); d = mean x(new) - mean x(base); the change is exp(d) - 1, a ratio
    shares             x = value; d is the difference, in percentage points
    se^2               s^2(base)/k(base) + s^2(new)/k(new), s^2 the sample variance, k the passes
    dof                Welch-Satterthwaite: se^4 / sum of (s^2/k)^2 / (k - 1)
    interval           d +- t(0.975, dof) se

A share's s^2/k is at least Agresti and Caffo's variance of the pooled counts, (x + 1)(n - x + 1) / (n + 2)^3: no errors in
400 requests do not prove that there are none (The American Statistician 54, 2000, 280-288).

Source: B. L. Welch, Biometrika 34 (1947), 28-35; S. Holm, Scand. J. Statist. 6 (1979), 65-70. Pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance
from typing import Final

from harness import student

__all__ = ["MOST", "Difference", "Mean", "holm", "mean_of_logs", "mean_of_shares"]

MOST: Final = 1000  # passes: more is no advice
_POWER: Final = 0.9
_EXPANDED_FROM: Final = 30


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a run's passes, on the scale on which they are compared."""

    value: float
    variance: float  # of the mean
    dof: float
    passes: int

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Student's interval of this mean alone."""
        half = student.quantile((1 + confidence) / 2, self.dof) * math.sqrt(self.variance)
        return self.value - half, self.value + half


def mean_of_logs(values: Sequence[float]) -> Mean:
    """Of two positive values or more."""
    logs = [math.log(value) for value in values]
    passes = len(logs)
    return Mean(fmean(logs), variance(logs) / passes, passes - 1.0, passes)


def mean_of_shares(shares: Sequence[float], requests: Sequence[int]) -> Mean:
    """Of two shares or more, each of so many requests."""
    passes, n = len(shares), sum(requests)
    hits = sum(share * of for share, of in zip(shares, requests, strict=True))
    least = (hits + 1) * (n - hits + 1) / (n + 2) ** 3
    among = variance(shares) / passes
    return Mean(fmean(shares), max(among, least), passes - 1.0 if among > least else math.inf, passes)


@dataclass(frozen=True, slots=True)
class Difference:
    """New - base, on the scale on which they are compared."""

    base: Mean
    new: Mean

    @property
    def estimate(self) -> float:
        """The difference of the means."""
        return self.new.value - self.base.value

    @property
    def error(self) -> float:
        """Its standard error."""
        return math.sqrt(self.base.variance + self.new.variance)

    @property
    def dof(self) -> float:
        """Welch and Satterthwaite's degrees of freedom; infinite where no variance was estimated from passes."""
        both = self.base.variance + self.new.variance
        # As shares of the sum, whose squares do not underflow.
        parts = [(one.variance / both) ** 2 / one.dof for one in (self.base, self.new)] if both else [0.0]
        return 1 / sum(parts) if sum(parts) else math.inf

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The confidence interval of the difference."""
        half = student.quantile((1 + confidence) / 2, self.dof) * self.error
        return self.estimate - half, self.estimate + half

    def p_above(self, limit: float) -> float:
        """One-sided p of `not above limit`: small if the difference clearly is above."""
        over = self.estimate - limit
        if not self.error:  # every pass alike: then the passes' word is all there is
            return 0.0 if over > 0 else 1.0
        return student.cdf(-over / self.error, self.dof)

    def p_below(self, limit: float) -> float:
        """One-sided p of `not below limit`."""
        return Difference(self.new, self.base).p_above(-limit)

    def p_other(self, least: float = 0.0) -> float:
        """Two-sided p of `no difference of more than so much`."""
        return min(1.0, 2 * min(self.p_above(least), self.p_below(-least)))

    def passes_for(self, distance: float, one_sided: float) -> int:
        """Passes a run at which a true distance of so much from a limit is told, in nine of ten cases.

        The smallest k with (t(1 - one_sided) + t(0.9)) se(k) <= distance, for passes that differ as these do; more than
        these have, and at most `MOST` + 1, which means more than that.
        """
        spreads = [one.variance * one.passes for one in (self.base, self.new)]
        together = sum(spreads)
        alike = together**2 / sum(one**2 for one in spreads) if together else 1.0

        def is_enough(k: int) -> bool:
            dof = math.floor((k - 1) * alike)  # whole, so that cells share their quantiles
            need = _nearly(1 - one_sided, dof) + _nearly(_POWER, dof)
            return need * math.sqrt(together / k) <= distance

        low = min(self.base.passes, self.new.passes)
        high = MOST + 1
        if distance <= 0 or not is_enough(MOST):
            return high
        while high - low > 1:  # `low` is not enough, or is what there is already
            middle = (low + high) // 2
            low, high = (low, middle) if is_enough(middle) else (middle, high)
        return high


def holm(ps: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses fall, so that the chance of one false fall among all is at most `alpha`."""
    fallen = [False] * len(ps)
    for rank, at in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        if ps[at] > alpha / (len(ps) - rank):
            break
        fallen[at] = True
    return fallen


def _nearly(p: float, dof: float) -> float:
    """The quantile for advice: from 30 degrees of freedom on by Fisher and Cornish's expansion, good to three digits."""
    if dof < _EXPANDED_FROM:
        return student.quantile(p, dof)
    z = NormalDist().inv_cdf(p)
    return z + (z**3 + z) / (4 * dof) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * dof**2)
