"""Two load-generating processes against one: what an event costs in each, and how exact both are.

Three loads of 50 events/s a stream take turns: all streams on one process, half of them on each of two, and that half on
one. Two paths carry them:

    clients   our load path in bare processes (client_tokenswarm.py)
    locust    what a user runs: one headless Locust run, or a Locust master with two workers. Locust starts users by the
              second; here each waits a little first, so that they do not march in step, as in the other loads

CPU is the processes' user and system time as /proc has it, over the part of the load in which all streams are up; events are
those that the server logged in that time, errors those of the requests sent in it, the processes' stamps against the
server's log. The master's CPU is kept apart. The truth server has a core to itself and the processes share another.

    efficiency = 2 x CPU per event of one process / CPU per event of two
"""

import os
import sys
import tempfile
from array import array
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
import stamps
from clients import CLIENTS
from loads import LOADS, Load
from processes import BenchError, Outcome, Place, Sample, run, serving
from score import Figures, judge, median
from stamps import Stamps, Times
from targets import Target

from harness.servers.process import free_port

__all__ = ["PATHS", "Efficiency", "measure", "targets"]

PATHS: Final = ("clients", "locust")
LEAST: Final = 1.8
WHOLE, HALF = LOADS["1000x50"].lasting(10.0), LOADS["500x50"].lasting(10.0)
SHAPES: Final[Mapping[str, tuple[int, Load]]] = {  # processes, and the load of each
    "one": (1, WHOLE),
    "two": (2, HALF),
    "half": (1, HALF),
}
EVERY_S: Final = 0.1
SETTLE_S: Final = 1.0  # left out after the last stream's start, and before the end
SPREAD: Final = """\
import random

import gevent
from locust import task

from harness.users import LLMUser


class Spread(LLMUser):
    backend = "openai"

    def on_start(self):
        gevent.sleep(random.random() * {seconds})

    @task
    def request(self):
        self.ask()
"""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Medians of the rounds: a load's figures, `cpu_us` of all its processes together, the master left out."""

    path: str
    one: Figures
    two: Figures
    half: Figures
    master_percent: float | None  # of a core, while it had two workers; None: there is none

    @property
    def split(self) -> float:
        """Two processes over one when a load is split between them."""
        return 2 * self.one.cpu_us / self.two.cpu_us

    @property
    def doubled(self) -> float:
        """Two processes over one when each has the load that the one has."""
        return 2 * self.half.cpu_us / self.two.cpu_us


def measure(path: str, places: Sequence[Place], rounds: int, seconds: float | None = None) -> Efficiency:
    """All loads in turn, `rounds` times. `places`: of the server and of the client processes, one or more.

    Raises:
        BenchError: one of them failed.
    """
    found: dict[str, list[Figures]] = {shape: [] for shape in SHAPES}
    masters = list[float]()
    for number in range(rounds):
        for shape, (processes, load) in SHAPES.items():
            lasting = load.lasting(seconds) if seconds else load
            figures, master = _one(path, places, processes, lasting)
            found[shape].append(figures)
            masters += [master] if master is not None else []
            print(
                f"{path} round {number + 1} of {rounds}: {processes} x {load.name:<8} {figures.cpu_us:6.2f} µs/event, "
                f"TTFT error p99 {figures.ttft_p99_ms:.3f} ms",
                flush=True,
            )
    medians = {shape: median(rows) for shape, rows in found.items()}
    return Efficiency(path, **medians, master_percent=max(masters, default=None))


def targets(found: Efficiency) -> list[Target]:
    """The line of the contract, and whether both were as exact."""
    name = "of 2 processes over 1, by CPU accounting"
    cost = f"{found.one.cpu_us:.1f} and {found.two.cpu_us:.1f} µs/event"
    errors = [figures.ttft_p99_ms or 0.0 for figures in (found.one, found.two)]
    gaps = [figures.gap_p99_us or 0.0 for figures in (found.one, found.two)]
    equal = errors[1] <= max(2 * errors[0], 0.5) and gaps[1] <= max(2 * gaps[0], 50) and not found.two.lost
    said = f"TTFT {errors[0]:.3f} and {errors[1]:.3f} ms, gaps {gaps[0]:.1f} and {gaps[1]:.1f} µs"
    return [
        Target(
            f"{found.path}: efficiency {name}, 1 x 1000x50 against 2 x 500x50 >= {LEAST}",
            f"{found.split:.2f} ({cost})",
            met=found.split >= LEAST,
        ),
        Target(
            f"{found.path}: efficiency {name}, 1 x 500x50 against 2 x 500x50 >= {LEAST}",
            f"{found.doubled:.2f} ({found.half.cpu_us:.1f} and {found.two.cpu_us:.1f} µs/event)",
            met=found.doubled >= LEAST,
        ),
        Target(f"{found.path}: errors at p99, 1 x 1000x50 and 2 x 500x50, equal", said, met=equal),
    ]


