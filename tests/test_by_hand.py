"""Load that is changed while it runs, as tables of times: whose each request is, where windows lie, what segments are called."""

import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import by_hand, option_table, options
from harness.arrivals import Slice
from harness.leave import Leave, Slot, Turn
from harness.orders import Tally
from harness.plan import Plan
from harness.planning import fixed, new_plan
from harness.record import Phase
from harness.segment import Segment, Span
from harness.settings import Settings
from harness.timetable import Timetable

S = 1_000_000_000


class Table:
    """A plan without a sweep and its parts; users come and go at the test's word, and every time is the test's."""

    def __init__(self, *names: str, warmup: int = 0, span: Span | None = None) -> None:
        self.plan = Plan(warmup=warmup, span=span)
        self.parts = {name: Leave() for name in names or ("local",)}
        self.asked = 0

    def tell(self) -> None:
        """Orders out."""
        for name, part in self.parts.items():
            if self.plan.is_stopped:
                part.stop()
            elif (step := self.plan.step(name)) is not None:
                part.obey(step)

    def hear(self) -> None:
        """Reports in."""
        for name, part in self.parts.items():
            self.plan.hear(name, [turn.tally(0) for turn in part.turns])

    def begin(self, users: int, now: int) -> None:
        """Load begins, so many users being started."""
        self.asked = users
        self.plan.begin(now)
        self.tell()

    def ask(self, users: int, now: int) -> str | None:
        """Somebody wants another number."""
        said = self.plan.users_asked(self.asked, users, by_hand.BY_HAND, now)
        self.asked = users
        if said:
            self.tell()
        return said

    def ready(self, now: int, users: Sequence[int] | None = None) -> None:
        """All of them are up, shared out as evenly as it goes."""
        self.hear()
        each = dict(zip(self.parts, users or _shared(self.asked, len(self.parts)), strict=True))
        self.plan.users_ready(each, sum(each.values()), now, now)
        self.tell()

    def take(self, now: int, name: str = "local") -> tuple[Turn, Slot]:
        leave = self.parts[name].take(now)
        assert leave is not None
        return leave

    def stop(self, now: int) -> None:
        self.plan.stop(now)
        self.tell()
        self.hear()

    @property
    def levels(self) -> list[tuple[int, int, str | None]]:
        """(level, repeat, label) of all levels that were opened."""
        return [(one.level, one.repeat, one.label) for one in self.plan.segments if one.level]


def _shared(users: int, parts: int) -> list[int]:
    each, more = divmod(users, parts)
    return [each + (number < more) for number in range(parts)]


def test_what_is_sent_while_users_come_or_go_is_no_levels() -> None:
    """4 users, then 8, then 2: a request of each moment is of the level of that moment, or of none."""
    table = Table()
    table.begin(4, 0)
    table.ready(10)
    held = table.take(20)
    assert table.ask(8, 50) == "by hand: 4 -> 8 users"
    coming = table.take(60)
    table.ready(100)
    eight = table.take(110)
    assert table.ask(2, 150) == "by hand: 8 -> 2 users"
    going = table.take(160)
    table.ready(200)
    two = table.take(210)
    table.stop(300)
    slots = [slot for _, slot in (held, coming, eight, going, two)]
    assert slots == [
        Slot(4, 1, Phase.MEASURE),
        Slot(0, 2, Phase.WARMUP),
        Slot(8, 1, Phase.MEASURE),
        Slot(0, 3, Phase.WARMUP),
        Slot(2, 1, Phase.MEASURE),
    ]
    assert [(w.level, w.start_ns, w.end_ns) for w in table.plan.windows()] == [
        (4, 20, 50),
        (8, 110, 150),
        (2, 210, 300),
    ]
    assert table.levels == [(4, 1, None), (8, 1, "by hand: 4 -> 8 users"), (2, 1, "by hand: 8 -> 2 users")]


