"""Searches, saturation and steady state against a simulator whose limit is known beforehand.

Eight slots and a fixed step of 10 ms: up to 8 users nobody waits, and the ninth waits for a slot, some 200 ms. An answer of
20 tokens holds its slot for 20 steps, so 8 / 0.2 s = 40 requests/s are the most that can be served.
"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from locust_runs import Result, finish, held_up_ms, journaled, run, simulator, start, truth, until

from harness.clock import ANCHOR_NS
from harness.servers.process import Server, free_port

SLOTS, LIMIT = 8, 40.0
ENGINE = ("--slots", str(SLOTS), "--step-base-ms", "10", "--step-per-seq-ms", "0", "--prefill-rate", "100000")
LOAD = ("--speak", "vllm", *ENGINE)
ASK = (
    *("--api-mode", "completions", "--prompt-ids", "1000-30000", "--prompt-tokens", "30"),
    *("--output-tokens", "20", "--server-metrics", "no"),
)
SLO = ("--slo", "ttft_p95<110ms")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One for all tests."""
    with simulator(*LOAD) as running:
        yield running


def workers() -> tuple[str, ...]:
    """Options for two worker processes."""
    port = str(free_port())
    return ("--processes", "2", "--master-bind-port", port, "--master-port", port)


def events(done: Result, topic: str) -> list[str]:
    """What was noted under a topic."""
    told = json.loads((done.directory / "run.json").read_bytes())
    return [event["what"] for event in told["events"] if event.get("topic") == topic]


@pytest.mark.calm
@pytest.mark.parametrize("processes", [1, 2])
def test_the_highest_concurrency_is_the_number_of_slots(
    tmp_path: Path, server: Server, processes: int
) -> None:
    """Within one user; each step's records say what the live counts said; misses on the way are no error."""
    done = run(
        "vllm.py", tmp_path / "r", "--host", server.url, *ASK, *SLO,
        "--search", "concurrency:2-16", "--requests-per-level", "8x", *(workers() if processes == 2 else ()),
    )  # fmt: skip
    assert done.code == 0, done.err
    sought = done.summary["search"]
    assert sought["value"] == pytest.approx(SLOTS, abs=1)
    assert sought["first_miss"] == sought["value"] + 1
    assert sought["limited_by"] == ["ttft_p95<110ms"]
    assert (sought["finished"], sought["option"]) == (True, "concurrency:2-16")
    assert [step["value"] for step in sought["steps"]][:4] == [2, 4, 8, 16]
    assert all(step["whole"] for step in sought["steps"])
    assert [step["requests"] for step in sought["steps"]] == [8 * step["value"] for step in sought["steps"]]
    for step in sought["steps"]:
        live, records = step["live"][0]["value"], step["records"]["slo"][0]["value"]
        assert live == pytest.approx(records, rel=0.021)  # two order statistics, each within 1 %
    assert events(done, "note")[-1] == sought["answer"]
    assert f"the highest concurrency that meets the SLOs is {sought['value']:.0f} users" in done.out
    assert "search: evidence" in done.out
    assert {level["level"] for level in done.summary["levels"]} == {step["level"] for step in sought["steps"]}


@pytest.mark.calm
def test_the_highest_rate_is_what_the_slots_can_serve(tmp_path: Path, server: Server) -> None:
    """Within the precision asked for, and the few requests by which a queue has to grow to be seen."""
    done = run(
        "vllm.py", tmp_path / "r", "--host", server.url, *ASK, *SLO, "--arrivals", "constant",
        "--search", "rate:20-80,10%", "--seconds-per-level", "3s",
    )  # fmt: skip
    assert done.code == 0, done.err
    sought = done.summary["search"]
    assert 0.9 * LIMIT <= sought["value"] <= 1.05 * LIMIT
    assert sought["value"] < sought["first_miss"] <= 1.1 * sought["value"] * 1.001
    rates = [level["value"] for level in done.summary["levels"]]
    assert rates == sorted(rates)
    assert [step["level"] for step in sought["steps"][:3]] == [1, 2, 3]
    assert done.summary["slo"]["highest_level"] == next(
        level["level"] for level in done.summary["levels"] if level["value"] == sought["value"]
    )


