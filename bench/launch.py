"""A launcher that gives a command a core and a priority, ties it to its starter, then becomes it (Linux).

    python -I -S launch.py PARENT_PID CORE PRIORITY COMMAND ARGUMENT...

The kernel kills the command when the starter goes, however it goes. Run by path, without site-packages.
Priorities: `fifo` (SCHED_FIFO), `nice` (-10), `none`.
"""

import ctypes
import os
import signal
import sys

FIFO_LEVEL, NICE = 10, -10
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set everything, then exec."""
    parent, core, priority, *command = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it went before the leash was set
        sys.exit(1)
    os.sched_setaffinity(0, {int(core)})
    if priority == "fifo":
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_LEVEL))
    elif priority == "nice":
        os.nice(NICE)
    try:
        os.execvp(command[0], command)  # noqa: S606 -- a list, no shell
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
