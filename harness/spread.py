"""One figure over many requests: mean, median, std, percentiles, maximum, of how many, and which of these so few do not carry.

`None` where nothing was measured, never 0 and never NaN. Percentiles interpolate linearly (numpy's default), std is the
sample's (ddof 1). Pure.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from harness.carried import withheld
from harness.windows import Floats

__all__ = ["RATE_QUANTILES", "TIME_QUANTILES", "spread"]

TIME_QUANTILES: Final = (50, 90, 95, 99)
RATE_QUANTILES: Final = (5, 10, 90)


def spread(values: Floats, quantiles: Sequence[int], *, top: bool = False) -> dict[str, Any]:
    """Mean, median, std, percentiles (and max) of what is known; `n`, of how many; `withheld`, `harness.carried`."""
    known = values[np.isfinite(values)]
    del values  # of a million streams, gaps take gigabytes
    names = ["mean", "median", "std", *(f"p{q}" for q in quantiles), *(["max"] if top else [])]
    if not len(known):
        return {**dict.fromkeys(names), "n": 0, "withheld": []}
    mean, std = known.mean(), known.std(ddof=1) if len(known) > 1 else math.nan
    median = np.median(known, overwrite_input=True)
    percentiles = np.percentile(known, quantiles, overwrite_input=True)
    figures = [mean, median, std, *percentiles, *([known.max()] if top else [])]
    found: dict[str, Any] = {
        name: None if math.isnan(figure) else float(figure)
        for name, figure in zip(names, figures, strict=True)
    }
    found["n"] = len(known)
    return {**found, "withheld": withheld(found, names)}
