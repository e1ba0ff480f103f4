"""Locust started from a process that has imported it, and pandas, before: two fifths of a short run's time are such imports.

    done = warm.run(["-f", "vllm.py", "--headless"], env, cwd, out, err, timeout=60)

Each test process has one such process, which forks for each run. What is ours each run imports for itself, after the fork, and
its command line, environment, folder and output are its own; so only what others' modules do when they are imported is done once.
`PYTHON...` variables come too late here, and signals want a process that is one's child: for both there is `subprocess`.
"""

import array
import atexit
import gc
import json
import os
import posix  # what gevent has not patched
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from gevent import monkey

__all__ = ["run"]

_LIMIT: Final = 1_000_000  # bytes of a command line and an environment
_real: Any = monkey.get_original("socket", "socket")
_select: Any = monkey.get_original("select", "select")
_making: Any = monkey.get_original("_thread", "allocate_lock")()
_keeper: list["_Keeper"] = []


class _Keeper:
    """The process that forks."""

    def __init__(self) -> None:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._near = _real(fileno=near.detach())
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(far.fileno())], pass_fds=[far.fileno()], stdin=subprocess.DEVNULL
        )
        far.close()
        atexit.register(self.end)

    def end(self) -> None:
        """Without a word more it ends."""
        self._near.close()
        self._process.wait()

    def send(self, job: Mapping[str, object], *files: int) -> None:
        """Have a run started, with these as its output, its errors, and where its pid and its exit code are said."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
        self._near.sendmsg([json.dumps(job).encode()], rights)


def run(
    options: Sequence[str], env: Mapping[str, str], cwd: Path, out: Path, err: Path, *, timeout: float
) -> int | None:
    """Run Locust with these options to its end.

    Args:
        options: after `locust`.
        env: all of its environment.
        cwd: where it runs.
        out: where its output goes.
        err: the same for its errors.
        timeout: seconds that it may take.

    Returns:
        Its exit code, negative for a signal's number; None where it took too long, and has been killed.
    """
    with _making:  # two threads that begin at once share one
        if not _keeper:
            _keeper.append(_Keeper())
    reader, writer = os.pipe()
    try:
        with out.open("wb") as to_out, err.open("wb") as to_err:
            job = {"options": list(options), "env": dict(env), "cwd": str(cwd)}
            _keeper[0].send(job, to_out.fileno(), to_err.fileno(), writer)
        os.close(writer)
        pid, said, deadline = 0, b"", time.monotonic() + timeout
        while _select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
            if not (more := os.read(reader, 100)):
                raise AssertionError("who forks has gone")
            said += more
            pid = int(said.split(b"\n")[0])
            if said.count(b"\n") == 2:
                return int(said.split(b"\n")[1])
        if pid:
            os.kill(pid, signal.SIGKILL)
        return None
    finally:
        os.close(reader)


def _keep(own: int) -> None:
    """Fork for each job until nobody is there to send one. Returns in a run, which is then this process."""
    import locust.main  # noqa: F401, PLC0415
    import pandas  # noqa: F401, ICN001, PLC0415
    import pyarrow.parquet  # noqa: F401, PLC0415

    gc.collect()
    gc.freeze()  # or each fork's collector would copy it all
    near = _real(fileno=own)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the middlemen's ends are nobody's business
    while True:
        said, rights, _, _ = near.recvmsg(_LIMIT, socket.CMSG_SPACE(3 * array.array("i").itemsize))
        if not said:
            os._exit(0)
        files = array.array("i", rights[0][2])
        if posix.fork() == 0:
            near.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if (pid := posix.fork()) == 0:
                _become(json.loads(said), *files)
                return
            _wait(pid, files[2])
        for file in files:
            os.close(file)


def _wait(pid: int, to: int) -> NoReturn:
    """The middleman: say the run's pid, wait, and say how it ended."""
    with suppress(BrokenPipeError):  # nobody waits any longer
        os.write(to, b"%d\n" % pid)
        os.write(to, b"%d\n" % os.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1]))
    os._exit(0)


def _become(job: Mapping[str, Any], out: int, err: int, to: int) -> None:
    """What `python -m locust` would be by now."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    for file in (out, err, to):
        os.close(file)
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    sys.argv[:] = ["locust", *job["options"]]
    sys.path[0] = job["cwd"]


if __name__ == "__main__":
    _keep(int(sys.argv[1]))
    runpy.run_module("locust", run_name="__main__", alter_sys=True)
