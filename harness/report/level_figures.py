"""Figures over the levels: rates, and throughput against latency. From summary.json alone; nothing is computed here. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from harness import carried
from harness.report import palette
from harness.report.material import Chart, Material
from harness.report.places import Places, limits
from harness.report.shapes import axis, bar, figure, inert, layout, line, log_if_wide, note, short

__all__ = ["passes", "rates", "tradeoff"]

PANELS: Final = ([0.56, 1.0], [0.0, 0.44])  # the upper and the lower of two over one axis
TALL: Final = 520  # px
FAR: Final = 4.0  # times the output: a total beyond that would squash it, and is shown only when asked for
_HIDDEN: Final = "System total tokens/s are far above: a click on their name draws them."
LABELLED: Final = 12  # levels whose names stand at their points

Levels = Sequence[Mapping[str, Any]]


def rates(material: Material) -> Iterator[Chart]:
    """The system's rates and those of single requests, in two panels over one axis; of several levels."""
    levels = [level for level in material.levels if level["system_output_tokens_per_s"] is not None]
    if len(material.levels) < 2 or not levels:
        return
    places = Places.of(levels)
    upper, lower = list(_system(material, places)), _each(material, places)
    yield Chart(
        key="rates",
        title="Tokens/s of the whole system and of each request",
        figure=figure(
            [*upper, *lower],
            layout(
                TALL,
                xaxis={**places.axis, "anchor": "y2"},
                yaxis=axis("system tokens/s", domain=PANELS[0], rangemode="tozero"),
                yaxis2=axis("request tokens/s", domain=PANELS[1], rangemode="tozero"),
            ),
        ),
        note=note(
            _said_of_passes(levels),
            "Each request: median, bars from p10 to p90.",
            _HIDDEN if any("visible" in one for one in upper) else "",
        ),
        wide=True,
    )


def _said_of_passes(levels: Levels) -> str:
    many = max((_interval(level, "system_output_tokens_per_s") or {}).get("passes", 0) for level in levels)
    if not many:
        return (
            "System: one pass, so no interval." if all(level["repeat_count"] < 2 for level in levels) else ""
        )
    return f"System: bars are 95 % confidence intervals over {many} passes."


