"""Server: the system's own metrics beside what we see of it from outside."""

from typing import Final

from harness.grafana.board import Dashboard, Row
from harness.grafana.definitions import LOOKS, OUTPUT
from harness.grafana.panels import Panel, fixed, series, table
from harness.grafana.queries import INTERVAL, RANGE, RUN, Query, counter_rates, gauges, seconds, select, sub
from harness.grafana.variables import BACKEND, HARDWARE, MODEL, RUN_ONE

__all__ = ["SERVER"]

_NONE: Final = "the server publishes none"


def _beside(
    title: str, unit: str, description: str, its: tuple[str, Query], ours: tuple[str, Query]
) -> Panel:
    """The server's figure and ours, each with its name. A look that is missing is a gap of over 5 s."""
    return series(
        title,
        unit,
        f"{description} {LOOKS}",
        its[1],
        ours[1],
        gap_s=5,
        no_value=_NONE,
        overrides=(fixed(its[0], "purple"), fixed(ours[0], "green")),
    )


def _looked(name: str, field: str) -> tuple[str, Query]:
    return name, gauges("llm_server", {name: f'MEAN("{field}")'})


def _rate(name: str, counter: str) -> tuple[str, Query]:
    return name, counter_rates({name: counter})


def _seen(name: str, sums: str) -> tuple[str, Query]:
    return name, seconds({name: sums})


_QUEUE: Final = (
    _beside(
        "Queue",
        "count:req",
        "Queued: requests that wait inside the server, mean over an interval's looks. Waiting: of our "
        "requests in flight, those not sent yet, for they wait for a connection: a queue on our side.",
        _looked("queued in the server", "queued"),
        _seen("waiting here", 'SUM("waiting")'),
    ),
    _beside(
        "Batch",
        "count:req",
        "Running: requests the server is working on, its batch, mean over an interval's looks. In flight: "
        "ours, given to users and not over. In flight above running and queued together: requests under "
        "way in the network or in a proxy.",
        _looked("running in the server", "running"),
        _seen("in flight here", 'SUM("in_flight")'),
    ),
)

_TOKENS: Final = (
    _beside(
        "Output tokens/s",
        "count:tokens/s",
        "Server: growth of its counter of generated tokens between two looks. Ours: output tokens that "
        "arrived, all workers and requests, corrections included. TGI, llama.cpp and SGLang may count a "
        "request only when it ends: then theirs is jagged.",
        _rate("server", "generated_tokens_total"),
        _seen("ours", OUTPUT),
    ),
    _beside(
        "Prompt tokens/s",
        "count:tokens/s",
        "Server: growth of its counter of prompt tokens between two looks. Ours: prompt tokens of "
        "responses that ended (in a replayed run: whose first token came) in the second, so later by up to "
        "a request's time.",
        _rate("server", "prompt_tokens_total"),
        _seen("ours", 'SUM("prompt_tokens")'),
    ),
)

_LOOKED_UP: Final = select(
    {
        "hits": 'NON_NEGATIVE_DIFFERENCE("prefix_cache_hits_total")',
        "queries": 'NON_NEGATIVE_DIFFERENCE("prefix_cache_queries_total")',
    },
    *("llm_server", RANGE, RUN),
)
_HIT_RATE: Final = {"hit rate": '100 * SUM("hits") / SUM("queries")'}
_CACHE: Final = (
    series(
        "KV cache",
        "percent",
        "Share of the fullest engine's KV cache in use: mean and highest of an interval's looks. Near 100 "
        f"% requests wait or are preempted. {LOOKS}",
        gauges(
            "llm_server",
            {"mean": 'MEAN("kv_cache_usage_percent")', "highest": 'MAX("kv_cache_usage_percent")'},
        ),
        gap_s=5,
        no_value=_NONE,
        defaults={"max": 100},
        overrides=(fixed("mean", "purple"), fixed("highest")),
    ),
    series(
        "Prefix cache hit rate",
        "percent",
        "Prompt tokens taken from the server's prefix cache / prompt tokens looked up in it, of what both "
        f"counters grew by in an interval; none where nothing was looked up. {LOOKS}",
        Query(select(_HIT_RATE, sub(_LOOKED_UP), RANGE, '"queries" > 0', every=INTERVAL)),
        gap_s=30,
        no_value=_NONE,
        defaults={"max": 100},
        colour="purple",
    ),
    series(
        "Preemptions and finished requests",
        "reqps",
        "Requests a second that were thrown out of the KV cache and begun again, and that the server has "
        f"finished: growth of its counters. A preemption costs its request the work done so far. {LOOKS}",
        counter_rates({"preempted": "preemptions_total"}),
        counter_rates({"finished": "requests_total"}),
        gap_s=5,
        no_value=_NONE,
        overrides=(fixed("preempted", "red"), fixed("finished", "purple")),
    ),
)

_WHO: Final = table(
    "The server",
    "string",
    "What it says it is, where, by which of the backend's APIs it was asked, and for which sizes of "
    "prompts and answers.",
    Query(
        select(
            {
                "server": "server",
                "host": "host",
                "model": "model_id",
                "API": "api_mode",
                "prompt tokens": "prompt_tokens_asked",
                "output tokens": "output_tokens_asked",
            },
            *("llm_run", RUN),
        ),
        table=True,
    ),
    no_value="-",
    transformations=({"id": "organize", "options": {"excludeByName": {"Time": True}}},),
)

SERVER: Final = Dashboard(
    "tokenswarm-server",
    "Server",
    "The backend's own metrics beside ours: queue, batch, tokens, KV cache.",
    (MODEL, BACKEND, HARDWARE, RUN_ONE),
    (Row(4, (_WHO,)), Row(9, _QUEUE), Row(9, _TOKENS), Row(8, _CACHE)),
    refresh="10s",
    since="now-15m",
)
