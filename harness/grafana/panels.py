"""Panels: plain values to what Grafana reads.

The rule: a panel says what its number is: title, unit, and a description with the formula, who counted, and what is wrong with
it; none of them has a default. Only panels that every Grafana from 11.1 to 13 brings along.

Pure: no names of measurements here, and no places (`harness.grafana.board`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict, Unpack

from harness.grafana.queries import Query
from harness.grafana.variables import DATASOURCE

__all__ = [
    "COLOURS",
    "GREY",
    "More",
    "Panel",
    "fixed",
    "mapping",
    "override",
    "placed",
    "series",
    "stat",
    "table",
    "xy",
]

Json = dict[str, Any]

COLOURS: Final = {"p10": "light-blue", "p50": "blue", "p90": "yellow", "p95": "orange", "p99": "red"}
GREY: Final = "#808080"
_DRAWN: Final = ("timeseries", "xychart")
# Whose form its options have. A chart that does not say so is taken for one from before it, and its series are converted to none.
_XY_VERSION: Final = "11.1.0"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, not placed yet. What has a default is explained in `More`."""

    kind: str
    title: str
    unit: str
    description: str
    queries: tuple[Query, ...]
    custom: Json
    options: Json
    no_value: str = "nothing here"
    overrides: tuple[Json, ...] = ()
    limits: tuple[tuple[float, str], ...] = ()
    mappings: tuple[Json, ...] = ()
    transformations: tuple[Json, ...] = ()
    defaults: Mapping[str, object] | None = None
    colour: str = ""


class More(TypedDict, total=False):
    """What a panel may have besides."""

    no_value: str  # what stands there instead of nothing
    overrides: tuple[Json, ...]
    limits: tuple[tuple[float, str], ...]  # (from here on, colour), ascending; below the first it is green
    mappings: tuple[Json, ...]
    transformations: tuple[Json, ...]
    defaults: Mapping[str, object]  # further ones of fieldConfig.defaults
    colour: str  # one for all; else the palette, or by `limits`


def series(
    title: str,
    unit: str,
    description: str,
    *queries: Query,
    gap_s: int = 0,
    style: Mapping[str, object] | None = None,
    **more: Unpack[More],
) -> Panel:
    """Lines over time.

    Args:
        title: what it is.
        unit: Grafana's name of it, or `count:...`, `suffix:...`.
        description: what the number is.
        queries: at least one.
        gap_s: points further apart are not joined; 0: any missing one is a gap.
        style: what is to be drawn in another way.
        more: see there.
    """
    custom: Json = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 2,
        "fillOpacity": 0,
        "showPoints": "auto",
        "pointSize": 4,
        "spanNulls": gap_s * 1000 or False,
        "axisSoftMin": 0,
        "axisPlacement": "auto",
        "thresholdsStyle": {"mode": "dashed" if more.get("limits") else "off"},
        "stacking": {"mode": "none", "group": "A"},
        **(style or {}),
    }
    calcs = ["mean", "max", "lastNotNull"]
    options: Json = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": calcs},
        "tooltip": {"mode": "multi", "sort": "none", "hideZeros": False},
    }
    return Panel("timeseries", title, unit, description, queries, custom, options, **more)


def stat(
    title: str,
    unit: str,
    description: str,
    *queries: Query,
    field: str = "",
    line: bool = False,
    **more: Unpack[More],
) -> Panel:
    """One large number a query, the latest. `field`: its column, for tables and texts; `line`: with its course behind it."""
    # Measured texts would be as large as the tile is wide, and then wider than it with another font.
    size: Json = {"text": {"valueSize": 32}} if unit == "string" else {}
    if len(queries) > 1:  # one below the other, both as large: side by side, or measured, one of them is tiny
        size = {"text": {"titleSize": 14, "valueSize": 22}}
    options: Json = {
        "reduceOptions": {
            "calcs": ["lastNotNull"],
            "fields": f"/^{field}$/" if field else "",
            "values": False,
        },
        "colorMode": "value",
        "graphMode": "area" if line else "none",
        "justifyMode": "center",
        "orientation": "horizontal" if len(queries) > 1 else "auto",
        "textMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
        **size,
    }
    return Panel("stat", title, unit, description, queries, {}, options, **more)


