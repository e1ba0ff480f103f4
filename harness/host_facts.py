"""What machine a process runs on, for run.json: from /proc and cgroups where there are any, None where nothing says.

Nothing is started and nobody is asked; it takes a millisecond.
"""

import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

__all__ = ["host"]

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")
_MOST: Final = 1 << 60  # cgroup v1 writes a number beyond it where there is no limit
_TEXT: Final = 200


def host(proc: Path = PROC, cgroups: Path = CGROUPS) -> dict[str, Any]:
    """Name, processor, memory, kernel, limits and Python's build; `proc` and `cgroups` are where the kernel shows them."""
    quota, limit = _quota(proc, cgroups), _limit(proc, cgroups)
    return {
        "name": platform.node(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "cpu_model": _cpu_model(proc),
        "cpus_allowed": _allowed(),  # to this process, by its affinity
        "memory_bytes": _memory(proc),
        "kernel": _kernel(),
        "cgroup_cpus": quota,  # CPUs' worth of time that a quota leaves; None: there is none, or nobody says
        "cgroup_memory_bytes": limit,
        "python_build": " ".join(sys.version.split())[:_TEXT],
        "python_implementation": platform.python_implementation(),
    }


def _cpu_model(proc: Path) -> str | None:
    """What /proc/cpuinfo calls the first; ARM has no name there."""
    found = re.search(
        r"^(?:model name|Processor|cpu model|cpu)\s*:\s*(.+)$", _read(proc / "cpuinfo"), re.MULTILINE
    )
    return found[1].strip()[:_TEXT] if found else None


def _memory(proc: Path) -> int | None:
    found = re.search(r"^MemTotal:\s*(\d+) kB$", _read(proc / "meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _kernel() -> str | None:
    try:
        return f"{os.uname().sysname} {os.uname().release}"[:_TEXT]
    except AttributeError:  # Windows
        return None


def _allowed() -> int | None:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else None


def _quota(proc: Path, cgroups: Path) -> float | None:
    """The least of the quotas of our group and of those around it, in CPUs."""
    found = []
    for folder in _groups(proc, cgroups, "cpu"):
        words = _read(folder / "cpu.max").split()
        if not words:
            words = [_read(folder / f"cpu.cfs_{what}_us").strip() for what in ("quota", "period")]
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):
            found.append(int(words[0]) / int(words[1]))
    return min(found, default=None)


def _limit(proc: Path, cgroups: Path) -> int | None:
    """The least of the memory limits, in bytes."""
    found = []
    for folder in _groups(proc, cgroups, "memory"):
        word = (_read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")).strip()
        if word.isdigit() and int(word) < _MOST:
            found.append(int(word))
    return min(found, default=None)


def _groups(proc: Path, cgroups: Path, controller: str) -> Iterator[Path]:
    """Our own group's folder and those around it: of version 2, or of that controller's in version 1."""
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, names, path = (*line.split(":", 2), "", "")[:3]
        if names and controller not in names.split(","):
            continue
        top = cgroups / controller if names else cgroups
        parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
        for depth in range(len(parts), -1, -1):
            yield top.joinpath(*parts[:depth])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
