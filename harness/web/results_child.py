"""Work on results in a process of its own, at the lowest priority: what takes seconds must not hold up load, nor the page.

It is spawned and not forked: a fork copies the page tables of all that this process has, during which nothing else goes on
(6 ms of a Locust of 140 MB), and runs Python in the copy. A child ends with this process, however that ends. What it prints
goes to a file and is read when it is over, its beginning alone: nobody has to keep up with it.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any, Final

import gevent
from gevent.event import Event

from harness.servers.leash import leashed

__all__ = ["Done", "call"]

LOOK_S: Final = 0.1  # between two looks at whether to go on
GRACE_S: Final = 2.0
MOST: Final = 32 << 20  # bytes of its output that are read
NICE: Final = 19
STOPPED: Final = -1  # the exit code of one that was stopped here


@dataclass(frozen=True, slots=True)
class Done:
    """What a child left. `code`: its exit code, STOPPED if it was stopped, also for having taken too long."""

    code: int
    out: bytes
    err: str


def call(
    words: Sequence[str],
    *,
    given: bytes = b"",
    limit_s: float,
    may_go_on: Callable[[], bool] = lambda: True,
) -> Done:
    """Run `python WORDS` to its end; the calling greenlet waits, the others go on.

    Args:
        words: of the command line, after the interpreter.
        given: its standard input.
        limit_s: when it is stopped.
        may_go_on: asked ten times a second; where it says no, the child is stopped.
    """
    with TemporaryFile() as source, TemporaryFile() as out, TemporaryFile() as err:
        source.write(given)
        source.flush()
        source.seek(0)
        try:
            child = _Child(leashed([sys.executable, *words]), (source, out, err))
        except OSError as error:
            return Done(STOPPED, b"", f"no process could be started ({error.strerror})")
        try:
            code = child.wait(limit_s, may_go_on)
        finally:
            child.stop()
        return Done(code, _read(out), _read(err).decode(errors="replace"))


class _Child:
    """A process whose end the event loop hears of."""

    def __init__(self, command: list[str], streams: Sequence[IO[bytes]]) -> None:
        loop = gevent.get_hub().loop
        loop.install_sigchld()
        actions = [(os.POSIX_SPAWN_DUP2, stream.fileno(), place) for place, stream in enumerate(streams)]
        self.pid = os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=actions,
            setpgroup=0,  # Ctrl-C is for this process, which stops its children itself
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # which Python ignores
        )
        self.code: int | None = None
        self._ended = Event()
        self._watcher = loop.child(self.pid, False)  # at the end nobody waits for it
        self._watcher.start(self._hear, self._watcher)
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.pid, NICE)

    def _hear(self, watcher: Any) -> None:  # noqa: ANN401  gevent's
        self.code = os.waitstatus_to_exitcode(watcher.rstatus)
        watcher.stop()
        watcher.close()
        self._ended.set()

    def wait(self, limit_s: float, may_go_on: Callable[[], bool]) -> int:
        """Its exit code; STOPPED where it has to be stopped."""
        for _ in range(int(limit_s / LOOK_S) + 1):
            if self._ended.wait(LOOK_S) and self.code is not None:
                return self.code
            if not may_go_on():
                break
        return STOPPED

    def stop(self) -> None:
        """End it if it has not ended."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.code is not None:
                return
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
            self._ended.wait(GRACE_S)


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(MOST)
