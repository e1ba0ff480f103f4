"""Arrivals: that each process is the stated one, however many share it, and that a schedule is made by its seed."""

import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.arrivals import Arrivals, Flat, Process, Ramp, Slice, Steps, is_mine, parse, rates, share
from harness.errors import ConfigError

Floats = npt.NDArray[np.float64]
MANY = 50_000


# What is read, and what is not.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("constant:10", Arrivals(Process("constant"), Flat(10))),
        (" poisson : 0.25 ", Arrivals(Process("poisson"), Flat(0.25))),
        ("gamma:10,0.5", Arrivals(Process("gamma", 0.5), Flat(10))),
        ("constant:100000", Arrivals(Process(), Flat(100_000))),
        ("poisson", Arrivals(Process("poisson"))),
        ("gamma:4", Arrivals(Process("gamma", 4))),
        ("ramp:1,20,60s", Arrivals(Process(), Ramp(1, 20, 60))),
        ("ramp:0,20,2m,poisson", Arrivals(Process("poisson"), Ramp(0, 20, 120))),
        ("ramp:20,0,1h30m,gamma:0.5", Arrivals(Process("gamma", 0.5), Ramp(20, 0, 5400))),
        ("steps:5@30s,10@500ms", Arrivals(Process(), Steps(((5, 30), (10, 0.5))))),
        ("steps: 5 @ 30s , 0@10s, poisson", Arrivals(Process("poisson"), Steps(((5, 30), (0, 10))))),
        ("steps:5@30s,gamma:2", Arrivals(Process("gamma", 2), Steps(((5, 30),)))),
        ("trace:a b,c:d.csv", Arrivals(trace=Path("a b,c:d.csv"))),
    ],
)
def test_accepted_forms(text: str, expected: Arrivals) -> None:
    """Each documented form is read as documented."""
    assert parse(text) == expected
    assert expected.has_rate == (expected.profile is not None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "unknown arrivals ''; write constant:10, poisson:10"),
        ("uniform:4", "unknown arrivals 'uniform'; write constant:10"),
        ("Poisson:4", "unknown arrivals 'Poisson'"),
        ("10", "unknown arrivals '10'"),
        ("poisson:0", "has a rate of 0, at which nothing would be sent; write for example poisson:10"),
        ("poisson:0.000", "has a rate of 0"),
        (
            "poisson:-1",
            "has '-1' where a rate belongs, a plain decimal in requests/s; write for example poisson:10",
        ),
        ("poisson:nan", "has 'nan' where a rate belongs"),
        ("poisson:inf", "has 'inf' where a rate belongs"),
        ("poisson:1e3", "has '1e3' where a rate belongs"),
        ("poisson:1_000", "has '1_000' where a rate belongs"),
        ("poisson:", "has '' where a rate belongs"),
        ("poisson:10/s", "has '10/s' where a rate belongs"),
        ("poisson:0.0000001", "has '0.0000001' where a rate belongs"),
        ("poisson:\u0665", "where a rate belongs"),
        ("poisson:100000.1", "has a rate of 100000.1, more than 100000 requests/s"),
        ("poisson:1,2", "must have one number, the rate; write for example poisson:10"),
        ("gamma", "must have two numbers, the rate and the burstiness; write for example gamma:10,0.5"),
        ("gamma:1,2,3", "must have two numbers"),
        ("gamma:10,0", "has a burstiness of 0, outside 0.01 (very bursty) to 1000 (regular)"),
        ("gamma:10,x", "has 'x' where the burstiness belongs"),
        ("gamma:0,0.5", "has a rate of 0"),
        ("ramp:1,20", "must have two rates and how long it takes from one to the other"),
        ("ramp:1,20,60", ": '60' has no unit; write for example 60s or 60ms"),
        ("ramp:1,20,0s", ": '0s' is outside the limits; give above 0 and up to 720h"),
        ("ramp:1,20,721h", ": '721h' is outside the limits"),
        ("ramp:0,0,60s", "begins and ends at a rate of 0"),
        ("ramp:1,20,60s,uniform", "ends with 'uniform', which is no process"),
        ("ramp:1,20,60s,gamma", "ends with 'gamma', which is no process"),
        ("ramp:1,20,60s,poisson:3", "ends with 'poisson:3', which is no process"),
        ("ramp:1,20,60s,poisson,poisson", "must have two rates"),
        ("steps", "has no step; write for example steps:5@30s,10@30s"),
        ("steps:", "has '' where a rate and its time belong, with an @ between"),
        ("steps:poisson", "has no step"),
        ("steps:5@30s,", "has '' where a rate and its time belong"),
        ("steps:5@30s,7", "ends with '7', which is no process"),
        ("steps:5@30s,poisson,7@30s", "has 'poisson' where a rate and its time belong"),
        ("steps:0@30s,0@5s", "has a rate of 0 in every step"),
        ("steps:5@30", ": '30' has no unit; write for example 30s or 30ms"),
        ("steps:5@", ": '' is empty; write for example steps:5@30s,10@30s"),
        ("steps:5@700h,5@700h", "lasts more than 30 days"),
        ("trace:", "names no file; write for example trace:azure.csv"),
        ("trace", "names no file"),
    ],
)
def test_refused_forms(text: str, problem: str) -> None:
    """Bad input is one line that names the option, the value, the problem and a right value."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "--load")
    message = str(caught.value)
    assert message.startswith(f"--load {text!r}")
    assert problem in message
    assert "\n" not in message


def test_rates_are_a_list() -> None:
    """`--rates` is plain decimals, each once, in the order given."""
    assert rates("1, 2.5,4") == (1, 2.5, 4)
    for text, problem in [
        ("", "has '' where a rate belongs, a plain decimal in requests/s; write for example 1,2,4"),
        ("1,0", "has a rate of 0"),
        ("1,2,1.0", "has 1.0 twice; to repeat levels use --repeats"),
    ]:
        with pytest.raises(ConfigError) as caught:
            rates(text)
        assert str(caught.value).startswith(f"--rates {text!r} {problem}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("poisson", "'poisson' has no rate; write e.g. poisson:10 for 10 requests/s, or add --rates 1,2,4"),
        ("gamma:4", "'gamma:4' has no rate; write e.g. gamma:10,4 for 10 requests/s, or add --rates 1,2,4"),
        ("trace:x.csv", "'trace:x.csv': the file has to be read before it says when"),
    ],
)
def test_what_has_no_rate_says_what_to_add(text: str, problem: str) -> None:
    """A process alone, or a file not yet read, is refused wherever it is used."""
    alone = parse(text)
    uses: list[Callable[[], object]] = [
        lambda: alone.offsets(1),
        lambda: alone.length_s,
        lambda: alone.rate(0),
        lambda: alone.expected(1),
    ]
    for use in uses:
        with pytest.raises(ConfigError) as caught:
            use()
        assert str(caught.value) == f"--arrivals {problem}"


def test_a_process_gets_its_rate() -> None:
    """For `--rates` the rate is set or replaced and the process stays; what has rates of its own is refused."""
    assert parse("gamma:0.5").scaled(20) == parse("gamma:20,0.5")
    assert parse("poisson:3").scaled(1 / 3) == parse("poisson:0.333333")
    for text in ("ramp:1,2,3s", "steps:5@30s", "trace:x"):
        with pytest.raises(ConfigError, match=r"says its rates itself and --rates would replace them"):
            parse(text).scaled(2)
    for rate in (0, -1, 1e-9, 100_001, math.nan):
        with pytest.raises(ConfigError, match=r"^--rates .*: give rates above 0 and up to 100000"):
            parse("poisson").scaled(rate)


rate_values = st.integers(1, 100_000_000_000).map(lambda millionths: millionths / 1_000_000)
paused_rates = st.one_of(st.just(0.0), rate_values)
lengths = st.integers(1, 86_400_000_000).map(lambda micros: micros / 1_000_000)
processes = st.one_of(
    st.sampled_from([Process("constant"), Process("poisson")]),
    st.integers(10, 1_000_000).map(lambda thousandths: Process("gamma", thousandths / 1000)),
)
profiles = st.one_of(
    rate_values.map(Flat),
    st.builds(Ramp, paused_rates, rate_values, lengths),
    st.builds(Ramp, rate_values, paused_rates, lengths),
    st.builds(Steps, st.lists(st.tuples(paused_rates, lengths), min_size=1, max_size=5).map(tuple).filter(lambda steps: any(rate for rate, _ in steps))),
)  # fmt: skip
arrivals = st.builds(Arrivals, processes, profiles)


@given(st.one_of(arrivals, processes.map(Arrivals)))
def test_describe_round_trips(one: Arrivals) -> None:
    """`parse` of `describe` gives the same arrivals back, to the last digit."""
    assert parse(one.describe()) == one


# Schedules.


def take(text: str, many: int, seed: int = 1) -> list[int]:
    """The first offsets of a schedule."""
    return list(islice(parse(text).offsets(seed), many))


def test_constant_begins_at_once() -> None:
    """The first request is due at 0, each of the others rounded for itself: thirds of a second do not drift."""
    assert take("constant:3", 4) == [0, 333_333_333, 666_666_667, 1_000_000_000]
    assert next(islice(parse("constant:3").offsets(1), 3_000_000, None)) == 1_000_000 * 10**9


def test_steps_are_what_they_say() -> None:
    """5/s for 2 s and 10/s for 1 s are 10 and 10, the last before the end; 0.1/s over 30 s are 3 and not 4."""
    assert take("steps:5@2s,10@1s", 99) == [n * 200_000_000 for n in range(10)] + [
        2_000_000_000 + n * 100_000_000 for n in range(10)
    ]
    assert take("steps:0.1@30s", 99) == [0, 10 * 10**9, 20 * 10**9]
    assert take("steps:0.7@10s,0.1@30s", 99)[-1] == 30 * 10**9


def test_a_pause_holds_what_falls_on_it() -> None:
    """An arrival on the very beginning of a pause comes at its end, also the first of all."""
    assert take("steps:2@1s,0@10s,2@1s", 99) == [0, 500_000_000, 11 * 10**9, 11_500_000_000]
    assert take("steps:0@10s,2@1s,0@5s", 99) == [10 * 10**9, 10_500_000_000]


def test_a_ramp_is_a_parabola_and_then_a_line() -> None:
    """From 0 to 2/s in 2 s two arrivals are expected, the first two at 0 and sqrt(2) s; then two a second."""
    assert take("ramp:0,2,2s", 4) == [0, 1_414_213_562, 2_000_000_000, 2_500_000_000]
    down = take("ramp:2,0,2s", 99)
    assert down == [0, round((2 - math.sqrt(2)) * 10**9)]
    assert take("ramp:4,4,1s", 6) == take("constant:4", 6)


@pytest.mark.parametrize(
    ("text", "length_s", "points"),
    [
        ("poisson:10", None, [(-1, 0, 0), (0, 10, 0), (7, 10, 70)]),
        ("ramp:1,3,10s", None, [(-1, 0, 0), (0, 1, 0), (5, 2, 7.5), (10, 3, 20), (11, 3, 23)]),
        ("ramp:2,0,10s", 10, [(5, 1, 7.5), (10, 0, 10), (99, 0, 10)]),
        ("steps:5@30s,0@10s,10@30s", 70, [(-1, 0, 0), (0, 5, 0), (29, 5, 145), (30, 0, 150), (40, 10, 150), (69, 10, 440), (70, 0, 450)]),
    ],
)  # fmt: skip
def test_rates_and_what_they_add_up_to(
    text: str, length_s: float | None, points: list[tuple[float, ...]]
) -> None:
    """The rate at a moment, the arrivals expected until then, and the end."""
    one = parse(text)
    assert one.length_s == length_s
    assert [(at_s, one.rate(at_s), one.expected(at_s)) for at_s, _, _ in points] == points


@given(arrivals, st.integers())
def test_offsets_ascend_and_are_made_by_the_seed(one: Arrivals, seed: int) -> None:
    """Whole nanoseconds that never go back, none after the end, the same for the same seed."""
    offsets = list(islice(one.offsets(seed), 200))
    assert offsets == list(islice(one.offsets(seed), 200))
    assert all(type(offset) is int and offset >= 0 for offset in offsets)
    assert offsets == sorted(offsets)
    if one.length_s is not None and offsets:
        assert offsets[-1] <= round(one.length_s * 1e9)


@given(arrivals)
@example(Arrivals(Process(), Steps(((0.1, 30.0), (0.7, 0.9)))))
def test_the_change_of_time_is_the_inverse_of_what_is_expected(one: Arrivals) -> None:
    """Constant arrivals come where the k-th is expected, to a nanosecond of the rate there."""
    evenly = Arrivals(Process(), one.profile)
    for k, offset in enumerate(islice(evenly.offsets(0), 50)):
        at_s = offset / 1e9
        steepest = max(evenly.rate(at_s), evenly.rate(at_s - 1e-6), evenly.rate(at_s + 1e-6))
        assert evenly.expected(at_s) == pytest.approx(
            k, rel=1e-9, abs=2e-9 * steepest + at_s * 1e-12 * steepest + 1e-9
        )


def test_seeds_tell_schedules_apart() -> None:
    """Another seed is another schedule, also its negative; a level's rate changes the unit and not the gaps."""
    first = take("poisson:10", 100, seed=5)
    assert first != take("poisson:10", 100, seed=6)
    assert first != take("poisson:10", 100, seed=-5)
    assert take("poisson:20", 100, seed=5) == pytest.approx([offset / 2 for offset in first], abs=1)


