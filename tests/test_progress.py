"""The line that says how far a run is: what stands in it at each point of a run."""

import io
import re

import gevent
import pytest

from harness import plan
from harness.clock import now_ns
from harness.plan import Plan
from harness.progress import Progress
from harness.record import Outcome, Phase, RequestRecord

MS = 1_000_000


def record(
    outcome: Outcome = Outcome.OK,
    phase: Phase = Phase.MEASURE,
    *,
    ttft_ms: int | None = 100,
    tokens: int | None = 11,
    tpot_ms: int = 20,
) -> RequestRecord:
    """A finished request."""
    first = None if ttft_ms is None else ttft_ms * MS
    return RequestRecord(
        request_id="r",
        name="/chat",
        worker="w0",
        level=1,
        repeat=1,
        phase=phase,
        outcome=outcome,
        scheduled_ns=0,
        sent_ns=0,
        end_ns=10**10,
        first_content_ns=first,
        last_content_ns=None if first is None else first + 10 * tpot_ms * MS,
        output_tokens=tokens,
    )


def begun(a_plan: Plan, seconds_ago: float = 12.5) -> Progress:
    """Progress of a run that began some seconds ago, without the greenlet that prints it."""
    progress = Progress(a_plan, io.StringIO())
    progress._begin_ns = now_ns() - int(seconds_ago * 1e9)
    return progress


def test_a_run_that_has_just_begun() -> None:
    """No median of nothing, and no 0 for it."""
    assert begun(Plan(), 0.5).line() == "[0:00] starting users · 0 ok in all · 0 tokens"


def test_counts_and_medians() -> None:
    """Failures and cancellations are named where there are any; TTFT and rate are medians."""
    progress = begun(Plan(), 75.5)
    for ttft_ms, tpot_ms in ((100, 20), (300, 50), (200, 25)):
        progress.add(record(ttft_ms=ttft_ms, tpot_ms=tpot_ms))
    assert progress.line() == (
        "[1:15] starting users · 3 ok in all · 33 tokens · TTFT 200 ms · 40.0 tok/s per request (medians of the last 3)"
    )
    progress.add(record(Outcome.FAILED, ttft_ms=None, tokens=None))
    progress.add(record(Outcome.FAILED, ttft_ms=None, tokens=None))
    progress.add(record(Outcome.CANCELLED, ttft_ms=9_000, tokens=5))
    assert progress.outcomes == {Outcome.OK: 3, Outcome.FAILED: 2, Outcome.CANCELLED: 1}
    assert progress.line() == (
        "[1:15] starting users · 3 ok in all · 2 failed · 1 cancelled · 38 tokens · TTFT 200 ms "
        "· 40.0 tok/s per request (medians of the last 3)"
    )


def test_medians_are_of_measured_requests_only() -> None:
    """Warm-up and drain count as requests and tokens, and no more."""
    progress = begun(Plan())
    progress.add(record(phase=Phase.WARMUP, ttft_ms=5_000))
    progress.add(record(phase=Phase.DRAIN, ttft_ms=5_000))
    assert progress.line() == "[0:12] starting users · 2 ok in all · 22 tokens"


def test_medians_follow_the_last_hundred() -> None:
    """A long run's line tells how it is now."""
    progress = begun(Plan())
    for ttft_ms in [1_000] * 150 + [2_000] * 100:
        progress.add(record(ttft_ms=ttft_ms))
    assert "250 ok in all · 2,750 tokens · TTFT 2,000 ms" in progress.line()
    assert progress.line().endswith("(medians of the last 100)")


def test_what_cannot_be_measured_is_left_out() -> None:
    """One-token answers have a TTFT and no rate; uncounted ones add no tokens."""
    progress = begun(Plan())
    progress.add(record(tokens=1))
    progress.add(record(tokens=None))
    assert progress.line() == "[0:12] starting users · 2 ok in all · 1 tokens · TTFT 100 ms"


def test_the_place_in_a_sweep() -> None:
    """Users coming up, warming up, measured requests done, the next step, the end."""
    sweep = plan.sweep([1, 2], 1, 2, 1)
    progress = begun(sweep)

    def place() -> str:
        return progress.line().split(" · ")[0].removeprefix("[0:12] ")

    assert place() == "1 user, step 1/2: warming up"
    sweep.users_ready(1, 0)
    for time in (1, 2, 3):
        leave = sweep.take(time)
        assert leave is not None
        assert place() == (
            "1 user, step 1/2: warming up" if time == 1 else f"1 user, step 1/2: {time - 2}/2 done"
        )
        sweep.finished(*leave, time)
    assert place() == "1 user, step 1/2: 2/2 done"
    sweep.next_segment()
    assert place() == "2 users, step 2/2: warming up"
    sweep.next_segment()
    assert place() == "done"


def test_the_place_in_a_plain_run() -> None:
    """Users as Locust reports them; there is no end to count towards."""
    timed = Plan()
    progress = begun(timed)
    assert timed.take(0) is not None  # the first users of the ramp send
    assert progress.line().startswith("[0:12] starting users · ")
    timed.users_ready(8, 1)
    assert progress.line().startswith("[0:12] 8 users · ")


class Terminal(io.StringIO):
    """Says that somebody is looking."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.mark.parametrize(
    ("stream", "pause_s"), [(Terminal(), 2), (io.StringIO(), 5)], ids=["terminal", "log"]
)
def test_it_tells_now_and_then_and_once_at_the_end(
    stream: io.StringIO, pause_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More often to a person than to a log; a last line when load is over, and none after that."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        wait(0.001 if len(pauses) <= 3 else 60)

    wait = gevent.sleep
    monkeypatch.setattr("harness.progress.gevent.sleep", sleep)
    progress = Progress(Plan(), stream)
    progress.start()
    while len(pauses) < 4:
        wait(0.001)
    progress.add(record())
    progress.stop()
    progress.stop()
    assert pauses == [pause_s] * 4
    told = stream.getvalue().splitlines()
    assert [re.sub(r"\d", "0", line.split(" · ")[0]) for line in told] == ["[0:00] starting users"] * 4
    assert [" · 1 ok in all" in line for line in told] == [False, False, False, True]


def test_stopped_before_it_was_started_it_says_nothing() -> None:
    """A run that never began has no last line."""
    stream = io.StringIO()
    Progress(Plan(), stream).stop()
    assert stream.getvalue() == ""
