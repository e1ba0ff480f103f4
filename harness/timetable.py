"""When the arrivals of each level are due, by the seed: what every process of a run works out for itself.

The rule: the same settings and seed give the same schedule everywhere, so only slices of numbers have to travel. Each
repeat of a level has a schedule of its own. A trace is the same each time, for it is what was recorded.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import dropwhile, islice
from typing import Self

import numpy as np

from harness import traces
from harness.arrivals import Arrivals, Schedule
from harness.errors import ConfigError
from harness.settings import Settings
from harness.traces import Trace

__all__ = ["Timetable"]


@dataclass(frozen=True, slots=True)
class Timetable:
    """The schedules of a run."""

    arrivals: Arrivals
    seed: int
    trace: Trace | None = None  # of `arrivals.trace`

    @classmethod
    def of(cls, settings: Settings, say: Callable[[str], None]) -> Self | None:
        """The run's, its trace read if it has one; None in a closed loop.

        Raises:
            ConfigError: the trace cannot be read; with file and line.
        """
        arrivals = settings.load.arrivals
        if arrivals is None or arrivals.trace is None:
            return None if arrivals is None else cls(arrivals, settings.seed)
        trace = traces.read(arrivals.trace, speed_up=settings.load.speed_up)
        left = f"; {trace.left_out:,} left out, which failed there" if trace.left_out else ""
        say(f"{arrivals.trace}: {len(trace):,} requests in {trace.length_s:,.1f} s ({trace.format}){left}")
        return cls(arrivals, settings.seed, trace)

    def refuse_beyond(self, context: int | None) -> None:
        """See that each request of a trace fits into the server's context.

        Raises:
            ConfigError: some do not.
        """
        trace = self.trace
        if trace is None or context is None:
            return
        both = np.maximum(trace.prompt_tokens, 0) + np.maximum(trace.output_tokens, 0)
        worst = int(both.argmax())
        if both[worst] > context:
            raise ConfigError(
                f"{trace.path}: {int((both > context).sum()):,} of {len(trace):,} requests do not fit, the longest number "
                f"{worst + 1:,} with {int(both[worst]):,} tokens: the server takes {context:,} a request, prompt and "
                "answer together; leave these rows out, or raise the server's context"
            )

    def schedule(self, rate: float | None) -> Schedule:
        """A level's; `rate` where a sweep sets it."""
        if self.trace is not None:
            return self.trace
        return self.arrivals if rate is None else self.arrivals.scaled(rate)

    def offsets(self, level: int, repeat: int, rate: float | None) -> Iterator[int]:
        """When each arrival of a level is due, ns from its beginning, in order; finite or endless."""
        word = random.Random(f"{self.seed} arrivals {level} {repeat}")  # which is the same on every Python
        return self.schedule(rate).offsets(word.getrandbits(63))

    def length_s(self, rate: float | None) -> float | None:
        """How long a level lasts in which all arrivals are due, in seconds; None if they never end.

        The last of a trace is due at the very end of it, and belongs to it.
        """
        return self.schedule(rate).length_s if self.trace is None else self.trace.length_s + 1e-9

    def time_of(
        self, requests: int, level: int, repeat: int, rate: float | None, warmup_s: float
    ) -> float | None:
        """Seconds until `requests` arrivals after the warm-up have been due; None if it takes the whole schedule.

        The end is when the next one is due. Those that are due at the same moment are not parted, so there may be more.
        """
        warm_ns = round(warmup_s * 1e9)
        measured = dropwhile(lambda offset: offset < warm_ns, self.offsets(level, repeat, rate))
        last = next(islice(measured, requests - 1, None), None)
        found = next((offset for offset in measured if last is not None and offset > last), None)
        return None if found is None else found / 1e9
