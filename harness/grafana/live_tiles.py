"""The first row of Live run: is all well? And the verdict, which Trust has too."""

from typing import Final

from harness.grafana.definitions import ONE_REQUEST, OUTPUT, SKETCHED, SYSTEM, TTFT
from harness.grafana.panels import mapping, stat
from harness.grafana.queries import RANGE, RUN, SETTLED, Query, percentiles, seconds, select, sub

__all__ = ["ERRORS", "ERROR_LIMITS", "TILES", "VERDICT", "VERDICTS"]

ERRORS: Final = '100 * SUM("failed") / (SUM("succeeded") + SUM("failed"))'
ERROR_LIMITS: Final = ((1.0, "orange"), (20.0, "red"))
VERDICTS: Final = mapping(
    {"valid": ("valid", "green"), "suspect": ("suspect", "orange"), "invalid": ("invalid", "red")}
)
VERDICT: Final = stat(
    "Verdict",
    "string",
    "Can the client's figures be trusted? Judged when the run is over, from its own health, its books and "
    "the server's counts (docs/metrics.md, The run). The reasons are in the dashboard Trust.",
    Query(select({"verdict": "verdict"}, "llm_run", RUN), table=True),
    field="verdict",
    no_value="not over yet",
    mappings=(VERDICTS,),
)
_GONE: Final = select({"gone": 'LAST("dropped") + LAST("refused")'}, "llm_writer", RUN, by="worker")

TILES: Final = (
    stat(
        "System tokens/s",
        "count:tokens/s",
        f"Now: the newest point of the chart below. {SYSTEM} Best: of the run's levels, when it is over: "
        "output tokens that arrived in the level's windows over their length.",
        seconds({"now": OUTPUT}),
        Query(select({"best": "best_system_output_tokens_per_s"}, "llm_run", RUN)),
        line=True,
        no_value="no run",
        colour="green",
    ),
    stat(
        "Per-request p50",
        "count:tokens/s",
        f"Of the newest 3 seconds. {ONE_REQUEST} {SKETCHED}",
        percentiles({"p50": "output_tokens_per_s_p50"}, "none"),
        line=True,
        no_value="none yet",
        colour="blue",
    ),
    stat(
        "TTFT p95",
        "ms",
        f"Of the newest 3 seconds. {TTFT} {SKETCHED}",
        percentiles({"p95": "ttft_ms_p95"}, "none"),
        line=True,
        no_value="none yet",
        colour="orange",
    ),
    stat(
        "Errors",
        "percent",
        "Failed requests / (succeeded + failed) that ended in the time shown, all workers; cancelled ones "
        "are in neither. From 1 % on a level is suspect, above 20 % invalid.",
        Query(select({"errors": ERRORS}, "llm_second", RANGE, SETTLED, RUN)),
        no_value="none yet",
        limits=ERROR_LIMITS,
    ),
    stat(
        "In flight",
        "none",
        "Requests that are due and not over, at the end of the newest second, all workers together. "
        "Those that wait for a connection or, in an open loop, for --max-concurrency are among them.",
        seconds({"in flight": 'SUM("in_flight")'}),
        line=True,
        no_value="no run",
    ),
    stat(
        "Good requests",
        "percent",
        "Of the requests that ended in the time shown (failed and cancelled ones too) the share that ended "
        "well and met every --slo on a single request.",
        Query(
            select(
                {"good": '100 * SUM("good") / (SUM("succeeded") + SUM("failed") + SUM("cancelled"))'},
                *("llm_second", RANGE, SETTLED, RUN),
            )
        ),
        no_value="no --slo",
    ),
    VERDICT,
    stat(
        "Points given up",
        "none",
        "Points that found no room on their way to InfluxDB or that it refused, all processes; what still "
        "waits is not lost. Not 0: what is drawn here is incomplete, the run's own files are not; "
        "`tokenswarm replay RUN --to-influx` brings what is missing.",
        Query(select({"lost": 'SUM("gone")'}, sub(_GONE)), table=True),
        field="lost",
        no_value="none yet",
        limits=((1.0, "red"),),
    ),
)
