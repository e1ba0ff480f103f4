"""Charts as inline SVG: no script, no font, no request, readable in light and dark.

`chart` draws lines over load levels. These are ordinal: evenly spaced and named, for 1, 2, 4, 8 is how people
sweep. `bars` draws the figures of one level, where a line would be a dot. Both start at 0, so that lengths
compare. A value of None breaks the line or has no bar; it is never drawn as 0.

Pure text from numbers. Colours are CSS classes (`s1`, `t1`, ...) of the page around it. A label is left out
rather than written over another one; the exact values are in `<title>` tooltips.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final, Literal

from harness.svg_labels import CHARACTER, Box, Point, apart, place

__all__ = ["Series", "bars", "chart", "ticks"]

Values = Sequence[float | None]

WIDTH: Final = 560
HEIGHT: Final = 250
LEFT, RIGHT, TOP, BOTTOM = 58, 36, 38, 40
FRAME: Final = Box(LEFT, 20, WIDTH, HEIGHT - BOTTOM + 6)  # between the title and the ticks
CLEAR: Final = 30
ROW: Final = 30  # px, of a bar


@dataclass(frozen=True, slots=True)
class Series:
    """One line, one value a level; `low` and `high` draw a band behind it."""

    name: str
    values: Values
    style: str = "s1"
    low: Values = ()
    high: Values = ()
    label: Literal["above", "below"] | None = None  # write the values at the points


def chart(title: str, x_title: str, labels: Sequence[str], series: Sequence[Series]) -> str:
    """The chart as an `<svg>` element; `title` names the figure and its unit."""
    known = [v for s in series for values in (s.values, s.low, s.high) for v in values if v is not None]
    marks = ticks(max(known, default=0.0))
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f'<text class="title" x="0" y="14">{escape(title)}</text>',
        *_axes(labels, x_title, marks),
        *(piece for s in series for piece in _band(s, marks[-1])),
        *(piece for s in reversed(series) for piece in _line(s, labels, marks[-1])),
        *_texts(series, marks[-1]),
    ]
    if not known:
        parts.append(f'<text class="none" x="{WIDTH / 2:g}" y="{HEIGHT / 2:g}">not measured</text>')
    return "\n".join([*parts, "</svg>"])


def ticks(top: float) -> list[float]:
    """Four to six round values from 0 to at least `top`, steps of 1, 2, 2.5 or 5 times a power of ten."""
    if not top > 1e-9:  # nothing to tell apart
        return [0.0, 1.0]
    rough = top / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)]


def _x(index: int, count: int) -> float:
    """Points keep clear of the axis and of the names at the right; one level alone stands in the middle."""
    share = index / (count - 1) if count > 1 else 0.5
    return LEFT + CLEAR + (WIDTH - LEFT - RIGHT - 2 * CLEAR) * share


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def _axes(labels: Sequence[str], x_title: str, marks: Sequence[float]) -> Iterator[str]:
    for mark in marks:
        y = _y(mark, marks[-1])
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
        yield f'<text class="tick y" x="{LEFT - 8}" y="{y + 4:.1f}">{mark:,g}</text>'
    every = math.ceil(len(labels) / 16)  # more names than that run into one another
    for index, label in enumerate(labels):
        if index % every == 0:
            x = _x(index, len(labels))
            yield f'<text class="tick x" x="{x:.1f}" y="{HEIGHT - BOTTOM + 17}">{escape(label)}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text class="axis" x="{middle:g}" y="{HEIGHT - 5}">{escape(x_title)}</text>'


def _runs(count: int, *columns: Values) -> Iterator[list[int]]:
    """Stretches of neighbouring levels where every column has a value."""
    run: list[int] = []
    for index in range(count):
        if all(values[index] is not None for values in columns):
            run.append(index)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _band(series: Series, top: float) -> Iterator[str]:
    if not series.low or not series.high:
        return
    count = len(series.values)
    for run in _runs(count, series.low, series.high):
        edge = [(i, series.high[i]) for i in run] + [(i, series.low[i]) for i in reversed(run)]
        points = " ".join(f"{_x(i, count):.1f},{_y(v or 0.0, top):.1f}" for i, v in edge)
        if len(run) == 1:  # one level alone has no area: an error bar
            yield f'<polyline class="bar {series.style}" points="{points}"/>'
        else:
            yield f'<polygon class="band {series.style}" points="{points}"/>'


def _line(series: Series, labels: Sequence[str], top: float) -> Iterator[str]:
    count = len(series.values)
    for run in _runs(count, series.values):
        points = " ".join(f"{_x(i, count):.1f},{_y(series.values[i] or 0.0, top):.1f}" for i in run)
        yield f'<polyline class="line {series.style}" points="{points}"/>'
    for index, value in enumerate(series.values):
        if value is None:
            continue
        x, y = _x(index, count), _y(value, top)
        said = escape(f"{series.name} at {labels[index]}: {value:,.4g}")
        yield f'<circle class="dot {series.style}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{said}</title></circle>'


def _texts(series: Sequence[Series], top: float) -> Iterator[str]:
    """The lines' names at their right ends, then the values at the points where these are asked for."""
    taken: list[Box] = []
    ends = [(s, points[-1]) for s in series if (points := [p for p in _points(s, top) if p is not None])]
    bases = apart([y + 4 for _, (_, y) in ends], FRAME)
    for (s, (x, _)), y in sorted(zip(ends, bases, strict=True), key=lambda end: -end[1]):
        taken.append(Box.of(s.name, x + 9 + len(s.name) * CHARACTER / 2, y))
        yield f'<text class="name {s.style}" x="{x + 9:.1f}" y="{y:.1f}">{escape(s.name)}</text>'
    ink = [point for s in series for point in _ink(s, top)]
    for s in series:
        if s.label is not None and len(s.values) <= 10:
            yield from _values(s, [other for other in series if other is not s], top, taken, ink)


