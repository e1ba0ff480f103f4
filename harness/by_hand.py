"""Load that is changed while it runs, by whoever looks on: what each stretch of it is called, and what its figures are.

Every change opens a segment of its own (`harness.plan`). Its label says what was changed, e.g. `by hand: 4 -> 8 users`; it is
kept with the event of topic `level` that opens the segment, so that a killed run has it too. summary.json then has
`segments`: all of them in order of time, each with the figures of its pass over its level.

The rule: a level that is held a second time is pooled with the first, as repeats are, since equal load is equal load. What
a change did is told by the segments, which are never pooled. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from harness import loadpoint

__all__ = ["AGAIN", "BY_HAND", "MOST_USERS", "RATE_LEAST", "event", "of_rate", "of_users", "with_segments"]

BY_HAND: Final = "by hand"
AGAIN: Final = "users shared out anew"  # to other parts, as many as before
MOST_USERS: Final = 999_999
RATE_LEAST: Final = 0.001  # requests/s
_TOLD: Final = 4  # numbers of one label


def of_users(numbers: Sequence[int], by: str = BY_HAND) -> str:
    """The label of what follows when these numbers were asked for, the first of them held before, the last to be held."""
    said = [f"{number:,}" for number in numbers]
    if len(said) > _TOLD:
        said = [*said[:2], "...", *said[-1:]]
    return f"{by}: {' -> '.join(said)} user{'s' * (numbers[-1] != 1)}"


def of_rate(before: float, after: float) -> str:
    """The same of arrivals, requests/s."""
    return f"{BY_HAND}: {before:,.10g} -> {after:,.10g} req/s"


def event(what: str, topic: str, time_ns: int, segment: Any, *, is_stopped: bool) -> dict[str, Any]:  # noqa: ANN401  the plan's
    """An event as run.json has it; one that opens a labelled segment names that, too.

    Args:
        what: in words.
        topic: as of `Run.note_event`.
        time_ns: Unix ns.
        segment: that load belongs to; None before the first and after the last.
        is_stopped: no further request is sent.
    """
    told = {
        "time_ns": time_ns,
        "what": what,
        "topic": topic,
        "level": None if segment is None or is_stopped else segment.level,
    }
    if topic == "level" and told["level"] and segment.label:
        told |= {"repeat": segment.repeat, "label": segment.label}
    return told


def with_segments(summary: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """The summary with `segments`, if load was changed while it ran; else as it is.

    Args:
        summary: what `harness.metrics` and those after it made.
        run: run.json.
    """
    opened = list(_opened(run.get("events") or ()))
    if not any(
        one.get("label") not in (None, AGAIN) for one in opened
    ):  # a worker that came or went changes no load
        return dict(summary)
    levels = {level["level"]: level for level in summary["levels"]}
    begun_ns = run.get("begun_ns") or _begun_ns(run)
    found = []
    for one in opened:
        repeat = one.get("repeat") or 1
        found.append(
            {
                "level": one["level"],
                "repeat": repeat,
                "title": loadpoint.title(one["level"], run.get("points")),
                "label": one.get("label"),
                "begin_s": None if begun_ns is None else (one["time_ns"] - begun_ns) / 1e9,
                "figures": _pass(levels.get(one["level"]), repeat),
            }
        )
    return {**summary, "segments": found}


def _opened(events: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The events that open a level, in order of time."""
    told = (one for one in events if one.get("topic") == "level" and one.get("level"))
    yield from sorted(told, key=lambda one: int(one["time_ns"]))


def _begun_ns(run: Mapping[str, Any]) -> int | None:
    starts = (one["time_ns"] for one in run.get("events") or () if one.get("topic") == "start")
    return min(starts, default=None)


def _pass(level: Mapping[str, Any] | None, repeat: int) -> dict[str, Any] | None:
    """What one pass over a level came to, as in its `passes`; None: nothing was measured in it.

    Of more passes than are told one by one, it is that of the neighbours it was put together with.
    """
    before = [one for one in (level or {}).get("passes") or () if one["repeat"] <= repeat]
    if not before or repeat >= before[-1]["repeat"] + before[-1]["repeats"]:
        return None
    return dict(before[-1])
