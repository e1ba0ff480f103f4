"""Arrivals of real runs: due when the schedule says, each once, from one process as from two or four.

Three stages go on at once, with no worker, two and four. Each has a master whose web page starts a run of every
process after the other, as people start them there.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from distributed_runs import BRISK, VLLM, Node, Stage, agree, stage
from locust_runs import Result, held_up_ms, until
from web_page import Page

from harness import arrivals, rows, traces
from harness.servers.process import free_port
from harness.timetable import Timetable

SEED = 7
LENGTH_S = 3
GAP_S = 1 / 128  # of the trace, exact in binary and in decimals
PROCESSES = ("constant", "poisson", "gamma", "ramp", "steps", "trace")
STOPPED = "stopped"  # a run that was ended on the page
WORKERS = (0, 2, 4)
SWEEP = -1  # the stage of a sweep over rates
SIZES = ("--api-mode", "completions", "--prompt-ids", "1000-30000", "--prompt-tokens", "lognormal:30,10")
LOAD = (*SIZES, "--output-tokens", "uniform:4,12", "--seed", str(SEED), "-t", f"{LENGTH_S}s")


def _texts(folder: Path) -> dict[str, str]:
    """What `--arrivals` says; the trace has three requests at a time, and one at the very end."""
    trace = folder / "trace.csv"
    times = [*(GAP_S * 8 * (number // 3) for number in range(90)), 2.5]
    lines = [f"{at:.9f},{10 + number % 40},{4 + number % 9}" for number, at in enumerate(times)]
    trace.write_text("\n".join(["timestamp,prompt_tokens,output_tokens", *lines]) + "\n")
    return {
        "constant": "constant:60",
        "poisson": "poisson:60",
        "gamma": "gamma:60,0.5",
        "ramp": "ramp:10,100,2s,poisson",
        "steps": "steps:30@1s,90@1s",
        "trace": f"trace:{trace}",
    }


@dataclass(frozen=True)
class Shown:
    """What is left of one run."""

    table: pd.DataFrame
    summary: Any
    run: Any
    held_up_ms: float  # of its processes that send
    due_ns: list[int]  # what the schedule says, from the level's beginning
    stop_ns: tuple[int, int] = (0, 0)  # before and after it was stopped on the page, Unix ns

    @property
    def begin_ns(self) -> int:
        """When the level began, by the run's clock."""
        return int(self.run["windows"][0]["start_ns"])

    def off_ns(self, table: pd.DataFrame, due_ns: list[int]) -> int:
        """By how much the records of `table` are due at other moments than the schedule's, at most."""
        found = np.sort(table.scheduled_ns.to_numpy(dtype="int64")) - self.begin_ns
        return int(np.abs(found - np.array(due_ns)).max())

    @property
    def unsure_ns(self) -> float:
        """How well the clocks of its workers are known; 0 where there are none."""
        clocks = [worker["clock"] for worker in self.run["workers"] if worker["clock"]]
        return 2e6 * max([clock["uncertainty_ms"] for clock in clocks], default=0.0)

    def sizes(self) -> dict[int, list[tuple[int, int]]]:
        """What was asked for, by when it was due: nobody can tell arrivals of the same ns apart, and any may go first."""
        named = sorted(self.table.worker.unique())
        found: dict[int, list[tuple[int, int]]] = {}
        for nth, name in enumerate(named):
            mine = self.table[self.table.worker == name]
            # By its own clock: what is taken off that may change between two arrivals of a burst.
            mine = mine.iloc[(mine.scheduled_ns + mine.clock_offset_ns).argsort(kind="stable")]
            numbers = range(nth, len(self.due_ns), len(named))
            for number, row in zip(numbers, mine.itertuples(), strict=True):
                size = int(row.requested_prompt_tokens), int(row.requested_output_tokens)
                found.setdefault(self.due_ns[number], []).append(size)
        return {due_ns: sorted(sizes) for due_ns, sizes in found.items()}


Runs = Mapping[str, Shown]


def _due(text: str, length_s: float) -> list[int]:
    parsed = arrivals.parse(text)
    trace = None if parsed.trace is None else traces.read(parsed.trace)
    offsets = Timetable(parsed, SEED, trace).offsets(1, 1, None)
    return list(takewhile(lambda offset: offset < length_s * 1e9, offsets))


