"""Every measurement, tag and field that is written to InfluxDB: names, kinds, units and what they mean.

Whoever writes a point takes the field's kind from here, so that a field never changes its type; whoever queries (the
dashboards) may name only what is here. docs/monitoring.md shows these tables, and a test compares.

Every point is one of a kind: measurement, tags and time never meet twice, unless one is meant to take the place of the other
(`rewritten`). So a point may be sent again, by a retry or by `tokenswarm replay`, and is still there once.

Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["MEASUREMENTS", "QUANTILES", "Field", "Measurement"]

Kind = Literal["int", "float", "string", "bool"]


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a point. A value that was not measured is left out of the point, never 0."""

    kind: Kind
    unit: str  # "" for what has none: names, counts
    meaning: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """One kind of point."""

    name: str
    meaning: str
    writer: str  # who writes it
    time: str  # which moment a point's time is
    tags: tuple[str, ...]  # `run` first
    fields: Mapping[str, Field]
    rewritten: bool = False  # the same point is written again, later with more


def _n(meaning: str, unit: str = "") -> Field:
    return Field("int", unit, meaning)


def _f(unit: str, meaning: str) -> Field:
    return Field("float", unit, meaning)


def _s(meaning: str) -> Field:
    return Field("string", "", meaning)


QUANTILES: Final[Mapping[str, tuple[str, ...]]] = {
    "ttft_ms": ("p50", "p90", "p95", "p99"),
    "tpot_ms": ("p50", "p90", "p95", "p99"),
    "e2e_ms": ("p50", "p90", "p95", "p99"),
    "output_tokens_per_s": ("p10", "p50", "p90"),
}
"""Which quantiles of which figure of a request are written: `<figure>_<quantile>`."""

_UNITS: Final = {"ttft_ms": "ms", "tpot_ms": "ms/token", "e2e_ms": "ms", "output_tokens_per_s": "tokens/s"}
_WORDS: Final = {
    "ttft_ms": "time to first token",
    "tpot_ms": "time per output token after the first",
    "e2e_ms": "request sent to last content",
    "output_tokens_per_s": "rate of one request after its first token",
}


def _quantiles(of: str) -> dict[str, Field]:
    return {
        f"{figure}_{quantile}": Field("float", _UNITS[figure], f"{quantile} of {_WORDS[figure]}, {of}")
        for figure, quantiles in QUANTILES.items()
        for quantile in quantiles
    }


_RUN: Final = Measurement(
    "llm_run",
    "One point a run: what it is, and when it is over what came of it.",
    "the process that directs the run",
    "when its directory was made: `started_at` of run.json",
    ("run", "model", "backend", "hardware"),
    {
        "model_id": _s("the model, to the letter; the tag has it without what a tag cannot hold"),
        "hardware_label": _s("--label hardware=..., to the letter"),
        "state": _s("running; then complete or incomplete"),
        "name": _s("--run-name"),
        "host": _s("the server's address, without login, path or query"),
        "api_mode": _s("which of the backend's APIs"),
        "server": _s("what the server says it is"),
        "labels": _s("all --label k=v, joined by commas"),
        "prompt_tokens_asked": _s("the distribution of prompt sizes"),
        "output_tokens_asked": _s("the distribution of output sizes"),
        "slo": _s("the service levels asked for with --slo, joined by commas"),
        "version": _s("tokenswarm's version"),
        "workers": _n("worker processes; 1 in a local run"),
        "begin_ns": _n("when load began, Unix ns", "ns"),
        "end_ns": _n(
            "when the results were written, Unix ns; while it runs when this was last written", "ns"
        ),
        "begin_ms": _n("the same in Unix ms, for links", "ms"),
        "end_ms": _n("the same in Unix ms, for links", "ms"),
        "verdict": _s("valid, suspect or invalid: whether the client can be trusted"),
        "reasons": _s("why, joined by semicolons"),
        "slo_met": _s("yes or no; absent without --slo"),
        "offered": _n("requests given to users"),
        "succeeded": _n("of these with outcome ok"),
        "failed": _n("of these that failed"),
        "cancelled": _n("of these that we gave up"),
        "output_tokens": _n("output tokens of all requests, from requests.parquet", "tokens"),
        "prompt_tokens": _n("prompt tokens of all requests, from requests.parquet", "tokens"),
        "best_system_output_tokens_per_s": _f("tokens/s", "the highest of its levels"),
        "best_level": _n("users at which it was reached"),
        "error_percent": _f("percent", "failed / (succeeded + failed)"),
        "server_counted_percent": _f("percent", "output tokens that the server counted, not we"),
        "points_created": _n("points that its processes made while load ran", "points"),
        "points_lost": _n(
            "of these not in InfluxDB when the run was over; `tokenswarm replay` brings them", "points"
        ),
    },
    rewritten=True,
)

