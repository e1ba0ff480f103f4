"""Points of what run.json, summary.json, records and looks say: values by hand, and every one under a name of the schema."""

from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_run import BASE_NS, record, run

from harness.influx.lines import Encoder
from harness.influx.points import (
    Point,
    Unique,
    client_point,
    event_points,
    level_points,
    request_values,
    run_point,
    server_point,
    started_ns,
    title,
    worker_points,
)
from harness.influx.schema import MEASUREMENTS
from harness.record import Outcome
from harness.seconds import Second
from harness.server_metrics import Sample

STARTED = "2026-11-21T17:04:14.658+00:00"
STARTED_NS = 1_795_280_654_658_000_000
SPREAD = {
    "mean": 1.0,
    "median": 2.0,
    "std": 3.0,
    "p50": 2.0,
    "p90": 4.0,
    "p95": 5.0,
    "p99": 6.0,
    "max": 7.0,
    "n": 8,
}
RATES = {"mean": 10.0, "median": 20.0, "std": 1.0, "p5": 5.0, "p10": 11.0, "p90": 90.0, "n": 8}
RUN: dict[str, Any] = {
    "run_id": "r",
    "started_at": STARTED,
    "finished_at": "2026-11-21T17:04:21.594001+00:00",
    "settings": {
        "backend": "vllm", "api_mode": "chat", "model": "org/m, v=2\n", "run_name": "first", "slo": ["ttft_p95<2s", "error_rate<1%"],
        "host": "http://user:word@10.0.0.1:8000/v1?key=x", "labels": {"z": "1", "hardware": "2xA100 80GB"},
        "prompt_tokens": None, "output_tokens": "150",
        "users": {
            "A": {"prompt_tokens": "550", "output_tokens": "10", "server": {"server": "vLLM", "version": "0.11"}},
            "B": {"prompt_tokens": "normal:9,1", "output_tokens": "10", "server": {"server": "vLLM", "version": "0.11"}},
        },
    },
    "versions": {"tokenswarm": "0.1.0"},
    "workers": [
        {"name": "vm-0", "host": "vm", "state": "ended", "joined_s": 0.5, "last_heard_s": 8.25, "longest_silence_s": 1.5,
         "clock": {"offset_ms": -1.25, "uncertainty_ms": 0.5}, "metrics": {"created": 90, "delivered": 88, "lost": 2},
         "totals": {"offered": 30, "sent": 29, "succeeded": 25, "failed": {"overload": 2, "connect": 1}, "cancelled": 2}},
        {"name": "vm-1", "host": None, "state": "lost", "joined_s": 0.0, "last_heard_s": 3.0, "longest_silence_s": 12.0,
         "clock": None, "metrics": None, "totals": {}},
    ],
    "events": [{"time_ns": STARTED_NS + 500, "what": "load begins", "topic": "start", "level": None}],
    "metrics": {"to": "http://x, bucket b", "created": 100, "delivered": 97, "lost": 3},
}  # fmt: skip
LEVEL: dict[str, Any] = {
    "level": 4, "concurrency": 4, "kind": "concurrency", "value": 4.0, "title": "4 users", "rate": None, "unsent": None,
    "arrivals_per_s": 1.75, "in_flight_mean": 3.5, "window_s": 30.0, "requests": 50, "failed": 2, "requests_per_s": 1.5,
    "system_output_tokens_per_s": 100.0, "system_total_tokens_per_s": 350.0, "request_output_tokens_per_s": RATES,
    "ttft_ms": SPREAD, "tpot_ms": SPREAD, "e2e_ms": SPREAD, "token_sources": {"server": 36, "estimated": 12},
    "goodput": {"share": 0.75, "requests_per_s": 1.25, "good": 36, "n": 48}, "slo": [{"met": True}, {"met": True}],
}  # fmt: skip
SUMMARY: dict[str, Any] = {
    "complete": True,
    "verdict": {"status": "suspect", "reasons": ["one", "two"]},
    "totals": {"offered": 70, "succeeded": 57, "failed": 3, "cancelled": 2, "unsent": 8, "prompt_tokens": 9, "output_tokens": 8},
    "audit": {"offered": 63},
    "slo": {"met": False, "highest_level": 4},
    "levels": [LEVEL, LEVEL | {"level": 8, "concurrency": 8, "system_output_tokens_per_s": 90.0, "slo": [{"met": True}, {"met": False}]}],
}  # fmt: skip


