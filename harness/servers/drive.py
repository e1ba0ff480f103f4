"""Running a command to its end while a server is up, signals handed on to it.

A signal to this process goes to the command, once for each, and the server is stopped only after the command,
a Locust that drains perhaps, has gone. That needs the command in a process group of its own: in ours, Ctrl-C
at a terminal would reach it directly and `kill` would not, and which of the two happened cannot be told.
"""

import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from harness.servers.leash import leashed

__all__ = ["SIGNALS", "drive"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_EVERY_S = 1.0


def drive(
    command: Sequence[str],
    environ: Mapping[str, str] | None = None,
    *,
    meanwhile: Callable[[], object] | None = None,
) -> int:
    """Run `command` to its end, every signal to us handed on to it; its exit code, or 128 + its signal.

    `environ` is its environment, ours by default. `meanwhile` is called once a second.
    """
    with _handing_on() as hand_to:
        # Not from the terminal: Locust's keys would stop a process group in the background.
        process = subprocess.Popen(leashed(command), stdin=subprocess.DEVNULL, process_group=0, env=environ)
        hand_to(process)
        code = process.wait() if meanwhile is None else _wait(process, meanwhile)
    return code if code >= 0 else 128 - code


def _wait(process: subprocess.Popen[bytes], meanwhile: Callable[[], object]) -> int:
    while True:
        try:
            return process.wait(LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            meanwhile()


@contextmanager
def _handing_on() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Signals go to the child, once it is named; those that came before it was, right then."""
    early: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def forward(signum: int, _frame: FrameType | None) -> None:
        if children:
            children[0].send_signal(signum)
        else:
            early.append(signum)

    def hand_to(process: subprocess.Popen[bytes]) -> None:
        children.append(process)
        while early:
            process.send_signal(early.pop())

    before = {signum: signal.signal(signum, forward) for signum in SIGNALS}
    try:
        yield hand_to
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
