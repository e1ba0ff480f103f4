"""What one process has for InfluxDB on its way there: sent in batches, again if need be, and every line counted.

Rules of this file
1. Who adds never waits and never fails, whatever becomes of the server, the network or the disk.
2. A line is sent until the server has taken it or said that it never will. What is lost is counted:
   created = delivered + queued + spooled + dropped + refused, at any time.
3. Older lines go first, over retries too, since some points are written again later with more.

A line that a server took without our knowing is sent again. That does no harm: it is the same point.

It knows neither HTTP nor secrets, which are the business of `send`, nor where lines wait: `harness.influx.backlog`. Greenlets
of one thread only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import gevent
from gevent.event import Event

from harness.aside import aside
from harness.clock import now_ns
from harness.influx.backlog import Backlog
from harness.influx.spool import Batch, halves
from harness.influx.transport import Answer

__all__ = ["Delivery", "Outbox"]

WRITE_S: Final = 30.0  # one write, whatever trickles in
LINGER_S: Final = 0.2  # after the first line: more may come with it
BACKOFF_S: Final = (0.5, 15.0)
RETRY_AFTER_S: Final = 30.0  # the most that a server's word is followed
MEND_S: Final = (10.0, 20.0)  # between tries of what somebody has to mend first
HURRY_S: Final = 1.0  # between tries once pressed
SPLITS: Final = 200  # how often refused batches are halved to find the lines that are at fault
RECOVERIES: Final = 5  # of which the user is told


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where the lines are. `queued` and `spooled` wait, in memory and on disk."""

    created: int
    delivered: int
    queued: int
    spooled: int
    dropped: int  # no room
    refused: int  # the server said why
    retries: int  # writes tried again
    write_ms: float | None  # the last write that was answered
    problem: str | None  # in one line: what is wrong now, else why lines were lost

    @property
    def lost(self) -> int:
        """Lines not known to be in InfluxDB: so far, and once closed for good."""
        return self.created - self.delivered


