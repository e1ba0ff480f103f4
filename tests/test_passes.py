"""A level's passes one by one: their populations by hand, and what becomes of thin and damaged ones."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import BASE_NS, record, run

from harness import files, metrics, passes
from harness.journal import Window
from harness.metrics import summarise
from harness.record import Outcome, Phase, TokenSource
from harness.rows import load, write
from harness.slo import read

S = 1_000_000_000


def at(seconds: float) -> int:
    """Unix ns, so many seconds into the run."""
    return BASE_NS + round(seconds * S)


def told(name, start, ttft, *, tokens=10, **fields):
    """A streamed answer of two events, a second apart; sent on time."""
    first = start + ttft
    content = {
        "first_content_ns": at(first),
        "last_content_ns": at(first + 1),
        "chunks": 2,
        "chunk_gaps_us": (1e6,),
    }
    counted = {"output_tokens": tokens, "prompt_tokens": 5, "token_source": TokenSource.SERVER}
    times = {"scheduled_ns": at(start), "sent_ns": at(start), "end_ns": at(first + 1)}
    return record(name, **{**times, **content, **counted, **fields})


def failed(name, start, **fields):
    """A refusal."""
    stamps = {"scheduled_ns": at(start), "sent_ns": at(start), "end_ns": at(start)}
    return record(name, outcome=Outcome.FAILED, **stamps, **fields)


@pytest.fixture
def frame(tmp_path):
    """Makes a table of records."""

    def made(records):
        write(tmp_path / "t.parquet", records)
        return load(tmp_path / "t.parquet")

    return made


TWO = [Window(1, 1, at(0), at(4)), Window(1, 2, at(10), at(12))]


@pytest.fixture
def two(frame):
    """Two passes over a level: three requests and a failure, then two; and a straggler of the first in the second."""
    return frame(
        [
            told("a", 0, 0.1),
            told("b", 1, 0.3),
            told("c", 2, 0.2, tokens=4),
            failed("d", 3),
            told("w", 9.5, 0.6, phase=Phase.WARMUP, repeat=2),
            told("e", 10, 0.5, repeat=2),
            told("f", 10.5, 0.7, repeat=2),
        ]
    )


def test_two_passes_by_hand(two):
    """Counts and times of those sent in each; rates of whatever arrived in its window, the warm-up's tokens too."""
    [level] = summarise(two, TWO, run_id="x")["levels"]
    one, other = level["passes"]
    assert [(p["repeat"], p["requests"], p["succeeded"], p["failed"]) for p in (one, other)] == [
        (1, 4, 3, 1),
        (2, 2, 2, 0),
    ]
    assert [p["error_rate"] for p in (one, other)] == [0.25, 0]
    assert [p["window_s"] for p in (one, other)] == [4, 2]
    assert [p["ttft_ms"]["p50"] for p in (one, other)] == pytest.approx([200, 600])
    assert [p["ttft_ms"]["mean"] for p in (one, other)] == pytest.approx([200, 600])
    assert [p["ttft_scheduled_ms"]["max"] for p in (one, other)] == pytest.approx([300, 700])
    assert [p["system_output_tokens_per_s"] for p in (one, other)] == pytest.approx([24 / 4, 25 / 2])
    # w: both events; e: both; f: its second event comes at 12.2 s, after the window
    assert other["system_total_tokens_per_s"] == pytest.approx((25 + 15) / 2)
    assert [p["requests_per_s"] for p in (one, other)] == pytest.approx([3 / 4, 2 / 2])
    assert [p["goodput"] for p in (one, other)] == [None, None]
    assert level["system_output_tokens_per_s_repeats"] == [
        p["system_output_tokens_per_s"] for p in (one, other)
    ]


def test_what_a_level_leaves_out_its_passes_leave_out(two):
    """Short answers with `--drop-answers-under`, in statistics and not in counts."""
    [level] = summarise(two, TWO, run_id="x", drop_under=5)["levels"]
    assert [p["ttft_ms"]["n"] for p in level["passes"]] == [2, 2]
    assert [p["ttft_ms"]["mean"] for p in level["passes"]] == pytest.approx([200, 600])
    assert [p["succeeded"] for p in level["passes"]] == [3, 2]


def test_goodput_is_told_of_each_pass(two):
    """Good of all measured: 3 of 4 and 1 of 2 below 0.55 s; where arrivals were never sent, nobody knows in which pass."""
    slos = read(["ttft_p95<550ms"])
    [level] = summarise(two, TWO, run_id="x", slos=slos)["levels"]
    assert [p["goodput"] for p in level["passes"]] == [0.75, 0.5]
    assert level["intervals"]["goodput"]["mean"] == 0.625
    points = {"1": {"kind": "rate", "value": 1.0, "title": "1 req/s", "rate": 1.0, "users": 0}}
    [level] = summarise(two, TWO, run_id="x", slos=slos, points=points, unsent={"1": 2})["levels"]
    assert level["goodput"]["share"] == 4 / 8
    assert [p["goodput"] for p in level["passes"]] == [None, None]


def test_one_pass_is_the_level_itself(frame):
    """Not computed again: the same objects, and no interval."""
    requests = frame([told("a", 0, 0.1), told("b", 1, 0.3), failed("d", 3)])
    [level] = summarise(requests, TWO[:1], run_id="x", slos=read(["ttft_p95<200ms"]))["levels"]
    [only] = level["passes"]
    assert all(only[name] is level[name] for name in passes.FIGURES)
    assert (only["requests"], only["error_rate"], only["window_s"]) == (3, 1 / 3, 4)
    assert only["goodput"] == level["goodput"]["share"] == 1 / 3
    assert level["intervals"] == {}


