"""The report's table of passes: what each pass over a level measured, and the 95 % interval of their mean.

From summary.json's `passes` and `intervals`; there is none for a run of one pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from harness import loadpoint
from harness.figure_columns import Column
from harness.grid import NULL, number
from harness.report.text import SHORT, safe

__all__ = ["COLUMNS", "section"]

COLUMNS: Final = (
    Column("system output tokens/s", "system_output_tokens_per_s"),
    Column("requests/s", "requests_per_s"),
    Column("tokens/s per request, median", "request_output_tokens_per_s", "median"),
    Column("TTFT ms p50", "ttft_ms", "p50"),
    Column("p95", "ttft_ms", "p95"),
    Column("TPOT ms p50", "tpot_ms", "p50"),
    Column("E2E s p50", "e2e_ms", "p50", 1e-3),
)
_METHODS: Final = {"t": "Student's t", "bootstrap": "the expanded percentile bootstrap"}
_NOTE: Final = (
    "Mean, and its 95 % confidence interval below it, of the passes' own figures, by {}. A percentile over all requests, as in "
    "the table of levels, is another number than the mean of the passes' percentiles."
)


def section(levels: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Nothing where no level has two passes."""
    told = [level for level in levels if len(level.get("passes") or ()) > 1]
    if not told:
        return
    yield '<section><h2>Passes</h2><div class="wide"><table class="passes"><thead><tr>'
    yield f"<th>{loadpoint.heading(levels)}</th><th>pass</th><th>ok/all</th>"
    yield "".join(f"<th>{column.heading}</th>" for column in COLUMNS) + "</tr></thead><tbody>"
    for level in told:
        name = safe(loadpoint.short(level), SHORT)
        for one in level["passes"]:
            yield f"<tr><th>{name}</th><td>{one['repeat']}</td><td>{one['succeeded']:,}/{one['requests']:,}</td>"
            yield "".join(f"<td>{column.cell(one)}</td>" for column in COLUMNS) + "</tr>"
        yield f'<tr class="mean"><th>{name}</th><td>mean</td><td></td>'
        yield "".join(f"<td>{_interval(level, column)}</td>" for column in COLUMNS) + "</tr>"
    yield f'</tbody></table></div><p class="note">{_NOTE.format(_methods(told))}</p></section>'


def _interval(level: Mapping[str, Any], column: Column) -> str:
    path = f"{column.figure}.{column.part}" if column.part else column.figure
    found = (level.get("intervals") or {}).get(path)
    if not found:
        return NULL
    mean, low, high = (number(found[part], scale=column.scale) for part in ("mean", "low", "high"))
    return f"{mean}<small>{low} to {high}</small>"


def _methods(levels: Sequence[Mapping[str, Any]]) -> str:
    used = {one["method"]: None for level in levels for one in (level.get("intervals") or {}).values()}
    return safe(" and ".join(_METHODS.get(method, str(method)) for method in used) or NULL)
