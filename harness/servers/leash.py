"""A launcher that ties a command to the process that started it, then becomes that command (Linux).

    python leash.py PARENT_PID NAME,NAME COMMAND ARGUMENT...

The kernel kills the command when the starter goes, however it goes: SIGKILL and crashes included. Python
code between fork and exec could do the same, but can deadlock where threads exist; a program of its own
cannot. Elsewhere than on Linux nothing is tied, and only an orderly end of the starter (and
`harness.servers.guard`) stops the server.

An argument `$NAME` of a named environment variable becomes its value here, a moment before the exec, so that
a secret which a program takes on no other way than its command line is on no other command line.

The kernel counts the starting *thread* as the starter: start servers from a thread that outlives them.

Run by path, without site-packages, so it must import nothing but the standard library.

Source: prctl(2), PR_SET_PDEATHSIG; kept across execve(2) of a program that is not set-user-id.
"""

import os
import signal
import sys
from collections.abc import Sequence

__all__ = ["leashed", "tie"]

PR_SET_PDEATHSIG = 1


def leashed(command: Sequence[str], secret_names: Sequence[str] = ()) -> list[str]:
    """The command that runs `command` and dies with the calling thread."""
    if sys.platform != "linux" and not secret_names:
        return list(command)
    names = ",".join(secret_names)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), names, *command]


def main() -> None:
    """Set the leash, then exec."""
    parent, names, command = int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C this early is no traceback of ours
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # exec would keep a starter's SIG_IGN
    if sys.platform == "linux":
        tie(parent)
    values = {f"${name}": os.environ.get(name, "") for name in names if name}
    command = [values.get(word, word) for word in command]
    try:
        os.execvp(command[0], command)  # noqa: S606 -- a list, no shell
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


def tie(parent: int) -> None:
    """This process dies with `parent`, who started it (Linux)."""
    import ctypes  # noqa: PLC0415 -- the starter, which imports `leashed`, has no use for it

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before the leash was set
        sys.exit(1)


if __name__ == "__main__":
    main()
