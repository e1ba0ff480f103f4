"""What the kernel says of our CPU: read from its files as it writes them, None where it says nothing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import cpu
from harness.cpu import Meter

STAT = """cpu  900 0 900 9000 50 5 5 90 0 0
cpu0 100 10 200 3000 40 1 2 30 7 7
cpu1 400 20 300 2000 30 3 4 60 7 7
cpu10 1 1 1 1 1 1 1 1 1 1
intr 12345 0 9 0
"""
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def kernel(tmp_path: Path, *, schedstat: str | None = None, cgroup: str = "", **stats: str) -> Meter:
    """A meter of a made-up kernel; `stats` are cpu.stat files by their folder, `__` for a slash."""
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroups"
    for folder in (proc / "self", proc / "thread-self"):
        folder.mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(cgroup)
    (proc / "stat").write_text(STAT)
    if schedstat is not None:
        (proc / "thread-self" / "schedstat").write_text(schedstat)
    for place, text in stats.items():
        folder = cgroups / place.replace("__", "/").removeprefix("root").lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.stat").write_text(text)
    return Meter(proc, cgroups)


def test_run_queue_delay_is_of_the_calling_thread(tmp_path: Path) -> None:
    """Three numbers of schedstat."""
    told = kernel(tmp_path, schedstat="1500 2500 35\n").read()
    assert (told.ran_ns, told.waited_ns, told.turns) == (1500, 2500, 35)


@pytest.mark.parametrize("text", [None, "", "1 2", "a b c"])
def test_a_kernel_without_it_measures_nothing(tmp_path: Path, text: str | None) -> None:
    """None, never 0; used time is there all the same."""
    told = kernel(tmp_path, schedstat=text).read()
    assert (told.ran_ns, told.waited_ns, told.turns, told.throttled_ns) == (None, None, None, None)
    assert told.used_ns > 0


def test_a_quota_of_cgroup_v2(tmp_path: Path) -> None:
    """Microseconds; our group and all around it count, for any of them may have the quota."""
    meter = kernel(
        tmp_path,
        cgroup="0::/a/b\n",
        root="usage_usec 5\n",
        root__a="usage_usec 5\nnr_throttled 1\nthrottled_usec 30\n",
        root__a__b="nr_throttled 2\nthrottled_usec 12\n",
        root__c="throttled_usec 1000\n",
    )
    assert meter.read().throttled_ns == 42_000


def test_a_quota_of_cgroup_v1(tmp_path: Path) -> None:
    """Nanoseconds, under the controller's own mount."""
    meter = kernel(
        tmp_path,
        cgroup="5:cpu,cpuacct:/x\n3:cpuset:/y\n0::/\n",
        **{"cpu,cpuacct__x": "nr_periods 9\nnr_throttled 3\nthrottled_time 77\n"},
    )
    assert meter.read().throttled_ns == 77


def test_cores_it_is_pinned_to(tmp_path: Path) -> None:
    """Everything but idle and waiting for disks of just these cores, less our own time."""
    meter = kernel(tmp_path)
    meter.pinned = frozenset({1})
    told = meter.read()
    assert told.taken_ns == (400 + 20 + 300 + 3 + 4 + 60) * TICK_NS - told.used_ns
    meter.pinned = frozenset({0, 1})
    told = meter.read()
    assert told.taken_ns == (787 + 343) * TICK_NS - told.used_ns
    meter.pinned = frozenset()
    assert meter.read().taken_ns is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores can be had on Linux only")
def test_pinned_means_fewer_than_there_are() -> None:
    """A process that may use all cores is pinned to none."""
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one core: nothing to be pinned to")
    code = "import os; from harness.cpu import Meter; a = Meter().pinned; os.sched_setaffinity(0, {0}); print(sorted(a), sorted(Meter().pinned))"
    free = os.sched_getaffinity(0) == set(range(os.cpu_count() or 1))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ("[] [0]" if free else done.stdout.strip())


def test_our_own_time_here() -> None:
    """Half a second of work is half a second used, on the thread and in the process."""
    meter = Meter()
    before, begun, thread = meter.read(), time.process_time_ns(), cpu.thread_ns()
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    after, ended = meter.read(), time.process_time_ns()
    assert after.used_ns - before.used_ns == pytest.approx(ended - begun, rel=0.1)
    assert cpu.thread_ns() - thread == pytest.approx(ended - begun, rel=0.2)
    if after.ran_ns is not None and before.ran_ns is not None:
        assert after.ran_ns - before.ran_ns == pytest.approx(ended - begun, rel=0.1)
