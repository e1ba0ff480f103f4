"""Distributed runs as people start them: a master, workers and a server, each a process on its host.

    with stage(folder, "one", "two") as on:
        server = on.simulator("--slots", "8")
        master = on.master("-u", "4", "-t", "6s", "--host", server.url)
        workers = [on.worker("one"), on.worker("two")]
        done = master.done()

Every process has a session of its own and dies with the test; what is left of one at the end is an error of the
test's. `agree` is what all of these tests rest on: the table of requests against the server's own log, one by one.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import pandas as pd
import pytest
import warm
from alive import group
from hosts import Host, lan
from locust_runs import IDS, LOCUSTFILES, Result, journaled, truth, until

from harness.servers.leash import leashed
from harness.servers.process import free_port

__all__ = [
    "BRISK",
    "IDS",
    "OPENAI",
    "SMALL",
    "VLLM",
    "Node",
    "Play",
    "Served",
    "Stage",
    "agree",
    "playing",
    "reconcile",
    "stage",
    "statement",
]

OPENAI, VLLM = str(LOCUSTFILES / "openai.py"), str(LOCUSTFILES / "vllm.py")
SMALL = (*IDS, "--output-tokens", "10")
_FETCH = "import sys, urllib.request as web; print(web.urlopen(sys.argv[1], timeout=5).read().decode())"
PATIENCE_S = 180.0  # for what takes seconds on a machine that does nothing else
# A simulator's options: answers of 10 tokens in 0.2 s; up to 16 at once without waiting for each other.
BRISK = (
    "--speak",
    "vllm",
    "--slots",
    "16",
    "--step-base-ms",
    "20",
    "--step-per-seq-ms",
    "0",
    "--prefill-rate",
    "100000",
)


@dataclass
class Node:
    """One process on one host; `results` is where its results go, if it has any."""

    popen: warm.Process | subprocess.Popen[bytes]
    host: Host
    results: Path
    output: Path  # its stdout; stderr is beside it

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def out(self) -> str:
        return self.output.read_text(errors="replace")

    @property
    def err(self) -> str:
        return self.output.with_suffix(".err").read_text(errors="replace")

    @property
    def errors(self) -> list[str]:
        """Our own error lines."""
        return [line for line in self.err.splitlines() if line.startswith("tokenswarm: error: ")]

    @property
    def run(self) -> Path:
        """The one run directory below its results."""
        (found,) = self.results.iterdir()
        return found

    @property
    def over(self) -> bool:
        return self.popen.poll() is not None

    def signal(self, *signals: signal.Signals, group: bool = False) -> None:
        """To it alone, or as a terminal's Ctrl-C to everything it has started too."""
        for one in signals:
            (os.killpg if group else os.kill)(self.pid, one)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def end(self, timeout: float = PATIENCE_S) -> int:
        """Its exit code, once it is there."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.output.stem} did not end in {timeout:g} s:\n{self.err[-3000:]}"
            ) from None

    def done(self, timeout: float = PATIENCE_S) -> Result:
        """Its end, and what it left."""
        return Result(self.end(timeout), self.out, self.err, self.results)

    def strays(self) -> list[str]:
        """What it has started and still runs, after as long as a process takes to end."""
        return group(self.pid)

    def journaled(self, run: str = "*") -> int:
        """Requests in the journals below its results by now, or in those of the runs of such a name."""
        return journaled(self.results, run=run)


@dataclass(frozen=True)
class Served:
    """The simulator and its log."""

    url: str
    log: Path
    node: Node

    def finished(self) -> int:
        """Requests that it has seen end, the trials too."""
        return self.log.read_bytes().count(b"\n")

    def running(self) -> int:
        """Requests that it is answering now, by its own metrics; asked on its own host."""
        asked = subprocess.run(
            [*self.node.host.prefix, sys.executable, "-S", "-c", _FETCH, f"{self.url}/metrics"],
            check=False,  # it may be starting still
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        ).stdout
        return sum(int(float(said)) for said in re.findall(r"(?m)^vllm:num_requests_running.* (\S+)$", asked))


@dataclass
class Stage:
    """Hosts and what runs on them."""

    hosts: Mapping[str, Host]
    folder: Path
    nodes: list[Node] = field(default_factory=list)
    file: str = OPENAI
    port: int = 5557

    def start(
        self, name: str, *command: str, env: Mapping[str, str] = {}, prefix: Sequence[str] = ()
    ) -> Node:
        """Run a command on a host, in its folder."""
        host = self.hosts[name]

        def begin(out: IO[bytes], err: IO[bytes]) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                leashed([*host.prefix, *prefix, *command]),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=_environment(env),
                cwd=host.folder,
                start_new_session=True,
            )

        return self._node(host, begin)

    def _node(
        self, host: Host, begin: Callable[[IO[bytes], IO[bytes]], warm.Process | subprocess.Popen[bytes]]
    ) -> Node:
        output = self.folder / f"{len(self.nodes)}-{host.name}.out"
        with output.open("wb") as out, output.with_suffix(".err").open("wb") as err:
            node = Node(begin(out, err), host, host.folder / "results", output)
        self.nodes.append(node)
        return node

    def locust(
        self,
        name: str,
        *options: str,
        file: str = "",
        env: Mapping[str, str] = {},
        prefix: Sequence[str] = (),
        cold: bool = False,
    ) -> Node:
        """Locust on a host, with the host's own place for results; from a warm process (`warm`) where that can be."""
        host = self.hosts[name]
        words = ("-f", file or self.file, "--results-dir", "results", *options)
        if cold or prefix or any(variable.startswith("PYTHON") for variable in env):
            return self.start(name, sys.executable, "-m", "locust", *words, env=env, prefix=prefix)

        def begin(out: IO[bytes], err: IO[bytes]) -> warm.Process:
            network = host.network and (host.network, host.name)
            return warm.start(words, _environment(env), host.folder, out, err, apart=True, network=network)

        return self._node(host, begin)

    def master(self, *options: str, workers: int, **how: Any) -> Node:
        """A headless master that begins when so many workers are there."""
        many = ("--expect-workers", str(workers), "--master-bind-port", str(self.port))
        return self.locust("master", "--master", "--headless", *many, *options, **how)

    def worker(self, name: str, *options: str, **how: Any) -> Node:
        """A worker on a host that reaches the master over that host's link."""
        address, port = self.hosts[name].reach(self.hosts["master"], self.port)
        return self.locust(
            name, "--worker", "--master-host", address, "--master-port", str(port), *options, **how
        )

    def simulator(self, *options: str, **how: Any) -> Served:
        """The built-in server, up."""
        host, log = self.hosts["server"], self.folder / "truth.jsonl"
        command = (sys.executable, "-m", "harness.simulator", "--host", host.address, "--log", str(log))
        node = self.start("server", *command, *options, **how)
        until(lambda: "listening on" in node.out or node.over)
        found = re.search(r"listening on (\S+)", node.out)
        assert found, node.err
        return Served(found[1], log, node)

    def collect(self, run: Path, *journals: Path) -> Result:
        """`tokenswarm collect` on the master's host, to its end."""
        command = (sys.executable, "-m", "harness", "collect", str(run), *map(str, journals))
        node = self.start("master", *command)
        return Result(node.end(), node.out, node.err, run.parent)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not re.search(r"API_KEY|LOCUST|TOKENSWARM|_proxy$", name, re.IGNORECASE)
    }
    return kept | dict(more)


