"""What is made of the parts' words while load runs: levels, time left, the verdict so far; and that nothing of it can hurt a run."""

import dataclasses
from types import SimpleNamespace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_sofar import record

from harness import live
from harness.live import Live
from harness.orders import Tally
from harness.plan import Plan, sweep
from harness.record import Outcome
from harness.segment import Part, Segment, Span
from harness.slo import read
from harness.web import outlook, standing
from harness.web.ledger import PUT_BY_NS, Ledger
from harness.web.lookout import MOST_ERRORS, Errors
from harness.web.sampler import Sampler

S: Final = 1_000_000_000
SLOS: Final = read(["ttft_p95<1s"])


def opened(
    plan: Plan, index: int, open_s: float, *, parts: int = 1, done: int = 0, end_s: float | None = None
) -> Segment:
    """A segment that has begun; with an end, one that is over."""
    plan.at, segment = index, plan.segments[index]
    segment.open_ns = round(open_s * S)
    for name in range(parts):
        segment.parts[str(name)] = Part(
            segment.point.users,
            Tally(
                index=index, given=done, done=done, first_ns=segment.open_ns, start_ns=segment.open_ns,
                end_ns=None if end_s is None else round(end_s * S), last_ns=None if end_s is None else round(end_s * S),
            ),
        )  # fmt: skip
    return segment


def said(part: Live) -> live.View:
    """What a master hears of it."""
    return live.read(part.stored())


def told(ledger: Ledger, plan: Plan, *, at: int | None, rates: Any = lambda *_: None) -> list[dict[str, Any]]:
    """Its levels."""
    return ledger.levels(plan.segments, at, until_ns=10**18, rates=rates, unsent=None)


def test_passes_are_pooled_and_put_by() -> None:
    """Two passes over a level are one entry, also after the first has been added up; what comes late is in it."""
    plan, part, ledger = sweep([4], 2, 3, 0), Live(SLOS), Ledger(SLOS)
    opened(plan, 0, 0, done=3, end_s=10)
    for at in (1, 2, 3):
        part.add(record(at, 100.0), 0)
    ledger.hear("0", said(part), 0)
    assert [one["state"] for one in told(ledger, plan, at=0)] == ["running"]
    opened(plan, 1, 100, done=3, end_s=120)
    for at in (101, 102):
        part.add(record(at, 300.0), 1)
    ledger.hear("0", said(part), 1)
    ledger.put_by(plan.segments, 1, PUT_BY_NS)
    before = told(ledger, plan, at=1)
    ledger.put_by(plan.segments, 1, PUT_BY_NS + 1)
    assert told(ledger, plan, at=1) == before
    part.add(record(103, 500.0, outcome=Outcome.FAILED, tokens=None), 1)
    ledger.hear("0", said(part), 2)
    ledger.hear("0", said(part), 3)
    (level,) = told(ledger, plan, at=None)
    assert (level["requests"], level["succeeded"], level["failed"], level["state"]) == (6, 5, 1, "done")
    assert (level["windows"], level["window_s"], level["repeat_count"], level["is_counted"]) == (
        2,
        30,
        2,
        True,
    )
    assert level["system_output_tokens_per_s"] == pytest.approx(5 * 20 / 30, rel=0.01)
    assert level["ttft_ms"]["n"] == 5
    assert level["ttft_ms"]["median"] == pytest.approx(100, rel=0.011)
    assert level["goodput"]["share"] == pytest.approx(5 / 6)
    assert level["ttft_ms"]["withheld"] == ["p99", "p5", "p95", "p10", "p90"]


def test_a_window_has_what_others_requests_gave_in_it() -> None:
    """As the summary has it: answers of the level before that end in this one's window, also once that level is put by."""
    plan, part, ledger = sweep([2, 4], 1, 2, 0), Live(), Ledger(())
    opened(plan, 0, 0, done=1, end_s=9)
    part.add(record(1, 100.0), 0)
    opened(plan, 1, 10, done=1, end_s=20)
    part.add(record(10.0, 1_000.0), 1)
    part.add(record(9.9, 100.0), 0)  # 20 tokens from 10 to 11
    ledger.hear("0", said(part), 0)
    ledger.put_by(plan.segments, 1, PUT_BY_NS + 1)
    _, level = told(ledger, plan, at=None)
    assert level["system_output_tokens_per_s"] == pytest.approx(40 / 10, rel=0.01)