_SECOND: Final = Measurement(
    "llm_second",
    "What one worker saw in one second. Sums over workers and seconds are meaningful.",
    "each worker, each second from its begin to its end",
    "the second's start, a whole second of the run's clock (the master's) as the worker knew it when load began",
    ("run", "worker"),
    {
        "scheduled": _n("requests that were due in it", "requests"),
        "sent": _n("requests whose first byte went out", "requests"),
        "succeeded": _n("requests that ended well", "requests"),
        "failed": _n("requests that failed", "requests"),
        "cancelled": _n("requests that we gave up", "requests"),
        "good": _n(
            "requests that ended well and met every --slo on a single request; absent without any", "requests"
        ),
        "output_tokens": _f(
            "tokens",
            "output tokens that arrived, whoever they belong to: while a response streams, estimated from its reads",
        ),
        "output_tokens_correction": _f(
            "tokens",
            "of responses that ended: what the server counted less what had been estimated. `output_tokens` and this together "
            "are exact over a run",
        ),
        "prompt_tokens": _f(
            "tokens", "prompt tokens of responses whose end came in it (replayed: whose first token did)"
        ),
        "in_flight": _n("requests given to users and not over, at its end", "requests"),
        "waiting": _n("of these not sent yet, at its end: waiting for a connection", "requests"),
        "users": _n("users that are up, at its end"),
    },
    rewritten=True,
)

_ERROR: Final = Measurement(
    "llm_error",
    "Failed requests of one worker in one second by class; no point where there was none.",
    "each worker",
    "the second's start, a whole second",
    ("run", "worker", "error_class"),
    {"requests": _n("requests that failed so", "requests")},
    rewritten=True,
)

_REQUEST: Final = Measurement(
    "llm_request",
    "One point a request, as in requests.parquet.",
    "the worker that sent it",
    "its end by the worker's own clock, moved by some ns where two of a worker ended at once",
    ("run", "worker", "outcome"),
    {
        "seq": _n("the worker's count of its requests: 1, 2, ...; a gap is a lost point"),
        "request_id": _s("the id, as in requests.parquet and sent to the server"),
        "name": _s("the request's name in Locust"),
        "level": _n("users held when it was sent"),
        "repeat": _n("which pass over the levels"),
        "phase": _s("warmup, measure or drain"),
        "error_class": _s("why it failed"),
        "http_status": _n("of the answer"),
        "finish_reason": _s("why the server stopped"),
        "ttft_ms": _f("ms", "time to first token"),
        "tpot_ms": _f("ms/token", "time per output token after the first"),
        "e2e_ms": _f("ms", "request sent to last content"),
        "output_tokens_per_s": _f("tokens/s", "rate of this request after its first token"),
        "late_send_ms": _f("ms", "sent less due"),
        "prompt_tokens": _n("as counted", "tokens"),
        "output_tokens": _n("as counted", "tokens"),
        "cached_tokens": _n("prompt tokens that the server had cached", "tokens"),
        "requested_prompt_tokens": _n("the size the prompt was made to", "tokens"),
        "requested_output_tokens": _n("the size asked for", "tokens"),
        "server_queue_ms": _f("ms", "the server's own timer"),
        "server_prefill_ms": _f("ms", "the server's own timer"),
        "server_decode_ms": _f("ms", "the server's own timer"),
    },
)

_PERCENTILES: Final = Measurement(
    "llm_percentiles",
    "Percentiles over the requests of all workers that ended well in an interval, from merged sketches (within 1 %).",
    "the process that directs the run, every 3 s",
    "the interval's start, a multiple of 3 s",
    ("run",),
    {
        **_quantiles("of the interval's measured requests"),
        "requests": _n("measured requests that ended well in it", "requests"),
        "level": _n("users held"),
    },
    rewritten=True,
)

_LOAD: Final = Measurement(
    "llm_load",
    "What the run wants, each second.",
    "the process that directs the run",
    "the second's start, a whole second",
    ("run",),
    {
        "level": _n("users wanted now: the level under way; 0 while they come up or go", "users"),
        "step": _n("which step of the sweep: 1, 2, ..."),
        "steps": _n("of how many; absent without --levels"),
        "done_percent": _f("percent", "of the step's requests; absent without --levels"),
        "workers": _n("workers heard"),
        "workers_missing": _n("workers that were there and are not heard"),
        "t_s": _f("s", "since load began"),
    },
    rewritten=True,
)

_LEVEL: Final = Measurement(
    "llm_level",
    "One point a level of concurrency: while load runs from sketches, when the run is over as in summary.json.",
    "the process that directs the run",
    "`started_at` of run.json, and `level` ns",
    ("run", "level"),
    {
        "concurrency": _n("users; the tag as a number", "users"),
        "final": _n("1: as in summary.json; 0: so far"),
        "window_s": _f("s", "how long was measured, all repeats together"),
        "requests": _n("measured requests", "requests"),
        "failed": _n("of these failed", "requests"),
        "error_percent": _f("percent", "failed / measured"),
        "goodput_percent": _f(
            "percent", "share of measured requests that met every --slo on a single request"
        ),
        "goodput_requests_per_s": _f("requests/s", "requests that met every --slo on a single request"),
        "requests_per_s": _f("requests/s", "requests that ended well"),
        "system_output_tokens_per_s": _f(
            "tokens/s", "output tokens that arrived in the window, over its length"
        ),
        "system_prompt_tokens_per_s": _f(
            "tokens/s", "prefill: prompt tokens of requests whose first token came in the window"
        ),
        "system_total_tokens_per_s": _f("tokens/s", "both together"),
        **_quantiles("of the level's measured requests"),
        "request_output_tokens_per_s_mean": _f("tokens/s", "mean rate of one request after its first token"),
        "slo_met": _s("yes or no; absent without --slo"),
    },
    rewritten=True,
)

