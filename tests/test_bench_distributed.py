"""The bench of distributed load: are efficiency and costs what the logs and samples say? Figures by hand, and one run of the real thing."""

import json
import os
import shutil
import sys
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

BENCH = Path(__file__).parent.parent / "bench"
sys.path.insert(0, str(BENCH))

import distributed  # noqa: E402
import distributed_page  # noqa: E402
import master_cost  # noqa: E402
import results  # noqa: E402
import toolchain  # noqa: E402
from distributed import Efficiency  # noqa: E402
from loads import QUICK, Load  # noqa: E402
from master_cost import Cost  # noqa: E402
from processes import BenchError, Outcome, Place, Sample  # noqa: E402
from score import Figures  # noqa: E402
from stamps import Stamps  # noqa: E402

import bench  # noqa: E402

native = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="the truth server needs Linux and cc"
)
SECOND = 1_000_000_000
# Ten seconds, starts over two: with a second at either end left out, six are steady.
LOAD = Load("2x1", 2, 3, SECOND // 1000, 0, 0, spread_s=2.0, seconds=10.0)


def figures(**given: float | None) -> Figures:
    """A load's figures, fine unless said otherwise."""
    fine: dict[str, float | None] = {
        "events_per_s": 42_000, "requests_per_s": 500, "cpu_us": 15, "busy_percent": 60, "ttft_p50_ms": 0.05,
        "ttft_p99_ms": 0.2, "ttft_max_ms": 1, "gap_p50_us": 1, "gap_p99_us": 10, "gap_max_us": 20, "merged_percent": 0,
        "lost": 0, "failed": 0, "unknown": 0, "behind_p99_ms": 1, "rss_mb": 100, "rss_growth_mb": None, "files_left": 0,
        "server_late_p99_ms": 0.1, "others_percent": 0,
    }  # fmt: skip
    values: dict[str, Any] = fine | given
    return Figures(**values)


EFFICIENCY = Efficiency("locust", figures(cpu_us=15), figures(cpu_us=16), figures(cpu_us=18), 1.25)


def test_efficiency() -> None:
    """Twice the cost of an event on one process over that on two."""
    assert EFFICIENCY.split == pytest.approx(2 * 15 / 16)
    assert EFFICIENCY.doubled == pytest.approx(2 * 18 / 16)
    assert [(line.value, line.met) for line in distributed.targets(EFFICIENCY)] == [
        ("1.88 (15.0 and 16.0 µs/event)", True),
        ("2.25 (18.0 and 16.0 µs/event)", True),
        ("TTFT 0.200 and 0.200 ms, gaps 10.0 and 10.0 µs", True),
    ]


def test_what_misses_the_target() -> None:
    """An efficiency under 1.8; errors that are not equal; an event lost."""

    def met(two: Figures) -> list[bool | None]:
        return [line.met for line in distributed.targets(replace(EFFICIENCY, two=two))]

    assert met(figures(cpu_us=16.7)) == [False, True, True]
    assert met(figures(cpu_us=16, ttft_p99_ms=0.6)) == [True, True, False]
    assert met(figures(cpu_us=16, gap_p99_us=51)) == [True, True, False]
    assert met(figures(cpu_us=16, lost=1)) == [True, True, False]


def test_cpu_is_that_of_the_steady_part() -> None:
    """Between the samples that lie in it; events are the server's of that time."""
    # One request each second from second 0 to 19, of three events in its first 3 ms.
    sent: dict[str, Stamps] = {
        str(n): Stamps(str(n), 3, n * SECOND, array("q", [n * SECOND + at * 1_000_000 for at in (1, 2, 3)]))
        for n in range(20)
    }
    window = distributed._steady(sent, LOAD)
    assert window == (12 * SECOND, 18 * SECOND)  # six seconds until one before the last request
    samples = [
        Sample(int(at * SECOND), 10.0, cpu_s, 9)
        for at, cpu_s in ((5, 0.0), (12.5, 1.0), (17.5, 1.5), (19, 9.0))
    ]
    assert distributed._cpu_s_per_s(samples, window) == pytest.approx(0.5 / 5)
    with pytest.raises(BenchError, match="too short"):
        distributed._cpu_s_per_s(samples[:2], window)
    # A client that sees everything 0.25 ms later, and request 3, before the steady part, without its last event.
    got: dict[str, Stamps] = {
        name: replace(one, times=array("q", [at + 250_000 for at in one.times[: 2 if name == "3" else 3]]))
        for name, one in sent.items()
    }
    found = distributed._figures(LOAD, sent, got, window, cpu_s_per_s=0.1, rss_mb=50.0)
    assert found.events_per_s == pytest.approx(18 / 6)
    assert found.cpu_us == pytest.approx(0.1e6 / 3)
    assert found.busy_percent == pytest.approx(10)
    assert [found.ttft_p50_ms, found.ttft_max_ms] == pytest.approx([0.25, 0.25])
    assert (found.gap_max_us, found.lost, found.rss_mb) == (0, 1, 50)


def test_rows_of_a_table_are_stamps(tmp_path: Path) -> None:
    """Arrivals from the first and the gaps; a request that was never sent has none."""
    folder = tmp_path / "run"
    folder.mkdir()
    rows: list[dict[str, Any]] = [
        {
            "request_id": "a",
            "sent_ns": 5,
            "first_content_ns": 100,
            "chunk_gaps_us": [1.0, 2.5],
            "outcome": "ok",
        },
        {"request_id": "b", "sent_ns": 6, "first_content_ns": None, "chunk_gaps_us": [], "outcome": "failed"},
        {
            "request_id": "c",
            "sent_ns": None,
            "first_content_ns": None,
            "chunk_gaps_us": [],
            "outcome": "failed",
        },
    ]
    pq.write_table(pa.Table.from_pylist([{**row, "end_ns": 1} for row in rows]), folder / "requests.parquet")
    found = distributed._table(tmp_path, LOAD)
    assert found == {
        "a": Stamps("a", 3, 5, array("q", [100, 1100, 3600]), complete=True),
        "b": Stamps("b", 3, 6, array("q"), complete=False),
    }
    with pytest.raises(BenchError, match="left 0 tables"):
        distributed._table(tmp_path / "other", LOAD)


def test_commands_of_a_locust_run(tmp_path: Path) -> None:
    """One process is a local run; two are a master's workers, which ask nothing of the command line."""
    master, [local] = distributed._locust(1, LOAD, 8000, tmp_path)
    assert (master, local[local.index("-u") + 1], local[local.index("-r") + 1]) == ([], "2", "2")
    [master_line], workers = distributed._locust(2, LOAD, 8000, tmp_path)
    port = master_line[master_line.index("--master-bind-port") + 1]
    assert master_line[master_line.index("-u") + 1] == "4"
    assert [worker[-3:] for worker in workers] == [["--worker", "--master-port", port]] * 2


COST = Cost(
    kind="timed", workers=2, seconds=5.0, percent=3.0, rss_mb=90.0, requests_per_s=50.0, orders_per_s=1.0, order_gap_p50_s=1.0,
    order_gap_p99_s=1.1, order_gap_max_s=1.2, answer_p50_ms=0.5, answer_p99_ms=2.0, answer_max_ms=3.0, stats_bytes=1500.0,
    closing_s=2.0, workers_percent=10.0,
)  # fmt: skip


def test_cost_of_a_master() -> None:
    """CPU between the samples under load, gaps of each worker's own orders, answers of that time only."""
    begin = 3 * SECOND  # three seconds after the last of them had users
    said = {
        "loaded_ns": [0, 0],
        "orders_ns": [[begin - 1, begin, begin + SECOND, begin + 3 * SECOND], [begin + 2 * SECOND]],
        "heartbeats_ns": [[0, 9 * SECOND], [begin, 1_000_000], [begin + 1, 3_000_000]],
        "stopped_ns": [9 * SECOND, 10 * SECOND],
        "stats_bytes": [100, 200],
        "requests": 120,
    }
    samples = [
        Sample(int(at * SECOND), mb, cpu, 1)
        for at, mb, cpu in ((1, 80, 0), (3, 81, 1), (7, 90, 1.2), (12, 85, 9))
    ]
    swarm = Outcome(json.dumps(said), [Sample(each.time_ns, 50, each.cpu_s * 2, 1) for each in samples], 0.0)
    found = master_cost._cost("timed", master_cost.Load(2, 5.0), swarm, samples, "words")
    assert [found.percent, found.percent_per_worker] == pytest.approx([5, 2.5])
    assert (found.order_gap_p50_s, found.order_gap_max_s) == (2.0, 2.0)
    assert found.orders_per_s == pytest.approx(4 / 2 / 4)
    assert (found.answer_p50_ms, found.answer_max_ms) == (3.0, 3.0)
    assert (found.rss_mb, found.closing_s, found.stats_bytes) == (90, 3.0, 150)
    assert found.workers_percent == pytest.approx(10)
    assert found.requests_per_s == pytest.approx(120 / 9)


def test_targets_of_a_master() -> None:
    """2 % of a core a worker, and no worker unheard for more than one and a half seconds."""
    assert [(line.value, line.met) for line in master_cost.targets(COST)] == [
        ("1.50 % (3 % in all)", True),
        ("1.00 s, at most 1.20", True),
    ]
    slow = replace(COST, percent=4.1, order_gap_max_s=1.6)
    assert [line.met for line in master_cost.targets(slow)] == [False, False]
    silent = replace(COST, kind="locust", order_gap_p50_s=None, order_gap_p99_s=None, order_gap_max_s=None)
    assert len(master_cost.targets(silent)) == 1


def test_the_page_has_it(tmp_path: Path) -> None:
    """Kept as numbers, shown as two tables and lines of the contract; Locust's own master is for comparison only."""
    found = distributed_page.stored(
        {"locust": EFFICIENCY}, {"timed": COST, "locust": replace(COST, kind="locust")}
    )
    part = results.Part("today", "make bench", {"CPU": "abc"}, {"locust": "1"}, "fifo", found)
    results.save(tmp_path / "results.json", {"distributed": part})
    assert results.load(tmp_path / "results.json") == {"distributed": part}
    page = (tmp_path / "RESULTS.md").read_text()
    rows = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
        for line in page.splitlines()
        if line.startswith("|")
    }
    assert rows["locust, 2 x 500x50"] == ["42,000", "16.00", "0.050 / 0.200", "1.00 / 10.0", "0", "100"]
    assert rows["timed"] == [
        "2",
        "50",
        "3.0",
        "1.500",
        "1.00 / 1.10 / 1.20",
        "0.500 / 2.00 / 3.00",
        "1,500",
        "90",
        "2.00",
    ]
    assert rows["timed: 2 workers on one master for 5 s: <= 2 % of a core per worker"][1] == "met"
    assert not any(name.startswith("locust: 2 workers") for name in rows)
    assert "the master of two workers took 1.2 % of a core" in page


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            ("--distributed", "--bookkeeping"),
            "--bookkeeping and --distributed are two runs: give one of them",
        ),
        (("--distributed", "--soak", "1"), "--soak and --distributed are two runs: give one of them"),
    ],
)
def test_wrong_options(options: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line; exit code 2."""
    assert bench.main(options) == 2
    assert capsys.readouterr().err == f"bench: error: {text}\n"


@native
@pytest.mark.parametrize("path", distributed.PATHS)
def test_two_processes_for_real(path: str) -> None:
    """Two processes, bare or a master's workers, share a small load; each event that was sent is there."""
    toolchain.build_c()
    cores = sorted(os.sched_getaffinity(0))
    places = (Place(cores[0], "none"), Place(cores[-1], "none"))
    found, master = distributed._one(path, places, 2, QUICK.lasting(5.0))
    nominal = 2 * QUICK.streams * QUICK.events / (QUICK.events * QUICK.gap_us / 1e6 + QUICK.first_us / 1e6)
    assert 0.5 * nominal < found.events_per_s < 1.1 * nominal
    assert (found.lost, found.failed) == (0, 0)
    assert 2 < found.cpu_us < 1000
    assert (master is None) == (path == "clients")
    assert master is None or master < 50


def test_a_process_that_fails() -> None:
    """Its last words, in one line."""
    place = Place(min(os.sched_getaffinity(0)), "none")
    with pytest.raises(BenchError, match="no good"):
        distributed._run([sys.executable, "-c", "raise SystemExit('no good')"], place, QUICK)
