"""Dashboards: where panels stand, and what is around them.

Pure: a dashboard is a dict here, as Grafana reads it from a file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.grafana.panels import Panel, placed
from harness.grafana.variables import Variable, annotations

__all__ = ["COLUMNS", "Dashboard", "Row", "dashboard", "grid"]

Json = dict[str, Any]

COLUMNS: Final = 24
_LINKS: Final = {
    "asDropdown": False,
    "icon": "external link",
    "includeVars": True,
    "keepTime": True,
    "tags": ["tokenswarm"],
    "targetBlank": False,
    "title": "tokenswarm",
    "tooltip": "the same run in the other dashboards",
    "type": "dashboards",
    "url": "",
}


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side. A title makes it a row that can be folded."""

    height: int
    panels: tuple[Panel, ...]
    widths: tuple[int, ...] = ()  # of the 24 columns; () shares them out evenly
    title: str = ""
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One of them."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    refresh: str = ""
    since: str = "now-6h"
    of_one_run: bool = True  # its events are drawn over it


def dashboard(plan: Dashboard) -> Json:
    """As Grafana reads it: a classic dashboard, schema 41, which 11.1 to 13 convert by themselves where they want another."""
    return {
        "annotations": {"list": annotations(events=plan.of_one_run)},
        "description": plan.description,
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,  # the same moment is marked in all panels
        "id": None,
        "links": [_LINKS],
        "panels": grid(plan.rows),
        "refresh": plan.refresh,
        "schemaVersion": 41,
        "tags": ["tokenswarm"],
        "templating": {"list": [variable.json() for variable in plan.variables]},
        "time": {"from": plan.since, "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m"]},
        "timezone": "browser",
        "title": plan.title,
        "uid": plan.uid,
        "version": 1,
        "weekStart": "",
    }


def grid(rows: Sequence[Row]) -> list[Json]:
    """All panels, placed from left to right and from top to bottom, with ids in that order.

    Raises:
        ValueError: a row is not as wide as the dashboard.
    """
    found: list[Json] = []
    top, number = 0, 0
    for row in rows:
        head = _head(row, number + 1, top) if row.title else None
        top, number = top + (head is not None), number + (head is not None)
        inside = list(_in_row(row, top, number))
        number += len(inside)
        if head is not None:
            found.append(head | {"panels": inside if row.folded else []})
        if not row.folded:
            found += inside
            top += row.height
    return found


def _head(row: Row, number: int, top: int) -> Json:
    place = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
    return {"type": "row", "id": number, "title": row.title, "collapsed": row.folded, "gridPos": place}


def _in_row(row: Row, top: int, number: int) -> Iterator[Json]:
    widths = row.widths or (COLUMNS // len(row.panels),) * len(row.panels)
    if sum(widths) != COLUMNS:
        raise ValueError(f"the row of {row.panels[0].title} is {sum(widths)} wide, not {COLUMNS}")
    left = 0
    for width, panel in zip(widths, row.panels, strict=True):
        number += 1
        place = {"h": row.height, "w": width, "x": left, "y": top}
        yield placed(panel) | {"id": number, "gridPos": place}
        left += width