def test_a_request_over_the_border_is_of_the_level_that_sent_it() -> None:
    """It ends after the change, and counts there and nowhere else."""
    table = Table()
    table.begin(1, 0)
    table.ready(10)
    leave = table.take(20)
    table.ask(2, 30)
    table.ready(40)
    table.parts["local"].finished(*leave, 60)
    table.stop(70)
    assert [(one.level, one.given(), one.done()) for one in table.plan.segments] == [
        (0, 0, 0),
        (1, 1, 1),
        (0, 0, 0),
        (2, 0, 0),
    ]


def test_nothing_changes_with_the_same_number() -> None:
    """Asked again, told again that all are up: one level, one window."""
    table = Table("a", "b")
    table.begin(4, 0)
    table.ready(10)
    table.take(20, "a")
    assert table.ask(4, 50) is None
    table.ready(60)
    table.stop(100)
    assert table.levels == [(4, 1, None)]
    assert [(w.start_ns, w.end_ns) for w in table.plan.windows()] == [(20, 100)]


def test_as_many_users_in_other_parts_are_another_segment() -> None:
    """A worker has come: its share of the users is another load, if not another level."""
    table = Table("a", "b")
    table.begin(4, 0)
    table.ready(10, [4, 0])
    table.take(20, "a")
    table.ready(50, [2, 2])
    assert table.levels == [(4, 1, None), (4, 2, by_hand.AGAIN)]


def test_a_change_before_the_last_one_is_done() -> None:
    """8 are asked for and never held: the level that follows says so, and what a slow part says of the 8 opens nothing."""
    table = Table()
    table.begin(4, 0)
    table.ready(10)
    assert table.ask(8, 50) == "by hand: 4 -> 8 users"
    assert table.ask(2, 60) == "by hand: 8 -> 2 users"
    table.plan.users_ready({"local": 8}, 8, 70, 70)
    assert [one.level for one in table.plan.segments] == [0, 4, 0]
    table.ready(80)
    assert table.levels[1:] == [(2, 1, "by hand: 4 -> 8 -> 2 users")]


def test_a_change_while_the_first_users_start() -> None:
    """There was no level yet; what comes is called by what was asked for."""
    table = Table()
    table.begin(4, 0)
    table.ask(6, 5)
    table.ready(10)
    assert table.levels == [(6, 1, "by hand: 4 -> 6 users")]


def test_no_users_are_no_level() -> None:
    """Nobody is up, nothing is sent and nothing is held; then there are users again."""
    table = Table()
    table.begin(4, 0)
    table.ready(10)
    table.take(20)
    table.ask(0, 50)
    table.ask(3, 90)
    table.ready(100)
    assert table.levels[1:] == [(3, 1, "by hand: 4 -> 0 -> 3 users")]
    assert [(w.level, w.end_ns) for w in table.plan.windows()] == [(4, 50)]


def test_a_change_within_the_warmup() -> None:
    """The level has no window, and its requests are warm-up."""
    table = Table(span=Span(None, warmup_s=1.0))
    table.begin(2, 0)
    table.ready(10)
    assert table.take(20)[1].phase is Phase.WARMUP
    table.ask(4, 500_000_000)
    table.ready(600_000_000)
    assert table.take(1_600_000_001)[1] == Slot(4, 1, Phase.MEASURE)
    table.stop(2_000_000_000)
    assert [(w.level, w.start_ns) for w in table.plan.windows()] == [(4, 1_600_000_001)]


def test_a_change_just_before_the_stop() -> None:
    """The level before it keeps its window; the one to come never was."""
    table = Table()
    table.begin(2, 0)
    table.ready(10)
    table.take(20)
    table.ask(4, 90)
    table.stop(95)
    table.plan.users_ready({"local": 4}, 4, 99, 99)
    assert [(w.level, w.start_ns, w.end_ns) for w in table.plan.windows()] == [(2, 20, 90)]
    assert table.levels == [(2, 1, None)]


