"""Probes of real runs: at their pace whatever the load does, apart from it, and slower where the load is higher."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed_runs import BRISK, IDS, SMALL, VLLM, stage
from locust_runs import Result, held_up_ms, run, simulator, until

from harness.servers.process import free_port

EVERY_S = 0.25
PROBES = ("--probe-every", "250ms", "--probe-tokens", "12/4")


@pytest.fixture(scope="module", params=[0, 2])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Result]:
    """Levels of 2 and 24 users for 4 s each, of a server with 4 slots; in one process, and with two workers."""
    port = str(free_port())
    many = ("--processes", "2", "--master-bind-port", port, "--master-port", port) if request.param else ()
    folder = tmp_path_factory.mktemp("probes")
    with simulator(*BRISK, "--slots", "4", "--step-base-ms", "10") as server:
        asked = ("--levels", "2,24", "--seconds-per-level", "4s", "--output-tokens", "10")
        yield run("vllm.py", folder / "r", "--host", server.url, *IDS, *asked, *PROBES, *many)


def probes(done: Result) -> pd.DataFrame:
    """Their rows, in order."""
    rows = done.requests
    return rows[rows.phase == "probe"].sort_values("scheduled_ns").reset_index(drop=True)


def skipped(done: Result) -> int:
    """How many were not sent, by the run's own word: where a machine that others use held the sender up for a period."""
    told = [
        re.search(r"(\d+) of \d+ probes were not sent", why) for why in done.summary["verdict"]["reasons"]
    ]
    return sum(int(found[1]) for found in told if found)


def test_they_come_at_their_pace(done: Result) -> None:
    """Each due a whole number of periods after load began, none twice, and as many as fit into the run."""
    assert done.code == 0, done.err
    told = json.loads((done.directory / "run.json").read_bytes())
    begun_ns = told["begun_ns"]
    due = (probes(done).scheduled_ns.to_numpy() - begun_ns) / 1e9 / EVERY_S
    numbers = np.round(due).astype(int)
    assert np.abs(due - numbers).max() * EVERY_S < 0.005  # two processes' clocks
    assert len(set(numbers)) == len(numbers)
    missing = numbers[-1] + 1 - numbers[0] - len(numbers)
    assert missing <= skipped(done) <= missing + 4  # one that was due at either end may be among them
    (stop_ns,) = [event["time_ns"] for event in told["events"] if event.get("topic") == "stop"]
    load = done.requests[done.requests.phase != "probe"]
    first, last, stop = (
        (at - begun_ns) / 1e9 / EVERY_S for at in (load.sent_ns.min(), load.end_ns.max(), stop_ns)
    )
    assert numbers[0] <= first + 4
    heard = stop + held_up_ms(done.directory) / 1e3 / EVERY_S  # where another process sends them
    assert last - 4 <= numbers[-1] <= heard


def test_one_process_sends_them_all(done: Result) -> None:
    """Under their own name, of their own size, and of the level that was under way."""
    found = probes(done)
    assert len(set(found.worker)) == 1
    assert set(found.name) == {"probe"}
    assert set(found.requested_prompt_tokens) == {12}
    assert set(found.output_tokens) == {4}
    assert set(found.level) <= {0, 2, 24}
    assert {2, 24} <= set(found.level)


def test_they_are_in_no_statistic_of_a_level(done: Result) -> None:
    """Levels count measured requests alone; totals tell the probes apart; the audit reconciles."""
    summary, rows = done.summary, done.requests
    for level in summary["levels"]:
        mine = rows[(rows.phase == "measure") & (rows.level == level["level"])]
        assert level["requests"] == len(mine)
        assert level["prompt_tokens"]["mean"] == 30
    assert summary["totals"]["probes"] == summary["audit"]["probes"] == len(probes(done))
    assert summary["audit"]["reconciles"] is True
    assert summary["totals"]["offered"] == summary["audit"]["offered"] == len(rows)


def test_load_shows_in_them(done: Result) -> None:
    """At 24 users of 4 slots they wait in line as everybody does; at 2 users they hardly wait."""
    calm, busy = done.summary["probes"]
    assert (calm["level"], busy["level"]) == (2, 24)
    windows = {one["level"]: one for one in json.loads((done.directory / "run.json").read_bytes())["windows"]}
    for one in (calm, busy):
        seconds = (windows[one["level"]]["end_ns"] - windows[one["level"]]["start_ns"]) / 1e9
        assert -1 - skipped(done) <= one["n"] - seconds / EVERY_S <= 1
        assert one["succeeded"] == one["n"]
    assert busy["ttft_ms"]["p50"] > 3 * calm["ttft_ms"]["p50"]


def test_they_are_shown(done: Result) -> None:
    """A table of their own on the console and in the report."""
    assert "probes: small requests beside the load" in done.out
    page = (done.directory / "report.html").read_text()
    assert "Probes: small requests beside the load" in page


def test_they_do_not_count_for_max_requests(tmp_path: Path) -> None:
    """30 requests, and the probes beside; a sweep's plan knows nothing of them either."""
    with simulator(*BRISK) as server:
        asked = ("-u", "4", "-r", "4", "-t", "60s", "--max-requests", "30", "--probe-every", "100ms")
        timed = run("vllm.py", tmp_path / "a", "--host", server.url, *SMALL, *asked)
        sweep = ("--levels", "1,2", "--requests-per-level", "6", "--probe-every", "100ms")
        planned = run("vllm.py", tmp_path / "b", "--host", server.url, *SMALL, *sweep)
    for done, number in ((timed, 30), (planned, 12)):
        assert done.code == 0, done.err
        assert int((done.requests.phase != "probe").sum()) == number
        assert len(probes(done)) >= 3
        assert done.summary["complete"] is True
    audit: Any = planned.summary["audit"]
    assert (audit["planned"], audit["unsent"], audit["offered"]) == (12, 0, 12 + audit["probes"])


def sender(folder: Path) -> int | None:
    """The pid of the worker whose journal has a probe."""
    for path in folder.rglob("journal*.jsonl"):
        lines = path.read_text().splitlines()
        if any('"phase":"probe"' in line for line in lines):
            return int(json.loads(lines[0])["pid"])
    return None


def test_who_sends_them_is_followed_by_another(tmp_path: Path) -> None:
    """Its sender leaves: the other worker goes on with the numbers that follow, and none is due twice."""
    with stage(tmp_path, "one", "two", plain=True, file=VLLM) as on:
        server = on.simulator(*BRISK)
        asked = ("-u", "4", "-r", "4", "-t", "12s", "--probe-every", "200ms")
        master = on.master("--host", server.url, *SMALL, *asked, workers=2)
        workers = [on.worker("one"), on.worker("two")]
        until(lambda: server.finished() > 60 and sender(tmp_path) is not None)
        (who,) = [node for node in workers if node.pid == sender(tmp_path)]
        who.signal(signal.SIGINT)
        done = master.done()
    rows = probes(done)
    steps = np.round(np.diff(rows.scheduled_ns.to_numpy() / 2e8)).astype(int)
    assert rows.worker.nunique() == 2
    assert (steps >= 1).all()
    assert steps.max() <= 12  # a change of hands takes a report and an order