def _one(path: str, places: Sequence[Place], processes: int, load: Load) -> tuple[Figures, float | None]:
    """One load's figures, and the master's CPU in percent, if there is one."""
    server, *own = places
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(server, folder / "truth", load.model) as truth:
            if path == "clients":
                master: list[list[str]] = []
                commands = _clients(processes, load, truth.port, folder)
            else:
                master, commands = _locust(processes, load, truth.port, folder)
            # A master has little to do; it goes where the server is, behind it.
            jobs = [(command, own[number % len(own)]) for number, command in enumerate(commands)]
            jobs += [(command, replace(server, priority="none")) for command in master]
            with ThreadPoolExecutor(len(jobs)) as pool:
                outcomes = list(pool.map(lambda job: _run(job[0], job[1], load), jobs))
        sent = stamps.read(folder / "truth")
        got = _logs(folder) if path == "clients" else _table(folder / "results", load)
    window = _steady(sent, load)
    cpu = [_cpu_s_per_s(outcome.samples, window) for outcome in outcomes]
    rss_mb = max(sample.rss_mb for outcome in outcomes[: len(commands)] for sample in outcome.samples)
    figures = _figures(load, sent, got, window, cpu_s_per_s=sum(cpu[: len(commands)]), rss_mb=rss_mb)
    return figures, 100 * cpu[-1] if master else None


def _run(command: list[str], place: Place, load: Load) -> Outcome:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LOCUST_", "TOKENSWARM_"))
    }
    return run(command, place, deadline_s=4 * load.seconds + 90, every_s=EVERY_S, env=kept)


def _clients(processes: int, load: Load, port: int, folder: Path) -> list[list[str]]:
    return [CLIENTS["tokenswarm"].command(port, load, folder / f"client{n}") for n in range(processes)]


def _locust(processes: int, load: Load, port: int, folder: Path) -> tuple[list[list[str]], list[list[str]]]:
    """(the master, if there is one, the processes that make load)."""
    streams = processes * load.streams
    file = folder / "spread.py"
    file.write_text(SPREAD.format(seconds=load.spread_s), encoding="utf-8")
    base = [sys.executable, "-m", "locust", "-f", str(file), "--results-dir", str(folder / "results")]
    whole = ["--headless", "--host", f"http://127.0.0.1:{port}", "-u", str(streams)]
    whole += ["-r", str(streams), "-t", f"{load.seconds:.0f}s"]
    whole += ["--prompt-tokens", "16", "--output-tokens", str(load.events), "--exact-output", "no"]
    if processes == 1:
        return [], [[*base, *whole]]
    meet = free_port()
    master = ["--master", "--expect-workers", str(processes), "--master-bind-port", str(meet)]
    worker = [*base, "--worker", "--master-port", str(meet)]
    return [[*base, *whole, *master]], [worker] * processes


def _logs(folder: Path) -> dict[str, Stamps]:
    """What bare clients logged, all of them."""
    return {name: one for log in folder.glob("client*") for name, one in stamps.read(log).items()}


def _table(results: Path, load: Load) -> dict[str, Stamps]:
    """The rows of a run's table as logs have them; only differences of their stamps mean anything."""
    paths = list(results.glob("*/requests.parquet"))
    if len(paths) != 1:
        raise BenchError(f"the run left {len(paths)} tables of requests")
    columns = ["request_id", "sent_ns", "first_content_ns", "end_ns", "chunk_gaps_us", "outcome"]
    found: dict[str, Stamps] = {}
    for row in pq.read_table(paths[0], columns=columns).to_pylist():
        name, sent_ns, first_ns = row["request_id"], row["sent_ns"], row["first_content_ns"]
        if sent_ns is None:
            continue
        times: Times = array("q")
        if first_ns is not None:
            times.extend(accumulate((round(gap * 1e3) for gap in row["chunk_gaps_us"]), initial=first_ns))
        found[name] = Stamps(name, load.events, sent_ns, times, complete=row["outcome"] == "ok")
    return found


def _steady(sent: Mapping[str, Stamps], load: Load) -> tuple[int, int]:
    """From when all streams are up until shortly before no new request is sent, by the server's log."""
    stop_ns = max(request.start_ns for request in sent.values()) - int(SETTLE_S * 1e9)
    return stop_ns - int((load.seconds - load.spread_s - 2 * SETTLE_S) * 1e9), stop_ns


def _cpu_s_per_s(samples: Sequence[Sample], window: tuple[int, int]) -> float:
    inside = [sample for sample in samples if window[0] <= sample.time_ns <= window[1]]
    if len(inside) < 2:
        raise BenchError("too short: give it more --seconds")
    first, last = inside[0], inside[-1]
    return (last.cpu_s - first.cpu_s) * 1e9 / (last.time_ns - first.time_ns)


def _figures(
    load: Load,
    sent: Mapping[str, Stamps],
    got: Mapping[str, Stamps],
    window: tuple[int, int],
    *,
    cpu_s_per_s: float,
    rss_mb: float,
) -> Figures:
    """As `judge` has them, but that events and CPU are those of the window."""
    begin, end = window
    seconds = (end - begin) / 1e9
    events_per_s = sum(begin <= at < end for request in sent.values() for at in request.times) / seconds
    said = {
        "begin_ns": begin, "steady_ns": begin, "stop_ns": end, "cpu_s": cpu_s_per_s * seconds,
        "steady_cpu_s": cpu_s_per_s * seconds, "steady_s": seconds, "rss_peak_kb": rss_mb * 1024, "files_left": 0,
        "failed": sum(not answer.complete for answer in got.values()),
    }  # fmt: skip
    lost = judge(load, said, sent, got).lost
    steady = {name: request for name, request in sent.items() if begin <= request.start_ns < end}
    figures = judge(load, said, steady, {name: answer for name, answer in got.items() if name in steady})
    return replace(
        figures, lost=lost, events_per_s=events_per_s, cpu_us=cpu_s_per_s * 1e6 / max(1.0, events_per_s)
    )
