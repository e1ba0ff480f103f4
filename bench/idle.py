"""What an idle Locust worker takes: the memory that any load test on Locust starts from."""

import socket
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Final

from processes import BUILD, sample

__all__ = ["worker_mb"]

SETTLE_S: Final = 6.0
LOCUSTFILE: Final = """\
from locust import FastHttpUser, task


class Idle(FastHttpUser):
    host = "http://127.0.0.1:9"

    @task
    def nothing(self):
        pass
"""


def worker_mb() -> float | None:
    """Resident MB of a plain Locust worker that waits for its master's orders; None if it did not come up."""
    path = BUILD / "idle_locustfile.py"
    path.write_text(LOCUSTFILE, encoding="utf-8")
    port = _free_port()
    base = [sys.executable, "-m", "locust", "-f", str(path)]
    # The master waits for a second worker, which never comes.
    master = [
        *base,
        "--master",
        "--headless",
        "--expect-workers",
        "2",
        "--master-bind-port",
        str(port),
        "-u",
        "1",
    ]
    worker = [*base, "--worker", "--master-host", "127.0.0.1", "--master-port", str(port)]
    with ExitStack() as stack:
        _child(stack, master)
        process = _child(stack, worker)
        time.sleep(SETTLE_S)
        seen = sample(process.pid) if process.poll() is None else None
    return seen.rss_mb if seen else None


def _child(stack: ExitStack, command: list[str]) -> "Popen[bytes]":
    process = Popen(
        command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True, cwd=Path(BUILD)
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
