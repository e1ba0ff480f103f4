"""A search's trials as a run holds them: which segment is next, and what came of those before.

`harness.search` says what to hold next; here that becomes a segment of the plan, and a segment that is over becomes
evidence. A level of concurrency has its users for its name, and another trial of it counts as a repeat. Rates are
named 1, 2, ... in the order of their first trial.

The rule: evidence is a level whose load was whole. If a part was lost meanwhile, the level is held again, up to
`SPOILT` times in a run; after that what is there has to do, and the answer says so. Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from harness.evidence import Trial, judged
from harness.loadpoint import LoadPoint
from harness.search import Search
from harness.segment import Segment

__all__ = ["Held", "Trials", "said"]

SPOILT: Final = 3

Hold = Callable[[int, LoadPoint, int], Segment]


@dataclass(frozen=True, slots=True)
class Held:
    """One trial's segment, and what was measured there while load ran."""

    level: int
    repeat: int
    live: Sequence[Mapping[str, Any]]  # as a level's `slo` in summary.json
    requests: int
    is_whole: bool  # its load was, and every request of it was counted in time


@dataclass(slots=True)
class Trials:
    """All of one run. `hold` makes a segment: (index, point, repeat)."""

    search: Search
    hold: Hold
    evidence: list[Trial] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    spoilt: int = 0
    _names: dict[float, int] = field(default_factory=dict)  # of rates
    _times: dict[int, int] = field(default_factory=dict)  # levels were held

    def more(self, index: int) -> Segment | None:
        """The plan's next segment; None: the search is over."""
        value = self.search.next(self.evidence)
        if value is None:
            return None
        point = self._point(value)
        repeat = self._times[point.key] = self._times.get(point.key, 0) + 1
        return self.hold(index, point, repeat)

    def learn(
        self, segment: Segment, slos: Sequence[Mapping[str, Any]], requests: int, *, is_counted: bool = True
    ) -> str:
        """A segment is over; `slos` is what was measured, held against each. Returns what it means, in words.

        `requests`: of how many it is. `is_counted`: all of its requests are among them.
        """
        value = float(segment.point.value or 0)
        words = self.search.words(value)
        if segment.cut_ns is not None and self.spoilt < SPOILT:
            self.spoilt += 1
            return f"search: {words} will be held again, since load was not whole"
        trial = judged(value, slos)
        self.evidence.append(trial)
        is_whole = is_counted and segment.cut_ns is None
        self.held.append(Held(segment.level, segment.repeat, tuple(slos), requests, is_whole))
        if trial.met:
            return f"search: {words} met the SLOs"
        what = "missed" if trial.met is False else "could not be judged:"
        return f"search: {words} {what} {', '.join(trial.missed) or 'the SLOs'}"

    def brief(self) -> str:
        """For the line that says how far a run is: `search: step 4, 8 users met, 16 missed`."""
        found = self.search.answer(self.evidence)
        is_over = self.search.next(self.evidence) is None
        told = f"search: {len(self.evidence)} steps" if is_over else f"search: step {len(self.evidence) + 1}"
        if found.value is not None:
            told += f", {self.search.words(found.value)} met"
        if found.first_miss is not None:
            first = found.value is None
            miss = self.search.words(found.first_miss) if first else f"{found.first_miss:,.10g}"
            told += f", {miss} missed"
        return told

    def say(self) -> str | None:
        """The answer in one line; None before the first trial."""
        return self.search.say(self.search.answer(self.evidence)) if self.evidence else None

    def stored(self) -> dict[str, Any]:
        """For run.json."""
        steps = [
            {
                "number": step.number,
                "level": held.level,
                "repeat": held.repeat,
                "value": step.value,
                "title": self.search.words(step.value),
                "why": step.why,
                "met": step.met,
                "missed": list(step.missed),
                "requests": held.requests,
                "whole": held.is_whole,
                "live": [dict(one) for one in held.live],
            }
            for step, held in zip(self.search.steps(self.evidence), self.held, strict=True)
        ]
        return {"option": self.search.describe(), **said(self.search, self.evidence), "steps": steps}

    def _point(self, value: float) -> LoadPoint:
        if self.search.kind == "concurrency":
            return LoadPoint.of_users(int(value))
        key = self._names.setdefault(value, len(self._names) + 1)
        return LoadPoint(key=key, users=0, kind="rate", rate=value, value=value)


def said(search: Search, evidence: Sequence[Trial]) -> dict[str, Any]:
    """What trials say, for run.json and summary.json."""
    answer = search.answer(evidence)
    return {
        "kind": search.kind,
        "answer": search.say(answer) if evidence else "the search was ended before its first trial was over",
        "value": answer.value,
        "first_miss": answer.first_miss,
        "limited_by": list(answer.limited_by),
        "at_high": answer.is_at_high,
        "finished": answer.is_complete,
        "doubts": list(answer.doubts),
    }
