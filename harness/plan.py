"""Who may send when: the closed-loop plan of a run, as plain arithmetic.

A run is a row of segments, each holding one level of concurrency. Within a segment the users first
spend its warm-up requests, then its quota of measured ones, each user sending its next request when its
last is done. A segment's window is the time in which its load was whole:

    start   the first measured request is given out. All users are up by then, and busy
    end     the first request to finish after the last of the quota was given out (or load is stopped)

so concurrency is constant all through the window; the tail in which users fall idle is outside it.

No clock, no sleeping and no greenlet here: times come in as arguments, users are made to wait elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.journal import Window
from harness.record import Phase


class Slot(NamedTuple):
    """Leave to send one request."""

    level: int
    repeat: int
    phase: Phase


@dataclass(slots=True)
class Segment:
    """One level held once. `quota` None: until load is stopped."""

    level: int
    repeat: int
    quota: int | None
    warmup: int
    is_open: bool = False
    given: int = 0  # measured requests given out
    warmup_given: int = 0
    done: int = 0  # measured requests finished
    in_flight: int = 0
    start_ns: int | None = None
    end_ns: int | None = None

    @property
    def is_done(self) -> bool:
        """Its quota is spent and everything it sent has finished."""
        return self.is_open and self.quota is not None and self.given >= self.quota and self.in_flight == 0


@dataclass(slots=True)
class Plan:
    """The segments of one run and where it stands among them.

    With `segments` given (a sweep) they are worked through in order. Without, each count of users that
    Locust reports as complete opens a segment of its own, until `stop`.
    """

    segments: list[Segment] = field(default_factory=list)
    warmup_per_user: int = 0
    is_sweep: bool = False
    is_stopped: bool = False
    at: int = 0

    @property
    def segment(self) -> Segment | None:
        """The segment that load belongs to now."""
        return self.segments[self.at] if self.at < len(self.segments) else None

    @property
    def in_flight(self) -> int:
        """Requests that were given leave and are not over."""
        return sum(segment.in_flight for segment in self.segments)

    @property
    def planned(self) -> int | None:
        """Requests the plan offers in all, warm-up included; None where it is open-ended."""
        if not self.is_sweep:
            return None
        return sum((segment.quota or 0) + segment.warmup for segment in self.segments)

    def windows(self, anchor_ns: int) -> list[Window]:
        """The windows so far in Unix time, in order; a segment that was never whole has none."""
        return [
            Window(segment.level, segment.repeat, segment.start_ns + anchor_ns, segment.end_ns + anchor_ns)
            for segment in self.segments
            if segment.start_ns is not None
            and segment.end_ns is not None
            and segment.end_ns > segment.start_ns
        ]

    def users_ready(self, users: int, now_ns: int) -> None:
        """All users that were asked for are up."""
        if self.is_stopped:
            return
        if self.is_sweep:
            if self.segment is not None and self.segment.level == users:
                self.segment.is_open = True
            return
        if self.segment is not None:
            _end(self.segment, now_ns)
            if self.segment.level == 0:  # the ramp: its requests were all warm-up
                self.segment.warmup = self.segment.warmup_given
        repeat = 1 + sum(segment.level == users for segment in self.segments)
        warmup = self.warmup_per_user * users
        self.segments.append(Segment(users, repeat, None, warmup, is_open=True))
        self.at = len(self.segments) - 1

    def take(self, now_ns: int) -> tuple[Segment, Slot] | None:
        """Leave to send one request now, or None: wait."""
        segment = self.segment
        if self.is_stopped:
            return None
        if segment is None:
            if self.is_sweep:
                return None
            segment = self._ramp()
        if not segment.is_open:
            return None
        phase = Phase.MEASURE
        if segment.warmup_given < segment.warmup or segment.level == 0:
            segment.warmup_given += 1
            phase = Phase.WARMUP
        elif segment.quota is not None and segment.given >= segment.quota:
            return None
        else:
            segment.given += 1
            if segment.start_ns is None:
                segment.start_ns = now_ns
        segment.in_flight += 1
        return segment, Slot(segment.level, segment.repeat, phase)

    def finished(self, segment: Segment, slot: Slot, now_ns: int) -> None:
        """A request that was given leave is over, however it ended."""
        segment.in_flight -= 1
        segment.done += slot.phase is Phase.MEASURE
        if segment.quota is not None and segment.given >= segment.quota:
            _end(segment, now_ns)

    def next_segment(self) -> Segment | None:
        """Go on to the next segment of a sweep; None after the last."""
        self.at += 1
        return self.segment

    def stop(self, now_ns: int) -> None:
        """No further request; what is in flight may finish."""
        self.is_stopped = True
        if self.segment is not None:
            _end(self.segment, now_ns)

    def _ramp(self) -> Segment:
        """The users that are up before all of them are: load, but not yet a level."""
        self.segments.append(Segment(0, 1, None, 0, is_open=True))
        return self.segments[0]


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
    segments = [
        Segment(
            level, repeat, requests_per_level or (requests_per_user or 5) * level, warmup_per_user * level
        )
        for repeat in range(1, repeats + 1)
        for level in levels
    ]
    return Plan(segments, warmup_per_user, is_sweep=True)


def _end(segment: Segment, now_ns: int) -> None:
    if segment.start_ns is not None and segment.end_ns is None:
        segment.end_ns = now_ns
