"""What a worker costs its master: one real master, and many workers that are not real (fake_workers.py).

Master and workers have a core each, where there are two; a simulator beside the workers answers what a master asks before
load. Three masters take turns, all headless:

    timed    a run for a time (locustfiles/openai.py): workers report once a second
    sweep    a level with a quota, granted in portions (locustfiles/vllm.py): workers report as their requests end
    locust   a locustfile that has nothing of ours: what Locust alone takes

CPU is the master's user and system time as /proc has
it, from `SETTLE_S` after the last worker was given users to the end of the load.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired
from typing import Final

from processes import HERE, BenchError, Outcome, Place, Sample, run, sample
from targets import Target

from harness.servers.process import Server, free_port, running

__all__ = ["LIMIT_PERCENT", "MASTERS", "Cost", "Load", "measure", "targets"]

LIMIT_PERCENT: Final = 2.0  # of a core per worker
# Users of each worker, and how long their requests take. A sweep starts at most 100 users a second.
USERS: Final[Mapping[str, tuple[int, float]]] = {"timed": (50, 2.0), "sweep": (10, 0.4), "locust": (50, 2.0)}
SETTLE_S: Final = 3.0
ORDER_S: Final = 1.5
GONE_NS: Final = 5_000_000_000  # after its master, the workers are too
MASTERS: Final = tuple(USERS)
PLAIN: Final = """\
from locust import User, task


