"""Locust started from a process that has imported it, pandas and us before: half of a short run's time are such imports.

    process = warm.start(["-f", "vllm.py", "--headless"], env, cwd, out, err)
    process.send_signal(signal.SIGINT)
    code = process.wait(60)

Each test process has one such process, which forks for each run. What has an effect when it is imported, our plugin for Locust, a
run imports for itself, after the fork, and its command line, environment, folder and output are its own.
`PYTHON...` variables come too late here: for them, and for what a start itself is the subject of, there is `subprocess`.
"""

import array
import atexit
import ctypes
import gc
import inspect
import json
import os
import platform
import posix  # what gevent has not patched
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from gevent import monkey

from harness.servers.leash import tie

__all__ = ["Process", "start"]

_LIMIT: Final = 1_000_000  # bytes of a command line and an environment
_LOOK_S: Final = 0.02  # between two looks at which runs have ended
_CLONE_NEWUTS, _CLONE_NEWNET = 0x04000000, 0x40000000  # setns(2), unshare(2)
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


class Process:
    """One run: as much of `subprocess.Popen` as tests want. Its `stdin` is empty; its output goes to files."""

    def __init__(self, reader: int, out: IO[bytes], err: IO[bytes]) -> None:
        self.returncode: int | None = None
        self._reader, self._out, self._err = reader, os.dup(out.fileno()), os.dup(err.fileno())
        self._said = b""
        os.set_blocking(reader, False)
        while b"\n" not in self._said:
            select.select([reader], [], [])
            self._hear()
        self.pid = int(self._said.split(b"\n")[0])

    def __del__(self) -> None:
        for file in (self._reader, self._out, self._err):
            os.close(file)

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            more = os.read(self._reader, 100)
            assert more or self.returncode is not None, "who forks has gone"
            self._said += more
        if self._said.count(b"\n") == 2:
            self.returncode = int(self._said.split(b"\n")[1])

    def poll(self) -> int | None:
        """Its exit code, negative for a signal's number; None while it runs."""
        if self.returncode is None:
            self._hear()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it is there.

        Raises:
            subprocess.TimeoutExpired: it has not ended in so many seconds.
        """
        deadline = time.monotonic() + (1e9 if timeout is None else timeout)
        while self.returncode is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired("locust", timeout or 0)
            select.select([self._reader], [], [], min(left, 0.2))  # another thread may hear of its end
            self._hear()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Its output and its errors, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not ended in so many seconds.
        """
        self.wait(timeout)
        out, err = (_whole(file) for file in (self._out, self._err))
        return out, err

    def send_signal(self, number: int) -> None:
        """To it alone, if it is there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """By SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """By SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _whole(file: int) -> str:
    return os.pread(file, os.fstat(file).st_size, 0).decode()


def start(
    options: Sequence[str],
    env: Mapping[str, str],
    cwd: Path,
    out: IO[bytes],
    err: IO[bytes],
    *,
    apart: bool = False,
    network: tuple[str, str] | None = None,
) -> Process:
    """Start Locust with these options. It is killed when this process ends.

    Args:
        options: after `locust`.
        env: all of its environment.
        cwd: where it runs.
        out: the file that its output goes to; opened for reading too where `communicate` is to tell it.
        err: the same for its errors.
        apart: whether it has a session, and a process group, of its own.
        network: the path of the network namespace in which it is to run, and the host name that it is to find there.
    """
    with _making:  # two threads that begin at once share one
        if not _keeper:
            _keeper.append(_Keeper())
    reader, writer = os.pipe()
    job = {"options": list(options), "env": dict(env), "cwd": str(cwd), "apart": apart, "network": network}
    try:
        _keeper[0].send(job, out.fileno(), err.fileno(), writer)
    finally:
        os.close(writer)
    return Process(reader, out, err)


def _keep(own: int) -> None:
    """Fork for each job until nobody is there to send one. Returns in a run, which is then this process."""
    import locust.main  # noqa: F401, PLC0415
    import pandas  # noqa: F401, ICN001, PLC0415
    import pyarrow.parquet  # noqa: F401, PLC0415

    import harness.report.page  # noqa: PLC0415
    import harness.session  # noqa: F401, PLC0415

    inspect.stack()  # Locust asks for one, and the first of a process reads where all modules lie
    gc.collect()
    gc.freeze()  # or each fork's collector would copy it all
    near, keeper = _real(fileno=own), os.getpid()
    running: dict[int, int] = {}  # pids, and where their ends are to be said
    while True:
        if _select([near], [], [], _LOOK_S if running else None)[0]:
            said, rights, _, _ = near.recvmsg(_LIMIT, socket.CMSG_SPACE(3 * array.array("i").itemsize))
            if not said:
                os._exit(0)
            out, err, to = array.array("i", rights[0][2])
            if (pid := posix.fork()) == 0:
                for file in (near.detach(), *running.values(), to):
                    os.close(file)
                if sys.platform == "linux":
                    tie(keeper)
                _become(json.loads(said), out, err)
                return
            running[pid] = to
            _say(to, pid)
            for file in (out, err):
                os.close(file)
        for pid in list(running):
            ended, status = posix.waitpid(pid, os.WNOHANG)
            if ended:
                _say(running[pid], os.waitstatus_to_exitcode(status))
                os.close(running.pop(pid))


def _say(to: int, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody waits any longer
        os.write(to, b"%d\n" % number)


def _become(job: Mapping[str, Any], out: int, err: int) -> None:
    """What `python -m locust` would be by now."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    for file in (out, err):
        os.close(file)
    if job["apart"]:
        os.setsid()
    if job["network"]:
        _enter(*job["network"])
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    sys.argv[:] = ["locust", *job["options"]]
    sys.path[0] = job["cwd"]


def _enter(network: str, name: str) -> None:
    """What `ip netns exec NETWORK unshare --uts` does, and then the host's name."""
    c = ctypes.CDLL(None, use_errno=True)
    with Path(network).open("rb") as file:
        if c.setns(file.fileno(), _CLONE_NEWNET) or c.unshare(_CLONE_NEWUTS):
            raise OSError(ctypes.get_errno(), f"cannot enter {network}")
    socket.sethostname(name)
    vars(platform)["_uname_cache"] = None  # it holds the name that the host had before


if __name__ == "__main__":
    _keep(int(sys.argv[1]))
    runpy.run_module("locust", run_name="__main__", alter_sys=True)
