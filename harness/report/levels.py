"""The report's table of levels, and under it what the server says of its requests.

Percentiles that so few requests do not carry are withheld (`harness.carried`). Where a level had several passes, the system's
rates have the 95 % interval of their mean below them.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from harness import arrival_says, carried, groups, loadpoint, server_says
from harness.grid import NULL, clean, number
from harness.length_says import lengths, sized
from harness.report import slo as report_slo
from harness.report.text import SHORT, cut, safe

__all__ = ["COLUMNS", "cells", "interval", "notes", "table"]

Column = tuple[str, str, str, float]  # heading, the figure in summary.json, its part, factor

COLUMNS: Final[Sequence[tuple[str, Sequence[Column]]]] = (
    ("tokens/request", (("prompt", "prompt_tokens", "mean", 1), ("output", "output_tokens", "mean", 1))),
    ("system tokens/s", (("output", "system_output_tokens_per_s", "", 1), ("total", "system_total_tokens_per_s", "", 1))),
    ("tokens/s per request", tuple((p, "request_output_tokens_per_s", p, 1) for p in ("p10", "median", "p90"))),
    ("TTFT ms", tuple((p, "ttft_ms", p, 1) for p in ("p50", "p95", "p99"))),
    ("TPOT ms", tuple((p, "tpot_ms", p, 1) for p in ("p50", "p95"))),
    ("E2E s", tuple((p, "e2e_ms", p, 1e-3) for p in ("p50", "p95"))),
)  # fmt: skip


def cells(level: Mapping[str, Any]) -> list[list[str]]:
    """A level's figures, a list for each group of `COLUMNS`."""
    return [[_cell(level, column) for column in columns] for _, columns in COLUMNS]


def _cell(level: Mapping[str, Any], column: Column) -> str:
    _, name, key, scale = column
    if not key:
        return number(level[name], scale=scale)
    return carried.cell(level[name], key, scale=scale)


def interval(level: Mapping[str, Any], name: str) -> str:
    """`3101 to 3220`, the 95 % interval of a figure over the level's passes; empty where there is none."""
    found = (level.get("intervals") or {}).get(name) or {}
    low, high = found.get("low"), found.get("high")
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def notes(summary: Mapping[str, Any]) -> list[str]:
    """What is to be known of the table's cells: intervals, lengths, what was withheld."""
    levels = summary["levels"]
    said = []
    if any(interval(level, "system_output_tokens_per_s") for level in levels):
        passes = max(level["repeat_count"] for level in levels)
        said.append(f"Below system tokens/s: 95 % interval of the mean over {passes} passes.")
    said += [f"Lengths: {one}." for one in sized(levels)]
    said += [f"Lengths, {one}." for one in lengths(summary)]
    if lacking := _withheld(summary):
        said.append(f"{NULL}* {lacking}")
    return said


def _withheld(summary: Mapping[str, Any]) -> str:
    """Why some cells have a dash with a star; of this table and of those of names and turns."""
    figures = [(name, key) for _, columns in COLUMNS for _, name, key, _ in columns if key]
    keys = [
        one
        for level in summary["levels"]
        for name, key in figures
        for one in carried.withheld(level[name], [key])
    ]
    entries = [*(summary.get("names") or ()), *(summary.get("turns") or ())]
    return carried.says([*keys, *arrival_says.lacking(summary["levels"]), *groups.lacking(entries)])


def table(summary: Mapping[str, Any]) -> Iterator[str]:
    """The section; nothing for a run without levels."""
    levels = summary["levels"]
    if not levels:
        return
    asked = summary.get("slo") is not None
    yield "<section><h2>Levels</h2>"
    yield '<div class="wide"><table><thead><tr><th colspan="2"></th>'
    yield from (f'<th class="group" colspan="{len(columns)}">{heading}</th>' for heading, columns in COLUMNS)
    if asked:
        yield f'<th class="group" colspan="{len(report_slo.COLUMNS)}">SLO</th>'
    yield f"</tr><tr><th>{loadpoint.heading(levels)}</th><th>ok/all</th>"
    for _, columns in COLUMNS:
        yield from (f"<th{_first(i)}>{column[0]}</th>" for i, column in enumerate(columns))
    yield from (f"<th{_first(i)}>{name}</th>" for i, name in enumerate(report_slo.COLUMNS) if asked)
    yield "</tr></thead><tbody>"
    for level in levels:
        yield f"<tr><th>{_name(level)}</th><td>{level['succeeded']:,}/{level['requests']:,}</td>"
        for (_, columns), figures in zip(COLUMNS, cells(level), strict=True):
            for i, (column, figure) in enumerate(zip(columns, figures, strict=True)):
                yield f"<td{_first(i)}>{figure}{_below(interval(level, column[1]))}</td>"
        yield from (f"<td{_first(i)}>{cell}</td>" for i, cell in enumerate(report_slo.cells(level)) if asked)
        yield "</tr>"
    yield "</tbody></table></div>"
    yield from _more(levels, arrival_says.CAPTION, *arrival_says.columns(levels))
    yield from _more(levels, server_says.CAPTION, *server_says.columns(levels))
    yield from _apart(summary)
    told = [*([arrival_says.LEGEND] if arrival_says.columns(levels)[0] else []), *notes(summary)]
    yield from (f'<p class="note">{escape(clean(note))}</p>' for note in told)
    yield "</section>"


def _below(text: str) -> str:
    return f"<small>{text}</small>" if text else ""


def _name(level: Mapping[str, Any]) -> str:
    return safe(loadpoint.short(level), SHORT)


def _more(
    levels: Sequence[Mapping[str, Any]], caption: str, names: Sequence[str], cells: Sequence[Sequence[str]]
) -> Iterator[str]:
    """A small table of the same rows; nothing without columns."""
    if not names:
        return
    yield f'<div class="wide"><table class="narrow"><thead><tr><th></th><th class="group" colspan="{len(names)}">'
    yield f"{caption}</th></tr><tr><th>{loadpoint.heading(levels)}</th>"
    yield from (f"<th{_first(i)}>{name}</th>" for i, name in enumerate(names))
    yield "</tr></thead><tbody>"
    for level, row in zip(levels, cells, strict=True):
        yield f"<tr><th>{_name(level)}</th>"
        yield from (f"<td{_first(i)}>{cell}</td>" for i, cell in enumerate(row))
        yield "</tr>"
    yield "</tbody></table></div>"


def _apart(summary: Mapping[str, Any]) -> Iterator[str]:
    titles = {level["level"]: cut(loadpoint.short(level), SHORT) for level in summary["levels"]}
    for what, entries in (
        ("by request name", summary.get("names")),
        ("by turn of a chat", summary.get("turns")),
    ):
        if not entries:
            continue
        yield f'<div class="wide"><table class="by"><thead><tr><th colspan="3"></th><th class="group" colspan="{len(groups.COLUMNS)}">'
        yield f"{what}</th></tr><tr><th>{loadpoint.heading(summary['levels'])}</th><th></th><th>ok/all</th>"
        yield from (f"<th{_first(i)}>{column.heading}</th>" for i, column in enumerate(groups.COLUMNS))
        yield "</tr></thead><tbody>"
        for first, name, *row in groups.table(entries, titles):
            yield f"<tr><th>{safe(first)}</th><td>{safe(name, SHORT)}</td>"
            yield from (f"<td{_first(i - 1)}>{cell}</td>" for i, cell in enumerate(row))
            yield "</tr>"
        yield "</tbody></table></div>"


def _first(index: int) -> str:
    return ' class="first"' if index == 0 else ""
