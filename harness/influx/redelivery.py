"""The points of a finished run on their way to InfluxDB, no faster than it takes them.

This runs in a process of its own, in which no socket is gevent's: each write is made in a thread, and meanwhile the next lines are
made here.
"""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import gevent

from harness.aside import aside
from harness.clock import now_ns
from harness.errors import ConfigError
from harness.influx.access import Access
from harness.influx.outbox import Delivery, Outbox
from harness.influx.spool import pack
from harness.influx.transport import Answer, Writer, hello

__all__ = ["deliver", "greeted"]

PATIENCE_S: Final = 120.0  # without a point delivered, until it is given up
PAUSE_S: Final = 0.002
PORTION_LINES: Final = 5_000  # added at once; as many more may be under way
PORTION_BYTES: Final = 1_000_000
CLOSE_S: Final = 5.0

Lines = tuple[str, list[bytes]]


def greeted(to: Access, line: bytes) -> str:
    """Who is there. `line`, a point, is written, since only that tells whether token, org and bucket are right.

    Raises:
        ConfigError: nobody is there, or the point is not taken.
    """
    said = hello(to)
    writer = Writer(to)
    try:
        answer = writer.send(pack([line]).body, 1)
    finally:
        writer.close()
    if answer.kind == "delivered" or (answer.kind == "again" and _is_busy(answer)):
        return said
    raise ConfigError(answer.reason)


def _is_busy(answer: Answer) -> bool:
    """Whether it only wants to be asked again; a wrong token, too, is `again`, as somebody may mend it under load."""
    return answer.status is not None and (answer.status >= 500 or answer.status in {408, 425, 429})


def deliver(
    to: Access,
    lines: Iterable[Lines],
    note: Callable[[str, int, str], object],
    say: Callable[[str], None],
) -> Delivery:
    """Send them all; what came of them.

    Args:
        to: where to.
        lines: some of a measurement at once.
        note: told of each portion: measurement, points, how many are delivered in words.
        say: tells the user.

    Raises:
        ConfigError: as whoever makes the lines.
    """
    writer = Writer(to)

    def send(body: bytes, number: int) -> Answer:
        return aside(writer.send, body, number)

    outbox = Outbox(send, None, say)
    outbox.start()
    before = unsent = 0
    close_s = 0.0  # where this is broken off
    try:
        with _interruptible():
            for name, portion in _portions(lines):
                if unsent or not _settled(outbox, before):
                    unsent += len(portion)  # given up; but it shall be known how many are missing
                    continue
                outbox.add(portion)
                before = len(portion)
                note(name, before, f", {outbox.state.delivered:,} delivered")
            if unsent or not _settled(outbox, 0):
                say(f"no point was taken for {PATIENCE_S:.0f} s; given up")
        close_s = CLOSE_S
    finally:
        state = outbox.close(close_s)
        writer.close()
    return replace(state, created=state.created + unsent)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C comes to whoever is in here when it waits next; Python's own way, it may come to gevent's hub, which prints it."""
    before = signal.getsignal(signal.SIGINT)
    watcher = gevent.signal_handler(signal.SIGINT, gevent.kill, gevent.getcurrent(), KeyboardInterrupt)
    try:
        yield
    finally:
        watcher.cancel()
        signal.signal(signal.SIGINT, before)


def _settled(outbox: Outbox, most: int) -> bool:
    """Wait until no more than so many lines are under way; False if nothing moves."""
    moved_ns, taken = now_ns(), -1
    while (state := outbox.state).queued > most:
        if state.delivered + state.refused != taken:
            moved_ns, taken = now_ns(), state.delivered + state.refused
        elif now_ns() - moved_ns > PATIENCE_S * 1e9:
            return False
        gevent.sleep(PAUSE_S)
    return True


def _portions(lines: Iterable[Lines]) -> Iterator[Lines]:
    """The same, not too many and not too much at once."""
    for name, some in lines:
        portion: list[bytes] = []
        room = PORTION_BYTES
        for line in some:
            if portion and (room < len(line) or len(portion) >= PORTION_LINES):
                yield name, portion
                portion, room = [], PORTION_BYTES
            portion.append(line)
            room -= len(line)
        if portion:
            yield name, portion
