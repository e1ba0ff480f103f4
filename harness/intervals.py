"""95 % confidence intervals over passes: how far a level's figures may be off, by what its passes differ in.

A pass over a level is one value of each figure; requests within it share the server's state, so their number says little
of how far the next run will be off. With m and s the mean and the sample's standard deviation of n passes

    2 to 9 passes    Student's t: m -+ t(0.975, n - 1) s / sqrt(n)
    10 and more      expanded percentile bootstrap of the mean (Hesterberg 2014, "What Teachers Should Know about the
                     Bootstrap"): of 20,000 resampled means the quantiles a and 1 - a, with
                     a = Phi(-sqrt(n / (n - 1)) t(0.975, n - 1)), so that it is as wide as so few values ask for

Of fewer than 10 values resampled means do not reach far enough: intervals of 5 cover 92.6 % where t's cover 95.0 %, also if
values are skewed. The table of measured coverage is in docs/metrics.md. The resamples are drawn with a fixed seed, so that
the same passes have the same interval. Nothing here is below 0, nor a share above 1: intervals end there.

The rule: no interval without two passes, where passes do not differ at all (that tells nothing of how they would), and for
a percentile that some pass does not carry (`harness.carried`). Pure.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from harness import student
from harness.carried import carries
from harness.hearsay import finite
from harness.windows import Floats

__all__ = ["CONFIDENCE", "FIGURES", "bounds", "interval", "of_level", "value"]

CONFIDENCE: Final = 0.95
BOOTSTRAP: Final = 10  # passes
RESAMPLES: Final = 20_000
_SEED: Final = 2014
_BLOCK: Final = 100  # rows at once: 16 MB of means

_SHARES: Final = ("error_rate", "goodput")
FIGURES: Final = (
    *("system_output_tokens_per_s", "system_total_tokens_per_s", "requests_per_s", *_SHARES),
    *("request_output_tokens_per_s.median", "request_total_tokens_per_s.median"),
    *(f"{name}.{key}" for name in ("ttft_ms", "tpot_ms", "e2e_ms") for key in ("mean", "p50", "p95")),
    *(f"{name}.{key}" for name in ("ttft_scheduled_ms", "e2e_scheduled_ms") for key in ("p50", "p95")),
)


def of_level(passes: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """`intervals` of a level: `{"ttft_ms.p50": {"mean", "low", "high", "passes", "method"}}`.

    Passes without a window, which were cut short, are left out where others have one.
    """
    whole = [one for one in passes if one.get("window_s") is not None] or list(passes)
    found = {}
    for path in FIGURES:
        known = list(_known(whole, path))
        told = interval(known, most=1.0 if path in _SHARES else math.inf)
        if told:
            found[path] = told
    return found


def value(part: Mapping[str, Any], path: str) -> float | None:
    """A figure of a pass or a level by its path, as `ttft_ms.p50`; None if it was not measured."""
    name, _, key = path.partition(".")
    told = part.get(name)
    if key:
        told = told.get(key) if isinstance(told, Mapping) else None
    return finite(told)


def interval(values: Sequence[float], *, least: float = 0.0, most: float = math.inf) -> dict[str, Any] | None:
    """The interval of the mean of these passes; None if they cannot tell."""
    if len(values) < 2 or min(values) == max(values):
        return None
    low, high = bounds(np.array([values], dtype=np.float64))
    return {
        "mean": math.fsum(values) / len(values),
        "low": max(least, float(low[0])),
        "high": min(most, float(high[0])),
        "passes": len(values),
        "method": "t" if len(values) < BOOTSTRAP else "bootstrap",
    }


def bounds(values: Floats) -> tuple[Floats, Floats]:
    """(low, high) of the mean of each row: one figure a row, one pass a column, two or more of these."""
    n = values.shape[1]
    t = student.quantile((1 + CONFIDENCE) / 2, n - 1)
    if n < BOOTSTRAP:
        half = t * values.std(axis=1, ddof=1) / math.sqrt(n)
        return values.mean(axis=1) - half, values.mean(axis=1) + half
    beyond = NormalDist().cdf(-math.sqrt(n / (n - 1)) * t)
    blocks = [values[at : at + _BLOCK] @ _weights(n) for at in range(0, len(values), _BLOCK)]
    ends = [np.quantile(block, (beyond, 1 - beyond), axis=1, overwrite_input=True) for block in blocks]
    low, high = np.concatenate(ends, axis=1)
    return low, high


def _known(passes: Sequence[Mapping[str, Any]], path: str) -> Iterator[float]:
    """The figure in each pass that has it; of none, if some pass does not carry it."""
    name, _, key = path.partition(".")
    found = [(one, known) for one in passes if (known := value(one, path)) is not None]
    if key and not all(carries(key, one[name].get("n") or 0) for one, _ in found):
        return
    yield from (known for _, known in found)


@lru_cache(maxsize=4)
def _weights(n: int) -> Floats:
    """How much of each of n passes is in each resampled mean: (n, RESAMPLES)."""
    drawn = np.random.default_rng(_SEED).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return np.ascontiguousarray(drawn.T / n)
