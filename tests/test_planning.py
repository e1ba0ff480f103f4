"""From options to levels: which, in which order, what ends each, and what of it is written down."""

from argparse import Namespace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from harness import option_table, options, traces
from harness.load_options import LEVEL_S
from harness.plan import Plan
from harness.planning import new_plan, points
from harness.segment import Span
from harness.settings import Settings
from harness.timetable import Timetable

S = 1_000_000_000


def _settings(**given: object) -> Settings:
    """As options make them; names as in Python."""
    plain: dict[str, Any] = {name.replace("-", "_"): default for name, default, *_ in option_table.OPTIONS}
    plain |= {name.replace("-", "_"): None for name in option_table.REPEATABLE}
    plain |= {name.replace("-", "_"): False for name in option_table.FLAGS}
    plain |= {"host": "http://h:1", "num_users": None, "spawn_rate": None, "run_time": None}
    return options.read(Namespace(**(plain | given)), None)


def _plan(**given: object) -> Plan:
    settings = _settings(**given)
    model = settings.load
    table = None
    if model.arrivals is not None:
        trace = (
            None
            if model.arrivals.trace is None
            else traces.read(model.arrivals.trace, speed_up=model.speed_up)
        )
        table = Timetable(model.arrivals, settings.seed, trace)
    return new_plan(settings, table)


def _rows(plan: Plan) -> list[tuple[int, int, str, int | None, Span | None]]:
    return [(one.level, one.repeat, one.point.title, one.quota, one.span) for one in plan.segments]


