"""Capacity: what a system gives at each level: users, or a rate of arrivals, or a length. One line a run."""

from typing import Any, Final

from harness.grafana.board import Dashboard, Row
from harness.grafana.definitions import OK_REQUESTS, WINDOW
from harness.grafana.panels import Panel, fixed, override, steps, table, xy
from harness.grafana.queries import RUN, Query, select
from harness.grafana.variables import BACKEND, HARDWARE, MODEL, RUN_SOME, Variable

__all__ = ["CAPACITY"]

_BY_RUN: Final = {
    "id": "partitionByValues",
    "options": {"fields": ["run"], "keepFields": False, "naming": {"asLabels": True}},
}
# Only the runs' own table is divided; the line of the service level beside it stays as it is.
_A_BY_RUN: Final = {**_BY_RUN, "filter": {"id": "byRefId", "options": "A"}}
_RUN_NAME: Final = "${__field.labels.run}"
_NONE_YET: Final = "no level measured yet"
_LOAD: Final = "load: users, requests/s or tokens, whichever the levels of the run hold"
_DASHED: Final = {"custom__lineStyle": {"fill": "dash", "dash": [8, 6]}}


def _pairs(x: str, *y: str) -> tuple[dict[str, Any], ...]:
    """Each of `y` over `x`. By name and not by pattern: patterns see only the display name, which is the run's here."""

    def named(column: str) -> dict[str, Any]:
        return {"matcher": {"id": "byName", "options": column}}

    return tuple({"x": named(x), "y": named(column)} for column in y)


def _over_load(title: str, unit: str, description: str, columns: dict[str, str]) -> Panel:
    """Figures over what the levels held; the second one is dashed."""
    one, *more = columns
    return xy(
        title,
        unit,
        description,
        Query(select({"load": "value", "level": "title", **columns}, "llm_level", RUN, by="run"), table=True),
        pairs=_pairs("load", *columns),
        no_value=_NONE_YET,
        transformations=(_BY_RUN,),
        overrides=(
            override("load", unit="none", custom__axisLabel=_LOAD),
            override(one, displayName=f"{_RUN_NAME} {one}" if more else _RUN_NAME),
            *(override(name, displayName=f"{_RUN_NAME} {name}", **_DASHED) for name in more),
        ),
    )


def _against_latency(title: str, unit: str, formula: str, figure: str, limit: str) -> Panel:
    """Throughput to the right, latency upwards, and the limit as a line across."""
    x = {"system": "system_output_tokens_per_s"}
    line = {"SLO": f'"system_output_tokens_per_s" * 0 + ${limit}'}
    return xy(
        title,
        unit,
        f"{formula}, over system output tokens/s. To the right and low is good; where the line bends "
        f"upwards the system is full. Each point is a level. Red: the service level, ${{{limit}}} "
        f"{unit.removeprefix('suffix: ')}, set at the head of the dashboard. Latency: {OK_REQUESTS} "
        f"Throughput: {WINDOW}",
        Query(select({**x, "latency": figure}, "llm_level", RUN, by="run"), table=True),
        Query(select({**x, **line}, "llm_level", RUN), table=True),
        pairs=_pairs("system", "latency", "SLO"),
        no_value=_NONE_YET,
        transformations=(_A_BY_RUN,),
        overrides=(
            override("system", unit="short", custom__axisLabel="system output tokens/s"),
            override("latency", displayName=_RUN_NAME),
            fixed("SLO", "red", custom__show="lines", custom__lineWidth=1),
        ),
    )


