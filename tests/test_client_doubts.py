"""What a run's seconds say of its client: which squeeze, from which limit, in how many seconds."""

from dataclasses import replace

import pytest

from harness.client_doubts import FEW, LAG_P50_MS, LATE_MS, MANY, SOME, UNREAD_MS, findings
from harness.journal import Window
from harness.seconds import Second

NS = 1_000_000_000
BASE = 1_800_000_000 * NS
WELL = Second(
    time_ns=BASE,
    worker="local",
    seconds=1.0,
    cpu_percent=20.0,
    waited_percent=0.0,
    waited_ms=0.0,
    throttled_percent=0.0,
    taken_percent=0.0,
    loop_lag_ms_p50=0.4,
    loop_lag_ms_p99=1.2,
    loop_lag_ms_max=3.0,
    read_delay_ms_p99=0.5,
    late_send_ms_p99=0.3,
    reads=1_000,
    kernel_reads=1_000,
)


def run(*rows: Second) -> list[Second]:
    """The rows one after another."""
    placed, at = [], BASE
    for row in rows:
        placed.append(replace(row, time_ns=at))
        at += int(row.seconds * NS)
    return placed


def bad(seconds: int, of: int = 0, **figures: float) -> list[Second]:
    """A run of `of` seconds, at least `seconds`, whose first ones have these figures."""
    return run(*[replace(WELL, **figures)] * seconds, *[WELL] * (of - seconds))


def reasons(rows: list[Second], windows: tuple[Window, ...] = ()) -> list[tuple[str, str]]:
    """The findings."""
    return findings(rows, windows)


