"""A client that cannot do its work says so: real processes, really squeezed, against the built-in server.

Each squeeze is strong enough to be seen on a machine that is busy with other things too, so what is asserted is
the verdict and the reason that must be among its reasons. That a client that nobody squeezes is valid can only be
seen on a quiet machine; the last test looks whether this one was.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from locust_runs import LOCUSTFILES, NUMBERS, Result, finish, run, simulator, start_cold

from harness.seconds import Second, load
from harness.servers.process import Server

LOAD = (*NUMBERS, "--output-tokens", "40", "-u", "8", "-r", "8", "-t", "6s")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="cores can be had, and be taken, on Linux only")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Eight streams of some 100 tokens a second."""
    with simulator("--slots", "8", "--step-base-ms", "10", "--step-per-seq-ms", "0") as one:
        yield one


@contextmanager
def thief(core: int) -> Iterator[None]:
    """Another process that wants all of a core."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"]
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def stopped_most_of_the_time(pid: int) -> Iterator[None]:
    """As cpulimit does it: 10 ms in which it may run, 90 ms in which it may not."""
    over = Event()

    def squeeze() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.09)
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.01)

    thread = Thread(target=squeeze)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def on_core(core: int, results: Path, *options: str) -> Result:
    """Run Locust on one core alone."""
    path = results.parent / "pinned.py"
    path.write_text(
        f"import os\nos.sched_setaffinity(0, {{{core}}})\n{(LOCUSTFILES / 'openai.py').read_text()}"
    )
    return run(path, results, *options)


def told(done: Result) -> tuple[str, list[str]]:
    """(status, reasons)."""
    verdict = done.summary["verdict"]
    return verdict["status"], verdict["reasons"]


def seconds(done: Result) -> list[Second]:
    rows = load(done.directory / "client.csv")
    assert rows
    return rows


@LINUX
def test_a_thief_on_its_core_is_invalid_and_exits_4(tmp_path: Path, server: Server) -> None:
    """The reason names the core, how much of it others had, and what to do."""
    with thief(core := max(os.sched_getaffinity(0))):
        done = on_core(core, tmp_path / "r", "--host", server.url, *LOAD, "--require-valid")
    status, reasons = told(done)
    assert done.code == 4, done.err
    assert status == "invalid"
    reason = next(
        reason
        for reason in reasons
        if reason.startswith("another process has this client's core: others used ")
    )
    share = int(reason.split("others used ")[1].split(" %")[0])
    assert 50 <= share <= 100
    assert "(limit 50 %)" in reason
    assert reason.endswith("; keep others off the cores it is pinned to")
    assert done.errors == [
        "tokenswarm: error: the verdict is invalid, and --require-valid was given (exit 4)"
    ]
    assert "verdict: INVALID" in done.out
    assert "Traceback" not in done.err


@LINUX
def test_a_tenth_of_the_cpu_is_invalid(tmp_path: Path, server: Server) -> None:
    """It neither worked nor waited for a core, and yet its loop was late; the environment asks for exit 4."""
    env = {"TOKENSWARM_REQUIRE_VALID": "1"}
    process = start_cold("openai.py", tmp_path / "r", "--headless", "--host", server.url, *LOAD, env=env)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "r").glob("*/journal.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    with stopped_most_of_the_time(process.pid):
        time.sleep(6)
    done = finish(process, tmp_path / "r")
    status, reasons = told(done)
    assert (done.code, status) == (4, "invalid"), reasons
    (late,) = (reason for reason in reasons if reason.startswith("the client's event loop was late by "))
    assert (
        "a user task blocks (a call that gevent does not know of), or the process was stopped" in late
        or "other processes" in late
    )
    assert max(row.loop_lag_ms_max or 0 for row in seconds(done)) > 70


TASKS = {
    "sleeps": (
        "ctypes.CDLL(None).usleep(150_000)",
        "it neither worked nor waited for a core; a user task blocks",
    ),
    "computes": (
        "end = time.thread_time() + 0.15\n        while time.thread_time() < end:\n            pass",
        "code of ours or of the locustfile kept it busy; take computing out of user tasks",
    ),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_that_blocks_the_loop_is_found_out(tmp_path: Path, server: Server, task: str) -> None:
    """Told apart by whether it used the CPU meanwhile."""
    body, cause = TASKS[task]
    assert hasattr(ctypes.CDLL(None), "usleep")
    locustfile = tmp_path / "mine.py"
    locustfile.write_text(
        "import ctypes, time\n"
        "from locust import task\n"
        "from harness.users import LLMUser\n"
        "class Mine(LLMUser):\n"
        "    @task\n"
        "    def go(self):\n"
        "        self.ask()\n"
        f"        {body}\n"
    )
    done = run(locustfile, tmp_path / "r", "--host", server.url, *LOAD)
    status, reasons = told(done)
    assert status == "invalid", reasons
    causes = (cause, "other processes had its core")  # which may be true besides, on a busy machine
    assert any(f": {one}" in reason for one in causes for reason in reasons), reasons
    assert max(row.loop_lag_ms_max or 0 for row in seconds(done)) > 130


@LINUX
@pytest.mark.calm
def test_a_client_that_nobody_squeezes_is_valid(tmp_path: Path, server: Server) -> None:
    """With --require-valid it exits 0, its seconds are all there, and its stamps are the kernel's."""
    done = run("openai.py", tmp_path / "r", "--host", server.url, *LOAD, "--require-valid")
    rows = seconds(done)
    client = done.summary["client"]
    assert client["seconds"] == pytest.approx(sum(row.seconds for row in rows), rel=1e-4)
    assert 5.9 <= client["seconds"] < 20  # the first second begins with the meter, a little after the run's
    assert client["workers"] == 1
    assert client["stamp_source"] == "kernel"
    assert client["late_send_ms"]["n"] == sum(row.sends or 0 for row in rows) == len(done.requests)
    assert client["reads"] == sum(row.reads for row in rows) > 1_000
    assert client["loop_lag_ms"]["n"] == pytest.approx(100 * client["seconds"], rel=0.1)
    status, reasons = told(done)
    if status != "valid" and client["waited_percent"]["worst_second"] > 15:
        pytest.skip(f"this machine is busy with other things just now: {status} {reasons}")
    assert (status, done.code) == ("valid", 0), reasons