def _all_runs(folder: Path, workers: int, texts: Mapping[str, str]) -> tuple[Runs, Stage, Path]:
    """A run of each process, started on the page of a master with so many workers."""
    with stage(folder, "one", plain=True, file=VLLM) as on:
        server, port = on.simulator(*BRISK[:-1], "1000000"), free_port()
        page = Page(port)
        options = ["--web-host", "127.0.0.1", "--web-port", str(port), "--host", server.url, *LOAD]
        if workers:
            options += ["--master", "--master-bind-port", str(on.port)]
        # The page takes no file's name but one that the process was started with.
        master = on.locust("master", *options, "--arrivals", texts.get("trace", "constant:60"))
        for _ in range(workers):
            on.worker("one")
        until(page.is_up)
        until(lambda: not workers or page.workers() == workers)
        stop_ns: list[int] = []
        for number, (name, text) in enumerate(texts.items(), 1):
            form = {"run_time": "60s"} if name == STOPPED else {}
            page.swarm(user_count=1, spawn_rate=1, host=server.url, arrivals=text, run_name=name, **form)
            if name == STOPPED:
                until(lambda: server.finished() > 40)
                stop_ns.append(time.time_ns())
                page.stop()
                stop_ns.append(time.time_ns())
            until(partial(_has_ended, master, number))
        assert "Traceback" not in "".join(node.err for node in on.nodes)
        found = dict(zip(texts, _ended(master), strict=True))
        if STOPPED in found:
            last = replace(_shown(found[STOPPED], texts[STOPPED], 60), stop_ns=(stop_ns[0], stop_ns[1]))
            return {STOPPED: last}, on, server.log
        return {name: _shown(run, texts[name]) for name, run in found.items()}, on, server.log


def _sweep(folder: Path) -> tuple[Result, Path]:
    """Two rates, twice, from two workers."""
    with stage(folder, "one", plain=True, file=VLLM) as on:
        server = on.simulator(*BRISK)
        times = ("--seconds-per-level", "2", "--warmup", "500ms", "--cooldown", "250ms")
        rates = ("--rates", "20,50", "--arrivals", "poisson", "--repeats", "2", *times)
        load = [*SIZES, "--output-tokens", "5", "--seed", str(SEED), *rates]
        master = on.master("--host", server.url, *load, workers=2)
        for _ in range(2):
            on.worker("one")
        done = master.done()
        assert "Traceback" not in "".join(node.err for node in on.nodes)
        return done, server.log


def _has_ended(master: Node, runs: int) -> bool:
    return len(_ended(master)) == runs


def _ended(master: Node) -> list[Path]:
    """Run directories whose results are written, in order of time."""
    found = [path.parent for path in master.results.glob("*/report.html")]
    return sorted(found, key=lambda run: json.loads((run / "run.json").read_bytes())["begun_ns"])


def _shown(run: Path, text: str, length_s: float = LENGTH_S) -> Shown:
    summary, kept = (json.loads((run / name).read_bytes()) for name in ("summary.json", "run.json"))
    table = rows.load(run / "requests.parquet")
    return Shown(table, summary, kept, held_up_ms(run), _due(text, length_s))


@pytest.fixture(scope="module")
def going(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[int, Future[Any]]]:
    """All stages at once: most of the time they wait for arrivals to be due."""
    folder = tmp_path_factory.mktemp("arrivals")
    texts = _texts(folder)
    with ThreadPoolExecutor(len(WORKERS) + 1) as pool:
        stages = {many: pool.submit(_all_runs, folder / f"with{many}", many, texts) for many in WORKERS}
        yield {**stages, SWEEP: pool.submit(_sweep, folder / "sweep")}


@pytest.fixture(scope="module")
def stopped(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[int, Future[tuple[Runs, Stage, Path]]]]:
    """A run from each number of workers that was ended on its page; all at once."""
    folder, texts = tmp_path_factory.mktemp("stopped"), {STOPPED: "constant:60"}
    with ThreadPoolExecutor(len(WORKERS)) as pool:
        yield {many: pool.submit(_all_runs, folder / f"with{many}", many, texts) for many in WORKERS}


