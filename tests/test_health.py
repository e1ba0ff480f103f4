"""Loop lag and CPU of this process: seen where they are, None where nothing was measured, and said if bad."""

import time

import gevent
import pytest

from harness.clock import now_ns
from harness.health import INVALID_LAG_MS, PERIOD_S, SUSPECT_LAG_MS, Health

NOTHING = {
    "loop_lag_ms": {"p50": None, "p99": None, "max": None, "n": 0},
    "cpu_percent": None,
    "stamp_source": "read",
}


def seen(*lags_ms: float) -> Health:
    """A watch that has seen these lags."""
    health = Health()
    health._lags_us.extend(int(lag * 1000) for lag in lags_ms)
    return health


def block(seconds: float) -> None:
    """Keep the event loop from everything, working, as a slow callback does."""
    until = now_ns() + int(seconds * 1e9)
    while now_ns() < until:
        pass


def test_nothing_watched_is_not_measured() -> None:
    """None and no finding, never 0, also if stopped before it was started."""
    health = Health()
    assert health.stored() == NOTHING
    health.stop()
    assert health.stored() == NOTHING
    assert health.findings() == []


def test_figures_by_hand() -> None:
    """Percentiles of all wake-ups, in ms."""
    stored = seen(*range(101)).stored()
    assert stored["loop_lag_ms"] == {"p50": 50.0, "p99": 99.0, "max": 100.0, "n": 101}


def test_a_blocked_loop_is_seen() -> None:
    """A callback of 120 ms makes the wake-up after it that late, less the sleep it began in."""
    health = Health()
    health.start()
    gevent.sleep(PERIOD_S * 2.5)
    for _ in range(3):
        block(0.12)
        gevent.sleep(PERIOD_S * 2.5)
    health.stop()
    stored = health.stored()
    assert stored["loop_lag_ms"]["max"] >= 120 - PERIOD_S * 1e3 - 1
    assert stored["loop_lag_ms"]["n"] >= 3
    ((status, _),) = health.findings()
    assert status in {"suspect", "invalid"}


def test_it_watches_from_start_to_stop_only() -> None:
    """What happens after load is of no interest."""
    health = Health()
    health.start()
    gevent.sleep(PERIOD_S * 3)
    health.stop()
    before = health.stored()
    block(0.05)
    gevent.sleep(PERIOD_S * 3)
    health.stop()
    assert health.stored() == before


def test_cpu_is_of_one_core() -> None:
    """Busy half of the time: some half of a core, whatever else the machine does; idle: next to nothing."""
    health = Health()
    health.start()
    begin = time.process_time()
    wall = now_ns()
    for _ in range(5):
        block(0.03)
        gevent.sleep(0.03)
    used, elapsed = time.process_time() - begin, (now_ns() - wall) / 1e9
    health.stop()
    assert health.stored()["cpu_percent"] == pytest.approx(100 * used / elapsed, abs=10)


@pytest.mark.parametrize(
    ("lag_ms", "status"),
    [
        (0.0, None),
        (SUSPECT_LAG_MS - 0.1, None),
        (SUSPECT_LAG_MS, "suspect"),
        (INVALID_LAG_MS - 0.1, "suspect"),
        (INVALID_LAG_MS, "invalid"),
        (5_000.0, "invalid"),
    ],
)
def test_lag_becomes_a_finding(lag_ms: float, status: str | None) -> None:
    """By its 99th percentile: what one read in a hundred had to wait."""
    findings = seen(*[lag_ms] * 50).findings()
    assert [found for found, _ in findings] == ([] if status is None else [status])


def test_one_late_wake_up_in_a_thousand_is_no_finding() -> None:
    """A single hiccup spoils no percentile that anybody reads."""
    assert seen(*[0.2] * 999, 400.0).findings() == []


def test_a_finding_names_the_figure_the_limit_and_the_cure() -> None:
    """One line for the report."""
    line = (
        "the client's event loop was late by 25 ms at p99 (limit 10 ms): this machine is too busy for its "
        "stamps to be trusted; give the client a core of its own"
    )
    assert seen(*[25.0] * 10).findings() == [("suspect", line)]


def test_one_or_two_hiccups_of_a_short_run_are_no_finding() -> None:
    """In a second there are fifty wake-ups, and p99 of fifty is the worst of them."""
    assert seen(*[0.2] * 48, 60.0, 30.0).findings() == []
    assert [status for status, _ in seen(*[0.2] * 47, 60.0, 30.0, 20.0).findings()] == ["suspect"]
