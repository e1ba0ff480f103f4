"""Arrivals worked out another way: by hand, or by the formula as its source has it, from the same random numbers.

The statistics in test_arrivals.py prove which distribution it is; these few values notice a wrong digit.
"""

import math
import random
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise

import pytest

from harness.arrival_gaps import LEAST_SHAPE, MOST_SHAPE, Process, text_of
from harness.arrival_rates import Flat, Ramp, Steps, describe
from harness.arrivals import Arrivals, Slice, is_mine, parse, share
from harness.errors import ConfigError

S = 1_000_000_000


def uniforms(seed: int) -> random.Random:
    """The numbers that a seed's arrivals are made of."""
    return random.Random(f"{seed} arrivals")


def test_poisson_arrivals_are_products_of_uniform_numbers() -> None:
    """A sum of -ln(1 - u) is -ln of the product, so exp(-arrival) is what is left of 1 after so many factors."""
    rng, left = uniforms(7), 1.0
    for arrival in islice(Process("poisson").units(7), 50):
        left *= 1.0 - rng.random()
        assert math.exp(-arrival) == pytest.approx(left, rel=1e-12)


def normals(rng: random.Random) -> Iterator[float]:
    """Box and Muller's pair as one complex number: sqrt(-2 ln u) e^(2 pi i v)."""
    while True:
        radius = math.sqrt(-2 * math.log(1 - rng.random()))
        turn = 2 * math.pi * rng.random()
        yield radius * math.sin(turn + math.pi / 2)
        yield -radius * math.cos(turn + math.pi / 2)


def gammas(shape: float, seed: int) -> Iterator[float]:
    """Marsaglia and Tsang's section 2 as it stands, without the squeeze, which spares logarithms and changes nothing."""
    rng = uniforms(seed)
    a = shape if shape >= 1 else shape + 1
    d = a - 1 / 3
    c = 1 / math.sqrt(9 * d)
    for x in normals(rng):
        v = (1 + c * x) ** 3
        if v > 0 and math.log(1 - rng.random()) < x * x / 2 + d - d * v + d * math.log(v):
            gap = d * v
            yield gap * rng.random() ** (1 / shape) if shape < 1 else gap


@pytest.mark.parametrize("shape", [LEAST_SHAPE, 0.3, 0.999, 1.0, 1.5, 4.0, MOST_SHAPE])
def test_gamma_gaps_are_those_of_the_paper_over_their_mean(shape: float) -> None:
    """A gamma number's mean is its shape; rejected ones draw as many uniform numbers as in the paper."""
    arrivals = [0.0, *islice(Process("gamma", shape).units(3), 1500)]
    for (before, after), drawn in zip(pairwise(arrivals), islice(gammas(shape, 3), 1500), strict=True):
        assert after - before == pytest.approx(drawn / shape, rel=1e-6, abs=1e-12 * after)


def test_what_a_process_is_called() -> None:
    """Six digits after the point and no more zeros than a number needs."""
    assert [Process(kind).describe() for kind in ("constant", "poisson")] == ["constant", "poisson"]
    assert Process("gamma", 0.5).describe() == "gamma:0.5"
    assert [*map(text_of, (10.0, 0.25, 100_000.0, 1e-6, 0.1234567))] == [
        *("10", "0.25", "100000", "0.000001", "0.123457")
    ]
    assert Process() == Process("constant", 1.0)
    assert list(islice(Process().units(0), 3)) == [0.0, 1.0, 2.0]
    assert (LEAST_SHAPE, MOST_SHAPE) == (0.01, 1000.0)  # as docs/load-models.md says


# Rates: areas of rectangles, triangles and trapezia.