def test_no_rate_is_too_low_because_a_report_is_still_to_come() -> None:
    """Until all requests are told of, the rates are those of the seconds."""
    plan, part, ledger = sweep([2], 1, 4, 0), Live(), Ledger(())
    opened(plan, 0, 0, done=4, end_s=10)
    part.add(record(1, 100.0), 0)
    ledger.hear("0", said(part), 0)
    (level,) = told(ledger, plan, at=None, rates=lambda start, end: (80.0, 40.0, 4.0))
    assert (level["system_output_tokens_per_s"], level["requests_per_s"], level["is_counted"]) == (
        8,
        0.4,
        False,
    )
    assert list(standing.of_levels([level], {}, timed=False)) == []


@pytest.mark.parametrize("quota", [5, None])
@pytest.mark.parametrize("wave", [False, True])
@pytest.mark.parametrize("span", [None, Span(60.0, 3.0)])
def test_a_window_begins_where_it_will_have_begun(quota: int | None, wave: bool, span: Span | None) -> None:
    """The rate of a level that is held is over the beginning of the window that it will have."""
    segment = sweep([4], 1, 5, 1).segments[0]
    segment.quota, segment.is_wave, segment.span = None if span else quota, wave and span is None, span
    assert segment.whole_from_ns() is None
    segment.open_ns = S
    for name, first in (("a", 2), ("b", 3)):
        tally = Tally(
            index=0,
            given=5,
            done=5,
            first_ns=first * S,
            start_ns=(first + 1) * S,
            end_ns=90 * S,
            last_ns=90 * S,
            is_closed=True,
        )
        segment.parts[name] = Part(2, tally)
    found = segment.whole_from_ns()
    if segment.quota is None and span is None:
        segment.cut(90 * S)
    window = segment.window()
    assert window is not None or segment.is_wave
    assert found == (window[0] if window else 3 * S)
    segment.parts["late"] = Part(2, Tally(index=0))
    if segment.quota is not None or span is not None:
        assert segment.whole_from_ns() is None or segment.is_wave


@given(
    failed=st.integers(0, 60), succeeded=st.integers(0, 60), quota=st.integers(0, 200), state=st.sampled_from(["running", "done"])
)  # fmt: skip
def test_the_verdict_so_far_is_never_worse_than_the_final_one(
    failed: int, succeeded: int, quota: int, state: str
) -> None:
    """Of the same requests, and whatever the rest of the level brings if all of it goes well."""
    requests = failed + succeeded
    level = {
        "level": 4, "kind": "concurrency", "title": "4 users", "state": state, "is_counted": True, "unsent": None,
        "requests": requests, "succeeded": succeeded, "failed": failed, "windows": 1, "window_s_shortest": 10.0,
        "e2e_ms": {"median": 100.0}, "wave": False,
    }  # fmt: skip
    coming = {4: max(quota, requests)} if state == "running" else {}
    now = standing.so_far(standing.of_levels([level], coming, timed=False), is_measured=bool(requests))
    rest = max(quota, requests) - requests if state == "running" else 0
    end = {**level, "state": "done", "requests": requests + rest, "succeeded": succeeded + rest}
    then = standing.so_far(standing.of_levels([end], {}, timed=False), is_measured=True)
    order = ["none", "valid", "suspect", "invalid"]
    assert order.index(now["status"]) <= order.index(then["status"])
    assert (now["status"] == "none") <= (requests == 0)


def test_the_final_verdict_is_the_summarys() -> None:
    """Its reasons in its order; how bad each is where that is known."""
    verdict = {"status": "invalid", "reasons": ["incomplete: x", "b", "c\x1b"]}
    found = standing.final(verdict, [{"status": "suspect", "text": "b"}])
    assert found == {
        "status": "invalid",
        "reasons": [
            {"status": "invalid", "text": "incomplete: x"},
            {"status": "suspect", "text": "b"},
            {"status": None, "text": "c?"},
        ],
        "is_final": True,
    }


