"""Which processes still run, when some have ended and nobody has asked after them.

Such a zombie is nobody's stray: an orphan's new parent, the machine's first process, takes seconds to ask in some containers.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["alive", "goes", "group"]


def alive(pid: int) -> bool:
    """Whether this process is there and has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError):  # not Linux, or it has gone by now
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return not Path("/proc/self").exists()


def goes(pid: int, within_s: float = 5.0) -> bool:
    """Whether this process ends in time."""
    deadline = time.monotonic() + within_s
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def group(leader: int, patience_s: float = 5.0) -> list[str]:
    """Who of this process group still runs after a while, by pid and command line; nobody, as soon as that is so."""
    deadline = time.monotonic() + patience_s
    while found := _members(leader):
        if time.monotonic() > deadline:
            return found
        time.sleep(0.05)
    return []


def _members(leader: int) -> list[str]:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return []
    if not Path("/proc/self").exists():
        return [f"one of group {leader}"]
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            pid = int(folder.name)
            if os.getpgid(pid) == leader and alive(pid):
                found.append(f"{pid} {(folder / 'cmdline').read_bytes().decode().replace(chr(0), ' ')}")
    return found
