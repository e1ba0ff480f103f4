"""`client` of summary.json: the whole run's figures from its seconds and its sends."""

from dataclasses import replace

import pandas as pd
import pytest
from synthetic_run import BASE_NS, record, run

from harness.fitness import TIMELINE, sends, summary
from harness.seconds import Second

NS = 1_000_000_000
ROW = Second(time_ns=BASE_NS, worker="local", seconds=1.0, cpu_percent=10.0)


def table(*records) -> pd.DataFrame:
    """As much of requests.parquet as is looked at."""
    found = pd.DataFrame([one.row(0) for one in records])
    found["sent_ns"] = pd.array([one.sent_ns for one in records], dtype="Int64")  # as `rows.load` gives it
    return found


def test_lateness_is_what_was_not_the_connections() -> None:
    """Sent - due, less DNS, TCP and TLS; never below 0; by when it was due."""
    due = BASE_NS + 5
    late = sends(
        table(
            record(scheduled_ns=due, sent_ns=due + 1_500_000),
            record(scheduled_ns=due, sent_ns=due + 9_000_000, dns_ms=2.0, connect_ms=3.0, tls_ms=3.5),
            record(scheduled_ns=due, sent_ns=due + 1_000_000, connect_ms=1.1),
            record(scheduled_ns=due, sent_ns=None, connect_ms=1.1),
            record(scheduled_ns=due, sent_ns=due + 1_000_000, reconnects=1),
        )
    )
    assert list(late) == [("w1", due, 1.5), ("w1", due, pytest.approx(0.5)), ("w1", due, 0.0)]


def test_a_table_of_all_kinds_of_requests_has_its_sends() -> None:
    """Every request that went out on its first connection, whatever became of it."""
    records, _ = run(per_level=40)
    sent = [one for one in records if one.sent_ns is not None and not one.reconnects]
    found = list(sends(table(*records)))
    assert len(found) == len(sent) > 200
    assert [due for _, due, _ in found] == [one.scheduled_ns for one in sent]


def test_nobody_watched() -> None:
    """None everywhere, never 0; what the records say is there."""
    found = summary([], [1.0, 3.0], ["read"])
    assert found["late_send_ms"] == {
        "p50": 2.0,
        "p99": pytest.approx(2.98),
        "max": 3.0,
        "n": 2,
        "worst_second_p99": None,
    }
    assert (found["seconds"], found["workers"], found["stamp_source"]) == (0, 0, "read")
    assert found["cpu_percent"] == {"mean": None, "worst_second": None}
    assert found["loop_lag_ms"] == {"p50": None, "p99": None, "max": None, "n": 0, "worst_second_p99": None}
    assert found["gc"] == {"pauses": None, "total_ms": None, "max_ms": None}
    assert (found["reads"], found["most_ready"], found["kernel_stamped_percent"]) == (None, None, None)
    assert found["timeline"]["at_s"] == []


@pytest.mark.parametrize(
    ("stamped", "source"),
    [(["kernel"], "kernel"), (["read"], "read"), (["kernel", "read"], "mixed"), ([], None)],
)
def test_stamp_source_is_the_records(stamped: list[str], source: str | None) -> None:
    """One word for all of them."""
    assert summary([ROW], [], stamped)["stamp_source"] == source


def test_means_are_by_time() -> None:
    """A second of four weighs four times; what some seconds did not measure is not in them."""
    rows = [
        replace(ROW, cpu_percent=10.0, waited_percent=1.0, throttled_percent=None),
        replace(ROW, cpu_percent=60.0, waited_percent=None, throttled_percent=None, seconds=4.0),
    ]
    found = summary(rows, [], ["kernel"])
    assert found["seconds"] == 5.0
    assert found["cpu_percent"] == {"mean": 50.0, "worst_second": 60.0}
    assert found["waited_percent"] == {"mean": 1.0, "worst_second": 1.0}
    assert found["throttled_percent"] == {"mean": None, "worst_second": None}


def test_percentiles_are_of_all_values_together() -> None:
    """Never of the seconds' percentiles: a busy second weighs as many values as it has."""
    rows = [
        replace(ROW, loop_lags_ms="1*98", loop_lag_ms_p99=1.0, loop_lag_ms_max=1.04),
        replace(ROW, loop_lags_ms="5*1 40*1", loop_lag_ms_p99=39.6, loop_lag_ms_max=40.4),
    ]
    assert summary(rows, [], ["kernel"])["loop_lag_ms"] == {
        "p50": 1.0,
        "p99": pytest.approx(5.35),
        "max": 40.4,
        "n": 100,
        "worst_second_p99": 39.6,
    }


def test_counts_of_all_workers() -> None:
    """Sums of what happened, the greatest of what was there at once."""
    rows = [
        replace(ROW, reads=90, kernel_reads=90, most_ready=4, unparsed=1, gc_pauses=1, gc_ms=0.5, gc_ms_max=0.5),
        replace(ROW, worker="w2", reads=10, kernel_reads=0, most_ready=9, clock_steps=2, gc_pauses=2, gc_ms=0.75, gc_ms_max=0.7),
    ]  # fmt: skip
    found = summary(rows, [], ["kernel", "read"])
    assert (found["workers"], found["reads"], found["kernel_stamped_percent"]) == (2, 100, 90.0)
    assert (found["most_ready"], found["most_unparsed"], found["clock_steps"]) == (9, 1, 2)
    assert found["gc"] == {"pauses": 3, "total_ms": 1.25, "max_ms": 0.7}


def test_the_timeline_has_the_worst_of_each_stretch() -> None:
    """At most `TIMELINE` of whole seconds each, whatever the run's length and however many workers."""
    rows = [
        replace(ROW, worker=worker, time_ns=BASE_NS + at * NS + at * 300_000, cpu_percent=float(at + bonus))
        for worker, bonus in (("a", 0), ("b", 1000))
        for at in range(150)
    ]
    drawn = summary(rows, [], ["kernel"])["timeline"]
    assert drawn["at_s"] == [float(3 * i) for i in range(50)]
    assert len(drawn["at_s"]) <= TIMELINE
    assert drawn["cpu_percent"] == [1000.0 + 3 * i + 2 for i in range(50)]
    assert drawn["waited_percent"] == [None] * 50
    short = summary(rows[:7], [], ["kernel"])["timeline"]
    assert short["at_s"] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
