"""Where a run stands: its levels, who was granted how much of each, and the windows in which load was whole.

A run is a row of segments, each holding one level of concurrency over one or more parts (`harness.leave`). Parts
say how far they are (`Tally`); what they may do next goes back to them (`Step`). A segment's window is
the time in which its load was whole:

    start   every part has sent (or never ceased to, where levels follow one another without a pause), and one of them
            its first measured request. All users are up by then, and busy
    end     the first request of any part to finish when that part had nothing left to give; earlier if load is
            stopped, the number of users changes, or a part is lost

so concurrency is constant all through the window; the tail in which users fall idle is outside it.

A level's measured requests are granted to the parts in shrinking portions: of what is left, each part holds half its
share, and at least one request for each of its users. So faster parts do more, no user waits while there is something
left, and a lost part takes little with it. A single part is granted everything at once.

No clock here. All stamps are on the run's clock, Unix ns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.journal import Window
from harness.orders import Step, Tally

__all__ = ["Plan", "Segment", "sweep"]


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
    """One level held once. `quota` None: until load is stopped."""

    index: int
    level: int
    repeat: int
    quota: int | None
    warmup: int  # requests of each user that are not measured
    open_ns: int | None = None
    cut_ns: int | None = None
    parts: dict[str, Part] = field(default_factory=dict)

    def given(self) -> int:
        """Measured requests given out."""
        return sum(part.tally.given for part in self.parts.values())

    def warmup_given(self) -> int:
        """Warm-up requests given out."""
        return sum(part.tally.warmup_given for part in self.parts.values())

    def warmup_total(self) -> int:
        """Warm-up requests of all users."""
        return self.warmup * self.level

    def done(self) -> int:
        """Measured requests that are over."""
        return sum(part.tally.done for part in self.parts.values())

    def in_flight(self) -> int:
        """Requests under way, as far as is known."""
        return sum(part.tally.in_flight for part in self.parts.values() if not part.is_lost)

    @property
    def is_done(self) -> bool:
        """Its quota is spent and everything it sent has finished."""
        if self.open_ns is None or self.quota is None:
            return False
        return self.given() >= self.quota and self.in_flight() == 0

    def window(self) -> tuple[int, int] | None:
        """(start, end) of the time in which load was whole, once that is over; None if it never was."""
        parts = [part for part in self.parts.values() if not part.is_late]
        busy = [part for part in parts if part.users or part.tally.first_ns is not None]
        begun = [part.tally.first_ns for part in busy if part.tally.first_ns is not None and self.quota]
        starts = [part.tally.start_ns for part in busy if part.tally.start_ns is not None]
        ends = [part.tally.end_ns for part in busy if part.tally.end_ns is not None]
        if not starts or (self.quota is not None and len(begun) < len(busy)):
            return None
        if self.cut_ns is None and len(ends) < len(busy):
            return None
        start = max([*begun, min(starts)])
        end = min([*ends, *([] if self.cut_ns is None else [self.cut_ns])])
        return (start, end) if end > start else None

    def cut(self, at_ns: int) -> None:
        """Load is not whole from here on; the first cut counts."""
        if self.cut_ns is None and self.open_ns is not None:
            self.cut_ns = at_ns

    def grant(self) -> None:
        """Give out what is left of the quota, as far as that is wise yet."""
        if self.quota is None:
            return
        takers = {name: part for name, part in self.parts.items() if part.users and not part.is_lost}
        users = sum(part.users for part in takers.values())
        left = self.quota - sum(part.counts for part in self.parts.values())
        portion = left / 2
        for part in sorted(takers.values(), key=lambda part: (part.granted - part.tally.given) / part.users):
            holds = part.granted - part.tally.given
            more = max(part.users, round(portion * part.users / users)) - holds
            more = left if len(takers) == 1 else min(left, max(0, more))
            part.granted += more
            left -= more

    def step(self, name: str) -> Step | None:
        """What a part is to do of it; None while it is not open."""
        if self.open_ns is None:
            return None
        part = self.parts.get(name) or Part(0, Tally(index=self.index))
        return Step(
            index=self.index,
            level=self.level,
            repeat=self.repeat,
            open_ns=self.open_ns,
            warmup=self.warmup * part.users,
            quota=None if self.quota is None else part.counts,
        )


@dataclass(slots=True)
class Plan:
    """The segments of one run and where it stands among them.

    With `segments` given (a sweep) they are worked through in order. Without, a first segment of level 0 takes what
    is sent while users are starting, and each count of users that Locust reports as complete opens
    a segment of its own, until `stop`.
    """

    segments: list[Segment] = field(default_factory=list)
    warmup: int = 0  # requests per user at the start of each level
    is_sweep: bool = False
    is_stopped: bool = False
    at: int = 0

    @property
    def segment(self) -> Segment | None:
        """The segment that load belongs to now."""
        return self.segments[self.at] if self.at < len(self.segments) else None

    @property
    def planned(self) -> int | None:
        """Requests the plan offers in all, warm-up included; None where it is open-ended."""
        if not self.is_sweep:
            return None
        return sum((segment.quota or 0) + segment.warmup_total() for segment in self.segments)

    def windows(self) -> list[Window]:
        """The windows so far, in order; a segment that was never whole has none."""
        found = [(segment, segment.window()) for segment in self.segments]
        return [Window(segment.level, segment.repeat, *span) for segment, span in found if span]

    def begin(self, now_ns: int) -> None:
        """Load begins: users are being started."""
        if not self.is_sweep:
            self.segments.append(Segment(0, 0, 1, None, 0, open_ns=now_ns))

    def users_ready(self, users: Mapping[str, int], level: int, now_ns: int, open_ns: int) -> None:
        """All `level` users that were asked for are up, so many in each part.

        Their segment opens at `open_ns`. If it is open already, users have moved from part to part.
        """
        segment = self.segment
        if self.is_stopped or segment is None:
            return
        if not self.is_sweep:
            segment.cut(now_ns)
            repeat = 1 + sum(segment.level == level for segment in self.segments)
            segment = Segment(len(self.segments), level, repeat, None, self.warmup)
            self.segments.append(segment)
            self.at = segment.index
        elif segment.level != level:
            return
        elif any(users.get(name, 0) != part.users for name, part in segment.parts.items()):
            segment.cut(now_ns)
            for part in segment.parts.values():  # what they hold goes where the users are now
                part.granted = part.tally.given
        for name, number in users.items():
            part = segment.parts.setdefault(name, Part(0, Tally(index=segment.index)))
            part.is_late |= segment.cut_ns is not None and part.tally.first_ns is None and not part.users
            part.users = number
        if segment.open_ns is None:
            segment.open_ns = open_ns
        segment.grant()

    def hear(self, name: str, tallies: Sequence[Tally]) -> None:
        """A part's own word on how far it is. Stamps must be on the run's clock."""
        for tally in tallies:
            if 0 <= tally.index < len(self.segments):
                segment = self.segments[tally.index]
                segment.parts.setdefault(name, Part(0, tally)).tally = tally

    def grant(self) -> None:
        """Give out what the parts' last words make wise."""
        if self.segment is not None and self.segment.open_ns is not None and not self.is_stopped:
            self.segment.grant()

    def lose(self, name: str, last_heard_ns: int) -> None:
        """A part is gone: load was whole until it was last heard, and others do what it was not seen to do."""
        segment = self.segment
        if segment is None or segment.open_ns is None:
            return
        part = segment.parts.get(name)
        if part is not None and (part.users or part.tally.first_ns is not None):
            segment.cut(last_heard_ns)
            part.is_lost, part.granted, part.users = True, part.tally.given, 0
            segment.grant()

    def regain(self, name: str) -> None:
        """A lost part is back; it has no users until it is counted again."""
        if self.segment is not None and (part := self.segment.parts.get(name)):
            part.is_lost = False

    def next_segment(self) -> Segment | None:
        """Go on to the next segment of a sweep; None after the last."""
        self.at += 1
        return self.segment

    def stop(self, now_ns: int) -> None:
        """No further request; what is in flight may finish."""
        self.is_stopped = True
        if self.segment is not None:
            self.segment.cut(now_ns)


def sweep(
    levels: Sequence[int],
    repeats: int,
    requests_per_level: int | None,
    warmup_per_user: int,
    *,
    requests_per_user: int | None = None,
) -> Plan:
    """A plan that goes through all levels, `repeats` times over.

    Going through all of them before repeating any keeps a slow drift of the server from passing for a
    difference between levels. Without a number of requests, each level gets `requests_per_user` rounds of its
    users, five by default; one round is a wave: all users at once, and all awaited before the next level.
    """
    rounds = requests_per_user or 5
    passes = [(level, repeat) for repeat in range(1, repeats + 1) for level in levels]
    segments = [
        Segment(index, level, repeat, requests_per_level or rounds * level, warmup_per_user)
        for index, (level, repeat) in enumerate(passes)
    ]
    return Plan(segments, warmup_per_user, is_sweep=True)
