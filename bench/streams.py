"""What our own clients of the bench share: the streams, each asking again and again, and the clock over them.

The garbage collector is kept as in a run.
"""

from collections.abc import Callable
from typing import Final

import gevent
from loader import Job, Meter

from harness.clock import now_ns
from harness.garbage import Garbage

__all__ = ["drive"]

TICK_S: Final = 1.0


def drive(job: Job, meter: Meter, ask: Callable[[], object]) -> None:
    """Have every stream `ask` from its start to the load's stop; return when the last answer is in."""
    garbage = Garbage()
    garbage.start()
    meter.begin()

    def stream(number: int) -> None:
        gevent.sleep(max(0.0, (job.start_ns(number, meter.begin_ns) - now_ns()) / 1e9))
        while now_ns() < meter.stop_ns:
            ask()

    def watch() -> None:
        for name, at_ns in (("steady", meter.steady_ns), ("stop", meter.stop_ns)):
            while (left_s := (at_ns - now_ns()) / 1e9) > 0:
                gevent.sleep(min(left_s, TICK_S))
                garbage.tick()
            meter.mark(name)

    watcher = gevent.spawn(watch)
    gevent.joinall([gevent.spawn(stream, number) for number in range(job.streams)], raise_error=True)
    watcher.join()
    meter.load_over()
