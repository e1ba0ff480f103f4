"""The statistics of a comparison: by hand, against integrals of one's own, and their laws."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import student
from harness.compare.cells import Cell
from harness.compare.figures import FIGURES
from harness.compare.welch import MOST, Difference, holm, mean_of_logs, mean_of_shares

values = st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=12)


def logs(*powers: float):
    return mean_of_logs([math.exp(power) for power in powers])


def tail(t: float, dof: float) -> float:
    """P(T > t): Student's density, summed with t = tan(angle)."""
    angles = np.linspace(math.atan(t), math.pi / 2, 400_001)[:-1]
    density = (1 + np.tan(angles) ** 2 / dof) ** (-(dof + 1) / 2) / np.cos(angles) ** 2
    scale = math.exp(math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2)) / math.sqrt(dof * math.pi)
    return float(np.trapezoid(density, angles) * scale)


def test_welch_by_hand() -> None:
    """Means 3 and 5; s^2/k 2.5/5 and (20/3)/4; se^2 13/6; dof (13/6)^2 / (0.5^2/4 + (5/3)^2/3)."""
    found = Difference(logs(1, 2, 3, 4, 5), logs(2, 4, 6, 8))
    assert found.estimate == pytest.approx(2.0)
    assert found.error == pytest.approx(math.sqrt(13 / 6))
    assert found.dof == pytest.approx((169 / 36) / (1 / 16 + 25 / 27))
    t = 2 / math.sqrt(13 / 6)
    assert found.p_other() == pytest.approx(2 * tail(t, found.dof), rel=1e-5)
    low, high = found.interval()
    half = (high - low) / 2
    assert (low + high) / 2 == pytest.approx(2.0)
    assert tail(half / found.error, found.dof) == pytest.approx(0.025, rel=1e-5)
    assert found.p_above(1.0) == pytest.approx(tail(1 / found.error, found.dof), rel=1e-5)


def test_an_interval_that_ends_at_a_limit_has_its_p() -> None:
    """Where the 95 % interval begins at a limit, the one-sided p against it is 2.5 %."""
    found = Difference(logs(1, 1.1, 1.3), logs(2, 2.1, 2.5, 2.2))
    low, high = found.interval()
    assert found.p_above(low) == pytest.approx(0.025)
    assert found.p_below(high) == pytest.approx(0.025)


def test_no_errors_in_400_requests_are_not_none() -> None:
    """Agresti and Caffo's variance, (0 + 1)(400 - 0 + 1) / 402^3, where passes do not vary."""
    clean = mean_of_shares([0.0] * 10, [40] * 10)
    assert clean.variance == pytest.approx(401 / 402**3)
    found = Difference(clean, clean)
    assert found.dof == math.inf
    assert found.interval()[1] == pytest.approx(1.959964 * math.sqrt(2 * 401 / 402**3), rel=1e-6)


def test_bursts_of_errors_count_as_what_they_vary_by() -> None:
    """All errors in one pass of ten: the passes' variance is the larger, with nine degrees of freedom."""
    shares = [0.5] + [0.0] * 9
    found = mean_of_shares(shares, [40] * 10)
    assert found.variance == pytest.approx(np.var(shares, ddof=1) / 10)
    assert found.dof == 9


def test_passes_that_never_vary_are_what_they_are() -> None:
    """No variance, no doubt; equal ones are equal."""
    five, six = mean_of_logs([5.0, 5.0]), mean_of_logs([6.0, 6.0])
    assert Difference(five, six).p_other() == 0.0
    assert Difference(five, five).p_other() == 1.0
    assert Difference(five, five).interval() == (0.0, 0.0)


def test_holm_by_hand() -> None:
    """0.05/4, /3, /2: the third stops it, and the fourth stands although it is below 0.05."""
    assert holm([0.04, 0.012, 0.03, 0.016], 0.05) == [False, True, False, True]
    assert holm([], 0.05) == []
    assert holm([0.0501], 0.05) == [False]


