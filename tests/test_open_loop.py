"""Arrivals of one part: sent when they are due, each once, however late, barred, frozen or dealt out anew."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import gevent
import pytest
from gevent import monkey
from greenlets import until
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import open_loop
from harness.arrivals import Slice, is_mine
from harness.clock import now_ns
from harness.leave import Leave, Slot, Turn
from harness.loadpoint import LoadPoint
from harness.open_loop import AHEAD_NS, Arrival, OpenLoop
from harness.orders import Step
from harness.record import Phase
from harness.segment import Due, Segment, Span

MS = 1_000_000
S = 1_000_000_000


@dataclass
class Door:
    """Where arrivals come in; each stays for a while."""

    leave: Leave = field(default_factory=Leave)
    stay_s: float = 0.0
    takes: bool = True  # its first request is asked for
    came: list[tuple[int, int, int]] = field(default_factory=list)  # (number, due, when)
    here: int = 0
    most: int = 0
    changes: int = 0

    def __post_init__(self) -> None:
        self.loop = OpenLoop(self.leave, self.come, self.changed)

    def changed(self) -> None:
        self.changes += 1

    def come(self, arrival: Arrival, gone: Callable[[], None]) -> None:
        self.came.append((arrival.number, arrival.due_ns, now_ns()))
        self.here += 1
        self.most = max(self.most, self.here)
        arrival.is_taken = self.takes
        gevent.spawn_later(self.stay_s, self._go, arrival, gone)

    def _go(self, arrival: Arrival, gone: Callable[[], None]) -> None:
        self.here -= 1
        if arrival.is_taken:
            self.leave.finished(arrival.turn, arrival.slot, now_ns())
        gone()

    def enter(self, offsets: Iterable[int], step: Step) -> None:
        """A level begins."""
        self.leave.obey(step)
        assert self.leave.turn is not None
        self.loop.enter(self.leave.turn, iter(offsets))

    @property
    def numbers(self) -> list[int]:
        return [number for number, *_ in self.came]

    @property
    def is_closed(self) -> bool:
        return self.leave.turn is not None and self.leave.turn.is_closed


def _step(
    *, lasts_s: float | None = None, slices: tuple[Slice, ...] = (Slice(0, 0, 1),), cap: int | None = None
) -> Step:
    """Of a level that begins in 20 ms."""
    begin = now_ns() + 20 * MS
    return Step(
        index=0,
        level=1,
        repeat=1,
        open_ns=begin,
        warmup=0,
        quota=None,
        measure_ns=begin,
        until_ns=None if lasts_s is None else begin + round(lasts_s * S),
        is_open=True,
        slices=slices,
        cap=cap,
    )


def test_deadlines_are_absolute() -> None:
    """A thousand arrivals, one a ms: each at the beginning plus its offset, never early, and no later at the end."""
    door, step = Door(), _step(lasts_s=1.0)
    door.enter(range(0, 2 * S, MS), step)
    until(lambda: door.is_closed)
    assert door.numbers == list(range(1000))
    assert [due for _, due, _ in door.came] == [step.open_ns + k * MS for k in range(1000)]
    late = [when - due for _, due, when in door.came]
    assert min(late) >= 0
    assert min(late[-300:]) < 20 * MS  # sleeping from one to the next would add up to three times that
    turn = door.leave.turn
    assert turn is not None
    assert (turn.given, turn.arrived, turn.backlog, door.leave.offered) == (1000, 1000, 0, 1000)


def test_what_is_overdue_is_sent_at_once() -> None:
    """Arrivals that were due while this process did something else come together, and the others when they are due."""
    door, step = Door(), _step(lasts_s=0.5)
    door.enter(range(0, S, 10 * MS), step)
    gevent.sleep(0.1)
    time.sleep(0.2)  # nobody gets a turn
    until(lambda: door.is_closed)
    assert door.numbers == list(range(50))
    held = [number for number, due, when in door.came if when - due > 100 * MS]
    assert len(held) >= 8
    assert held == list(range(held[0], held[-1] + 1))


def test_a_cap_makes_a_queue() -> None:
    """No more than two at once; the rest in the order they were due, with the time they were due."""
    door, step = Door(stay_s=0.03), _step(lasts_s=1.0, cap=2)
    door.enter([k * MS for k in range(20)], step)
    turn = door.leave.turn
    assert turn is not None
    until(lambda: turn.backlog > 10)
    until(lambda: len(door.came) == 20)
    assert door.most == 2
    assert door.numbers == list(range(20))
    assert [due for _, due, _ in door.came] == [step.open_ns + k * MS for k in range(20)]
    assert turn.backlog == 0
    assert door.came[-1][2] - door.came[-1][1] >= 0.2 * S  # ten rounds of 30 ms, less the 20 ms of coming


def test_who_still_waits_when_time_is_over_never_comes() -> None:
    """The rest of the queue is given up, and counted by nobody as sent."""
    door, step = Door(stay_s=0.2), _step(lasts_s=0.3, cap=1)
    door.enter([k * MS for k in range(20)], step)
    until(lambda: door.is_closed)
    turn = door.leave.turn
    assert turn is not None
    assert door.numbers == [0, 1]
    assert (turn.arrived, turn.backlog) == (2, 0)
    assert door.changes >= 1
    gevent.sleep(0.25)
    assert door.numbers == [0, 1]


def test_the_end_is_not_before_its_time() -> None:
    """A schedule that has run out leaves the level open until it is over."""
    door, step = Door(), _step(lasts_s=0.2)
    door.enter([0], step)
    until(lambda: len(door.came) == 1)
    assert not door.is_closed
    until(lambda: door.is_closed)
    assert step.until_ns is not None
    assert now_ns() >= step.until_ns


def test_a_stop_is_at_once() -> None:
    """Nobody comes any more, from the schedule or from the queue."""
    door = Door(stay_s=0.01)
    door.enter(range(0, 10 * S, MS), _step(cap=1))
    until(lambda: len(door.came) >= 3)
    door.loop.stop()
    came = len(door.came)
    gevent.sleep(0.05)
    turn = door.leave.turn
    assert turn is not None
    assert (len(door.came), turn.backlog, turn.is_closed) == (came, 0, False)


def test_a_stop_is_heeded_by_an_arrival_whose_timer_has_gone_off() -> None:
    """The stop and the next arrival were due while the hub was busy; the stop is first, and its kill would be too late."""
    door, step = Door(), _step()
    door.enter([0, 20 * MS], step)
    until(lambda: len(door.came) == 1)
    gevent.spawn(monkey.get_original("time", "sleep"), 0.1)
    gevent.sleep(0.001)
    assert now_ns() > step.open_ns + 20 * MS
    door.loop.stop()
    gevent.sleep(0.02)
    assert door.numbers == [0]


def test_only_ones_own() -> None:
    """Of three parts the second sends every third, from the second on; from number 12 on it is one of two."""
    door = Door()
    door.enter([k * MS for k in range(20)], _step(lasts_s=0.1, slices=(Slice(0, 1, 3), Slice(12, 0, 2))))
    until(lambda: door.is_closed)
    assert door.numbers == [1, 4, 7, 10, 12, 14, 16, 18]


def test_what_is_dealt_out_anew_in_time_is_heeded() -> None:
    """An order that comes while this part waits for its next arrival."""
    door, step = Door(), _step(lasts_s=0.5)
    door.enter([k * 100 * MS for k in range(5)], step)
    until(lambda: len(door.came) >= 2)
    door.leave.obey(replace(step, slices=(Slice(0, 0, 1), Slice(3, -1, 1))))
    until(lambda: door.is_closed)
    assert door.numbers == [0, 1, 2]


def test_who_was_frozen_listens_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders that came meanwhile say that others have sent what this part missed."""
    monkeypatch.setattr(open_loop, "FROZEN_NS", 200 * MS)
    door, step = Door(), _step(lasts_s=1.2)
    door.enter([k * 50 * MS for k in range(24)], step)
    until(lambda: len(door.came) == 3)
    time.sleep(0.5)  # as if it had been stopped
    gevent.spawn_later(0.1, lambda: door.leave.obey(replace(step, slices=(Slice(0, 0, 1), Slice(5, -1, 1)))))
    until(lambda: door.is_closed)
    assert door.numbers == [0, 1, 2, 3, 4]


