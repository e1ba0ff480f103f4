"""Figures as tables: Markdown that also reads well on a terminal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from loads import Load
from score import Figures

__all__ = ["Row", "figures_table", "short", "table"]

Row = Figures | str  # a string: why there are none
Cell = Callable[[Figures, Figures | None], str]  # of a client and of the C reader


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "| " + " | ".join(_pad(cell, width, left=not at) for at, (cell, width) in enumerate(zip(row, widths, strict=True))) + " |"
        for row in (head, *rows)
    ]  # fmt: skip
    rule = "|" + "|".join(
        "-" * (width + 2) if not at else "-" * (width + 1) + ":" for at, width in enumerate(widths)
    )
    return "\n".join([lines[0], rule + "|", *lines[1:]])


def figures_table(load: Load, rows: Mapping[str, Row], idle_mb: float | None) -> str:
    """One load's table: a row a client; `idle_mb` is an idle Locust worker's memory."""
    columns = dict(_PACED if load.paced else _UNLIMITED)
    if idle_mb is not None:
        columns["above idle MB"] = lambda own, _: f"{own.rss_mb - idle_mb:.0f}"
    reader = rows.get("c")
    reader = reader if isinstance(reader, Figures) else None
    cells = [
        [name, *(column(row, reader) for column in columns.values())]
        if isinstance(row, Figures)
        else [name, *(["-"] * len(columns))]
        for name, row in rows.items()
    ]
    notes = "".join(f"\n\n{name}: {row}" for name, row in rows.items() if isinstance(row, str))
    return table(["client", *columns], cells) + notes


def _pad(cell: str, width: int, *, left: bool) -> str:
    return cell.ljust(width) if left else cell.rjust(width)


def _three(*values: float | None) -> str:
    return " / ".join(short(value) for value in values)


def short(value: float | None) -> str:
    """Three digits that mean something."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _times(own: float, other: float | None) -> str:
    return "-" if not other else f"{own / other:.2f}"


_EVENTS: Final[Mapping[str, Cell]] = {
    "events/s": lambda own, _: f"{own.events_per_s:,.0f}",
    "of C": lambda own, c: _times(own.events_per_s, c and c.events_per_s),
    "requests/s": lambda own, _: f"{own.requests_per_s:,.1f}",
    "CPU µs/event": lambda own, _: f"{own.cpu_us:.2f}",
    "x C": lambda own, c: _times(own.cpu_us, c and c.cpu_us),
    "core %": lambda own, _: f"{own.busy_percent:.0f}",
}
_REST: Final[Mapping[str, Cell]] = {
    "merged %": lambda own, _: f"{own.merged_percent:.2f}",
    "lost": lambda own, _: f"{own.lost:,.0f}",
    "failed": lambda own, _: f"{own.failed:,.0f}",
    "fds left": lambda own, _: f"{own.files_left:.0f}",
    "others %": lambda own, _: f"{own.others_percent:.0f}",
    "RSS MB": lambda own, _: f"{own.rss_mb:.0f}",
}
_PACED: Final[Mapping[str, Cell]] = {
    **_EVENTS,
    "TTFT error ms p50/p99/max": lambda own, _: _three(own.ttft_p50_ms, own.ttft_p99_ms, own.ttft_max_ms),
    "gap error µs p50/p99/max": lambda own, _: _three(own.gap_p50_us, own.gap_p99_us, own.gap_max_us),
    **_REST,
}
_UNLIMITED: Final[Mapping[str, Cell]] = {
    **_EVENTS,
    "in hand ms p99": lambda own, _: _three(own.behind_p99_ms),
    "RSS growth MB": lambda own, _: _three(own.rss_growth_mb),
    **_REST,
}
