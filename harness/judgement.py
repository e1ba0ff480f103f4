"""Levels and runs held against their SLOs: goodput, and which were met.

    share           good / offered: the level's measured requests, whatever became of them, and arrivals never sent
    requests_per_s  good requests that ended inside the level's windows / their length, as `requests_per_s`
    a level         meets its SLOs if it meets each; values are those of its entry in summary.json
    a run           meets them if every level does

The rule: what cannot be judged is null, neither met nor missed, and a level or run with a null and no miss is null too.
Formulas and their populations: docs/metrics.md, "Service levels". Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness import loadpoint
from harness.journal import Window
from harness.level_slo import all_met, judged, together
from harness.passes import places
from harness.slo import Slo, Slos, good_rows
from harness.windows import ints

__all__ = ["all_met", "levels", "run"]

Level = Mapping[str, Any]
Flags = npt.NDArray[np.bool_]


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
        here = [window for window in windows if window.level == entry["level"]]
        goodput = None if good is None else _goodput(entry, requests, here, good)
        whole = {**entry, "goodput": goodput}
        if good is not None:
            whole |= _of_passes(whole, requests, good)
        found.append({**whole, "slo": [judged(slo, whole) for slo in slos]})
    return found


def run(entries: Sequence[Level], slos: Slos) -> dict[str, Any] | None:
    """What the levels' judgements make in all; null where nothing was asked."""
    if not slos:
        return None
    each = {int(entry["level"]): all_met(entry["slo"]) for entry in entries}
    passed = [level for level, met in each.items() if met]
    load = {
        int(entry["level"]): entry.get("value") or 0.0 for entry in entries
    }  # names count up in order of trial
    return {
        "asked": [slo.describe() for slo in slos],
        "met": together(each.values()),
        "highest_level": max(passed, key=lambda level: (load[level], level), default=None),
        "levels_met": passed,
        "levels_missed": [level for level, met in each.items() if met is False],
        "titles": {str(entry["level"]): loadpoint.short(entry) for entry in entries},
        "levels_unknown": [level for level, met in each.items() if met is None],
        "each": [_over_levels(slo, [(entry, entry["slo"][i]) for entry in entries]) for i, slo in enumerate(slos)],
    }  # fmt: skip


def _goodput(
    entry: Level, requests: pd.DataFrame, windows: Sequence[Window], good: Flags
) -> dict[str, float | int | None]:
    measured = (requests["phase"] == "measure").to_numpy(dtype=bool)
    here = measured & (ints(requests["level"]) == entry["level"])
    end = ints(requests["end_ns"])[good & (requests["phase"] != "probe").to_numpy(dtype=bool)]
    ended = sum(int(np.count_nonzero((end >= w.start_ns) & (end < w.end_ns))) for w in windows)
    seconds = sum(window.seconds for window in windows)
    number, of = int(np.count_nonzero(good & here)), int(entry["requests"]) + int(entry.get("unsent") or 0)
    return {
        "share": number / of if of else None,
        "requests_per_s": ended / seconds if seconds > 0 else None,
        "good": number,
        "n": of,
    }


def _of_passes(entry: Level, requests: pd.DataFrame, good: Flags) -> dict[str, list[dict[str, Any]]]:
    """The level's `passes` with the share of good requests in each; null where some of the level's were never sent."""
    passes = entry.get("passes") or []
    if len(passes) == 1:
        shares = [entry["goodput"]["share"]]
    elif entry.get("unsent"):  # known by level only
        shares = [None] * len(passes)
    else:
        measured = (requests["phase"] == "measure").to_numpy(dtype=bool)
        here = measured & good & (ints(requests["level"]) == entry["level"])
        place = places([one["repeat"] for one in passes], ints(requests["repeat"])[here])
        numbers = np.bincount(place, minlength=len(passes)).tolist()
        told = zip(numbers, passes, strict=True)
        shares = [number / one["requests"] if one["requests"] else None for number, one in told]
    return {"passes": [{**one, "goodput": share} for one, share in zip(passes, shares, strict=True)]}


def _over_levels(slo: Slo, judged: Sequence[tuple[Level, Mapping[str, Any]]]) -> dict[str, Any]:
    known = [(one["value"], int(level["level"])) for level, one in judged if one["value"] is not None]
    furthest = max if slo.op in {"<", "<="} else min
    value, at = furthest(known, key=lambda one: one[0], default=(None, None))

    def where(met: bool | None) -> list[int]:
        return [int(level["level"]) for level, one in judged if one["met"] is met]

    return {
        "slo": slo.describe(),
        "met": together(one["met"] for _, one in judged),
        "missed_at": where(False),
        "unknown_at": where(None),
        "few_at": [int(level["level"]) for level, one in judged if one["few"]],
        "worst": value,
        "worst_level": at,
        "unit": slo.figure.unit,
    }