def test_a_flat_rate_is_a_rectangle() -> None:
    """Nothing before 0, and at 0 the rate already holds."""
    flat = Flat(4.0)
    assert flat.length_s is None
    assert [flat.rate(at) for at in (-0.001, 0.0, 0.001, 1e9)] == [0.0, 4.0, 4.0, 4.0]
    assert [flat.expected(at) for at in (-1.0, 0.0, 0.25, 2.5)] == [0.0, 0.0, 1.0, 10.0]
    assert list(flat.offsets([0, 1, 2.5, 10])) == [0, S // 4, 625_000_000, 5 * S // 2]


@pytest.mark.parametrize(("last", "length"), [(6.0, None), (0.0, 8.0)])
def test_a_ramp_is_a_trapezium(last: float, length: float | None) -> None:
    """From 2/s within 8 s to 6/s (32 arrivals, then 6 a second), or to 0 (8 arrivals, then none)."""
    ramp = Ramp(2.0, last, 8.0)
    assert ramp.length_s == length
    assert [ramp.rate(at) for at in (-0.001, 0.0, 4.0, 8.0, 9.0)] == [0.0, 2.0, (2 + last) / 2, last, last]
    half = 4 * (2 + (2 + last) / 2) / 2  # the area of the first four seconds
    whole = 8 * (2 + last) / 2
    assert [ramp.expected(at) for at in (-1.0, 0.0, 4.0, 8.0, 10.0)] == [
        0.0,
        0.0,
        half,
        whole,
        whole + 2 * last,
    ]
    units, came = [0, half, whole, whole + 2 * last], [0, 4 * S, 8 * S, 10 * S]
    assert list(ramp.offsets(units)) == (came if last else came[:2])  # nothing comes at a rate of 0


def test_a_ramp_never_passes_its_end() -> None:
    """The last of what fits on a ramp down to 0 comes by its end, however near to it that is."""
    down = Ramp(1.0, 0.0, 10.0)  # 5 arrivals
    (nearly,) = down.offsets(
        [math.nextafter(5.0, 0.0), 5.0]
    )  # 10 s (1 - sqrt(1 - u / 5)), 1.8e-16 below the root
    assert 10 * S - 200 <= nearly <= 10 * S
    steep = Ramp(356.9, 0.0, 1125.57)  # what is under the root comes out below 0 here, where 0 is right
    assert list(
        steep.offsets([math.nextafter(float(Fraction(3569, 10) * Fraction(112557, 100) / 2), 0.0)])
    ) == [1_125_570_000_000]
    up = Ramp(0.0, 1.0, 10.0)
    assert list(up.offsets([0.0, 1.25, 5.0, 6.0])) == [0, 5 * S, 10 * S, 11 * S]  # t^2 / 20 arrivals until t


def test_steps_are_rectangles_side_by_side() -> None:
    """10 arrivals in 2 s, none for 1 s, 8 in 4 s."""
    steps = Steps(((5.0, 2.0), (0.0, 1.0), (2.0, 4.0)))
    assert steps.length_s == 7.0
    assert [steps.rate(at) for at in (-0.001, 0.0, 1.999, 2.0, 2.999, 3.0, 6.999, 7.0)] == [
        0,
        5,
        5,
        0,
        0,
        2,
        2,
        0,
    ]
    assert [steps.expected(at) for at in (-1.0, 0.0, 1.0, 2.0, 2.5, 3.0, 4.0, 7.0, 99.0)] == [
        *(0, 0, 5, 10, 10, 10, 12, 18, 18)
    ]
    assert list(steps.offsets([0, 5, 9.5, 10, 12, 17.5, 18, 19])) == [
        *(0, S, 1_900_000_000, 3 * S, 4 * S, 6_750_000_000)
    ]
    tenth = Steps(((0.1, 30.0), (0.7, 0.9)))  # 3 arrivals, as decimals say and their binary neighbours do not
    assert tenth.expected(30.0) == 3.0
    assert list(tenth.offsets([0, 1, 2, 3])) == [0, 10 * S, 20 * S, 30 * S]
    assert tenth.length_s == float(Fraction(309, 10))
    assert Steps(((0.7, 3.0),)).expected(3.0) == 2.1 != 0.7 * 3.0


def test_only_profiles_have_a_text() -> None:
    """Anything else is a mistake of ours."""
    assert describe(Ramp(1.0, 2.5, 90.0)) == ("ramp", "1,2.5,90s")
    with pytest.raises(TypeError, match="has no text"):
        describe(object())  # type: ignore[arg-type]


# Who sends what.


def test_slices_by_hand() -> None:
    """Of ten arrivals: every third from 1 until 5, every second from 5 until 8, then none."""
    slices = [Slice(0, 1, 3), Slice(5, 0, 2), Slice(8, -1, 2)]
    mine = [1, 4, 6]
    assert [number for number in range(12) if is_mine(number, slices)] == mine
    assert list(share(range(100, 112), slices)) == [(number, 100 + number) for number in mine]
    assert list(share(range(100, 112), [Slice(3, 1, 4)])) == [(5, 105), (9, 109)]
    assert list(share(range(100, 112), [Slice(3, 4, 4)])) == []  # no part of four has this remainder
    assert not is_mine(2, [Slice(3, 0, 1)])
    assert is_mine(3, [Slice(3, 0, 1)])


def test_a_slice_that_ends_before_it_gives_anything() -> None:
    """The next begins where it should all the same."""
    slices = [Slice(0, 5, 6), Slice(2, 0, 1), Slice(4, 0, 6), Slice(5, 0, 1)]
    assert [number for number, _ in share(range(8), slices)] == [2, 3, 5, 6, 7]


def test_a_rate_has_limits() -> None:
    """Above 0 once rounded to six digits, up to 100,000, both for a process alone and one that had a rate."""
    poisson = parse("poisson")
    assert poisson.scaled(0.0000005000001) == Arrivals(Process("poisson"), Flat(1e-06))
    assert parse("poisson:3").scaled(100_000) == Arrivals(Process("poisson"), Flat(100_000))
    assert poisson.scaled(1.00000049) == Arrivals(Process("poisson"), Flat(1.0))
    for rate in (0.0, -1.0, 4e-7, 100_000.001):
        with pytest.raises(
            ConfigError, match=f"--rates {rate}: give rates above 0 and up to 100000 requests/s"
        ):
            poisson.scaled(rate)
