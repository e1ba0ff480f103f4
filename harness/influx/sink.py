"""One process's points on their way: collected each second in a greenlet of its own, handed to the outbox.

Whoever has points says so with `follow`: what it gives is called just after each whole second of Unix time. Making lines is
work that the load path must not wait for, so it is done in turns of `TURN_NS`, and between them everybody else has theirs.

Whatever goes wrong here, the run and its results have nothing to do with it: nothing raises, and the end waits so long and no longer.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import gevent
from gevent.event import Event

from harness.backends.fields import printable
from harness.clock import now_ns, unix_now_ns
from harness.influx import transport
from harness.influx.access import Access
from harness.influx.lines import Encoder
from harness.influx.outbox import Delivery, Outbox
from harness.influx.point import SECOND
from harness.influx.schema import MEASUREMENTS

__all__ = ["Collect", "Sink", "open_sink"]

TURN_NS: Final = 1_000_000
STATE_EVERY: Final = 5  # seconds
CLOSE_S: Final = 10.0  # for what waits when all is over
GONE_S: Final = 2.0  # the same, if nothing could be delivered lately
SAID_S: Final = 1.0  # a wait that is longer is told of
_LOOK_S: Final = 0.02
_TOLD: Final = 200  # characters of what went wrong

Collect = Callable[[int], Iterable[bytes]]
"""Gives the lines of what has happened until a moment, Unix ns of this process; called once a second."""


class Sink:
    """One process's points of one run."""

    def __init__(self, outbox: Outbox, run_id: str, name: str, say: Callable[[str], None]) -> None:
        """`name`: this process's value of the tag `worker`; `say` tells the user."""
        self._outbox = outbox
        self._say = say
        self._writer = Encoder(MEASUREMENTS["llm_writer"], run=run_id, worker=name)
        self._collects: list[Collect] = []
        self._greenlet: gevent.Greenlet | None = None
        self._over, self._hurried = Event(), Event()
        self._is_slow = self._has_failed = False
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
        """Have these sent. In turns, so it may take a while where there are many. Where one fails, the rest are left out."""
        turn: list[bytes] = []
        begin_ns = now_ns()
        try:
            for line in lines:
                turn.append(line)
                if (passed_ns := now_ns() - begin_ns) > TURN_NS:
                    self._busy_ns += passed_ns
                    self._outbox.add(turn)
                    turn = []
                    gevent.sleep(1e-6)  # a timer, and not 0: everything that is ready goes first
                    begin_ns = now_ns()
        except Exception as error:  # noqa: BLE001  # one odd value must end neither the greenlet nor the run
            self._fail(error)
        self._busy_ns += now_ns() - begin_ns
        self._outbox.add(turn)

    def flush(self, last: Iterable[bytes] = ()) -> Delivery:
        """Nothing more will happen: collect what is left, and `last`, and send it as far as that can be done in `CLOSE_S`."""
        if self._greenlet is None:  # load has never begun
            return self.state
        self._over.set()
        self._greenlet.join()  # not killed: what it has in hand would be lost
        self._collect(unix_now_ns())
        self.put(last)
        self._add_state()
        self._outbox.press()
        self._wait()
        self._is_slow = self._waits
        return self.state

    def hurry(self) -> None:
        """Wait no longer for what `flush` is waiting for, nor in `close`."""
        self._hurried.set()

    def close(self) -> Delivery:
        """Send what is left, and no more after it."""
        return self._outbox.close(0.0 if self._hurried.is_set() else self._patience_s)

    @property
    def state(self) -> Delivery:
        """How far it is."""
        return self._outbox.state

    @property
    def _patience_s(self) -> float:
        return GONE_S if self._is_slow or self.state.problem else CLOSE_S

    @property
    def _waits(self) -> bool:
        return self.state.queued + self.state.spooled > 0

    def _wait(self) -> None:
        """Until all is sent, it has taken too long, or somebody is in a hurry. A server that comes back is waited for longer."""
        began_ns, said, patience_s = now_ns(), False, self._patience_s
        while self._waits and (passed_s := (now_ns() - began_ns) / 1e9) < patience_s:
            patience_s = max(patience_s, self._patience_s)
            if not said and patience_s > GONE_S and passed_s > SAID_S:
                said = True
                self._say(
                    f"waiting up to {patience_s:g} s for InfluxDB to take the last points; Ctrl-C ends that"
                )
            if self._hurried.wait(_LOOK_S):
                return

    def _keep_collecting(self) -> None:
        second = 0
        while not self._over.wait((SECOND - unix_now_ns() % SECOND) / 1e9 + 0.001):
            second += 1
            self._collect(unix_now_ns())
            if second % STATE_EVERY == 0:
                self._add_state()

    def _collect(self, at_ns: int) -> None:
        for collect in self._collects:
            self.put(_asked(collect, at_ns))

    def _fail(self, error: Exception) -> None:
        """It is a defect of ours; said once."""
        if not self._has_failed:
            self._has_failed = True
            what = printable(f"{type(error).__name__}: {error}")[:_TOLD]
            self._say(
                f"warning: some points for InfluxDB could not be made and are missing there ({what}); the run and its "
                "results are whole. Please report this"
            )

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


def _asked(collect: Collect, at_ns: int) -> Iterator[bytes]:
    """The lines, asked for when the first is taken: within `put`, which sees to what is raised."""
    yield from collect(at_ns)


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
    return Sink(Outbox(writer.send, folder / f"metrics-{name}.spool", say), run_id, name, say)
