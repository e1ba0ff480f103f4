"""What is wrong with a dashboard: all that can be found without a Grafana and without an InfluxDB.

A panel that asks for a field which nobody writes stays empty, and looks like a run without data. So each query is read
(`harness.grafana.influxql`) and held against the schema (`harness.grafana.statements`), and each dashboard against the rules
that make it whole. Whether a query answers is asked of a real InfluxDB, in tests/test_dashboards.py.

Pure.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations
from typing import Any, Final

from harness.grafana import influxql, statements
from harness.grafana.board import COLUMNS
from harness.grafana.build import queries
from harness.grafana.syntax import Literal_, Select, ShowTagValues
from harness.grafana.variables import DATASOURCE

__all__ = ["dashboard", "dashboards", "query"]

Json = Mapping[str, Any]

# Grafana's own, in queries and elsewhere.
OWN: Final = frozenset({"timeFilter", "__interval", "__interval_ms", "__from", "__to"})
# These every Grafana brings along.
CORE: Final = frozenset({"row", "stat", "table", "text", "timeseries", "xychart"})
_CHOICE: Final = re.compile(r"/\^\$\{\w+:regex\}\$/")
_ALIAS_TAG: Final = re.compile(r"\$tag_(\w+)")
_GRAFANA_UID: Final = "-- Grafana --"


def query(text: str, known: Collection[str] = ()) -> list[str]:
    """What is wrong with one query. `known`: the variables there are, Grafana's own not among them."""
    try:
        statement = influxql.parse(text)
    except ValueError as error:
        return [str(error)]
    found = [
        f"${name}: there is no such variable" for name in sorted(influxql.variables(text) - OWN - set(known))
    ]
    found += [
        f"{pattern}: a chosen value has to stand as /^${{name:regex}}$/, or names are patterns and parts of "
        "others"
        for pattern in _patterns(statement)
        if "$" in pattern.strip("/").removesuffix("$") and not _CHOICE.fullmatch(pattern)
    ]
    return found + statements.problems(statement)


def dashboard(made: Json) -> list[str]:
    """What is wrong with a dashboard, each with the place in front."""
    known = [variable["name"] for variable in made["templating"]["list"]]
    asked = list(queries(made))
    found = [f"{where}: {problem}" for where, text in asked for problem in query(text, known)]
    found += [
        f"${name}: there is no such variable, in {text[:60]!r}"
        for text in _texts(made["panels"])
        for name in sorted(influxql.variables(text) - OWN - set(known))
    ]
    used = {name for _, text in asked for name in influxql.variables(text)}
    found += [f"variable {name}: no query uses it" for name in known if name not in used]
    panels = list(_panels(made))
    titles = Counter(panel.get("title") for panel in panels)
    found += [f"{title}: two panels are called so" for title, n in titles.items() if n > 1]
    found += [
        f"id {number}: two panels have it" for number, n in Counter(p["id"] for p in panels).items() if n > 1
    ]
    found += [problem for panel in panels if panel["type"] != "row" for problem in _panel(panel)]
    return [f"{made['title']}: {one}" for one in [*found, *_places(made), *_sources(made)]]


def dashboards(made: Mapping[str, Json]) -> list[str]:
    """What is wrong with all of them, by file name."""
    uids = Counter(one["uid"] for one in made.values())
    found = [
        f"{name}: uid {one['uid']}: another has it too" for name, one in made.items() if uids[one["uid"]] > 1
    ]
    return found + [f"{name}: {problem}" for name, one in made.items() for problem in dashboard(one)]


def _patterns(statement: Select | ShowTagValues) -> Iterator[str]:
    for condition in statement.where:
        if isinstance(condition.right, Literal_) and condition.right.kind == "regex":
            yield condition.right.text
    if isinstance(statement, Select) and isinstance(statement.source, Select):
        yield from _patterns(statement.source)


def _panels(made: Json) -> Iterator[Json]:
    for panel in made["panels"]:
        yield panel
        yield from panel.get("panels", ())


def _texts(value: object) -> Iterator[str]:
    """All texts but the queries, which are read as such."""
    match value:
        case str():
            yield value
        case dict():
            for key, inner in value.items():
                if key not in ("query", "alias"):
                    yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)


def _panel(panel: Json) -> Iterator[str]:
    name = panel.get("title") or f"panel {panel['id']}"
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    if panel["type"] not in CORE:
        yield f"{name}: {panel['type']} is not one of {', '.join(sorted(CORE))}"
    for what, value in (
        ("title", panel.get("title")),
        ("description", panel.get("description")),
        ("unit", defaults.get("unit")),
        ("text for no value", defaults.get("noValue")),
        ("query", panel.get("targets")),
    ):
        if not value:
            yield f"{name}: no {what}"
    refs = Counter(target["refId"] for target in panel.get("targets", ()))
    yield from (f"{name}: two queries are called {ref}" for ref, n in refs.items() if n > 1)
    yield from _names(name, panel)


def _names(name: str, panel: Json) -> Iterator[str]:
    """Columns that overrides and transformations speak of have to be there."""
    there = {"Time"}
    for target in panel.get("targets", ()):
        try:
            statement = influxql.parse(target["query"])
        except ValueError:
            return  # is said elsewhere
        if isinstance(statement, Select):
            there |= {*statements.columns(statement), *statement.by}
            for tag in _ALIAS_TAG.findall(target.get("alias", "")):
                if tag not in statement.by:
                    yield f"{name}: alias $tag_{tag}: the query is not grouped by it"
    for step in panel.get("transformations", ()):
        options = step["options"]
        spoken = [options.get("byField"), *options.get("fields", ())]
        spoken += [options.get("binary", {}).get(side) for side in ("left", "right")]
        yield from (
            f"{name}: {step['id']}: there is no column {one}"
            for one in spoken
            if one and one not in there and not one.replace(".", "").isdigit()
        )
        there |= {options["alias"]} if "alias" in options else set()
    for one in panel["fieldConfig"]["overrides"]:
        matcher = one["matcher"]
        by_name = matcher["id"] == "byName"
        pattern = f"^{re.escape(matcher['options'])}$" if by_name else matcher["options"].strip("/")
        if not any(re.search(pattern, column) for column in there):
            yield f"{name}: an override for {matcher['options']}, and there is no such column"


def _places(made: Json) -> Iterator[str]:
    for panel in _panels(made):
        place = panel["gridPos"]
        if place["x"] < 0 or place["x"] + place["w"] > COLUMNS or min(place["w"], place["h"]) < 1:
            yield f"{panel['title']}: not within {COLUMNS} columns"
    # What is in a folded row has places of its own, and pushes the rest down when it is opened.
    for group in (made["panels"], *(panel.get("panels", []) for panel in made["panels"])):
        for one, other in combinations(group, 2):
            a, b = one["gridPos"], other["gridPos"]
            if (
                a["x"] < b["x"] + b["w"]
                and b["x"] < a["x"] + a["w"]
                and a["y"] < b["y"] + b["h"]
                and b["y"] < a["y"] + a["h"]
            ):
                yield f"{one['title']} and {other['title']}: one lies over the other"


def _sources(made: Json) -> Iterator[str]:
    def walk(value: object) -> Iterator[str]:
        match value:
            case {"datasource": {"uid": uid}} if uid not in (DATASOURCE["uid"], _GRAFANA_UID):
                yield f"data source {uid}: only {DATASOURCE['uid']}"
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                yield from walk(inner)

    yield from walk(made)
