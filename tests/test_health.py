"""The watch over this process: what a real loop does to it is in its rows, a second each."""

import gc
import time

import gevent
import pytest
from gevent import monkey

from harness.clock import ANCHOR_NS, now_ns
from harness.cpu import Cpu
from harness.health import PROBE_S, Health, Late, _of_cpu, _of_engine, _of_loop
from harness.seconds import Second, expanded
from harness.vitals import Vitals

MS = 1_000_000


class Engine:
    """As much of one as is watched."""

    def __init__(self) -> None:
        self.vitals = Vitals()


class Watch:
    """A watch, what it watches, and the rows it gave."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.rows: list[Second] = []
        self.health = Health(self.engine, self.rows.append, "w7")

    def lags_ms(self) -> list[float]:
        return [
            value for row in self.rows for value, times in expanded(row.loop_lags_ms) for _ in range(times)
        ]


@pytest.fixture
def watch():
    """Stopped, whatever the test does."""
    made = Watch()
    yield made
    made.health.stop()


def block(seconds: float) -> None:
    """Keep the event loop from everything, working, as a slow callback does."""
    until = now_ns() + int(seconds * 1e9)
    while now_ns() < until:
        pass


def test_a_row_a_second_and_the_rest(watch: Watch) -> None:
    """They follow one another without a gap, from start to stop, and then no more come."""
    begin = now_ns()
    watch.health.start()
    started = now_ns()
    gevent.sleep(1.3)
    before_stop = now_ns()
    watch.health.stop()
    end = now_ns()
    watch.health.stop()
    first, second = watch.rows
    assert first.worker == second.worker == "w7"
    assert begin <= first.time_ns - ANCHOR_NS
    assert first.end_ns == pytest.approx(second.time_ns, abs=1_000)
    assert second.end_ns - ANCHOR_NS <= end + 1_000
    assert first.seconds >= 0.99
    assert (before_stop - started) / 1e9 - 0.01 <= first.seconds + second.seconds <= (end - begin) / 1e9
    gevent.sleep(0.05)
    assert len(watch.rows) == 2


def test_a_moment_is_no_row(watch: Watch) -> None:
    """Nothing to say of a run that ended as it began; stopping what never started is allowed."""
    watch.health.stop()
    watch.health.start()
    watch.health.stop()
    assert watch.rows == []


def test_a_wake_up_is_due_every_ten_milliseconds(watch: Watch) -> None:
    """Also those that a blocked loop could not give: 100 of them in a second, however it was spent."""
    watch.health.start()
    for _ in range(2):
        gevent.sleep(0.2)
        block(0.3)
    watch.health.stop()
    length = sum(row.seconds for row in watch.rows)
    lags = watch.lags_ms()
    assert len(lags) == pytest.approx(length / PROBE_S, rel=0.2)
    late = [lag for lag in lags if lag > 100]
    assert len(late) >= 2 * (300 - 100) / 10 - 4
    assert max(row.loop_lag_ms_max or 0 for row in watch.rows) >= 280


def test_a_loop_at_work_and_one_asleep_are_told_apart(watch: Watch) -> None:
    """Both stand still for as long; only one of them needs the CPU for it."""
    asleep = monkey.get_original("time", "sleep")
    told = []
    for stand in (block, asleep):
        watch.rows.clear()
        watch.health.start()
        gevent.sleep(0.05)
        begin = time.thread_time()
        stand(0.25)
        worked_ms = (time.thread_time() - begin) * 1e3
        gevent.sleep(0.05)
        watch.health.stop()
        blocked = sum(row.blocked_ms for row in watch.rows)
        assert blocked >= 225
        told.append((sum(row.blocked_working_ms for row in watch.rows), worked_ms))
    assert told[0][0] == pytest.approx(told[0][1], rel=0.15, abs=15)
    assert told[1][0] < 25


def test_cpu_is_of_one_core(watch: Watch) -> None:
    """What the process used by its own account, whatever else the machine does."""
    watch.health.start()
    begin, wall = time.process_time(), now_ns()
    for _ in range(5):
        block(0.03)
        gevent.sleep(0.03)
    used, elapsed = time.process_time() - begin, (now_ns() - wall) / 1e9
    watch.health.stop()
    (row,) = watch.rows
    assert row.cpu_percent == pytest.approx(100 * used / elapsed, abs=10)


def test_vitals_are_taken_once(watch: Watch) -> None:
    """A row has what happened since the last one, or since load began."""
    watch.engine.vitals = Vitals(reads=99, unparsed=2)
    watch.health.start()
    assert watch.engine.vitals == Vitals(), "what was before load is not of it"
    watch.engine.vitals = Vitals(reads=5, kernel_reads=4, unparsed=3, delays_ns=[1 * MS, 3 * MS])
    gevent.sleep(0.06)
    watch.health.stop()
    (row,) = watch.rows
    assert (row.reads, row.kernel_reads, row.unparsed) == (5, 4, 3)
    assert (row.read_delay_ms_p50, row.read_delay_ms_max) == (2.0, 3.0)
    assert watch.engine.vitals == Vitals()


def test_the_collector_is_in_its_hands(watch: Watch) -> None:
    """Off while it watches, on after; a pause is in the row."""
    watch.health.start()
    assert not gc.isenabled()
    gevent.sleep(0.06)
    gc.collect()
    watch.health.stop()
    assert gc.isenabled()
    (row,) = watch.rows
    assert row.gc_pauses == 1
    assert row.gc_ms == row.gc_ms_max
    assert 0 < row.gc_ms < 1_000


def test_shares_by_hand() -> None:
    """Of the time between two readings; waking up costs something each turn that nobody is to blame for."""
    before = Cpu(used_ns=5 * MS, ran_ns=100 * MS, waited_ns=7 * MS, turns=50, throttled_ns=0, taken_ns=0)
    after = Cpu(
        used_ns=255 * MS,
        ran_ns=300 * MS,
        waited_ns=58 * MS,
        turns=150,
        throttled_ns=40 * MS,
        taken_ns=800 * MS,
    )
    assert _of_cpu(before, after, 500 * MS, 2) == {
        "cpu_percent": 50.0,
        "waited_percent": 20.0,  # 51 ms less 100 turns of 10 us, of these and 200 ms of running
        "waited_ms": 50.0,
        "throttled_percent": 8.0,
        "taken_percent": 80.0,
    }
    anywhere = _of_cpu(before, after, 500 * MS, 0)
    assert anywhere["waited_ms"] == 46.0, "50 us each where it is not pinned"


def test_what_the_platform_does_not_say_is_none() -> None:
    """Never 0; used time is everywhere."""
    blind = Cpu(used_ns=1, ran_ns=None, waited_ns=None, turns=None, throttled_ns=None, taken_ns=None)
    found = _of_cpu(blind, blind, MS, 0)
    assert found.pop("cpu_percent") == 0.0
    assert set(found.values()) == {None}


def test_an_idle_machine_waits_for_nothing() -> None:
    """Waking up quicker than a turn's allowance is not less than nothing."""
    before = Cpu(used_ns=0, ran_ns=0, waited_ns=0, turns=0, throttled_ns=None, taken_ns=None)
    after = Cpu(used_ns=0, ran_ns=MS, waited_ns=MS, turns=100, throttled_ns=None, taken_ns=None)
    assert _of_cpu(before, after, MS, 0)["waited_percent"] == 0.0


def test_nothing_seen_has_no_percentiles() -> None:
    """A process that was stopped for the whole of a row."""
    assert _of_loop(Late())["loop_lag_ms_p99"] is None
    found = _of_engine(Vitals())
    assert (found["read_delay_ms_p50"], found["read_delay_ms_max"], found["read_delays_ms"]) == (
        None,
        None,
        "",
    )


def test_many_delays_are_thinned_out_but_for_the_worst() -> None:
    """A second of 50,000 reads costs no more to look at than one of 500."""
    delays = [1 * MS] * 50_000
    delays[12_345] = 80 * MS
    found = _of_engine(Vitals(delays_ns=delays))
    assert (found["read_delay_ms_p50"], found["read_delay_ms_max"]) == (1.0, 80.0)
    assert sum(times for _, times in expanded(found["read_delays_ms"])) == 500