CASES: dict[str, tuple[dict[str, object], list[tuple[int, int, str, int | None, Span | None]]]] = {
    "no levels": ({"num_users": 4}, []),
    "levels": (
        {"levels": "1,4", "repeats": "2"},
        [
            (1, 1, "1 user", 5, None),
            (4, 1, "4 users", 20, None),
            (1, 2, "1 user", 5, None),
            (4, 2, "4 users", 20, None),
        ],
    ),
    "waves": (
        {"levels": "3", "refill": "waves", "repeats": "2"},
        [(3, 1, "3 users", 3, None), (3, 2, "3 users", 3, None)],
    ),
    "levels for a time": (
        {"levels": "1,4", "seconds_per_level": "30", "warmup": "5s", "cooldown": "2s"},
        [(1, 1, "1 user", None, Span(30.0, 5.0, 2.0)), (4, 1, "4 users", None, Span(30.0, 5.0, 2.0))],
    ),
    "arrivals": ({"arrivals": "poisson:5"}, [(1, 1, "poisson:5", None, Span())]),
    "arrivals for a time": (
        {"arrivals": "poisson:5", "run_time": 30, "warmup": "10s"},
        [(1, 1, "poisson:5", None, Span(30, 10.0))],
    ),
    "arrivals with an end": ({"arrivals": "steps:5@30s"}, [(1, 1, "steps:5@30s", None, Span(30.0))]),
    "arrivals with an end after -t": (
        {"arrivals": "steps:5@30s", "run_time": 20},
        [(1, 1, "steps:5@30s", None, Span(20))],
    ),
    "arrivals with an end before -t": (
        {"arrivals": "steps:5@30s", "run_time": 40},
        [(1, 1, "steps:5@30s", None, Span(30.0))],
    ),
    "rates": (
        {"rates": "2,8"},
        [(1, 1, "2 req/s", None, Span(LEVEL_S)), (2, 1, "8 req/s", None, Span(LEVEL_S))],
    ),
    "rates for a time": (
        {"rates": "2,8", "arrivals": "constant", "seconds_per_level": "10", "repeats": "2"},
        [
            (1, 1, "2 req/s", None, Span(10.0)),
            (2, 1, "8 req/s", None, Span(10.0)),
            (1, 2, "2 req/s", None, Span(10.0)),
            (2, 2, "8 req/s", None, Span(10.0)),
        ],
    ),
    "rates with so many requests": (
        {"rates": "2,8", "arrivals": "constant", "requests_per_level": "40"},
        [(1, 1, "2 req/s", None, Span(20.0)), (2, 1, "8 req/s", None, Span(5.0))],
    ),
    "prompt lengths": (
        {"prompt_levels": "100,200", "num_users": 3},
        [(1, 1, "100 prompt tokens", 15, None), (2, 1, "200 prompt tokens", 15, None)],
    ),
    "output lengths at a rate": (
        {"output_levels": "100,200", "arrivals": "constant:4", "seconds_per_level": "9"},
        [(1, 1, "100 output tokens", None, Span(9.0)), (2, 1, "200 output tokens", None, Span(9.0))],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_levels_and_what_ends_them(case: str) -> None:
    """Repeats after all levels have been held; times by the options, or the schedule's own end."""
    given, expected = CASES[case]
    assert _rows(_plan(**given)) == expected


OPEN = ("arrivals", "rates", "output lengths at a rate")
CLOSED = ("levels", "waves", "levels for a time", "prompt lengths")


@pytest.mark.parametrize("case", [*OPEN, *CLOSED])
def test_which_levels_are_open_loops(case: str) -> None:
    """Those with arrivals: no users of Locust's, a schedule, nothing of a quota; the others have none of that."""
    for segment in _plan(**CASES[case][0]).segments:
        assert segment.point.is_open == (case in OPEN)
        assert (segment.due is not None) == (case in OPEN)
        assert (segment.point.users == 0) == (case in OPEN)
        if case in OPEN:
            assert (segment.quota, segment.warmup, segment.warmup_total()) == (None, 0, 0)


def test_each_level_and_repeat_has_a_schedule_of_its_own() -> None:
    """As the timetable says; `Due` counts it."""
    given: dict[str, object] = {"rates": "20,40", "repeats": "2", "seconds_per_level": "10", "seed": "5"}
    plan, settings = _plan(**given), _settings(**given)
    assert settings.load.arrivals is not None
    table = Timetable(settings.load.arrivals, 5)
    counts = []
    for segment in plan.segments:
        assert segment.due is not None
        counts.append(segment.due.before(10 * S))
        offsets = table.offsets(segment.level, segment.repeat, segment.point.rate)
        assert counts[-1] == len(list(takewhile(lambda offset: offset < 10 * S, offsets)))
    assert len(set(counts)) > 2
    assert all(
        abs(count - rate * 10) < 6 * (rate * 10) ** 0.5
        for count, rate in zip(counts, (20, 40, 20, 40), strict=True)
    )


def test_a_trace_lasts_as_long_as_it_is(tmp_path: Path) -> None:
    """Its last request is the level's too; twice as fast it takes half the time."""
    (tmp_path / "t.csv").write_text("timestamp\n0\n1\n4\n")
    for speed_up, length_s in (("1", 4.0), ("2", 2.0)):
        (segment,) = _plan(arrivals=f"trace:{tmp_path / 't.csv'}", speed_up=speed_up).segments
        assert segment.span is not None
        assert segment.span.seconds == pytest.approx(length_s, abs=2e-9)
        assert segment.due is not None
        segment.open_ns = 0
        assert segment.end_ns is not None
        assert segment.due.before(segment.end_ns) == 3


def test_users_set_by_hand_may_have_a_warmup_in_seconds() -> None:
    """Every number of users that Locust reports then opens a level with that span."""
    plan = _plan(num_users=4, run_time=30, warmup="5s")
    assert (plan.span, plan.is_sweep, plan.segments) == (Span(None, 5.0), False, [])
    assert _plan(num_users=4, warmup="3").warmup == 3


def test_how_many_requests_are_planned() -> None:
    """Known where every level has a quota, warm-up included; never in an open loop."""
    assert _plan(levels="1,4", warmup="2").planned == 5 + 20 + 2 + 8
    assert _plan(prompt_levels="100,200", num_users=3, warmup="1").planned == 30 + 6
    assert _plan(rates="2,8", requests_per_level="40").planned is None
    assert _plan(levels="1,4", seconds_per_level="30").planned is None


def test_the_cap_is_every_levels() -> None:
    """Of an open loop."""
    assert [segment.cap for segment in _plan(rates="2,8", max_concurrency="7").segments] == [7, 7]
    assert [segment.cap for segment in _plan(levels="2,8").segments] == [None, None]


def test_points_have_names_of_their_own() -> None:
    """Users are named by their number, other levels from 1 on; the value is a number to draw them by."""
    named = {
        "levels": [(1, "concurrency", 1.0), (4, "concurrency", 4.0)],
        "rates": [(1, "rate", 2.0), (2, "rate", 8.0)],
        "prompt lengths": [(1, "prompt_tokens", 100.0), (2, "prompt_tokens", 200.0)],
        "arrivals": [(1, "arrivals", None)],
        "no levels": [],
    }
    for case, expected in named.items():
        found = points(_settings(**CASES[case][0]))
        assert [(one.key, one.kind, one.value) for one in found] == expected