@pytest.mark.parametrize(
    ("numbers", "label"),
    [
        ([1, 2], "by hand: 1 -> 2 users"),
        ([2, 1], "by hand: 2 -> 1 user"),
        ([4, 8, 2, 1000], "by hand: 4 -> 8 -> 2 -> 1,000 users"),
        ([4, 5, 6, 7, 8, 9], "by hand: 4 -> 5 -> ... -> 9 users"),
    ],
)
def test_labels(numbers: list[int], label: str) -> None:
    """Of any number of changes, in bearable length."""
    assert by_hand.of_users(numbers) == label


@given(
    changes=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40), st.integers(0, 30)), max_size=8),
    parts=st.integers(1, 3),
    warmup=st.integers(0, 2),
    seed=st.integers(0, 1_000),
    lag=st.integers(0, 60),
)
def test_any_changes_at_any_time(
    changes: list[tuple[int, int, int]], parts: int, warmup: int, seed: int, lag: int
) -> None:
    """Whatever is asked for and whenever parts are heard: no two windows overlap, and no request is of two segments.

    None is of a level while another number of users is up, and labels are in order of what was asked for.

    `changes`: (users, how long they are held, how long they take to come or go).
    """
    table, rng = Table(*"abc"[:parts], warmup=warmup), Random(seed)
    now, up, taken = 1, _shared(3, parts), []
    flying: list[tuple[int, str, tuple[Turn, Slot]]] = []
    table.begin(3, now)

    def run(until: int, level: int | None) -> None:
        nonlocal now
        while now < until:
            now += 1
            for one in [one for one in flying if one[0] <= now]:
                table.parts[one[1]].finished(*one[2], now)
                flying.remove(one)
            for name, number in zip(table.parts, up, strict=True):
                while sum(who == name for _, who, _ in flying) < number:
                    leave = table.take(now, name)
                    assert leave[1].level == (level or 0)
                    taken.append((now, leave))
                    flying.append((now + rng.randint(1, 15), name, leave))
            if lag and now % lag == 0:
                table.hear()

    run(5, None)
    table.ready(now)
    run(20, 3)
    expected: list[int] = []
    for users, held, ramp in changes:
        before = table.asked
        said = table.ask(users, now)
        assert (said is None) == (before == users)
        level = None if said or not table.plan.segment or not table.plan.segment.level else users
        up = _shared(users, parts)  # at once, or bit by bit: it is no level's
        run(now + ramp, level)
        if users and ramp < 25:  # else the next change comes first
            if said or level is None:
                expected.append(users)
            table.ready(now)
            run(now + held, users)
    table.stop(now)
    _agree(table, taken, [3, *expected])


def _agree(table: Table, taken: list[Any], expected: list[int]) -> None:
    segments: list[Segment] = table.plan.segments
    names = [(one.level, one.repeat) for one in segments]
    assert len(set(names)) == len(names)
    assert [one.level for one in segments if one.level] == expected
    windows = table.plan.windows()
    for before, after in pairwise(windows):
        assert before.start_ns < before.end_ns <= after.start_ns < after.end_ns
    # What parts have told of their last three steps is all the plan knows; of these it knows all.
    for turn in {id(turn): turn for part in table.parts.values() for turn in part.turns}.values():
        mine = [slot for _, (whose, slot) in taken if whose is turn]
        assert len(mine) == turn.given + turn.warmup_given
        assert {(slot.level, slot.repeat) for slot in mine} <= {(turn.step.level, turn.step.repeat)}
    for window in windows:
        inside = {
            slot.level
            for at, (_, slot) in taken
            if window.start_ns <= at < window.end_ns and slot.phase is Phase.MEASURE
        }
        assert inside <= {window.level}
    for one in segments:
        if one.label and one.level:
            assert one.label.endswith(f" {one.level} user{'s' * (one.level != 1)}")
    assert len(taken) == sum(part.offered for part in table.parts.values())