@pytest.fixture
def runs(request: pytest.FixtureRequest, going: Mapping[int, Future[Any]]) -> Runs:
    """Those with so many workers."""
    found: Runs = going[request.param].result()[0]
    return found


with_each = pytest.mark.parametrize("runs", WORKERS, indirect=True, ids=["local", "2 workers", "4 workers"])


@with_each
@pytest.mark.parametrize("name", PROCESSES)
def test_every_arrival_is_due_when_the_schedule_says_and_sent_once(runs: Runs, name: str) -> None:
    """To the nanosecond in one process, within the clocks' uncertainty in several; the count is the schedule's own."""
    shown = runs[name]
    assert len(shown.table) == len(shown.due_ns) > 80
    assert shown.table.request_id.is_unique
    assert shown.off_ns(shown.table, shown.due_ns) <= shown.unsure_ns
    (level,) = shown.summary["levels"]
    assert (level["unsent"], level["failed"], level["concurrency"]) == (0, 0, None)
    assert shown.table.outcome.eq("ok").all()
    assert shown.table.phase.eq("measure").all()


@with_each
@pytest.mark.parametrize("name", PROCESSES)
def test_parts_take_turns(runs: Runs, name: str) -> None:
    """Of n workers, each sends every nth arrival of the one schedule."""
    shown = runs[name]
    named = sorted(shown.table.worker.unique())
    assert len(named) == len(shown.run["workers"])
    for nth, worker in enumerate(named):
        mine = shown.table[shown.table.worker == worker]
        assert shown.off_ns(mine, shown.due_ns[nth :: len(named)]) <= shown.unsure_ns


@with_each
@pytest.mark.parametrize("name", PROCESSES)
def test_requests_leave_close_to_when_they_are_due(runs: Runs, name: str) -> None:
    """None early, most at once even where twelve processes share two cores, the rest as late as their process was."""
    late_ms = (runs[name].table.sent_ns - runs[name].table.scheduled_ns).to_numpy(dtype=float) / 1e6
    assert late_ms.min() >= 0
    assert np.quantile(late_ms, 0.5) < 50
    assert np.quantile(late_ms, 0.99) < 250 + runs[name].held_up_ms


@with_each
def test_the_window_is_the_levels_time(runs: Runs) -> None:
    """-t, or the schedule's own end if that comes before; the rate is the schedule's count over it."""
    lengths_s = {
        name: (window["end_ns"] - window["start_ns"]) / 1e9
        for name in PROCESSES
        for window in runs[name].run["windows"]
    }
    expected_s = {"steps": 2.0, "trace": 2.5 + 1e-9}
    assert lengths_s == {name: pytest.approx(expected_s.get(name, 3.0), abs=2e-9) for name in PROCESSES}
    for name in PROCESSES:
        (level,) = runs[name].summary["levels"]
        assert level["arrivals_per_s"] == pytest.approx(len(runs[name].due_ns) / lengths_s[name], rel=0.005)
        (window,) = runs[name].run["windows"]
        spans_ns = runs[name].table.end_ns.clip(upper=window["end_ns"]) - runs[name].table.sent_ns
        in_flight = spans_ns.clip(lower=0).sum() / 1e9 / lengths_s[name]
        assert level["in_flight_mean"] == pytest.approx(in_flight, rel=1e-3)
        assert math.isclose(
            level["e2e_scheduled_ms"]["p50"], runs[name].table.e2e_scheduled_ms.median(), rel_tol=0.02
        )


def test_the_same_seed_makes_the_same_requests(going: Mapping[int, Future[Any]]) -> None:
    """Request number k has the same lengths whoever sends it; a trace's are its own."""
    alone, two, four = (going[many].result()[0] for many in WORKERS)
    for name in PROCESSES:
        sizes = alone[name].sizes()
        assert sizes == two[name].sizes()
        assert sizes == four[name].sizes()
        assert len({size for one in sizes.values() for size in one}) > 30
    assert alone["poisson"].due_ns != alone["constant"].due_ns
    told: dict[int, list[tuple[int, int]]] = {}
    for number, due_ns in enumerate(alone["trace"].due_ns):
        told.setdefault(due_ns, []).append((10 + number % 40, 4 + number % 9))
    assert alone["trace"].sizes() == {due_ns: sorted(sizes) for due_ns, sizes in told.items()}
    assert sorted(map(len, told.values())) == [1] + [3] * 30


