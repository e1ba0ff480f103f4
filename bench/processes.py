"""The bench's children: each on its core, with its priority, and gone when we are.

A server has a core to itself and so has the client; the bench sleeps meanwhile. SCHED_FIFO keeps what else the machine
does off both, where the system permits it; else a raised priority, else nothing: `Place.priority` says which.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple

__all__ = [
    "BUILD",
    "HERE",
    "BenchError",
    "Outcome",
    "Place",
    "Sample",
    "Server",
    "places",
    "run",
    "sample",
    "serving",
]

HERE: Final = Path(__file__).resolve().parent
BUILD: Final = HERE / "build"
SAMPLE_S: Final = 0.25
GRACE_S: Final = 20.0

Priority = Literal["fifo", "nice", "none"]


class BenchError(Exception):
    """Something the user should know, in one line."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a child runs."""

    core: int
    priority: Priority

    def command(self, command: Sequence[str]) -> list[str]:
        """The command that starts `command` there."""
        launcher = [sys.executable, "-I", "-S", str(HERE / "launch.py"), str(os.getpid())]
        return [*launcher, str(self.core), self.priority, *command]


@dataclass(frozen=True, slots=True)
class Server:
    """A truth server that is up. `totals` is filled when it has ended."""

    port: int
    pid: int
    totals: dict[str, int] = field(default_factory=dict)


class Sample(NamedTuple):
    """A process seen from outside."""

    time_ns: int  # monotonic
    rss_mb: float  # resident, MB of 2**20
    cpu_s: float  # user and system, all threads, in steps of 10 ms
    files: int  # open descriptors


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a client's run went, what it printed, what we saw of it, and what else ran on its core."""

    out: str
    samples: list[Sample]
    others_percent: float  # of the client's core, taken by others while the client lived

    @property
    def said(self) -> dict[str, Any]:
        """The figures in the last line it printed.

        Raises:
            BenchError: there are none.
        """
        try:
            figures: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        except (IndexError, ValueError):
            raise BenchError("it said nothing of itself") from None
        return figures


def places() -> tuple[Place, Place]:
    """Where server and client run: the first two cores we may use."""
    cores = sorted(os.sched_getaffinity(0))
    priority = next(name for name in ("fifo", "nice", "none") if _permitted(Place(cores[0], name)))
    return Place(cores[0], priority), Place(cores[1] if len(cores) > 1 else cores[0], priority)


def _permitted(place: Place) -> bool:
    return subprocess.run(place.command(["true"]), capture_output=True, check=False).returncode == 0


@contextmanager
def serving(place: Place, log: Path | None, model: str | None = None) -> Iterator[Server]:
    """A truth server on a free port; its log is complete when the context has been left."""
    command = [str(BUILD / "truth-server"), "--port", "0"]
    command += ["--log", str(log)] if log else []
    command += ["--model", model] if model else []
    with _child(place.command(command)) as child:
        process = child.process
        said = process.stdout.readline().split() if process.stdout else []
        if len(said) != 2 or said[0] != "listening":
            raise BenchError(f"the truth server did not start: {child.last_words()}")
        server = Server(int(said[1]), process.pid)
        yield server
        process.terminate()
        server.totals.update(json.loads(process.communicate(timeout=GRACE_S)[0]))


def run(
    command: Sequence[str],
    place: Place,
    *,
    deadline_s: float,
    every_s: float = SAMPLE_S,
    tell: Callable[[Sample], None] = lambda _: None,
    env: Mapping[str, str] | None = None,
) -> Outcome:
    """Run a client to its end; `tell` is called with each sample.

    Raises:
        BenchError: it failed or took too long.
    """
    used_before, busy_before, begin = _children_cpu_s(), _core_busy_s(place.core), time.perf_counter()
    samples: list[Sample] = []
    # Into a file: a pipe that nobody reads while we wait may fill up.
    with tempfile.TemporaryFile("w+") as out, _child(place.command(command), env, out) as child:
        process = child.process
        while process.poll() is None:
            if time.perf_counter() - begin > deadline_s:
                raise BenchError(f"it did not end in {deadline_s:.0f} s")
            if (seen := sample(process.pid)) is not None:
                samples.append(seen)
                tell(seen)
            with suppress(subprocess.TimeoutExpired):
                process.wait(every_s)
        if process.returncode:
            raise BenchError(child.last_words())
        out.seek(0)
        text = out.read()
    elapsed_s = time.perf_counter() - begin
    others_s = _core_busy_s(place.core) - busy_before - (_children_cpu_s() - used_before)
    return Outcome(text, samples, max(0.0, 100 * others_s / elapsed_s))


def sample(pid: int) -> Sample | None:
    """A process as it is now; None if it has gone."""
    folder = Path(f"/proc/{pid}")
    try:
        pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
        times = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        files = len(os.listdir(folder / "fd"))  # noqa: PTH208
    except (OSError, IndexError):
        return None
    cpu_s = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
    return Sample(time.perf_counter_ns(), pages * os.sysconf("SC_PAGE_SIZE") / 2**20, cpu_s, files)


@dataclass(frozen=True, slots=True)
class _Child:
    process: subprocess.Popen[str]
    errors: IO[str]

    def last_words(self) -> str:
        """The last thing it complained of, once it has ended."""
        self.process.wait()
        self.errors.seek(0)
        lines = [line for line in self.errors.read().splitlines() if line.strip()]
        telling = [line for line in lines if "error" in line.lower()] or lines  # Locust ends with its tables
        return telling[-1].strip()[:200] if telling else f"exit code {self.process.returncode}"


@contextmanager
def _child(
    command: list[str], env: Mapping[str, str] | None = None, out: IO[str] | None = None
) -> Iterator[_Child]:
    """A child that is gone when the context is left; its output goes into `out`, or else a pipe."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out or subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C is ours
            env=env,
        ) as process,
    ):
        try:
            yield _Child(process, errors)
        finally:
            process.kill()


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _core_busy_s(core: int) -> float:
    """Time a core has not been idle since boot, stolen time included."""
    with Path("/proc/stat").open(encoding="ascii") as file:
        ticks = next(line.split()[1:] for line in file if line.startswith(f"cpu{core} "))
    counts = [int(count) for count in ticks[:8]]
    return (sum(counts) - counts[3] - counts[4]) / os.sysconf("SC_CLK_TCK")
