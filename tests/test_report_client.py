"""What people read of the load generator itself."""

import pytest

from harness.fitness import summary
from harness.report.client import line, pairs
from harness.seconds import Second

ROWS = [
    Second(
        time_ns=1_800_000_000_000_000_000 + at * 1_000_000_000,
        worker="local",
        seconds=1.0,
        cpu_percent=12.0 + at,
        waited_percent=0.5 * at,
        throttled_percent=0.0,
        loop_lag_ms_p50=0.4,
        loop_lag_ms_p99=1.2 + at,
        loop_lag_ms_max=30.0 + at,
        loop_lags_ms="0.4*98 30*2",
        reads=1_000,
        kernel_reads=1_000,
        most_ready=40,
        unparsed=3,
        gc_pauses=1,
        gc_ms=0.25,
        gc_ms_max=0.25,
    )
    for at in range(4)
]
CLIENT = summary(ROWS, [0.1, 0.2, 0.3], ["kernel"])


def test_one_line_for_the_console() -> None:
    """CPU, waiting, lateness, stamps; each with its worst second."""
    assert line(CLIENT) == (
        "CPU 14 % (worst second 15 %), waited for a core 0.75 % (worst second 1.5 %), "
        "loop late 30 ms at p99 (worst second 4.2 ms), sends late 0.3 ms at p99, arrivals stamped by the kernel"
    )


def test_nobody_watched_nothing_is_said() -> None:
    """No zeros for what was not measured."""
    assert line({}) is None
    assert line(summary([], [], [])) is None
    assert pairs({}) == []
    assert pairs(summary([], [], ["read"])) == [("arrivals stamped by", "our own read")]


def test_the_section_has_all_of_it() -> None:
    """In words with their units; what is not known here is listed all the same."""
    assert pairs(CLIENT | {"clock_steps": 2, "new": {"thing": 3}}) == [
        ("watched", "4 s"),
        ("arrivals stamped by", "the kernel"),
        ("CPU", "14 % of a core, worst second 15 %"),
        ("waited for a core", "0.75 % of the time it wanted to run, worst second 1.5 %"),
        ("held up by a CPU limit", "0 % of the time, worst second 0 %"),
        ("loop late", "p50 0.4 ms, p99 30 ms, max 33 ms; worst second's p99 4.2 ms"),
        ("sends late", "p50 0.2 ms, p99 0.3 ms, max 0.3 ms"),
        ("sockets ready at once", "40 at most"),
        ("answers waiting to be parsed", "3 at most"),
        ("garbage collected", "4 times, 1 ms in all, the longest 0.25 ms"),
        ("system clock was set", "2 times"),
        ("new.thing", "3"),
    ]


@pytest.mark.parametrize(
    ("source", "said"), [("kernel", "the kernel"), ("read", "our own read"), ("mixed", "could not")]
)
def test_the_clock_is_named(source: str, said: str) -> None:
    """Whoever stamped arrivals."""
    found = line(CLIENT | {"stamp_source": source})
    assert found is not None
    assert said in found.rpartition("arrivals stamped by ")[2]
