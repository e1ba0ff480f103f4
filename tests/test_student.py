"""Student's t against published tables, closed forms and the density itself."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.student import cdf, quantile

# Two-sided 95 %, 99 % and 99.9 % points of any textbook's table, to three decimals.
TABLE = {
    1: (12.706, 63.657, 636.619),
    2: (4.303, 9.925, 31.599),
    3: (3.182, 5.841, 12.924),
    4: (2.776, 4.604, 8.610),
    5: (2.571, 4.032, 6.869),
    6: (2.447, 3.707, 5.959),
    7: (2.365, 3.499, 5.408),
    8: (2.306, 3.355, 5.041),
    9: (2.262, 3.250, 4.781),
    10: (2.228, 3.169, 4.587),
    19: (2.093, 2.861, 3.883),
    30: (2.042, 2.750, 3.646),
    60: (2.000, 2.660, 3.460),
    120: (1.980, 2.617, 3.373),
    10**9: (1.960, 2.576, 3.291),
}


@pytest.mark.parametrize(("df", "points"), TABLE.items())
def test_quantiles_are_the_tables(df, points):
    """To the last digit that they print."""
    assert [round(quantile(p, df), 3) for p in (0.975, 0.995, 0.9995)] == pytest.approx(
        list(points), abs=5e-4
    )
    assert quantile(0.025, df) == pytest.approx(-quantile(0.975, df), rel=1e-12)


@pytest.mark.parametrize("p", [0.001, 0.025, 0.3, 0.5, 0.9, 0.975, 0.9999])
def test_quantiles_are_the_closed_forms(p):
    """Of 1, 2 and 4 degrees of freedom (Hill 1970; Shaw 2006)."""
    assert quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-10, abs=1e-12)
    middle = 4 * p * (1 - p)
    assert quantile(p, 2) == pytest.approx((2 * p - 1) * math.sqrt(2 / middle), rel=1e-10, abs=1e-12)
    inner = math.cos(math.acos(math.sqrt(middle)) / 3) / math.sqrt(middle)
    assert quantile(p, 4) == pytest.approx(
        math.copysign(2 * math.sqrt(inner - 1), p - 0.5), rel=1e-9, abs=1e-7
    )


@pytest.mark.parametrize("df", [0.7, 1.0, 2.5, 3.0, 7.3, 29.0, 400.0])
def test_the_cdf_is_the_densitys_integral(df):
    """Simpson's rule over 20,001 points; degrees of freedom may be fractions."""
    front = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    for t in (0.1, 1.0, 2.7, 6.0):
        x = np.linspace(0, t, 20_001)
        y = front * (1 + x * x / df) ** (-(df + 1) / 2)
        area = (y[0] + y[-1] + 4 * y[1:-1:2].sum() + 2 * y[2:-1:2].sum()) * t / 60_000
        assert cdf(t, df) == pytest.approx(0.5 + area, abs=1e-11)
        assert cdf(-t, df) == pytest.approx(0.5 - area, abs=1e-11)


@given(p=st.floats(1e-6, 1 - 1e-6), df=st.floats(0.5, 5000))
def test_quantiles_undo_the_cdf(p, df):
    """Anywhere."""
    assert cdf(quantile(p, df), df) == pytest.approx(p, rel=1e-9)


def test_the_ends():
    """Nothing lies beyond infinity, half of all below 0."""
    assert (cdf(math.inf, 3), cdf(-math.inf, 3), cdf(0, 3), quantile(0.5, 3)) == (1, 0, 0.5, 0)