def test_schedules_are_those_of_every_python() -> None:
    """Their first offsets, written down: a Python or a change of ours that draws others breaks repeats of old runs."""
    assert take("poisson:10", 3, seed=42) == [13_437_382, 46_435_933, 71_994_132]
    assert take("gamma:10,0.5", 3, seed=42) == [75_695_005, 155_923_639, 241_953_420]


# That the processes are the stated ones.


def gamma_cdf(x: Floats, shape: float) -> Floats:
    """Regularised lower incomplete gamma function, by its series (DLMF 8.11.4); exact enough for x below 60."""
    term = np.full_like(x, 1 / shape)
    total = term.copy()
    for n in range(1, 400):
        term = term * x / (shape + n)
        total += term
    with np.errstate(divide="ignore"):
        return np.exp(shape * np.log(x) - x - math.lgamma(shape)) * total


def p_value(sample: Floats, cdf: Callable[[Floats], Floats]) -> float:
    """Of a Kolmogorov-Smirnov test, asymptotic (Kolmogorov 1933), with Stephens' correction for the sample's size."""
    ordered = np.sort(sample)
    n = len(ordered)
    expected = cdf(ordered)
    apart = max(float((np.arange(1, n + 1) / n - expected).max()), float((expected - np.arange(n) / n).max()))
    x = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * apart
    if x < 0.2:  # where the series needs ever more terms to say 1
        return 1.0
    return max(0.0, min(1.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * x) ** 2) for k in range(1, 101))))