@pytest.mark.calm
@pytest.mark.parametrize("workers", WORKERS)
def test_stop_on_the_page_ends_a_level_there(
    stopped: Mapping[int, Future[tuple[Runs, Stage, Path]]], workers: int
) -> None:
    """What was due until then was sent, but what its process was just being kept from, and went on to its end; the window ends with the stop."""
    runs, _, log = stopped[workers].result()
    shown = runs[STOPPED]
    agree(shown.table, log)
    (level,) = shown.summary["levels"]
    count = len(shown.table)
    assert 40 < count < len(shown.due_ns)
    assert shown.off_ns(shown.table, shown.due_ns[:count]) <= shown.unsure_ns
    assert shown.table.outcome.eq("ok").all()
    assert level["unsent"] <= 3 + 60 * shown.held_up_ms / 1e3
    (window,) = shown.run["windows"]
    before_ns, after_ns = shown.stop_ns
    assert before_ns - 50_000_000 < window["end_ns"] < after_ns + 50_000_000  # two processes' Unix time


NOTING = """
import gc, os, pathlib
from harness.load import Load
begin = Load.begin
def noting(self, *args, **more):
    pathlib.Path("{folder}", f"frozen-{{os.getpid()}}").write_text(str(gc.get_freeze_count()))
    begin(self, *args, **more)
Load.begin = noting
"""


def test_a_worker_has_looked_for_garbage_when_its_first_order_comes(tmp_path: Path) -> None:
    """That takes 100 ms and more, and the order comes 100 ms before the first arrivals are due."""
    file = tmp_path / "noting.py"
    file.write_text(Path(VLLM).read_text() + NOTING.format(folder=tmp_path))
    with stage(tmp_path / "on", "one", plain=True, file=str(file)) as on:
        server = on.simulator(*BRISK)
        load = (*SIZES, "--output-tokens", "4", "--arrivals", "constant:20", "-t", "1s")
        master = on.master("--host", server.url, *load, workers=1)
        worker = on.worker("one")
        assert master.done().code == 0, master.err
    assert int((tmp_path / f"frozen-{worker.pid}").read_text()) > 10_000


def test_a_sweep_over_rates_holds_each_level_by_the_clock(going: Mapping[int, Future[Any]]) -> None:
    """A schedule of its own for each level and repeat; what counts follows from when it was due."""
    done, log = going[SWEEP].result()
    kept = json.loads((done.directory / "run.json").read_bytes())
    assert [(one["level"], one["repeat"]) for one in kept["windows"]] == [(1, 1), (2, 1), (1, 2), (2, 2)]
    timetable = Timetable(arrivals.parse("poisson"), SEED)
    unsure_ns = 2e6 * max(worker["clock"]["uncertainty_ms"] for worker in kept["workers"])
    for window in kept["windows"]:
        assert window["end_ns"] - window["start_ns"] == 1_250_000_000
        level, repeat = window["level"], window["repeat"]
        offsets = timetable.offsets(level, repeat, (20.0, 50.0)[level - 1])
        due_ns = np.array(list(takewhile(lambda offset: offset < 2e9, offsets)))
        mine = done.requests.query("level == @level and repeat == @repeat").sort_values("scheduled_ns")
        since_ns = mine.scheduled_ns.to_numpy(dtype="int64") - (window["start_ns"] - 500_000_000)
        assert np.abs(since_ns - due_ns).max() <= unsure_ns
        phases = np.where(
            since_ns < 500_000_000, "warmup", np.where(since_ns < 1_750_000_000, "measure", "drain")
        )
        assert (mine.phase.to_numpy() == phases).mean() > 0.97  # one on the very edge, by another clock
    assert [(one["level"], one["title"], one["unsent"]) for one in done.summary["levels"]] == [
        (1, "20 req/s", 0),
        (2, "50 req/s", 0),
    ]
    assert done.code == 0
    agree(done.requests, log)


def test_the_server_saw_the_same_requests(going: Mapping[int, Future[Any]]) -> None:
    """Of each stage, one by one, over all of its runs."""
    for many in WORKERS:
        runs, _, log = going[many].result()
        agree(pd.concat([shown.table for shown in runs.values()]), log)
