"""All dashboards, by the name of their file. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from harness.grafana.board import dashboard
from harness.grafana.capacity import CAPACITY
from harness.grafana.compare_runs import COMPARE_RUNS
from harness.grafana.live_run import LIVE_RUN
from harness.grafana.server import SERVER
from harness.grafana.trust import TRUST

__all__ = ["FILES", "dashboards", "queries", "text"]

FILES: Final = {
    "live-run.json": LIVE_RUN,
    "capacity.json": CAPACITY,
    "compare-runs.json": COMPARE_RUNS,
    "trust.json": TRUST,
    "server.json": SERVER,
}


def dashboards() -> dict[str, dict[str, Any]]:
    """Each dashboard as Grafana reads it, by file name."""
    return {name: dashboard(plan) for name, plan in FILES.items()}


def text(made: Mapping[str, Any]) -> bytes:
    """As it is committed."""
    return orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def queries(made: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every query of a dashboard: (where it is, the query). Panels in folded rows, variables and annotations too."""
    for variable in made["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]
    for annotation in made["annotations"]["list"]:
        if "target" in annotation:
            yield f"annotation {annotation['name']}", annotation["target"]["query"]
    for panel in made["panels"]:
        for one in (panel, *panel.get("panels", ())):
            for target in one.get("targets", ()):
                yield f"{one['title']}, {target['refId']}", target["query"]
