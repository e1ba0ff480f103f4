"""Where steady state begins and ends: injected ramps, noise alone, trends, and other shapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.course import Course
from harness.journal import Window
from harness.steady import Steady, find, mser, narrowed

S = 1_000_000_000


def seconds(tokens, in_flight=None, ttft=None, start_ns=0):
    """A course of one-second bins; what is not given is constant."""
    still = np.full(len(tokens), 8.0)
    return Course(
        start_ns,
        S,
        np.asarray(tokens, float),
        still if in_flight is None else in_flight,
        still if ttft is None else ttft,
    )


def ramp(count, end, low=0.0, high=100.0):
    """From low to high in the first `end` bins, then high."""
    return low + (high - low) * np.minimum(np.arange(count) / end, 1.0)


def noise(random, count, size, alike=0.0):
    """Noise of that standard deviation, and of that correlation between neighbours."""
    fresh = random.normal(0, size * np.sqrt(1 - alike**2), count)
    values = np.empty(count)
    values[0] = random.normal(0, size)
    for place in range(1, count):
        values[place] = alike * values[place - 1] + fresh[place]
    return values


@pytest.mark.parametrize(
    ("count", "end", "percent", "alike"),
    [
        (100, 20, 5, 0.0),
        (100, 35, 5, 0.0),
        (200, 30, 5, 0.5),
        (240, 100, 2, 0.0),
        (100, 20, 2, 0.5),
        (200, 30, 7, 0.0),
    ],
)
def test_the_end_of_a_ramp_is_found(count, end, percent, alike):
    """Within two bins in 95 of 100 noisy trials; nothing is cut off at the other end in 95."""
    random, near, whole = np.random.default_rng(count + end), 0, 0
    for _ in range(100):
        found = find(seconds(ramp(count, end) + noise(random, count, percent, alike)))
        near += abs(found.start_ns / S - end) <= 2
        whole += found.end_ns == count * S
    assert near >= 95
    assert whole >= 95


def test_the_slowest_series_counts():
    """Tokens settle after 10 s, requests in flight after 15, TTFT after 25: steady from 25 on, within two, 95 times."""
    random, near = np.random.default_rng(3), 0
    for _ in range(100):
        parts = (
            ramp(120, end, low) + noise(random, 120, 3) for end, low in ((10, 0.0), (15, 0.0), (25, 40.0))
        )
        found = find(seconds(*parts))
        near += found.is_steady is True and abs(found.start_ns / S - 25) <= 2
    assert near >= 95


@pytest.mark.parametrize(("alike", "steady"), [(0.0, 97), (0.5, 94), (0.8, 88)])
def test_noise_is_no_start_up(alike, steady):
    """Three stationary series: less than 10 % is dropped on average, and nearly all are steady."""
    random, dropped, judged = np.random.default_rng(7), [], 0
    for _ in range(100):
        found = find(seconds(*(100 + noise(random, 120, size, alike) for size in (10, 3, 30))))
        dropped.append(1 - (found.end_ns - found.start_ns) / (120 * S))
        judged += found.is_steady is True
    assert np.mean(dropped) < 0.1
    assert judged >= steady


@settings(deadline=None)
@given(value=st.floats(0, 1e9), count=st.integers(20, 300), start=st.integers(0, 2 * 10**18))
def test_a_constant_series_keeps_everything(value, count, start):
    """Nothing is dropped, whatever its value; rounding is no start-up."""
    rounded = value * (1 + np.linspace(-1, 1, count) * 1e-13)
    assert find(seconds(rounded, start_ns=start)) == Steady(True, start, start + count * S, ())


def test_both_ends_are_cut_off():
    """A ramp up of 20 bins and one down of 15: the 65 between, with a reason for each."""
    random = np.random.default_rng(5)
    values = np.minimum(ramp(100, 20), ramp(100, 15)[::-1]) + noise(random, 100, 2)
    found = find(seconds(values))
    assert found.is_steady
    assert abs(found.start_ns / S - 20) <= 2
    assert abs(found.end_ns / S - 85) <= 2
    first, last = found.start_ns // S, found.end_ns // S
    assert found.reasons == (
        f"steady after {first} s: tokens/s had to settle",
        f"steady until {last} s: tokens/s changed",
    )


@pytest.mark.parametrize(
    ("shape", "earliest", "latest"),
    [
        (np.where(np.arange(100) < 20, 50.0, 100.0), 20, 22),  # a step
        (100 * (1 - np.exp(-np.arange(100) / 5)), 9, 25),  # a slow approach: e^-9/5 is 17 % off
        (100 + 80 * np.exp(-np.arange(100) / 4), 6, 20),  # too much at first
        (np.clip((np.arange(100) - 15) / 15, 0, 1) * 100, 28, 33),  # nothing, then a ramp
    ],
)
def test_a_start_up_of_another_shape(shape, earliest, latest):
    """Steps, decays and delayed ramps are cut off too, and nothing at the end."""
    random = np.random.default_rng(9)
    for _ in range(20):
        found = find(seconds(shape + noise(random, 100, 2)))
        assert found.is_steady
        assert earliest <= found.start_ns / S <= latest
        assert found.end_ns >= 90 * S


@pytest.mark.parametrize(
    "start_up", [ramp(140, 45) - 100, np.where(np.arange(140) < 45, -50.0, 0.0), np.zeros(140)]
)
def test_a_hiccup_is_no_start_up(start_up):
    """One value that is 15 standard deviations off, anywhere in the steady part, moves neither end by more than two, 95 times."""
    random, start, end = np.random.default_rng(5), 0, 0
    for _ in range(100):
        values = 100 + start_up + noise(random, 140, 1, 0.3)
        values[random.integers(48, 139)] += random.choice([-15, 15])
        found = find(seconds(np.full(140, 100.0), ttft=values))
        start += abs(found.start_ns / S - (45 if start_up.any() else 0)) <= 2
        end += found.end_ns >= 138 * S
    assert start >= 95
    assert end >= 95


@pytest.mark.parametrize("share", [0.2, 0.4])
def test_what_fills_a_gap_beside_a_hiccup_is_none(share):
    """A TTFT is known in some bins only. One value that is far off, with gaps on both sides, moves neither end, 95 times of 100.

    Not near the middle, beyond which nobody looks for an end: there one such value is enough not to know.
    """
    random, start, end = np.random.default_rng(7), 0, 0
    for _ in range(100):
        values = 100 + np.where(np.arange(140) < 45, -50.0, 0.0) + noise(random, 140, 1)
        values[random.random(140) < share] = np.nan
        place = random.choice([*range(52, 65), *range(75, 112)])
        values[place - 1 : place + 2] = np.nan, 100 + random.choice([-15, 15]), np.nan
        values[[0, 43, 44, 45]] = 50, 50, 50, 100
        found = find(seconds(np.full(140, 100.0), ttft=values))
        start += abs(found.start_ns / S - 45) <= 2
        end += found.end_ns >= 138 * S
    assert start >= 95
    assert end >= 95


def test_a_trend_that_remains_is_not_steady():
    """Rising by a third all through the window: said with its numbers. A rise of 2 % is of no concern."""
    found = find(seconds(np.full(100, 50.0), 30 + 10 * np.arange(100) / 99))
    assert (found.is_steady, found.start_ns, found.end_ns) == (False, 0, 100 * S)
    assert found.reasons == ("not steady: requests in flight still rising, from 29.95 to 40.05 in 100 s",)
    assert find(seconds(np.linspace(100, 102, 100))).is_steady is True


def test_a_start_up_of_more_than_half_is_not_steady():
    """A ramp that ends at 60 of 100 bins, in every one of 20 noisy trials."""
    random = np.random.default_rng(11)
    for _ in range(20):
        found = find(seconds(ramp(100, 60) + noise(random, 100, 3)))
        assert found.is_steady is False
        assert found.reasons == ("not steady: tokens/s kept changing for more than half of 100 s",)


def test_too_short_to_tell():
    """Fewer than 20 bins: neither steady nor not, also without any."""
    assert find(seconds(np.arange(19.0))) == Steady(
        None, 0, 19 * S, ("19 s are too short to tell whether it was steady",)
    )
    assert find(seconds(np.empty(0))).is_steady is None


def test_a_window_is_narrowed_to_what_is_steady():
    """Cut at the bins; what is left after the last whole bin stays; without steady state the window stays as it is."""
    window = Window(8, 2, 5 * S, 105 * S + 400_000_000)
    course = seconds(ramp(100, 20), start_ns=5 * S)
    found = find(course)
    assert found.start_ns == 25 * S
    assert narrowed(window, course, found) == Window(8, 2, 25 * S, 105 * S + 400_000_000)
    tail = seconds(ramp(100, 20)[::-1], start_ns=5 * S)
    assert narrowed(window, tail, find(tail)) == Window(8, 2, 5 * S, 85 * S)
    rising = seconds(np.arange(100.0), start_ns=5 * S)
    assert narrowed(window, rising, find(rising)) == window
    short = seconds(np.ones(5), start_ns=5 * S)
    assert narrowed(window, short, find(short)) == window


@given(st.lists(st.floats(-1e3, 1e3), max_size=40))
def test_mser_is_what_a_loop_says(values):
    """The stretch of at least half with the least statistic, and no less of it than any other as good."""

    def statistic(start, end):
        part = np.array(values[start:end])
        return float(((part - part.mean()) ** 2).sum()) / len(part) ** 2

    count = len(values)
    start, end = mser(np.array(values))
    if count < 2:
        assert (start, end) == (0, count)
        return
    assert 0 <= start <= count / 2 <= end <= count
    assert 2 * (end - start) >= count
    least = min(
        statistic(a, b) for a in range(count) for b in range(a + 1, count + 1) if 2 * (b - a) >= count
    )
    assert statistic(start, end) <= least + 1e-9 * max(1.0, statistic(0, count)) + 1e-6
