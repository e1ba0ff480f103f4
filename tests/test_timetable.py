"""Schedules by the seed: the same in every process, another for each level and repeat; and when so many have been due."""

from itertools import islice, takewhile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import arrivals, traces
from harness.errors import ConfigError
from harness.timetable import Timetable

S = 1_000_000_000


def _trace(folder: Path, *lines: str) -> Timetable:
    path = folder / "trace.csv"
    path.write_text("\n".join(["timestamp,prompt_tokens,output_tokens", *lines]) + "\n")
    return Timetable(arrivals.parse(f"trace:{path}"), 1, traces.read(path))


def _first(table: Timetable, level: int = 1, repeat: int = 1, rate: float | None = None) -> list[int]:
    return list(islice(table.offsets(level, repeat, rate), 200))


@pytest.mark.parametrize(
    "text", ["poisson:10", "gamma:10,0.5", "ramp:1,20,10s,poisson", "steps:20@10s,poisson"]
)
def test_the_same_seed_is_the_same_schedule(text: str) -> None:
    """Level, repeat and seed each make another one."""
    table, again = (Timetable(arrivals.parse(text), 7) for _ in range(2))
    assert _first(table) == _first(again)
    others = [_first(table, level=2), _first(table, repeat=2), _first(Timetable(arrivals.parse(text), 8))]
    assert all(other != _first(table) for other in others)
    assert len({tuple(other) for other in others}) == 3


def test_constant_arrivals_are_those_of_no_seed() -> None:
    """One every 100 ms, from the beginning."""
    table = Timetable(arrivals.parse("constant:10"), 7)
    assert _first(table) == _first(table, level=3, repeat=9) == [k * S // 10 for k in range(200)]


def test_a_sweeps_rate_is_the_same_process_in_another_unit() -> None:
    """Twice the rate has its arrivals at half the time, but for the rounding to a nanosecond."""
    table = Timetable(arrivals.parse("poisson"), 7)
    slow, fast = _first(table, rate=5.0), _first(table, rate=10.0)
    assert max(abs(a - 2 * b) for a, b in zip(slow, fast, strict=True)) <= 2
    assert table.schedule(5.0).describe() == "poisson:5"


def test_a_trace_is_what_was_recorded(tmp_path: Path) -> None:
    """For every level and repeat; its last request belongs to it."""
    table = _trace(tmp_path, "10,5,6", "10,7,8", "12.5,9,10")
    assert _first(table) == _first(table, level=2, repeat=3) == [0, 0, 2_500_000_000]
    length_s = table.length_s(None)
    assert length_s is not None
    assert round(length_s * S) == 2_500_000_001
    assert table.trace is not None
    assert (table.trace.due(1).prompt_tokens, table.trace.due(1).output_tokens) == (7, 8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("poisson:10", None), ("steps:5@30s,10@30s", 60.0), ("ramp:10,1,20s", None), ("ramp:10,0,20s", 20.0)],
)
def test_how_long_a_schedule_lasts(text: str, expected: float | None) -> None:
    """None: for ever."""
    assert Timetable(arrivals.parse(text), 1).length_s(None) == expected


@pytest.mark.parametrize(
    ("text", "requests", "warmup_s", "expected"),
    [
        ("constant:10", 50, 0.0, 5.0),
        ("constant:10", 50, 2.0, 7.0),
        ("constant:10", 50, 2.05, 7.1),
        ("steps:10@5s", 49, 0.0, 4.9),
        ("steps:10@5s", 50, 0.0, None),  # all of it
        ("steps:10@5s", 51, 0.0, None),
        ("steps:10@5s", 1, 10.0, None),
    ],
)
def test_when_so_many_have_been_due(
    text: str, requests: int, warmup_s: float, expected: float | None
) -> None:
    """The level ends when the next one would be due; None where there is none."""
    found = Timetable(arrivals.parse(text), 1).time_of(requests, 1, 1, None, warmup_s)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-9))


@given(
    requests=st.integers(1, 60),
    warmup_s=st.floats(0, 5),
    seed=st.integers(0, 2**63 - 1),
    level=st.integers(1, 3),
)
def test_a_level_of_so_many_requests_has_so_many(
    requests: int, warmup_s: float, seed: int, level: int
) -> None:
    """Whatever the process does."""
    table = Timetable(arrivals.parse("gamma:20,0.3"), seed)
    end_s = table.time_of(requests, level, 1, None, warmup_s)
    assert end_s is not None
    due = takewhile(lambda offset: offset < round(end_s * S), table.offsets(level, 1, None))
    assert sum(offset >= round(warmup_s * S) for offset in due) == requests


def test_requests_of_the_same_moment_are_not_parted(tmp_path: Path) -> None:
    """A trace in whole seconds: two requests are the three of the first second."""
    table = _trace(tmp_path, "5,1,1", "5,1,1", "5,1,1", "6,1,1", "8,1,1")
    assert table.time_of(2, 1, 1, None, 0.0) == 1.0
    assert table.time_of(3, 1, 1, None, 0.0) == 1.0
    assert table.time_of(4, 1, 1, None, 0.0) == 3.0
    assert table.time_of(5, 1, 1, None, 0.0) is None


def test_a_trace_must_fit_the_servers_context(tmp_path: Path) -> None:
    """The longest is named; lengths that are not said count as nothing."""
    table = _trace(tmp_path, "0,100,20", "1,900,200", "2,,1500", "3,1000,24")
    table.refuse_beyond(1500)
    table.refuse_beyond(None)
    Timetable(arrivals.parse("constant:1"), 1).refuse_beyond(1)
    with pytest.raises(ConfigError) as error:
        table.refuse_beyond(1023)
    (line,) = str(error.value).splitlines()
    assert line.startswith(
        f"{tmp_path / 'trace.csv'}: 3 of 4 requests do not fit, the longest number 3 with 1,500 tokens"
    )
    assert "the server takes 1,023" in line


def test_the_schedule_is_that_of_yesterday() -> None:
    """Of a seed that is written down: results of today can be made again with a later version."""
    found = _first(Timetable(arrivals.parse("poisson:10"), 1))[:3]
    assert (
        np.abs(np.array(found) - np.array(YESTERDAY)).max() <= 1
    )  # the last bit of a logarithm is the platform's


YESTERDAY = (400_564_682, 576_983_965, 674_397_349)
