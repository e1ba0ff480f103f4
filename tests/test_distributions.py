"""Distributions: what is accepted, what is refused and how, and that samples follow what was asked."""

import math
import random
from statistics import fmean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.distributions import (
    HIGH,
    LOW,
    Constant,
    Distribution,
    Gamma,
    Lognormal,
    Normal,
    Uniform,
    parse,
    portable,
)
from harness.errors import ConfigError

whole = st.integers(LOW, HIGH)
decimal = st.integers(0, HIGH * 1000).map(lambda thousandths: thousandths / 1000)
positive = decimal.filter(lambda number: number >= 1)
distributions = st.one_of(
    whole.map(Constant),
    st.tuples(whole, whole).map(lambda ends: Uniform(min(ends), max(ends))),
    st.builds(Normal, positive, decimal),
    st.builds(Lognormal, positive, decimal),
    st.builds(Gamma, positive, decimal),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("550", Constant(550)),
        (" 550 ", Constant(550)),
        ("1", Constant(1)),
        ("1000000", Constant(1_000_000)),
        ("normal:550,150", Normal(550, 150)),
        ("normal: 550.5 , 0", Normal(550.5, 0)),
        ("lognormal:550,150", Lognormal(550, 150)),
        ("gamma:550,300", Gamma(550, 300)),
        ("gamma: 1 , 0.5", Gamma(1, 0.5)),
        ("uniform:7,7", Uniform(7, 7)),
    ],
)
def test_accepted_forms(text, expected):
    """Each documented form is read as documented."""
    assert parse(text, "--prompt-tokens") == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("0", "outside 1 to 1000000"),
        ("-5", "plain whole number"),
        ("+5", "plain whole number"),
        ("5.5", "plain whole number"),
        ("1_000", "plain whole number"),
        ("1,000", "plain whole number"),
        ("1e3", "plain whole number"),
        ("1e99", "plain whole number"),
        ("1000001", "outside 1 to 1000000"),
        ("9" * 5000, "plain whole number"),
        ("nan", "unknown distribution 'nan'"),
        ("inf", "unknown distribution 'inf'"),
        ("many", "unknown distribution 'many'"),
        ("sizes.txt", "unknown distribution 'sizes.txt'"),
        ("files:sizes.txt", "unknown distribution 'files'"),
        ("Normal:5,5", "unknown distribution 'Normal'"),
        (":5,5", "unknown distribution ''"),
        ("normal", "two numbers"),
        ("normal:", "two numbers"),
        ("normal:550", "two numbers"),
        ("normal:550,", "two numbers"),
        ("normal:550,150,", "two numbers"),
        ("normal:1,2,3", "two numbers"),
        ("normal:nan,1", "'nan' where"),
        ("normal:1,inf", "'inf' where"),
        ("normal:-1,1", "'-1' where"),
        ("normal:550,-1", "'-1' where"),
        ("normal:0,1", "mean below 1"),
        ("lognormal:0,1", "mean below 1"),
        ("lognormal:1e99,1", "'1e99' where"),
        ("lognormal:1,2000000", "more than 1000000"),
        ("normal:five,one", "'five' where"),
        ("gamma:550", "two numbers"),
        ("gamma:0.5,1", "mean below 1"),
        ("gamma:550,-1", "'-1' where"),
        ("normal:\u0665,1", "where a plain"),
        ("uniform:9,3", "wrong way round"),
        ("uniform:0,3", "outside 1 to"),
        ("uniform:1.5,3", "plain whole number"),
    ],
)
def test_refused_forms(text, problem):
    """Bad input is one line that names the option, the value, the problem and a right value."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "--output-tokens")
    message = str(caught.value)
    assert message.startswith(f"--output-tokens {text!r}")
    assert problem in message
    assert "550" in message or "uniform:" in message
    assert "\n" not in message


def test_wrong_way_round_shows_the_fix():
    """Ends the wrong way round are shown the right way round."""
    with pytest.raises(ConfigError, match=r"write for example uniform:3,9$"):
        parse("uniform:9,3", "--prompt-tokens")


@given(distributions)
def test_describe_round_trips(distribution: Distribution):
    """`parse` of `describe` gives the same distribution back."""
    assert parse(distribution.describe(), "x") == distribution


@given(distributions, st.integers())
def test_samples_are_bounded_and_seeded(distribution: Distribution, seed: int):
    """Samples are whole numbers within bounds, and the same seed draws the same ones."""
    first, again = random.Random(seed), random.Random(seed)
    drawn = [distribution.sample(first) for _ in range(20)]
    assert drawn == [distribution.sample(again) for _ in range(20)]
    assert all(type(tokens) is int and LOW <= tokens <= HIGH for tokens in drawn)


@given(distributions)
@settings(max_examples=25, deadline=None)
def test_mean_is_the_sampled_mean(distribution: Distribution):
    """`mean` agrees with 4,000 samples within five standard errors (heavy tails excepted) and rounding."""
    if isinstance(distribution, Lognormal | Gamma) and distribution.spread > distribution.centre:
        return  # its sampled mean converges too slowly to judge
    rng = random.Random(1)
    drawn = [distribution.sample(rng) for _ in range(4000)]
    error = pstdev(drawn) / math.sqrt(len(drawn))
    assert fmean(drawn) == pytest.approx(distribution.mean, abs=5 * error + 0.5)


@pytest.mark.parametrize("kind", [Normal, Lognormal, Gamma])
def test_deviation_is_in_tokens(kind):
    """550,150 means mean 550 and deviation 150 of the token count, for the skewed ones too."""
    rng = random.Random(3)
    drawn = [kind(550, 150).sample(rng) for _ in range(20_000)]
    assert fmean(drawn) == pytest.approx(550, abs=5)
    assert pstdev(drawn) == pytest.approx(150, abs=5)


def test_lognormal_is_skewed():
    """The lognormal's median lies below its mean: m / sqrt(1 + s^2/m^2)."""
    rng = random.Random(4)
    drawn = sorted(Lognormal(500, 500).sample(rng) for _ in range(20_000))
    assert drawn[10_000] == pytest.approx(500 / math.sqrt(2), rel=0.03)


