"""What every client process of the bench in Python shares: its orders, its measure of itself, its log.

A client is started with one JSON argument, the `Job`; it puts its `Job.streams` streams under way, each asking again
until `Job.seconds` have passed, lets what is in flight finish, and calls `Meter.report`: one JSON object on standard output
and the log of stamps. All clients send the same body. Standard library only: it runs in several environments.
"""

import json
import os
import resource
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final
from uuid import uuid4

import stamps

__all__ = ["PATH", "PROMPT", "Answers", "Job", "Meter", "body", "job_given", "new_id"]

PROMPT: Final = "Tell me of the sea, and of those who went out on it and came home again."
PATH: Final = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Job:
    """One client's orders."""

    port: int
    streams: int
    seconds: float
    spread_s: float
    model: str
    events: int  # a request asks for
    variant: str  # which way of reading, where a client has several
    log: str  # path; empty: keep no stamps, only counts (long runs)

    @property
    def url(self) -> str:
        """The server's base URL."""
        return f"http://127.0.0.1:{self.port}"

    def start_ns(self, stream: int, begin_ns: int) -> int:
        """When a stream first asks."""
        return begin_ns + int(self.spread_s * 1e9 * stream / self.streams)


def job_given() -> Job:
    """The job in the process's one argument."""
    given = json.loads(sys.argv[1])
    return Job(**{field.name: given[field.name] for field in fields(Job)})


def body(job: Job) -> dict[str, object]:
    """What every client asks."""
    message = {"role": "user", "content": PROMPT}
    return {
        "model": job.model, "messages": [message], "stream": True, "stream_options": {"include_usage": True}
    }  # fmt: skip


def new_id() -> str:
    """A request's id, which the server echoes and both logs have."""
    return uuid4().hex


class Answers:
    """What the streams got: stamps if a log is wanted, else only counts."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.requests: list[stamps.Stamps] = []
        self.asked = self.got = self.count = self.failed = 0

    def add(
        self, name: str, sent_ns: int, times: stamps.Times, *, ready_ns: int | None, complete: bool
    ) -> None:
        """One answer; `ready_ns`: when its caller had it, parsed."""
        self.count += 1
        self.asked += self._job.events
        self.got += len(times)
        self.failed += not complete
        if self._job.log:
            behind_ns = max(0, ready_ns - times[-1]) if times and ready_ns is not None else 0
            self.requests.append(stamps.Stamps(name, self._job.events, sent_ns, times, behind_ns, complete))


class Meter:
    """This process's own cost.

    Make it before anything is opened; then `begin`, `mark` at the marks, `load_over` and, with everything closed
    again, `report`.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._files = open_files()
        self.begin_ns = self.steady_ns = self.stop_ns = self._end_ns = 0
        self._cpu: dict[str, float] = {}
        self._at_ns: dict[str, int] = {}
        self._rss_before_kb = self._rss_peak_kb = 0

    def begin(self) -> None:
        """Load begins now."""
        job = self.job
        self._rss_before_kb = _status("VmRSS")
        self.begin_ns = time.perf_counter_ns()
        self.steady_ns = self.begin_ns + int(job.spread_s * 1e9)
        self.stop_ns = self.begin_ns + int(job.seconds * 1e9)
        self._cpu["begin"] = cpu_s()

    def mark(self, name: str) -> None:
        """`steady` or `stop` is now, or was a while ago if the loop is that busy."""
        self._cpu[name], self._at_ns[name] = cpu_s(), time.perf_counter_ns()

    def load_over(self) -> None:
        """The last answer is in; what follows (closing, writing) is not load."""
        self._cpu["end"] = cpu_s()
        self._end_ns = time.perf_counter_ns()
        self._rss_peak_kb = _status("VmHWM")

    def report(self, answers: Answers, stamp_source: str) -> None:
        """Print the figures and write the log. Close all connections before."""
        cpu = self._cpu
        print(
            json.dumps(
                {
                    "begin_ns": self.begin_ns,
                    "steady_ns": self.steady_ns,
                    "stop_ns": self.stop_ns,
                    "end_ns": self._end_ns,
                    "cpu_s": cpu["end"] - cpu["begin"],
                    "steady_cpu_s": cpu["stop"] - cpu["steady"],
                    "steady_s": (self._at_ns["stop"] - self._at_ns["steady"]) / 1e9,
                    "failed": answers.failed,
                    "requests": answers.count,
                    "asked": answers.asked,
                    "got": answers.got,
                    "rss_before_kb": self._rss_before_kb,
                    "rss_peak_kb": self._rss_peak_kb,
                    "files_left": open_files() - self._files,
                    "stamps": stamp_source,
                }
            )
        )
        if self.job.log:
            stamps.write(Path(self.job.log), answers.requests)


def cpu_s() -> float:
    """User and system time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def open_files() -> int:
    """Descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- the cheapest count there is


def _status(field: str) -> int:
    """A line of /proc/self/status, kB. Not `ru_maxrss`, which survives exec and so may be our starter's."""
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
        return next(int(line.split()[1]) for line in file if line.startswith(field + ":"))