def _interval(level: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = (level.get("intervals") or {}).get(path)
    return found


def _bars(levels: Levels, values: Sequence[float | None], path: str) -> dict[str, Any]:
    """Error bars of a figure's intervals; nothing where no level has one."""
    between = [_interval(level, path) for level in levels]
    if not any(between):
        return {}
    up = [
        None if one is None or value is None else max(0.0, one["high"] - value)
        for one, value in zip(between, values, strict=True)
    ]
    down = [
        None if one is None or value is None else max(0.0, value - one["low"])
        for one, value in zip(between, values, strict=True)
    ]
    return {"error_y": _asymmetric(up, down)}


def _asymmetric(up: Sequence[float | None], down: Sequence[float | None]) -> dict[str, Any]:
    whole = [[0.0 if value is None else value for value in values] for values in (up, down)]
    return {
        "type": "data",
        "symmetric": False,
        "array": short(whole[0]),
        "arrayminus": short(whole[1]),
        "thickness": 1.5,
        "width": 5,
    }


def _system(material: Material, places: Places) -> Iterator[dict[str, Any]]:
    levels, x = places.levels, places.x
    drawn: list[list[float]] = []
    for name, path, colour in (
        ("system output tokens/s", "system_output_tokens_per_s", palette.OUTPUT),
        ("system total tokens/s", "system_total_tokens_per_s", palette.TOTAL),
    ):
        values = [level[path] for level in levels]
        if all(value is None for value in values):
            continue
        said = [
            f"<br>95 % interval {one['low']:,.5g} to {one['high']:,.5g}, {one['passes']} passes"
            if (one := _interval(level, path))
            else ""
            for level in levels
        ]
        hover = "%{customdata[0]}: %{y:,.5~r} tokens/s" + ("%{customdata[1]}" if any(said) else "")
        custom = [list(pair) for pair in zip(_titles(places), said, strict=True)]
        far = drawn and max(filter(None, values), default=0.0) > FAR * max(drawn[0])
        hidden = {"visible": "legendonly"} if far else {}
        bars = _bars(levels, values, path)
        dash = {"line": {"color": colour, "width": 2, "dash": "dot"}} if drawn else {}
        yield line(
            name,
            x,
            short(values),
            colour,
            hover,
            customdata=custom,
            **bars,
            **hidden,
            **dash,
        )
        drawn.append([value for value in values if value is not None])
        yield from limits(material.summary, path, "tokens/s", x, [values], **hidden)


def _titles(places: Places) -> list[str]:
    return [inert(level["title"]) for level in places.levels]


def _each(material: Material, places: Places) -> Iterator[dict[str, Any]]:
    """Median and p10 to p90 of one request's rate, on the lower panel."""
    levels, x = places.levels, places.x
    streamed = any(level["request_output_tokens_per_s"]["n"] for level in levels)
    path = "request_output_tokens_per_s" if streamed else "request_total_tokens_per_s"
    name = "output tokens/s of a request" if streamed else "prompt and output tokens/s of a request"
    parts = [level[path] for level in levels]
    values = [part["median"] for part in parts]
    if all(value is None for value in values):
        return
    ends = [(carried.shown(part, "p10"), carried.shown(part, "p90")) for part in parts]
    up = [
        None if value is None or high is None else high - value
        for value, (_, high) in zip(values, ends, strict=True)
    ]
    down = [
        None if value is None or low is None else value - low
        for value, (low, _) in zip(values, ends, strict=True)
    ]
    said = [
        [
            title,
            "" if low is None or high is None else f"<br>p10 {low:,.4g}, p90 {high:,.4g} tokens/s",
            part["n"],
        ]
        for title, part, (low, high) in zip(_titles(places), parts, ends, strict=True)
    ]
    hover = "%{customdata[0]}: median %{y:,.5~r} tokens/s%{customdata[1]}<br>%{customdata[2]:,} requests"
    yield line(
        name,
        x,
        short(values),
        palette.EACH,
        hover,
        customdata=said,
        yaxis="y2",
        error_y=_asymmetric(up, down),
    )
    yield from limits(material.summary, path, "tokens/s", x, [values], yaxis="y2")


def passes(material: Material) -> Iterator[Chart]:
    """Of a single level that was held more than once: its rate in each pass."""
    held = material.levels[0].get("passes") or [] if len(material.levels) == 1 else []
    values = [one["system_output_tokens_per_s"] for one in held]
    if len(held) < 2 or all(value is None for value in values):
        return
    names = [f"pass {one['repeat']}" for one in held]
    hover = "%{x}: %{y:,.5~r} tokens/s"
    between = _interval(material.levels[0], "system_output_tokens_per_s")
    told = (
        f"95 % confidence interval of the mean over passes: {between['low']:,.4g} to {between['high']:,.4g} tokens/s."
        if between
        else ""
    )
    yield Chart(
        key="passes",
        title="System output tokens/s in each pass",
        figure=figure(
            [bar("system output tokens/s", names, short(values), palette.OUTPUT, hover)],
            layout(
                xaxis=axis("pass", type="category"),
                yaxis=axis("tokens/s", rangemode="tozero"),
                showlegend=False,
            ),
        ),
        note=told,
    )


def tradeoff(material: Material) -> Iterator[Chart]:
    """System output tokens/s over the latency at which they were had, a point a level."""
    levels = [level for level in material.levels if level["system_output_tokens_per_s"] is not None]
    streamed = any(level["ttft_ms"]["n"] for level in levels)
    entry, name = ("ttft_ms", "TTFT") if streamed else ("e2e_ms", "E2E")
    levels = [level for level in levels if level[entry]["n"]]
    if len(levels) < 2:
        return
    places = Places.of(levels)
    y = short([level["system_output_tokens_per_s"] for level in levels])
    drawn: list[dict[str, Any]] = []
    xs: list[float] = []
    for key, colour in (("p50", palette.MEDIAN), ("p95", palette.TAIL)):
        x = [carried.shown(level[entry], key) for level in levels]
        if all(value is None for value in x):
            continue
        xs += [value for value in x if value is not None]
        labels = {"mode": "lines+markers+text", "textposition": "top left", "text": places.names}
        hover = f"%{{customdata}}<br>{name} {key} %{{x:,.5~r}} ms<br>%{{y:,.5~r}} tokens/s"
        drawn.append(
            line(f"{name} {key}", short(x), y, colour, hover, customdata=_titles(places), cliponaxis=False)
            | (labels if not drawn and len(levels) <= LABELLED else {})
        )
    lacking = carried.says(carried.lacking([level[entry] for level in levels], ["p95"]))
    yield Chart(
        key="tradeoff",
        title=f"Throughput against latency: system output tokens/s over {name}, ms",
        figure=figure(
            drawn,
            layout(
                xaxis=axis(f"{name}, ms", **log_if_wide(xs)),
                yaxis=axis("system, output tokens/s", rangemode="tozero"),
            ),
        ),
        note=note(
            "A point a level, labelled with it; up and to the left is better.",
            lacking,
        ),
    )