def test_no_load_meets_them(tmp_path: Path, server: Server) -> None:
    """Exit code 3, and one trial, or two where the first was not clear."""
    done = run(
        "vllm.py", tmp_path / "r", "--host", server.url, *ASK, "--slo", "e2e_p95<100ms",
        "--search", "concurrency:1-16", "--requests-per-level", "20",
    )  # fmt: skip
    assert done.code == 3, done.err
    assert done.summary["search"]["value"] is None
    assert done.summary["search"]["answer"].startswith(
        "no concurrency meets the SLOs: 1 user misses e2e_p95<100ms"
    )
    assert done.summary["complete"]


def test_a_sweep_ends_when_the_system_is_saturated(tmp_path: Path, server: Server) -> None:
    """64 users get no more than 16, so more are not held; on a noisy machine it may take one level more to be sure."""
    levels = [4, 16, 64, 128, 256]
    done = run(
        "vllm.py", tmp_path / "r", "--host", server.url, *ASK, "--levels", ",".join(map(str, levels)),
        "--stop-when-saturated", "--seconds-per-level", "6s",
    )  # fmt: skip
    assert done.code == 0, done.err
    full = done.summary["saturated"]
    assert full["level"] in (64, 128)
    assert full["dropped"] == [f"{level} users" for level in levels if level > full["level"]]
    assert [level["level"] for level in done.summary["levels"]] == [
        one for one in levels if one <= full["level"]
    ]
    assert done.summary["complete"]
    (said,) = events(done, "guard")
    assert said.startswith(f"saturated at {full['title']}: {full['level']} users get ")
    assert f"saturated at {full['title']}" in done.out


@pytest.mark.calm
def test_steady_state_begins_when_an_injected_ramp_ends(tmp_path: Path) -> None:
    """Somebody else's requests hold six slots for the first seconds: `--warmup auto` leaves them out of all figures.

    Steps of 30 ms: a turn of a few ms on a busy machine is little beside an answer's 0.6 s, so that the load is as even as
    it is meant to be. Lengths vary, or the six who have waited would go in step to the end.
    """
    step_s, held, log = 0.03, 120, tmp_path / "truth.jsonl"
    engine = (
        "--slots",
        str(SLOTS),
        "--step-base-ms",
        "30",
        "--step-per-seq-ms",
        "0",
        "--prefill-rate",
        "100000",
    )
    with simulator("--speak", "vllm", *engine, "--log", str(log)) as server:
        process = start(
            "vllm.py", tmp_path / "r", "--headless", "--host", server.url, *ASK, "--output-tokens", "uniform:15,25",
            "--levels", "8", "--seconds-per-level", "14s", "--warmup", "auto",
        )  # fmt: skip
        until(lambda: journaled(tmp_path / "r", '"topic":"level"') > 0)

        def hold() -> None:
            body = {"model": "simulated", "prompt": "a b c", "max_tokens": held, "ignore_eos": True}
            requests.post(f"{server.url}/v1/completions", json=body, timeout=60).raise_for_status()

        others = [threading.Thread(target=hold) for _ in range(6)]
        for one in others:
            one.start()
        for one in others:
            one.join()
        done = finish(process, tmp_path / "r")
    assert done.code == 0, done.err
    told = json.loads((done.directory / "run.json").read_bytes())
    (window,) = told["windows"]
    (level,) = done.summary["levels"]
    true = truth(log)  # its own word, whenever we heard of it
    ramp_s = (true[true.output_tokens == held].finished_ns.max() + ANCHOR_NS - window["start_ns"]) / 1e9
    assert level["steady"]["is_steady"] is True
    assert level["steady"]["cut"] is True
    # Those who have waited go in step for the length of two answers, which may be left out too; so may what a busy machine did.
    held_s = held_up_ms(done.directory) / 1e3
    assert ramp_s - 0.7 < level["steady"]["from_s"] < ramp_s + 2 * 0.6 + 0.7 + held_s
    assert (
        level["window_s"] <= (window["end_ns"] - window["start_ns"]) / 1e9 - level["steady"]["from_s"] + 1e-6
    )
    # Each turn takes 20 steps, and waits for one to begin.
    assert level["system_output_tokens_per_s"] == pytest.approx(SLOTS * 20 / (21 * step_s), rel=0.06)
    assert (
        level["ttft_ms"]["p99"] < 300
    )  # nobody who is counted has waited for a slot, which takes 0.6 s and more
    assert "--warmup auto left out" in done.out
