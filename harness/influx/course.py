"""What a run wanted in each second, told from its table: `llm_load`.

While load runs the plan says so. Afterwards the requests do: the level of a second is that of the last request that was due in it or
before, 0 while users come up and after load was stopped; a step is done as far as its measured requests are over; the backlog of
an open loop is what was due and not sent.

Pure: arrays in, values out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from harness.influx.bins import LONGEST_S, column
from harness.influx.point import SECOND, Json, Point, Values, begun_ns
from harness.windows import NEVER, Ints

__all__ = ["COLUMNS", "Course"]

COLUMNS: Final = ("phase", "level", "repeat", "scheduled_ns", "sent_ns", "end_ns")


class _Step(NamedTuple):
    repeat: int
    level: int


class Course:
    """One run's."""

    def __init__(self) -> None:
        self._last_due: dict[int, tuple[int, _Step]] = {}  # in each second: when, and of which step
        self._over: dict[_Step, Counter[int]] = {}  # measured requests that ended in each second
        self._order: dict[_Step, int] = {}  # when each step's first request was due
        self._first_ns, self._last_ns = 1 << 62, NEVER  # first due, last end
        self._waits: Counter[int] = Counter()  # by second: those that began to wait less those that went

    def add(self, part: pa.Table) -> None:
        """Take in rows with `COLUMNS`."""
        due, ended, level, repeat = (
            column(part, name) for name in ("scheduled_ns", "end_ns", "level", "repeat")
        )
        self._first_ns = min(self._first_ns, int(due.min()))
        self._last_ns = max(self._last_ns, int(ended.max()))
        sent = column(part, "sent_ns")
        self._wait(due, np.where(sent == NEVER, ended, sent))
        order = np.argsort(due, kind="stable")
        in_second = due[order] // SECOND
        for index in order[np.append(np.flatnonzero(np.diff(in_second)), len(order) - 1)].tolist():
            step = _Step(int(repeat[index]), int(level[index]))
            second, at_ns = int(due[index]) // SECOND, int(due[index])
            if second not in self._last_due or self._last_due[second][0] <= at_ns:
                self._last_due[second] = (at_ns, step)
        measured = np.asarray(part.column("phase").to_numpy(zero_copy_only=False) == "measure", bool)
        for one in set(zip(repeat.tolist(), level.tolist(), strict=True)):
            step = _Step(*one)
            here = (repeat == step.repeat) & (level == step.level)
            self._order[step] = min(self._order.get(step, 1 << 62), int(due[here].min()))
            self._finish(step, ended[here & measured])

    def begun_ns(self, run: Json) -> int | None:
        """When load began: as run.json says, or the first request was due; None for a run without any."""
        return begun_ns(run) or (self._first_ns if self._order else None)

    def points(self, run: Json) -> Iterator[Point]:
        """`llm_load` of every second from the first to the last."""
        begun = self.begun_ns(run)
        if begun is None or not 0 <= self._last_ns - begun < LONGEST_S * SECOND:
            return
        settings = run.get("settings") or {}
        steps = _Steps(run, [step for step in sorted(self._order, key=self._order.__getitem__) if step.level])
        is_open = bool(settings.get("arrivals"))
        stopped = self._stopped_ns(run, steps) // SECOND
        now: _Step | None = None
        over: Counter[_Step] = Counter()
        waiting = sum(number for second, number in self._waits.items() if second < begun // SECOND)
        for second in range(begun // SECOND, self._last_ns // SECOND + 1):
            waiting += self._waits[second]
            now = self._last_due[second][1] if second in self._last_due else now
            for step, ended in self._over.items():
                over[step] += ended.get(second, 0)
            here, missing = _workers(run, (second + 1) * SECOND - begun)
            values: Values = {
                **steps.held(None if second > stopped else now),
                **steps.values(now, over),
                "backlog": waiting if is_open else None,
                "workers": here,
                "workers_missing": missing,
                "t_s": max(0, second * SECOND - begun) / 1e9,
            }
            yield Point(second * SECOND, values)

    def _wait(self, due: Ints, left: Ints) -> None:
        """Those that went in a later second than they were due in waited at the end of the first."""
        late = left // SECOND > due // SECOND
        for stamps, change in ((due[late], 1), (left[late], -1)):
            seconds, counts = np.unique(stamps // SECOND, return_counts=True)
            for second, number in zip(seconds.tolist(), counts.tolist(), strict=True):
                self._waits[second] += change * number

    def _finish(self, step: _Step, ended: Ints) -> None:
        seconds, counts = np.unique(ended // SECOND, return_counts=True)
        its = self._over.setdefault(step, Counter())
        for second, number in zip(seconds.tolist(), counts.tolist(), strict=True):
            its[second] += number

    def _stopped_ns(self, run: Json, steps: "_Steps") -> int:
        """When load was stopped: a sweep is stopped when all is over, others when their last window ended."""
        ends = [int(window["end_ns"]) for window in run.get("windows") or ()]
        return self._last_ns if steps.is_sweep or not ends else max(ends)


class _Steps:
    """Which step of a sweep is which, and how many requests it is to send."""

    def __init__(self, run: Json, seen: Sequence[_Step]) -> None:
        settings = run.get("settings") or {}
        self._points: Mapping[str, Mapping[str, Any]] = run.get("points") or {}
        levels = _levels(settings, self._points)
        self.is_sweep = bool(levels or settings.get("search"))
        self._settings = settings
        planned = [
            _Step(repeat + 1, level) for repeat in range(settings.get("repeats") or 1) for level in levels
        ]
        self._numbers = {step: number + 1 for number, step in enumerate(planned or seen)}

    def held(self, now: _Step | None) -> Values:
        """`level` and `value`."""
        if now is None or not now.level:
            return {"level": 0, "value": 0.0}
        point = self._points.get(str(now.level))
        return {"level": now.level, "value": float(now.level) if point is None else point.get("value")}

    def values(self, now: _Step | None, over: Mapping[_Step, int]) -> Values:
        """`step`, `steps`, `done_percent`."""
        if now is None:
            return {}
        quota = self._quota(now.level)
        done = 100 * over.get(now, 0) / quota if quota and self.is_sweep else None
        return {
            "step": self._numbers.get(now),
            "steps": len(self._numbers) if self.is_sweep and not self._settings.get("search") else None,
            "done_percent": None if done is None else min(100.0, done),
        }

    def _quota(self, level: int) -> int | None:
        """Measured requests of a step; None where it ends by the clock."""
        settings = self._settings
        if settings.get("seconds_per_level") or settings.get("arrivals"):
            return None
        users = int((self._points.get(str(level)) or {}).get("users") or level)
        if settings.get("refill") == "waves":
            return users
        each = settings.get("requests_per_level")
        return int(each or (settings.get("requests_per_user") or 5) * users)


def _levels(settings: Mapping[str, Any], points: Mapping[str, object]) -> list[int]:
    """A sweep's, in order; none of a search, which finds them one by one."""
    if settings.get("levels"):
        return [int(level) for level in settings["levels"]]
    by_points = any(settings.get(name) for name in ("arrivals", "prompt_levels", "output_levels"))
    return [int(key) for key in points] if by_points and not settings.get("search") else []


def _workers(run: Json, passed_ns: int) -> tuple[int, int]:
    """(there, missing) so long after load began."""
    passed_s = passed_ns / 1e9
    joined = [one for one in run.get("workers") or () if (one.get("joined_s") or 0.0) <= passed_s]
    lost = [
        one
        for one in joined
        if one.get("state") in {"lost", "left"} and (one.get("last_heard_s") or 0.0) < passed_s
    ]
    return len(joined) - len(lost), len(lost)
