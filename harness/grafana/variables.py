"""What can be chosen at the head of a dashboard, and the annotations drawn over it.

The rule: a choice narrows the next. Runs are those of the chosen model, backend and hardware, newest first: ids of runs begin with
their time.

Plain data; Grafana asks the queries.
"""

from dataclasses import dataclass
from typing import Any, Final

from harness.grafana.queries import ALL, RANGE, RUN, select

__all__ = [
    "BACKEND",
    "BASELINE",
    "DATASOURCE",
    "HARDWARE",
    "MODEL",
    "RUN_ONE",
    "RUN_SOME",
    "WIDTH",
    "WORKER",
    "Variable",
    "annotations",
]

Json = dict[str, Any]

DATASOURCE: Final = {"type": "influxdb", "uid": "tokenswarm"}
_CHOSEN: Final = " AND ".join(f'"{tag}" =~ /^${{{tag}:regex}}$/' for tag in ("model", "backend", "hardware"))
_ASCENDING, _DESCENDING = 1, 2
_ON_RANGE_CHANGE = 2  # and when the dashboard is opened: runs come while it is open


@dataclass(frozen=True, slots=True)
class Variable:
    """One of them. With a query its values come from there; with `values` they are these; else it is a box to write in."""

    name: str
    label: str
    description: str
    query: str = ""
    sort: int = _ASCENDING
    every: str | None = None  # what `All` stands for; "" for the list of all
    several: bool = False
    values: tuple[str, ...] = ()
    default: str = ""

    def json(self) -> Json:
        """As a dashboard has it."""
        common = {
            "name": self.name,
            "label": self.label,
            "description": self.description,
            "hide": 0,
            "skipUrlSync": False,
        }
        if self.query:
            return common | self._asked()
        current = {"selected": True, "text": self.default, "value": self.default}
        if not self.values:
            return common | {
                "type": "textbox",
                "query": self.default,
                "current": current,
                "options": [current],
            }
        return common | {
            "type": "interval",
            "query": ",".join(self.values),
            "auto": False,
            "auto_count": 30,
            "auto_min": "1s",
            "refresh": _ON_RANGE_CHANGE,
            "current": current,
            "options": [{"selected": v == self.default, "text": v, "value": v} for v in self.values],
        }

    def _asked(self) -> Json:
        everything: Json = {"selected": True, "text": ["All"] if self.several else "All"}
        everything["value"] = ["$__all"] if self.several else "$__all"
        return {
            "type": "query",
            "datasource": DATASOURCE,
            "definition": self.query,
            "query": self.query,
            "refresh": _ON_RANGE_CHANGE,
            "regex": "",
            "sort": self.sort,
            "multi": self.several,
            "includeAll": self.every is not None,
            # No value, and none of the list: Grafana chooses the first.
            "current": everything if self.every else {"selected": False, "text": "", "value": ""},
            "options": [],
            **({"allValue": self.every} if self.every else {}),
        }


def _choice(tag: str, label: str, what: str) -> Variable:
    query = f'SHOW TAG VALUES FROM "llm_run" WITH KEY = "{tag}"'
    return Variable(tag, label, f"Narrows the list of runs to {what}.", query, every=ALL)


MODEL: Final = _choice("model", "Model", "those of a model")
BACKEND: Final = _choice("backend", "Backend", "those of a backend")
HARDWARE: Final = _choice("hardware", "Hardware", "those with this --label hardware=...")
_RUNS: Final = f'SHOW TAG VALUES FROM "llm_run" WITH KEY = "run" WHERE {_CHOSEN}'
RUN_ONE: Final = Variable("run", "Run", "The run that is shown, newest first.", _RUNS, _DESCENDING)
RUN_SOME: Final = Variable(
    "run",
    "Runs",
    "The runs that are shown; All is all of the list.",
    _RUNS,
    _DESCENDING,
    every="",
    several=True,
)
BASELINE: Final = Variable(
    "baseline",
    "Baseline",
    "The run to compare with. Any: model, backend and hardware do not narrow it, for they are often what "
    "is compared.",
    'SHOW TAG VALUES FROM "llm_run" WITH KEY = "run"',
    _DESCENDING,
)
WORKER: Final = Variable(
    "worker",
    "Worker",
    "Which of the run's processes.",
    f'SHOW TAG VALUES FROM "llm_client" WITH KEY = "worker" WHERE {RUN}',
    every=ALL,
    several=True,
)
WIDTH: Final = Variable(
    "width",
    "Interval",
    "How much of a run one point stands for.",
    values=("1s", "3s", "10s", "30s", "1m", "5m"),
    default="3s",
)

# What happens in a run by kind: (kinds, colour, drawn unless switched off).
_EVENTS: Final = {
    "Start and end": (("start", "stop", "end"), "green", True),
    "Level changes": (("level",), "blue", True),
    "Workers": (("worker",), "orange", True),
    "Guards": (("guard",), "red", True),
    "Notes": (("note",), "#808080", False),
}


def annotations(*, events: bool) -> list[Json]:
    """Grafana's own annotations; and `events`, what happened in the run, by kind, each to be switched on and off."""
    own = {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }
    return [own, *(_annotation(name, *event) for name, event in _EVENTS.items() if events)]


def _annotation(name: str, kinds: tuple[str, ...], colour: str, enable: bool) -> Json:
    which = " OR ".join(f"\"kind\" = '{kind}'" for kind in kinds)
    columns = {column: column for column in ("title", "text", "kind")}
    return {
        "datasource": DATASOURCE,
        "enable": enable,
        "hide": False,
        "iconColor": colour,
        "name": name,
        "target": {
            "refId": "Anno",
            "query": select(columns, "llm_event", RANGE, RUN, f"({which})"),
            "rawQuery": True,
            "queryType": "tags",
            "fromAnnotations": True,
            "titleColumn": "title",
            "textColumn": "text",
            "tagsColumn": "kind",
            "timeEndColumn": "",
            "name": name,
        },
    }
