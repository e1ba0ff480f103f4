"""Think times: what is accepted, what is refused and how, and that pauses follow what was asked."""

import math
import random
from statistics import NormalDist, fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.think import FORMS, MOST_S, Constant, Exponential, Lognormal, Normal, Think, Uniform, parse

times = st.integers(0, MOST_S * 1_000_000).map(lambda microseconds: microseconds / 1e6)
positive = times.filter(lambda length: length > 0)
thinks = st.one_of(
    times.map(Constant),
    st.tuples(times, times).map(lambda ends: Uniform(min(ends), max(ends))),
    st.builds(Normal, positive, times),
    st.builds(Lognormal, positive, times),
    st.builds(Exponential, positive),
)
DRAWS = 50_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2s", Constant(2.0)),
        (" 500ms ", Constant(0.5)),
        ("0s", Constant(0.0)),
        ("1h", Constant(3600.0)),
        ("uniform:1s,3s", Uniform(1.0, 3.0)),
        ("Uniform: 0s , 1m30s", Uniform(0.0, 90.0)),
        ("normal:2s,1s", Normal(2.0, 1.0)),
        ("normal:2s,0s", Normal(2.0, 0.0)),
        ("lognormal:2s,500ms", Lognormal(2.0, 0.5)),
        ("exponential:2s", Exponential(2.0)),
    ],
)
def test_accepted_forms(text: str, expected: Think) -> None:
    """Each documented form is read as documented."""
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "--think-time '' is empty; write for example 2s"),
        ("2", "--think-time '2' has no unit; write for example 2s or 2ms"),
        ("-2s", "--think-time '-2s' is no length of time; write for example 2s, with h, m, s, ms or us"),
        ("61m", "--think-time '61m' is outside the limits; give from 0s up to 1h"),
        ("uniform:1s,3", "--think-time 'uniform:1s,3': '3' has no unit; write for example 3s or 3ms"),
        (
            "uniform:3s,1s",
            "--think-time 'uniform:3s,1s' has its ends the wrong way round; write for example uniform:1s,3s",
        ),
        (
            "uniform:1s",
            "--think-time 'uniform:1s' must have two times with one comma between them; write for example uniform:1s,3s",
        ),
        (
            "normal:2s,1s,1s",
            "--think-time 'normal:2s,1s,1s' must have two times with one comma between them; write for example normal:2s,1s",
        ),
        (
            "lognormal:0s,1s",
            "--think-time 'lognormal:0s,1s' has a mean of nothing (0s alone is no pause); write for example lognormal:2s,1s",
        ),
        (
            "exponential:2s,1s",
            "--think-time 'exponential:2s,1s' must have one time; write for example exponential:2s",
        ),
        ("exponential:", "--think-time 'exponential:' must have one time; write for example exponential:2s"),
        ("gamma:2s,1s", f"--think-time 'gamma:2s,1s': unknown distribution 'gamma'; known are {FORMS}"),
        ("long", f"--think-time 'long': unknown distribution 'long'; known are {FORMS}"),
        (":2s", f"--think-time ':2s': unknown distribution ''; known are {FORMS}"),
    ],
)
def test_what_is_refused(text: str, problem: str) -> None:
    """One line with the option, the value, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("think", "mean", "spread"),
    [
        (Constant(2.0), 2.0, 0.0),
        (Uniform(1.0, 3.0), 2.0, 2 / math.sqrt(12)),
        (Normal(20.0, 2.0), 20.0, 2.0),
        (Lognormal(2.0, 1.0), 2.0, 1.0),
        (Exponential(2.0), 2.0, 2.0),
    ],
)
def test_samples_follow_what_was_asked(think: Think, mean: float, spread: float) -> None:
    """Mean and deviation where clipping does nothing, of 50,000 pauses."""
    rng = random.Random(7)
    drawn = [think.sample(rng) for _ in range(DRAWS)]
    assert think.mean == pytest.approx(mean, rel=1e-9)
    assert fmean(drawn) == pytest.approx(mean, abs=5 * spread / math.sqrt(DRAWS) + 1e-12)
    assert pstdev(drawn) == pytest.approx(spread, rel=0.05, abs=1e-12)


@pytest.mark.parametrize(
    ("think", "mean"),
    [
        # E max(0, X) for m = s = 1 is cdf(1) + pdf(1).
        (Normal(1.0, 1.0), 0.8413447460685429 + 0.24197072451914337),
        (Exponential(3600.0), 3600 * (1 - math.exp(-1))),
        (Normal(3600.0, 600.0), 3600 - 600 / math.sqrt(math.tau)),
    ],
)
def test_the_mean_knows_the_ends(think: Think, mean: float) -> None:
    """What is clipped at 0 or at an hour is in the mean, and samples agree."""
    rng = random.Random(3)
    drawn = [think.sample(rng) for _ in range(DRAWS)]
    assert think.mean == pytest.approx(mean, rel=1e-9)
    assert fmean(drawn) == pytest.approx(mean, abs=5 * pstdev(drawn) / math.sqrt(DRAWS))
    assert 0 <= min(drawn) <= max(drawn) <= MOST_S


def test_a_wide_lognormal_is_clipped_at_the_top() -> None:
    """Its mean after clipping is that of its quantiles brought to the end, well below the one that was named."""
    think = Lognormal(1800.0, 5000.0)
    sigma = math.sqrt(math.log(1 + (5000 / 1800) ** 2))
    bell = NormalDist(math.log(1800) - sigma**2 / 2, sigma)
    parts = 20_000
    expected = fmean(min(math.exp(bell.inv_cdf((at + 0.5) / parts)), MOST_S) for at in range(parts))
    rng = random.Random(5)
    drawn = [think.sample(rng) for _ in range(DRAWS)]
    assert expected < 1200
    assert think.mean == pytest.approx(expected, rel=1e-3)
    assert fmean(drawn) == pytest.approx(think.mean, abs=5 * pstdev(drawn) / math.sqrt(DRAWS))
    assert max(drawn) == MOST_S


def test_a_seed_gives_the_same_pauses_everywhere() -> None:
    """The very values, made from `random()` alone, which Python promises not to change."""
    rng = random.Random(1)
    drawn = [parse(text).sample(rng) for text in ("uniform:1s,3s", "exponential:2s", "normal:9s,1s")]
    source = random.Random(1)
    first, second, third, fourth = (source.random() for _ in range(4))
    bell = math.sqrt(-2 * math.log(1 - third)) * math.cos(2 * math.pi * fourth)
    assert drawn == pytest.approx([1 + 2 * first, -2 * math.log(1 - second), 9 + bell], rel=1e-12)
    assert (first, second) == (0.13436424411240122, 0.8474337369372327)


@given(thinks, st.integers(0, 2**32))
def test_every_pause_is_within_bounds(think: Think, seed: int) -> None:
    """From 0 to an hour, whatever was asked, and so is the mean."""
    rng = random.Random(seed)
    assert all(0 <= think.sample(rng) <= MOST_S for _ in range(20))
    assert 0 <= think.mean <= MOST_S * (1 + 1e-9)


@given(thinks)
def test_round_trip(think: Think) -> None:
    """`parse` reads what `describe` writes."""
    assert parse(think.describe()) == think
