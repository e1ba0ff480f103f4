"""Background probes sent: one part's share, which is all of them or none (`harness.probing`).

The rule: a probe is sent when it is due, whatever became of the last one and whatever the load does; it takes no user's
turn and counts for no level. Probes belong to the level that load belongs to when they go out.

When load is stopped no probe follows, and those in flight may finish like any request.
"""

from collections.abc import Callable
from typing import Final

import gevent
from gevent.pool import Group

from harness.clock import now_ns
from harness.leave import Leave, Slot
from harness.level_doubts import Finding
from harness.probing import MOST, Due, Pace, Probing
from harness.record import Phase

__all__ = ["NAME", "Prober"]

NAME: Final = "probe"  # in Locust's statistics


class Prober:
    """Sends the run's probes while `tend` says that it is this part that does."""

    def __init__(self, probing: Probing | None, leave: Leave, send: Callable[[Due, Slot], object]) -> None:
        """Nothing sent.

        Args:
            probing: what was asked for; None: no probes.
            leave: knows the level that load belongs to.
            send: sends one and waits for its end.
        """
        self._probing = probing
        self._leave = leave
        self._send = send
        self._pace: Pace | None = None
        self._greenlet: gevent.Greenlet | None = None
        self._group = Group()
        self._skipped = 0  # by earlier paces
        self.sent = 0
        self.in_flight = 0

    def tend(self, begin_ns: int | None) -> None:
        """Send from now on the probes of a run that began then, by this process's clock; None: others do."""
        if begin_ns is None or self._probing is None or self._leave.is_stopped:
            self.stop()
        elif self._greenlet is None:
            # Whoever begins with the run is some ms late for the first probe, which is its own.
            begins = now_ns() - begin_ns < self._probing.every_ns
            self._pace = Pace(self._probing, begin_ns, begin_ns if begins else now_ns())
            self._greenlet = gevent.spawn(self._keep, self._pace)

    def stop(self) -> None:
        """No further probe; those in flight go on."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
            self._greenlet = None
        if self._pace is not None:
            self._skipped += self._pace.skipped
            self._pace = None

    def drain(self, limit_s: float) -> None:
        """Wait so long for those in flight, then give them up."""
        self.stop()
        self._group.join(timeout=limit_s)
        self._group.kill(block=True)

    def findings(self) -> list[Finding]:
        """For the verdict: probes that were not sent are in no figure, and would have been the slowest."""
        skipped = self._skipped + (self._pace.skipped if self._pace else 0)
        if not skipped:
            return []
        said = f"{skipped} of {self.sent + skipped} probes were not sent: {MOST} were in flight, or the client stood still"
        return [("suspect", f"{said}; raise --probe-every")]

    def _keep(self, pace: Pace) -> None:
        while True:
            while (early_s := (pace.next_ns - now_ns()) / 1e9) > 0:
                gevent.sleep(early_s)
            due = pace.take(now_ns())
            if due is not None:
                self.sent += 1
                self.in_flight += 1
                self._group.spawn(self._one, pace, due)

    def _one(self, pace: Pace, due: Due) -> None:
        turn = self._leave.turn
        level, repeat = (0, 1) if turn is None else (turn.step.level, turn.step.repeat)
        try:
            self._send(due, Slot(level, repeat, Phase.PROBE))
        finally:
            pace.finished()
            self.in_flight -= 1
