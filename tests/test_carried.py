"""Percentiles that so many values can carry."""

import itertools

import numpy as np
import pytest

from harness.carried import NEED, carries, cell, lacking, says, shown, withheld
from harness.spread import TIME_QUANTILES, spread


@pytest.mark.parametrize(("key", "share"), [("p90", 0.9), ("p95", 0.95), ("p10", 0.9), ("p5", 0.95)])
def test_the_need_is_the_least_whose_extreme_lies_beyond(key, share):
    """P(the largest of n lies above the percentile) = 1 - share^n, found by counting up; lower ones mirror it."""
    assert NEED[key] == next(n for n in itertools.count(1) if 1 - share**n >= 0.95)


@pytest.mark.parametrize("key", ["p99", "p1"])
def test_ten_values_lie_beyond_the_hundredth(key):
    """1 % of the need, in whole values."""
    assert NEED[key] == 10 * 100


def test_what_lies_beyond_does_so_as_often_as_said():
    """Drawn: of 59 values the largest exceeds the true p95 in 95 % of draws, of 58 in fewer."""
    draws = np.random.default_rng(5).random((200_000, 59))
    assert np.mean(draws.max(axis=1) > 0.95) == pytest.approx(1 - 0.95**59, abs=0.002)
    assert 1 - 0.95**58 < 0.95 < 1 - 0.95**59


@pytest.mark.parametrize(("key", "need"), [*NEED.items(), ("p50", 1), ("median", 1), ("mean", 1), ("max", 1)])
def test_one_fewer_does_not_carry(key, need):
    """At the need it does; of none, nothing does."""
    part = {key: 7.5, "n": need}
    assert [carries(key, need - 1), carries(key, need)] == [False, True]
    assert shown(part, key) == 7.5
    assert cell(part, key) == "7.5"
    assert shown(part | {"n": need - 1}, key) is None


def test_what_is_withheld_is_marked_and_what_was_not_measured_is_not():
    """Two different things, and two different cells."""
    few, none = {"p95": 12.0, "p99": 20.0, "n": 58}, {"p95": None, "p99": None, "n": 0}
    assert [cell(part, "p95") for part in (few, none, None)] == ["\N{EN DASH}*", "\N{EN DASH}", "\N{EN DASH}"]
    assert [withheld(part, ["p95", "p99"]) for part in (few, none, None)] == [["p95", "p99"], [], []]
    assert cell({"p95": 1234.0, "n": 59}, "p95", scale=1e-3) == "1.23"


def test_the_footnote_says_what_is_needed_of_what_is_lacking():
    """Each key once, the least need first; nothing where nothing lacks."""
    parts = [{"p95": 1.0, "p99": 1.0, "n": 100}, {"p95": 1.0, "p99": 1.0, "n": 10}, {"p95": 1.0, "n": 5000}]
    assert lacking(parts, ["p50", "p95", "p99"]) == ["p95", "p99"]
    assert lacking(parts[:1], ["p95", "p99"]) == ["p99"]
    assert lacking(parts[2:], ["p95", "p99"]) == []
    assert says(["p99"]) == "p99 needs 1,000 requests: withheld where there were fewer."
    assert says(["p99", "p95"]) == "p95 needs 59 requests, p99 1,000: withheld where there were fewer."
    assert says(["p99"], "gaps") == "p99 needs 1,000 gaps: withheld where there were fewer."
    assert says([]) == says(["p50"]) == ""


def test_a_spread_keeps_every_number_and_names_those_withheld():
    """The contract of summary.json; of none, nothing is withheld, for nothing was measured."""
    part = spread(np.arange(100.0), TIME_QUANTILES, top=True)
    assert part["p99"] == 98.01
    assert part["withheld"] == ["p99"]
    assert spread(np.arange(58.0), TIME_QUANTILES)["withheld"] == ["p95", "p99"]
    assert spread(np.arange(28.0), (5, 10, 90))["withheld"] == ["p5", "p10", "p90"]
    assert spread(np.arange(1000.0), (50, 90, 95, 99))["withheld"] == []
    assert spread(np.array([np.nan]), TIME_QUANTILES)["withheld"] == []


@pytest.mark.parametrize(
    "part", [{}, {"p99": 1.0}, {"p99": 1.0, "n": None}, {"p99": 1.0, "n": "many"}, {"p99": "x", "n": 5000}]
)
def test_a_damaged_spread_shows_nothing(part):
    """A summary that somebody edited is no traceback."""
    assert shown(part, "p99") is None
    assert cell(part, "p99").startswith("\N{EN DASH}")
