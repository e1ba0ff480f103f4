"""Confidence intervals over passes: by hand, what they leave out, and how often they cover the truth."""

import math
import statistics

import numpy as np
import pytest

from harness import intervals
from harness.intervals import bounds, interval, of_level, value


def one_pass(rate, p50, n=100, **more):
    """A pass with these figures."""
    times = {"mean": p50, "median": p50, "p50": p50, "p95": None if p50 is None else 2 * p50, "n": n}
    return {"repeat": 1, "window_s": 10.0, "system_output_tokens_per_s": rate, "ttft_ms": times, **more}


def test_three_passes_by_hand():
    """Mean -+ 4.3027 s / sqrt(3): of 100, 110 and 120 it is 110 -+ 24.84."""
    found = interval([100.0, 110.0, 120.0])
    assert found == {
        "mean": 110.0,
        "low": pytest.approx(85.159, abs=1e-3),
        "high": pytest.approx(134.841, abs=1e-3),
        "passes": 3,
        "method": "t",
    }


def test_two_passes_know_little():
    """12.706 s / sqrt(2) = 63.5 to each side of 105, by two values that are 10 apart."""
    found = interval([100.0, 110.0])
    assert (found["low"], found["high"]) == pytest.approx((105 - 63.531, 105 + 63.531), abs=1e-3)


def test_from_ten_passes_on_it_is_the_expanded_bootstrap():
    """Its tail is Phi(-sqrt(10/9) 2.262) = 0.0085; the same values have the same interval, near t's where they are even."""
    values = [100.0, 103.0, 98.0, 101.0, 99.5, 102.0, 97.0, 100.5, 101.5, 99.0]
    found = interval(values)
    assert (found["method"], found["passes"]) == ("bootstrap", 10)
    assert found == interval(values)
    half = 2.262157 * statistics.stdev(values) / math.sqrt(10)
    mean = statistics.fmean(values)
    assert (found["low"], found["high"]) == pytest.approx((mean - half, mean + half), abs=0.1 * half)
    tail = statistics.NormalDist().cdf(-math.sqrt(10 / 9) * 2.262157)
    means = np.random.default_rng(1).choice(values, (200_000, 10)).mean(axis=1)
    by_hand = np.quantile(means, [tail, 1 - tail])
    assert [found["low"], found["high"]] == pytest.approx(by_hand, abs=0.05)


def test_a_skewed_bootstrap_is_skewed():
    """Of one pass in ten that was slow, the interval reaches further up than down."""
    found = interval([*np.linspace(10, 11, 9), 30.0])
    assert found["high"] - found["mean"] > 1.5 * (found["mean"] - found["low"])


def test_nothing_is_below_nothing_and_no_share_above_one():
    """Two passes that differ much."""
    assert interval([1.0, 9.0])["low"] == 0
    found = of_level([one_pass(1.0, 1.0, error_rate=0.2), one_pass(2.0, 2.0, error_rate=0.8)])
    assert (found["error_rate"]["low"], found["error_rate"]["high"]) == (0, 1)


@pytest.mark.parametrize("values", [[], [5.0], [5.0, 5.0, 5.0], [0.0] * 12])
def test_what_cannot_tell_has_no_interval(values):
    """One pass, or passes without a difference: no failure in three passes does not mean that there will be none."""
    assert interval(values) is None


def test_figures_of_a_level():
    """By their paths; of those that were not measured in two passes, none."""
    passes = [one_pass(rate, p50) for rate, p50 in ((100.0, 7.0), (110.0, None), (120.0, 9.0))]
    found = of_level(passes)
    assert set(found) == {"system_output_tokens_per_s", "ttft_ms.mean", "ttft_ms.p50", "ttft_ms.p95"}
    assert (found["ttft_ms.p50"]["mean"], found["ttft_ms.p50"]["passes"]) == (8.0, 2)
    assert of_level(passes[:2]).keys() == {"system_output_tokens_per_s"}
    assert of_level(passes[:1]) == of_level([]) == {}


def test_a_percentile_that_some_pass_does_not_carry_has_none():
    """A p95 needs 59 requests in each pass."""
    found = of_level([one_pass(1.0, 5.0, n=59), one_pass(2.0, 6.0, n=58)])
    assert "ttft_ms.p95" not in found
    assert "ttft_ms.p50" in found


def test_a_pass_that_was_cut_short_is_left_out():
    """It has no window where others have one; where none has, all count."""
    passes = [one_pass(1.0, 5.0), one_pass(2.0, 6.0), one_pass(None, 900.0, window_s=None)]
    assert of_level(passes)["ttft_ms.p50"]["mean"] == 5.5
    bare = [{**one, "window_s": None} for one in passes]
    assert of_level(bare)["ttft_ms.p50"]["passes"] == 3


@pytest.mark.parametrize("told", [None, math.nan, math.inf, "x", True, {}])
def test_what_is_no_number_is_not_measured(told):
    """At either depth of a path."""
    assert value({"a": told}, "a") is None
    assert value({"a": {"p50": told}}, "a.p50") is None
    assert value({"a": told}, "a.p50") is None


DRAWN = {
    "normal": (lambda rng, shape: rng.normal(100, 10, shape), 100.0),
    "lognormal": (lambda rng, shape: rng.lognormal(0, 0.25, shape), math.exp(0.25**2 / 2)),
}


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize(("passes", "runs"), [(2, 20_000), (3, 20_000), (5, 20_000), (10, 1_500)])
def test_intervals_cover_the_truth_as_often_as_they_say(kind, passes, runs):
    """Runs of passes that vary by 10 %, and of skewed ones that vary by 25 %, whose true mean is known."""
    draw, truth = DRAWN[kind]
    low, high = bounds(draw(np.random.default_rng(7), (runs, passes)))
    covered = np.mean((low <= truth) & (truth <= high))
    assert 0.92 <= covered <= 0.98
    if kind == "normal" and passes < intervals.BOOTSTRAP:
        assert covered == pytest.approx(0.95, abs=0.005)
