"""tokens.json, less its rows: what the page shows of one run, from the run itself and what was kept of it (`harness.web.lookout`).

While load runs, figures are those that are known; when the results are written they are summary.json's, to the last digit.
"""

from typing import TYPE_CHECKING, Any, Final

from harness import run_facts
from harness.grid import clean
from harness.record import Outcome
from harness.web import outlook, standing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.level_doubts import Finding
    from harness.run import Run
    from harness.web.lookout import Lookout

__all__ = ["EMPTY", "ended", "prepared", "under_way"]

Json = dict[str, Any]
SEGMENTS: Final = 500  # the latest; more cannot be told apart on a chart
TOTALS: Final = ("offered", "succeeded", "failed", "cancelled", "prompt_tokens", "output_tokens")
EMPTY: Final[Json] = {
    "run": None,
    "progress": None,
    "verdict": {"status": "none", "reasons": [], "is_final": False},
    "totals": None,
    "errors": {},
    "workers": None,
    "client": None,
    "levels": [],
    "error_series": {"classes": [], "rows": []},
    "segments": [],
}


def prepared(run: "Run", state: str) -> Json:
    """A run of which nothing has been looked at: preparing or starting."""
    return {**EMPTY, "run": _run(run, state, begun_ns=run.plan.begun_ns, ended_ns=None)}


def under_way(seen: "Lookout", now_ns: int, drained_ns: int | None) -> Json:
    """A run whose load has begun; `drained_ns`: since when nothing is in flight after it was stopped."""
    run, plan, spent = seen.run, seen.run.plan, seen.spent
    state = "running"
    if plan.is_stopped:
        state = "draining" if drained_ns is None else "writing"
    elif plan.is_starting:
        state = "starting"
    totals = run.parts.totals()
    outcomes = spent.outcomes
    return {
        "run": _run(run, state, begun_ns=plan.begun_ns, ended_ns=drained_ns),
        "progress": _progress(seen, now_ns if drained_ns is None else drained_ns),
        "verdict": standing.so_far(_findings(seen), is_measured=bool(sum(outcomes.values()))),
        "totals": {
            "offered": sum(one.offered for one in totals),
            "succeeded": outcomes[Outcome.OK],
            "failed": outcomes[Outcome.FAILED],
            "cancelled": outcomes[Outcome.CANCELLED],
            "prompt_tokens": spent.prompt_tokens,
            "output_tokens": spent.output_tokens,
            "uncounted": spent.uncounted,
        },
        "errors": dict(spent.errors),
        "workers": _workers(seen),
        "client": _client(seen),
        "levels": seen.levels,
        "error_series": seen.errors.stored(),
        "segments": _segments(run, drained_ns),
    }


def ended(last: Json, run: "Run", base: str, now_ns: int) -> Json:
    """A run whose results are written, or could not be. `base`: of a report's address; `last`: what was said before."""
    ended_ms = last["run"]["ended_ms"] or now_ns / 1e6
    told = {**last["run"], "ended_ms": ended_ms, "can_stop": False}
    progress = {**(last["progress"] or {}), "left_s": 0.0, "in_flight": 0, "backlog": 0}
    segments = [{**one, "end_ms": one["end_ms"] or ended_ms} for one in last["segments"]]
    whole = {**last, "progress": progress, "segments": segments}
    summary = run.summary
    if summary is None:
        problem = None if run.problem is None else clean(run.problem)
        return {**whole, "run": {**told, "state": "failed", "problem": problem}}
    report = base if (run.directory.path / "report.html").is_file() else None
    totals = {name: summary["totals"][name] for name in TOTALS}
    return {
        **whole,
        "run": {**told, "state": "over", "report": report},
        "progress": {**progress, "share": 1.0},
        "verdict": standing.final(summary["verdict"], last["verdict"]["reasons"]),
        "totals": {**totals, "uncounted": 0},
        "levels": [{**level, "state": "done"} for level in summary["levels"]],
    }


def _run(run: "Run", state: str, *, begun_ns: int | None, ended_ns: int | None) -> Json:
    lanes = list(run.load.lanes.values())
    return {
        "id": run.id,
        "name": run.settings.run_name,
        "host": str(run.settings.target),
        "model": lanes[0].facts.model if lanes else None,
        "backends": list(dict.fromkeys(lane.client.backend.name for lane in lanes)),
        "begun_ms": None if begun_ns is None else begun_ns / 1e6,
        "ended_ms": None if ended_ns is None else ended_ns / 1e6,
        "state": state,
        "problem": None,
        "directory": str(run.directory.path),
        "report": None,
        "is_sweep": run.plan.is_sweep,
        "is_open": any(segment.point.is_open for segment in run.plan.segments if segment.level),
        "slos": [slo.describe() for slo in run.settings.slos],
        "can_stop": begun_ns is not None and not run.plan.is_stopped,
    }