@contextmanager
def stage(folder: Path, *workers: str, plain: bool = False, file: str = OPENAI) -> Iterator[Stage]:
    """A server's host, a master's and the workers', and nothing on them; `plain`: they are folders of this one."""
    folder.mkdir(parents=True, exist_ok=True)
    with lan(folder, "server", "master", *workers, plain=plain) as hosts, ExitStack() as stack:
        on = Stage(hosts, folder, file=file, port=5557 if hosts["master"].prefix else free_port())
        stack.callback(_end, on.nodes)
        yield on


def _end(nodes: Sequence[Node]) -> None:
    for node in nodes:
        with suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)
        node.popen.wait()


def statement(done: Result, node: Node) -> Any:
    """What run.json says of this worker."""
    run = json.loads((done.directory / "run.json").read_bytes())
    (found,) = [one for one in run["workers"] if one["pid"] == node.pid]
    return found


def agree(
    requests: pd.DataFrame, log: Path, *, may_lack: Callable[[pd.Series], bool] = lambda _: False
) -> pd.DataFrame:
    """Table and log hold the same requests with the same ends and sizes; what both know of each.

    `may_lack` says of a row of the log whether the table may be without it, when its client was killed.
    """
    true = truth(log)
    assert requests.request_id.is_unique
    sent = requests[requests.sent_ns.notna()]
    assert set(sent.request_id) <= set(true.request_id), "the table has what the server never saw"
    missing = true[~true.request_id.isin(sent.request_id)]
    lost = [row.to_dict() for _, row in missing.iterrows() if not may_lack(row)]
    assert not lost, f"{len(lost)} of {len(true)} requests are not in the table, e.g. {lost[0]}"
    both = sent.merge(true, on="request_id", suffixes=("", "_true"), validate="1:1")
    ok, whole = both.outcome == "ok", both.outcome_true == "ok"
    assert not (ok & ~whole).any(), both[ok & ~whole].to_dict("records")[:2]
    assert (both[ok].output_tokens == both[ok].output_tokens_true).all()
    assert (both[ok].prompt_tokens == both[ok].prompt_tokens_true).all()
    return both


def reconcile(done: Result) -> Any:
    """The audit, after recomputing its sums from the table and its lines from each other."""
    audit, table = done.summary["audit"], done.requests
    assert audit["reconciles"], audit
    outcomes = table.outcome.value_counts()
    assert audit["succeeded"] == outcomes.get("ok", 0)
    assert sum(audit["failed"].values()) == outcomes.get("failed", 0)
    assert audit["cancelled"] == outcomes.get("cancelled", 0)
    assert audit["offered"] == len(table) + audit["unaccounted"]
    assert audit["sent"] >= table.sent_ns.notna().sum()
    for worker in audit["workers"]:
        assert worker["rows"] == (table.worker == worker["name"]).sum()
        assert worker["offered"] == worker["rows"] + worker["unaccounted"]
    for what in ("offered", "succeeded", "cancelled", "unaccounted"):
        assert audit[what] == sum(worker[what] for worker in audit["workers"]), what
    assert set(table.worker) <= {worker["name"] for worker in audit["workers"]}
    return audit


Play = Callable[[Path], Any]


@contextmanager
def playing(
    request: pytest.FixtureRequest, folder: Path, at_once: int
) -> Iterator[Mapping[Play, Future[Any]]]:
    """The plays that the selected tests of this module are about, some at a time.

    A fault mostly means waiting. So all begin together, and each test waits for its own: it names it with
    `@pytest.mark.parametrize("play", [its_play], indirect=True)`.
    """
    wanted = [
        item.callspec.params["play"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
        if "play" in item.callspec.params
    ]
    plays = cast("list[Play]", wanted)
    with ThreadPoolExecutor(at_once) as pool:
        yield {play: pool.submit(play, folder / play.__name__) for play in dict.fromkeys(plays)}
