"""Trust: may the figures of this run be believed? The client's health, its books, the points on their way, the token counts."""

from typing import Final

from harness.grafana.board import Dashboard, Row
from harness.grafana.definitions import OUTPUT
from harness.grafana.live_tiles import VERDICT
from harness.grafana.panels import Panel, fixed, override, series, stat, table
from harness.grafana.queries import (
    INTERVAL,
    RANGE,
    RUN,
    SETTLED,
    Query,
    by_worker,
    counter_rates,
    seconds,
    select,
    sub,
)
from harness.grafana.queries import WORKER as OF_WORKER
from harness.grafana.variables import BACKEND, HARDWARE, MODEL, RUN_ONE, WORKER

__all__ = ["TRUST"]

_LIMITS: Final = (
    "Dashed: from here on a second counts as suspect, and as invalid (docs/metrics.md, Was the client fit?)."
)
_NO_TIME: Final = {"id": "organize", "options": {"excludeByName": {"Time": True}}}


def _of_run(columns: dict[str, str]) -> Query:
    return Query(select(columns, "llm_run", RUN), table=True)


_MISSING: Final = select({"gone": 'MAX("seq") - COUNT("seq")'}, "llm_request", RUN, by="worker")
_HEAD: Final = (
    VERDICT,
    stat(
        "Points lost",
        "none",
        "Points made while load ran that were not in InfluxDB when the run was over, all processes, by "
        "their own books (created - delivered). `tokenswarm replay RUN --to-influx` brings them; this "
        "number stays.",
        _of_run({"lost": "points_lost"}),
        field="lost",
        no_value="not over yet",
        limits=((1.0, "red"),),
    ),
    stat(
        "Requests missing",
        "none",
        "Counted in the database itself: each worker numbers its requests, so the highest number less how "
        "many are here is how many are missing; all workers. Back to 0 after a replay.",
        Query(select({"missing": 'SUM("gone")'}, sub(_MISSING)), table=True),
        field="missing",
        no_value="none yet",
        limits=((1.0, "red"),),
    ),
    stat(
        "Counted by the server",
        "percent",
        "Share of the run's output tokens that the server counted (its usage figures); the rest was "
        "counted by a tokenizer of ours or estimated. Estimated ones make a run suspect.",
        _of_run({"counted": "server_counted_percent"}),
        field="counted",
        no_value="not over yet",
    ),
    table(
        "State and reasons",
        "string",
        "What the run's end says: state (running; then complete, or incomplete where results are missing), "
        "verdict and all its reasons, the worst first; SLO met: whether every --slo was.",
        _of_run({"state": "state", "verdict": "verdict", "SLO met": "slo_met", "reasons": "reasons"}),
        no_value="-",
        transformations=(_NO_TIME,),
        overrides=(
            override("/^(state|verdict|SLO met)$/", custom__width=100),
            # Grafana 13 has it beside the cell's options, 11 and 12 in them.
            override(
                "reasons", custom__wrapText=True, custom__cellOptions={"type": "auto", "wrapText": True}
            ),
        ),
    ),
)


def _health(title: str, unit: str, description: str, field: str, *limits: float) -> Panel:
    """The worst second of each worker; `limits`: suspect and invalid from here on."""
    return series(
        title,
        unit,
        f"{description} One line a worker; of an interval its worst second. {_LIMITS if limits else ''}".strip(),
        by_worker("llm_client", f'MAX("{field}")'),
        gap_s=5,
        no_value="nothing heard in this time",
        limits=tuple(zip(limits, ("orange", "red"), strict=False)),
    )


_LATE: Final = {"p99": 'PERCENTILE("late_send_ms", 99)', "latest": 'MAX("late_send_ms")'}
_CLIENT: Final = (
    _health(
        "Loop lag p99",
        "ms",
        "How late the worker's event loop came to what was due every 10 ms, p99 of a second. It moves "
        "sends and, where stamps are our own, everything else.",
        "loop_lag_ms_p99",
        *(50.0, 100.0),
    ),
    _health(
        "CPU of workers",
        "percent",
        "User and system time of the process, of one core. Above 85 % it is the client that sets the pace.",
        "cpu_percent",
        *(85.0, 90.0),
    ),
    _health(
        "Waited for a core",
        "percent",
        "Of the time the reading thread wanted to run, the share it had to wait for a core (Linux's "
        "run-queue delay).",
        "waited_percent",
        *(50.0, 75.0),
    ),
    series(
        "Late sends",
        "ms",
        "Sent - due, a connection's set-up included, of the requests that ended in an interval, all chosen "
        "workers together: p99 and the latest, from the points of single requests. Late sends: the load "
        "was not the one asked for. Dashed: where docs/metrics.md draws its limits, for sends without the "
        "set-up.",
        Query(select(_LATE, "llm_request", RANGE, RUN, OF_WORKER, every=INTERVAL)),
        gap_s=10,
        no_value="nothing sent in this time",
        limits=((50.0, "orange"), (100.0, "red")),
        overrides=(fixed("p99", "blue"), fixed("latest")),
    ),
    _health(
        "Delay of reads p99",
        "ms",
        "From the kernel's stamp on arriving bytes to our read of them, p99 of a second. It is in no "
        "figure, but events that come meanwhile are read as one.",
        "read_delay_ms_p99",
        *(25.0, 75.0),
    ),
    _health(
        "Garbage collector",
        "ms",
        "Pauses of Python's garbage collector in a second, together. It is off under load and called by us.",
        "gc_ms",
    ),
)

