"""Student's t where it ends and where the normal distribution takes over."""

import math
from statistics import NormalDist

import pytest

from harness.student import cdf, quantile


def test_from_ten_million_degrees_of_freedom_on_it_is_the_normal_distribution() -> None:
    """To the last bit, at the bound and beyond it; one below, to seven digits."""
    for df in (1e7, 1e9):
        assert cdf(1.0, df) == NormalDist().cdf(1.0)
        assert quantile(0.9, df) == NormalDist().inv_cdf(0.9)
    below = math.nextafter(1e7, 0)
    assert cdf(1.0, below) != NormalDist().cdf(1.0)
    assert cdf(1.0, below) == pytest.approx(NormalDist().cdf(1.0), abs=1e-7)
    assert quantile(0.9, below) != NormalDist().inv_cdf(0.9)


def test_two_degrees_of_freedom_have_a_formula() -> None:
    """F(t) = 1/2 + t / (2 sqrt(2 + t^2)), and its inverse (2 p - 1) sqrt(1 / (2 p (1 - p)))."""
    for t in (-30.0, -1.0, 0.0, 0.25, 1.0, 4.0, 1000.0):
        assert cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)), abs=1e-12)
    for p in (0.001, 0.3, 0.5, 0.8, 0.975):
        assert quantile(p, 2) == pytest.approx((2 * p - 1) / math.sqrt(2 * p * (1 - p)), rel=1e-10)
    assert (cdf(1e200, 2), cdf(-1e200, 2)) == (1.0, 0.0)
