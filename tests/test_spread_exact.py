"""One figure over many requests, by hand: the sample's standard deviation, percentiles between values, what few withhold."""

import math

import numpy as np
import pytest

from harness.spread import RATE_QUANTILES, TIME_QUANTILES, spread


def test_five_values() -> None:
    """10, 20, 30, 40, 100: mean 40, median 30; squares of differences 900 + 400 + 100 + 0 + 3600 over 4 are 1250."""
    found = spread(np.array([30.0, math.nan, 10.0, 100.0, math.inf, 20.0, 40.0]), (25, 50, 90), top=True)
    withheld = found.pop("withheld")
    assert found == pytest.approx(
        {
            "mean": 40,
            "median": 30,
            "std": math.sqrt(1250),
            "p25": 20,
            "p50": 30,
            "p90": 76,
            "max": 100,
            "n": 5,
        }
    )
    assert "mean" not in withheld
    assert "p90" in withheld  # of five


def test_one_value_and_none() -> None:
    """One has no spread, none has nothing; only `top` asks for a maximum."""
    one = spread(np.array([7.0]), TIME_QUANTILES)
    assert (one["mean"], one["median"], one["std"], one["p99"], one["n"]) == (7.0, 7.0, None, 7.0, 1)
    assert "max" not in one
    two = spread(np.array([7.0, 9.0]), RATE_QUANTILES)
    assert two["std"] == pytest.approx(math.sqrt(2))
    assert list(two) == ["mean", "median", "std", "p5", "p10", "p90", "n", "withheld"]
    assert spread(np.array([math.nan]), (50,), top=True) == {
        **dict.fromkeys(["mean", "median", "std", "p50", "max"]),
        "n": 0,
        "withheld": [],
    }
    assert (TIME_QUANTILES, RATE_QUANTILES) == ((50, 90, 95, 99), (5, 10, 90))
