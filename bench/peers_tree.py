"""The processes that come of one command, as the kernel counts them: CPU time, memory, how many (Linux, /proc).

The rule: everything a tool starts is charged to it, however it starts it. A process belongs to the tree if its
parent does or if it is in the session that the command began, which also holds those whose parent has gone. CPU time is
the sum of what each process had used when last seen, so one that has ended keeps its share; a process that lives for
less than `LOOK_S` can be missed. Memory is PSS: pages that several processes share are divided among them, so that
the sum is what the tool costs the machine.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["LOOK_S", "Tree", "cpu_of", "machine_busy_s"]

LOOK_S: Final = 0.4  # between two searches for new processes
MEMORY_S: Final = 1.0  # between two readings of memory: the kernel walks all pages for one
TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
KILL_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Stat:
    """What is needed of /proc/PID/stat."""

    parent: int
    session: int
    cpu_s: float  # of the process itself, all its threads
    born: int  # ticks since boot; with the pid it names a process for good
    ended: bool  # it has, and waits to be asked how


class Tree:
    """All processes of one command; `sample` is called at least every tenth of a second."""

    def __init__(self, root: int) -> None:
        """`root` leads its own session."""
        self.root = root
        self.cpu: list[tuple[int, float]] = []  # (monotonic ns, CPU seconds of all so far)
        self.memory: list[tuple[int, float]] = []  # (monotonic ns, MB of 2**20)
        self.most = 0  # processes at once
        self._seen: dict[tuple[int, int], float] = {}
        self._alive: dict[int, int] = {}
        self._looked_ns = self._weighed_ns = 0

    def sample(self) -> None:
        """Note what is used now."""
        now_ns = time.monotonic_ns()
        if now_ns - self._looked_ns >= LOOK_S * 1e9:
            self.look()
            self._looked_ns = now_ns
        for pid, born in list(self._alive.items()):
            stat = stat_of(pid)
            if stat is None or stat.born != born:
                del self._alive[pid]
            else:
                self._seen[pid, born] = stat.cpu_s
        self.cpu.append((now_ns, sum(self._seen.values())))
        if now_ns - self._weighed_ns >= MEMORY_S * 1e9:
            self.memory.append((now_ns, sum(filter(None, map(pss_mb, self._alive)))))
            self._weighed_ns = now_ns

    def look(self) -> None:
        """Find the processes that are there now."""
        stats = {
            int(name): stat
            for entry in Path("/proc").iterdir()
            if (name := entry.name).isdigit() and (stat := stat_of(int(name)))
        }
        found = {pid for pid, stat in stats.items() if self.root in (pid, stat.session)}
        found |= {pid for pid, born in self._alive.items() if pid in stats and stats[pid].born == born}
        while more := {pid for pid, stat in stats.items() if stat.parent in found} - found:
            found |= more
        self._alive = {pid: stats[pid].born for pid in found}
        self.most = max(self.most, sum(not stats[pid].ended for pid in found))

    def kill(self) -> None:
        """End whatever is left of it."""
        deadline = time.monotonic() + KILL_S
        while time.monotonic() < deadline:
            self.look()
            left = [pid for pid in self._alive if (stat := stat_of(pid)) and not stat.ended]
            if not left:
                return
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def stat_of(pid: int) -> Stat | None:
    """A process now; None if it has gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    rest = text[text.rindex(")") + 2 :].split()  # the name before it may hold anything
    return Stat(
        parent=int(rest[1]),
        session=int(rest[3]),
        cpu_s=(int(rest[11]) + int(rest[12])) * TICK_S,
        born=int(rest[19]),
        ended=rest[0] in "ZX",
    )


def cpu_of(pid: int) -> float:
    """CPU seconds of one process so far; 0 if it has gone."""
    stat = stat_of(pid)
    return stat.cpu_s if stat else 0.0


def pss_mb(pid: int) -> float | None:
    """Memory of a process with shared pages divided, MB of 2**20; None if it has gone."""
    try:
        with Path(f"/proc/{pid}/smaps_rollup").open(encoding="ascii") as file:
            return next((int(line.split()[1]) / 1024 for line in file if line.startswith("Pss:")), None)
    except OSError:
        return None


def machine_busy_s() -> float:
    """Seconds that all cores together have not been idle since boot, stolen time included."""
    with Path("/proc/stat").open(encoding="ascii") as file:
        counts = [int(count) for count in file.readline().split()[1:9]]
    return (sum(counts) - counts[3] - counts[4]) * TICK_S
