"""One level held once, and the window in which its load was whole.

A level ends in one of two ways, and the rule of its window follows from that:

    quota   after so many measured requests. The window begins when every part has sent (or never ceased to, where
            levels follow one another without a pause) and one of them its first measured request: all users are up by
            then, and busy. It ends with the first request to finish when its part had nothing left to give
    wave    a quota of one request a user, all sent at once and all awaited: from the first leave to the last end
    span    after a time, or when load is stopped. The window begins when the warm-up is over and every part has sent; it
            ends when the cool-down begins

Any window ends earlier if load is stopped, the number of users changes, or a part is lost. So concurrency, or the
process of arrivals, is the same all through the window; the tail in which users fall idle is outside it.

A quota is granted to the parts in shrinking portions: of what is left, each part holds half its share, and at least one
request for each of its users. So faster parts do more, no user waits while there is something left, and a lost part takes
little with it. A single part is granted everything at once.

Arrivals are numbered over the whole run of a level, and each number belongs to one part: `slices` say to which. When
parts come or go, a new slice holds from a number on that is not due yet. No clock here; stamps are on the run's clock, Unix ns.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from harness.allowance import portions
from harness.arrivals import Slice
from harness.loadpoint import LoadPoint
from harness.orders import Step, Tally

__all__ = ["Due", "Part", "Segment", "Span"]

LEAD_NS: Final = 2_000_000_000  # of a new slice: parts look a second ahead, and have to hear of it before
COUNT_NS: Final = 2_000  # the longest that counting an arrival takes


@dataclass(frozen=True, slots=True)
class Span:
    """A level that is held for a time."""

    seconds: float | None = None  # None: until load is stopped
    warmup_s: float = 0.0
    cooldown_s: float = 0.0


class Due:
    """How many arrivals of a schedule are due before a moment. For one that lies before the last all are counted anew."""

    def __init__(self, offsets: Callable[[], Iterable[int]]) -> None:
        """`offsets`: gives that of each arrival, ns from the schedule's beginning, in order."""
        self._whole = offsets
        self._begin()

    def _begin(self) -> None:
        self._offsets: Iterator[int] = iter(self._whole())
        self._next = next(self._offsets, None)
        self.counted, self._last_ns = 0, 0

    def before(self, offset_ns: int) -> int:
        """Arrivals with a smaller offset."""
        if offset_ns < self._last_ns:
            self._begin()
        self._last_ns = offset_ns
        while self._next is not None and self._next < offset_ns:
            self.counted += 1
            self._next = next(self._offsets, None)
        return self.counted


@dataclass(slots=True)
class Part:
    """One part's share of a segment."""

    users: int
    tally: Tally
    granted: int = 0
    is_lost: bool = False
    is_late: bool = False  # it got its users when the window was over

    @property
    def counts(self) -> int:
        """Measured requests that are, or may be, this part's."""
        return self.tally.given if self.is_lost else max(self.granted, self.tally.given)


