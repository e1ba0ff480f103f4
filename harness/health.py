"""How this client itself is doing while load runs: could it be trusted to see what happened?

Every `PROBE_S` the hub is asked for a wake-up, and how late it comes is how long a byte or a send would have had to
wait at that moment. A loop that is blocked cannot be asked: the wake-ups that were due meanwhile are counted
with the lateness they would have had, or a client that stood still half of the time would look well at the median.

Once a second this, the process's CPU, what the engine noticed (`harness.vitals`) and the garbage collector's pauses
become one `Second`, which goes to the journal. Watching takes under 1 % of a core, whatever the load: nothing here
is called per event or per request. The figures decide nothing about the server; what they mean for the
run is for `harness.client_doubts`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import gevent

from harness.clock import ANCHOR_NS, now_ns
from harness.cpu import Cpu, Meter, thread_ns
from harness.garbage import Garbage
from harness.seconds import Second, counted, spread
from harness.vitals import Vitals

__all__ = ["Health", "Watched"]

PROBE_S: Final = 0.01
PERIOD_S: Final = 1.0
SHORTEST_NS: Final = 50_000_000  # of a last, unfinished second that is still worth a row
# What a turn may wait without anybody to blame. A thread that may run anywhere is often woken on the core of the one that
# woke it, and sits there until the kernel moves it: 12 to 46 us. A pinned one is not: up to 4 us.
WAKING_NS: Final = 50_000
WAKING_PINNED_NS: Final = 10_000
DELAYS: Final = 500  # of a second's read delays that are looked at, evenly chosen; the greatest always is

_PROBE_NS: Final = int(PROBE_S * 1e9)


class Watched(Protocol):
    """What is watched: the engine."""

    vitals: Vitals


@dataclass(slots=True)
class Late:
    """Wake-ups since they were last taken."""

    lags_ns: list[int] = field(
        default_factory=list
    )  # one for every `PROBE_S`, also those that could not come
    blocked_ns: int = 0  # time for which the loop was later than `PROBE_S`
    working_ns: int = 0  # of which this thread was at work


class Health:
    """Watches `engine` from `start` to `stop` and hands `keep` a row a second."""

    def __init__(self, engine: Watched, keep: Callable[[Second], object], worker: str) -> None:
        self._engine = engine
        self._keep = keep
        self._worker = worker
        self._garbage = Garbage()
        self._meter = Meter()
        self._timer: Any = None  # gevent's, which has no types
        self._greenlet: gevent.Greenlet | None = None
        self._late = Late()
        self._due_ns = self._worked_ns = 0
        self._begin_ns = 0
        self._cpu = self._meter.read()

    def start(self) -> None:
        """Load begins. The garbage collector is taken in hand (`harness.garbage`)."""
        self._garbage.start()
        self._engine.vitals = Vitals()
        self._late = Late()
        self._begin_ns, self._cpu = now_ns(), self._meter.read()
        self._due_ns, self._worked_ns = now_ns() + _PROBE_NS, thread_ns()
        self._timer = gevent.get_hub().loop.timer(PROBE_S, PROBE_S, ref=False)
        self._timer.start(self._probe)
        self._greenlet = gevent.spawn(self._watch)

    def stop(self) -> None:
        """Load is over: the unfinished second is kept too. A second call does nothing."""
        if self._greenlet is None:
            return
        self._greenlet.kill()
        self._greenlet = None
        if now_ns() - self._begin_ns >= SHORTEST_NS:
            self._second()
        self._timer.stop()
        self._timer.close()
        self._garbage.stop()

    def _probe(self) -> None:
        """A wake-up, in the hub."""
        now, worked_ns, late = now_ns(), thread_ns(), self._late
        lag = max(0, now - self._due_ns)
        late.lags_ns.append(lag)
        if lag > _PROBE_NS:
            late.blocked_ns += lag
            late.working_ns += min(lag, worked_ns - self._worked_ns)
            late.lags_ns += range(lag - _PROBE_NS, 0, -_PROBE_NS)  # those due while nothing could run
        self._due_ns, self._worked_ns = now + _PROBE_NS, worked_ns
        self._timer.again(self._probe)

    def _watch(self) -> None:
        due = self._begin_ns
        while True:
            due = max(due + int(PERIOD_S * 1e9), now_ns())
            gevent.sleep((due - now_ns()) / 1e9)
            self._garbage.tick()
            self._second()

    def _second(self) -> None:
        """Keep what has been seen since the last row."""
        if now_ns() > self._due_ns:  # this greenlet got up before the late wake-up did
            self._probe()
        begin, self._begin_ns = self._begin_ns, now_ns()
        before, self._cpu = self._cpu, self._meter.read()
        vitals, self._engine.vitals = self._engine.vitals, Vitals()
        late, self._late = self._late, Late()
        pauses_ms = [pause / 1e6 for pause in self._garbage.take()]
        length = self._begin_ns - begin
        self._keep(
            Second(
                time_ns=begin + ANCHOR_NS,
                worker=self._worker,
                seconds=length / 1e9,
                gc_pauses=len(pauses_ms),
                gc_ms=sum(pauses_ms),
                gc_ms_max=max(pauses_ms, default=None),
                **_of_cpu(before, self._cpu, length, len(self._meter.pinned)),
                **_of_loop(late),
                **_of_engine(vitals),
            )
        )


def _of_cpu(before: Cpu, after: Cpu, length: int, cores: int) -> dict[str, Any]:
    """`length`: ns between the two; `cores`: those we are pinned to."""
    ran, waited = _since(before.ran_ns, after.ran_ns), _since(before.waited_ns, after.waited_ns)
    turns = _since(before.turns, after.turns)
    throttled, taken = (
        _since(before.throttled_ns, after.throttled_ns),
        _since(before.taken_ns, after.taken_ns),
    )
    if waited is not None and turns is not None:
        waited = max(0, waited - turns * (WAKING_PINNED_NS if cores else WAKING_NS))
    return {
        "cpu_percent": 100 * (after.used_ns - before.used_ns) / length,
        "waited_percent": None if ran is None or waited is None else 100 * waited / max(1, ran + waited),
        "waited_ms": None if waited is None else waited / 1e6,
        "throttled_percent": None if throttled is None else 100 * throttled / length,
        "taken_percent": None if taken is None or not cores else max(0.0, 100 * taken / length / cores),
    }


def _of_loop(late: Late) -> dict[str, Any]:
    lags_ms = [lag / 1e6 for lag in late.lags_ns]
    p50, p99, most = spread(lags_ms)
    return {
        "loop_lag_ms_p50": p50,
        "loop_lag_ms_p99": p99,
        "loop_lag_ms_max": most,
        "loop_lags_ms": counted(lags_ms),
        "blocked_ms": late.blocked_ns / 1e6,
        "blocked_working_ms": late.working_ns / 1e6,
    }


def _of_engine(vitals: Vitals) -> dict[str, Any]:
    every = max(1, len(vitals.delays_ns) // DELAYS)
    delays_ms = [delay / 1e6 for delay in vitals.delays_ns[::every]]
    p50, p99, _ = spread(delays_ms)
    return {
        "reads": vitals.reads,
        "kernel_reads": vitals.kernel_reads,
        "most_ready": vitals.most_ready,
        "read_delay_ms_p50": p50,
        "read_delay_ms_p99": p99,
        "read_delay_ms_max": max(vitals.delays_ns) / 1e6 if vitals.delays_ns else None,
        "read_delays_ms": counted(delays_ms),
        "unparsed": vitals.unparsed,
        "clock_steps": vitals.clock_steps,
    }


def _since(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
