"""Reports, comparisons and bundles that the page asks for: one child at a time, a few more in line, their files kept for a while.

A run that sends its load from this process is not to be disturbed: nothing is begun beside it, and what is under way when it
begins is stopped.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import gevent

from harness.clock import unix_now_ns
from harness.errors import ConfigError
from harness.grid import clean
from harness.web.results_child import STOPPED, Done, call

__all__ = ["Job", "Jobs", "Task"]

WAITING: Final = 8  # in line
KEPT: Final = 12  # jobs that are over, with their files: a page with charts has 5 MB
LIMIT_S: Final = 1800.0
WORDS: Final = 2_000  # characters of what a child says


@dataclass(frozen=True, slots=True)
class Task:
    """What to do. Two of one key are the same."""

    kind: str  # report, comparison, bundle
    key: tuple[object, ...]
    words: Callable[[Path], Sequence[str]]  # of `python -m harness`, with the file that is to be written
    fine: frozenset[int]  # exit codes of one that has done it
    name: str  # of the file, as a download
    tell: Callable[[Done], dict[str, Any]] = lambda _: {}  # what is to be said of its output
    lasting: bool = False  # the same answer as long as the key is the same


@dataclass(slots=True)
class Job:
    """A task in line, under way or over."""

    number: int
    task: Task
    file: Path
    state: str = "waiting"  # then running, then done or failed
    begun_ns: int | None = None
    ended_ns: int | None = None
    said: str = ""
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Nothing more will come of it."""
        return self.state in {"done", "failed"}

    @property
    def seconds(self) -> float:
        """For how long it has been at work."""
        if self.begun_ns is None:
            return 0.0
        return ((self.ended_ns or unix_now_ns()) - self.begun_ns) / 1e9


class Jobs:
    """`hindrance` says why nothing may be done now, None where it may."""

    def __init__(self, hindrance: Callable[[], str | None]) -> None:
        self._hindrance = hindrance
        self._jobs: dict[int, Job] = {}
        self._count = 0
        self._at_work = False
        self._closed = False
        self._scratch: TemporaryDirectory[str] | None = None

    def ask(self, task: Task) -> Job:
        """A new job, or the one that is doing this already, or has done it and still holds.

        Raises:
            ConfigError: not now, and why.
        """
        if why := self._hindrance():
            raise ConfigError(why)
        for job in self._jobs.values():
            same = (job.task.kind, job.task.key) == (task.kind, task.key)
            if same and (not job.is_over or (task.lasting and job.state == "done" and job.file.is_file())):
                self._begin()
                return job
        if len(self._in_line()) >= WAITING:
            raise ConfigError(f"{WAITING} others are in line; try again when some are done")
        self._scratch = self._scratch or TemporaryDirectory(prefix="tokenswarm-results-")
        self._count += 1
        job = Job(self._count, task, Path(self._scratch.name) / str(self._count))
        self._jobs[job.number] = job
        self._tidy()
        self._begin()
        return job

    def get(self, number: int) -> Job | None:
        """The job of this number, None if it has been forgotten."""
        return self._jobs.get(number)

    def place(self, job: Job) -> int:
        """How many are before it."""
        return sum(other.number < job.number for other in self._jobs.values() if not other.is_over)

    def close(self) -> None:
        """The process ends: so do its children, and their files go."""
        self._closed = True
        if self._scratch is not None:
            self._scratch.cleanup()

    def _begin(self) -> None:
        """Somebody is at work."""
        if not self._at_work and self._in_line():
            self._at_work = True
            gevent.spawn(self._work)

    def _in_line(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.state == "waiting"]

    def _tidy(self) -> None:
        over = [job for job in self._jobs.values() if job.is_over]
        for job in over[: max(0, len(over) - KEPT)]:
            job.file.unlink(missing_ok=True)
            del self._jobs[job.number]

    def _work(self) -> None:
        try:
            while (line := self._in_line()) and not self._closed:
                self._do(line[0])
        finally:
            self._at_work = False

    def _do(self, job: Job) -> None:
        job.state, job.begun_ns = "running", unix_now_ns()
        state, said = "failed", "it could not be done: the reason is in the log"
        try:
            done = call(
                ["-m", "harness", *job.task.words(job.file)], limit_s=LIMIT_S, may_go_on=self._may_go_on
            )
            said = _said(done, self._hindrance())
            if done.code in job.task.fine:
                job.told = job.task.tell(done)
                state = "done"
        except Exception:  # a full disk, or words of a child's that make no sense: the others go on
            logging.getLogger(__name__).exception("%s failed", job.task.name)
        finally:
            job.ended_ns, job.said, job.state = unix_now_ns(), said, state

    def _may_go_on(self) -> bool:
        return not self._closed and self._hindrance() is None


def _said(done: Done, hindrance: str | None) -> str:
    """What the child had to say, without its name in front."""
    if done.code == STOPPED:
        return hindrance or done.err or f"it took more than {LIMIT_S / 60:.0f} minutes and was stopped"
    lines = [line.partition("error: ")[2] or line for line in done.err.splitlines() if line.strip()]
    return "\n".join(clean(line) for line in lines)[-WORDS:]