def encoded(name: str, some: Iterable[Point], *, tags: Iterable[str] = ()) -> list[bytes]:
    """As lines; whoever has a tag or field that the schema has not raises."""
    encoder = Encoder(MEASUREMENTS[name], run="r", **dict.fromkeys(tags, "x"))
    return [encoder.line(one.time_ns, one.values, **one.tags) for one in some]


def test_the_start_is_exact_to_the_millisecond() -> None:
    """Time stamps of llm_run, llm_level and llm_worker hang on it, so it is computed in whole numbers."""
    assert started_ns(RUN) == STARTED_NS
    assert started_ns({"started_at": "2026-11-21T18:04:14.658+01:00"}) == STARTED_NS
    assert started_ns({"started_at": "2026-11-21T17:04:14.658"}) == STARTED_NS


@given(st.integers(0, 4_102_444_800_000))
def test_every_start_is_exact(ms: int) -> None:
    """Whatever the millisecond; a float would miss by hundreds of ns."""
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")
    assert started_ns({"started_at": text}) == ms * 1_000_000


def test_a_run_that_is_over() -> None:
    """Every field of llm_run, by hand; nothing of the login, path or query that an address may have."""
    point = run_point(RUN, SUMMARY, now_ns=1)
    assert (point.time_ns, point.tags) == (
        STARTED_NS,
        {"model": "org/m, v=2\n", "backend": "vllm", "hardware": "2xA100 80GB"},
    )
    assert point.values == {
        "model_id": "org/m, v=2\n", "hardware_label": "2xA100 80GB", "state": "complete", "name": "first",
        "host": "http://10.0.0.1:8000", "api_mode": "chat", "server": "vLLM 0.11", "labels": "hardware=2xA100 80GB,z=1",
        "prompt_tokens_asked": "550 | normal:9,1", "output_tokens_asked": "150", "slo": "ttft_p95<2s,error_rate<1%",
        "version": "0.1.0", "workers": 2, "begin_ns": STARTED_NS + 500, "begin_ms": 1_795_280_654_658,
        "end_ns": 1_795_280_661_594_001_000, "end_ms": 1_795_280_661_595, "verdict": "suspect", "reasons": "one; two",
        "slo_met": "no", "offered": 63, "succeeded": 57, "failed": 3, "cancelled": 2, "output_tokens": 8, "prompt_tokens": 9,
        "best_system_output_tokens_per_s": 100.0, "best_level": 4, "best_title": "4 users", "error_percent": 5.0, "server_counted_percent": 75.0,
        "points_created": 100, "points_lost": 3,
    }  # fmt: skip
    assert set(point.values) == set(MEASUREMENTS["llm_run"].fields)
    assert len(encoded("llm_run", [point])) == 1


def test_a_run_under_way() -> None:
    """It has an end so far, no outcome, and as many workers as it is told; what is not known is none, not 0."""
    bare: dict[str, Any] = {"run_id": "r", "started_at": STARTED, "finished_at": None, "settings": {}}
    point = run_point(bare, None, now_ns=STARTED_NS + 7, begin_ns=STARTED_NS + 3, workers=5)
    assert point.tags == {"model": "none", "backend": "none", "hardware": "none"}
    known = {name: value for name, value in point.values.items() if value is not None}
    assert known == {
        "state": "running",
        "workers": 5,
        "begin_ns": STARTED_NS + 3,
        "begin_ms": 1_795_280_654_658,
        "end_ns": STARTED_NS + 7,
        "end_ms": 1_795_280_654_659,
    }


def test_results_without_audit_or_success() -> None:
    """Then `offered` is what has a row, and shares of nothing are not measured."""
    bare = {
        "complete": False,
        "totals": {"offered": 9, "succeeded": 0, "failed": 0, "cancelled": 4},
        "levels": [],
    }
    values = run_point(RUN, bare, now_ns=1).values
    assert (values["state"], values["offered"], values["error_percent"]) == ("incomplete", 4, None)
    assert (values["best_level"], values["server_counted_percent"], values["slo_met"]) == (None, None, None)