class Outbox:
    """Sends lines.

    Args:
        send: one write, of a gzip'd body and its number of lines; never raises.
        spool: where lines wait on disk once there are many; None: they are dropped.
        say: tells the user, of each thing once.
    """

    def __init__(
        self, send: Callable[[bytes, int], Answer], spool: Path | None, say: Callable[[str], None]
    ) -> None:
        self._send, self._say = send, say
        self._backlog = Backlog(spool, self._drop, self._disk)
        self._created = self._delivered = self._dropped = self._refused = self._retries = 0
        self._in_hand = 0  # lines that are being sent
        self._write_ms: float | None = None
        self._trouble: str | None = None
        self._loss: str | None = None
        self._told: set[tuple[str, int | None]] = set()
        self._splits, self._recoveries = SPLITS, 0
        self._random = Random()  # not the one that a run's seed decides
        self._more, self._closing, self._pressed = Event(), Event(), Event()
        self._sender: gevent.Greenlet | None = None

    @property
    def state(self) -> Delivery:
        """Where the lines are now."""
        return Delivery(
            created=self._created,
            delivered=self._delivered,
            queued=self._backlog.queued + self._in_hand,
            spooled=self._backlog.spooled,
            dropped=self._dropped,
            refused=self._refused,
            retries=self._retries,
            write_ms=self._write_ms,
            problem=self._trouble or self._loss,
        )

    def add(self, lines: Sequence[bytes]) -> None:
        """Have lines sent. Empty ones are none."""
        fresh = [line for line in lines if line]
        self._created += len(fresh)
        if self._closing.is_set():
            self._drop(len(fresh), "they came after the end")
        elif fresh:
            self._backlog.add(fresh)
            self._more.set()

    def start(self) -> None:
        """Begin to send."""
        self._sender = gevent.spawn(self._run)

    def press(self) -> None:
        """The end is near: who waits to try again tries now, and from now on soon again."""
        self._pressed.set()

    def close(self, deadline_s: float) -> Delivery:
        """Send what can be sent in that time; what came of all lines. A second call only tells again."""
        if not self._closing.is_set():
            self._closing.set()
            self._more.set()
            self.press()
            if self._sender is not None:
                self._sender.join(deadline_s)
            self._backlog.close()
            if self._sender is not None:
                self._sender.kill(block=False)
        return self.state

    def _run(self) -> None:
        while True:
            self._more.clear()
            if batch := self._backlog.take():
                self._in_hand += batch.count
                self._deliver(batch)
            elif self._closing.is_set():
                return
            else:
                self._more.wait()
                if not self._backlog.full_batch:
                    self._closing.wait(LINGER_S)

    def _deliver(self, batch: Batch) -> None:
        """Send a batch until it is taken or refused."""
        attempt = 0
        while (answer := self._write(batch)).kind == "again":
            self._retries += 1
            attempt += 1
            self._trouble = answer.reason
            if attempt > 1 or answer.mendable:
                self._tell(
                    "away", answer.status, f"points for InfluxDB wait and are sent again: {answer.reason}"
                )
            self._pause(answer, attempt)
        if answer.kind == "delivered":
            self._in_hand -= batch.count
            self._delivered += batch.count
            self._recovered()
        elif batch.count > 1 and (answer.kind == "too_large" or (answer.partial and self._splits > 0)):
            if answer.kind == "too_large":
                self._backlog.smaller(batch)
            else:  # one line in which the server finds fault would cost all: 2.x takes none of the others
                self._splits -= 1
            for half in aside(halves, batch):
                self._deliver(half)
        else:
            self._in_hand -= batch.count
            self._refused += batch.count
            self._loss = self._loss or answer.reason
            self._tell("refused", answer.status, f"points for InfluxDB are refused and lost: {answer.reason}")

    def _write(self, batch: Batch) -> Answer:
        began_ns = now_ns()
        answer = Answer("again", reason=f"a write took more than {WRITE_S:g} s")
        try:
            with gevent.Timeout(WRITE_S, False):  # an answer in drops
                answer = self._send(batch.body, batch.count)
        except Exception as error:  # noqa: BLE001  # this greenlet must live, whatever is wrong
            return Answer("again", reason=f"a write failed ({type(error).__name__})")
        if answer.status is not None:
            self._write_ms = (now_ns() - began_ns) / 1e6
        return answer

    def _pause(self, answer: Answer, attempt: int) -> None:
        """Wait before the next try: as the server says, else full jitter, which `press` cuts short."""
        if answer.retry_after_s is not None:
            gevent.sleep(min(answer.retry_after_s, RETRY_AFTER_S) + self._random.uniform(0, BACKOFF_S[0]))
            return
        least, most = BACKOFF_S
        pause_s = self._random.uniform(0, min(most, least * 2 ** min(attempt, 10)))
        if answer.mendable:
            pause_s = self._random.uniform(*MEND_S)
        if self._pressed.is_set():
            gevent.sleep(min(max(pause_s, HURRY_S / 10), HURRY_S))
        else:
            self._pressed.wait(pause_s)

    def _recovered(self) -> None:
        """Say so where trouble was said. Of a server that comes and goes all day only the beginning is told."""
        self._trouble = None
        if told := {what for what in self._told if what[0] == "away"}:
            self._tell("back", None, "InfluxDB takes points again")
            self._recoveries += 1
            if self._recoveries < RECOVERIES:
                self._told -= told | {("back", None)}

    def _disk(self, why: str) -> None:
        self._trouble = why
        self._tell("disk", None, f"{why}: points for InfluxDB wait in memory, as long as there is room")

    def _drop(self, lines: int, why: str) -> None:
        self._dropped += lines
        if lines:
            self._loss = self._loss or f"points for InfluxDB are dropped: {why}"
            self._tell("dropped", None, f"points for InfluxDB are dropped and counted as lost: {why}")

    def _tell(self, what: str, status: int | None, line: str) -> None:
        if (what, status) not in self._told:
            self._told.add((what, status))
            self._say(line)
