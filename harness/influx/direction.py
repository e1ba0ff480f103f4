"""The points of a run as a whole, from the process that directs it: everything but what workers write (`harness.influx.part`).

While load runs its figures are those of the live view (`harness.live`); when the results are written the same points are
written once more with what is in summary.json.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

from harness.influx import points
from harness.influx.lines import encoders
from harness.influx.point import INTERVAL_S, SECOND, Json, Point, Values
from harness.influx.schema import QUANTILES
from harness.live import Sketch, View
from harness.loadpoint import LoadPoint
from harness.parts import Parts
from harness.plan import Plan, Segment
from harness.server_metrics import Sample

__all__ = ["Directed", "RunPoints"]

STATE_S: Final = 5
RUN_S: Final = 2 * STATE_S


class Directed(Protocol):
    """What there is to know of a run."""

    plan: Plan
    parts: Parts


class RunPoints:
    """One run's, from the moment at which load begins."""

    def __init__(self, run: Directed, stored: Json, begun_ns: int) -> None:
        """`stored` is run.json, `begun_ns` when load begins, Unix ns."""
        self._run = run
        self._stored = stored
        self._begun_ns = begun_ns
        self._encoders = encoders(str(stored["run_id"]))
        self._waiting: list[tuple[str, Point]] = []
        self._times = points.Unique()  # of events
        self._rounds = 0
        self._before: Mapping[str, Sketch] = {}

    def event(self, event: Json) -> None:
        """Something happened; as in run.json."""
        self._waiting += (("llm_event", one) for one in points.event_points([event], self._times))

    def sample(self, sample: Sample) -> None:
        """The server was asked for its metrics."""
        self._waiting.append(("llm_server", points.server_point(sample)))

    def window(self, level: int, view: View) -> None:
        """A level is over, `view` being what its requests were; the results will know more."""
        point = next((one for one in self._run.plan.points() if one.key == level), LoadPoint.of_users(level))
        values: Values = {
            "concurrency": point.users or None,
            "title": point.title,
            "value": point.value,
            "rate": point.rate,
            "final": 0,
            "requests": view.count("e2e_ms"),
            **_quantiles(view.sketches),
        }
        at_ns = points.started_ns(self._stored) + level
        self._waiting.append(("llm_level", Point(at_ns, values, {"level": str(level)})))

    def collect(self, now_ns: int) -> Iterator[bytes]:
        """The lines of what has happened since it was last asked, which is once a second."""
        yield from self.left()
        yield self._line("llm_load", self._load(now_ns))
        if self._rounds % STATE_S == 0:
            yield from self._state(now_ns)
        self._rounds += 1
        if now_ns // SECOND % INTERVAL_S == 0:
            yield self._line("llm_percentiles", self._percentiles(now_ns))

    def drained(self, now_ns: int) -> Iterator[bytes]:
        """Nothing is in flight any more: what the last interval had."""
        yield self._line("llm_percentiles", self._percentiles(now_ns + SECOND))

    def left(self) -> Iterator[bytes]:
        """What waits."""
        while self._waiting:
            yield self._line(*self._waiting.pop(0))

    def finish(self, stored: Json, summary: Json, now_ns: int) -> Iterator[bytes]:
        """What came of it: run.json and summary.json as they are now."""
        yield from self.left()
        point = points.run_point(stored, summary, now_ns=now_ns, begin_ns=self._begun_ns)
        yield self._line("llm_run", point)
        yield from self._lines("llm_level", points.level_points(stored, summary))
        yield from self._lines("llm_worker", points.worker_points(stored, stored.get("workers") or ()))

    def _state(self, now_ns: int) -> Iterator[bytes]:
        """Each worker's latest word; every other time the run's own point, too."""
        statements = self._run.parts.statements()
        if self._rounds % RUN_S == 0:
            point = points.run_point(
                self._stored, now_ns=now_ns, begin_ns=self._begun_ns, workers=len(statements)
            )
            yield self._line("llm_run", point)
        running = [one if self._is_over(one) else one | {"state": "running"} for one in statements]
        yield from self._lines("llm_worker", points.worker_points(self._stored, running))

    def _load(self, now_ns: int) -> Point:
        """`llm_load` of the second that has just passed."""
        plan, present = self._run.plan, self._run.parts.present
        segment = plan.segment
        here, there = (1, 1) if present is None else present()
        share = segment and segment.quota and 100 * segment.done() / segment.quota
        begin_ns = (now_ns // SECOND - 1) * SECOND
        values: Values = {
            **_held(None if plan.is_stopped else segment),
            "step": None if segment is None else plan.at + 1,
            "steps": len(plan.segments) if plan.is_sweep and plan.more is None else None,
            "done_percent": share,
            "backlog": None if segment is None or segment.due is None else segment.backlog(),
            "workers": here,
            "workers_missing": there - here,
            "t_s": max(0, begin_ns - self._begun_ns) / 1e9,
        }
        return Point(begin_ns, values)

    def _percentiles(self, now_ns: int) -> Point:
        """`llm_percentiles` of the interval that has just passed."""
        course, before = self._run.parts.counted().course, self._before
        since = {figure: now.since(before[figure]) if before else now for figure, now in course.items()}
        self._before = course
        now = self._run.plan.segment
        values: Values = {
            **_quantiles(since),
            "requests": since["e2e_ms"].count,
            "level": None if now is None else now.level,
        }
        return Point((now_ns // SECOND - 1) // INTERVAL_S * INTERVAL_S * SECOND, values)

    def _is_over(self, statement: Json) -> bool:
        return bool(statement["signed"]) and self._run.plan.is_stopped

    def _lines(self, name: str, some: Iterable[Point]) -> Iterator[bytes]:
        for point in some:
            yield self._line(name, point)

    def _line(self, name: str, point: Point) -> bytes:
        return self._encoders[name].line(point.time_ns, point.values, **point.tags)


def _held(segment: Segment | None) -> Values:
    """`level` and `value` of `llm_load`."""
    if segment is None or not segment.level:
        return {"level": 0, "value": 0.0}
    return {"level": segment.level, "value": segment.point.value}


def _quantiles(sketches: Mapping[str, Sketch]) -> Values:
    return {
        f"{figure}_{quantile}": sketches[figure].quantile(int(quantile[1:]) / 100)
        for figure, quantiles in QUANTILES.items()
        for quantile in quantiles
    }
