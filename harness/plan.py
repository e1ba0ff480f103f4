"""Where a run stands: its levels in order, and which of them is held now (`harness.segment`).

Parts say how far they are (`Tally`); what they may do next goes back to them (`Step`). A sweep's levels are given
beforehand, or found one by one by a `Chooser` that looks at what came of those before. Without a sweep, each number of
users that Locust reports as complete opens a level of its own; what is sent while users come or go is no level's.

No clock here. All stamps are on the run's clock, Unix ns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness import by_hand
from harness.allowance import Allowance, Given
from harness.journal import Window
from harness.loadpoint import LoadPoint
from harness.orders import Step, Tally
from harness.probing import sender
from harness.segment import Part, Segment, Span
from harness.trials import Trials

__all__ = ["Chooser", "Plan", "Segment", "sweep"]

Chooser = Callable[[], LoadPoint | None]
Changed = Callable[["Plan", float, int], Segment]


@dataclass(slots=True)
class Plan:
    """The segments of one run and where it stands among them.

    With `segments` given (a sweep) they are worked through in order. Without, a segment of level 0 takes what
    is sent while users are starting or going, and each count of users that Locust reports as complete opens
    a segment of its own, until `stop`.
    """

    segments: list[Segment] = field(default_factory=list)
    warmup: int = 0  # requests per user at the start of each level
    span: Span | None = None  # of levels without a sweep, where their warm-up is a time
    is_sweep: bool = False
    is_stopped: bool = False
    at: int = 0
    more: Callable[[int], Segment | None] | None = None  # gives the segment of an index that is not there yet
    allowance: Allowance | None = None  # of requests over the whole run; None: as many as it takes
    begun_ns: int | None = None
    prober: str | None = None  # the part that sends probes, where there are any
    trials: Trials | None = None  # of a search, which is what gives them
    saturated: tuple[int, str] | None = None  # the level at which more load no longer gave more, and why
    asked: list[int] = field(
        default_factory=list
    )  # numbers of users since the last that was held, that one first
    at_rate: Changed | None = (
        None  # gives the segment of another rate, to begin then, in an open loop that can have one
    )

    @property
    def segment(self) -> Segment | None:
        """The segment that load belongs to now."""
        return self.segments[self.at] if self.at < len(self.segments) else None

    @property
    def is_starting(self) -> bool:
        """No level has been held yet, or users are being started by hand; a sweep between two levels has long begun."""
        is_between = self.segment is not None and not self.segment.level
        return is_between or all(segment.open_ns is None for segment in self.segments)

    @property
    def planned(self) -> int | None:
        """Requests the plan offers in all, warm-up included; None where it is open-ended."""
        if not self.is_sweep or self.more or any(segment.quota is None for segment in self.segments):
            return None
        return sum((segment.quota or 0) + segment.warmup_total() for segment in self.segments)

    @property
    def unsent(self) -> dict[str, int] | None:
        """Arrivals that were due and that nobody sent, by level; None in a closed loop."""
        found: dict[str, int] = {}
        for segment in self.segments:
            if (number := segment.unsent()) is not None:
                found[str(segment.level)] = found.get(str(segment.level), 0) + number
        return found or None

    def brief(self) -> str | None:
        """How far a search is, in a few words; None where there is none."""
        return None if self.trials is None else self.trials.brief()

    def windows(self) -> list[Window]:
        """The windows so far, in order; a segment that was never whole has none."""
        found = [(segment, segment.window()) for segment in self.segments]
        return [Window(segment.level, segment.repeat, *span) for segment, span in found if span]

    def points(self) -> list[LoadPoint]:
        """What its levels hold, each once."""
        return list({segment.level: segment.point for segment in self.segments if segment.level}.values())

    def begin(self, now_ns: int) -> None:
        """Load begins: users are being started."""
        self.begun_ns = now_ns
        if not self.is_sweep:
            self._opened(LoadPoint(key=0, users=0), 0, open_ns=now_ns)

    def users_ready(self, users: Mapping[str, int], level: int, now_ns: int, open_ns: int) -> None:
        """All `level` users that were asked for are up, so many in each part; in an open loop there are none.

        Their segment opens at `open_ns`. If it is open already, users have moved from part to part.
        """
        segment = self.segment
        if self.is_stopped or segment is None:
            return
        if not self.is_sweep:
            if (self.asked and self.asked[-1] != level) or _holds(segment, users, level):
                return  # another number has been asked for since, or nothing has changed
            segment = self._held(segment, level, now_ns)
        elif segment.point.users != level:
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
        segment.share(users, now_ns)

    def users_asked(self, before: int, users: int, by: str, now_ns: int) -> str | None:
        """So many users are to be up, `before` having been asked for until now; the first is about to come, or to go.

        What is sent until they are all up is no level's. Returns the label of what follows; None where nothing changes:
        the same number, at another rate or in other parts; or levels that a sweep holds.
        """
        segment = self.segment
        if self.is_sweep or self.is_stopped or segment is None or before == users:
            return None
        if segment.level:
            segment.cut(now_ns)
            segment = self._opened(LoadPoint(key=0, users=0), 0, open_ns=now_ns)
        self.asked = [*(self.asked or [before]), users]
        segment.label = by_hand.of_users(self.asked, by)
        return by_hand.of_users([before, users], by)

    def rate_asked(self, rate: float, each: Mapping[str, int], now_ns: int, open_ns: int) -> Segment:
        """Arrivals come at another rate from `open_ns` on, to the parts in `each`. Only where there is `at_rate`."""
        assert self.at_rate is not None and self.segment is not None  # noqa: S101, PT018  whoever calls has looked
        segment = self.at_rate(self, rate, open_ns)
        self.segment.stop(open_ns)
        self.segments.append(segment)
        self.at = segment.index
        self.users_ready(each, 0, now_ns, open_ns)
        return segment

    def hear(self, name: str, tallies: Sequence[Tally], given: Given | None = None) -> None:
        """A part's own word on how far it is. Stamps must be on the run's clock."""
        if self.allowance is not None and given is not None:
            self.allowance.hear(name, given)
        for tally in tallies:
            if 0 <= tally.index < len(self.segments):
                segment = self.segments[tally.index]
                segment.parts.setdefault(name, Part(0, tally)).tally = tally

    def grant(self) -> None:
        """Give out what the parts' last words make wise."""
        if self.segment is not None and self.segment.open_ns is not None and not self.is_stopped:
            self.segment.grant()

    def deal(self, names: Sequence[str]) -> None:
        """Share what concerns the whole run out to the parts that are there."""
        self.prober = sender(names, self.prober)
        segment = self.segment
        if self.allowance is None or segment is None or segment.open_ns is None:
            return
        if segment.point.is_open:
            self.allowance.deal_evenly([name for name in names if name in segment.takers])
        elif segment.level:
            parts = segment.parts
            self.allowance.deal({name: parts[name].users if name in parts else 0 for name in names})
        else:
            self.allowance.deal(dict.fromkeys(names, 1))  # who will have how many users is not known yet

    def step(self, name: str) -> Step | None:
        """What a part is to do now; None while nothing is open."""
        step = None if self.segment is None else self.segment.step(name)
        if step is None:
            return None
        step = replace(step, probe_ns=self.begun_ns if name == self.prober else None)
        if (allowance := self.allowance) is None:
            return step
        return replace(step, most=allowance.of(name), revision=allowance.revision(name))

    def unreached(self) -> list[str]:
        """The levels of a sweep that have not been held to their end; none where there is no end but the run's."""
        left = [segment for segment in self.segments[self.at :] if not segment.is_done]
        is_only = (len(self.segments) == 1 or self.at_rate) and not self.more
        if not self.is_sweep or not left or (is_only and left[0].quota is None):
            return []
        return list(dict.fromkeys(segment.point.title for segment in left))

    def lose(self, name: str, last_heard_ns: int) -> None:
        """A part is gone: load was whole until it was last heard, and others do what it was not seen to do."""
        segment = self.segment
        if segment is None or segment.open_ns is None:
            return
        part = segment.parts.get(name)
        if part is not None and (part.users or part.tally.first_ns is not None or segment.due):
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
        if self.segment is None and self.more is not None and (found := self.more(self.at)):
            self.segments.append(found)
        return self.segment

    def saturate(self, level: int, reason: str) -> list[LoadPoint]:
        """More load gives no more: what is higher is not held, now or in later passes. Returns what was dropped."""
        self.saturated = (level, reason)
        limit = next(float(one.point.value or 0) for one in self.segments if one.level == level)
        done, to_come = self.segments[: self.at + 1], self.segments[self.at + 1 :]
        kept = [one for one in to_come if float(one.point.value or 0) <= limit]
        for index, segment in enumerate(kept, len(done)):  # none of them has been opened
            segment.index = index
        self.segments = [*done, *kept]
        dropped = [one for one in to_come if float(one.point.value or 0) > limit]
        return list({one.level: one.point for one in dropped}.values())

    def stop(self, now_ns: int) -> None:
        """No further request; what is in flight may finish."""
        self.is_stopped = True
        if self.segment is not None:
            self.segment.stop(now_ns)
        for before in self.segments[: self.at]:  # one whose rate was about to be changed
            if before.stop_ns is not None and before.stop_ns > now_ns:
                before.cut_ns = before.stop_ns = now_ns

    def _held(self, segment: Segment, level: int, now_ns: int) -> Segment:
        """The segment of so many users, which are up, after `segment`."""
        segment.cut(now_ns)
        is_again = segment.level == level
        found = self._opened(LoadPoint.of_users(level), self.warmup, span=self.span)
        found.label = by_hand.AGAIN if is_again else segment.label
        self.asked = []
        return found

    def _opened(self, point: LoadPoint, warmup: int, **more: Any) -> Segment:  # noqa: ANN401  a segment's
        """One segment more, of a run without a sweep; it is the one under way."""
        repeat = 1 + sum(segment.level == point.key for segment in self.segments)
        segment = Segment(len(self.segments), point, repeat, None, warmup, **more)
        self.segments.append(segment)
        self.at = segment.index
        return segment


