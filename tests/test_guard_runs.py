"""Runs that a guard ends: what they sent, what they say, and with which exit code."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed_runs import BRISK, IDS
from locust_runs import Result, run, simulator

from harness.servers.process import free_port

OUTPUT = 20
EACH = 30 + OUTPUT  # tokens of a request
LOAD = (*IDS, "--output-tokens", str(OUTPUT))
FAST = (*BRISK, "--step-base-ms", "5")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A simulator whose answers of 20 tokens take about 0.1 s."""
    with simulator(*FAST) as server:
        yield server.url


def parts(workers: int) -> tuple[str, ...]:
    """Options of a run of so many workers; none for 0."""
    port = str(free_port())
    return ("--processes", str(workers), "--master-bind-port", port, "--master-port", port) if workers else ()


def told(done: Result) -> Any:
    """run.json, of a run whose books balance."""
    assert done.summary["audit"]["reconciles"] is True
    return json.loads((done.directory / "run.json").read_bytes())


@pytest.mark.parametrize("workers", [0, 4])
def test_a_closed_loop_sends_exactly_as_many(tmp_path: Path, url: str, workers: int) -> None:
    """83 of 8 users, and of all phases: the run is complete, its window ends with the last leaves, and exit is 0."""
    asked = ("-u", "8", "-r", "8", "-t", "60s", "--max-requests", "83")
    done = run("vllm.py", tmp_path / "r", "--host", url, *LOAD, *asked, *parts(workers))
    assert (done.code, len(done.requests)) == (0, 83), done.err
    assert set(done.requests.outcome) == {"ok"}
    summary = done.summary
    assert (summary["complete"], summary["incomplete"]) == (True, [])
    ended = told(done)["ended_by"]
    assert (ended["guard"], ended["limit"], ended["value"], ended["over"]) == ("max_requests", 83, 83, None)
    assert ended["text"].startswith("--max-requests 83: 83 requests after ")
    assert summary["ended_by"] == ended
    assert f"tokenswarm: ended by {ended['text']}" in done.err
    assert f"ended by {ended['text']}" in " ".join(done.out.split())
    level = summary["levels"][-1]
    assert level["windows"] == 1
    (window,) = told(done)["windows"]
    assert window["end_ns"] <= done.requests.end_ns.max()
    guards = [event["what"] for event in told(done)["events"] if event.get("topic") == "guard"]
    assert guards == [f"the run ends by {ended['text']}"]


@pytest.mark.parametrize("workers", [0, 3])
def test_an_open_loop_sends_exactly_the_schedules_first(tmp_path: Path, url: str, workers: int) -> None:
    """71 arrivals, none of them late by more than the client is, and none is called unsent that came after."""
    asked = ("--arrivals", "constant:50", "-t", "60s", "--max-requests", "71")
    done = run("vllm.py", tmp_path / "r", "--host", url, *LOAD, *asked, *parts(workers))
    assert (done.code, len(done.requests)) == (0, 71), done.err
    due = np.sort(done.requests.scheduled_ns.to_numpy())
    assert np.allclose(np.diff(due), 20e6, atol=2e6)  # each of the first 71, whoever sent it
    (level,) = done.summary["levels"]
    assert level["unsent"] <= 1  # the one that found nothing left
    assert done.summary["totals"]["offered"] - done.summary["totals"]["unsent"] == 71
    assert told(done)["ended_by"]["guard"] == "max_requests"


@pytest.mark.parametrize("workers", [0, 4])
def test_a_sweep_that_is_cut_short_is_incomplete(tmp_path: Path, url: str, workers: int) -> None:
    """Levels that were not held to their end are named, with the guard, and exit is 5; warm-up counts."""
    asked = ("--levels", "8,1,2", "--requests-per-level", "16", "--warmup", "1", "--max-requests", "30")
    done = run("vllm.py", tmp_path / "r", "--host", url, *LOAD, *asked, *parts(workers))
    assert (done.code, len(done.requests)) == (5, 30), done.err
    assert done.requests.phase.value_counts().to_dict() == {"measure": 21, "warmup": 9}
    reasons = told(done)["incomplete"]
    assert reasons[0] == "29 of 59 planned requests were not sent"
    text = told(done)["ended_by"]["text"]
    assert reasons[1] == f"ended by {text}; not measured to the end: 1 user, 2 users"


def test_a_sweep_that_needs_no_more_than_it_may_is_not_touched(tmp_path: Path, url: str) -> None:
    """20 requests planned, 20 allowed: complete, and no guard ended it."""
    asked = ("--levels", "1,2", "--requests-per-level", "10", "--max-requests", "20")
    done = run("vllm.py", tmp_path / "r", "--host", url, *LOAD, *asked)
    assert (done.code, len(done.requests), told(done)["ended_by"]) == (0, 20, None)


