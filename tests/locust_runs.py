"""Running Locust as a user does: in a process of its own, by its command line."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import warm

from harness import rows, seconds
from harness.servers.process import Server, free_port, running

ROOT = Path(__file__).parent.parent
LOCUSTFILES = ROOT / "locustfiles"
# Prompts of ids need no sizing, which where a server counts is more work than all else of a short run.
IDS = ("--api-mode", "completions", "--prompt-ids", "1000-30000", "--prompt-tokens", "30")
# The same where ids are not taken: all prompts are one, counted once.
NUMBERS = ("--text", "numbers", "--prompt-tokens", "30")
_NOT_OURS = ("API_KEY", "LOCUST", "INFLUXDB_", "GRAFANA_")  # in names of variables that a run would heed


@dataclass(frozen=True)
class Result:
    """What a finished Locust process left behind."""

    code: int
    out: str
    err: str
    results: Path

    @property
    def directory(self) -> Path:
        """The one run directory."""
        (found,) = self.results.iterdir()
        return found

    @property
    def summary(self) -> Any:
        return json.loads((self.directory / "summary.json").read_bytes())

    @property
    def requests(self) -> pd.DataFrame:
        return rows.load(self.directory / "requests.parquet")

    @property
    def errors(self) -> list[str]:
        """Our own error lines."""
        return [line for line in self.err.splitlines() if line.startswith("tokenswarm: error: ")]


def start(
    locustfile: str | Path, results: Path, *options: str, env: Mapping[str, str] = {}
) -> warm.Process | subprocess.Popen[str]:
    """Start Locust, from a process that is warm (`warm`); `locustfile` is a path or a name in locustfiles/."""
    if any(name.startswith("PYTHON") for name in env):
        return start_cold(locustfile, results, *options, env=env)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        return warm.start(_given(locustfile, results, options), clean(env), results.parent, out, err)


def start_cold(
    locustfile: str | Path, results: Path, *options: str, env: Mapping[str, str] = {}
) -> subprocess.Popen[str]:
    """The same as a user starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "locust", *_given(locustfile, results, options)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean(env),
        cwd=results.parent,
    )


def _given(locustfile: str | Path, results: Path, options: Sequence[str]) -> list[str]:
    path = LOCUSTFILES / locustfile  # an absolute path stays what it is
    return ["-f", str(path), "--results-dir", str(results), *options]


def clean(env: Mapping[str, str]) -> dict[str, str]:
    """This process's environment but for what a run would heed, and with these."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not any(word in name for word in _NOT_OURS) and not name.lower().endswith("_proxy")
    }
    return kept | dict(env)


def until(done: Callable[[], bool], timeout: float = 60) -> None:
    """Wait for something that will come."""
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline, f"did not come in {timeout} s"
        time.sleep(0.05)


def journaled(results: Path, what: str = '"kind":"record"', run: str = "*") -> int:
    """How often it stands in the journals below a results directory by now: requests, unless something else is asked for.

    Args:
        results: the directory.
        what: as the journal writes it.
        run: which runs, by a pattern of their names.
    """
    return sum(file.read_text().count(what) for file in results.glob(f"{run}/journal*.jsonl"))


def finish(process: warm.Process | subprocess.Popen[str], results: Path, timeout: float = 180) -> Result:
    """Wait for a Locust process."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"Locust did not end in {timeout} s:\n{err[-3000:]}") from None
    return Result(process.wait(), out, err, results)


def run(
    locustfile: str | Path, results: Path, *options: str, env: Mapping[str, str] = {}, timeout: float = 180
) -> Result:
    """Run Locust headless to its end."""
    return finish(start(locustfile, results, "--headless", *options, env=env), results, timeout)


def cold(locustfile: str | Path, results: Path, *options: str, env: Mapping[str, str] = {}) -> Result:
    """The same as a user starts it."""
    return finish(start_cold(locustfile, results, "--headless", *options, env=env), results)


@contextmanager
def simulator(*options: str, env: Mapping[str, str] = {}, health: str = "/health") -> Iterator[Server]:
    """The built-in server on a free port; ready when it answers at `health`, if only to ask for a key."""
    port = free_port()
    command = [sys.executable, "-m", "harness.simulator", "--port", str(port), *options]
    whole = dict(os.environ) | dict(env)
    with running(
        command,
        url=f"http://127.0.0.1:{port}",
        health=health,
        name="the simulator",
        deadline_s=30,
        env=whole,
    ) as server:
        yield server


def held_up_ms(run: Path) -> float:
    """The most of a second for which the machine kept one process of this run from its work, by that one's own word."""
    own = seconds.load(run / "client.csv")
    return max(max(one.loop_lag_ms_max or 0.0, one.waited_ms or 0.0) for one in own)


def truth(log: Path) -> pd.DataFrame:
    """The simulator's own log, less the trial request that comes before a load."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return pd.DataFrame([row for row in rows if not row["request_id"].startswith("trial-")])


def refused(
    locustfile: str,
    folder: Path,
    host: str,
    *options: str,
    log: Path | None = None,
    env: Mapping[str, str] = {},
) -> str:
    """The line of a run that ends before load: exit 2, no traceback, nothing kept, and no load in the server's log."""
    before = len(truth(log)) if log else 0
    done = run(locustfile, folder / "refused", "--host", host, *options, env=env)
    assert done.code == 2, done.err
    (line,) = done.errors
    assert "Traceback" not in done.err
    assert not (folder / "refused").exists()
    assert (len(truth(log)) if log else 0) == before
    return line


def most_at_once(rows: pd.DataFrame) -> int:
    """Requests in flight at the same time, by the client's own stamps."""
    marks = sorted([(at, 1) for at in rows.sent_ns] + [(at, -1) for at in rows.end_ns])
    here = peak = 0
    for _, step in marks:
        here += step
        peak = max(peak, here)
    return peak
