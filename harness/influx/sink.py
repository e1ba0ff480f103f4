"""One process's points on their way: collected each second in a greenlet of its own, handed to the outbox.

Whoever has points says so with `follow`: what it gives is called just after each whole second of Unix time. Making lines is
work that the load path must not wait for, so it is done in turns of `TURN_NS`, and between them everybody else has theirs.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import gevent

from harness.clock import now_ns, unix_now_ns
from harness.influx import transport
from harness.influx.access import Access
from harness.influx.lines import Encoder
from harness.influx.outbox import Delivery, Outbox
from harness.influx.schema import MEASUREMENTS

__all__ = ["Collect", "Sink", "open_sink"]

TURN_NS: Final = 1_000_000
_LOOK_S: Final = 0.02
STATE_EVERY: Final = 5  # seconds
SECOND: Final = 1_000_000_000
CLOSE_S: Final = 10.0  # for what waits when all is over
GONE_S: Final = 2.0  # the same, if nothing could be delivered lately

Collect = Callable[[int], Iterable[bytes]]
"""Gives the lines of what has happened until a moment, Unix ns of this process; called once a second."""


class Sink:
    """One process's points of one run."""

    def __init__(self, outbox: Outbox, run_id: str, name: str) -> None:
        """`name`: this process's value of the tag `worker`."""
        self._outbox = outbox
        self._writer = Encoder(MEASUREMENTS["llm_writer"], run=run_id, worker=name)
        self._collects: list[Collect] = []
        self._greenlet: gevent.Greenlet | None = None
        self._busy_ns = 0
        self._busy_since_ns = now_ns()

    def follow(self, collect: Collect) -> None:
        """Call it each second from now on."""
        self._collects.append(collect)

    def start(self) -> None:
        """Load begins."""
        self._outbox.start()
        self._greenlet = gevent.spawn(self._keep_collecting)

    def put(self, lines: Iterable[bytes]) -> None:
        """Have these sent. In turns, so it may take a while where there are many."""
        for turn in self._turns(lines):
            self._outbox.add(turn)

    def flush(self, last: Iterable[bytes] = ()) -> Delivery:
        """Nothing more will happen: collect what is left, and `last`, and send it as far as that can be done in `CLOSE_S`."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
        self._collect(unix_now_ns())
        self.put(last)
        self._add_state()
        limit_ns = now_ns() + int(self._patience_s * 1e9)
        while (state := self.state).queued + state.spooled and now_ns() < limit_ns:
            gevent.sleep(_LOOK_S)
        return state

    def close(self) -> Delivery:
        """Send what is left, and no more after it."""
        return self._outbox.close(self._patience_s)

    @property
    def state(self) -> Delivery:
        """How far it is."""
        return self._outbox.state

    @property
    def _patience_s(self) -> float:
        return CLOSE_S if self.state.problem is None else GONE_S

    def _keep_collecting(self) -> None:
        second = 0
        while True:
            gevent.sleep((SECOND - unix_now_ns() % SECOND) / 1e9 + 0.001)
            second += 1
            self._collect(unix_now_ns())
            if second % STATE_EVERY == 0:
                self._add_state()

    def _collect(self, at_ns: int) -> None:
        for collect in self._collects:
            self.put(collect(at_ns))

    def _turns(self, lines: Iterable[bytes]) -> Iterator[list[bytes]]:
        turn: list[bytes] = []
        begin_ns = now_ns()
        for line in lines:
            if line:
                turn.append(line)
            if (passed_ns := now_ns() - begin_ns) > TURN_NS:
                self._busy_ns += passed_ns
                yield turn
                turn = []
                gevent.sleep(1e-6)  # a timer, and not 0: everything that is ready goes first
                begin_ns = now_ns()
        self._busy_ns += now_ns() - begin_ns
        yield turn

    def _add_state(self) -> None:
        state, at_ns = self.state, now_ns()
        values = {
            "created": state.created,
            "delivered": state.delivered,
            "queued": state.queued,
            "spooled": state.spooled,
            "dropped": state.dropped,
            "refused": state.refused,
            "retries": state.retries,
            "write_ms": state.write_ms,
            "cpu_percent": 100 * self._busy_ns / max(1, at_ns - self._busy_since_ns),
        }
        self._busy_ns, self._busy_since_ns = 0, at_ns
        self._outbox.add([self._writer.line(unix_now_ns(), values)])


def open_sink(
    access: Access, run_id: str, name: str, folder: Path, say: Callable[[str], None], *, says_where: bool
) -> Sink:
    """Where this process's points of a run go; says so if nobody is there.

    Args:
        access: to InfluxDB.
        run_id: the run.
        name: this process's value of the tag `worker`.
        folder: for what has to wait on disk.
        say: tells the user.
        says_where: also if somebody is.
    """
    writer, found = transport.Writer(access), transport.hello(access)
    if found.startswith("InfluxDB "):
        if says_where:
            say(f"metrics go to {found}")
    else:
        say(
            f"warning: no metrics yet: {found} The run goes on, and what InfluxDB misses can be sent afterwards"
        )
    return Sink(Outbox(writer.send, folder / f"metrics-{name}.spool", say), run_id, name)
