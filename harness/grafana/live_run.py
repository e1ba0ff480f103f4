"""Live run: what happens now. Read by whoever watches a run, and afterwards by whoever asks when something happened."""

from typing import Final

from harness.grafana.board import Dashboard, Row
from harness.grafana.definitions import ONE_REQUEST, OUTPUT, SKETCHED, SYSTEM, TTFT
from harness.grafana.live_tiles import ERROR_LIMITS, ERRORS, TILES
from harness.grafana.panels import COLOURS, Panel, fixed, override, series, table
from harness.grafana.queries import INTERVAL, RANGE, RUN, SETTLED, Query, gauges, percentiles, seconds, select
from harness.grafana.variables import BACKEND, HARDWARE, MODEL, RUN_ONE

__all__ = ["LIVE_RUN"]

_NO_RUN: Final = "no run here in this time"
_ON_THE_RIGHT: Final = {
    "custom__axisPlacement": "right",
    "custom__axisLabel": "one request",
    "custom__spanNulls": 10_000,
}

_MONEY: Final = series(
    "System and per-request throughput against the load",
    "count:tokens/s",
    f"Left: what the server gives to all. {SYSTEM} Right: what one user gets. {ONE_REQUEST} {SKETCHED} p10: "
    "nine of ten requests are faster. Steps in grey: the load that the run holds (users, requests/s or tokens, "
    "whichever its levels are of), on an axis of its own that is not drawn (the number is in the legend).",
    seconds({"system": OUTPUT}),
    percentiles({"per request p50": "output_tokens_per_s_p50", "per request p10": "output_tokens_per_s_p10"}),
    gauges("llm_load", {"load": 'LAST("value")'}),
    no_value=_NO_RUN,
    overrides=(
        fixed("system", "green", custom__fillOpacity=10, custom__axisLabel="system"),
        *(fixed(f"per request {q}", COLOURS[q], **_ON_THE_RIGHT) for q in ("p50", "p10")),
        fixed(
            "load",
            unit="none",
            custom__axisPlacement="hidden",
            custom__lineInterpolation="stepAfter",
            custom__lineWidth=1,
            custom__fillOpacity=8,
        ),
    ),
)


def _latency(title: str, unit: str, figure: str, formula: str) -> Panel:
    quantiles = ("p50", "p90", "p95", "p99")
    return series(
        title,
        unit,
        f"{formula} {SKETCHED}",
        percentiles({q: f"{figure}_{q}" for q in quantiles}),
        gap_s=10,
        no_value="not measured in this time",
        overrides=tuple(fixed(q, COLOURS[q]) for q in quantiles),
    )


_LATENCIES: Final = (
    _latency("Time to first token", "ms", "ttft_ms", TTFT),
    _latency(
        "Time per output token",
        "suffix:ms/token",
        "tpot_ms",
        "TPOT: (last content - first content) / (output tokens - 1). Responses of two tokens or more.",
    ),
    _latency(
        "End-to-end time",
        "ms",
        "e2e_ms",
        "E2E: last content event - first byte sent. The end mark that follows is not in it.",
    ),
)

_FLOW: Final = (
    series(
        "In flight and backlog",
        "count:req",
        "At the end of each second, all workers together; of a wider interval the mean over its seconds. "
        "In flight: due and not over. Backlog: of these not sent yet, for they wait for a connection or, in an open "
        "loop, for --max-concurrency; held back: those that wait for --max-concurrency. Users: that are up; in an "
        "open loop each arrival brings one. In flight below users: somebody thinks, or has nothing left to do.",
        seconds({"in flight": 'SUM("in_flight")', "backlog": 'SUM("waiting")', "users": 'SUM("users")'}),
        gauges("llm_load", {"held back": 'LAST("backlog")'}),
        no_value=_NO_RUN,
        overrides=(
            fixed("in flight", "blue"),
            fixed("backlog", "orange"),
            fixed("held back", "red", custom__lineStyle={"fill": "dash", "dash": [8, 6]}),
            fixed("users", custom__lineInterpolation="stepAfter", custom__lineWidth=1),
        ),
    ),
    series(
        "Arrivals and completions",
        "reqps",
        "Requests a second, all workers together. Scheduled: that were due; in an open loop these are the arrivals. Sent: whose first byte went "
        "out. Completed: that ended well. Scheduled above sent: the client or its connections do not keep "
        "up; sent above completed: the server's queue grows, or requests fail.",
        seconds({"scheduled": 'SUM("scheduled")', "sent": 'SUM("sent")', "completed": 'SUM("succeeded")'}),
        no_value=_NO_RUN,
        overrides=(fixed("scheduled"), fixed("sent", "blue"), fixed("completed", "green")),
    ),
    series(
        "Goodput",
        "reqps",
        "Requests a second that ended well, and of these the ones that met every --slo on a single request "
        "(DistServe's goodput), all workers together. A request of which a figure with an --slo could not "
        "be measured is not good.",
        seconds({"ended well": 'SUM("succeeded")'}),
        seconds({"good": 'SUM("good")'}),
        no_value=_NO_RUN,
        overrides=(fixed("ended well"), fixed("good", "green", custom__fillOpacity=20)),
    ),
)

