"""The line that says how far a run is: what stands in it at each point of a run."""

import io
import re
from dataclasses import dataclass, field

import gevent
import pytest

from harness.clock import now_ns
from harness.live import Live, View, merged
from harness.loadpoint import LoadPoint
from harness.progress import Progress
from harness.record import Outcome, Phase, RequestRecord

MS = 1_000_000


@dataclass
class Level:
    """One level of a plan, at whatever point a test wants it."""

    index: int
    level: int
    quota: int | None = 2
    warmup: int = 1
    requests: int = 0  # given out, measured
    warmups: int = 0
    over: int = 0
    rate: float | None = None  # of an open loop
    flying: int = 0
    held: int = 0
    label: str | None = None

    @property
    def point(self) -> LoadPoint:
        """What it holds."""
        if self.rate is None:
            return LoadPoint.of_users(self.level)
        return LoadPoint(key=self.level, users=0, kind="rate", rate=self.rate, value=self.rate)

    def in_flight(self) -> int:
        """Requests under way."""
        return self.flying

    def backlog(self) -> int:
        """Arrivals that wait for the cap."""
        return self.held

    def given(self) -> int:
        """Measured requests given out."""
        return self.requests

    def warmup_given(self) -> int:
        """Warm-up requests given out."""
        return self.warmups

    def warmup_total(self) -> int:
        """Of all users."""
        return self.warmup * self.level

    def done(self) -> int:
        """Measured requests that are over."""
        return self.over


@dataclass
class Levels:
    """A plan that stands where a test puts it."""

    segments: list[Level] = field(default_factory=list)
    at: int = 0
    is_sweep: bool = False

    @property
    def segment(self) -> Level | None:
        """The one under way."""
        return self.segments[self.at] if self.at < len(self.segments) else None


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


def view(*parts: object) -> View:
    """What the parts have counted."""
    return merged([part.stored() if isinstance(part, Live) else part for part in parts])


def begun(
    plan: Levels, live: Live, seconds_ago: float = 12.5, workers: tuple[int, int] | None = None
) -> Progress:
    """Progress of a run that began some seconds ago, without the greenlet that prints it."""
    heard = None if workers is None else (lambda: workers)
    progress = Progress(plan, lambda: view(live), io.StringIO(), workers=heard)
    progress._begin_ns = now_ns() - int(seconds_ago * 1e9)
    return progress


def test_a_run_that_has_just_begun() -> None:
    """No median of nothing, and no 0 for it."""
    assert begun(Levels(), Live(), 0.5).line() == "[0:00] starting users · 0 ok in all · 0 tokens"


def test_counts_and_medians() -> None:
    """Failures and cancellations are named where there are any; TTFT and rate are medians, within 1 %."""
    live = Live()
    progress = begun(Levels([Level(0, 4, None)]), live, 75.5)
    for ttft_ms, tpot_ms in ((10, 20), (30, 50), (20, 25)):
        live.add(record(ttft_ms=ttft_ms, tpot_ms=tpot_ms), 0)
    assert re.fullmatch(
        r"\[1:15\] 4 users · 3 ok in all · 33 tokens · TTFT 20 ms · (39\.[6-9]|40\.[0-4]) tok/s per request "
        r"\(medians of 3\)",
        progress.line(),
    )
    live.add(record(Outcome.FAILED, ttft_ms=None, tokens=None), 0)
    live.add(record(Outcome.FAILED, ttft_ms=None, tokens=None), 0)
    live.add(record(Outcome.CANCELLED, ttft_ms=9_000, tokens=5), 0)
    assert progress.line().startswith(
        "[1:15] 4 users · 3 ok in all · 2 failed · 1 cancelled · 38 tokens · TTFT 20 ms · "
    )
    assert progress.line().endswith("(medians of 3)")


def test_medians_are_of_measured_requests_only() -> None:
    """Warm-up and drain count as requests and tokens, and no more."""
    live = Live()
    live.add(record(phase=Phase.WARMUP, ttft_ms=5_000), 0)
    live.add(record(phase=Phase.DRAIN, ttft_ms=5_000), 0)
    assert begun(Levels(), live).line() == "[0:12] starting users · 2 ok in all · 22 tokens"


def test_medians_are_of_this_step() -> None:
    """All of it, and nothing of the step before; until one of its own is over there are none."""
    live = Live()
    sweep = Levels([Level(0, 1, 250, 0, 250, 0, 250), Level(1, 2, 3, 0, 1)], is_sweep=True)
    progress = begun(sweep, live)
    for _ in range(250):
        live.add(record(ttft_ms=10), 0)
    assert "250 ok in all · 2,750 tokens · TTFT 10 ms · " in progress.line()
    assert progress.line().endswith(" (medians of this step's 250)")
    sweep.at = 1
    assert progress.line() == "[0:12] 2 users, step 2/2: 0/3 done · 250 ok in all · 2,750 tokens"
    live.add(record(ttft_ms=30), 1)
    assert "251 ok in all · 2,761 tokens · TTFT 30 ms · " in progress.line()
    assert progress.line().endswith(" (medians of this step's 1)")
    sweep.at = 2
    assert "done · 251 ok in all · 2,761 tokens · TTFT 30 ms · " in progress.line()
    assert progress.line().endswith(" (medians of the last step's 1)")