def test_an_arrival_that_asks_for_nothing_was_none() -> None:
    """A user that goes before its first request leaves no trace in the counts."""
    door = Door(takes=False)
    door.enter([0, MS], _step(lasts_s=0.1))
    until(lambda: door.is_closed)
    turn = door.leave.turn
    assert turn is not None
    assert len(door.came) == 2
    assert (turn.arrived, turn.given, turn.in_flight, door.leave.in_flight, door.leave.offered) == (0,) * 5


def test_an_allowance_that_is_used_up_is_waited_for() -> None:
    """The fourth of three waits, and says since when; with more to give it comes."""
    door, step = Door(), _step(lasts_s=5.0)
    door.enter([k * 10 * MS for k in range(6)], replace(step, most=3))
    until(lambda: door.leave.turn is not None and door.leave.turn.backlog == 3)
    turn = door.leave.turn
    assert turn is not None
    assert (door.numbers, turn.dry_ns) == ([0, 1, 2], step.open_ns + 30 * MS)
    door.leave.obey(replace(step, most=5))
    door.loop.go_on()
    assert (door.numbers, turn.backlog) == ([0, 1, 2, 3, 4], 1)
    assert turn.dry_ns is None or turn.dry_ns >= step.open_ns + 30 * MS
    door.loop.stop()


