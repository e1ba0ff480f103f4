"""A level held once, as tables of times: its window by three rules, what was not sent, and who gets which arrivals."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.arrivals import Slice
from harness.loadpoint import LoadPoint
from harness.orders import Tally
from harness.segment import COUNT_NS, LEAD_NS, Due, Part, Segment, Span

S = 1_000_000_000
OPEN = LoadPoint(key=1, users=0, kind="arrivals", text="constant:10")
OPEN_NS = 1_000 * S
HALF = S // 20  # between two arrivals, of those every 100 ms


def _tally(**said: Any) -> Tally:
    """What a part says, with its stamps in seconds after the level's opening."""
    stamps = {name: OPEN_NS + round(at * S) for name, at in said.items() if name.endswith("_ns")}
    return Tally(**({"index": 0} | said | stamps))


def _segment(
    point: LoadPoint, parts: Mapping[str, Part], *, cut: float | None = None, **more: Any
) -> Segment:
    found = Segment(0, point, 1, None, 0, open_ns=OPEN_NS, parts=dict(parts))
    found = replace(found, **more)
    if cut is not None:
        found.cut(OPEN_NS + round(cut * S))
    return found


def _window(segment: Segment) -> tuple[float, float] | None:
    """In seconds after the opening."""
    span = segment.window()
    return None if span is None else ((span[0] - OPEN_NS) / S, (span[1] - OPEN_NS) / S)


