"""What the kernel says of this process's share of the CPU: used, waited for, taken away.

    used       user and system time of the whole process
    ran        time on a CPU of the calling thread, the one that reads and stamps
    waited     time that thread was ready to run and did not: the kernel's run-queue delay, all of it
    turns      how often it got to run. Being woken takes up to 50 us of waiting, too, each time
    throttled  time in which a CPU limit (cgroup quota) kept our group, or one around it, from running
    taken      time that everybody else had of the cores this process is pinned to

All but `turns` are totals in ns, to be subtracted from one another. None where this platform does not say: `ran`, `waited`
and `turns` come from Linux's schedstat, `throttled` from cgroup v2 or v1, `taken` from /proc/stat, where `pinned` tells the
cores. A stopped process does not show up here; it shows as loop lag.
"""

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Cpu", "Meter", "thread_ns"]

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Totals at one time, ns."""

    used_ns: int
    ran_ns: int | None
    waited_ns: int | None
    turns: int | None
    throttled_ns: int | None
    taken_ns: int | None


def thread_ns() -> int:
    """CPU time of the calling thread, of the process where this platform cannot tell; half a microsecond."""
    usage = resource.getrusage(getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF))
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


class Meter:
    """Reads the totals of this process; `proc` and `cgroups` are where the kernel shows them."""

    def __init__(self, proc: Path = PROC, cgroups: Path = CGROUPS) -> None:
        self._schedstat = proc / "thread-self" / "schedstat"
        self._stat = proc / "stat"
        self._limits = list(_limits(proc / "self" / "cgroup", cgroups))
        self.pinned = _pinned()

    def read(self) -> Cpu:
        """The totals now; some 50 us."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        throttled = [told for path in self._limits if (told := _throttled(path)) is not None]
        used_ns = int((usage.ru_utime + usage.ru_stime) * 1e9)
        ran, waited, turns = _schedstat(self._schedstat)
        # A kernel with many cores takes a millisecond to write /proc/stat: only where it is of use.
        busy = _busy(self._stat, self.pinned) if self.pinned else None
        return Cpu(
            used_ns=used_ns,
            ran_ns=ran,
            waited_ns=waited,
            turns=turns,
            throttled_ns=sum(throttled) if throttled else None,
            taken_ns=None if busy is None else busy - used_ns,
        )


def _schedstat(path: Path) -> tuple[int, int, int] | tuple[None, None, None]:
    """(ran, waited, turns). Source: Linux, Documentation/scheduler/sched-stats.rst."""
    try:
        ran, waited, turns = map(int, path.read_text().split())
    except (OSError, ValueError):
        return None, None, None
    return ran, waited, turns


def _pinned() -> frozenset[int]:
    """The cores that this thread is kept to, where that is not all of them."""
    if not hasattr(os, "sched_getaffinity"):
        return frozenset()
    cores = os.sched_getaffinity(0)
    return frozenset(cores) if len(cores) < (os.cpu_count() or 0) else frozenset()


def _busy(stat: Path, cores: frozenset[int]) -> int | None:
    """Time these cores were not idle, ns, in steps of a tick. Source: Linux, Documentation/filesystems/proc.rst."""
    ticks = 0
    try:
        for line in stat.read_text().splitlines():
            name, *columns = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
                user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, columns)
                ticks += user + nice + system + irq + softirq + steal
    except (OSError, ValueError):
        return None
    return ticks * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


def _limits(groups: Path, root: Path) -> Iterator[Path]:
    """The `cpu.stat` of our cgroup and of those around it: any of them may have a quota."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if not controllers:
            mounts = (root, root / "unified")  # v2 alone, or beside v1
        elif "cpu" in controllers.split(","):
            mounts = (root / controllers, root / "cpu")
        else:
            continue
        folder = Path(place.lstrip("/"))
        for mount in mounts[:1] if mounts[0] == mounts[1] else mounts:
            yield from (
                path
                for at in (folder, *folder.parents)
                if _throttled(path := mount / at / "cpu.stat") is not None
            )


def _throttled(stat: Path) -> int | None:
    """ns, from v2's `throttled_usec` or v1's `throttled_time`."""
    try:
        told = dict(line.split() for line in stat.read_text().splitlines())
        if "throttled_usec" in told:
            return int(told["throttled_usec"]) * 1_000
        return int(told["throttled_time"])
    except (OSError, ValueError, KeyError):
        return None