_EVENT: Final = Measurement(
    "llm_event",
    "Something that happened: drawn as an annotation.",
    "the process that directs the run",
    "when it happened, moved by some ns where two happened at once",
    ("run", "kind"),
    {
        "title": _s("in a few words"),
        "text": _s("in full"),
        "level": _n("users wanted then"),
    },
)

_CLIENT: Final = Measurement(
    "llm_client",
    "What one process noticed about itself in about a second: can its figures be trusted?",
    "each worker",
    "that second's start by the worker's own clock",
    ("run", "worker"),
    {
        "seconds": _f("s", "its length; a blocked process makes longer ones"),
        "cpu_percent": _f("percent", "of one core"),
        "waited_percent": _f("percent", "of the time it could have run and had no core"),
        "loop_lag_ms_p50": _f("ms", "how late its loop came to what was due, median"),
        "loop_lag_ms_p99": _f("ms", "the same, p99"),
        "loop_lag_ms_max": _f("ms", "the same, greatest"),
        "blocked_ms": _f("ms", "time in which its loop was over 10 ms late"),
        "read_delay_ms_p99": _f("ms", "bytes in the kernel until we read them, p99"),
        "read_delay_ms_max": _f("ms", "the same, greatest"),
        "reads": _n("reads from sockets"),
        "kernel_reads": _n("of these stamped by the kernel"),
        "gc_ms": _f("ms", "pauses of the garbage collector"),
        "clock_steps": _n("times that somebody set the clock"),
    },
)

_WORKER: Final = Measurement(
    "llm_worker",
    "One point a worker, its latest word.",
    "the process that directs the run, every 5 s and when the run is over",
    "`started_at` of run.json",
    ("run", "worker"),
    {
        "state": _s("running; then ended, left or lost"),
        "host": _s("where it runs"),
        "joined_s": _f("s", "after load began"),
        "last_heard_s": _f("s", "after load began"),
        "longest_silence_s": _f("s", "between two of its reports"),
        "clock_offset_ms": _f("ms", "its clock ahead of the run's"),
        "clock_uncertainty_ms": _f("ms", "half the round trip of the best exchange"),
        "offered": _n("requests given to its users"),
        "sent": _n("of these with a byte out"),
        "succeeded": _n("of these with outcome ok"),
        "failed": _n("of these that failed"),
        "cancelled": _n("of these that we gave up"),
        "points_created": _n("points it made", "points"),
        "points_lost": _n("of these not delivered", "points"),
    },
    rewritten=True,
)

_SERVER: Final = Measurement(
    "llm_server",
    "One look at the server's own metrics.",
    "the process that directs the run",
    "when its page had come",
    ("run",),
    {
        "queued": _f("requests", "requests that wait"),
        "running": _f("requests", "requests being worked on"),
        "kv_cache_usage_percent": _f("percent", "of the fullest engine's KV cache"),
        "prompt_tokens_total": _f("tokens", "counter"),
        "generated_tokens_total": _f("tokens", "counter"),
        "prefix_cache_hits_total": _f("tokens", "prompt tokens taken from its cache, counter"),
        "prefix_cache_queries_total": _f("tokens", "prompt tokens looked up in it, counter"),
        "preemptions_total": _f("requests", "thrown out of the KV cache and begun again, counter"),
        "requests_total": _f("requests", "finished, counter"),
    },
)

_WRITER: Final = Measurement(
    "llm_writer",
    "How one process's points get here.",
    "each process, every 5 s and at its end",
    "when it was written",
    ("run", "worker"),
    {
        "created": _n("points so far", "points"),
        "delivered": _n("of these taken by InfluxDB", "points"),
        "queued": _n("of these waiting in memory", "points"),
        "spooled": _n("of these waiting on disk", "points"),
        "dropped": _n("of these given up: no room", "points"),
        "refused": _n("of these not taken: InfluxDB said why", "points"),
        "retries": _n("writes tried again"),
        "write_ms": _f("ms", "the last write, from its first byte to the answer"),
        "cpu_percent": _f("percent", "of a core, for all of this"),
    },
)

MEASUREMENTS: Final[Mapping[str, Measurement]] = {
    one.name: one
    for one in (
        *(_RUN, _LEVEL, _LOAD, _SECOND, _ERROR, _REQUEST, _PERCENTILES),
        *(_EVENT, _SERVER, _CLIENT, _WORKER, _WRITER),
    )
}
