"""The run over time: tokens as they arrived, requests in flight, failures, and where the windows lay. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from harness import loadpoint
from harness.report import palette, segments
from harness.report.binned import Bins, in_flight, tokens
from harness.report.material import Chart, Material
from harness.report.moments import Moments
from harness.report.shapes import axis, bar, figure, inert, layout, legend, line, note, short
from harness.report.shapes import moments as seconds
from harness.windows import NEVER

__all__ = ["over_time"]

TALL: Final = 560  # px
SHADES: Final = 200  # windows that are drawn; a search may have more
NAMED: Final = 0.055  # of the figure's width, for a window's name
GAP: Final = 0.06  # between panels

Panels = list[tuple[str, list[dict[str, Any]]]]  # the axis' title, and what is drawn


def over_time(material: Material, moments: Moments) -> Iterator[Chart]:
    """The figure; none where no request was sent."""
    origin = moments.origin_ns
    if not len(moments) or origin is None:
        return
    bins = Bins.over(origin, max(moments.end_ns, origin + 1))
    where = _where(material, bins)
    panels = list(_panels(moments, bins, where))
    shades = list(_shades(material, moments, origin))
    span = bins.number * bins.width_s
    yield Chart(
        key="over-time",
        title="The run over time",
        figure=figure(
            [trace for _, drawn in panels for trace in drawn] + list(_keys(shades)),
            layout(
                TALL if len(panels) > 2 else 420,
                xaxis=axis(
                    "seconds since load began",
                    anchor=f"y{len(panels)}" if len(panels) > 1 else "y",
                    range=[0, round(span, 3)],
                    showgrid=False,
                ),
                bargap=0,
                legend=legend(1.05),
                shapes=shades,
                annotations=list(_names(material, origin, span)),
                **_axes(panels),
            ),
        ),
        note=note(
            f"Bins of {bins.width_s:g} s.",
            "Tokens are counted where they arrived, from every request." if len(panels[0][1]) else "",
            _uncounted(moments),
            "Shaded: the measuring windows." if material.windows else "This run has no measuring window.",
        ),
        wide=True,
    )


def _panels(moments: Moments, bins: Bins, where: list[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    x = seconds(bins.middles_s)
    known = moments.streams.first_ns != NEVER
    if (known & ~np.isnan(moments.streams.output_tokens)).any():
        rates = tokens(moments, bins) / bins.width_s
        hover = "%{x:,} s: %{y:,.5~r} output tokens/s<br>%{text}"
        yield (
            "output tokens/s",
            [_steps("system output tokens/s", x, short(rates), palette.OUTPUT, hover, text=where)],
        )
    hover = "%{x:,} s: %{y:,.5~r} requests in flight<br>%{text}"
    flying = short(in_flight(moments, bins))
    number = "y2" if known.any() else "y"
    yield (
        "in flight",
        [_steps("requests in flight", x, flying, palette.EACH, hover, text=where, yaxis=number)],
    )
    lost = bins.sums(moments.end[moments.failed])
    if lost.any():
        at = np.flatnonzero(lost)
        hover = f"%{{x:,}} s: %{{y:,}} failed in {bins.width_s:g} s<br>%{{text}}"
        made = bar(
            "failed requests",
            [x[place] for place in at],
            lost[at].astype(int).tolist(),
            palette.FAILED,
            hover,
            text=[where[place] for place in at],
            textposition="none",
            width=bins.width_s,
        )
        yield f"failed in {bins.width_s:g} s", [made]


def _steps(
    name: str,
    x: list[float | None],
    y: list[float | None],
    colour: str,
    hover: str,
    **more: Any,  # noqa: ANN401  whatever plotly has
) -> dict[str, Any]:
    made = line(name, x, y, colour, hover, **more)
    return made | {"mode": "lines", "line": {"color": colour, "width": 1.5, "shape": "hvh"}}


def _axes(panels: Panels) -> dict[str, Any]:
    """A y axis for each panel, the first uppermost."""
    shares = [1.3, 1.0, 0.6][: len(panels)]
    room = (1.0 - GAP * (len(panels) - 1)) / sum(shares)
    top, found = 1.0, {}
    for number, ((title, drawn), share) in enumerate(zip(panels, shares, strict=True), 1):
        suffix = "" if number == 1 else str(number)
        for trace in drawn:
            trace["yaxis"] = f"y{suffix}"
        bottom = max(0.0, top - share * room)
        found[f"yaxis{suffix}"] = axis(title, domain=[round(bottom, 4), round(top, 4)], rangemode="tozero")
        top = bottom - GAP
    return found


def _title(material: Material, level: int) -> str:
    points: Mapping[str, Mapping[str, Any]] | None = material.run.get("points")
    return inert(loadpoint.title(level, points))


def _where(material: Material, bins: Bins) -> list[str]:
    """In which window the middle of each bin lies."""
    found = ["outside the windows"] * bins.number
    middles = bins.start_ns + (np.arange(bins.number) * 2 + 1) * bins.width_ns // 2
    several, labels = (
        len({window.repeat for window in material.windows}) > 1,
        segments.labels(material.summary),
    )
    for window in material.windows:
        label = labels.get((window.level, window.repeat))
        said = _title(material, window.level) + (f", pass {window.repeat}" if several else "")
        said += f" ({inert(label)})" if label else ""
        for place in np.flatnonzero((middles >= window.start_ns) & (middles < window.end_ns)).tolist():
            found[place] = said
    return found


def _shades(material: Material, moments: Moments, origin: int) -> Iterator[dict[str, Any]]:
    """Behind all panels: the windows, and before each the warm-up that was sent for it."""
    warming = moments.which("phase", "warmup") & (moments.sent != NEVER)
    for window in material.windows[:SHADES]:
        mine = warming & (moments.level == window.level) & (moments.repeat == window.repeat)
        begun = moments.sent[mine]
        if len(begun) and int(begun.min()) < window.start_ns:
            yield _shade("warm-up", int(begun.min()) - origin, window.start_ns - origin)
        yield _shade("window", window.start_ns - origin, window.end_ns - origin)


def _shade(name: str, from_ns: int, to_ns: int) -> dict[str, Any]:
    colour = palette.WAITING if name == "warm-up" else palette.OUTPUT
    x0, x1 = seconds([from_ns / 1e9, to_ns / 1e9])
    return {
        "type": "rect", "name": name, "layer": "below", "xref": "x", "yref": "paper", "x0": x0, "x1": x1, "y0": 0, "y1": 1,
        "fillcolor": colour, "opacity": 0.12, "line": {"width": 0},
    }  # fmt: skip


def _keys(shades: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What the shades mean, for the legend."""
    for name, said in (("window", "measuring window"), ("warm-up", "warm-up")):
        colours = [shade["fillcolor"] for shade in shades if shade["name"] == name]
        if colours:
            yield {
                "type": "scatter", "mode": "markers", "name": said, "x": [None], "y": [None], "hoverinfo": "skip",
                "marker": {"symbol": "square", "size": 12, "color": colours[0], "opacity": 0.3}, "legendgroup": name,
            }  # fmt: skip


def _names(material: Material, origin: int, span: float) -> Iterator[dict[str, Any]]:
    """Over the windows that are wide enough for it."""
    for window in material.windows[:SHADES]:
        text = _title(material, window.level)
        share = window.seconds / span if span else 0.0
        if share >= NAMED * max(1.0, len(text) / 8):
            (x,) = seconds([((window.start_ns + window.end_ns) / 2 - origin) / 1e9])
            yield {
                "name": "roomy" if share < 3 * NAMED * max(1.0, len(text) / 8) else "name", "text": text, "x": x,
                "xref": "x", "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False, "font": {"size": 11},
            }  # fmt: skip


def _uncounted(moments: Moments) -> str:
    number = moments.streams.uncounted
    many = "requests" if number > 1 else "request"
    return f"{number:,} {many} gave content that nobody counted: it is in no bin." if number else ""