def shared(text: str, workers: int) -> list[int]:
    """The offsets of the first 50,000 arrivals, put together from what each worker sends."""
    one = parse(text)
    pairs = sorted(
        pair
        for worker in range(workers)
        for pair in share(islice(one.offsets(2024), MANY), [Slice(0, worker, workers)])
    )
    assert [number for number, _ in pairs] == list(range(len(pairs)))
    return [offset for _, offset in pairs]


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("poisson:200", 1),
        ("gamma:0.01,0.25", 0.25),
        ("gamma:200,4", 4),
        ("ramp:10,400,100s,poisson", 1),
        ("ramp:400,0,300s,poisson", 1),
        ("steps:100@100s,0@10s,400@100s,50@40s,gamma:0.5", 0.5),
    ],
)
def test_random_arrivals_are_the_stated_process(text: str, shape: float, workers: int) -> None:
    """Mean, coefficient of variation and a Kolmogorov-Smirnov test of the gaps; a profile's change of time is undone."""
    one = parse(text)
    offsets = shared(text, workers)
    expected = MANY if one.length_s is None else one.expected(one.length_s)
    assert len(offsets) == pytest.approx(min(expected, MANY), rel=4 * math.sqrt(1 / shape / expected))
    gaps = np.diff([one.expected(offset / 1e9) for offset in offsets], prepend=0.0)
    spread = math.sqrt(1 / shape)
    error = 4 * spread / math.sqrt(len(gaps))
    assert gaps.mean() == pytest.approx(1, abs=error)
    assert gaps.std() / gaps.mean() == pytest.approx(spread, rel=0.03)
    assert p_value(gaps, lambda x: gamma_cdf(x * shape, shape)) > 0.01


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_constant_arrivals_have_one_gap(workers: int) -> None:
    """Mean and every single gap are 1/rate, to the nanosecond."""
    offsets = shared("constant:700", workers)
    assert offsets[-1] == round((MANY - 1) * 10**9 / 700)
    assert set(np.diff(offsets).tolist()) == {1_428_571, 1_428_572}


