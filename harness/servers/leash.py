"""A launcher that ties a command to the process that started it, then becomes that command (Linux).

    python leash.py PARENT_PID COMMAND ARGUMENT...

The kernel kills the command when the starter goes, however it goes: SIGKILL and crashes included. Python
code between fork and exec could do the same, but can deadlock where threads exist; a program of its own
cannot. Elsewhere than on Linux `leashed` hands the command back unchanged, and only an orderly end of the
starter stops the server.

The kernel counts the starting *thread* as the starter: start servers from a thread that outlives them.

Run by path, without site-packages, so it must import nothing but the standard library.

Source: prctl(2), PR_SET_PDEATHSIG; kept across execve(2) of a program that is not set-user-id.
"""

import os
import signal
import sys
from collections.abc import Sequence

__all__ = ["leashed"]

PR_SET_PDEATHSIG = 1


def leashed(command: Sequence[str]) -> list[str]:
    """The command that runs `command` and dies with the calling thread."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main() -> None:
    """Set the leash, then exec."""
    import ctypes  # noqa: PLC0415 -- the starter, which imports `leashed`, has no use for it

    parent, command = int(sys.argv[1]), sys.argv[2:]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C this early is no traceback of ours
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # exec would keep a starter's SIG_IGN
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before the leash was set
        sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 -- a list, no shell
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
