"""What Locust's layer and our own bookkeeping cost a request: a real headless run against engine and parser alone.

Requests of one event each, so that nearly all there is is per request, as many at once as keep the client's core full.
Four ways to send them, in turn:

    engine     `Engine.perform` and nothing else: bytes out, bytes in, stamps
    parse      and the answer is parsed: what the cost of an event in the other tables has in it
    client     `Client.run`: and the request is built, the record is made
    locust     a headless Locust run of `locustfiles/openai.py`: users, plan, prompts, journal, statistics, health

CPU is the process's user and system time as /proc has it, over the part of the run in which all users are up;
requests are those that the truth server read in that time.
"""

import bisect
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import stamps
from clients import Client
from loads import Load
from processes import HERE, BenchError, Place, Sample, run, serving
from targets import Target

__all__ = ["LIMIT_US", "WAYS", "Cost", "measure", "target"]

LIMIT_US: Final = 150.0
USERS: Final = 100
SECONDS: Final = 10.0
SETTLE_S: Final = 2.0  # left out at the start; the last second too
LOAD: Final = Load("bookkeeping", USERS, 1, 0, 2_000, 0, spread_s=0.5, seconds=SECONDS)
_OURS: Final = Path(sys.executable)
WAYS: Final = ("engine", "parse", "client", "locust")


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU of one request, µs, each way; medians of the rounds."""

    engine_us: float
    parse_us: float
    client_us: float
    locust_us: float

    @property
    def layer_us(self) -> float:
        """Locust's layer and our bookkeeping: everything but the engine's work and the parser's."""
        return self.locust_us - self.parse_us


def measure(server: Place, client: Place, rounds: int, seconds: float = SECONDS) -> Cost:
    """All ways in turn, `rounds` times.

    Raises:
        BenchError: one of them failed.
    """
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way, costs in found.items():
            costs.append(_one(way, server, client, seconds))
            print(
                f"bookkeeping round {number + 1} of {rounds}: {way:<8} {costs[-1]:6.1f} µs a request",
                flush=True,
            )
    return Cost(*(statistics.median(found[way]) for way in WAYS))


def target(cost: Cost) -> Target:
    """The line of the contract."""
    said = f"{cost.layer_us:.0f} µs ({cost.locust_us:.0f} less {cost.parse_us:.0f} of engine and parser)"
    return Target(
        f"Locust's layer and our bookkeeping <= {LIMIT_US:.0f} µs per request",
        said,
        cost.layer_us <= LIMIT_US,
    )


def _one(way: str, server: Place, client: Place, seconds: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "truth"
        with serving(server, log, LOAD.model) as truth:
            command = _command(way, truth.port, seconds, Path(folder))
            outcome = run(command, client, deadline_s=seconds + 60, every_s=0.05, env=_environment())
        reads = sorted(request.start_ns for request in stamps.read(log).values())
    return _cost_us(outcome.samples, reads)


def _environment() -> dict[str, str]:
    """Ours, without what would change a run."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("LOCUST_", "TOKENSWARM_"))
    }


def _command(way: str, port: int, seconds: float, folder: Path) -> list[str]:
    if way == "locust":
        command = [
            sys.executable,
            "-m",
            "locust",
            "-f",
            str(HERE.parent / "locustfiles" / "openai.py"),
            "--headless",
        ]
        command += [
            "--host",
            f"http://127.0.0.1:{port}",
            "-u",
            str(USERS),
            "-r",
            str(USERS),
            "-t",
            f"{seconds + 1:.0f}s",
        ]
        return [
            *command,
            "--prompt-tokens",
            "16",
            "--output-tokens",
            "1",
            "--results-dir",
            str(folder / "results"),
        ]
    own = way in ("engine", "parse")
    program = Client(
        way, way, "client_engine.py" if own else "client_tokenswarm.py", way if own else "kernel", _OURS
    )
    return program.command(port, LOAD.lasting(seconds), None)


def _cost_us(samples: Sequence[Sample], reads: Sequence[int]) -> float:
    """CPU a request between the first and the last sample that lie well inside the load."""
    if not reads:
        raise BenchError("the truth server saw no request")
    begin, end = reads[0] + int(SETTLE_S * 1e9), reads[-1] - 1_000_000_000
    inside = [sample for sample in samples if begin <= sample.time_ns <= end]
    if len(inside) < 2:
        raise BenchError("too short: give it more --seconds")
    first, last = inside[0], inside[-1]
    requests = bisect.bisect(reads, last.time_ns) - bisect.bisect(reads, first.time_ns)
    return (last.cpu_s - first.cpu_s) * 1e6 / max(1, requests)
