"""What the console and the report show beside the levels' own figures: the guard that ended the run, refusals, probes.

From summary.json alone (`ended_by`, `rate_limited`, `probes`); nothing is computed here. A summary of an older version has none of
them, and nothing is shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from harness import carried, loadpoint
from harness.figure_columns import Column, lacking
from harness.grid import NULL, columns, number, wrap
from harness.report.text import safe

__all__ = ["ended", "limited", "probes", "section"]

CAPTION: Final = "probes: small requests beside the load"
LEGEND: Final = (
    "probes: those that were due in the level's window; they are in none of its other figures, but their tokens are in the "
    "system's rates."
)
_COLUMNS: Final = (
    Column("TTFT ms p50", "ttft_ms", "p50"),
    Column("p95", "ttft_ms", "p95"),
    Column("p99", "ttft_ms", "p99"),
    Column("TPOT ms p50", "tpot_ms", "p50"),
    Column("E2E s p50", "e2e_ms", "p50", 1e-3),
    Column("p95", "e2e_ms", "p95", 1e-3),
)


def ended(summary: Mapping[str, Any]) -> str | None:
    """Which guard ended the run, and how far beyond its limit that was in the end; None: none did."""
    by = summary.get("ended_by")
    if not by:
        return None
    return f"ended by {by['text']}" + (f"; {by['over']}" if by.get("over") else "")


def limited(summary: Mapping[str, Any]) -> str | None:
    """Refusals for the rate of requests, over the run and of which levels; None: there were none, and nobody rested."""
    whole = summary.get("rate_limited")
    if not whole or not (whole["requests"] or whole["retry_after_s_total"]):
        return None
    by_level = [
        f"{loadpoint.short(level)}: {level['rate_limited']['requests']:,}"
        for level in summary["levels"]
        if level.get("rate_limited", {}).get("requests")
    ]
    said = f"{whole['requests']:,} requests were refused with HTTP 429"
    said += f" (measured ones by level: {', '.join(by_level)})" if by_level else ""
    if whole["retry_after_s_total"]:
        said += f"; refusals asked for {number(whole['retry_after_s_total'])} s of rest in all (Retry-After)"
    if whole["rests"]:
        said += f", and users rested {whole['rests']:,} times, {number(whole['rest_s'])} s"
    return said


def probes(summary: Mapping[str, Any], width: int) -> list[str]:
    """The console's table of probes; nothing if none were sent."""
    names, rows = _table(summary)
    if not rows:
        return []
    first, *others = names
    groups = [("", (first,), [row[:1] for row in rows]), (CAPTION, tuple(others), [row[1:] for row in rows])]
    return ["", *columns(groups, width), *wrap(LEGEND, width), *wrap(_withheld(summary), width)]


def section(summary: Mapping[str, Any]) -> Iterator[str]:
    """The report's part: what ended the run, what was refused, and a table of probes."""
    said = [one for one in (ended(summary), limited(summary)) if one]
    names, rows = _table(summary)
    if not said and not rows:
        return
    yield f"<section><h2>{'Probes: small requests beside the load' if rows else 'Guards and refusals'}</h2>"
    yield from (f"<p>{safe(one)}.</p>" for one in said)
    if rows:
        yield '<div class="wide"><table class="workers"><thead><tr>'
        yield "".join(f"<th>{escape(name)}</th>" for name in names) + "</tr></thead><tbody>"
        for first, *cells in rows:
            told = zip(names[1:], cells, strict=True)
            yield f"<tr><th>{safe(first)}</th>"
            yield "".join(f'<td data-of="{escape(name)}">{safe(cell)}</td>' for name, cell in told) + "</tr>"
        yield f'</tbody></table></div><p class="note">{escape(f"{LEGEND} {_withheld(summary)}".strip())}</p>'
    yield "</section>"


def _table(summary: Mapping[str, Any]) -> tuple[list[str], Sequence[list[str]]]:
    """(names, a row of cells for each level)."""
    by_level = {level["level"]: level for level in summary["levels"]}
    names = [loadpoint.heading(summary["levels"]), "ok/sent", *(column.heading for column in _COLUMNS)]
    rows = []
    for one in summary.get("probes") or ():
        level = by_level.get(one["level"], {"level": one["level"]})
        figures = (column.cell(one) for column in _COLUMNS)
        rows.append([loadpoint.short(level), f"{one['succeeded']}/{one['n']}", *figures])
    return names, rows


def _withheld(summary: Mapping[str, Any]) -> str:
    """Why some cells have a dash with a star; empty if none has."""
    said = carried.says(lacking(_COLUMNS, summary.get("probes") or ()), "probes")
    return f"{NULL}* {said}" if said else ""