def table(
    title: str, unit: str, description: str, *queries: Query, sort: str = "", **more: Unpack[More]
) -> Panel:
    """Rows. `sort`: the column they are ordered by at first, greatest first."""
    options: Json = {
        "frameIndex": 0,
        "showHeader": True,
        "cellHeight": "sm",
        "sortBy": [{"displayName": sort, "desc": True}] if sort else [],
    }
    custom: Json = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": True}
    return Panel("table", title, unit, description, queries, custom, options, **more)


def xy(
    title: str,
    unit: str,
    description: str,
    *queries: Query,
    pairs: Sequence[Json],
    show: str = "points+lines",
    **more: Unpack[More],
) -> Panel:
    """One figure over another, points joined in the order they come.

    `pairs`: of columns; with `frame` in them, series by hand; without, one of each table that has the columns.
    """
    options: Json = {
        "mapping": "manual" if "frame" in pairs[0] else "auto",
        "series": list(pairs),
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom: Json = {
        "show": show,
        "pointSize": {"fixed": 6},
        "pointShape": "circle",
        "pointStrokeWidth": 1,
        "fillOpacity": 60,
        "lineWidth": 2,
        "lineStyle": {"fill": "solid"},
        "axisSoftMin": 0,
        "axisPlacement": "auto",
    }
    return Panel("xychart", title, unit, description, queries, custom, options, **more)


def override(name: str, /, **properties: object) -> Json:
    """What one series or column has of its own. `name`: or a /pattern/. `custom__x` is custom.x."""
    return {
        "matcher": {"id": "byRegexp" if name.startswith("/") else "byName", "options": name},
        "properties": [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()],
    }


def fixed(name: str, colour: str = GREY, /, **properties: object) -> Json:
    """A series that always has the same colour."""
    return override(name, color={"mode": "fixed", "fixedColor": colour}, **properties)


def mapping(values: Mapping[str, tuple[str, str]]) -> Json:
    """Texts shown as (text, colour)."""
    options = {
        key: {"text": text, "color": colour, "index": n}
        for n, (key, (text, colour)) in enumerate(values.items())
    }
    return {"type": "value", "options": options}


def steps(below: str, limits: Sequence[tuple[float, str]]) -> Json:
    """Colours by value: `below` the first limit, then each one's from there on."""
    found = [{"color": colour, "value": value} for value, colour in limits]
    return {"mode": "absolute", "steps": [{"color": below, "value": None}, *found]}


def placed(panel: Panel) -> Json:
    """As Grafana reads it, but for its id and its place."""
    if panel.colour:
        colour: Json = {"mode": "fixed", "fixedColor": panel.colour}
    else:
        colour = {"mode": "palette-classic" if panel.kind in _DRAWN else "thresholds"}
    return {
        "type": panel.kind,
        **({"pluginVersion": _XY_VERSION} if panel.kind == "xychart" else {}),
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "interval": "1s",  # points come once a second
        "targets": [_target(query, "ABCDEFGH"[n]) for n, query in enumerate(panel.queries)],
        "transformations": list(panel.transformations),
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "noValue": panel.no_value,
                "color": colour,
                "thresholds": steps(
                    "green" if panel.limits or panel.kind in _DRAWN else "text", panel.limits
                ),
                "mappings": list(panel.mappings),
                "custom": panel.custom,
                **(panel.defaults or {}),
            },
            "overrides": list(panel.overrides),
        },
        "options": panel.options,
    }


def _target(query: Query, ref: str) -> Json:
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "query": query.text,
        "rawQuery": True,
        "resultFormat": "table" if query.table else "time_series",
        "alias": "" if query.table else query.alias,
    }
