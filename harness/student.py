"""Student's t distribution: its CDF and quantiles, for the few values that passes over a level are.

    F(t, v) = 1 - I_x(v / 2, 1 / 2) / 2  for t >= 0, x = v / (v + t^2)

with I the regularised incomplete beta function, by its continued fraction (Numerical Recipes, "Incomplete Beta Function").
Degrees of freedom may be fractions, as Welch's are. Errors are below 1e-10 up to 10,000 degrees of freedom, and 1e-7 beyond.
Pure; needs no SciPy.
"""

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Final

__all__ = ["cdf", "quantile"]

_TINY: Final = 1e-300
_STEPS: Final = 10_000
_NORMAL: Final = 1e7  # degrees of freedom from which on the normal distribution is as good


def cdf(t: float, df: float) -> float:
    """P(T <= t) with `df` > 0 degrees of freedom."""
    if df >= _NORMAL:
        return NormalDist().cdf(t)
    square = t * t
    if math.isinf(square):
        return float(t > 0)
    beyond = _beta(df / (df + square), square / (df + square), df / 2, 0.5) / 2
    return 1 - beyond if t > 0 else beyond


@lru_cache(maxsize=1024)
def quantile(p: float, df: float) -> float:
    """The t with P(T <= t) = p, for 0 < p < 1."""
    if p == 0.5:
        return 0.0
    if df >= _NORMAL:
        return NormalDist().inv_cdf(p)
    if p < 0.5:
        return -_upper(p, df)
    return _upper(1 - p, df)


def _upper(beyond: float, df: float) -> float:
    """The t > 0 that is exceeded with a probability below one half: bisection, to the last bit."""
    low, high = 0.0, 1.0
    while cdf(-high, df) > beyond:
        low, high = high, high * 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if cdf(-middle, df) > beyond else (low, middle)
    return (low + high) / 2


def _beta(x: float, rest: float, a: float, b: float) -> float:
    """I_x(a, b), with `rest` = 1 - x; both are given, for near 1 a difference would lose digits."""
    if x <= 0 or rest <= 0:
        return float(x > 0)
    log = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    if x < (a + 1) / (a + b + 2):
        return math.exp(log) * _fraction(x, a, b) / a
    return 1 - math.exp(log) * _fraction(rest, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of I_x(a, b), by Lentz's method."""
    c, d = 1.0, 1 / _apart(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _STEPS):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _apart(1 + step * d)
            c = _apart(1 + step / c)
            found *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return found


def _apart(value: float) -> float:
    """Not 0."""
    return value if abs(value) > _TINY else _TINY
