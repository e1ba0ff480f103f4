"""Several runs one after the other from one master, by the web UI's HTTP API: nothing of one is in the next."""

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from distributed_runs import BRISK, SMALL, VLLM, Node, Served, agree, stage
from locust_runs import truth, until
from recomputed import check
from web_page import Page

from harness import rows
from harness.clock import now_ns
from harness.servers.process import free_port


@dataclass(frozen=True)
class Both:
    """What is left of two runs and of the processes that made them."""

    runs: list[Path]
    server: Served
    master: Node
    workers: list[Node]
    took_s: float  # from the first's end to the second's first requests
    stats: Any
    codes: list[int]
    strays: list[str]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """A run of four users, and at its end one of three with longer answers."""
    folder = tmp_path_factory.mktemp("web")
    with stage(folder, "one", "two", plain=True, file=VLLM) as on:
        server, port = on.simulator(*BRISK), free_port()
        page = Page(port)
        web = ("--web-host", "127.0.0.1", "--web-port", str(port), "--master-bind-port", str(on.port))
        master = on.locust("master", "--master", *web, *SMALL, "--host", server.url)
        workers = [on.worker("one"), on.worker("two")]
        until(lambda: page.workers() == 2)
        page.swarm(user_count=4, spawn_rate=20, host=server.url, run_name="first")
        until(lambda: server.finished() > 20)
        page.stop()
        until(lambda: len(_ended(master)) == 1)
        begun_ns, seen = now_ns(), server.finished()
        page.swarm(user_count=3, spawn_rate=20, host=server.url, run_name="second", output_tokens="15")
        until(lambda: server.finished() > seen + 24)
        page.stop()
        until(lambda: len(_ended(master)) == 2)
        stats = page.stats()
        assert not any(worker.over for worker in workers)
        master.signal(signal.SIGINT)
        codes = [node.end(30) for node in (master, *workers)]
        strays = [stray for node in (master, *workers) for stray in node.strays()]
        took_s = (truth(server.log).query("received_ns > @begun_ns").received_ns.min() - begun_ns) / 1e9
        return Both(_ended(master), server, master, workers, took_s, stats, codes, strays)


def _ended(master: Node) -> list[Path]:
    """Run directories whose results are written, in order of time."""
    found = [path.parent for path in master.results.glob("*/report.html")]
    return sorted(
        found, key=lambda run: json.loads((run / "run.json").read_bytes())["windows"][0]["start_ns"]
    )


def _results(run: Path) -> tuple[pd.DataFrame, Any, Any]:
    """(table, summary.json, run.json)."""
    summary, kept = (json.loads((run / name).read_bytes()) for name in ("summary.json", "run.json"))
    return rows.load(run / "requests.parquet"), summary, kept


def test_two_runs_from_one_master(both: Both) -> None:
    """Other ids, levels, settings and counts; each request of the server's log is in one of the two, and in one only."""
    (first, second), workers = both.runs, both.workers
    table_1, summary_1, run_1 = _results(first)
    table_2, summary_2, run_2 = _results(second)
    assert summary_1["run_id"] != summary_2["run_id"]
    assert summary_1["complete"]
    assert summary_2["complete"]
    assert [level["concurrency"] for level in summary_1["levels"]] == [4]
    assert [level["concurrency"] for level in summary_2["levels"]] == [3]
    assert set(table_2.level) <= {0, 3}
    assert table_1.output_tokens.eq(10).all()
    assert table_2.output_tokens.eq(15).all()
    assert not set(table_1.request_id) & set(table_2.request_id)
    agree(pd.concat([table_1, table_2]), both.server.log)
    for table, summary, run in ((table_1, summary_1, run_1), (table_2, summary_2, run_2)):
        assert summary["totals"]["succeeded"] == summary["audit"]["offered"] == len(table)
        assert summary["audit"]["reconciles"]
        assert {worker["pid"] for worker in run["workers"]} == {worker.pid for worker in workers}
        assert sum(worker["totals"]["offered"] for worker in run["workers"]) == len(table)
        assert [worker["state"] for worker in run["workers"]] == ["ended", "ended"]
    check(first)
    check(second)
    assert "Traceback" not in both.master.err


def test_the_second_run_is_under_way_at_once(both: Both) -> None:
    """Locust's workers would first wait 30 s, their --stop-timeout, for users that are gone."""
    assert both.took_s < 20


def test_nothing_of_either_is_left(both: Both) -> None:
    """No journal in the master's folder, no file at all in the workers'."""
    runs, master, workers = both.runs, both.master, both.workers
    assert sorted(path.name for path in master.results.iterdir()) == sorted(run.name for run in runs)
    assert not list(master.results.glob("*/*journal*"))
    for worker in workers:
        assert not list(worker.results.glob("*"))
        assert "Traceback" not in worker.err


def test_locusts_own_statistics_begin_anew(both: Both) -> None:
    """The page counts the second run's requests alone."""
    table, *_ = _results(both.runs[1])
    assert both.stats["total_rps"] >= 0
    (total,) = [row for row in both.stats["stats"] if row["name"] == "Aggregated"]
    assert total["num_requests"] == len(table)
    assert total["num_failures"] == 0


def test_closing_the_page_ends_all(both: Both) -> None:
    """Ctrl-C on the master between runs: master and workers end well, and leave no process."""
    assert both.codes == [0, 0, 0]
    assert both.strays == []
