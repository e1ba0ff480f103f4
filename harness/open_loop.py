"""Arrivals sent when they are due, whatever became of those before: one part's share of a level's schedule.

Every process goes through the whole schedule, which the seed decides, and sends the arrivals whose numbers are its own. A
deadline is the level's beginning plus an offset, never the last deadline plus a gap, so delays do not add up; and the sum of
all parts is the stated process however many they are. Numbers are looked at a second before they are due: until then the
master may deal them out anew (`harness.segment`).

With a cap, an arrival that finds it reached waits in line; its time is still the one it was due. So does one that finds the
part's allowance used up (`harness.allowance`). Those that wait when the level's time is over are never sent, and are
counted (`Segment.unsent`); so are those that this process is too slow for, after `GRACE_NS`.

A process that was frozen may have been counted out meanwhile. It reads what it was told before it sends what it missed.

Where another level follows without a pause, the last one ends where that begins: what was due before is still sent.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import gevent

from harness.arrivals import is_mine
from harness.clock import now_ns
from harness.leave import Leave, Slot, Turn

__all__ = ["Arrival", "Come", "OpenLoop"]

AHEAD_NS: Final = 1_000_000_000
GRACE_NS: Final = 1_000_000_000  # after a level's end, for what was due before it
FROZEN_NS: Final = 5_000_000_000  # of a sleep that lasted so much longer; masters are more patient than that
NEWS_S: Final = 0.3  # for orders that came meanwhile
# More arrivals than a level has; a prime, since openings of prompts come again in rounds of round numbers.
LEVEL_NUMBERS: Final = 10_000_019
_ASKED_NUMBERS: Final = 1_000_000_000_039
_STRIDE_S: Final = 0.1  # between two looks ahead
_LOOKS: Final = 4096  # at numbers without letting others have their turn
_BURST: Final = 16  # arrivals started before those started get to send


@dataclass(slots=True)
class Arrival:
    """One arrival that has leave to send."""

    number: int  # of the level's schedule
    due_ns: int  # by this process's clock
    turn: Turn
    slot: Slot
    is_taken: bool = False  # its first request has been asked for

    def of_run(self, nth: int) -> int:
        """The number in the whole run of its `nth` prompt, from 0: no other level's, whose prompts a cache would know."""
        return self.number + self.turn.step.index * LEVEL_NUMBERS + nth * _ASKED_NUMBERS


# Starts a user for an arrival, and calls the second argument when that user is gone.
Come = Callable[[Arrival, Callable[[], None]], None]


class OpenLoop:
    """Sends one part's arrivals. `changed` is called when a report would say more than a moment ago."""

    def __init__(self, leave: Leave, come: Come, changed: Callable[[], None]) -> None:
        self._leave = leave
        self._come = come
        self._changed = changed
        self._here = 0  # arrivals whose users are not gone
        self._waiting: deque[tuple[int, int]] = deque()
        self._turn: Turn | None = None
        self._last: Turn | None = None  # the one before it, which may still be about to end
        self._greenlets: list[gevent.Greenlet] = []  # of the two

    def enter(self, turn: Turn, offsets: Iterator[int]) -> None:
        """A level begins: `turn`'s step says when, and which numbers of the schedule are this part's."""
        last, going = self._turn, self._greenlets[-1:]
        gevent.killall(self._greenlets[:-1], block=False)
        self._greenlets = []
        self.stop()
        if last is not None and not last.is_closed:
            ends_ns = min(turn.step.open_ns, last.step.until_ns or turn.step.open_ns)
            last.step = replace(last.step, until_ns=ends_ns)
            self._last, self._greenlets = last, going
        self._turn = turn
        self._greenlets.append(gevent.spawn(self._keep, turn, offsets))

    def stop(self) -> None:
        """No further arrival; who is here goes on."""
        gevent.killall(self._greenlets, block=False)
        self._greenlets, self._last = [], None
        self._waiting.clear()
        if self._turn is not None:
            self._turn.backlog = 0
            self._turn = None

    def go_on(self) -> None:
        """There may be more to give than a moment ago: those who wait come, as far as cap and allowance go."""
        turn = self._turn
        while turn is not None and self._waiting and not turn.is_closed and not self._is_barred(turn):
            self._start(turn, *self._waiting.popleft())
            turn.backlog = len(self._waiting)

    def _keep(self, turn: Turn, offsets: Iterator[int]) -> None:
        begin_ns, burst = turn.step.open_ns, 0
        for number, offset_ns in enumerate(offsets):
            due_ns = begin_ns + offset_ns
            if _is_past(turn.step.until_ns, due_ns):
                break
            if (early_s := (due_ns - AHEAD_NS - now_ns()) / 1e9) > 0:
                _sleep(max(early_s, _STRIDE_S))
                burst = 0
            elif number % _LOOKS == 0:
                _sleep(0)
            if not is_mine(number, turn.step.slices):
                continue
            while (early_s := (due_ns - now_ns()) / 1e9) > 0:
                _sleep(early_s)
                burst = 0
            if not is_mine(number, turn.step.slices):  # it was given to others while this process was frozen
                continue
            self._arrive(turn, number, due_ns)
            burst += 1
            if burst >= _BURST:
                _sleep(0)
                burst = 0
        _sleep_until(turn)
        turn.is_closed = True
        if turn is self._turn:
            self._waiting.clear()
        turn.backlog = 0
        self._changed()

    def _arrive(self, turn: Turn, number: int, due_ns: int) -> None:
        if turn is not self._turn and turn is not self._last:  # killed, but its timer had gone off before
            return
        if self._is_barred(turn) or self._waiting:
            if turn is self._last:  # as those that waited: its time is over
                return
            self._waiting.append((number, due_ns))
            turn.backlog = len(self._waiting)
            if self._leave.is_dry and turn.dry_ns is None:
                turn.dry_ns = due_ns
                self._changed()
        else:
            self._start(turn, number, due_ns)
            if self._leave.runs_low:
                self._changed()

    def _is_barred(self, turn: Turn) -> bool:
        return self._leave.is_dry or (turn.step.cap is not None and self._here >= turn.step.cap)

    def _start(self, turn: Turn, number: int, due_ns: int) -> None:
        leave = self._leave.admit(turn, due_ns, now_ns())
        if leave is not None:
            self._here += 1
            arrival = Arrival(number, due_ns, *leave)
            self._come(arrival, partial(self._gone, arrival))

    def _gone(self, arrival: Arrival) -> None:
        self._here -= 1
        turn = arrival.turn
        if not arrival.is_taken:
            self._leave.forgo(turn, arrival.slot)
        self.go_on()
        if turn.is_closed:
            self._changed()


def _sleep_until(turn: Turn) -> None:
    """The end of a level that has one."""
    while (until_ns := turn.step.until_ns) is not None and (left_s := (until_ns - now_ns()) / 1e9) > 0:
        gevent.sleep(left_s)


def _is_past(until_ns: int | None, due_ns: int) -> bool:
    """Whether an arrival belongs to the level no more, or comes too late to be sent."""
    return until_ns is not None and (due_ns >= until_ns or now_ns() >= until_ns + GRACE_NS)


def _sleep(seconds: float) -> None:
    """Let others have their turn for so long; and longer if this process was frozen, so that it hears what it missed."""
    begin_ns = now_ns()
    gevent.sleep(seconds)
    if now_ns() - begin_ns > seconds * 1e9 + FROZEN_NS:
        gevent.sleep(NEWS_S)