_WORKER_COLUMNS: Final = {
    **{name: name for name in ("worker", "state", "host")},
    "joined": "joined_s",
    "last heard": "last_heard_s",
    "silence": "longest_silence_s",
    "clock": "clock_offset_ms",
    "clock known to": "clock_uncertainty_ms",
    **{name: name for name in ("offered", "sent", "succeeded", "failed", "cancelled")},
    "points": "points_created",
    "points lost": "points_lost",
}
_WORKERS: Final = table(
    "Workers",
    "none",
    "Each worker's latest word. Silence: the longest between two of its reports, over 3 s is suspect. "
    "Clock: ahead of the run's, and half the round trip this is known by, over 5 ms is suspect. Offered = "
    "succeeded + failed + cancelled when it is over. Points lost: made by it and not delivered.",
    Query(select(_WORKER_COLUMNS, "llm_worker", RUN), table=True),
    no_value="-",
    transformations=(_NO_TIME,),
    overrides=(
        override("/^(joined|last heard|silence)$/", unit="s"),
        override("/^clock/", unit="ms"),
        override("worker", custom__minWidth=140),
    ),
)

_WRITER_COLUMNS: Final = {
    **{
        name: f'LAST("{name}")'
        for name in ("created", "delivered", "queued", "spooled", "dropped", "refused", "retries")
    },
    "write": 'LAST("write_ms")',
    "CPU": 'LAST("cpu_percent")',
}
_WRITERS: Final = table(
    "Points on their way",
    "none",
    "Each process's latest word on its points: made, taken by InfluxDB, waiting in memory and on disk, "
    "given up for want of room, and refused. Retries are writes. Write: how long the last one took. CPU: "
    "of a core, for all of this. The last word is written before the last points have gone, so at the end "
    "of a run a few seem to wait.",
    Query(select(_WRITER_COLUMNS, "llm_writer", RUN, by="worker"), table=True),
    no_value="-",
    transformations=(_NO_TIME,),
    overrides=(
        override("write", unit="ms"),
        override("CPU", unit="percent", decimals=1),
        override("worker", custom__minWidth=140),
    ),
)

_GROWN: Final = select(
    {"grown": 'NON_NEGATIVE_DIFFERENCE("generated_tokens_total")'}, "llm_server", RANGE, RUN
)
_COUNTS: Final = (
    series(
        "Estimated against counted",
        "count:tokens/s",
        "Output tokens a second as they were estimated from reads while responses streamed, and as they "
        "were put right when these had ended and the server's count was there. All workers, mean over the "
        "seconds of an interval. Far apart for long: the server's events do not carry what we think, and "
        "the live view misleads until responses end; totals do not. A replayed run has no estimates.",
        seconds({"estimated on arrival": 'SUM("output_tokens_at_first")', "counted": OUTPUT}),
        no_value="no run here in this time",
        overrides=(fixed("estimated on arrival", "orange"), fixed("counted", "green")),
    ),
    series(
        "The server's count against ours",
        "count:tokens/s",
        "Output tokens a second by the server's own counter (/metrics, read about once a second) and by "
        "the responses we got. The server's above ours: other clients, or requests that were given up and "
        "went on there. Below: some servers count a request when it ends.",
        counter_rates({"server": "generated_tokens_total"}),
        seconds({"ours": OUTPUT}),
        gap_s=10,
        no_value="the server publishes none",
        overrides=(fixed("server", "purple"), fixed("ours", "green")),
    ),
    stat(
        "Tokens by the server",
        "short",
        "By how much the server's own counter of output tokens grew in the time shown, restarts left out. "
        "Compare over a whole run with the tile beside it; within 2 % is equal.",
        Query(select({"tokens": 'SUM("grown")'}, sub(_GROWN))),
        no_value="it publishes none",
        defaults={"decimals": 1},
    ),
    stat(
        "Tokens by us",
        "short",
        "Output tokens that arrived in the time shown, all workers, any outcome, corrections included.",
        Query(select({"tokens": OUTPUT}, "llm_second", RANGE, SETTLED, RUN)),
        no_value="no run",
        defaults={"decimals": 1},
    ),
)

TRUST: Final = Dashboard(
    "tokenswarm-trust",
    "Trust",
    "May the figures of this run be believed? Verdict, the client's health, late sends, workers, lost "
    "points, token counts.",
    (MODEL, BACKEND, HARDWARE, RUN_ONE, WORKER),
    (
        Row(5, _HEAD, (3, 3, 3, 3, 12)),
        Row(8, _CLIENT[:3]),
        Row(8, _CLIENT[3:]),
        Row(7, (_WORKERS,)),
        Row(7, (_WRITERS,)),
        Row(8, _COUNTS, (8, 8, 4, 4)),
    ),
    refresh="10s",
    since="now-15m",
)
