"""What run.json, summary.json, records and looks say, as points: times, values, tags. Used while load runs and by replay.

The rule: whatever is known of a run makes the same points whenever it is asked, so that a point written again takes the first
one's place. Only `Unique` remembers anything: the last time it gave. Values stand under the schema's names (`harness.influx.schema`),
as they were measured; None is left out by the encoder. The tag `run` is the encoder's business, and is on no point here.

Not here: seconds of the load while it runs (`harness.influx.tally`), or from the table (`harness.influx.rereading`).

Pure: no clock, no file, nothing of the network.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from harness.influx.point import Json, Point, Unique, Values, started_ns
from harness.influx.run_points import level_points, run_point, run_tags
from harness.record import RequestRecord
from harness.seconds import Second
from harness.server_metrics import Sample

__all__ = [
    "Point",
    "Unique",
    "Values",
    "client_point",
    "event_points",
    "level_points",
    "request_values",
    "run_point",
    "run_tags",
    "server_point",
    "started_ns",
    "title",
    "worker_points",
]

LOCAL: Final = "local"  # the worker of a run without workers
TITLE_CHARACTERS: Final = 60
_CLIENT: Final = (
    *("seconds", "cpu_percent", "waited_percent", "loop_lag_ms_p50", "loop_lag_ms_p99", "loop_lag_ms_max"),
    *(
        "blocked_ms",
        "read_delay_ms_p99",
        "read_delay_ms_max",
        "reads",
        "kernel_reads",
        "gc_ms",
        "clock_steps",
    ),
)
_SERVER: Final = (
    *("queued", "running", "prompt_tokens_total", "generated_tokens_total", "prefix_cache_hits_total"),
    *("prefix_cache_queries_total", "preemptions_total", "requests_total"),
)


def request_values(record: RequestRecord, seq: int) -> Values:
    """`llm_request` of a record, whatever clock its stamps are on. `seq`: the worker's count of its requests: 1, 2, ..."""
    sent_ns = record.sent_ns
    return {
        "seq": seq,
        "request_id": record.request_id,
        "name": record.name,
        "level": record.level,
        "repeat": record.repeat,
        "phase": record.phase,
        "error_class": record.error_class,
        "http_status": record.http_status,
        "finish_reason": record.finish_reason,
        "ttft_ms": record.ttft_ms,
        "tpot_ms": record.tpot_ms,
        "e2e_ms": record.e2e_ms,
        "output_tokens_per_s": record.output_tokens_per_s,
        "late_send_ms": None if sent_ns is None else (sent_ns - record.scheduled_ns) / 1e6,
        "prompt_tokens": record.prompt_tokens,
        "output_tokens": record.output_tokens,
        "cached_tokens": record.cached_tokens,
        "requested_prompt_tokens": record.requested_prompt_tokens,
        "requested_output_tokens": record.requested_output_tokens,
        "server_queue_ms": record.server_queue_ms,
        "server_prefill_ms": record.server_prefill_ms,
        "server_decode_ms": record.server_decode_ms,
    }


def client_point(second: Second) -> Point:
    """`llm_client` of one second, at its start by the worker's own clock."""
    values: Values = {name: getattr(second, name) for name in _CLIENT}
    return Point(second.time_ns + second.clock_offset_ns, values, {"worker": second.worker})


def server_point(sample: Sample) -> Point:
    """`llm_server` of one look at the server's page; without values where there was none."""
    usage = sample.kv_cache_usage
    values: Values = {name: getattr(sample, name) for name in _SERVER}
    return Point(sample.time_ns, values | {"kv_cache_usage_percent": None if usage is None else 100 * usage})


def event_points(events: Iterable[Json], times: Unique | None = None) -> Iterator[Point]:
    """`llm_event` of run.json's events, in order of time, no two at once.

    Where any has a topic, those without are from workers' journals: the run did not write them, and they are no points.
    `times` goes on from an earlier call.
    """
    ordered = sorted(events, key=lambda event: int(event["time_ns"]))
    told = [event for event in ordered if event.get("topic")] or ordered
    times = times or Unique()
    for event in told:
        what = str(event.get("what") or "")
        yield Point(
            times.at(int(event["time_ns"])),
            {"title": title(what), "text": what, "level": event.get("level")},
            {"kind": str(event.get("topic") or "note")},
        )


def title(what: str) -> str:
    """The beginning of a text: to the first semicolon or line's end, or as many whole words as are few."""
    first = next(iter(what.split(";", maxsplit=1)[0].splitlines()), "").strip()
    if len(first) <= TITLE_CHARACTERS:
        return first
    return first[: TITLE_CHARACTERS - 1].rsplit(" ", 1)[0].rstrip(" ,:") + "…"


def worker_points(run: Json, statements: Iterable[Json]) -> Iterator[Point]:
    """`llm_worker`, one a worker's statement as in run.json (`workers`)."""
    begun = started_ns(run)
    for one in statements:
        totals, clock, delivery = (one.get(name) or {} for name in ("totals", "clock", "metrics"))
        failed = totals.get("failed")
        values: Values = {
            "state": one.get("state"),
            "host": one.get("host"),
            "joined_s": one.get("joined_s"),
            "last_heard_s": one.get("last_heard_s"),
            "longest_silence_s": one.get("longest_silence_s"),
            "clock_offset_ms": clock.get("offset_ms"),
            "clock_uncertainty_ms": clock.get("uncertainty_ms"),
            "offered": totals.get("offered"),
            "sent": totals.get("sent"),
            "succeeded": totals.get("succeeded"),
            "failed": sum(failed.values()) if isinstance(failed, Mapping) else failed,
            "cancelled": totals.get("cancelled"),
            "points_created": delivery.get("created"),
            "points_lost": delivery.get("lost"),
        }
        yield Point(begun, values, {"worker": str(one.get("name") or LOCAL)})