SQUEEZES = [
    (
        {"taken_percent": 97.4, "waited_percent": 46.0, "waited_ms": 30.0},
        ("another process has this client's core: others used 97 % of it in 12 of 12 s (limit 50 %), and 46 % of the time "
        "the client wanted to run it had to wait; keep others off the cores it is pinned to"),
    ),
    (
        {"waited_percent": 79.0, "waited_ms": 300.0},
        ("the client waited for a core 79 % of the time it wanted to run in 12 of 12 s (limit 75 %): other processes "
        "have the machine; stop them, or give the client a core of its own"),
    ),
    (
        {"throttled_percent": 88.0},
        ("a CPU limit held the client up for 88 % of the time in 12 of 12 s (limit 10 %); raise the limit of its "
        "container or cgroup"),
    ),
    (
        {"cpu_percent": 99.2},
        ("this worker is at its limit: 99 % CPU in 12 of 12 s (limit 90 %): it sends late and so holds the load back; "
        "add workers, or ask for less"),
    ),
    (
        {"loop_lag_ms_p99": 189.0, "loop_lag_ms_p50": 41.0, "blocked_ms": 850.0, "blocked_working_ms": 9.0},
        ("the client's event loop was late by 189 ms in 12 of 12 s (p99 of a second, limit 100 ms): it neither worked nor "
        "waited for a core; a user task blocks (a call that gevent does not know of), or the process was stopped"),
    ),
    (
        {"loop_lag_ms_p99": 189.0, "blocked_ms": 850.0, "blocked_working_ms": 800.0},
        ("the client's event loop was late by 189 ms in 12 of 12 s (p99 of a second, limit 100 ms): code of ours or of the "
        "locustfile kept it busy; take computing out of user tasks, or add workers"),
    ),
    (
        {"late_send_ms_p99": 120.0},
        ("requests went out 120 ms after they were due in 12 of 12 s (p99 of a second, limit 100 ms): the load was not "
        "the one asked for; add workers, or ask for less"),
    ),
    (
        {"read_delay_ms_p99": 120.0},
        ("bytes waited 120 ms to be read in 12 of 12 s (p99 of a second, limit 75 ms): events that came meanwhile were "
        "read as one, so their gaps are lost; add workers"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("figures", "reason"), SQUEEZES, ids=[" ".join(figures) for figures, _ in SQUEEZES])
def test_each_squeeze_has_its_reason(figures: dict[str, float], reason: str) -> None:
    """Invalid, one line: what was seen, the number, the limit, what to do."""
    assert reasons(bad(12, **figures)) == [("invalid", reason)]


LIMITS = [
    ("taken_percent", 33.0, 50.0),
    ("throttled_percent", 1.0, 10.0),
    ("cpu_percent", 85.0, 90.0),
    ("loop_lag_ms_p99", *LATE_MS[True]),
    ("loop_lag_ms_p50", *LAG_P50_MS),
    ("late_send_ms_p99", *LATE_MS[True]),
    ("read_delay_ms_p99", *UNREAD_MS),
]


@pytest.mark.parametrize(("figure", "suspect", "invalid"), LIMITS)
def test_limits(figure: str, suspect: float, invalid: float) -> None:
    """At a limit it is over it, just below it is not."""
    for value, status in (
        (suspect * 0.999, None),
        (suspect, "suspect"),
        (invalid * 0.999, "suspect"),
        (invalid, "invalid"),
    ):
        assert [found for found, _ in reasons(bad(5, **{figure: value}))] == ([status] if status else []), (
            value
        )


@pytest.mark.parametrize(
    ("percent", "waited_ms", "status"),
    [(49.9, 900.0, None), (50.0, 100.0, "suspect"), (75.0, 100.0, "invalid"), (90.0, 99.9, None)],
)
def test_waiting_counts_if_it_is_a_loss(percent: float, waited_ms: float, status: str | None) -> None:
    """A client that wants next to nothing may wait most of that and lose nothing."""
    found = reasons(bad(5, waited_percent=percent, waited_ms=waited_ms))
    assert [word for word, _ in found] == ([status] if status else [])


@pytest.mark.parametrize(
    ("reads", "by_kernel", "status"),
    [
        (1_000, 1_000, "suspect"),
        (1_000, 900, "suspect"),
        (1_000, 899, "invalid"),
        (1_000, 0, "invalid"),
        (0, 0, "invalid"),
    ],
)
def test_our_own_stamps_bear_less(reads: int, by_kernel: int, status: str) -> None:
    """Late reads are late stamps then; a closed connection's end, which has no stamp, makes them no worse."""
    rows = bad(9, loop_lag_ms_p99=80.0, reads=reads, kernel_reads=by_kernel)
    assert [found for found, _ in reasons(rows)] == [status]


@pytest.mark.parametrize(
    ("seconds", "of", "status"),
    [
        (1, 1, None),
        (2, 2, None),
        (3, 3, "invalid"),
        (3, 30, "invalid"),
        (3, 31, "suspect"),
        (3, 150, "suspect"),
        (3, 151, None),
        (60, 600, "invalid"),
        (12, 600, "suspect"),
        (11, 600, None),
    ],
)
def test_a_hiccup_condemns_nothing_and_a_stretch_does(seconds: int, of: int, status: str | None) -> None:
    """Bad: three seconds and a tenth of the run is invalid, a fiftieth suspect."""
    assert (FEW, MANY, SOME) == (3, 0.1, 0.02)
    found = reasons(bad(seconds, of, loop_lag_ms_p99=500.0))
    assert [word for word, _ in found] == ([status] if status else [])


@pytest.mark.parametrize(("seconds", "of", "status"), [(3, 30, "suspect"), (3, 31, None), (2, 2, None)])
def test_doubtful_seconds_need_to_be_many(seconds: int, of: int, status: str | None) -> None:
    """Over the first limit alone: a tenth of the run, or nothing is said."""
    found = reasons(bad(seconds, of, loop_lag_ms_p99=60.0))
    assert [word for word, _ in found] == ([status] if status else [])


def test_a_long_second_counts_as_long_as_it_was() -> None:
    """A process that stood still for four seconds made one row of five."""
    stood = replace(WELL, seconds=5.0, loop_lag_ms_p99=3_900.0)
    ((status, reason),) = reasons(run(stood, *[WELL] * 20))
    assert status == "invalid"
    assert "late by 3900 ms in 5 of 25 s" in reason


def test_a_squeezed_level_does_not_hide_in_a_long_run() -> None:
    """Judged by itself: the seconds whose middle lies in its windows."""
    rows = run(*[WELL] * 100, *[replace(WELL, cpu_percent=99.0)] * 4, *[WELL] * 96)
    windows = (
        Window(1, 1, BASE, BASE + 100 * NS),
        Window(8, 1, BASE + 99 * NS, BASE + 106 * NS),
        Window(8, 2, BASE + 150 * NS, BASE + 151 * NS),
    )
    assert [status for status, _ in reasons(rows)] == ["suspect"]
    ((status, reason),) = reasons(rows, windows)
    assert status == "invalid"
    assert reason.startswith("this worker is at its limit: 99 % CPU at level 8 in 4 of 8 s (limit 90 %)")


def test_each_worker_is_judged_by_itself() -> None:
    """One squeezed worker of three is a third of the load; it is named, and only then."""
    rows = [
        replace(row, worker=name)
        for name, cpu in (("w1", 20.0), ("w2", 99.0), ("w3", 20.0))
        for row in bad(10, cpu_percent=cpu)
    ]
    ((status, reason),) = reasons(rows)
    assert status == "invalid"
    assert reason.startswith("worker w2: this worker is at its limit: 99 % CPU in 10 of 10 s")


def test_a_thing_is_said_once() -> None:
    """Where a core was taken, waiting is part of that; what is late at the median is late at p99."""
    taken = {"taken_percent": 90.0, "waited_percent": 80.0, "waited_ms": 500.0}
    assert len(reasons(bad(5, **taken))) == 1
    lag = {"loop_lag_ms_p99": 140.0, "loop_lag_ms_p50": 40.0}
    assert len(reasons(bad(5, **lag))) == 1
    milder = {"loop_lag_ms_p99": 60.0, "loop_lag_ms_p50": 12.0}
    ((status, reason),) = reasons(bad(5, **milder))
    assert status == "invalid"
    assert "late by 12 ms half of the time in 5 of 5 s (limit 10 ms)" in reason
    assert len(reasons(bad(5, **lag, read_delay_ms_p99=190.0, late_send_ms_p99=190.0))) == 1


def test_what_was_not_measured_is_no_finding() -> None:
    """None is no number, neither a good nor a bad one."""
    blind = Second(time_ns=BASE, worker="local", seconds=1.0, cpu_percent=5.0)
    assert reasons(run(*[blind] * 10)) == []
    assert reasons([]) == []


@pytest.mark.parametrize(
    ("figures", "cause"),
    [
        ({"blocked_working_ms": 500.0}, "code of ours or of the locustfile kept it busy"),
        ({"throttled_percent": 0.9, "blocked_ms": 15.0}, "a CPU limit held it up"),
        ({"waited_ms": 600.0}, "other processes had its core"),
        ({"waited_ms": 9.0, "throttled_percent": 0.8, "blocked_ms": 15.0}, "a CPU limit held it up"),
        ({"waited_ms": 300.0, "blocked_working_ms": 400.0}, "code of ours or of the locustfile kept it busy"),
        ({"waited_ms": 300.0, "blocked_working_ms": 300.0}, "it neither worked nor waited for a core"),
    ],
)
def test_why_a_loop_was_late(figures: dict[str, float], cause: str) -> None:
    """Where most of the time went in which it stood still."""
    rows = bad(5, **({"loop_lag_ms_p99": 200.0, "blocked_ms": 1000.0} | figures))
    ((_, reason),) = reasons(rows)
    assert f"(p99 of a second, limit 100 ms): {cause}" in reason