@pytest.mark.parametrize(("sd", "distance"), [(0.02, 0.03), (0.05, 0.05), (0.01, 0.02)])
def test_the_passes_it_asks_for_are_enough(sd: float, distance: float) -> None:
    """Drawn anew at that number, nine of ten intervals end before the limit; at half of it, far fewer."""
    two = [math.exp(sd), math.exp(-sd)]  # s^2 = 2 sd^2
    asked = Difference(mean_of_logs(two), mean_of_logs(two)).passes_for(distance, 0.025)
    assert settled(Random(1), asked, sd * math.sqrt(2), distance) > 0.87
    assert settled(Random(2), max(2, asked // 2), sd * math.sqrt(2), distance) < 0.8


def settled(rng: Random, passes: int, sd: float, distance: float) -> float:
    def mean():
        return mean_of_logs([math.exp(rng.gauss(0, sd)) for _ in range(passes)])

    return sum(Difference(mean(), mean()).interval()[1] <= distance for _ in range(400)) / 400


def test_what_lies_at_the_limit_needs_more_than_anyone_runs() -> None:
    """A distance of nothing, or next to it."""
    found = Difference(logs(1, 2, 3), logs(1, 2, 3))
    assert found.passes_for(0.0, 0.025) == found.passes_for(-1.0, 0.025) == MOST + 1
    assert found.passes_for(1e-6, 0.025) == MOST + 1
    assert found.passes_for(1e6, 0.025) == 4  # more than there are


@given(values, values)
def test_swapped_runs_mirror(one: list[float], other: list[float]) -> None:
    """Base for new: the same size, the other sign."""
    base, new = mean_of_logs(one), mean_of_logs(other)
    there, back = Difference(base, new), Difference(new, base)
    assert there.estimate == -back.estimate
    low, high = there.interval()
    assert back.interval() == pytest.approx((-high, -low), rel=1e-9, abs=1e-12)
    assert there.p_other() == pytest.approx(back.p_other(), rel=1e-9, abs=1e-300)


@given(values, st.floats(1e-3, 1e3))
def test_a_unit_changes_nothing(some: list[float], unit: float) -> None:
    """Ratios are ratios, in ms as in s."""
    other = [value * 1.1 for value in some]
    plain = Difference(mean_of_logs(some), mean_of_logs(other))
    scaled = Difference(mean_of_logs([v * unit for v in some]), mean_of_logs([v * unit for v in other]))
    assert scaled.estimate == pytest.approx(plain.estimate, abs=1e-9)
    assert scaled.error == pytest.approx(plain.error, abs=1e-6)


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_falls_from_the_smallest(ps: list[float]) -> None:
    """What falls has smaller ps than what stands, and at least what Bonferroni fells falls."""
    fallen = holm(ps, 0.05)
    assert all(fell for p, fell in zip(ps, fallen, strict=True) if p <= 0.05 / len(ps))
    assert max([p for p, fell in zip(ps, fallen, strict=True) if fell], default=0) <= min(
        [p for p, fell in zip(ps, fallen, strict=True) if not fell], default=1
    )


@pytest.mark.parametrize(("few", "more", "least"), [(3, 5, 0.92), (5, 10, 0.93), (10, 10, 0.94)])
def test_coverage_with_unlike_noise(few: int, more: int, least: float) -> None:
    """95 % of the intervals hold the truth; of three passes, the noisier ones, up to two in a hundred fewer."""
    rng = Random(f"coverage {few}")
    held = 0
    for _ in range(1500):
        base = mean_of_logs([math.exp(rng.gauss(0, 0.05)) for _ in range(few)])
        new = mean_of_logs([math.exp(rng.gauss(0.03, 0.02)) for _ in range(more)])
        low, high = Difference(base, new).interval()
        held += low <= 0.03 <= high
    assert least <= held / 1500 <= 0.97


def test_students_quantiles_are_those_of_the_tables() -> None:
    """What this rests on."""
    assert student.quantile(0.975, 18) == pytest.approx(2.100922, abs=1e-6)


def test_a_shares_interval_ends_where_shares_do() -> None:
    """Two passes that differ much say little, but no error rate changes by more than 100 points."""
    means = mean_of_shares([0.1, 0.9], [60, 60]), mean_of_shares([0.0, 0.2], [60, 60])
    cell = Cell(0, "2 users", FIGURES["error_rate"], 0.5, 0.1, Difference(*means), (2, 2))
    low, high = cell.difference.interval()
    assert low < -1 < 1 < high
    assert cell.interval() == (-1.0, 1.0)