def test_more_than_this_process_can_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives up a while after the level's end; what it has not come to is not counted as sent."""
    monkeypatch.setattr(open_loop, "GRACE_NS", 100 * MS)
    door, step = Door(), _step(lasts_s=0.2)
    come = door.come

    def slowly(arrival: Arrival, gone: Callable[[], None]) -> None:
        time.sleep(0.001)
        come(arrival, gone)

    door.loop = OpenLoop(door.leave, slowly, door.changed)
    door.enter(range(0, S, S // 100_000), step)
    until(lambda: door.is_closed)
    assert step.until_ns is not None
    assert step.until_ns + 100 * MS <= now_ns() < step.until_ns + 2 * S
    turn = door.leave.turn
    assert turn is not None
    assert turn.arrived == len(door.came) < 1_000
    assert door.numbers == list(range(len(door.came)))


def test_numbers_of_others_let_others_have_their_turn() -> None:
    """Who joins late passes over all that was due before in a moment, and starves nobody."""
    door, turns = Door(), [0]

    def count() -> None:
        while True:
            gevent.sleep(0)
            turns[0] += 1

    counting = gevent.spawn(count)
    begin = now_ns() - 100 * S
    step = replace(
        _step(slices=(Slice(200_000, 0, 1),)), open_ns=begin, measure_ns=begin, until_ns=now_ns() + S
    )
    door.enter([k * S // 2_000 for k in range(200_100)], step)
    until(lambda: len(door.came) > 0)
    assert door.numbers[0] == 200_000
    assert turns[0] >= 40
    door.loop.stop()
    counting.kill()


def test_phases_go_by_when_a_request_was_due() -> None:
    """However late it is sent: warm-up, measured, cool-down."""
    door, step = Door(), _step(lasts_s=0.3)
    phases = []
    come = door.come

    def note(arrival: Arrival, gone: Callable[[], None]) -> None:
        phases.append(arrival.slot.phase)
        come(arrival, gone)

    door.loop = OpenLoop(door.leave, note, door.changed)
    begin = step.open_ns
    door.enter(
        [k * 50 * MS for k in range(6)],
        replace(step, measure_ns=begin + 100 * MS, cool_ns=begin + 200 * MS),
    )
    gevent.sleep(0.01)
    time.sleep(0.28)
    until(lambda: door.is_closed)
    assert phases == [Phase.WARMUP] * 2 + [Phase.MEASURE] * 2 + [Phase.DRAIN] * 2


# Parts that come and go: in this model each order takes its own time to each part, at most as long as is allowed for.
_NAMES = ("a", "b", "c", "d")
_GAP_NS = 100 * MS
_COUNT = 300


@dataclass(frozen=True)
class Crowd:
    """What the parts of one level know, and when they died."""

    deals: list[tuple[int, Segment]]
    delay_ns: dict[str, int]
    dead_ns: dict[str, int]

    def sent_by(self, name: str) -> list[int]:
        """Numbers that a part sends: looked at a second before they are due, and again when they are."""
        return [
            number
            for number in range(_COUNT)
            if number * _GAP_NS < self.dead_ns.get(name, _COUNT * _GAP_NS)
            and all(
                is_mine(number, self._known(name, moment))
                for moment in (number * _GAP_NS - AHEAD_NS, number * _GAP_NS)
            )
        ]

    def _known(self, name: str, at_ns: int) -> tuple[Slice, ...]:
        heard = [
            segment
            for when, segment in self.deals
            if when == 0 or when + self.delay_ns[name] <= max(at_ns, 0)
        ]
        step = heard[-1].step(name)
        assert step is not None
        return step.slices


def _deals(events: list[tuple[int, frozenset[str]]]) -> list[tuple[int, Segment]]:
    segment = Segment(
        0, LoadPoint(key=1, users=0, kind="arrivals"), 1, None, 0, Span(30.0), open_ns=0, cap=None
    )
    segment.due = Due(lambda: range(0, _COUNT * _GAP_NS, _GAP_NS))
    found = []
    for when, names in events:
        segment.share(names, when)
        found.append((when, replace(segment, slices=list(segment.slices))))
    return found


_memberships = st.frozensets(st.sampled_from(_NAMES), min_size=1)
_delays = st.fixed_dictionaries({name: st.integers(0, 950 * MS) for name in _NAMES})


@settings(max_examples=60, deadline=None)
@given(
    first=_memberships,
    later=st.lists(st.tuples(st.integers(1, 29 * S), _memberships), max_size=5),
    delay_ns=_delays,
)
def test_each_arrival_is_sent_once_however_parts_come_and_go(
    first: frozenset[str], later: list[tuple[int, frozenset[str]]], delay_ns: dict[str, int]
) -> None:
    """As long as all of them hear of it within a second, and none dies."""
    crowd = Crowd(_deals([(0, first), *sorted(later, key=lambda one: one[0])]), delay_ns, {})
    sent = sorted(number for name in _NAMES for number in crowd.sent_by(name))
    assert sent == list(range(_COUNT))


@settings(max_examples=60, deadline=None)
@given(
    names=st.frozensets(st.sampled_from(_NAMES), min_size=2),
    dies_ns=st.integers(0, 20 * S),
    unnoticed_ns=st.integers(0, 8 * S),
    delay_ns=_delays,
)
def test_what_a_dead_part_had_before_it_leaves_a_gap_and_no_more(
    names: frozenset[str], dies_ns: int, unnoticed_ns: int, delay_ns: dict[str, int]
) -> None:
    """Others take over two seconds after its death was noticed; until then its own arrivals are missing, and only they."""
    dead = min(names)
    noticed_ns = dies_ns + unnoticed_ns + 1
    crowd = Crowd(_deals([(0, names), (noticed_ns, names - {dead})]), delay_ns, {dead: dies_ns})
    sent = sorted(number for name in _NAMES for number in crowd.sent_by(name))
    assert len(set(sent)) == len(sent)
    missing = set(range(_COUNT)) - set(sent)
    assert all(number % len(names) == 0 for number in missing)
    assert all(dies_ns <= number * _GAP_NS < noticed_ns + 2 * S for number in missing)
    assert len(missing) <= (noticed_ns + 2 * S - dies_ns) / _GAP_NS / len(names) + 1


# Leave, which is what an arrival needs to send.

_LEVEL = Step(
    index=3,
    level=1,
    repeat=2,
    open_ns=0,
    warmup=0,
    quota=None,
    measure_ns=10,
    cool_ns=80,
    until_ns=100,
    is_open=True,
)
_PHASES: list[tuple[int, Phase | None]] = [
    (-5, Phase.WARMUP),  # a clock that was set back
    (9, Phase.WARMUP),
    (10, Phase.MEASURE),
    (79, Phase.MEASURE),
    (80, Phase.DRAIN),
    (99, Phase.DRAIN),
    (100, None),
]


def _leave(step: Step = _LEVEL) -> tuple[Leave, Turn]:
    leave = Leave()
    leave.obey(step)
    assert leave.turn is not None
    return leave, leave.turn


@pytest.mark.parametrize(("due_ns", "phase"), _PHASES)
def test_what_a_request_is_for_follows_from_when_it_is_due(due_ns: int, phase: Phase | None) -> None:
    """Whatever the time is now."""
    leave, turn = _leave()
    assert turn.phase(due_ns) is phase
    found = leave.admit(turn, due_ns, 1_000_000)
    assert found == (None if phase is None else (turn, Slot(1, 2, phase)))
    turn.is_closed = True
    assert turn.phase(50) is None


def test_a_level_without_an_end_measures_for_ever() -> None:
    """Nor has it a cool-down."""
    _, turn = _leave(replace(_LEVEL, until_ns=None, cool_ns=None))
    assert turn.phase(10**18) is Phase.MEASURE


def test_arrivals_are_counted_apart_from_what_they_send() -> None:
    """A chat's later turns have leave of their own and are no arrivals."""
    leave, turn = _leave()
    first = leave.admit(turn, 5, 6)
    second = leave.admit(turn, 20, 22)
    third = leave.admit(turn, 90, 91)
    assert first
    assert second
    assert third
    assert (turn.arrived, turn.given, turn.warmup_given, turn.in_flight) == (3, 1, 1, 3)
    assert (turn.first_ns, turn.start_ns) == (6, 22)
    leave.finished(*second, 40)
    again = leave.again(turn, 41)
    assert again == (turn, Slot(1, 2, Phase.MEASURE))
    assert (turn.arrived, turn.given, turn.done, turn.in_flight, leave.offered) == (3, 2, 1, 3, 4)
    assert leave.again(turn, 100) is None  # the level is over


def test_what_a_visitor_forgoes_is_given_back() -> None:
    """Of each phase, its own count."""
    for due_ns in (5, 20, 90):
        leave, turn = _leave()
        found = leave.admit(turn, due_ns, due_ns)
        assert found is not None
        leave.forgo(*found)
        counts = (turn.arrived, turn.given, turn.warmup_given, turn.in_flight, leave.in_flight, leave.offered)
        assert counts == (0,) * 6


def test_no_leave_when_load_is_stopped_or_the_allowance_used_up() -> None:
    """For an arrival as for a chat's next turn."""
    leave, turn = _leave(replace(_LEVEL, most=2))
    assert leave.admit(turn, 20, 20)
    assert leave.again(turn, 21)
    assert leave.is_dry
    assert leave.admit(turn, 22, 22) is None
    assert leave.again(turn, 22) is None
    leave.obey(replace(_LEVEL, most=3))
    assert leave.admit(turn, 23, 23)
    leave, turn = _leave()
    leave.stop()
    assert leave.admit(turn, 22, 22) is None
    assert leave.again(turn, 22) is None


def test_users_of_locusts_get_no_leave_in_an_open_loop() -> None:
    """They are none of its arrivals."""
    leave, turn = _leave()
    assert leave.take(50) is None
    timed, _ = _leave(replace(_LEVEL, is_open=False))
    assert [found and found[1].phase for found in map(timed.take, (5, 50, 90, 100))] == [
        Phase.WARMUP,
        Phase.MEASURE,
        Phase.DRAIN,
        None,
    ]
    assert turn.arrived == 0