def test_time_left() -> None:
    """By what a request takes a user so far; by the clock where a level has a time; unknown before anything is known."""
    plan = sweep([2, 4], 1, 20, 0)
    assert outlook.look(plan.segments, 0, begun_ns=0, now_ns=S).left_s is None
    opened(plan, 0, 0, done=10)
    plan.segments[0].parts["0"].tally = Tally(index=0, given=12, done=10, in_flight=2, first_ns=0)
    found = outlook.look(plan.segments, 0, begun_ns=0, now_ns=10 * S)
    # 10 more at one a second; then 20 by twice as many users, each of whom takes 2 s.
    assert found.left_s == pytest.approx(10 + 20 * 2 / 4)
    assert found.share == pytest.approx(10 / 30)
    assert outlook.look(plan.segments, 0, begun_ns=0, now_ns=10 * S, limits_s=[15.0, None]).left_s == 5
    assert outlook.look(plan.segments, 0, begun_ns=0, now_ns=10 * S, is_open_ended=True).left_s is None
    for segment in plan.segments:
        segment.quota, segment.span = None, Span(30.0)
    assert outlook.look(plan.segments, 0, begun_ns=0, now_ns=10 * S).left_s == 50


def test_errors_of_each_second_are_bounded() -> None:
    """None is lost where there are too many."""
    errors, sums = Errors(), {"timeout": 0, "reset": 0}
    for second in range(5_000):
        sums["timeout" if second % 3 else "reset"] += 2
        errors.add(second, dict(sums))
        errors.add(second, dict(sums))
    found = errors.stored()
    assert len(found["rows"]) <= MOST_ERRORS
    assert sorted(found["classes"]) == ["reset", "timeout"]
    for at, word in enumerate(found["classes"], 1):
        assert sum(row[at] for row in found["rows"]) == sums[word]
    assert [row[0] for row in found["rows"]] == sorted(row[0] for row in found["rows"])


class Broken:
    """A run of which something is odd."""

    plan = SimpleNamespace(begun_ns=S)
    is_over = False
    settings = SimpleNamespace(slos=())

    @property
    def parts(self) -> Any:
        raise RuntimeError("odd")


def test_nothing_odd_breaks_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said once, stands in the answer, and the next second is tried anew."""
    run: list[Any] = [Broken()]
    sampler = Sampler(lambda: run[0])
    for second in range(3):
        sampler.look((10 + second) * S)
    answer = sampler.told(0)
    assert b"RuntimeError: odd" in answer
    assert capsys.readouterr().err.count("RuntimeError: odd") == 1
    run[0] = None
    sampler.look(20 * S)
    assert b'"problem":null' in sampler.told(0)


def test_an_answer_is_made_once_a_look() -> None:
    """All who ask for the same share it."""
    sampler = Sampler(lambda: None)
    sampler.look(S)
    assert sampler.told(0) is sampler.told(0)
    first = sampler.told(0)
    sampler.look(2 * S)
    assert sampler.told(0) is not first


def test_a_level_of_which_nobody_has_said_anything() -> None:
    """It is held, and nothing is known of it."""
    ledger, plan = Ledger(()), sweep([2], 1, 4, 0)
    opened(plan, 0, 0)
    (level,) = told(ledger, plan, at=0)
    assert (level["requests"], level["system_output_tokens_per_s"], level["ttft_ms"]["p95"]) == (
        0,
        None,
        None,
    )


def test_a_level_with_requests_in_flight_is_not_judged() -> None:
    """Its slowest answers are still to come: it is not whole, and not put by, however long nothing new is heard of it."""
    plan, part, ledger = sweep([4, 2], 1, 3, 0), Live(SLOS), Ledger(SLOS)
    segment = opened(plan, 0, 0, done=2, end_s=10)
    tally = segment.parts["0"].tally
    segment.parts["0"].tally = dataclasses.replace(tally, in_flight=1)
    for at in (1, 2):
        part.add(record(at, 100.0), 0)
    ledger.hear("0", said(part), 0)
    opened(plan, 1, 100)
    ledger.put_by(plan.segments, 1, 10 * PUT_BY_NS)
    assert told(ledger, plan, at=1)[0]["is_counted"] is False
    part.add(record(40, 42_000.0), 0)
    segment.parts["0"].tally = dataclasses.replace(tally, done=3)
    ledger.hear("0", said(part), 10 * PUT_BY_NS)
    level = told(ledger, plan, at=1)[0]
    assert (level["is_counted"], level["requests"]) == (True, 3)
    assert level["ttft_ms"]["max"] == pytest.approx(42_000, rel=0.011)
    ledger.put_by(plan.segments, 1, 12 * PUT_BY_NS)
    assert told(ledger, plan, at=1)[0]["requests"] == 3
