"""Many runs as one table: a row for each run at each level, a column for each figure, the best marked.

The best of a level has the best mean over passes; so is every run that is not told from it by a 95 % interval. What cannot be
trusted (an invalid or incomplete run) is never the best, nor is there one where nothing competes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.compare.cells import Cell
from harness.compare.comparison import Comparison
from harness.compare.judge import Judged
from harness.compare.welch import Difference
from harness.compare.wording import change, interval, name_of, value
from harness.grid import NULL

__all__ = ["Place", "Row", "Table", "best"]


@dataclass(frozen=True, slots=True)
class Row:
    """A run at a level; run 0 is the base."""

    level: str
    run: int


@dataclass(frozen=True, slots=True)
class Place:
    """A figure there, as text."""

    value: str
    change: str
    interval: str
    word: str  # of `judge.Word`; empty for the base
    is_best: bool


@dataclass(frozen=True, slots=True)
class Table:
    """The whole."""

    rows: Sequence[Row]
    columns: Sequence[tuple[str, Sequence[Place]]]  # heading, one place a row


def best(found: Comparison) -> Table:
    """The table of a comparison."""
    levels = list(dict.fromkeys(one.cell.level for one in found.found))
    rows = [Row(level, run) for level in levels for run in range(1 + len(found.new))]
    figures = {one.cell.figure.name: one.cell for one in found.found if not one.cell.why}
    columns = []
    for name, example in figures.items():
        every = {
            (one.cell.level, one.cell.run + 1): one for one in found.found if one.cell.figure.name == name
        }
        winners = {level: _winners(found, level, every) for level in levels}
        columns.append((name_of(example), [_place(row, every, winners[row.level]) for row in rows]))
    return Table(rows, columns)


Cells = Mapping[tuple[str, int], Judged]


def _place(row: Row, every: Cells, winners: set[int]) -> Place:
    if row.run == 0:
        base = next(
            (one.cell for (level, _), one in every.items() if level == row.level and not one.cell.why), None
        )
        shown = NULL if base is None else value(base, base.base)
        return Place(shown, "", "", "", 0 in winners)
    one = every.get((row.level, row.run))
    if one is None or one.cell.why:
        return Place(NULL, NULL, NULL, "not compared", False)
    cell = one.cell
    return Place(
        value(cell, cell.new), change(cell, cell.change()), interval(cell), one.word, row.run in winners
    )


def _winners(found: Comparison, level: str, every: Cells) -> set[int]:
    """Which runs are the best at a level."""
    runs = (found.base, *found.new)
    trusted = [at for at, run in enumerate(runs) if run.complete and run.verdict != "invalid"]
    cells = {run: one.cell for (where, run), one in every.items() if where == level and not one.cell.why}
    sides: dict[int, tuple[float, Cell]] = {}
    for run, cell in cells.items():
        if cell.base is not None and cell.new is not None:
            sides.setdefault(0, (cell.base, cell))
            sides[run] = (cell.new, cell)
    sides = {run: side for run, side in sides.items() if run in trusted}
    if len({shown for shown, _ in sides.values()}) < 2:
        return set()
    toward = next(iter(sides.values()))[1].figure.toward
    first = min(sides, key=lambda run: toward * sides[run][0])
    return {run for run in sides if run == first or not _is_told(first, run, sides)}


def _is_told(first: int, other: int, sides: Mapping[int, tuple[float, Cell]]) -> bool:
    """Whether a run is told from the best, by the interval of their difference; bare numbers are what they are."""
    means = []
    for run in (first, other):
        difference = sides[run][1].difference
        if difference is None:
            return not math.isclose(sides[first][0], sides[other][0])
        means.append(difference.base if run == 0 else difference.new)
    low, high = Difference(*means).interval()
    return not low <= 0 <= high
