"""Python's garbage collector while load runs: off, and called by us when it is cheap.

Left alone it runs whenever enough objects have been made, which is when answers pour in, and now and then it
looks through everything: 30 ms and more in which no read is stamped. So what is there before load is put out
of its sight (`gc.freeze`), the collector is switched off, and `tick` collects instead: the young objects once a second,
all of those made since load began every ten. Each costs what it costs; the next one waits until both together
have taken no more than `SHARE` of the time. What lies about is bounded by that wait, and almost all of our
garbage needs no collector at all.

The last look before load takes 100 ms and more where pandas or a tokenizer is loaded. Whoever is told the moment at which
load begins has no time for it then: `put_by` takes most of it beforehand.

`stop` puts everything back as it was, so that a process may have one run after another. For the thread of the
hub only.
"""

import gc
from typing import Final, Literal

from harness.clock import now_ns

__all__ = ["SHARE", "Garbage", "put_by"]

SHARE: Final = 0.001  # of the time, 1 ms a second
YOUNG_NS: Final = 1_000_000_000
ALL_NS: Final = 10_000_000_000


class Garbage:
    """Collects from `start` to `stop`; `take` tells the pauses."""

    def __init__(self) -> None:
        self._running = False
        self._was_enabled = False
        self._begin_ns = 0
        self._pauses_ns: list[int] = []
        self._young_at = self._all_at = 0

    def start(self) -> None:
        """Load begins: one last thorough look, then the collector is off."""
        if self._running:
            return
        self._running, self._was_enabled = True, gc.isenabled()
        put_by()
        gc.disable()
        gc.callbacks.append(self._note)
        self._young_at, self._all_at = now_ns() + YOUNG_NS, now_ns() + ALL_NS

    def tick(self) -> None:
        """Collect what is due. Call about once a second."""
        now = now_ns()
        if not self._running:
            return
        if now >= self._all_at:
            self._all_at = now + max(ALL_NS, _rest(_timed(2)))
        elif now >= self._young_at:
            self._young_at = now + max(YOUNG_NS, _rest(_timed(0)))

    def take(self) -> list[int]:
        """Pauses since last taken, ns each, whoever asked for them."""
        taken, self._pauses_ns = self._pauses_ns, []
        return taken

    def stop(self) -> None:
        """Load is over; a second call does nothing."""
        if not self._running:
            return
        self._running = False
        gc.callbacks.remove(self._note)
        gc.unfreeze()
        if self._was_enabled:
            gc.enable()

    def _note(self, phase: Literal["start", "stop"], _: dict[str, int]) -> None:
        if phase == "start":
            self._begin_ns = now_ns()
        else:
            self._pauses_ns.append(now_ns() - self._begin_ns)


def put_by() -> None:
    """Look through all that is there now; `Garbage.start` then looks only at what has been made since."""
    gc.collect()
    gc.freeze()


def _timed(generation: int) -> int:
    """Collect; how long it took, ns."""
    begin = now_ns()
    gc.collect(generation)
    return now_ns() - begin


def _rest(cost_ns: int) -> int:
    """How long to leave it alone after that; the two kinds of collection share `SHARE`."""
    return int(cost_ns / (SHARE / 2))
