"""Real time for the batch: sleeps until each step's end and tells who got a token.

Steps follow each other on absolute times: the next one starts when the last one was due, not when the event
loop got round to it, so lateness never adds up. A loop that was held up longer than `GIVE_UP_NS` (a stopped
process, a sleeping laptop) starts afresh from now, or it would answer with a burst of overdue tokens.
"""

import asyncio
import select
import selectors
import sys
from dataclasses import dataclass, field
from typing import Protocol

from harness.clock import now_ns
from harness.simulator.batching import Batch, Sequence, Step

GIVE_UP_NS = 1_000_000_000


class Listener(Protocol):
    """Whoever waits for a sequence."""

    def token(self, late_ns: int) -> None:
        """One token more. `late_ns`: how long after its due time this is called."""

    def done(self) -> None:
        """Nothing more will come; called after the last `token`."""


@dataclass(slots=True)
class Engine:
    """Runs a `Batch`. All calls from the event loop's own thread."""

    batch: Batch
    loop: asyncio.AbstractEventLoop
    _listeners: dict[Sequence, Listener] = field(default_factory=dict)
    _active: bool = False

    def submit(self, sequence: Sequence, listener: Listener) -> None:
        """Queue a sequence; an idle engine wakes once this pass of the event loop, or its gathering, is over."""
        self.batch.submit(sequence)
        self._listeners[sequence] = listener
        if not self._active:
            self._active = True
            if self.batch.cost.gather_ms:
                self.loop.call_later(self.batch.cost.gather_ms / 1e3, self._wake)
            else:
                self.loop.call_soon(self._wake)

    def cancel(self, sequence: Sequence) -> None:
        """Forget a sequence and free its slot; its listener hears nothing more. Idempotent."""
        self.batch.cancel(sequence)
        self._listeners.pop(sequence, None)

    def _wake(self) -> None:
        self._begin(now_ns())

    def _begin(self, at_ns: int) -> None:
        step = self.batch.start(at_ns) or self.batch.start(now_ns())
        if step is None:
            self._active = False
            return
        self.loop.call_at(self.loop.time() + (step.end_ns - now_ns()) / 1e9, self._end, step)

    def _end(self, step: Step) -> None:
        late_ns = max(0, now_ns() - step.end_ns)
        for sequence in self.batch.finish(step):
            listener = self._listeners.get(sequence)
            if listener is None:
                continue
            if sequence.produced:
                listener.token(late_ns)
            # What the listener did may have been to give its sequence up.
            if sequence.done and self._listeners.pop(sequence, None) is not None:
                listener.done()
        self._begin(step.end_ns if late_ns < GIVE_UP_NS else now_ns())


if sys.platform == "linux":

    class FineSelector(selectors.EpollSelector):
        """epoll that wakes on time: epoll_wait counts in ms and rounds up, select counts in µs.

        An epoll descriptor is itself readable when it has events, so select waits on that one.
        """

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """As in the standard library."""
            if timeout is not None and timeout > 0:
                select.select((self.fileno(),), (), (), timeout)
                timeout = 0
            return super().select(timeout)

else:  # kqueue counts in ns already
    FineSelector = selectors.DefaultSelector


def fine_loop() -> asyncio.AbstractEventLoop:
    """An event loop whose timers are accurate to well under a millisecond."""
    return asyncio.SelectorEventLoop(FineSelector())
