"""Columns of figures in tables that people look at: what each is called, and what of an entry of summary.json it shows.

An entry is a level, a pass of one, a segment, a kind of requests. Shows and computes nothing. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from harness import carried
from harness.grid import number

__all__ = ["Column", "lacking"]


class Column(NamedTuple):
    """One column."""

    heading: str
    figure: str
    part: str = ""  # of a figure that is a spread: p95, median, ...; none of a plain number
    scale: float = 1.0  # from the figure's unit to the heading's

    def cell(self, entry: Mapping[str, Any]) -> str:
        """What stands in it: a dash for what was not measured, one with a star for what so few requests do not carry."""
        value = entry.get(self.figure)
        if self.part:
            return carried.cell(value, self.part, scale=self.scale)
        return f"{value:,}" if isinstance(value, int) else number(value, scale=self.scale)


def lacking(columns: Iterable[Column], entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which percentiles of these cells are withheld somewhere: those that a footnote has to explain (`carried.says`)."""
    asked = [(one.figure, one.part) for one in columns if one.part]
    cells = [(entry.get(figure), part) for entry in entries for figure, part in asked]
    return list(dict.fromkeys(key for spread, part in cells for key in carried.withheld(spread, [part])))
