"""Changes and their intervals as text, one line each over one axis: a chart where there can be no picture. Pure.

2 users, TTFT p50      :         |         :   [===o==]
                     -5%         0%      +5%
"""

import re
from collections.abc import Iterator
from typing import Final

from harness.compare.cells import Cell
from harness.compare.comparison import Comparison, clip

__all__ = ["strips"]

_ACTS: Final = re.compile(r"[`<>&@]")  # where a block of text is not taken for one
_HALF: Final = 24  # characters on each side of no change
_FARTHEST: Final = 0.5  # what goes beyond ends in an arrow


def strips(found: Comparison) -> Iterator[str]:
    """A line for each figure of a comparison of two runs; nothing where none has an interval."""
    cells = [one.cell for one in found.found if not one.cell.figure.is_share and one.cell.interval()]
    if not cells or len(found.new) > 1:
        return
    margin = found.options.margin
    ends = [abs(end) for cell in cells for end in cell.interval() or ()]
    far = min(_FARTHEST, max(1.5 * margin, *ends))
    names = [f"{_ACTS.sub('?', clip(cell.level, 24))}, {cell.figure.heading}" for cell in cells]
    width = max(map(len, names))
    for name, cell in zip(names, cells, strict=True):
        yield f"{name:<{width}}  {_strip(cell, far, margin)}".rstrip()
    yield f"{'':<{width}}  {_axis(far, margin)}".rstrip()


def _strip(cell: Cell, far: float, margin: float) -> str:
    line = [" "] * (2 * _HALF + 1)
    _put(line, _at(-margin, far), ":")
    _put(line, _at(margin, far), ":")
    _put(line, _at(0.0, far), "|")
    low, high = cell.interval() or (0.0, 0.0)
    first, last = _at(low, far), _at(high, far)
    for at in range(max(0, first), min(2 * _HALF, last) + 1):
        line[at] = "="
    _put(line, first, "[")
    _put(line, last, "]")
    if first < 0:
        line[0] = "<"
    if last > 2 * _HALF:
        line[-1] = ">"
    _put(line, _at(cell.change(), far), "o")
    return "".join(line)


def _axis(far: float, margin: float) -> str:
    line = [" "] * (2 * _HALF + 6)
    for value in (-margin, 0.0, margin):
        text = f"{100 * value:+g}%" if value else "0"
        start = max(0, _at(value, far) - len(text) // 2)
        line[start : start + len(text)] = list(text)
    return "".join(line)


def _at(value: float, far: float) -> int:
    return round(_HALF + _HALF * max(-2.0, min(2.0, value / far)))


def _put(line: "list[str]", at: int, mark: str) -> None:
    if 0 <= at < len(line):
        line[at] = mark