def _values(
    series: Series, others: Sequence[Series], top: float, taken: list[Box], ink: Sequence[Point]
) -> Iterator[str]:
    rows = [_points(other, top) for other in others]
    for index, (point, value) in enumerate(zip(_points(series, top), series.values, strict=True)):
        if point is None or value is None or series.label is None:
            continue
        text, rivals = _short(value), [rival for row in rows if (rival := row[index]) is not None]
        at = place(text, point, series.label, frame=FRAME, taken=taken, ink=ink, rivals=rivals)
        if at is not None:
            taken.append(Box.of(text, *at))
            yield f'<text class="value {series.style}" x="{at[0]:.1f}" y="{at[1]:.1f}">{text}</text>'


def _points(series: Series, top: float) -> list[Point | None]:
    count = len(series.values)
    return [None if v is None else (_x(i, count), _y(v, top)) for i, v in enumerate(series.values)]


def _ink(series: Series, top: float) -> Iterator[Point]:
    """Points along a line, a few px apart."""
    count = len(series.values)
    for run in _runs(count, series.values):
        ends = [(_x(i, count), _y(series.values[i] or 0.0, top)) for i in run]
        yield ends[0]
        for (x0, y0), (x1, y1) in pairwise(ends):
            steps = math.ceil(math.hypot(x1 - x0, y1 - y0) / 4)
            yield from ((x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps) for i in range(1, steps + 1))


def bars(title: str, names: Sequence[str], values: Values, style: str = "s1") -> str:
    """One bar a figure, its value at its end, as an `<svg>` element."""
    most = max((value for value in values if value is not None), default=0.0)
    height = TOP + ROW * len(names)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f'<text class="title" x="0" y="14">{escape(title)}</text>',
    ]
    for index, (name, value) in enumerate(zip(names, values, strict=True)):
        y = TOP + ROW * index
        said = "not measured" if value is None else _short(value)
        long = (WIDTH - LEFT - 80) * value / most if value is not None and most > 0 else 0.0
        parts += [
            f'<text class="tick y" x="{LEFT - 8}" y="{y + 15}">{escape(name)}</text>',
            *(
                [f'<rect class="{style}" x="{LEFT}" y="{y}" width="{long:.1f}" height="20" rx="3"/>']
                if long
                else []
            ),
            f'<text class="at-bar" x="{LEFT + long + 8:.1f}" y="{y + 15}">{said}</text>',
        ]
    return "\n".join([*parts, "</svg>"])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