_BY_CLASS: Final = select(
    {"errors": 'SUM("requests") / ($__interval_ms / 1000)'},
    "llm_error",
    RANGE,
    RUN,
    every=INTERVAL,
    by="error_class",
    fill="none",
)
_ERRORS: Final = (
    series(
        "Errors by class",
        "reqps",
        "Failed requests a second by class, all workers together, stacked: those of an interval over its "
        "whole length, so bars at the edges of the time shown may be too low. No bar is no error. "
        "Cancelled requests (we gave up) are none.",
        Query(_BY_CLASS, "$tag_error_class"),
        no_value="no errors in this time",
        style={
            "drawStyle": "bars",
            "lineWidth": 0,
            "fillOpacity": 80,
            "stacking": {"mode": "normal", "group": "A"},
        },
        # Each class its own red: the palette begins with green.
        defaults={"color": {"mode": "shades", "fixedColor": "red"}},
    ),
    series(
        "Error rate",
        "percent",
        "Failed / (succeeded + failed) of the requests that ended in an interval, all workers. From 1 % on "
        "a level is suspect: its latencies are of those that survived; above 20 % invalid.",
        Query(select({"errors": ERRORS}, "llm_second", RANGE, SETTLED, RUN, every=INTERVAL)),
        gap_s=10,
        style={"axisSoftMax": 5},
        no_value="nothing ended in this time",
        limits=ERROR_LIMITS,
        colour="red",
    ),
)

_SLOWEST: Final = {
    "e2e": 'TOP("e2e_ms", 50)',
    "ttft": "ttft_ms",
    "tpot": "tpot_ms",
    "prompt": "prompt_tokens",
    "output": "output_tokens",
    "level": "level",
    **{name: name for name in ("phase", "worker", "outcome", "request_id")},
}
_SINGLE: Final = table(
    "Slowest requests",
    "none",
    "The 50 requests that took longest of those that ended in the time shown, any phase; a request's "
    "figures as in requests.parquet. Each is a point of its own: a long time of a large run takes a while "
    "to search.",
    Query(select(_SLOWEST, "llm_request", RANGE, RUN), table=True),
    sort="e2e",
    no_value="-",
    overrides=(
        override("/^(e2e|ttft|tpot)$/", unit="ms"),
        override("/^(prompt|output)$/", unit="count:tokens"),
        override("Time", displayName="ended", custom__minWidth=160),
    ),
)

LIVE_RUN: Final = Dashboard(
    "tokenswarm-live",
    "Live run",
    "One run while it goes on: system and per-request throughput against the load, latencies, load, "
    "errors, goodput.",
    (MODEL, BACKEND, HARDWARE, RUN_ONE),
    (
        Row(5, TILES, (4, 3, 3, 3, 2, 3, 3, 3)),
        Row(11, (_MONEY,)),
        Row(10, _LATENCIES),  # so that the fourth line of a legend is seen, too
        Row(10, _FLOW),
        Row(8, _ERRORS),
        Row(10, (_SINGLE,), title="Single requests", folded=True),
    ),
    refresh="5s",
    since="now-15m",
)