def test_the_test_would_notice() -> None:
    """The Kolmogorov-Smirnov test refuses gamma gaps of shape 0.9 as exponential, and says 1 of a perfect sample."""
    gaps = np.diff(take("gamma:1,0.9", MANY), prepend=0) / 1e9
    assert p_value(gaps, lambda x: gamma_cdf(x, 1)) < 1e-6
    assert p_value(-np.log1p(-(np.arange(MANY) + 0.5) / MANY), lambda x: gamma_cdf(x, 1)) == pytest.approx(1)


# Shares.


def test_a_share_is_every_nth() -> None:
    """Of three parts the second has 1, 4, 7; from arrival 5 on, when one was lost, the odd ones."""
    assert list(share(range(100, 109), [Slice(0, 1, 3)])) == [(1, 101), (4, 104), (7, 107)]
    assert list(share(range(100, 110), [Slice(0, 1, 3), Slice(5, 1, 2)])) == [
        (1, 101), (4, 104), (5, 105), (7, 107), (9, 109),
    ]  # fmt: skip
    assert list(share(range(100, 110), [Slice(8, 0, 1)])) == [(8, 108), (9, 109)]
    assert list(share(range(100, 110), [])) == []


@given(st.integers(0, 60), st.lists(st.tuples(st.integers(0, 70), st.integers(1, 7)), min_size=1, max_size=5))
def test_slices_part_a_schedule_exactly(many: int, cuts: list[tuple[int, int]]) -> None:
    """However often it is cut anew, each arrival is sent by one part and by no other."""
    cuts = sorted([(0, 3), *cuts], key=lambda cut: cut[0])
    sent: list[tuple[int, int]] = []
    for nth in range(-1, 7):  # who is beyond the number of parts is out, and in again with a later cut
        slices = [Slice(first, nth, of) for first, of in cuts]
        mine = list(share(range(1000, 1000 + many), slices))
        assert mine == [(number, 1000 + number) for number in range(many) if is_mine(number, slices)]
        sent += mine
    assert sorted(sent) == [(number, 1000 + number) for number in range(many)]