class Plain(User):
    host = "http://127.0.0.1:9"

    @task
    def nothing(self):
        self.environment.runner.quit()  # never reached: a master has no users
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One master under so many workers. None: it sends no orders, or there was nothing to measure."""

    kind: str
    workers: int
    seconds: float  # that were measured
    percent: float  # of a core, the master's CPU
    rss_mb: float  # the master's, at most
    requests_per_s: float  # of all workers, from first to last
    orders_per_s: float | None  # to each worker
    order_gap_p50_s: float | None  # between two orders to the same worker
    order_gap_p99_s: float | None
    order_gap_max_s: float | None
    answer_p50_ms: float  # from a heartbeat to the master's answer: how long a message waits for it
    answer_p99_ms: float
    answer_max_ms: float
    stats_bytes: float  # one of Locust's reports, in the mean
    closing_s: float | None  # from the word that load is over until the master had gone
    workers_percent: float  # CPU of the process that is all workers: near 100 it is what was measured

    @property
    def percent_per_worker(self) -> float:
        """Of a core."""
        return self.percent / self.workers


@dataclass(frozen=True, slots=True)
class Load:
    """So many workers for so long."""

    workers: int = 100
    seconds: float = 60.0
    patience_s: float = 240.0  # for everything before and after it


def measure(kind: str, place: Place, beside: Place, load: Load) -> Cost:
    """One kind of master of `MASTERS` under such a load.

    Raises:
        BenchError: it did not come about.
    """
    port, samples = free_port(), list[Sample]()
    users, takes_s = USERS[kind]
    ramp_s = users * load.workers / 100 if kind == "sweep" else 0.0
    longest_s = load.seconds + ramp_s + load.patience_s
    deadline_ns = time.perf_counter_ns() + int(longest_s * 1e9)
    job = {"port": port, "workers": load.workers, "seconds": longest_s}
    job |= {"takes_s": takes_s, "plain": kind == "locust"}
    swarm = [sys.executable, str(HERE / "fake_workers.py"), json.dumps(job)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _simulator(beside) as server:
            command = _command(kind, folder, server.url, port, load)
            with _child(place, command, folder / "master.log") as master:

                def look(now: Sample) -> None:
                    if master.poll() is None and (seen := sample(master.pid)) is not None:
                        samples.append(seen)
                    elif now.time_ns - (samples[-1].time_ns if samples else 0) > GONE_NS:
                        raise BenchError(f"the master is gone: {_last(folder)}")

                outcome = run(swarm, beside, deadline_s=longest_s + 30, tell=look)
                while master.poll() is None and (seen := sample(master.pid)) is not None:
                    samples.append(seen)
                    with suppress(TimeoutExpired):
                        master.wait(0.25)
                    if time.perf_counter_ns() > deadline_ns:
                        raise BenchError(f"the master did not end: {_last(folder)}")
        words = _last(folder)
    return _cost(kind, load, outcome, samples, words)


def targets(cost: Cost) -> list[Target]:
    """The lines of the contract."""
    name = f"{cost.kind}: {cost.workers} workers on one master for {cost.seconds:.0f} s"
    lines = [
        Target(
            f"{name}: <= {LIMIT_PERCENT:g} % of a core per worker",
            f"{cost.percent_per_worker:.2f} % ({cost.percent:.0f} % in all)",
            met=cost.percent_per_worker <= LIMIT_PERCENT,
        )
    ]
    if cost.order_gap_p50_s is not None and cost.order_gap_max_s is not None:
        said = f"{cost.order_gap_p50_s:.2f} s, at most {cost.order_gap_max_s:.2f}"
        text = f"{name}: an order each second, at most {ORDER_S:g} s apart"
        lines.append(Target(text, said, met=cost.order_gap_max_s <= ORDER_S))
    return lines


def _command(kind: str, folder: Path, url: str, port: int, load: Load) -> list[str]:
    file = HERE.parent / "locustfiles" / "openai.py"
    each, takes_s = USERS[kind]
    users, seconds = str(each * load.workers), load.seconds + SETTLE_S + 1
    ours = ["--prompt-tokens", "16", "--output-tokens", "150", "--results-dir", str(folder / "results")]
    how = ["-u", users, "-r", users, "-t", f"{seconds:.0f}s"]
    if kind == "locust":
        file, ours = folder / "plain.py", []
        file.write_text(PLAIN, encoding="utf-8")
    elif kind == "sweep":
        file = file.with_name("vllm.py")
        how = ["--levels", users, "--requests-per-level", f"{seconds / takes_s:.0f}x"]
        # A prompt for each request, a hundred thousand of them: such as take no time to build.
        how += ["--api-mode", "completions", "--prompt-ids", "1000-30000"]
    return [
        *(sys.executable, "-m", "locust", "-f", str(file), "--host", url, "--headless", *how, *ours),
        *("--master", "--expect-workers", str(load.workers), "--master-bind-port", str(port)),
    ]


def _cost(kind: str, load: Load, swarm: Outcome, samples: Sequence[Sample], words: str) -> Cost:
    """From what the workers saw, and the samples of the master."""
    said = swarm.said
    loaded, workers = said["loaded_ns"], load.workers
    if len(loaded) < workers:
        raise BenchError(f"only {len(loaded)} of {workers} workers were given users: {words}")
    begin = max(loaded) + int(SETTLE_S * 1e9)
    end = begin + int(load.seconds * 1e9)
    first, last_seen = _edges(samples, begin, end)
    span_s = (last_seen.time_ns - first.time_ns) / 1e9
    orders = [[at for at in each if begin <= at <= end] for each in said["orders_ns"]]
    gaps = sorted((after - before) / 1e9 for each in orders for before, after in pairwise(each))
    answers = sorted(delay / 1e6 for sent, delay in said["heartbeats_ns"] if begin <= sent <= end)
    if not answers:
        raise BenchError("the master answered no heartbeat under load")
    others = _edges(swarm.samples, begin, end)
    return Cost(
        kind=kind,
        workers=workers,
        seconds=span_s,
        percent=100 * (last_seen.cpu_s - first.cpu_s) / span_s,
        rss_mb=max(each.rss_mb for each in samples),
        requests_per_s=said["requests"]
        * 1e9
        / (min(said["stopped_ns"] or [samples[-1].time_ns]) - min(loaded)),
        orders_per_s=sum(map(len, orders)) / workers / span_s if gaps else None,
        order_gap_p50_s=_at(gaps, 0.5) if gaps else None,
        order_gap_p99_s=_at(gaps, 0.99) if gaps else None,
        order_gap_max_s=gaps[-1] if gaps else None,
        answer_p50_ms=_at(answers, 0.5),
        answer_p99_ms=_at(answers, 0.99),
        answer_max_ms=answers[-1],
        stats_bytes=statistics.fmean(said["stats_bytes"]),
        closing_s=(samples[-1].time_ns - min(said["stopped_ns"])) / 1e9 if said["stopped_ns"] else None,
        workers_percent=100 * (others[1].cpu_s - others[0].cpu_s) / span_s,
    )


def _edges(samples: Sequence[Sample], begin: int, end: int) -> tuple[Sample, Sample]:
    """The first and the last of the samples between."""
    inside = [each for each in samples if begin <= each.time_ns <= end]
    if len(inside) < 2:
        raise BenchError("the load ended too soon to measure anything")
    return inside[0], inside[-1]


def _at(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def _last(folder: Path) -> str:
    """The last thing the master said."""
    lines = (folder / "master.log").read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "it said nothing")


def _simulator(place: Place) -> AbstractContextManager[Server]:
    """A server for what a master asks before load."""
    port = free_port()
    command = place.command(
        [sys.executable, "-m", "harness.simulator", "--speak", "vllm", "--port", str(port)]
    )
    url = f"http://127.0.0.1:{port}"
    return running(command, url=url, health="/health", name="the simulator", deadline_s=30)


@contextmanager
def _child(place: Place, command: Sequence[str], log: Path) -> Iterator[Popen[bytes]]:
    """A process there that is gone when the context is left; what it says goes to `log`."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LOCUST_", "TOKENSWARM_"))
    }
    with log.open("wb") as out:
        process = Popen(
            place.command(command),
            stdin=DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd=log.parent,
            env=kept | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()
