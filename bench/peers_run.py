"""One measured run of one tool: a truth server of its own, the tool, samples of both until it ends, what it said.

The rule: a run has a deadline, and nothing that it started is alive when `measure` returns or raises. The tool may use
every core; the server keeps the first one and a raised priority where the system permits it, so that it is the tool
that waits and not the schedule.
"""

import os
import re
import resource
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import peers_tree
from loads import Load
from peers_figures import Figures, Used, judge
from peers_outputs import Said
from peers_tools import Job, Tool
from peers_tree import Tree
from processes import BenchError, Place, Server, places, serving
from stamps import read

__all__ = ["Bench", "job_of", "measure"]

SAMPLE_S: Final = 0.1
STARTUP_S: Final = 180.0  # that a tool may take beside the load: guidellm starts 13 processes
SLOWDOWN: Final = 8  # how much longer than it should a tool may take for its requests


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs share."""

    load: Load
    requests: int
    tokenizer: Path
    environment: Mapping[str, str]
    folder: Path  # one folder a run below it

    @property
    def deadline_s(self) -> float:
        """For one run."""
        return STARTUP_S + SLOWDOWN * self.load.seconds


def measure(bench: Bench, tool: Tool, name: str) -> tuple[Figures, Said]:
    """Run a tool once; `name` is the run's.

    Raises:
        BenchError: it failed, took too long, or left nothing that can be read.
    """
    folder = bench.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder / "server.log"
    with serving(_place(), log, bench.load.model) as server:
        job = job_of(bench, folder / "out", f"http://127.0.0.1:{server.port}")
        job.folder.mkdir()
        if tool.config:
            job.config.write_text(tool.config(job), encoding="utf-8")
        used = _watched(tool.command(job), bench, folder, server)
    said = _said(tool, job.folder)
    try:
        return judge(read(log), said, used), said
    except ValueError as error:
        raise BenchError(str(error)) from None


def job_of(bench: Bench, folder: Path, url: str) -> Job:
    """What a tool is told."""
    return Job(url, bench.load.streams, bench.requests, bench.load.events, bench.tokenizer, folder)


def _place() -> Place:
    """The server's: with SCHED_FIFO it would take a core from the tools whenever it likes; -10 is enough."""
    server, _ = places()
    return Place(server.core, "none" if server.priority == "none" else "nice")


def _watched(command: list[str], bench: Bench, folder: Path, server: Server) -> Used:
    """Run the tool to its end, sampling."""
    children, machine, begin = _children_s(), peers_tree.machine_busy_s(), time.monotonic()
    server_cpu: list[tuple[int, float]] = []
    with _started(command, bench.environment, folder) as (process, tree):
        while process.poll() is None:
            if time.monotonic() - begin > bench.deadline_s:
                raise BenchError(f"it did not end in {bench.deadline_s:.0f} s; {_last_words(folder)}")
            tree.sample()
            server_cpu.append((time.monotonic_ns(), peers_tree.cpu_of(server.pid)))
            time.sleep(SAMPLE_S)
    wall_s = time.monotonic() - begin
    if process.returncode:
        raise BenchError(f"exit code {process.returncode}; {_last_words(folder)}")
    # Samples miss the last tenth of a second, the kernel's own sum those whose parent did not ask for it.
    whole_s = max(tree.cpu[-1][1], _children_s() - children)
    others_s = peers_tree.machine_busy_s() - machine - whole_s - (server_cpu[-1][1] - server_cpu[0][1])
    share = others_s / (wall_s * (os.cpu_count() or 1))
    return Used(tree.cpu, tree.memory, tree.most, whole_s, server_cpu, max(0.0, 100 * share), wall_s)


@contextmanager
def _started(
    command: list[str], environment: Mapping[str, str], folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Tree]]:
    """The tool in a session of its own, all of it gone at the end."""
    with (folder / "tool.txt").open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise BenchError(f"cannot run {command[0]}: {error.strerror}") from None
    tree = Tree(process.pid)
    try:
        yield process, tree
    finally:
        tree.kill()
        process.wait()


def _said(tool: Tool, folder: Path) -> Said:
    try:
        return tool.read(folder)
    except (KeyError, IndexError, TypeError, ValueError, OSError, sqlite3.Error) as error:
        raise BenchError(
            f"its output is not as this version's should be: {type(error).__name__}: {error}"
        ) from None


def _last_words(folder: Path) -> str:
    """The last error that the tool printed, else the last thing it printed; one line."""
    lines = (folder / "tool.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    spoken = [line.strip() for line in lines if any(letter.isalpha() for letter in line)]
    errors = [line for line in spoken if re.search(r"(error|exception):", line, re.IGNORECASE)]
    last = (errors or spoken or [""])[-1][:200]
    return f"its last words: {last}" if last else "it printed nothing"


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
