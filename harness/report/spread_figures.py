"""How TTFT, TPOT and E2E are spread: a box a level, or of a single level a histogram.

Computed here, so that no raw value is on the page; of the same requests as the levels' statistics. Pure.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np

from harness.carried import NEED
from harness.report import palette
from harness.report.material import Chart, Material
from harness.report.moments import Moments
from harness.report.places import Places, limits
from harness.report.shapes import axis, figure, known, layout, log_if_wide, log_marks, note, short
from harness.windows import Floats

__all__ = ["spreads"]

QUANTILES: Final = (5, 25, 50, 75, 95)
BINS: Final = 40
WIDE: Final = 30.0  # times: bins of equal ratio from there on
LEAST: Final = 2  # values that make a histogram
_FIGURES: Final = (
    ("ttft_ms", "ttft", "TTFT", "Time to first token (TTFT), ms"),
    ("tpot_ms", "tpot", "TPOT", "Time per output token after the first (TPOT), ms"),
    ("e2e_ms", "e2e", "E2E", "End to end (E2E), ms"),
)
_POWERS: Final = "The axis counts in powers of ten."
_FEW: Final = f"of fewer than {NEED['p95']} requests to the least and the greatest"


def spreads(material: Material, moments: Moments) -> Iterator[Chart]:
    """A figure for each of the three that was measured."""
    if not material.levels:
        return
    for entry, key, name, title in _FIGURES:
        values = moments.amount(entry)
        rows = [
            known(values[moments.counted & (moments.level == level["level"])]) for level in material.levels
        ]
        if len(rows) > 1 and any(len(one) for one in rows):
            yield Chart(key=key, title=title, **_boxes(material, entry, name, rows))
        elif len(rows) == 1 and len(rows[0]) >= LEAST:
            yield Chart(key=key, title=title, **_histogram(material, entry, name, rows[0]))


def _boxes(material: Material, entry: str, name: str, rows: list[Floats]) -> dict[str, Any]:
    """Quartiles, and whiskers from p5 to p95; a point at the median that says it all."""
    there = [place for place, one in enumerate(rows) if len(one)]
    places, parts = Places.of([material.levels[place] for place in there]), [rows[place] for place in there]
    quantiles = np.array([np.percentile(one, QUANTILES) for one in parts])
    few = [len(one) < NEED["p95"] for one in parts]
    quantiles[:, 0] = np.where(few, [one.min() for one in parts], quantiles[:, 0])
    quantiles[:, 4] = np.where(few, [one.max() for one in parts], quantiles[:, 4])
    low, first, middle, third, high = (short(column) for column in quantiles.T)
    box = {
        "type": "box",
        "name": name,
        "x": places.names,
        "q1": first,
        "median": middle,
        "q3": third,
        "lowerfence": low,
        "upperfence": high,
        "line": {"color": palette.MEDIAN, "width": 1.5},
        "boxpoints": False,
        "hoverinfo": "skip",
        "showlegend": False,
    }
    ends = [("least", "greatest") if one else ("p5", "p95") for one in few]
    ns = [len(one) for one in parts]
    said = [[*words, *four] for words, *four in zip(ends, low, first, third, high, ns, strict=True)]
    lines = list(limits(material.summary, entry, "ms", places.names, [high]))
    wide = log_if_wide([*low, *high])
    return {
        "figure": figure(
            [box, _medians(name, places.names, middle, said), *lines],
            layout(xaxis=places.row, yaxis=axis(f"{name}, ms", **wide), showlegend=bool(lines)),
        ),
        "note": note(
            "Box: the middle half and the median of the requests that succeeded; whiskers: p5 to p95"
            + (f", {_FEW}." if any(few) else "."),
            _POWERS if "type" in wide else "",
        ),
    }


def _medians(name: str, x: list[str], y: list[float | None], said: list[list[Any]]) -> dict[str, Any]:
    """A point a box; `said`: what its whiskers are, then their ends and the quartiles in order, then of how many."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "median",
        "x": x,
        "y": y,
        "customdata": said,
        "marker": {"color": palette.MEDIAN, "size": 7},
        "hovertemplate": (
            f"%{{x}}: median {name} %{{y:,.5~r}} ms<br>middle half %{{customdata[3]:,.5~r}} to %{{customdata[4]:,.5~r}} ms"
            "<br>%{customdata[0]} %{customdata[2]:,.5~r}, %{customdata[1]} %{customdata[5]:,.5~r} ms"
            "<br>%{customdata[6]:,} requests<extra></extra>"
        ),
        "showlegend": False,
    }


def _histogram(material: Material, entry: str, name: str, values: Floats) -> dict[str, Any]:
    """Requests by their value, in bins of equal width, or of equal ratio where values are far apart."""
    least, most = float(values.min()), float(values.max())
    wide = least > 0 and most >= WIDE * least
    if wide:
        edges = np.geomspace(least, most, BINS + 1)
        edges[[0, -1]] = least, most
    else:
        edges = np.histogram_bin_edges(values, min(BINS, max(5, int(len(values) ** 0.5) * 2)))
    counts, edges = np.histogram(values, edges)
    bars = {
        "type": "bar",
        "name": "requests",
        "x": short(edges[:-1], 8),
        "y": counts.tolist(),
        "width": short(np.diff(edges), 8),
        "offset": 0,
        "customdata": [[*short(pair)] for pair in pairwise(edges.tolist())],
        "marker": {"color": palette.MEDIAN, "line": {"width": 0}},
        "hovertemplate": "%{customdata[0]:,.5~r} to %{customdata[1]:,.5~r} ms: %{y:,} requests<extra></extra>",
        "showlegend": False,
    }
    part = material.levels[0][entry]
    top = int(counts.max())
    lines = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "median",
            "x": short([part["median"]] * 2),
            "y": [0, top],
            "line": {"color": palette.TAIL, "width": 2},
            "hovertemplate": f"median {name} %{{x:,.5~r}} ms<extra></extra>",
        }
    ]
    shown = axis(f"{name}, ms", **(log_marks(least, most) if wide else {}))
    return {
        "figure": figure(
            [bars, *lines], layout(xaxis=shown, yaxis=axis("requests", rangemode="tozero"), bargap=0)
        ),
        "note": f"{len(values):,} measured requests that succeeded"
        + (", in bins of equal ratio." if wide else ", in bins of equal width."),
    }
