"""Ends a server whose starter went without ending it: killed outright, or out by a door where no code runs.

    python guard.py [COMMAND ARGUMENT...]

It waits in a session of its own at a pipe that the starter holds. The kernel closes the pipe when the starter
goes, however it goes; then the server's process group is killed and the command is run, which removes what
lives outside the group: a container. `harness.servers.leash` ends the child a moment sooner, but neither
what the child left running nor a container.

Run by path, without site-packages, so it must import nothing but the standard library.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["Guard"]

RELEASED = "released"
CLEAN_UP_S = 60


class Guard:
    """A watcher of this process. It ends when it is released, or when it has done its work."""

    def __init__(self, afterwards: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, *afterwards],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def watch(self, group: int) -> None:
        """A process group to kill."""
        self._tell(str(group))

    def release(self) -> None:
        """The starter has ended the server itself."""
        self._tell(RELEASED)
        stdin = self._process.stdin
        if stdin is not None:
            stdin.close()
        self._process.wait()

    def _tell(self, word: str) -> None:
        stdin = self._process.stdin
        with suppress(OSError):  # somebody has killed it
            if stdin is not None:
                stdin.write(f"{word}\n".encode())


def main() -> None:
    """Wait, then act or leave."""
    command = sys.argv[1:]
    words = sys.stdin.read().split()
    if RELEASED in words:
        return
    for group in words:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(int(group), signal.SIGKILL)
    if command:
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command, stdin=subprocess.DEVNULL, timeout=CLEAN_UP_S, check=False)


if __name__ == "__main__":
    main()