def test_levels_are_as_in_the_summary() -> None:
    """One point each, its level added to the time; prefill is what the total has more than the output."""
    first, second = level_points(RUN, SUMMARY)
    assert [(one.time_ns, one.tags) for one in (first, second)] == [
        (STARTED_NS + 4, {"level": "4"}),
        (STARTED_NS + 8, {"level": "8"}),
    ]
    quantiles = {"p50": 2.0, "p90": 4.0, "p95": 5.0, "p99": 6.0}
    assert first.values == {
        "concurrency": 4, "title": "4 users", "value": 4.0, "rate": None, "unsent": None, "arrivals_per_s": 1.75,
        "in_flight_mean": 3.5, "final": 1, "window_s": 30.0, "requests": 50, "failed": 2, "error_percent": 4.0,
        "goodput_percent": 75.0, "goodput_requests_per_s": 1.25, "requests_per_s": 1.5, "system_output_tokens_per_s": 100.0,
        "system_prompt_tokens_per_s": 250.0, "system_total_tokens_per_s": 350.0, "request_output_tokens_per_s_mean": 10.0,
        **{f"{figure}_{name}": value for figure in ("ttft_ms", "tpot_ms", "e2e_ms") for name, value in quantiles.items()},
        "output_tokens_per_s_p10": 11.0, "output_tokens_per_s_p50": 20.0, "output_tokens_per_s_p90": 90.0, "slo_met": "yes",
    }  # fmt: skip
    assert set(first.values) == set(MEASUREMENTS["llm_level"].fields)
    assert second.values["slo_met"] == "no"
    plain = next(level_points(RUN, {"levels": [{**LEVEL, "goodput": None, "slo": None}]})).values
    assert (plain["goodput_percent"], plain["slo_met"]) == (None, None)
    assert len(encoded("llm_level", [first, second])) == 2


def test_a_level_of_an_open_loop_has_a_number_a_name_and_no_users() -> None:
    """Its tag is the number; what nobody set is not said, and what nobody sent is."""
    told = {
        "level": 2,
        "concurrency": None,
        "kind": "rate",
        "value": 5.0,
        "title": "5 req/s",
        "rate": 5.0,
        "unsent": 3,
    }
    (point,) = level_points(RUN, {"levels": [LEVEL | told]})
    assert (point.time_ns, point.tags) == (STARTED_NS + 2, {"level": "2"})
    assert {name: point.values[name] for name in ("concurrency", "title", "value", "rate", "unsent")} == {
        "concurrency": None,
        "title": "5 req/s",
        "value": 5.0,
        "rate": 5.0,
        "unsent": 3,
    }
    (line,) = encoded("llm_level", [point])
    assert b"concurrency" not in line
    assert b'title="5 req/s"' in line


def test_results_that_know_only_users_are_replayed_too() -> None:
    """Those of earlier versions: users are the level's name, and its number."""
    old = {
        name: value
        for name, value in LEVEL.items()
        if name not in {"level", "kind", "value", "title", "rate", "unsent"}
    }
    (point,) = level_points(RUN, {"levels": [old]})
    assert (point.tags, point.values["value"], point.values["title"]) == ({"level": "4"}, 4, None)
    assert run_point(RUN, {**SUMMARY, "levels": [old]}, now_ns=1).values["best_level"] == 4


def test_workers_are_their_last_word() -> None:
    """Failures of all classes together; of a lost one what is not known is none."""
    first, lost = worker_points(RUN, RUN["workers"])
    assert (first.time_ns, first.tags) == (STARTED_NS, {"worker": "vm-0"})
    assert first.values == {
        "state": "ended", "host": "vm", "joined_s": 0.5, "last_heard_s": 8.25, "longest_silence_s": 1.5,
        "clock_offset_ms": -1.25, "clock_uncertainty_ms": 0.5, "offered": 30, "sent": 29, "succeeded": 25, "failed": 3,
        "cancelled": 2, "points_created": 90, "points_lost": 2,
    }  # fmt: skip
    assert set(first.values) == set(MEASUREMENTS["llm_worker"].fields)
    assert {name for name, value in lost.values.items() if value is not None} == {
        *("state", "joined_s", "last_heard_s", "longest_silence_s"),
    }
    assert len(encoded("llm_worker", [first, lost])) == 2


def test_events_come_in_order_and_never_at_once() -> None:
    """Older runs' have no topic and are notes; where some have one, those without are workers' own and left out."""
    old = [{"time_ns": 20, "what": "b"}, {"time_ns": 10, "what": "a"}, {"time_ns": 10, "what": "c"}]
    assert [(one.time_ns, one.values["text"], one.tags["kind"]) for one in event_points(old)] == [
        (10, "a", "note"),
        (11, "c", "note"),
        (20, "b", "note"),
    ]
    new = [*old, {"time_ns": 15, "what": "level 2 begins; more", "topic": "level", "level": 2}]
    (only,) = event_points(new)
    values = {"title": "level 2 begins", "text": "level 2 begins; more", "level": 2}
    assert only == Point(15, values, {"kind": "level"})
    going_on = Unique()
    assert [next(iter(event_points([old[1]], going_on))).time_ns for _ in range(3)] == [10, 11, 12]
    assert len(encoded("llm_event", [only])) == 1


