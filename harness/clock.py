"""The one clock: monotonic nanoseconds, and what shifts them to Unix time and the kernel's stamps to them.

Every stamp is on the clock of `now_ns()`. Wall time is read once, at import, so that a step of the system
clock during a run can move all stamps of a process together but never one against another. The kernel
stamps what it receives with wall time; `KernelClock` brings these stamps back, and follows steps.
"""

import time
from time import perf_counter_ns as now_ns

__all__ = ["ANCHOR_NS", "KernelClock", "now_ns", "unix_now_ns", "unix_ns"]

# Wall and monotonic time are slewed alike, so their difference only moves when somebody sets the clock.
STEP_NS = 100_000


def _anchor() -> tuple[int, int]:
    """Unix time minus monotonic time, and its uncertainty, in ns: the tightest of a few paired readings."""
    best_width, best = 1 << 62, 0
    for _ in range(9):
        before = now_ns()
        wall = time.time_ns()
        after = now_ns()
        if after - before < best_width:
            best_width, best = after - before, wall - (before + after) // 2
    return best, best_width


ANCHOR_NS = _anchor()[0]


def unix_ns(monotonic: int) -> int:
    """A stamp of `now_ns()` as nanoseconds since 1970."""
    return monotonic + ANCHOR_NS


def unix_now_ns() -> int:
    """Now in ns since 1970, by the clock of all stamps: it does not follow when somebody sets the system's."""
    return now_ns() + ANCHOR_NS


class KernelClock:
    """The kernel's wall-clock stamps on our clock: `stamp - shift_ns`."""

    __slots__ = ("shift_ns",)

    def __init__(self) -> None:
        self.shift_ns = _anchor()[0]

    def follow(self) -> bool:
        """Look whether the system clock was set since the last look; True if it was."""
        before = now_ns()
        wall = time.time_ns()
        if abs(wall - before - self.shift_ns) < STEP_NS:
            return False
        shift, width = _anchor()  # the pair may just have been torn apart by a pause of ours
        if abs(shift - self.shift_ns) < STEP_NS + width:
            return False
        self.shift_ns = shift
        return True
