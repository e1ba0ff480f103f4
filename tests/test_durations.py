"""Lengths of time as options name them: what is read, what is refused and how, and that nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.durations import HOUR_S, WEEK_S, seconds, text
from harness.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("30s", 30.0),
        (" 30 S ", 30.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("500ms", 0.5),
        ("250us", 0.00025),
        ("1.1s", 1.1),
        ("0.1ms", 0.0001),
        ("1h30m", 5400.0),
        ("1h 30m 5s", 5405.0),
        ("1m30.5s", 90.5),
        ("168h", 604_800.0),
        ("0.000000001s", 1e-9),
    ],
)
def test_what_is_read(value: str, expected: float) -> None:
    """Each unit, several of them, blanks and capitals; to the last bit."""
    assert seconds(value, "--max-time") == expected


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "--x '' is empty; write for example 30s"),
        ("  ", "--x '' is empty; write for example 30s"),
        ("30", "--x '30' has no unit; write for example 30s or 30ms"),
        ("0s", "--x '0s' is outside the limits; give above 0 and up to 168h"),
        ("0.0000000001s", None),
        ("168h1us", "--x '168h1us' is outside the limits; give above 0 and up to 168h"),
        ("99999999999h", "--x '99999999999h' is outside the limits; give above 0 and up to 168h"),
        *((bad, None) for bad in ("-1s", "+1s", "1e3s", "1_000s", "1,5s", "1.s", ".5s", "nan", "inf s", "s")),
        *((bad, None) for bad in ("5d", "1s1m", "1s1s", "1h30", "1 2s", "30sec", "x30s", "30s!", "\u0663s")),
        ("9" * 5000 + "s", None),
    ],
)
def test_what_is_refused(value: str, problem: str | None) -> None:
    """One line with the option, the value, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        seconds(value, "--x")
    told = f"--x {value.strip()!r} is no length of time; write for example 30s, with h, m, s, ms or us"
    assert str(caught.value) == (problem or told)


def test_a_bare_number_is_seconds_where_that_is_said() -> None:
    """As with Locust's -t; a number that is wrong stays wrong."""
    assert seconds(" 90 ", "--max-time", bare=True) == 90.0
    assert seconds("90ms", "--max-time", bare=True) == 0.09
    with pytest.raises(ConfigError, match="'0' is outside the limits"):
        seconds("0", "--max-time", bare=True)


def test_limits_are_the_options_own() -> None:
    """Zero where it makes sense, and no more than the option bears."""
    assert seconds("0s", "--think-time", zero=True) == 0.0
    assert seconds("1h", "--think-time", most_s=HOUR_S) == 3600.0
    with pytest.raises(ConfigError, match="'61m' is outside the limits; give from 0s up to 1h"):
        seconds("61m", "--think-time", most_s=HOUR_S, zero=True)


def test_a_part_of_a_value_is_shown_within_it() -> None:
    """Who reads the line sees all that was given and which part is wrong."""
    with pytest.raises(ConfigError) as caught:
        seconds("3", "--think-time", whole="uniform:1s,3")
    assert str(caught.value) == "--think-time 'uniform:1s,3': '3' has no unit; write for example 3s or 3ms"


@pytest.mark.parametrize(
    ("length_s", "expected"),
    [
        *((7200.0, "2h"), (5400.0, "90m"), (90.0, "90s"), (1.25, "1.25s"), (0.5, "500ms"), (0.0, "0s")),
        *((0.00025, "250us"), (1e-9, "0.000000001s"), (1000.001, "1000.001s")),
    ],
)
def test_text(length_s: float, expected: str) -> None:
    """The largest unit that makes a whole number of it, else seconds."""
    assert text(length_s) == expected


@given(st.integers(0, WEEK_S * 10**9))
def test_round_trip(nanoseconds: int) -> None:
    """Any whole number of nanoseconds up to the limit comes back exactly."""
    length_s = nanoseconds / 1e9
    assert seconds(text(length_s), "--x", zero=True) == length_s


@given(st.text(alphabet="0123456789.hmsu -+e", max_size=12) | st.text(max_size=12))
def test_nothing_else_is_raised(value: str) -> None:
    """Whatever is typed: a length within the limits, or a ConfigError that names the option."""
    problem = "--x "
    try:
        assert 0 <= seconds(value, "--x", zero=True, bare=True) <= WEEK_S
    except ConfigError as error:
        problem = str(error)
    assert problem.startswith("--x ")