@pytest.mark.parametrize(
    ("text", "short"),
    [("", ""), ("load begins", "load begins"), ("a; b", "a"), ("a\nb", "a"), ("x" * 60, "x" * 60), ("x" * 61, "x" * 59 + "…"),
     ("word, " * 20, "word, word, word, word, word, word, word, word, word…")],
)  # fmt: skip
def test_a_title_is_short(text: str, short: str) -> None:
    """The beginning, in whole words where it has some."""
    assert title(text) == short
    assert len(short) <= 60


def test_a_second_goes_back_to_its_own_clock() -> None:
    """Time is what the worker itself wrote, whether it has been shifted since or not."""
    own = Second(time_ns=BASE_NS, worker="w", seconds=1.5, cpu_percent=40.0, reads=7, gc_ms=0.5)
    moved = replace(own, time_ns=BASE_NS - 2_000, clock_offset_ns=2_000)
    assert client_point(own) == client_point(moved)
    point = client_point(moved)
    assert (point.time_ns, point.tags) == (BASE_NS, {"worker": "w"})
    assert set(point.values) == set(MEASUREMENTS["llm_client"].fields)
    assert {name: point.values[name] for name in ("seconds", "cpu_percent", "reads", "gc_ms", "loop_lag_ms_p50")} == {
        "seconds": 1.5, "cpu_percent": 40.0, "reads": 7, "gc_ms": 0.5, "loop_lag_ms_p50": None,
    }  # fmt: skip
    assert len(encoded("llm_client", [point])) == 1


def test_a_look_at_the_server() -> None:
    """As read, the cache's share in percent; a look that failed has no value and becomes no line."""
    full: dict[str, Any] = {one.name: 0.5 for one in fields(Sample) if one.type == float | None}
    point = server_point(Sample(time_ns=5, **full))
    assert point.values == dict.fromkeys(MEASUREMENTS["llm_server"].fields, 0.5) | {
        "kv_cache_usage_percent": 50.0
    }
    assert encoded("llm_server", [server_point(Sample(time_ns=5, problem="refused"))]) == [b""]


def test_a_request_is_as_its_row() -> None:
    """Of every kind of request: each value is that of its row in the table, under the schema's name."""
    for seq, one in enumerate(run(per_level=20)[0], 1):
        row, values = one.row(0), request_values(one, seq)
        assert set(values) == set(MEASUREMENTS["llm_request"].fields)
        late = None if one.sent_ns is None else (one.sent_ns - one.scheduled_ns) / 1e6
        assert values == {"seq": seq, "late_send_ms": late} | {
            name: row[name] for name in values if name not in {"seq", "late_send_ms"}
        }
        line = Encoder(MEASUREMENTS["llm_request"], run="r", worker="w").line(1, values, outcome=one.outcome)
        assert line.startswith(b"llm_request,outcome=" + one.outcome.encode())
        assert f'phase="{one.phase.value}"'.encode() in line


def test_a_request_that_never_went_out() -> None:
    """No delay is claimed for it."""
    values = request_values(record(sent_ns=None, outcome=Outcome.FAILED), 1)
    assert (values["late_send_ms"], values["ttft_ms"], values["output_tokens"]) == (None, None, None)


@given(st.lists(st.integers(-(10**18), 2 * 10**18)))
def test_times_are_kept_apart(times: list[int]) -> None:
    """Strictly increasing, never before what was asked for, and exactly that where nothing is in the way."""
    unique = Unique()
    found = [unique.at(time) for time in times]
    assert all(before < after for before, after in pairwise(found))
    most = None
    for asked, given_ in zip(times, found, strict=True):
        assert given_ == (asked if most is None or asked > most else most + 1)
        most = given_


def test_seconds_of_a_journal_make_points() -> None:
    """Live, a second has no offset yet; what the journal keeps of it is what the point is made of."""
    second = Second(time_ns=1, worker="w", seconds=1.0, cpu_percent=0.0)
    assert asdict(second)["clock_offset_ns"] == 0
    assert client_point(second).time_ns == 1
