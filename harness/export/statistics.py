"""Statistics as pandas makes them, which is what the tools imitated here use: linear quantiles, std with n - 1. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["flat", "of_values"]

Floats = npt.NDArray[np.float64]


def of_values(values: Floats, percents: Sequence[int], digits: int | None = None) -> dict[str, Any]:
    """`quantiles` p5 ..., `mean`, `min`, `max`, `stddev` of the values that are known; None where there are none.

    Args:
        values: NaN for unknown.
        percents: which quantiles.
        digits: decimals to round to; None: as they are.
    """
    known = values[~np.isnan(values)]

    def told(value: float) -> float | None:
        return None if np.isnan(value) else float(value) if digits is None else round(float(value), digits)

    if not len(known):
        nothing: dict[str, Any] = {"quantiles": {f"p{percent}": None for percent in percents}}
        return nothing | dict.fromkeys(("mean", "min", "max", "stddev"))
    quantiles = np.quantile(known, [percent / 100 for percent in percents])
    return {
        "quantiles": {f"p{percent}": told(value) for percent, value in zip(percents, quantiles, strict=True)},
        "mean": told(known.mean()),
        "min": told(known.min()),
        "max": told(known.max()),
        "stddev": told(known.std(ddof=1)) if len(known) > 1 else None,
    }


def flat(value: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested objects as one, names joined with `_`, as both tools' `flatten_dict` does; an empty one leaves nothing."""
    found: dict[str, Any] = {}
    for name, inner in value.items():
        whole = f"{above}_{name}" if above else str(name)
        found |= flat(inner, whole) if isinstance(inner, Mapping) else {whole: inner}
    return found
