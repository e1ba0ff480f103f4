"""What is written by those who send, and of each process's own writing. Pure."""

from typing import Final

from harness.influx.fields import Measurement, count, number, text

__all__ = ["CLIENT", "ERROR", "REQUEST", "SECOND", "WRITER"]

SECOND: Final = Measurement(
    "llm_second",
    "What one worker saw in one second. Sums over workers and seconds are meaningful.",
    "each worker, each second from its begin to its end",
    "the second's start, a whole second of the run's clock (the master's) as the worker knew it when load began",
    ("run", "worker"),
    {
        "scheduled": count("requests that were due in it", "requests"),
        "sent": count("requests whose first byte went out", "requests"),
        "succeeded": count("requests that ended well", "requests"),
        "failed": count("requests that failed", "requests"),
        "cancelled": count("requests that we gave up", "requests"),
        "good": count(
            "requests that ended well and met every --slo on a single request; absent without any", "requests"
        ),
        "output_tokens": number(
            "tokens",
            "output tokens that arrived, whoever they belong to: while a response streams, estimated from its reads; exact once it "
            "has ended, when the second is written again",
        ),
        "output_tokens_at_first": number("tokens", "the same as it was first written; not replayed"),
        "output_tokens_correction": number(
            "tokens",
            "what ended responses had more than was estimated, in seconds too old (1,000 s) to be written again; mostly 0. "
            "`output_tokens` and this together are exact over a run",
        ),
        "prompt_tokens": number(
            "tokens", "prompt tokens of responses whose end came in it (replayed: whose first token did)"
        ),
        "in_flight": count("requests that are due and not over, at its end", "requests"),
        "waiting": count(
            "of these not sent yet, at its end: they wait for a connection or, in an open loop, for --max-concurrency",
            "requests",
        ),
        "users": count("users that are up, at its end"),
    },
    rewritten=True,
)

ERROR: Final = Measurement(
    "llm_error",
    "Failed requests of one worker in one second by class; no point where there was none.",
    "each worker",
    "the second's start, a whole second",
    ("run", "worker", "error_class"),
    {"requests": count("requests that failed so", "requests")},
    rewritten=True,
)

REQUEST: Final = Measurement(
    "llm_request",
    "One point a request, as in requests.parquet.",
    "the worker that sent it",
    "its end by the worker's own clock, moved by some ns where two of a worker ended at once",
    ("run", "worker", "outcome"),
    {
        "seq": count("the worker's count of its requests: 1, 2, ...; a gap is a lost point"),
        "request_id": text("the id, as in requests.parquet and sent to the server"),
        "name": text("the request's name in Locust"),
        "level": count("the level then: users held, or its number in a sweep over anything else"),
        "repeat": count("which pass over the levels"),
        "phase": text("warmup, measure, drain or probe"),
        "error_class": text("why it failed"),
        "http_status": count("of the answer"),
        "finish_reason": text("why the server stopped"),
        "ttft_ms": number("ms", "time to first token"),
        "tpot_ms": number("ms/token", "time per output token after the first"),
        "e2e_ms": number("ms", "request sent to last content"),
        "output_tokens_per_s": number("tokens/s", "rate of this request after its first token"),
        "late_send_ms": number("ms", "sent less due"),
        "prompt_tokens": count("as counted", "tokens"),
        "output_tokens": count("as counted", "tokens"),
        "cached_tokens": count("prompt tokens that the server had cached", "tokens"),
        "requested_prompt_tokens": count("the size the prompt was made to", "tokens"),
        "requested_output_tokens": count("the size asked for", "tokens"),
        "server_queue_ms": number("ms", "the server's own timer"),
        "server_prefill_ms": number("ms", "the server's own timer"),
        "server_decode_ms": number("ms", "the server's own timer"),
    },
)

CLIENT: Final = Measurement(
    "llm_client",
    "What one process noticed about itself in about a second: can its figures be trusted?",
    "each worker",
    "that second's start by the worker's own clock",
    ("run", "worker"),
    {
        "seconds": number("s", "its length; a blocked process makes longer ones"),
        "cpu_percent": number("percent", "of one core"),
        "waited_percent": number("percent", "of the time it could have run and had no core"),
        "loop_lag_ms_p50": number("ms", "how late its loop came to what was due, median"),
        "loop_lag_ms_p99": number("ms", "the same, p99"),
        "loop_lag_ms_max": number("ms", "the same, greatest"),
        "blocked_ms": number("ms", "time in which its loop was over 10 ms late"),
        "read_delay_ms_p99": number("ms", "bytes in the kernel until we read them, p99"),
        "read_delay_ms_max": number("ms", "the same, greatest"),
        "reads": count("reads from sockets"),
        "kernel_reads": count("of these stamped by the kernel"),
        "gc_ms": number("ms", "pauses of the garbage collector"),
        "clock_steps": count("times that somebody set the clock"),
    },
)

WRITER: Final = Measurement(
    "llm_writer",
    "How one process's points get here.",
    "each process, every 5 s and at its end",
    "when it was written",
    ("run", "worker"),
    {
        "created": count("points so far", "points"),
        "delivered": count("of these taken by InfluxDB", "points"),
        "queued": count("of these waiting in memory", "points"),
        "spooled": count("of these waiting on disk", "points"),
        "dropped": count("of these given up: no room", "points"),
        "refused": count("of these not taken: InfluxDB said why", "points"),
        "retries": count("writes tried again"),
        "write_ms": number("ms", "the last write, from its first byte to the answer"),
        "cpu_percent": number(
            "percent",
            "of a core, to collect points and make lines of them; compressing and sending comes on top",
        ),
    },
)
