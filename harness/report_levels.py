"""The report's table of levels, and under it what the server says of its requests."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from harness import arrival_says, groups, loadpoint, report_slo, server_says
from harness.grid import clean, number
from harness.length_says import lengths, sized
from harness.tables import FEW

__all__ = ["table"]

_COLUMNS: Final[Sequence[tuple[str, Sequence[tuple[str, str, str, float]]]]] = (
    ("tokens/request", (("prompt", "prompt_tokens", "mean", 1), ("output", "output_tokens", "mean", 1))),
    ("system tokens/s", (("output", "system_output_tokens_per_s", "", 1), ("total", "system_total_tokens_per_s", "", 1))),
    ("tokens/s per request", tuple((p, "request_output_tokens_per_s", p, 1) for p in ("p10", "median", "p90"))),
    ("TTFT ms", tuple((p, "ttft_ms", p, 1) for p in ("p50", "p95", "p99"))),
    ("TPOT ms", tuple((p, "tpot_ms", p, 1) for p in ("p50", "p95"))),
    ("E2E s", tuple((p, "e2e_ms", p, 1e-3) for p in ("p50", "p95"))),
)  # fmt: skip


def table(summary: Mapping[str, Any]) -> Iterator[str]:
    """The section; nothing for a run without levels."""
    levels = summary["levels"]
    if not levels:
        return
    asked = summary.get("slo") is not None
    yield "<section><h2>Levels</h2>"
    yield '<div class="wide"><table><thead><tr><th colspan="2"></th>'
    yield from (f'<th class="group" colspan="{len(columns)}">{heading}</th>' for heading, columns in _COLUMNS)
    if asked:
        yield f'<th class="group" colspan="{len(report_slo.COLUMNS)}">SLO</th>'
    yield f"</tr><tr><th>{loadpoint.heading(levels)}</th><th>ok/all</th>"
    for _, columns in _COLUMNS:
        yield from (f"<th{_first(i)}>{column[0]}</th>" for i, column in enumerate(columns))
    yield from (f"<th{_first(i)}>{name}</th>" for i, name in enumerate(report_slo.COLUMNS) if asked)
    yield "</tr></thead><tbody>"
    for level in levels:
        yield f"<tr><th>{escape(clean(loadpoint.short(level)))}</th><td>{level['succeeded']}/{level['requests']}</td>"
        for _, columns in _COLUMNS:
            for i, (_, name, key, scale) in enumerate(columns):
                star = "*" if key == "p99" and 0 < level[name]["n"] < FEW else ""
                value = level[name][key] if key else level[name]
                yield f"<td{_first(i)}>{number(value, scale=scale)}{star}</td>"
        yield from (f"<td{_first(i)}>{cell}</td>" for i, cell in enumerate(report_slo.cells(level)) if asked)
        yield "</tr>"
    yield "</tbody></table></div>"
    yield from _more(levels, arrival_says.CAPTION, *arrival_says.columns(levels))
    yield from _more(levels, server_says.CAPTION, *server_says.columns(levels))
    yield from _apart(summary)
    notes = [arrival_says.LEGEND] if arrival_says.columns(levels)[0] else []
    notes += [f"Lengths: {said}." for said in sized(levels)]
    notes += [f"Lengths, {said}." for said in lengths(summary)]
    if any(0 < level["ttft_ms"]["n"] < FEW for level in levels):
        notes.append(f"* p99 of fewer than {FEW} requests: close to the slowest one.")
    yield from (f'<p class="note">{escape(clean(note))}</p>' for note in notes)
    yield "</section>"


def _more(
    levels: Sequence[Mapping[str, Any]], caption: str, names: Sequence[str], cells: Sequence[Sequence[str]]
) -> Iterator[str]:
    """A small table of the same rows; nothing without columns."""
    if not names:
        return
    yield f'<div class="wide"><table><thead><tr><th></th><th class="group" colspan="{len(names)}">'
    yield f"{caption}</th></tr><tr><th>{loadpoint.heading(levels)}</th>"
    yield from (f"<th{_first(i)}>{name}</th>" for i, name in enumerate(names))
    yield "</tr></thead><tbody>"
    for level, row in zip(levels, cells, strict=True):
        yield f"<tr><th>{escape(clean(loadpoint.short(level)))}</th>"
        yield from (f"<td{_first(i)}>{cell}</td>" for i, cell in enumerate(row))
        yield "</tr>"
    yield "</tbody></table></div>"


def _apart(summary: Mapping[str, Any]) -> Iterator[str]:
    titles = {level["level"]: loadpoint.short(level) for level in summary["levels"]}
    for what, entries in (
        ("by request name", summary.get("names")),
        ("by turn of a chat", summary.get("turns")),
    ):
        if not entries:
            continue
        yield f'<div class="wide"><table><thead><tr><th colspan="3"></th><th class="group" colspan="{len(groups.COLUMNS)}">'
        yield f"{what}</th></tr><tr><th>{loadpoint.heading(summary['levels'])}</th><th></th><th>ok/all</th>"
        yield from (f"<th{_first(i)}>{name}</th>" for i, (name, *_) in enumerate(groups.COLUMNS))
        yield "</tr></thead><tbody>"
        for first, name, *cells in groups.table(entries, titles):
            yield f"<tr><th>{escape(clean(first))}</th><td>{escape(name)}</td>"
            yield from (f"<td{_first(i - 1)}>{cell}</td>" for i, cell in enumerate(cells))
            yield "</tr>"
        yield "</tbody></table></div>"


def _first(index: int) -> str:
    return ' class="first"' if index == 0 else ""
