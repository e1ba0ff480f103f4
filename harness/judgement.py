"""Levels and runs held against their SLOs: goodput, and which were met.

    share           good / measured requests of the level, whatever became of them
    requests_per_s  good requests that ended inside the level's windows / their length, as `requests_per_s`
    a level         meets its SLOs if it meets each; values are those of its entry in summary.json
    a run           meets them if every level does

The rule: what cannot be judged is null, neither met nor missed, and a level or run with a null and no miss is null too.
Formulas and their populations: docs/metrics.md, "Service levels". Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.journal import Window
from harness.slo import Slo, Slos, good_rows
from harness.windows import ints

__all__ = ["all_met", "levels", "run"]

Level = Mapping[str, Any]
Flags = npt.NDArray[np.bool_]

_MIDDLE: Final = {"median": 50.0}


def levels(
    entries: Sequence[Level], requests: pd.DataFrame, windows: Sequence[Window], slos: Slos
) -> list[dict[str, Any]]:
    """The levels of summary.json with `goodput` and `slo`, both null where nothing was asked.

    Args:
        entries: the levels without these two.
        requests: the table that they are of.
        windows: those of all levels.
        slos: what was asked for.
    """
    if not slos:
        return [{**entry, "goodput": None, "slo": None} for entry in entries]
    good = good_rows(requests, slos)
    found = []
    for entry in entries:
        here = [window for window in windows if window.level == entry["concurrency"]]
        goodput = None if good is None else _goodput(entry, requests, here, good)
        whole = {**entry, "goodput": goodput}
        found.append({**whole, "slo": [_judged(slo, whole) for slo in slos]})
    return found


def run(entries: Sequence[Level], slos: Slos) -> dict[str, Any] | None:
    """What the levels' judgements make in all; null where nothing was asked."""
    if not slos:
        return None
    each = {int(entry["concurrency"]): all_met(entry["slo"]) for entry in entries}
    passed = [level for level, met in each.items() if met]
    return {
        "asked": [slo.describe() for slo in slos],
        "met": _all(each.values()),
        "highest_level": max(passed, default=None),
        "levels_met": passed,
        "levels_missed": [level for level, met in each.items() if met is False],
        "levels_unknown": [level for level, met in each.items() if met is None],
        "each": [_over_levels(slo, [(entry, entry["slo"][i]) for entry in entries]) for i, slo in enumerate(slos)],
    }  # fmt: skip


def all_met(judged: Iterable[Mapping[str, Any]]) -> bool | None:
    """Of a level's `slo`: False if any is missed, True if all are met, else None."""
    return _all(one["met"] for one in judged)


def _all(met: Iterable[bool | None]) -> bool | None:
    told = list(met)
    if False in told:
        return False
    return None if None in told or not told else True


def _goodput(
    entry: Level, requests: pd.DataFrame, windows: Sequence[Window], good: Flags
) -> dict[str, float | int | None]:
    measured = (requests["phase"] == "measure").to_numpy(dtype=bool)
    here = measured & (ints(requests["level"]) == entry["concurrency"])
    end = ints(requests["end_ns"])[good]
    ended = sum(int(np.count_nonzero((end >= w.start_ns) & (end < w.end_ns))) for w in windows)
    seconds = sum(window.seconds for window in windows)
    number, of = int(np.count_nonzero(good & here)), int(entry["requests"])
    return {
        "share": number / of if of else None,
        "requests_per_s": ended / seconds if seconds > 0 else None,
        "good": number,
        "n": of,
    }


def _judged(slo: Slo, entry: Level) -> dict[str, Any]:
    value, n = _value(slo, entry)
    return {
        "slo": slo.describe(),
        "value": value,
        "limit": slo.limit,
        "unit": slo.figure.unit,
        "n": n,
        "few": n is not None and 0 < n < _least(slo),
        "met": None if value is None else slo.meets(value),
    }


def _value(slo: Slo, entry: Level) -> tuple[float | None, int | None]:
    """(the level's value, of how many); a rate of the whole system is of no number of requests."""
    if slo.figure.name == "error_rate":
        n = int(entry["requests"])
        return (entry["failed"] / n if n else None), n
    if slo.figure.name == "goodput":
        return entry["goodput"]["share"], entry["goodput"]["n"]
    figure = entry[slo.figure.entry or slo.figure.name]
    if slo.statistic is None:
        return figure, None
    return figure["median" if slo.statistic == "p50" else slo.statistic], figure["n"]


def _least(slo: Slo) -> float:
    """Of how many a value should be: from then on one request more or less beyond it does not decide alone."""
    if slo.figure.unit == "share":
        part = slo.limit
    elif slo.statistic in {None, "mean", "max"}:
        return 0.0
    else:
        part = _MIDDLE.get(str(slo.statistic)) or float(str(slo.statistic)[1:])
        part /= 100
    rare = round(min(part, 1 - part), 9)
    return 1 / rare if rare else 0.0


def _over_levels(slo: Slo, judged: Sequence[tuple[Level, Mapping[str, Any]]]) -> dict[str, Any]:
    known = [(one["value"], int(level["concurrency"])) for level, one in judged if one["value"] is not None]
    furthest = max if slo.op in {"<", "<="} else min
    value, at = furthest(known, key=lambda one: one[0], default=(None, None))

    def where(met: bool | None) -> list[int]:
        return [int(level["concurrency"]) for level, one in judged if one["met"] is met]

    return {
        "slo": slo.describe(),
        "met": _all(one["met"] for _, one in judged),
        "missed_at": where(False),
        "unknown_at": where(None),
        "few_at": [int(level["concurrency"]) for level, one in judged if one["few"]],
        "worst": value,
        "worst_level": at,
        "unit": slo.figure.unit,
    }
