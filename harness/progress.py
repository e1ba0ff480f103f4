"""One line now and then that says how far a run is and how it is doing, for people and for logs."""

import sys
from collections import deque
from statistics import median
from typing import TextIO

import gevent

from harness.clock import now_ns
from harness.plan import Plan
from harness.record import Outcome, Phase, RequestRecord

_RECENT = 100  # finished requests that the medians are taken over


class Progress:
    """Counts records as they come and prints a line every few seconds to stderr."""

    def __init__(self, plan: Plan, stream: TextIO = sys.stderr) -> None:
        self._plan = plan
        self._stream = stream
        self._recent: deque[RequestRecord] = deque(maxlen=_RECENT)
        self._greenlet: gevent.Greenlet | None = None
        self._begin_ns = 0
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.output_tokens = 0

    def start(self) -> None:
        """Load begins."""
        self._begin_ns = now_ns()
        self._greenlet = gevent.spawn(self._tell)

    def stop(self) -> None:
        """Load is over; one last line."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
            self._print(self.line())

    def add(self, record: RequestRecord) -> None:
        """Count one finished request."""
        self.outcomes[record.outcome] += 1
        self.output_tokens += record.output_tokens or 0
        if record.outcome is Outcome.OK and record.phase is Phase.MEASURE:
            self._recent.append(record)

    def line(self) -> str:
        """Where the run stands, e.g. `[0:12] 4 users, step 2/3: 7/12 done ...`."""
        seconds = (now_ns() - self._begin_ns) // 1_000_000_000
        parts = [
            f"[{seconds // 60}:{seconds % 60:02}] {self._place()}",
            f"{self.outcomes[Outcome.OK]} ok in all",
        ]
        parts += [
            f"{self.outcomes[bad]} {bad}" for bad in (Outcome.FAILED, Outcome.CANCELLED) if self.outcomes[bad]
        ]
        # Where servers do not count, that is done after the load.
        uncounted = self.outcomes[Outcome.OK] and not self.output_tokens
        parts.append("tokens not counted yet" if uncounted else f"{self.output_tokens:,} tokens")
        ttft = [record.ttft_ms for record in self._recent if record.ttft_ms is not None]
        rates = [
            record.output_tokens_per_s for record in self._recent if record.output_tokens_per_s is not None
        ]
        if ttft:
            parts.append(f"TTFT {median(ttft):,.0f} ms")
        if rates:
            parts.append(f"{median(rates):,.1f} tok/s per request (medians of the last {len(rates)})")
        return " · ".join(parts)

    def _place(self) -> str:
        segment = self._plan.segment
        if segment is None and self._plan.segments:
            return "done"
        if segment is None or segment.level == 0:
            return "starting users"
        users = f"{segment.level} user" + "s" * (segment.level > 1)
        if not self._plan.is_sweep:
            return users
        place = f"{users}, step {self._plan.at + 1}/{len(self._plan.segments)}"
        if segment.warmup_given < segment.warmup or not segment.given:
            return f"{place}: warming up"
        return f"{place}: {segment.done}/{segment.quota} done"

    def _tell(self) -> None:
        pause_s = 2 if self._stream.isatty() else 5
        while True:
            gevent.sleep(pause_s)
            self._print(self.line())

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)