@pytest.mark.parametrize(
    ("mean", "spread", "expected"),
    [
        (550, 300, 550.0000000008),  # shape 3.36; hardly a count below 1
        (550, 550, 1 + 550 * math.exp(-1 / 550)),  # an exponential's, in closed form
        (500_000, 500_000, 1 + 500_000 * (math.exp(-2e-6) - math.exp(-2))),  # clipped at 1,000,000 too
        (100, 300, 100.446307),  # shape 1/9: more than half lies below 1
        (550, 0.01, 550),  # so narrow that it is a normal
        (550, 0, 550),
    ],
)
def test_mean_of_a_clipped_gamma(mean, spread, expected):
    """The mean after clipping to 1 and 1,000,000, in closed form or by Simpson's rule over the density."""
    assert Gamma(mean, spread).mean == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("mean", "spread"), [(1, 1e6), (1, 0.001), (1e6, 1e6), (1e6, 1001), (1e6, 999)])
def test_a_gamma_of_any_shape_ends(mean, spread):
    """The extremes of shape give a mean within the bounds, at once, that samples agree with."""
    gamma, rng = Gamma(mean, spread), random.Random(8)
    drawn = [gamma.sample(rng) for _ in range(4000)]
    assert LOW <= gamma.mean <= HIGH
    # A hundredth for rounding near 1, which is left out of `mean`.
    assert fmean(drawn) == pytest.approx(gamma.mean, abs=5 * pstdev(drawn) / math.sqrt(4000) + 0.01)


def test_a_gamma_as_wide_as_its_mean_is_exponential():
    """Deviation equal to the mean: quantile q at -m ln(1 - q)."""
    rng = random.Random(9)
    drawn = sorted(Gamma(1000, 1000).sample(rng) for _ in range(20_000))
    for share in (0.1, 0.5, 0.9):
        assert drawn[int(share * 20_000)] == pytest.approx(-1000 * math.log(1 - share), rel=0.06)


def test_a_wide_normal_is_clipped_not_redrawn():
    """A normal with as much below the bound as above heaps at 1 and its mean says so."""
    wide = Normal(1, 100)
    rng = random.Random(5)
    drawn = [wide.sample(rng) for _ in range(20_000)]
    assert drawn.count(1) / len(drawn) == pytest.approx(0.5, abs=0.02)
    assert wide.mean == pytest.approx(1 + 100 / math.sqrt(2 * math.pi), abs=0.01)


def test_uniform_reaches_both_ends():
    """Both ends of a uniform are drawn, each value as often as the other."""
    rng = random.Random(6)
    drawn = [Uniform(3, 5).sample(rng) for _ in range(9000)]
    assert set(drawn) == {3, 4, 5}
    assert drawn.count(3) / 9000 == pytest.approx(1 / 3, abs=0.03)
    assert Uniform(3, 5).mean == 4.0


def test_asked_least():
    """The least size a user named: the constant, the lower end, or the bell's mean."""
    texts = ("40", "uniform:30,90", "normal:50,10", "lognormal:60,10", "gamma:70,10", "hist:80@0,90@2,99@1")
    assert [parse(text, "x").asked_least for text in texts] == [40, 30, 50, 60, 70, 90]


@pytest.mark.parametrize(
    "text", ["550", "uniform:30,90", "normal:50,10", "gamma:70,10.5", "hist:80@0.5,90@2"]
)
def test_what_needs_no_file_is_portable_as_it_is(text):
    """Text for another machine is the text itself, where no file is named in it."""
    assert portable(parse(text, "x")) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("normal:550,150", [649, 648, 723, 634, 785]),
        ("lognormal:550,150", [634, 632, 722, 616, 807]),
        ("uniform:100,900", [227, 262, 460, 173, 685]),
    ],
)
def test_sequences_do_not_change(text, expected):
    """A seed draws what it drew in version 0.1, so that a recorded run can be made again."""
    rng = random.Random("7 prompt sizes")
    assert [parse(text, "x").sample(rng) for _ in range(5)] == expected