def _progress(seen: "Lookout", now_ns: int) -> Json:
    run, plan = seen.run, seen.run.plan
    segment, begun_ns = plan.segment, plan.begun_ns
    if begun_ns is None:
        return {}
    is_known = plan.is_sweep and plan.more is None and plan.at_rate is None  # nor steps that a hand may add
    limits = [run.settings.load.guards.max_time_s]
    if not plan.is_sweep and run.settings.run_time_s is not None:
        limits.append(float(run.settings.run_time_s))
    at = outlook.look(
        plan.segments,
        plan.at,
        begun_ns=begun_ns,
        now_ns=now_ns,
        is_open_ended=plan.more is not None or not plan.is_sweep,
        limits_s=limits,
    )
    warms = segment is not None and segment.open_ns is not None and not segment.given()
    return {
        "title": None if segment is None else segment.point.title if segment.level else "starting users",
        "step": plan.at + 1 if is_known and segment is not None else None,
        "steps": len(plan.segments) if is_known else None,
        "done": 0 if segment is None else segment.done(),
        "quota": None if segment is None else segment.quota,
        "warming_up": warms or (segment is not None and segment.warmup_given() < segment.warmup_total()),
        "in_flight": run.parts.in_flight,
        "backlog": 0 if segment is None else segment.backlog(),
        "elapsed_s": at.elapsed_s,
        "left_s": 0.0 if plan.is_stopped else at.left_s,
        "share": at.share,
        "line": run.progress.line(seen.view()),
    }


def _findings(seen: "Lookout") -> "list[Finding]":
    run, plan = seen.run, seen.run.plan
    coming: dict[int, int | None] = {}
    if not plan.is_stopped:
        coming = dict.fromkeys((one.level for one in plan.segments[plan.at :]), 0)
        for one in plan.segments:
            if (so_far := coming.get(one.level)) is not None:
                coming[one.level] = None if one.quota is None else so_far + one.quota
    found: list[Finding] = list(standing.of_levels(seen.levels, coming, timed=plan.planned is None))
    several = len(seen.beats.beats) > 1
    for name, beat in sorted(seen.beats.beats.items()):
        whose = f"worker {name}: " if several else ""
        found += [(status, whose + reason) for status, reason in beat.client.findings]
    if run.parts.hope.lost:
        found.append(("invalid", f"incomplete: stopped early, {run.parts.hope.lost}"))
    for part in seen.said:  # it may come back, and its journal with it
        if part.state == "lost":
            found.append(("suspect", f"worker {part.name} is lost: it is not heard any more"))
    return [*found, *run.parts.findings(), *run.guard.findings(), *run_facts.inexact(run.load)]


def _workers(seen: "Lookout") -> Json | None:
    present = seen.run.parts.present
    if present is None:
        return None
    here, of = present()
    each: list[Json] = []
    for part in seen.said:
        beat = seen.beats.beats.get(part.name)
        client = None if beat is None else beat.client
        each.append(
            {
                "name": part.name,
                "state": part.state,
                "users": part.users,
                "in_flight": part.in_flight,
                "cpu_percent": None if client is None else client.cpu_percent,
                "bad_seconds": None if client is None else sum(client.bad.values()),
            }
        )
    return {"here": here, "of": of, "each": each}


def _client(seen: "Lookout") -> Json | None:
    """All parts together: the busiest process, the latest loop, and everybody's bad seconds."""
    clients = [beat.client for beat in seen.beats.beats.values() if beat.client.seconds]
    if not clients:
        return None
    kinds = sorted({kind for client in clients for kind in client.bad})
    return {
        "cpu_percent": max((c.cpu_percent for c in clients if c.cpu_percent is not None), default=None),
        "lag_ms": max((c.lag_ms for c in clients if c.lag_ms is not None), default=None),
        "bad_seconds": {kind: sum(client.bad.get(kind, 0) for client in clients) for kind in kinds},
        "seconds": round(max(client.seconds for client in clients)),
    }


def _segments(run: "Run", ended_ns: int | None) -> list[Json]:
    """Those that have begun, each until the next does."""
    begun: Sequence[Any] = [one for one in run.plan.segments if one.open_ns is not None][-SEGMENTS:]
    ends = [*(one.open_ns for one in begun[1:]), ended_ns]
    return [_segment(one, end) for one, end in zip(begun, ends, strict=False)]  # none of them may have begun


def _segment(one: Any, end_ns: int | None) -> Json:  # noqa: ANN401  a Segment
    told: Mapping[str, Any] = {
        "start_ms": one.open_ns / 1e6,
        "end_ms": None if end_ns is None else end_ns / 1e6,
        "title": one.point.title if one.level else "starting users",
        "label": one.label,
    }
    return dict(told)
