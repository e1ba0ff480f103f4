"""By how much two processes' clocks differ, from messages that went back and forth.

An exchange has four stamps: asked (ours), heard (theirs), answered (theirs), back (ours). If both ways took the same
time,

    offset      = ((heard - asked) + (answered - back)) / 2        theirs minus ours, ns
    uncertainty = ((back - asked) - (answered - heard)) / 2        half the time on the way: the offset cannot be off by more

(RFC 5905, section 8). Of the last `KEPT` exchanges the one that was quickest on its way counts: whatever delays a message, a
busy process or a slow link, only ever adds to that time.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

__all__ = ["Clock", "Offset"]

KEPT: Final = 30
MOST_NS: Final = 1 << 62  # of an offset: 146 years, and no message can hold much more


class Offset(NamedTuple):
    """A clock minus ours, and by how much that may be wrong, ns."""

    ns: int
    uncertainty_ns: int

    @property
    def is_none(self) -> bool:
        """The two may as well be the same clock."""
        return abs(self.ns) <= self.uncertainty_ns


@dataclass(slots=True)
class Clock:
    """What is known of another process's clock."""

    _seen: deque[Offset] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, asked_ns: int, heard_ns: int, answered_ns: int, back_ns: int) -> None:
        """One exchange. One that cannot be, such as an answer before its question, is passed over."""
        away = (back_ns - asked_ns) - (answered_ns - heard_ns)
        ahead_ns = ((heard_ns - asked_ns) + (answered_ns - back_ns)) // 2
        if 0 <= away < MOST_NS and answered_ns >= heard_ns and abs(ahead_ns) < MOST_NS:
            self._seen.append(Offset(ahead_ns, away // 2 + 1))

    @property
    def best(self) -> Offset | None:
        """Of the last exchanges the surest; None before the first."""
        return min(self._seen, key=lambda offset: offset.uncertainty_ns, default=None)

    @property
    def shift_ns(self) -> int:
        """What to subtract from its stamps: nothing as long as the clocks may be one."""
        best = self.best
        return 0 if best is None or best.is_none else best.ns
