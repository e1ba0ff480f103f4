"""Compare runs: one run against a baseline, second for second since load began, and level for level; and all runs there are."""

from typing import Any, Final

from harness.grafana.board import Dashboard, Row
from harness.grafana.definitions import OUTPUT
from harness.grafana.live_tiles import VERDICTS
from harness.grafana.panels import Panel, fixed, override, steps, table, xy
from harness.grafana.queries import BASELINE as OF_BASELINE
from harness.grafana.queries import RUN, Query, elapsed, select
from harness.grafana.variables import BACKEND, BASELINE, HARDWARE, MODEL, RUN_ONE, WIDTH

__all__ = ["COMPARE_RUNS"]

ELAPSED: Final = (
    "To the right the seconds since load began (t_s of llm_load, by the directing process's clock), so "
    "that runs of different days lie over each other; one point is as long as Interval says. Grey: the "
    "baseline. The time range is of no matter here."
)
SKETCHED: Final = "From merged sketches of 3 seconds (within 1 %), wider intervals are their mean."
LIVE_LINK: Final = (
    "/d/tokenswarm-live/live-run?var-run=${__data.fields.run.text}"
    "&from=${__data.fields.begin_ms.numeric}&to=${__data.fields.end_ms.numeric}"
)
_ITS, _THEIRS = "this run", "baseline"


def _join(refs: str) -> dict[str, Any]:
    """Two tables become one, where they have the same time. Inner: a second without a figure has no point, not one at 0."""
    return {
        "id": "joinByField",
        "options": {"byField": "Time", "mode": "inner"},
        "filter": {"id": "byRefId", "options": f"/^[{refs}]$/"},
    }


def _by_hand(frame: int, name: str) -> dict[str, Any]:
    def named(field: str) -> dict[str, Any]:
        return {"matcher": {"id": "byName", "options": field}}

    which = {"matcher": {"id": "byIndex", "options": frame}}
    return {"frame": which, "x": named("s"), "y": named(name), "name": {"fixed": name}}


def _over_time(title: str, unit: str, description: str, value: str, of: tuple[str, str]) -> Panel:
    """`of`: the measurement, and the sums over its points of one second if `value` is of those."""
    # The baseline first: what is drawn later lies above.
    queries = (*elapsed(_THEIRS, value, *of, OF_BASELINE), *elapsed(_ITS, value, *of))
    return xy(
        title,
        unit,
        f"{description} {ELAPSED}",
        *queries,
        pairs=(_by_hand(0, _THEIRS), _by_hand(1, _ITS)),
        show="lines",
        no_value="choose a run and a baseline",
        transformations=(_join("AB"), _join("CD")),
        overrides=(
            override("s", unit="none", custom__axisLabel="seconds since load began"),
            fixed(_ITS, "blue"),
            fixed(_THEIRS),
        ),
    )


_OVER_TIME: Final = (
    _over_time(
        "System tokens/s",
        "count:tokens/s",
        "Output tokens that arrived in a second, all workers and requests together, mean over the seconds "
        "of the interval. Estimated while responses stream, set right when they end.",
        'MEAN("v")',
        ("llm_second", OUTPUT),
    ),
    _over_time(
        "Per-request tokens/s, p50",
        "count:tokens/s",
        "Median rate of one request after its first token, (output tokens - 1) / (last content - first "
        f"content), over the measured requests that ended well. {SKETCHED}",
        'MEAN("output_tokens_per_s_p50")',
        ("llm_percentiles", ""),
    ),
    _over_time(
        "Time to first token, p95",
        "ms",
        f"First content event - first byte sent, over the measured requests that ended well. {SKETCHED}",
        'MEAN("ttft_ms_p95")',
        ("llm_percentiles", ""),
    ),
    _over_time(
        "Load",
        "none",
        "What the run held, the most in the interval: users, requests/s or tokens, whichever its levels are of. Is it "
        "the same load that is compared?",
        'MAX("value")',
        ("llm_load", ""),
    ),
)

# Name, field of llm_level, unit, whether more of it is better.
_FIGURES: Final = (
    ("system", "system_output_tokens_per_s", "count:tokens/s", True),
    ("request p50", "output_tokens_per_s_p50", "count:tokens/s", True),
    ("TTFT p95", "ttft_ms_p95", "ms", False),
    ("E2E p95", "e2e_ms_p95", "ms", False),
)
_NAMES: Final = tuple(name for name, *_ in _FIGURES)
_APART: Final = 0.02  # below this a change has no colour
# Of a level that only one of the two has; Grafana calculates it all the same.
_NO_CHANGE: Final = {
    "type": "special",
    "options": {"match": "nan", "result": {"text": "-", "color": "text", "index": 0}},
}


def _levels(run: str, mark: str) -> Query:
    columns = {f"{name}{mark}": field for name, field, _, _ in _FIGURES}
    return Query(select({"level": "title", **columns}, "llm_level", run), table=True)


