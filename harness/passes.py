"""A level's passes one by one: what each came to, so that it can be told how much passes differ.

The populations and formulas are those of the level (docs/metrics.md): counts of measured requests, statistics of those that
succeeded and were not dropped as too short, rates of whatever arrived in the pass's windows. Of one pass the figures are the
level's own. Gaps between chunks are left out: there are far more of them than of anything else.

The rule: at most `MOST` entries. Of more passes (each wave is one, and there may be thousands) neighbours are put together;
`repeats` says how many. Intervals are of such batches then (the method of batch means). Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness import intervals, system_rates
from harness.population import RATES
from harness.spread import RATE_QUANTILES, TIME_QUANTILES, spread
from harness.system_rates import Counted
from harness.windows import NEVER, Floats, Ints

__all__ = ["FIGURES", "MOST", "Rows", "of_level", "places", "with_intervals"]

MOST: Final = 100
FIGURES: Final = (*RATES, "ttft_ms", "tpot_ms", "e2e_ms", "ttft_scheduled_ms", "e2e_scheduled_ms")
_SYSTEM: Final = ("system_output_tokens_per_s", "system_total_tokens_per_s", "requests_per_s")


@dataclass(frozen=True, slots=True)
class Rows:
    """A level's requests as arrays."""

    repeat: Ints  # of those measured
    ok: npt.NDArray[np.bool_]  # as many
    failed: npt.NDArray[np.bool_]  # as many
    kept: Ints  # repeats of those that statistics are of
    values: Mapping[str, Floats]  # their figures, as many; NaN: not measured


def of_level(level: Mapping[str, Any], rows: Rows, seen: Sequence[Counted]) -> list[dict[str, Any]]:
    """`passes` of a level, in order; `goodput` is left to `harness.judgement`.

    Args:
        level: its entry in summary.json.
        rows: its requests.
        seen: its windows.
    """
    told = {*np.unique(rows.repeat).tolist(), *(one.window.repeat for one in seen)} - {NEVER}
    repeats = sorted(told) or [1]
    groups = [part.tolist() for part in np.array_split(repeats, min(len(repeats), MOST))]
    if len(groups) == 1:
        own = {name: level[name] for name in (*_SYSTEM, *FIGURES)}
        counts = (level["requests"], level["succeeded"], level["failed"])
        return [_entry(groups[0], counts, level["window_s"], own)]
    firsts = [group[0] for group in groups]
    counted = [
        np.bincount(places(firsts, rows.repeat[flags]), minlength=len(groups)).tolist()
        for flags in (slice(None), rows.ok, rows.failed)
    ]
    order, edges = _in_order(places(firsts, rows.kept), len(groups))
    spreads = {name: _spreads(name, rows.values[name][order], edges) for name in FIGURES}
    found = []
    for at, (group, *each) in enumerate(zip(groups, *counted, strict=True)):
        mine = [one for one in seen if one.window.repeat in group]
        rates = system_rates.rates(mine)
        figures = {name: rates[name] for name in _SYSTEM} | {name: spreads[name][at] for name in FIGURES}
        window_s = sum(one.window.seconds for one in mine) if mine else None
        found.append(_entry(group, each, window_s, figures))
    return found


def with_intervals(levels: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The levels with `intervals`, of their passes."""
    return [{**level, "intervals": intervals.of_level(level["passes"])} for level in levels]


def places(firsts: Sequence[int], repeats: Ints) -> npt.NDArray[np.intp]:
    """In which pass each of these is; `firsts` are the passes' first repeats."""
    return np.maximum(np.searchsorted(np.asarray(firsts, np.int64), repeats, side="right") - 1, 0)


def _entry(
    group: Sequence[int], counts: Sequence[int], window_s: float | None, figures: Mapping[str, Any]
) -> dict[str, Any]:
    requests, succeeded, failed = counts
    return {
        "repeat": group[0],
        "repeats": len(group),
        "requests": requests,
        "succeeded": succeeded,
        "failed": failed,
        "window_s": window_s,
        "error_rate": failed / requests if requests else None,
        "goodput": None,
        **figures,
    }


def _in_order(place: npt.NDArray[np.intp], number: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows sorted by pass, and where each pass begins; one edge more than passes."""
    order = np.argsort(place, kind="stable")
    return order, np.searchsorted(place[order], np.arange(number + 1))


def _spreads(name: str, values: Floats, edges: npt.NDArray[np.intp]) -> list[dict[str, Any]]:
    quantiles = RATE_QUANTILES if name in RATES else TIME_QUANTILES
    return [spread(values[start:end], quantiles, top=name not in RATES) for start, end in pairwise(edges)]
