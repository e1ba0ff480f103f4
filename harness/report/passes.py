"""The report's table of passes: what each pass over a level measured, and the 95 % interval of their mean.

From summary.json's `passes` and `intervals`; there is none for a run of one pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from harness import carried, loadpoint
from harness.grid import NULL, number
from harness.report.text import SHORT, safe

__all__ = ["COLUMNS", "cell", "section"]

COLUMNS: Final = (
    ("system output tokens/s", "system_output_tokens_per_s", "", 1.0),
    ("requests/s", "requests_per_s", "", 1.0),
    ("tokens/s per request, median", "request_output_tokens_per_s", "median", 1.0),
    ("TTFT ms p50", "ttft_ms", "p50", 1.0),
    ("p95", "ttft_ms", "p95", 1.0),
    ("TPOT ms p50", "tpot_ms", "p50", 1.0),
    ("E2E s p50", "e2e_ms", "p50", 1e-3),
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
    yield "".join(f"<th>{heading}</th>" for heading, *_ in COLUMNS) + "</tr></thead><tbody>"
    for level in told:
        name = safe(loadpoint.short(level), SHORT)
        for one in level["passes"]:
            cells = (cell(one, *column[1:]) for column in COLUMNS)
            yield f"<tr><th>{name}</th><td>{one['repeat']}</td><td>{one['succeeded']:,}/{one['requests']:,}</td>"
            yield "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        yield f'<tr class="mean"><th>{name}</th><td>mean</td><td></td>'
        yield "".join(f"<td>{_interval(level, *column[1:])}</td>" for column in COLUMNS) + "</tr>"
    yield f'</tbody></table></div><p class="note">{_NOTE.format(_methods(told))}</p></section>'


def cell(one: Mapping[str, Any], name: str, key: str, scale: float) -> str:
    """A figure of a pass."""
    if not key:
        return number(one.get(name), scale=scale)
    return carried.cell(one.get(name), key, scale=scale)


def _interval(level: Mapping[str, Any], name: str, key: str, scale: float) -> str:
    found = (level.get("intervals") or {}).get(f"{name}.{key}" if key else name)
    if not found:
        return NULL
    mean, low, high = (number(found[part], scale=scale) for part in ("mean", "low", "high"))
    return f"{mean}<small>{low} to {high}</small>"


def _methods(levels: Sequence[Mapping[str, Any]]) -> str:
    used = {one["method"]: None for level in levels for one in (level.get("intervals") or {}).values()}
    return safe(" and ".join(_METHODS.get(method, str(method)) for method in used) or NULL)