def test_what_cannot_be_measured_is_left_out() -> None:
    """One-token answers have a TTFT and no rate; uncounted ones add no tokens, and are told."""
    live = Live()
    progress = begun(Levels([Level(0, 1, None)]), live)
    live.add(record(tokens=None), 0)
    assert (
        progress.line() == "[0:12] 1 user · 1 ok in all · tokens not counted yet · TTFT 100 ms (median of 1)"
    )
    live.add(record(tokens=1), 0)
    assert progress.line() == (
        "[0:12] 1 user · 2 ok in all · 1 token, 1 answer not counted yet · TTFT 100 ms (median of 2)"
    )


def test_empty_answers_are_not_uncounted() -> None:
    """A server that says 0 tokens has counted."""
    live = Live()
    live.add(record(tokens=0, ttft_ms=None), 0)
    assert begun(Levels(), live).line() == "[0:12] starting users · 1 ok in all · 0 tokens"


def test_the_place_in_a_sweep() -> None:
    """Users coming up, warming up, measured requests done, the next step, the end."""
    one, two = Level(0, 1), Level(1, 2)
    sweep = Levels([one, two], is_sweep=True)
    progress = begun(sweep, Live())

    def place() -> str:
        return progress.line().split(" · ")[0].removeprefix("[0:12] ")

    assert place() == "1 user, step 1/2: warming up"
    one.warmups = 1
    assert place() == "1 user, step 1/2: warming up"  # until a measured one is on its way
    one.requests = 1
    assert place() == "1 user, step 1/2: 0/2 done"
    one.requests, one.over = 2, 2
    assert place() == "1 user, step 1/2: 2/2 done"
    sweep.at = 1
    two.warmups, two.requests = 1, 1  # a worker that is ahead of the others
    assert place() == "2 users, step 2/2: warming up"
    sweep.at = 2
    assert place() == "done"


def test_the_place_in_a_plain_run() -> None:
    """Users as Locust reports them; there is no end to count towards."""
    timed = Levels([Level(0, 0, None)])
    progress = begun(timed, Live())
    assert progress.line().startswith("[0:12] starting users · ")
    timed.segments.append(Level(1, 8, None))
    timed.at = 1
    assert progress.line().startswith("[0:12] 8 users · ")


def test_the_place_in_an_open_loop() -> None:
    """The rate that is held, what is under way, and how many wait for the cap, where any do."""
    one = Level(0, 1, None, warmup=0, rate=2.5)
    progress = begun(Levels([one, Level(1, 2, None, rate=5.0)], is_sweep=True), Live())

    def place() -> str:
        return progress.line().split(" · ")[0].removeprefix("[0:12] ")

    assert place() == "2.5 req/s, step 1/2: warming up"
    one.requests, one.over, one.flying = 9, 5, 4
    assert place() == "2.5 req/s, step 1/2: 5 done, 4 in flight"
    one.held = 7
    assert place() == "2.5 req/s, step 1/2: 5 done, 4 in flight, 7 waiting"


def test_workers_of_a_distributed_run() -> None:
    """How many are heard of how many there should be, right after the place."""
    assert begun(Levels(), Live(), workers=(3, 4)).line() == (
        "[0:12] starting users · 3 of 4 workers · 0 ok in all · 0 tokens"
    )
    assert " · 1 of 1 worker · " in begun(Levels(), Live(), workers=(1, 1)).line()


def test_counts_and_medians_are_of_all_workers() -> None:
    """Sums, and the median of all requests together; a report that cannot be read is told."""
    quick, slow = Live(), Live()
    for _ in range(3):
        quick.add(record(ttft_ms=10), 0)
    slow.add(record(ttft_ms=90), 0)
    said: list[object] = [quick, slow]
    progress = Progress(
        Levels([Level(0, 2, None)]), lambda: view(*said), io.StringIO(), workers=lambda: (2, 2)
    )
    progress._begin_ns = now_ns()
    assert progress.line().startswith(
        "[0:00] 2 users · 2 of 2 workers · 4 ok in all · 44 tokens · TTFT 10 ms · "
    )
    assert progress.line().endswith("(medians of 4)")
    said.append({"version": 2})
    assert " · 2 of 2 workers · 1 report unreadable · 4 ok in all · " in progress.line()


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
    live = Live()
    progress = Progress(Levels(), lambda: view(live), stream)
    progress.start()
    while len(pauses) < 4:
        wait(0.001)
    live.add(record(), 0)
    progress.stop()
    progress.stop()
    assert pauses == [pause_s] * 4
    told = stream.getvalue().splitlines()
    assert [re.sub(r"\d", "0", line.split(" · ")[0]) for line in told] == ["[0:00] starting users"] * 4
    assert [" · 1 ok in all" in line for line in told] == [False, False, False, True]


def test_stopped_before_it_was_started_it_says_nothing() -> None:
    """A run that never began has no last line."""
    stream = io.StringIO()
    Progress(Levels(), lambda: view(Live()), stream).stop()
    assert stream.getvalue() == ""


def test_it_tells_on_stderr_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is for results."""
    progress = Progress(Levels(), lambda: view(Live()))
    progress.start()
    progress.stop()
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "[0:00] starting users · 0 ok in all · 0 tokens\n")
