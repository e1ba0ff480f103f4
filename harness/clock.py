"""The one clock: monotonic nanoseconds, and one anchor a process that shifts them to Unix time.

Every stamp is `now_ns()`. Wall time is read once, at import, so that a step of the system clock during
a run can move all stamps of a process together but never one against another.
"""

import time
from time import perf_counter_ns as now_ns

__all__ = ["ANCHOR_NS", "now_ns", "unix_ns"]


def _anchor() -> int:
    """Unix time minus monotonic time, in ns: the tightest of a few paired readings."""
    best_width, best = None, 0
    for _ in range(9):
        before = now_ns()
        wall = time.time_ns()
        after = now_ns()
        if best_width is None or after - before < best_width:
            best_width, best = after - before, wall - (before + after) // 2
    return best


ANCHOR_NS = _anchor()


def unix_ns(monotonic: int) -> int:
    """A stamp of `now_ns()` as nanoseconds since 1970."""
    return monotonic + ANCHOR_NS