_COLUMNS: Final = {
    "run": "run",
    "level": "title",
    "users": "concurrency",
    "requests": "requests",
    "errors": "error_percent",
    "system output": "system_output_tokens_per_s",
    "system prompt": "system_prompt_tokens_per_s",
    "requests/s": "requests_per_s",
    "arrivals/s": "arrivals_per_s",
    "unsent": "unsent",
    **{f"request {q}": f"output_tokens_per_s_{q}" for q in ("p50", "p10")},
    **{f"{name} {q}": f"{name.lower()}_ms_{q}" for name in ("TTFT", "TPOT", "E2E") for q in ("p50", "p95")},
    "goodput": "goodput_percent",
    "SLO met": "slo_met",
    "final": "final",
}
_TABLE: Final = table(
    "Levels",
    "none",
    f"One row a level of a run, as in its levels.csv. Rates of the system: {WINDOW} Latencies and rates of "
    f"one request: {OK_REQUESTS} Errors: failed / measured requests. Goodput: measured requests that met "
    "every --slo on a single request. Users: none in an open loop; unsent: arrivals that were due and never "
    "sent. Final 0: the run goes on, or its end has not come here.",
    Query(select(_COLUMNS, "llm_level", RUN), table=True),
    no_value="-",
    transformations=({"id": "organize", "options": {"excludeByName": {"Time": True}}},),
    overrides=(
        override("/^(system|request) /", unit="count:tokens/s"),
        override("/^(requests|arrivals)\\/s$/", unit="reqps"),
        override("/^(TTFT|E2E) /", unit="ms"),
        override("/^TPOT /", unit="suffix:ms/token"),
        override("goodput", unit="percent"),
        override(
            "errors",
            unit="percent",
            custom__cellOptions={"type": "color-text"},
            thresholds=steps("text", ((1.0, "orange"), (20.0, "red"))),
        ),
        override("run", custom__minWidth=250),
    ),
)

_LINE: Final = "Where the red line is drawn. Judged is what the run's own --slo says."
_SLO_TTFT: Final = Variable("slo_ttft_ms", "SLO TTFT p95, ms", _LINE, default="1000")
_SLO_TPOT: Final = Variable("slo_tpot_ms", "SLO TPOT p95, ms/token", _LINE, default="50")

_CHARTS: Final = (
    _over_load(
        "System output tokens/s against load",
        "count:tokens/s",
        "Output tokens that arrived in the level's windows, whoever they belong to, over the windows' "
        f"length. {WINDOW}",
        {"system": "system_output_tokens_per_s"},
    ),
    _over_load(
        "Per-request tokens/s against load",
        "count:tokens/s",
        "Rate of one request after its first token, (output tokens - 1) / (last content - first content): "
        f"the median, and dashed p10, which nine of ten requests exceed. {OK_REQUESTS}",
        {"p50": "output_tokens_per_s_p50", "p10": "output_tokens_per_s_p10"},
    ),
    _against_latency(
        "Throughput against time to first token",
        "ms",
        "p95 of TTFT (first content event - first byte sent)",
        "ttft_ms_p95",
        "slo_ttft_ms",
    ),
    _against_latency(
        "Throughput against time per output token",
        "suffix:ms/token",
        "p95 of TPOT ((last content - first content) / (output tokens - 1))",
        "tpot_ms_p95",
        "slo_tpot_ms",
    ),
    _over_load(
        "Prefill and decode tokens/s against load",
        "count:tokens/s",
        "Prefill: prompt tokens of requests whose first token came in the windows (counted when prefill is "
        "over, and whether or not a cache had them). Decode, dashed: output tokens that arrived in them. "
        f"Both over the windows' length. {WINDOW}",
        {"prefill": "system_prompt_tokens_per_s", "decode": "system_output_tokens_per_s"},
    ),
    _over_load(
        "Requests/s against load",
        "reqps",
        "Requests that ended well inside the level's windows over their length; dashed those that met "
        f"every --slo on a single request (none without one). {WINDOW}",
        {"ended well": "requests_per_s", "good": "goodput_requests_per_s"},
    ),
)

CAPACITY: Final = Dashboard(
    "tokenswarm-capacity",
    "Capacity",
    "Each run's levels: throughput of the system and of one request against the load they held, and against "
    "latency.",
    (MODEL, BACKEND, HARDWARE, RUN_SOME, _SLO_TTFT, _SLO_TPOT),
    (*(Row(10, _CHARTS[n : n + 2]) for n in (0, 2, 4)), Row(10, (_TABLE,))),
    of_one_run=False,
)
