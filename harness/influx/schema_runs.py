"""What is written of a run as a whole, by the process that directs it. Pure."""

from typing import Final

from harness.influx.fields import Measurement, count, number, quantiles, text

__all__ = ["EVENT", "LEVEL", "LOAD", "PERCENTILES", "RUN", "SERVER", "WORKER"]

RUN: Final = Measurement(
    "llm_run",
    "One point a run: what it is, and when it is over what came of it.",
    "the process that directs the run",
    "when its directory was made: `started_at` of run.json",
    ("run", "model", "backend", "hardware"),
    {
        "model_id": text("the model, to the letter; the tag has it without what a tag cannot hold"),
        "hardware_label": text("--label hardware=..., to the letter"),
        "state": text("running; then complete or incomplete"),
        "name": text("--run-name"),
        "host": text("the server's address, without login, path or query"),
        "api_mode": text("which of the backend's APIs"),
        "server": text("what the server says it is"),
        "labels": text("all --label k=v, joined by commas"),
        "prompt_tokens_asked": text("the distribution of prompt sizes"),
        "output_tokens_asked": text("the distribution of output sizes"),
        "slo": text("the service levels asked for with --slo, joined by commas"),
        "version": text("tokenswarm's version"),
        "workers": count("worker processes; 1 in a local run"),
        "begin_ns": count("when load began, Unix ns", "ns"),
        "end_ns": count(
            "when the results were written, Unix ns; while it runs when this was last written", "ns"
        ),
        "begin_ms": count("the same in Unix ms, for links", "ms"),
        "end_ms": count("the same in Unix ms, for links", "ms"),
        "verdict": text("valid, suspect or invalid: whether the client can be trusted"),
        "reasons": text("why, joined by semicolons"),
        "slo_met": text("yes or no; absent without --slo"),
        "offered": count("requests given to users"),
        "succeeded": count("of these with outcome ok"),
        "failed": count("of these that failed"),
        "cancelled": count("of these that we gave up"),
        "output_tokens": count("output tokens of all requests, from requests.parquet", "tokens"),
        "prompt_tokens": count("prompt tokens of all requests, from requests.parquet", "tokens"),
        "best_system_output_tokens_per_s": number("tokens/s", "the highest of its levels"),
        "best_level": count(
            "the level at which it was reached: users, or its number in a sweep over anything else"
        ),
        "best_title": text("the same in words, e.g. 8 users or 5 req/s"),
        "error_percent": number("percent", "failed / (succeeded + failed)"),
        "server_counted_percent": number(
            "percent", "of the measured answers whose tokens anybody counted, those that the server did"
        ),
        "points_created": count("points that its processes made while load ran", "points"),
        "points_lost": count(
            "of these not in InfluxDB when the run was over; `tokenswarm replay` brings them", "points"
        ),
    },
    rewritten=True,
)

PERCENTILES: Final = Measurement(
    "llm_percentiles",
    "Percentiles over the requests of all workers that ended well in an interval, from merged sketches (within 1 %). While load "
    "runs an interval has what was heard in it, and workers report every 3 s; replayed, it has what ended in it.",
    "the process that directs the run, every 3 s",
    "the interval's start, a multiple of 3 s",
    ("run",),
    {
        **quantiles("of the interval's measured requests"),
        "requests": count("measured requests that ended well in it", "requests"),
        "level": count("the level held: users, or its number in a sweep over anything else"),
    },
    rewritten=True,
)

LOAD: Final = Measurement(
    "llm_load",
    "What the run wants, each second.",
    "the process that directs the run",
    "the second's start, a whole second",
    ("run",),
    {
        "level": count(
            "the level under way: users wanted, or its number in a sweep over anything else; 0 while users come up or go"
        ),
        "value": number(
            "",
            "what it holds, by number: users, requests/s, or tokens; 0 as above; absent where one number does not say it",
        ),
        "step": count("which step of the sweep: 1, 2, ..."),
        "steps": count("of how many; absent without a sweep, and in a search"),
        "done_percent": number("percent", "of the step's requests; absent where it has no number of them"),
        "backlog": count(
            "open loop: arrivals that are due and wait for --max-concurrency, as last reported (every 3 s); replayed: those that were sent later; "
            "absent in a closed loop",
            "requests",
        ),
        "workers": count("workers heard"),
        "workers_missing": count("workers that were there and are not heard"),
        "t_s": number("s", "since load began"),
    },
    rewritten=True,
)

