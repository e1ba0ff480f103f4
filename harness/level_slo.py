"""A level's entry, of summary.json or as far as it is known while load runs, held against its SLOs.

The rule: what cannot be judged is null, neither met nor missed; and a level with a null and no miss is null too.
Goodput and whole runs: `harness.judgement`. May be imported under load. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from harness.slo import Slo

__all__ = ["all_met", "judged", "together"]

Level = Mapping[str, Any]

_MIDDLE: Final = {"median": 50.0}


def judged(slo: Slo, entry: Level) -> dict[str, Any]:
    """What came of one SLO: its value, of how many requests, and whether it was met."""
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


def all_met(slos: Iterable[Mapping[str, Any]]) -> bool | None:
    """Of a level's `slo`: False if any is missed, True if all are met, else None."""
    return together(one["met"] for one in slos)


def together(met: Iterable[bool | None]) -> bool | None:
    """False if any is, True if all are, else None."""
    told = list(met)
    if False in told:
        return False
    return None if None in told or not told else True
