"""A line chart over load levels as inline SVG: no script, no font, no request, readable in light and dark.

Pure text from numbers. The levels are ordinal: evenly spaced and named, for 1, 2, 4, 8 is how people sweep.
The value axis starts at 0, so that heights compare. A value of None breaks the line; it is never drawn as 0.
Colours are CSS classes (`s1`, `s2`, `s3`) of the page around it; the exact values are in `<title>` tooltips.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal

__all__ = ["Series", "chart", "ticks"]

Values = Sequence[float | None]

WIDTH: Final = 560
HEIGHT: Final = 250
LEFT, RIGHT, TOP, BOTTOM = 58, 36, 34, 40
CLEAR: Final = 30
LABEL_STEP: Final = 14  # px between two series names at the right edge


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
        *_names(series, marks[-1]),
    ]
    if not known:
        parts.append(f'<text class="none" x="{WIDTH / 2:g}" y="{HEIGHT / 2:g}">not measured</text>')
    return "\n".join([*parts, "</svg>"])


def ticks(top: float) -> list[float]:
    """Four to six round values from 0 to at least `top`, steps of 1, 2, 2.5 or 5 times a power of ten."""
    if not top > 0:
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
        if series.label and count <= 10:
            below = series.label == "below" and y + 18 < HEIGHT - BOTTOM  # not among the ticks
            y += 18 if below else -9
            yield f'<text class="value" x="{x:.1f}" y="{y:.1f}">{_short(value)}</text>'


def _names(series: Sequence[Series], top: float) -> Iterator[str]:
    """Each line's name at its right end, pushed apart where ends meet."""
    ends = []
    for s in series:
        known = [(i, v) for i, v in enumerate(s.values) if v is not None]
        if known:
            index, value = known[-1]
            ends.append((_y(value, top), _x(index, len(s.values)), s))
    free = HEIGHT - BOTTOM + 4.0
    placed = []
    for y, x, s in sorted(ends, key=lambda end: -end[0]):  # from the lowest line up
        free = min(free, y + 4)
        placed.append((free, x, s))
        free -= LABEL_STEP
    for y, x, s in placed:
        yield f'<text class="name {s.style}" x="{x + 9:.1f}" y="{y:.1f}">{escape(s.name)}</text>'


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
