"""What figures are made of: numbers that are short, texts that are inert, axes, lines and bars as plain values for plotly.

The rules: no NaN leaves this place, for JSON has none; a number has five digits that mean something, for a page is sent by
mail; and text from outside appears letter by letter, for plotly reads a kind of HTML in everything it writes. Pure.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness.report.palette import LIMIT
from harness.report.text import cut
from harness.windows import Floats

__all__ = [
    "axis",
    "bar",
    "figure",
    "inert",
    "known",
    "layout",
    "legend",
    "line",
    "log_if_wide",
    "log_marks",
    "marked",
    "moments",
    "nice",
    "note",
    "short",
]

DIGITS: Final = 5
NAME: Final = 60  # characters of a name in a figure
WIDE: Final = 30.0  # times: from there on an axis counts in powers of ten
DECADES: Final = 4  # powers of ten with marks between them
LINE: Final = 2.0  # px
HEIGHT: Final = 340  # px

Axis = dict[str, Any]
Trace = dict[str, Any]


def short(values: "npt.ArrayLike | Sequence[float | None]", digits: int = DIGITS) -> list[float | None]:
    """Rounded to so many significant digits; None for what is no number, or none at all."""
    found = np.asarray(values, dtype=np.float64)
    known = np.isfinite(found)
    size = np.abs(np.where(known & (found != 0), found, 1.0))
    power = digits - 1 - np.floor(np.log10(size))
    up, down = 10.0 ** np.clip(power, 0, 300), 10.0 ** np.clip(-power, 0, 300)
    # Either is 1. A quotient of whole numbers below 2^53 is the nearest float there is, and so prints in few digits.
    rounded = np.round(np.where(known, found, 0.0) * up / down) * down / up
    return [
        _number(value) if there else None
        for value, there in zip(rounded.tolist(), known.tolist(), strict=True)
    ]


def moments(values: "npt.ArrayLike | Sequence[float | None]", decimals: int = 3) -> list[float | None]:
    """Seconds to so many decimals; None for what is no number."""
    found = np.asarray(values, dtype=np.float64)
    return [
        _number(value) if there else None
        for value, there in zip(np.round(found, decimals).tolist(), np.isfinite(found).tolist(), strict=True)
    ]


def _number(value: float) -> float | int:
    """Without `.0`."""
    return int(value) if value == int(value) else value


def inert(text: object) -> str:
    """A text that plotly shows as it is: cleaned, cut, and with `<`, `>` and `&` as entities, which it resolves."""
    return escape(cut(text, NAME), quote=False).replace("%{", "%&#123;")


def axis(title: str, **more: Any) -> Axis:  # noqa: ANN401  whatever plotly has
    """An axis with its title, which says the unit."""
    return {"title": {"text": title, "standoff": 8}, "automargin": True, "zeroline": False, **more}


def log_if_wide(values: Iterable[float | None]) -> Axis:
    """The kind of an axis for these values: powers of ten where the highest is far above the lowest and none is 0."""
    known_ = [value for value in values if value is not None]
    if known_ and min(known_) > 0 and max(known_) >= WIDE * min(known_):
        return log_marks(min(known_), max(known_))
    return {"rangemode": "tozero"}


def log_marks(least: float, most: float) -> Axis:
    """An axis of powers of ten with marks at 1, 2, 5, 10, ...; at powers alone where these would be many."""
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    steps = (1, 2, 5) if high - low <= DECADES else (1,)
    marks = [step * 10.0**power for power in range(low, high + 1) for step in steps]
    return {"type": "log", "tickvals": short(marks), "ticktext": [f"{mark:,.10g}" for mark in marks]}


def layout(height: int = HEIGHT, **more: Any) -> dict[str, Any]:  # noqa: ANN401  whatever plotly has
    """What all figures have in common: room, and a legend above the plot that wraps and pushes it down."""
    return {
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 12, "b": 44, "pad": 0},
        "legend": legend(),
        "hovermode": "closest",
        "showlegend": True,
        **more,
    }


def legend(y: float = 1.02) -> Axis:
    """Above the plot, from the left; it wraps, and pushes the plot down."""
    return {"orientation": "h", "x": 0, "xanchor": "left", "y": y, "yanchor": "bottom"}


def line(
    name: str,
    x: Sequence[Any],
    y: Sequence[float | None],
    colour: str,
    hover: str,
    **more: Any,  # noqa: ANN401
) -> Trace:
    """Points joined; a gap where there is none. `hover` is plotly's template."""
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(x) <= 40 else "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": colour, "width": LINE},
        "marker": {"color": colour, "size": 7},
        "connectgaps": False,
        "hovertemplate": hover + "<extra></extra>",
        **more,
    }


def bar(
    name: str,
    x: Sequence[Any],
    y: Sequence[float | None],
    colour: str,
    hover: str,
    **more: Any,  # noqa: ANN401
) -> Trace:
    """Bars from 0."""
    return {
        "type": "bar",
        "name": name,
        "x": list(x),
        "y": list(y),
        "marker": {"color": colour, "line": {"width": 0}},
        "hovertemplate": hover + "<extra></extra>",
        **more,
    }


def marked(name: str, x: Sequence[Any], limit: float, unit: str, **more: Any) -> Trace:  # noqa: ANN401
    """A dashed line across at a service level's limit."""
    ends = [x[0], x[-1]]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": inert(name),
        "x": ends,
        "y": short([limit, limit]),
        "line": {"color": LIMIT, "width": 1.5, "dash": "dash"},
        "hovertemplate": f"{inert(name)}: %{{y:,.5~r}} {unit}<extra></extra>",
        **more,
    }


def nice(length_s: float, most: int) -> float:
    """The shortest of 0.1, 0.2, 0.5, 1, ... s of which no more than `most` fill the length."""
    for power in range(-1, 12):
        for step in (1, 2, 5):
            width = step * 10.0**power
            if length_s / width <= most:
                return width
    return length_s / most


def note(*sentences: str) -> str:
    """Those that say something, one after the other."""
    return " ".join(sentence for sentence in sentences if sentence)


def known(values: Floats) -> Floats:
    """Without NaN."""
    return values[~np.isnan(values)]


def figure(data: Sequence[Trace], layout_: Mapping[str, Any]) -> dict[str, Any]:
    """Plotly's figure."""
    return {"data": list(data), "layout": dict(layout_)}