LEVEL: Final = Measurement(
    "llm_level",
    "One point a level: while load runs from sketches, when the run is over as in summary.json.",
    "the process that directs the run",
    "`started_at` of run.json, and `level` ns",
    ("run", "level"),
    {
        "concurrency": count("users; absent in an open loop, where arrivals decide", "users"),
        "title": text("what it held, e.g. 8 users, 5 req/s or 1024 prompt tokens"),
        "value": number(
            "", "the same as a number: users, requests/s, or tokens; absent where one number does not say it"
        ),
        "rate": number("requests/s", "arrivals asked for, in a sweep over rates"),
        "arrivals_per_s": number("requests/s", "requests that were due in the windows"),
        "in_flight_mean": number("requests", "under way at once, mean over the windows"),
        "unsent": count("arrivals that were due and never sent; absent in a closed loop", "requests"),
        "final": count("1: as in summary.json; 0: so far"),
        "window_s": number("s", "how long was measured, all repeats together"),
        "requests": count("measured requests", "requests"),
        "failed": count("of these failed", "requests"),
        "error_percent": number("percent", "failed / measured"),
        "goodput_percent": number(
            "percent", "share of offered requests that met every --slo on a single request"
        ),
        "goodput_requests_per_s": number("requests/s", "requests that met every --slo on a single request"),
        "requests_per_s": number("requests/s", "requests that ended well"),
        "system_output_tokens_per_s": number(
            "tokens/s", "output tokens that arrived in the window, over its length"
        ),
        "system_prompt_tokens_per_s": number(
            "tokens/s", "prefill: prompt tokens of requests whose first token came in the window"
        ),
        "system_total_tokens_per_s": number("tokens/s", "both together"),
        **quantiles("of the level's measured requests"),
        "request_output_tokens_per_s_mean": number(
            "tokens/s", "mean rate of one request after its first token"
        ),
        "slo_met": text("yes or no; absent without --slo"),
    },
    rewritten=True,
)

EVENT: Final = Measurement(
    "llm_event",
    "Something that happened: drawn as an annotation.",
    "the process that directs the run",
    "when it happened, moved by some ns where two happened at once",
    ("run", "kind"),
    {
        "title": text("in a few words"),
        "text": text("in full"),
        "level": count("the level then: users, or its number in a sweep over anything else"),
    },
)

WORKER: Final = Measurement(
    "llm_worker",
    "One point a worker, its latest word.",
    "the process that directs the run, every 5 s and when the run is over",
    "`started_at` of run.json",
    ("run", "worker"),
    {
        "state": text("running; then ended, left or lost"),
        "host": text("where it runs"),
        "joined_s": number("s", "after load began"),
        "last_heard_s": number("s", "after load began"),
        "longest_silence_s": number("s", "between two of its reports"),
        "clock_offset_ms": number("ms", "its clock ahead of the run's"),
        "clock_uncertainty_ms": number("ms", "half the round trip of the best exchange"),
        "offered": count("requests given to its users"),
        "sent": count("of these with a byte out"),
        "succeeded": count("of these with outcome ok"),
        "failed": count("of these that failed"),
        "cancelled": count("of these that we gave up"),
        "points_created": count("points it made", "points"),
        "points_lost": count("of these not delivered", "points"),
    },
    rewritten=True,
)

SERVER: Final = Measurement(
    "llm_server",
    "One look at the server's own metrics.",
    "the process that directs the run",
    "when its page had come",
    ("run",),
    {
        "queued": number("requests", "requests that wait"),
        "running": number("requests", "requests being worked on"),
        "kv_cache_usage_percent": number("percent", "of the fullest engine's KV cache"),
        "prompt_tokens_total": number("tokens", "counter"),
        "generated_tokens_total": number("tokens", "counter"),
        "prefix_cache_hits_total": number("tokens", "prompt tokens taken from its cache, counter"),
        "prefix_cache_queries_total": number("tokens", "prompt tokens looked up in it, counter"),
        "preemptions_total": number("requests", "thrown out of the KV cache and begun again, counter"),
        "requests_total": number("requests", "finished, counter"),
    },
)