def _holds(segment: Segment, users: Mapping[str, int], level: int) -> bool:
    """Whether this is what it has held all along."""
    here = {name: part.users for name, part in segment.parts.items() if part.users}
    return segment.level == level and segment.cut_ns is None and here == {n: u for n, u in users.items() if u}


def sweep(
    levels: Sequence[int],
    repeats: int,
    requests_per_level: int | None,
    warmup_per_user: int,
    *,
    requests_per_user: int | None = None,
    waves: bool = False,
) -> Plan:
    """A plan that goes through all levels of concurrency, `repeats` times over.

    Going through all of them before repeating any keeps a slow drift of the server from passing for a
    difference between levels. Without a number of requests, each level gets `requests_per_user` rounds of its
    users, five by default. `waves`: one round each, all users at once, and all awaited before the next.
    """
    rounds = 1 if waves else requests_per_user or 5
    passes = [(level, repeat) for repeat in range(1, repeats + 1) for level in levels]
    segments = [
        Segment(
            index,
            replace(LoadPoint.of_users(level), wave=waves),
            repeat,
            rounds * level if waves else requests_per_level or rounds * level,
            warmup_per_user,
            is_wave=waves,
        )
        for index, (level, repeat) in enumerate(passes)
    ]
    return Plan(segments, warmup_per_user, is_sweep=True)