def _settings(**given: object) -> Settings:
    """As options make them; names as in Python."""
    plain: dict[str, Any] = {name.replace("-", "_"): default for name, default, *_ in option_table.OPTIONS}
    plain |= {name.replace("-", "_"): None for name in option_table.REPEATABLE}
    plain |= {name.replace("-", "_"): False for name in option_table.FLAGS}
    plain |= {"host": "http://h:1", "num_users": None, "spawn_rate": None, "run_time": None}
    return options.read(Namespace(**(plain | given)), None)


def _arriving(arrivals: str, **given: object) -> Plan:
    """A plan of an open loop, begun at 0 on parts a and b."""
    settings = _settings(arrivals=arrivals, **given)
    assert settings.load.arrivals is not None
    a_plan = new_plan(settings, Timetable(settings.load.arrivals, settings.seed))
    a_plan.begin(0)
    a_plan.users_ready({"a": 0, "b": 0}, 0, 0, 0)
    return a_plan


def test_a_rate_that_is_changed_is_a_level_that_follows_at_once() -> None:
    """10/s, 20/s from 5 s on, 10/s again from 8 s on: the same process, labels, the last one's end as it was planned."""
    a_plan = _arriving("poisson:10", run_time=20, warmup="1s")
    for rate, at in ((20.0, 5 * S), (10.0, 8 * S)):
        a_plan.rate_asked(rate, {"a": 0, "b": 0}, at - S // 2, at)
    a_plan.hear("a", [Tally(index=index, first_ns=1, is_closed=True) for index in range(3)])
    a_plan.hear("b", [Tally(index=2, is_closed=True)])
    found = [
        (one.level, one.repeat, one.point.title, one.point.rate, one.label, one.end_ns)
        for one in a_plan.segments
    ]
    assert found == [
        (1, 1, "10 req/s", 10.0, None, 20 * S),
        (2, 1, "20 req/s", 20.0, "by hand: 10 -> 20 req/s", 20 * S),
        (1, 2, "10 req/s", 10.0, "by hand: 20 -> 10 req/s", 20 * S),
    ]
    assert [(w.level, w.repeat, w.start_ns // S, w.end_ns // S) for w in a_plan.windows()] == [
        *((1, 1, 1, 5), (2, 1, 6, 8), (1, 2, 9, 20)),
    ]
    step = a_plan.step("b")
    assert step is not None
    assert (step.rate, step.open_ns, step.until_ns, step.slices) == (10.0, 8 * S, 20 * S, (Slice(0, 1, 2),))
    assert a_plan.unreached() == []


def test_what_was_due_before_a_change_is_missed_if_nobody_sends_it() -> None:
    """50 arrivals in 5 s at 10/s, then 60 in 3 s at 20/s: each level's own are counted against it."""
    a_plan = _arriving("constant:10")
    a_plan.rate_asked(20.0, {"a": 0, "b": 0}, 4 * S, 5 * S)
    a_plan.hear("a", [Tally(index=0, arrived=30), Tally(index=1, arrived=30)])
    a_plan.hear("b", [Tally(index=0, arrived=18), Tally(index=1, arrived=30)])
    a_plan.stop(8 * S)
    assert a_plan.unsent == {"1": 2, "2": 0}


def test_a_stop_before_the_change_has_come() -> None:
    """The rate was to change in half a second: the level before it ends with the load."""
    a_plan = _arriving("constant:10")
    a_plan.rate_asked(20.0, {"a": 0, "b": 0}, 5 * S, 5 * S + S // 2)
    a_plan.hear("a", [Tally(index=0, first_ns=1, arrived=51)])
    a_plan.stop(5 * S + 1)
    assert [(w.level, w.end_ns) for w in a_plan.windows()] == [(1, 5 * S + 1)]
    assert a_plan.unsent == {"1": 0, "2": 0}


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        ({"num_users": 4}, None),
        ({"arrivals": "gamma:10,0.5"}, None),
        ({"arrivals": "constant:10", "run_time": 5}, None),
        ({"levels": "1,2"}, "a sweep holds its levels itself: stop it first"),
        ({"rates": "1,2"}, "a sweep holds its levels itself: stop it first"),
        ({"num_users": 2, "prompt_levels": "10,20"}, "a sweep holds its levels itself: stop it first"),
        (
            {"search": "rate:1-8", "slo": ["ttft_p95<1s"], "seconds_per_level": "9s"},
            "a search finds its levels itself: stop it first",
        ),
        (
            {"arrivals": "ramp:1,20,60s"},
            "--arrivals ramp:1,20,1m changes its rate itself: stop the run first, and give one rate, e.g. poisson:10",
        ),
        ({"arrivals": "trace:t.csv"}, "the trace says when requests come: stop the run first; --speed-up sends it faster"),
    ],
)  # fmt: skip
def test_what_can_be_changed(given_: dict[str, object], why: str | None) -> None:
    """Users in a closed loop, a rate that is one number; everything else says why not."""
    assert fixed(_settings(**given_)) == why


LEVEL: dict[str, Any] = {"level": 4, "passes": [{"repeat": 1, "repeats": 1, "n": 1}, {"repeat": 2, "repeats": 1, "n": 2}]}  # fmt: skip


def _event(at: int, level: int, **more: object) -> dict[str, Any]:
    return {"time_ns": at * S, "what": "x", "topic": "level", "level": level, **more}


def test_segments_of_a_run_are_those_its_events_tell_of() -> None:
    """In order of time, with the figures of their passes; what was never measured has none; users who come are no segment."""
    events = [
        {"time_ns": 10 * S, "what": "load begins", "topic": "start", "level": 0},
        _event(20, 4, repeat=2, label="by hand: 8 -> 4 users"),
        _event(15, 8, label="by hand: 4 -> 8 users"),
        _event(14, 0),
        _event(11, 4),
        {"time_ns": 12 * S, "what": "a worker's own"},
    ]
    found = by_hand.with_segments({"levels": [LEVEL]}, {"events": events})["segments"]
    assert [(one["begin_s"], one["title"], one["repeat"], one["label"]) for one in found] == [
        (1.0, "4 users", 1, None),
        (5.0, "8 users", 1, "by hand: 4 -> 8 users"),
        (10.0, "4 users", 2, "by hand: 8 -> 4 users"),
    ]
    assert [one["figures"] and one["figures"]["n"] for one in found] == [1, None, 2]


def test_a_run_that_nobody_changed_has_no_segments() -> None:
    """Its summary is what it was; a worker that came or went has changed no load."""
    again = _event(5, 4) | {"label": by_hand.AGAIN, "repeat": 2}
    assert by_hand.with_segments({"levels": [LEVEL]}, {"events": [_event(1, 4), again]}) == {
        "levels": [LEVEL]
    }
    assert by_hand.with_segments({"levels": [LEVEL]}, {"events": [_event(1, 4)]}) == {"levels": [LEVEL]}


FOLLOWED = """
from types import SimpleNamespace as Thing
from locust.runners import STATE_RUNNING, LocalRunner
from harness import ramps

class Runner(LocalRunner):
    def __init__(self): self.state = STATE_RUNNING
    def start(self, user_count, *_, **__): print(user_count)
    def __del__(self): pass

runner, plan = Runner(), Thing(is_sweep=False, is_stopped=False)
run = Thing(plan=plan, users_asked=lambda *_: None)
ramps.follow(Thing(runner=runner, run=run, environment=Thing(shape_class=None)))
ramps._make_way = lambda *_: None
runner.start(4)
ramps._make_way = lambda *_: setattr(plan, "is_stopped", True)
runner.start(6)
"""


def test_a_stop_while_others_are_waited_for_starts_nobody() -> None:
    """Users on their last request are waited for; Locust's own time may be over meanwhile, and it would begin another run."""
    done = subprocess.run([sys.executable, "-c", FOLLOWED], capture_output=True, text=True, check=True)
    assert done.stdout == "4\n"