def test_intervals_are_of_the_passes(two):
    """Of two values a and b: their mean, and 12.706 |a - b| / 2 to each side."""
    [level] = summarise(two, TWO, run_id="x")["levels"]
    found = level["intervals"]["ttft_ms.p50"]
    assert (found["mean"], found["low"], found["passes"], found["method"]) == (pytest.approx(400), 0, 2, "t")
    assert found["high"] == pytest.approx(400 + 12.706205 * 200)
    assert "ttft_ms.p95" not in level["intervals"]  # of 59 requests a pass it would be


def test_without_windows_passes_have_no_rates(two):
    """Their times are there; nothing divides by a window that nobody had."""
    [level] = summarise(two, [], run_id="x")["levels"]
    assert [p["window_s"] for p in level["passes"]] == [None, None]
    assert [p["system_output_tokens_per_s"] for p in level["passes"]] == [None, None]
    assert [p["requests_per_s"] for p in level["passes"]] == [None, None]
    assert [p["ttft_ms"]["n"] for p in level["passes"]] == [3, 2]


def test_a_pass_without_a_request_is_there(frame):
    """Its window was, and in it nothing came: a rate of 0, and no times."""
    [level] = summarise(frame([told("a", 0, 0.1)]), TWO, run_id="x", slos=read(["e2e_p95<1s"]))["levels"]
    empty = level["passes"][1]
    assert (empty["requests"], empty["error_rate"], empty["goodput"]) == (0, None, None)
    assert empty["system_output_tokens_per_s"] == 0
    assert (empty["ttft_ms"]["mean"], empty["ttft_ms"]["n"], empty["ttft_ms"]["withheld"]) == (None, 0, [])
    assert "ttft_ms.p50" not in level["intervals"]


def test_a_level_without_success_and_a_run_without_requests(frame):
    """No warning, no number that was not measured, and JSON of all of it."""
    bad = frame([failed("a", 1), failed("b", 11, repeat=2)])
    [level] = summarise(bad, TWO, run_id="x")["levels"]
    assert [p["error_rate"] for p in level["passes"]] == [1, 1]
    assert "error_rate" not in level["intervals"]  # the same in both
    [level] = summarise(frame([]), TWO, run_id="x")["levels"]
    assert [p["requests"] for p in level["passes"]] == [0, 0]
    assert level["intervals"] == {}
    assert summarise(frame([]), [], run_id="x")["levels"] == []


def test_damaged_values_are_not_measured(frame):
    """NaN, infinities and requests of no level or pass, as no run writes them."""
    requests = frame([told(str(n), n / 10, 0.1, repeat=1 + n % 2) for n in range(8)])
    requests.loc[0, ["ttft_ms", "e2e_ms"]] = [np.inf, -np.inf]
    requests.loc[1, "ttft_ms"] = np.nan
    requests.loc[2, "repeat"] = pd.NA
    requests.loc[3, "level"] = pd.NA
    summary = summarise(requests, [], run_id="x")
    [level] = summary["levels"]
    assert (level["requests"], level["ttft_ms"]["n"], level["e2e_ms"]["n"]) == (7, 5, 6)
    assert [p["repeat"] for p in level["passes"]] == [1, 2]
    assert b"NaN" not in files.as_json(summary)
    assert json.loads(files.as_json(summary))["levels"][0]["ttft_ms"]["max"] == pytest.approx(100)


def test_of_very_many_passes_neighbours_are_put_together(frame, monkeypatch):
    """Seven waves in at most three entries: 3, 2 and 2 of them, whose requests and windows add up."""
    monkeypatch.setattr(passes, "MOST", 3)
    records = [told(f"r{n}", 10 * n, 0.1 * (n + 1), repeat=n + 1) for n in range(7)]
    windows = [Window(1, n + 1, at(10 * n), at(10 * n + 2 + n)) for n in range(7)]
    [level] = summarise(frame(records), windows, run_id="x", slos=read(["ttft_p95<450ms"]))["levels"]
    assert [(p["repeat"], p["repeats"], p["requests"]) for p in level["passes"]] == [
        (1, 3, 3),
        (4, 2, 2),
        (6, 2, 2),
    ]
    assert [p["window_s"] for p in level["passes"]] == [2 + 3 + 4, 5 + 6, 7 + 8]
    assert [p["ttft_ms"]["mean"] for p in level["passes"]] == pytest.approx([200, 450, 650])
    assert [p["goodput"] for p in level["passes"]] == [1, 0.5, 0]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), repeats=st.integers(1, 4))
def test_passes_make_up_their_level(tmp_path_factory, seed, repeats):
    """Counts and tokens add up; the level's extremes are the passes' extremes; windows share out what arrived."""
    records, windows = run(levels=(1, 2), per_level=12, repeats=repeats, seed=seed)
    path = tmp_path_factory.mktemp("p") / "t.parquet"
    write(path, records)
    for level in metrics.levels(load(path), windows, (), None):
        parts = level["passes"]
        assert [one["repeat"] for one in parts] == list(range(1, repeats + 1))
        for name in ("requests", "succeeded", "failed", "window_s"):
            assert sum(one[name] for one in parts) == pytest.approx(level[name])
        for name in passes.FIGURES:
            assert sum(one[name]["n"] for one in parts) == level[name]["n"]
            means = [one[name]["mean"] * one[name]["n"] for one in parts if one[name]["n"]]
            assert sum(means) == pytest.approx((level[name]["mean"] or 0) * level[name]["n"])
        tops = [one["e2e_ms"]["max"] for one in parts if one["e2e_ms"]["n"]]
        assert max(tops, default=None) == level["e2e_ms"]["max"]
        for name in ("system_output_tokens_per_s", "requests_per_s"):
            assert sum(one[name] * one["window_s"] for one in parts) == pytest.approx(
                level[name] * level["window_s"]
            )