@pytest.mark.parametrize("workers", [0, 2])
def test_tokens_end_a_run_within_one_flight(tmp_path: Path, url: str, workers: int) -> None:
    """10,000 tokens at 8 users of 50 tokens a request: what is in flight is reckoned with, and the end is told."""
    asked = ("-u", "8", "-r", "8", "-t", "60s", "--max-tokens", "10000")
    done = run("vllm.py", tmp_path / "r", "--host", url, *LOAD, *asked, *parts(workers))
    assert done.code == 0, done.err
    tokens = int(done.requests.prompt_tokens.sum() + done.requests.output_tokens.sum())
    flight = 8 * EACH
    late_s = 0.25 if workers else 0.1  # between looks, and reports
    rate = tokens / (done.requests.end_ns.max() - done.requests.sent_ns.min()) * 1e9
    assert 10_000 - flight <= tokens <= 10_000 + flight + 2 * late_s * rate
    ended = told(done)["ended_by"]
    assert (ended["guard"], ended["limit"], ended["final"]) == ("max_tokens", 10_000, tokens)
    if tokens > 10_000:
        assert ended["over"].startswith(f"--max-tokens: in the end it was {tokens:,}, ")


def test_a_cost_ends_a_run(tmp_path: Path, url: str) -> None:
    """Prices per million: 30 prompt tokens at 1 and 20 output tokens at 3.5 are 0.0001 a request, so 0.02 are 200 requests."""
    asked = ("-u", "8", "-r", "8", "-t", "60s", "--max-cost", "0.02", "--price-in", "1", "--price-out", "3.5")
    done = run("vllm.py", tmp_path / "r", "--host", url, *LOAD, *asked)
    assert done.code == 0, done.err
    ended = told(done)["ended_by"]
    assert (ended["guard"], ended["limit"]) == ("max_cost", 0.02)
    assert ended["final"] == pytest.approx(len(done.requests) * 0.0001)
    assert 192 <= len(done.requests) <= 240


def test_a_time_ends_a_run(tmp_path: Path, url: str) -> None:
    """After 2 s; what is in flight may finish."""
    done = run("vllm.py", tmp_path / "r", "--host", url, *LOAD, "-u", "4", "-t", "60s", "--max-time", "2s")
    assert done.code == 0, done.err
    ended = told(done)["ended_by"]
    assert (ended["guard"], ended["limit"]) == ("max_time_s", 2.0)
    assert 2.0 <= ended["after_s"] < 3.0
    assert set(done.requests.outcome) == {"ok"}


def test_failures_break_a_run_off(tmp_path: Path) -> None:
    """Every second request fails where 20 % may: over within some 100 requests, with Locust's own exit code for failures."""
    with simulator(*FAST, "--fault", "status:0.5,code=500", "--seed", "5") as failing:
        asked = ("-u", "8", "-r", "8", "-t", "60s", "--max-error-rate", "20%")
        done = run(
            "vllm.py", tmp_path / "r", "--host", failing.url, *LOAD, *asked, "--preflight", "no", "--model", "simulated"
        )  # fmt: skip
    assert done.code == 1, done.err
    assert 20 <= len(done.requests) <= 150
    ended = told(done)["ended_by"]
    assert (ended["guard"], ended["limit"]) == ("max_error_rate", 0.2)
    assert ended["value"] >= 0.2
    assert "of them http_server" in ended["text"]
    assert done.summary["complete"] is True


def test_refusals_for_the_rate_are_counted(tmp_path: Path) -> None:
    """HTTP 429 with Retry-After: how many, over the run and of the level, what they asked for and how users rested."""
    with simulator(*FAST, "--fault", "status:0.3,code=429,retry-after=1", "--seed", "3") as refusing:
        asked = ("--levels", "4", "--requests-per-level", "24", "--preflight", "no", "--model", "simulated")
        done = run("vllm.py", tmp_path / "r", "--host", refusing.url, *LOAD, *asked)
    refused = int((done.requests.http_status == 429).sum())
    assert 2 <= refused <= 16
    expected = {"requests": refused, "retry_after_s_total": refused, "rests": refused, "rest_s": refused}
    assert done.summary["rate_limited"] == expected
    assert done.summary["levels"][0]["rate_limited"] == expected
    assert (
        f"{refused} requests were refused with HTTP 429 (measured ones by level: 4: {refused})"
        in " ".join(done.out.split())
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--max-requests", "0"), "--max-requests '0': give a plain whole number above 0"),
        (("--max-cost", "5"), "--max-cost 5 without prices: give --price-in and --price-out"),
        (("--probe-tokens", "8/8"), "--probe-tokens '8/8' without --probe-every"),
    ],
)
def test_what_is_wrong_is_said_before_load(tmp_path: Path, given: tuple[str, str], said: str) -> None:
    """One line with the option, the value and the fix; exit 2."""
    done = run("vllm.py", tmp_path / "r", "--host", "http://127.0.0.1:9", "-u", "1", "-t", "1s", *given)
    (line,) = done.errors
    assert (done.code, said in line) == (2, True), line
