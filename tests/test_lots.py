"""Draws by number: even, independent of each other, by weight, and the same for ever."""

import math
from collections import Counter
from statistics import fmean, pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.lots import Lots, uniform

COUNT = 50_000


def test_draws_are_even() -> None:
    """Mean, variance and the fullest of a hundred bins, over 50,000 numbers of one seed."""
    drawn = [uniform(7, number) for number in range(COUNT)]
    assert all(0 <= draw < 1 for draw in drawn)
    assert fmean(drawn) == pytest.approx(0.5, abs=5 / math.sqrt(12 * COUNT))
    assert pvariance(drawn) == pytest.approx(1 / 12, rel=0.02)
    bins = Counter(int(draw * 100) for draw in drawn)
    chi_square = sum((bins[index] - COUNT / 100) ** 2 / (COUNT / 100) for index in range(100))
    assert 50 < chi_square < 170  # 99 degrees of freedom: 99 on average, 14 its standard deviation


def test_neighbours_have_nothing_to_do_with_each_other() -> None:
    """Neither numbers nor seeds that follow one another, nor number k of seed s and number s of seed k."""
    apart = 5 / math.sqrt(COUNT)
    draws = [uniform(7, number) - 0.5 for number in range(COUNT + 1)]
    others = [uniform(8, number) - 0.5 for number in range(COUNT)]
    by_seed = [uniform(number, 7) - 0.5 for number in range(COUNT + 1)]
    for first, second in ((draws, draws[1:]), (draws, others), (by_seed, by_seed[1:]), (draws, by_seed)):
        correlation = fmean(12 * a * b for a, b in zip(first, second, strict=False))
        assert abs(correlation) < apart


@given(seed=st.integers(0, 2**64), number=st.integers(0, 2**53))
def test_a_draw_is_the_same_whenever_it_is_made(seed: int, number: int) -> None:
    """And in the range, for any seed and any number."""
    assert uniform(seed, number) == uniform(seed, number)
    assert 0 <= uniform(seed, number) < 1


def test_weights() -> None:
    """70 : 20 : 10, and nothing ever for a weight of 0."""
    lots = Lots([70, 0, 20, 10, 0], 3, "mix")
    counts = Counter(map(lots.draw, range(COUNT)))
    assert set(counts) == {0, 2, 3}
    for index, share in ((0, 0.7), (2, 0.2), (3, 0.1)):
        assert counts[index] / COUNT == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / COUNT))


def test_what_is_drawn_keeps_draws_apart() -> None:
    """The same seed draws a template and a class independently; one thing there is is always drawn."""
    one, other = (Lots([1, 1], 3, what) for what in ("templates", "user classes"))
    same = fmean(one.draw(number) == other.draw(number) for number in range(COUNT))
    assert same == pytest.approx(0.5, abs=5 / math.sqrt(4 * COUNT))
    assert {Lots([0.3], 3, "x").draw(number) for number in range(100)} == {0}


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [math.inf], [math.nan, 1], [1, math.inf]])
def test_weights_that_sum_to_nothing(weights: list[float]) -> None:
    """Or to no number."""
    with pytest.raises(ValueError, match="do not sum to something"):
        Lots(weights, 1, "x")


def test_draws_are_those_of_yesterday() -> None:
    """Of seeds that are written down: results of today can be made again with a later version."""
    assert [uniform(1, 0), uniform(1, 1), uniform(2, 0)] == YESTERDAY
    assert [Lots([1, 2, 3], 9, "mix").draw(number) for number in range(12)] == PICKED


YESTERDAY = [0.9557038184179468, 0.7486828894513605, 0.3815688940261358]
PICKED = [0, 2, 2, 2, 2, 2, 1, 2, 2, 2, 1, 2]
