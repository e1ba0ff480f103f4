"""A comparison's charts: every run in one figure for each main figure, over the levels, with 95 % intervals of its passes.

Plain data for plotly's JavaScript, as in a run's report. Pure.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from harness.compare.cells import Cell
from harness.compare.comparison import Comparison, squeeze
from harness.compare.judge import Judged
from harness.compare.wording import WORDS
from harness.report import palette
from harness.report.material import Chart
from harness.report.shapes import axis, figure, inert, layout, line, short

__all__ = ["charts"]

_COLOURS: Final = (palette.TOTAL, palette.OUTPUT, palette.MEDIAN, palette.EACH, *palette.CLASSES)
_WORDS_COLOURS: Final = {
    "regression": palette.FAILED,
    "improvement": palette.EACH,
    "same": palette.OUTPUT,
    "unclear": palette.WAITING,
}
_NAME: Final = 20  # characters
_ROW_PX: Final = 22
_OFFSET: Final = (
    0.12  # of a category: runs stand beside each other, so that their intervals can be told apart
)


def charts(found: Comparison) -> Iterator[Chart]:
    """The changes of all figures at once, of two runs; then a figure each."""
    if len(found.new) == 1:
        yield from _changes(found)
    named = {one.cell.figure.name: one.cell for one in found.found if not one.cell.why}
    for name, example in named.items():
        yield _over_levels(found, name, example)


def _name(text: str) -> str:
    """Short enough to leave room for the figure."""
    return inert(squeeze(text, _NAME))


def _over_levels(found: Comparison, name: str, example: Cell) -> Chart:
    """One figure of all runs over the levels."""
    titles = list(dict.fromkeys(one.cell.level for one in found.found))
    scale = 100.0 if example.figure.is_share else 1.0
    unit = "%" if example.figure.is_share else example.figure.unit
    runs = len(found.new) + 1
    traces = []
    for at, called in enumerate(found.names):
        points = [_point(found, name, title, at) for title in titles]
        x = [place + (at - (runs - 1) / 2) * _OFFSET for place in range(len(titles))]
        values = [None if point is None else scale * point[0] for point in points]
        said = [
            f"{_name(title)}, {_name(called)}" + (_ends(point, scale) if point else "")
            for title, point in zip(titles, points, strict=True)
        ]
        traces.append(
            line(
                _name(called),
                short(x),
                short(values),
                _COLOURS[at % len(_COLOURS)],
                f"%{{customdata}}: %{{y:,.5~r}} {unit}",
                customdata=said,
                error_y=_bars(points, scale),
            )
        )
    ticks = {"tickvals": list(range(len(titles))), "ticktext": [_name(title) for title in titles]}
    return Chart(
        key=name.replace("_", "-"),
        title=f"{example.figure.heading}, {unit}",
        figure=figure(
            traces,
            layout(
                xaxis=axis("level", **ticks),
                yaxis=axis(f"{example.figure.heading}, {unit}", rangemode="tozero"),
            ),
        ),
        note="Means over passes; bars are their 95 % confidence intervals.",
    )


Point = tuple[float, float | None, float | None]  # value and ends


def _point(found: Comparison, name: str, title: str, run: int) -> Point | None:
    """A run's mean at a level, with its own interval."""
    for one in found.found:
        cell = one.cell
        mine = cell.figure.name == name and cell.level == title and not cell.why
        if not mine or (run and cell.run != run - 1):
            continue
        value = cell.new if run else cell.base
        if value is None:
            return None
        if cell.difference is None:
            return value, None, None
        low, high = (cell.difference.new if run else cell.difference.base).interval()
        if cell.figure.is_share:
            return value, max(0.0, low), min(1.0, high)
        return value, math.exp(low), math.exp(min(high, 700))
    return None


def _ends(point: Point, scale: float) -> str:
    if point[1] is None or point[2] is None:
        return ""
    return f" ({scale * point[1]:,.4g} to {scale * point[2]:,.4g})"


def _bars(points: Sequence[Point | None], scale: float) -> dict[str, Any]:
    up = [scale * (point[2] - point[0]) if point and point[2] is not None else 0.0 for point in points]
    down = [scale * (point[0] - point[1]) if point and point[1] is not None else 0.0 for point in points]
    return {
        "type": "data",
        "symmetric": False,
        "array": short(up),
        "arrayminus": short(down),
        "thickness": 1.5,
        "width": 5,
    }


def _changes(found: Comparison) -> Iterator[Chart]:
    """Every change with its interval over one axis, times and rates; a share has points of its own."""
    rows = [one for one in found.found if not one.cell.why and not one.cell.figure.is_share]
    if not rows:
        return
    labels = [f"{_name(one.cell.level)}, {one.cell.figure.heading}" for one in rows]
    traces = []
    for word, colour in _WORDS_COLOURS.items():
        mine = [(at, one) for at, one in enumerate(rows) if one.word == word]
        if mine:
            traces.append(_dots([one for _, one in mine], [labels[at] for at, _ in mine], word, colour))
    margin = 100 * found.options.margin
    edges = [
        {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": {"color": palette.GIVEN, "width": width, "dash": dash}}
        for at, width, dash in ((0, 1.5, "solid"), (-margin, 1, "dot"), (margin, 1, "dot"))
    ]  # fmt: skip
    yield Chart(
        key="changes",
        title="Change of every figure, %",
        figure=figure(
            traces,
            layout(
                120 + _ROW_PX * len(rows),
                xaxis=axis("change of new against base, %"),
                yaxis={
                    "automargin": True,
                    "type": "category",
                    "autorange": "reversed",
                    "categoryarray": labels,
                    "categoryorder": "array",
                },
                shapes=edges,
            ),
        ),
        note="95 % confidence intervals; dotted: the margin. More is worse for times, and better for rates.",
        wide=True,
    )


def _dots(rows: Sequence[Judged], labels: Sequence[str], word: str, colour: str) -> dict[str, Any]:
    changes, ups, downs = [], [], []
    for one in rows:
        change = one.cell.change()
        low, high = one.cell.interval() or (change, change)
        changes.append(100 * change)
        ups.append(100 * (high - change))
        downs.append(100 * (change - low))
    bars = {
        "type": "data",
        "symmetric": False,
        "array": short(ups),
        "arrayminus": short(downs),
        "thickness": 2,
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "name": next(said for known, said in WORDS.items() if known == word).lower(),
        "x": short(changes),
        "y": list(labels),
        "marker": {"color": colour, "size": 8},
        "error_x": {**bars, "color": colour, "width": 4},
        "hovertemplate": "%{y}: %{x:+.3~r} %<extra></extra>",
    }