@dataclass(slots=True)
class Segment:
    """One level held once. `quota` None: for its span."""

    index: int
    point: LoadPoint
    repeat: int
    quota: int | None
    warmup: int  # requests of each user that are not measured
    span: Span | None = None  # given where there is no quota, but for a run whose users are set by hand
    is_wave: bool = False
    cap: int | None = None  # open loop: in flight at once, over all parts
    due: Due | None = None  # open loop
    slices: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)  # (from number, whose in turn)
    open_ns: int | None = None
    cut_ns: int | None = None
    stop_ns: int | None = None  # when load was stopped in it
    parts: dict[str, Part] = field(default_factory=dict)
    label: str | None = None  # what was changed when it began, while load ran (`harness.by_hand`)

    @property
    def level(self) -> int:
        """Its name in the table."""
        return self.point.key

    def given(self) -> int:
        """Measured requests given out."""
        return sum(part.tally.given for part in self.parts.values())

    def warmup_given(self) -> int:
        """Warm-up requests given out."""
        return sum(part.tally.warmup_given for part in self.parts.values())

    def warmup_total(self) -> int:
        """Warm-up requests of all users."""
        return self.warmup * self.point.users

    def done(self) -> int:
        """Measured requests that are over."""
        return sum(part.tally.done for part in self.parts.values())

    def in_flight(self) -> int:
        """Requests under way, as far as is known."""
        return sum(part.tally.in_flight for part in self.parts.values() if not part.is_lost)

    def backlog(self) -> int:
        """Arrivals that are due and wait for the cap."""
        return sum(part.tally.backlog for part in self.parts.values() if not part.is_lost)

    @property
    def end_ns(self) -> int | None:
        """When its span is over."""
        if self.open_ns is None or self.span is None or self.span.seconds is None:
            return None
        return self.open_ns + round(self.span.seconds * 1e9)

    @property
    def is_done(self) -> bool:
        """It has sent all that it was to send, and everything has finished."""
        if self.open_ns is None or self.in_flight():
            return False
        if self.quota is not None:
            return self.given() >= self.quota
        here = [part for part in self.parts.values() if not part.is_lost]
        return self.end_ns is not None and bool(here) and all(part.tally.is_closed for part in here)

    def unsent(self) -> int | None:
        """Arrivals that were due before load stopped, or could not go on, and that nobody sent; None in a closed loop."""
        if self.due is None:
            return None
        ends = [end for end in (self.end_ns, self.stop_ns) if end is not None]
        if self.open_ns is None or not ends:
            return 0
        if self.stop_ns is not None:
            ends += [part.tally.dry_ns for part in self.parts.values() if part.tally.dry_ns is not None]
        arrived = sum(part.tally.arrived for part in self.parts.values())
        return max(0, self.due.before(min(ends) - self.open_ns) - arrived)

    def window(self) -> tuple[int, int] | None:
        """(start, end) of the time in which load was whole, once that is over; None if it never was."""
        start, end = self.whole_from_ns(), self._whole_until_ns()
        return None if start is None or end is None or end <= start else (start, end)

    def whole_from_ns(self) -> int | None:
        """Where its window begins; None while load is not whole.

        Once all parts have sent and one of them what is measured; by the clock after its warm-up, in a closed loop not before
        the last part's users have sent. A wave begins with its first request, and so does load whose users are set by hand.
        """
        busy = self._busy()
        firsts = [one.first_ns for one in busy if one.first_ns is not None]
        starts = [one.start_ns for one in busy if one.start_ns is not None]
        if self.span is None and (self.is_wave or self.quota is None):
            return min(starts, default=None)
        if self.open_ns is None or not firsts:
            return None
        warm_ns = None if self.span is None else self.open_ns + round(self.span.warmup_s * 1e9)
        if self.point.is_open and warm_ns is not None:
            return warm_ns
        least_ns = min(starts, default=None) if warm_ns is None else warm_ns
        return None if least_ns is None or len(firsts) < len(busy) else max(least_ns, *firsts)

    def _whole_until_ns(self) -> int | None:
        """Where its window ends; None while it has not. A wave's does with its last request: idle users are part of what it measures."""
        busy = self._busy()
        if self.is_wave:
            lasts = [one.last_ns for one in busy if one.last_ns is not None]
            return max(lasts, default=None) if self.is_done and self.cut_ns is None else None
        if self.span is not None:
            is_over = bool(busy) and all(one.is_closed for one in busy)
            ends = [] if self.end_ns is None else [self.end_ns - round(self.span.cooldown_s * 1e9)]
        else:
            ends = [one.end_ns for one in busy if one.end_ns is not None]
            is_over = len(ends) == len(busy)
        if self.cut_ns is None and not is_over:
            return None
        return min([*ends, *([] if self.broken_ns is None else [self.broken_ns])], default=None)

    def _busy(self) -> list[Tally]:
        """How far those parts are that its window is about."""
        parts = self.parts.values()
        return [p.tally for p in parts if not p.is_late and (p.users or p.tally.first_ns is not None)]

    @property
    def broken_ns(self) -> int | None:
        """From when on load was not whole: it was cut, or parts had used up what they may send before that."""
        if self.cut_ns is None:
            return None
        dry = [part.tally.dry_ns for part in self.parts.values() if part.tally.dry_ns is not None]
        return min([self.cut_ns, *dry])

    def cut(self, at_ns: int) -> None:
        """Load is not whole from here on; the first cut counts."""
        if self.cut_ns is None and self.open_ns is not None:
            self.cut_ns = at_ns

    def stop(self, at_ns: int) -> None:
        """Nothing more is sent."""
        self.cut(at_ns)
        if self.stop_ns is None:
            self.stop_ns = at_ns

    def share(self, names: Iterable[str], now_ns: int) -> None:
        """Deal the arrivals out to these parts in turn, from the first on that is not due for a while.

        No more parts than may have one in flight at once: with a cap of 2, the third and later ones get none.
        """
        whose = tuple(sorted(names))[: self.cap]
        if self.due is None or self.open_ns is None or whose in ((), self.takers):
            return
        first = 0
        if self.slices:
            counted, at_ns = self.due.counted, now_ns + LEAD_NS - self.open_ns
            first = self.due.before(at_ns)
            # Late in a level of many arrivals, counting them takes long.
            first = self.due.before(at_ns + max(0, first - counted) * COUNT_NS)
        self.slices.append((first, whose))

    @property
    def takers(self) -> tuple[str, ...]:
        """Open loop: the parts that arrivals come to, in turn."""
        return self.slices[-1][1] if self.slices else ()

    def grant(self) -> None:
        """Give out what is left of the quota, as far as that is wise yet."""
        if self.quota is None:
            return
        takers = {name: part for name, part in self.parts.items() if part.users and not part.is_lost}
        left = self.quota - sum(part.counts for part in self.parts.values())
        users = {name: part.users for name, part in takers.items()}
        holds = {name: part.granted - part.tally.given for name, part in takers.items()}
        for name, more in portions(left, holds, users, users).items():
            takers[name].granted += more

    def step(self, name: str) -> Step | None:
        """What a part is to do of it; None while it is not open."""
        if self.open_ns is None:
            return None
        part = self.parts.get(name) or Part(0, Tally(index=self.index))
        step = Step(
            index=self.index,
            level=self.level,
            repeat=self.repeat,
            open_ns=self.open_ns,
            warmup=self.warmup * part.users,
            quota=None if self.quota is None else part.counts,
        )
        return step if self.span is None else self._timed(step, name, self.span)

    def _timed(self, step: Step, name: str, span: Span) -> Step:
        measure_ns = step.open_ns + round(span.warmup_s * 1e9)
        end_ns = self.end_ns
        slices = tuple(
            Slice(first, whose.index(name) if name in whose else -1, len(whose))
            for first, whose in self.slices
        )
        return replace(
            step,
            measure_ns=measure_ns,
            cool_ns=None if end_ns is None else max(measure_ns, end_ns - round(span.cooldown_s * 1e9)),
            until_ns=end_ns,
            is_open=self.point.is_open,
            rate=self.point.rate,
            slices=slices,
            cap=self._cap(name),
        )

    def _cap(self, name: str) -> int | None:
        """A part's share of those that may be in flight at once, at least one."""
        if self.cap is None or not self.slices:
            return self.cap
        whose = self.slices[-1][1]
        each, more = divmod(self.cap, len(whose))
        return max(1, each + (name in whose and whose.index(name) < more))
