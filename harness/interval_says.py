"""What the console says of a level's passes: the 95 % confidence intervals of `harness.intervals` as a table.

Shows what `summary.json` has and computes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from harness import loadpoint
from harness.grid import NULL, Group, columns, number, wrap

__all__ = ["lines"]

_SHOWN: Final = (
    ("system tok/s", "system_output_tokens_per_s", 1.0),
    ("median tok/s per request", "request_output_tokens_per_s.median", 1.0),
    ("TTFT ms p50", "ttft_ms.p50", 1.0),
    ("TPOT ms p50", "tpot_ms.p50", 1.0),
    ("E2E s p50", "e2e_ms.p50", 1e-3),
)
_PARTS: Final = ("mean", "low", "high")
_CAPTION: Final = "passes: 95 % confidence intervals"
_NOTE: Final = (
    "mean: of the passes' own figures; a percentile over all of them is another number.  low to high: where their true mean "
    "lies, with 95 % confidence ({}).  docs/metrics.md, Passes."
)
_METHODS: Final = {"t": "Student's t", "bootstrap": "bootstrap"}


def lines(levels: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """A row a level; nothing where no level has an interval."""
    told = [level.get("intervals") or {} for level in levels]
    shown = [one for one in _SHOWN if any(one[1] in intervals for intervals in told)]
    if not shown:
        return []
    users: Group = (
        "",
        (loadpoint.heading(levels), "passes"),
        [[loadpoint.short(level), str(level["repeat_count"])] for level in levels],
    )
    groups = [
        (heading, _PARTS, [_cells(one.get(path), scale) for one in told]) for heading, path, scale in shown
    ]
    methods = {one["method"]: None for intervals in told for one in intervals.values()}
    note = _NOTE.format(", ".join(_METHODS.get(method, method) for method in methods))
    return ["", _CAPTION, *columns([users, *groups], width), *wrap(note, width)]


def _cells(found: Mapping[str, Any] | None, scale: float) -> list[str]:
    return [number(found[part], scale=scale) if found else NULL for part in _PARTS]