def _every_100_ms() -> range:
    return range(0, 100 * S, S // 10)


QUOTA_PARTS: dict[str, tuple[dict[str, dict[str, float]], float | None, tuple[float, float] | None]] = {
    "one part": ({"a": {"first_ns": 0, "start_ns": 2, "end_ns": 9}}, None, (2, 9)),
    "it has not run out": ({"a": {"first_ns": 0, "start_ns": 2}}, None, None),
    "nothing measured": ({"a": {"first_ns": 0}}, None, None),
    "the last to send, the first to run out": (
        {"a": {"first_ns": 0, "start_ns": 2, "end_ns": 9}, "b": {"first_ns": 3, "start_ns": 5, "end_ns": 8}},
        None,
        (3, 8),
    ),
    "one of two has not run out": (
        {"a": {"first_ns": 0, "start_ns": 2, "end_ns": 9}, "b": {"first_ns": 3, "start_ns": 5}},
        None,
        None,
    ),
    "cut before": ({"a": {"first_ns": 0, "start_ns": 2, "end_ns": 9}}, 7, (2, 7)),
    "cut after": ({"a": {"first_ns": 0, "start_ns": 2, "end_ns": 9}}, 12, (2, 9)),
    "cut before it was whole": ({"a": {"first_ns": 0, "start_ns": 2, "end_ns": 9}}, 1, None),
    "cut, and never run out": ({"a": {"first_ns": 0, "start_ns": 2}}, 7, (2, 7)),
    "out of what they may send": ({"a": {"first_ns": 0, "start_ns": 2, "dry_ns": 5}}, 7, (2, 5)),
    "one has never sent": ({"a": {"first_ns": 0, "start_ns": 2, "end_ns": 9}, "b": {}}, None, None),
}


@pytest.mark.parametrize("case", QUOTA_PARTS)
def test_the_window_of_a_quota(case: str) -> None:
    """All users are up and busy: from the last part's first request to the first that had nothing left to give."""
    parts, cut, expected = QUOTA_PARTS[case]
    held = {name: Part(2, _tally(**said)) for name, said in parts.items()}
    assert _window(_segment(LoadPoint.of_users(4), held, cut=cut, quota=20)) == expected


def test_a_part_without_users_is_no_part_of_a_window() -> None:
    """Neither one that has none, nor one that got them when the window was over."""
    busy = Part(2, _tally(first_ns=0, start_ns=2, end_ns=9))
    idle, late = Part(0, _tally()), Part(2, _tally(first_ns=8, start_ns=8), is_late=True)
    segment = _segment(LoadPoint.of_users(4), {"a": busy, "b": idle, "c": late}, quota=20)
    assert _window(segment) == (2, 9)


def test_a_lost_part_counts_up_to_its_loss() -> None:
    """What it had begun before makes the window's start; the cut makes its end."""
    lost = Part(0, _tally(first_ns=4, start_ns=4), is_lost=True)
    segment = _segment(
        LoadPoint.of_users(4),
        {"a": Part(2, _tally(first_ns=0, start_ns=2, end_ns=9)), "b": lost},
        cut=6,
        quota=20,
    )
    assert _window(segment) == (4, 6)


WAVES: dict[str, tuple[dict[str, dict[str, float]], float | None, tuple[float, float] | None]] = {
    "first sent to last end": (
        {"a": {"start_ns": 1, "last_ns": 6, "given": 2}, "b": {"start_ns": 2, "last_ns": 9, "given": 2}},
        None,
        (1, 9),
    ),
    "some are under way": (
        {
            "a": {"start_ns": 1, "last_ns": 6, "given": 2},
            "b": {"start_ns": 2, "last_ns": 5, "given": 2, "in_flight": 1},
        },
        None,
        None,
    ),
    "some were not sent": ({"a": {"start_ns": 1, "last_ns": 6, "given": 3}}, None, None),
    "cut": ({"a": {"start_ns": 1, "last_ns": 6, "given": 4}}, 5, None),
    "cut when it was over": ({"a": {"start_ns": 1, "last_ns": 6, "given": 4}}, 7, None),
    "no time at all": ({"a": {"start_ns": 1, "last_ns": 1, "given": 4}}, None, None),
}


@pytest.mark.parametrize("case", WAVES)
def test_the_window_of_a_wave(case: str) -> None:
    """The whole of it or nothing: from the first leave to the last end."""
    parts, cut, expected = WAVES[case]
    held = {name: Part(2, _tally(first_ns=said["start_ns"], **said)) for name, said in parts.items()}
    assert _window(_segment(LoadPoint.of_users(4), held, cut=cut, quota=4, is_wave=True)) == expected


SPAN = Span(20.0, 3.0, 2.0)
TIMED: dict[str, tuple[bool, dict[str, dict[str, Any]], float | None, tuple[float, float] | None]] = {
    "closed loop": (False, {"a": {"first_ns": 0.5, "is_closed": True}}, None, (3, 18)),
    "users that were slow to come": (
        False,
        {"a": {"first_ns": 0.5, "is_closed": True}, "b": {"first_ns": 5.0, "is_closed": True}},
        None,
        (5, 18),
    ),
    "one of two still sends": (
        False,
        {"a": {"first_ns": 0.5, "is_closed": True}, "b": {"first_ns": 0.5}},
        None,
        None,
    ),
    "one of two never sent": (
        False,
        {"a": {"first_ns": 0.5, "is_closed": True}, "b": {"is_closed": True}},
        None,
        None,
    ),
    "closed loop, cut": (False, {"a": {"first_ns": 0.5}}, 10, (3, 10)),
    "closed loop, cut in the cool-down": (False, {"a": {"first_ns": 0.5}}, 19, (3, 18)),
    "closed loop, cut in the warm-up": (False, {"a": {"first_ns": 0.5}}, 2, None),
    "open loop": (True, {"a": {"first_ns": 0.5, "is_closed": True}}, None, (3, 18)),
    "open loop with rare arrivals": (
        True,
        {"a": {"first_ns": 12.0, "is_closed": True}, "b": {"is_closed": True}},
        None,
        (3, 18),
    ),
    "open loop, one has not come to its end": (
        True,
        {"a": {"first_ns": 1, "is_closed": True}, "b": {"first_ns": 1}},
        None,
        None,
    ),
    "open loop, nothing sent": (True, {"a": {"is_closed": True}}, None, None),
    "open loop, cut": (True, {"a": {"first_ns": 1}, "b": {}}, 10, (3, 10)),
    "open loop, out of what it may send": (True, {"a": {"first_ns": 1, "dry_ns": 8}}, 10, (3, 8)),
}


@pytest.mark.parametrize("case", TIMED)
def test_the_window_of_a_span(case: str) -> None:
    """Warm-up to cool-down by the clock; in a closed loop not before the last part's users had sent."""
    is_open, parts, cut, expected = TIMED[case]
    point = OPEN if is_open else LoadPoint.of_users(4)
    held = {name: Part(0 if is_open else 2, _tally(**said)) for name, said in parts.items()}
    assert _window(_segment(point, held, cut=cut, span=SPAN)) == expected


def test_a_span_without_an_end_lasts_until_load_is_stopped() -> None:
    """Its cool-down is that of a length it does not have."""
    segment = _segment(
        LoadPoint.of_users(2), {"a": Part(2, _tally(first_ns=1))}, cut=30, span=Span(None, 5.0, 4.0)
    )
    assert (segment.end_ns, _window(segment)) == (None, (5, 30))


def test_only_the_first_cut_counts_and_none_before_the_opening() -> None:
    """A segment that is not open cannot be cut."""
    segment = _segment(OPEN, {}, cut=5)
    segment.cut(OPEN_NS + 3 * S)
    assert segment.cut_ns == OPEN_NS + 5 * S
    closed = Segment(0, OPEN, 1, None, 0)
    closed.cut(5)
    assert closed.cut_ns is None
    assert closed.step("a") is None


DONE: dict[str, tuple[dict[str, Any], dict[str, Part], bool]] = {
    "quota given": ({"quota": 4}, {"a": Part(2, _tally(given=4))}, True),
    "quota not given": ({"quota": 4}, {"a": Part(2, _tally(given=3))}, False),
    "one under way": ({"quota": 4}, {"a": Part(2, _tally(given=4, in_flight=1))}, False),
    "under way with one that is lost": (
        {"quota": 4},
        {"a": Part(2, _tally(given=2)), "b": Part(0, _tally(given=2, in_flight=2), is_lost=True)},
        True,
    ),
    "time is over": ({"span": SPAN}, {"a": Part(0, _tally(is_closed=True))}, True),
    "time is not over": (
        {"span": SPAN},
        {"a": Part(0, _tally(is_closed=True)), "b": Part(0, _tally())},
        False,
    ),
    "lost parts are not waited for": (
        {"span": SPAN},
        {"a": Part(0, _tally(is_closed=True)), "b": Part(0, _tally(in_flight=3), is_lost=True)},
        True,
    ),
    "nobody is there": ({"span": SPAN}, {"b": Part(0, _tally(), is_lost=True)}, False),
    "a span without an end": ({"span": Span()}, {"a": Part(0, _tally(is_closed=True))}, False),
}


@pytest.mark.parametrize("case", DONE)
def test_when_a_level_is_over(case: str) -> None:
    """All that was to be sent has been, and nothing is in flight with anybody who is there."""
    more, parts, expected = DONE[case]
    assert _segment(OPEN, parts, **more).is_done is expected


def test_before_it_opens_nothing_is_done() -> None:
    """Not even a quota of nothing."""
    assert not Segment(0, OPEN, 1, 0, 0).is_done


UNSENT: dict[str, tuple[dict[str, dict[str, Any]], float | None, float | None, int]] = {
    "all sent": ({"a": {"arrived": 100}, "b": {"arrived": 100}}, None, None, 0),
    "some waited when time was over": ({"a": {"arrived": 95}, "b": {"arrived": 90}}, None, None, 15),
    "stopped half-way": ({"a": {"arrived": 100}}, None, 10, 0),
    "stopped with some waiting": ({"a": {"arrived": 80}}, None, 10, 20),
    "stopped after its end": ({"a": {"arrived": 190}}, None, 25, 10),
    "a part was lost, and load went on": ({"a": {"arrived": 150}, "b": {"arrived": 20}}, 5, None, 30),
    "all that was allowed was sent": ({"a": {"arrived": 80, "dry_ns": 8}}, None, 9, 0),
    "an allowance that was enough again": ({"a": {"arrived": 200, "dry_ns": 8}}, None, None, 0),
    "more came than were due": ({"a": {"arrived": 103}}, None, 10, 0),
}


@pytest.mark.parametrize("case", UNSENT)
def test_arrivals_that_nobody_sent(case: str) -> None:
    """Of those that were due before the level's end or the stop; what others took over from a lost part was sent."""
    parts, cut, stop, expected = UNSENT[case]
    held = {name: Part(0, _tally(**said)) for name, said in parts.items()}
    segment = _segment(OPEN, held, cut=cut, span=Span(20.0), due=Due(_every_100_ms))
    if stop is not None:
        segment.stop(OPEN_NS + round(stop * S))
    assert segment.unsent() == expected
    assert segment.unsent() == expected  # looking changes nothing


def test_unsent_is_of_open_loops() -> None:
    """None in a closed loop; none yet where nothing has begun, or nobody knows when it ends."""
    assert _segment(LoadPoint.of_users(2), {}, span=SPAN).unsent() is None
    assert Segment(0, OPEN, 1, None, 0, SPAN, due=Due(_every_100_ms)).unsent() == 0
    assert _segment(OPEN, {}, span=Span(), due=Due(_every_100_ms)).unsent() == 0


def test_the_end_is_looked_at_after_a_later_moment() -> None:
    """Dealing out looks ahead, past the level's end; what is due before the end is still counted right."""
    segment = _segment(OPEN, {"a": Part(0, _tally(arrived=190))}, span=Span(20.0), due=Due(_every_100_ms))
    segment.share(["a"], OPEN_NS)
    segment.share(["a", "b"], OPEN_NS + 19 * S + HALF)
    assert segment.slices == [(0, ("a",)), (211, ("a", "b"))]
    assert segment.unsent() == 10


@given(offsets=st.lists(st.integers(0, 50), max_size=30), moments=st.lists(st.integers(-5, 60), max_size=10))
def test_due_counts_in_any_order(offsets: list[int], moments: list[int]) -> None:
    """As many as have a smaller offset, whichever moment was asked for before."""
    ordered = sorted(offsets)
    due = Due(lambda: ordered)
    for moment in moments:
        assert due.before(moment) == sum(offset < moment for offset in ordered)
        assert due.counted == due.before(moment)


def test_arrivals_are_dealt_out_in_turn() -> None:
    """By name, from number 0 at first; a change holds from an arrival on that is due in two seconds."""
    segment = _segment(OPEN, {}, span=Span(60.0), due=Due(_every_100_ms))
    segment.share(["b", "a"], OPEN_NS)
    segment.share({"a", "b"}, OPEN_NS + S)  # no change
    segment.share(["a", "b", "c"], OPEN_NS + 10 * S + HALF)
    segment.share(["c"], OPEN_NS + 20 * S + HALF)
    segment.share([], OPEN_NS + 30 * S)  # nobody is there: whoever comes first goes on
    assert segment.slices == [(0, ("a", "b")), (121, ("a", "b", "c")), (221, ("c",))]
    assert segment.takers == ("c",)
    found = {name: step.slices for name in "abcd" if (step := segment.step(name))}
    assert found["a"] == (Slice(0, 0, 2), Slice(121, 0, 3), Slice(221, -1, 1))
    assert found["b"] == (Slice(0, 1, 2), Slice(121, 1, 3), Slice(221, -1, 1))
    assert found["c"] == (Slice(0, -1, 2), Slice(121, 2, 3), Slice(221, 0, 1))
    assert found["d"] == (Slice(0, -1, 2), Slice(121, -1, 3), Slice(221, -1, 1))


def test_a_change_late_in_a_long_level_leaves_time_to_count() -> None:
    """A million arrivals take a while to count, and the change holds from later on."""
    segment = _segment(OPEN, {}, span=Span(None), due=Due(lambda: range(0, 2_000 * S, S // 1_000)))
    segment.share(["a"], OPEN_NS)
    segment.share(["a", "b"], OPEN_NS + 1_000 * S)
    counted = (1_000 * S + LEAD_NS) * 1_000 // S
    assert segment.slices[-1][0] == counted + counted * COUNT_NS * 1_000 // S


def test_a_closed_loop_deals_nothing_out() -> None:
    """Nor does a level that is not open yet."""
    closed = _segment(LoadPoint.of_users(2), {}, span=SPAN)
    closed.share(["a"], OPEN_NS)
    waiting = Segment(0, OPEN, 1, None, 0, SPAN, due=Due(_every_100_ms))
    waiting.share(["a"], OPEN_NS)
    assert closed.slices == waiting.slices == []


@given(cap=st.integers(1, 12), parts=st.integers(1, 8))
def test_a_cap_is_over_all_parts(cap: int, parts: int) -> None:
    """Shares of parts that get arrivals sum to it, and differ by one at most; the others get none."""
    names = [f"w{number}" for number in range(parts)]
    segment = _segment(OPEN, {}, span=Span(10.0), due=Due(_every_100_ms), cap=cap)
    segment.share(names, OPEN_NS)
    steps = {name: step for name in names if (step := segment.step(name))}
    caps = [steps[name].cap or 0 for name in segment.takers]
    assert sum(caps) == cap
    assert max(caps) - min(caps) <= 1
    assert len(segment.takers) == min(cap, parts)
    for name in set(names) - set(segment.takers):
        assert steps[name].slices == (Slice(0, -1, len(segment.takers)),)


def test_what_a_part_is_told_of_a_span() -> None:
    """When requests begin to count, cease to, and when no more are sent."""
    segment = _segment(OPEN, {}, span=SPAN, due=Due(_every_100_ms), cap=5)
    segment.share(["a", "b"], OPEN_NS)
    step = segment.step("b")
    assert step is not None
    assert (step.index, step.level, step.repeat, step.quota, step.warmup) == (0, 1, 1, None, 0)
    assert (step.measure_ns, step.cool_ns) == (OPEN_NS + 3 * S, OPEN_NS + 18 * S)
    assert (step.until_ns, step.is_open, step.cap) == (OPEN_NS + 20 * S, True, 2)
    endless = _segment(OPEN, {}, span=Span(None, 3.0, 2.0)).step("a")
    assert endless is not None
    assert (endless.measure_ns, endless.cool_ns, endless.until_ns) == (OPEN_NS + 3 * S, None, None)


def test_a_cool_down_that_is_longer_than_the_rest_begins_when_the_warm_up_ends() -> None:
    """Nothing is measured, and no request is of both."""
    step = _segment(OPEN, {}, span=Span(4.0, 3.0, 2.0)).step("a")
    assert step is not None
    assert step.measure_ns == step.cool_ns == OPEN_NS + 3 * S