def _calculated(left: str, operator: str, right: str, name: str) -> dict[str, Any]:
    binary = {"left": left, "operator": operator, "right": right}
    return {
        "id": "calculateField",
        "options": {"mode": "binary", "binary": binary, "alias": name, "replaceFields": False},
    }


def _arranged() -> dict[str, Any]:
    order = ["level", *(f"{name}{part}" for name in _NAMES for part in (", baseline", "", ", change"))]
    hidden = [*(f"{name}, ratio" for name in _NAMES), "Time", "Time 1", "Time 2"]
    return {
        "id": "organize",
        "options": {
            "excludeByName": dict.fromkeys(hidden, True),
            "indexByName": {name: n for n, name in enumerate(order)},
        },
    }


def _change(name: str, *, more_is_better: bool) -> dict[str, Any]:
    low, high = ("red", "green") if more_is_better else ("green", "red")
    return override(
        f"{name}, change",
        unit="percentunit",
        decimals=1,
        custom__cellOptions={"type": "color-text"},
        thresholds=steps(low, ((-_APART, "text"), (_APART, high))),
        mappings=[_NO_CHANGE],
    )


_CHANGES: Final = table(
    "Differences of the levels",
    "none",
    "Level for level, baseline and run, and change: run / baseline - 1. Green is better by over 2 %, red "
    "worse by over 2 %, which is no statement about chance: repeat both. System: output tokens that "
    "arrived in the level's windows over their length. The others over its measured requests that ended "
    "well. Levels that only one of the two has, have one side.",
    _levels(RUN, ""),
    _levels(OF_BASELINE, ", baseline"),
    no_value="-",
    transformations=(
        {"id": "joinByField", "options": {"byField": "level", "mode": "outer"}},
        *(_calculated(name, "/", f"{name}, baseline", f"{name}, ratio") for name in _NAMES),
        *(_calculated(f"{name}, ratio", "-", "1", f"{name}, change") for name in _NAMES),
        _arranged(),
    ),
    overrides=(
        *(override(f"/^{name}(, baseline)?$/", unit=unit) for name, _, unit, _ in _FIGURES),
        *(_change(name, more_is_better=more) for name, _, _, more in _FIGURES),
    ),
)

_RUN_COLUMNS: Final = {
    **{name: name for name in ("run", "state", "verdict")},
    "model": "model_id",
    "backend": "backend",
    "hardware": "hardware_label",
    "name": "name",
    "labels": "labels",
    "best": "best_system_output_tokens_per_s",
    "at": "best_title",
    "errors": "error_percent",
    "SLO met": "slo_met",
    "succeeded": "succeeded",
    "tokens": "output_tokens",
    "lost": "points_lost",
    **{name: name for name in ("workers", "version", "begin_ms", "end_ms")},
}
_CHOSEN: Final = tuple(f'"{tag}" =~ /^${{{tag}:regex}}$/' for tag in ("model", "backend", "hardware"))
_RUNS: Final = table(
    "Runs",
    "none",
    "All runs with the chosen model, backend and hardware, newest first, 500 at most; a click on an id "
    "opens Live run over that run's time. Best: the highest system output tokens/s of its levels, and at "
    "which. Errors: failed / (succeeded + failed). Verdict: can the client's figures be trusted? "
    "Lost: points not in InfluxDB when it was over.",
    Query(select(_RUN_COLUMNS, "llm_run", *_CHOSEN, tail="ORDER BY time DESC LIMIT 500"), table=True),
    no_value="-",
    overrides=(
        override(
            "run", custom__minWidth=250, links=[{"title": "Live run of ${__value.text}", "url": LIVE_LINK}]
        ),
        override("Time", displayName="started", custom__minWidth=160),
        override("verdict", mappings=[VERDICTS], custom__cellOptions={"type": "color-text"}),
        override("best", unit="count:tokens/s"),
        override("errors", unit="percent"),
        override("tokens", unit="count:tokens"),
        # Hidden and not left out, for the links need them: `hidden` to Grafana 11 and 12, `hideFrom` to 13.
        override(
            "/^(begin|end)_ms$/",
            custom__hidden=True,
            custom__hideFrom={"viz": True, "legend": True, "tooltip": True},
        ),
    ),
)

COMPARE_RUNS: Final = Dashboard(
    "tokenswarm-compare",
    "Compare runs",
    "One run against a baseline over elapsed time and level for level, and a table of all runs.",
    (MODEL, BACKEND, HARDWARE, RUN_ONE, BASELINE, WIDTH),
    (Row(9, _OVER_TIME[:2]), Row(9, _OVER_TIME[2:]), Row(9, (_CHANGES,)), Row(12, (_RUNS,))),
    of_one_run=False,
)
