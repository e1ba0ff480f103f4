"""One run from its settings to its results: prepared, begun, stopped, drained, finished.

    prepare   ask the server what it is, size the prompts, make the directory; all before any load
    begin     Locust starts its users
    ...       users take leave to send, send and keep each record: that is the parts' business (`harness.load`)
    stop      no further request; what is in flight may finish, up to Locust's --stop-timeout
    finish    the results are written

A run directs its parts and knows how far they are; it sends nothing itself. In a local run there is one part, in this
process; in a distributed one there is one on each worker (`harness.parts`).

The end is ours and not Locust's: what was in flight when load stopped is waited for and counted, and what
had to be given up is counted as cancelled.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from gevent.event import Event
from gevent.lock import RLock

from harness import audit, ending, files, plan
from harness.clock import unix_now_ns, unix_ns
from harness.errors import ConfigError
from harness.influx.watch import Watch
from harness.load import Load
from harness.options import Settings
from harness.orders import Tally
from harness.parts import Finding, Parts
from harness.plan import Plan, Segment
from harness.progress import Progress
from harness.record import TokenSource
from harness.results import RunDirectory
from harness.say import say
from harness.scraper import open_scraper
from harness.scribe import Scribe
from harness.server_metrics import Sample

__all__ = ["Run", "new_plan"]


class Run:
    """One run. `abort` is called when going on is pointless."""

    def __init__(
        self, settings: Settings, load: Load, parts: Parts, a_plan: Plan, users: Callable[[], int]
    ) -> None:
        """Prepare a run whose `load` has its lanes open; `users` says how many Locust has up.

        Raises:
            ConfigError: the results cannot be kept. Nothing has been written.
        """
        self.settings = settings
        self.plan = a_plan
        self.load = load
        self.parts = parts
        self.users = users
        self.watch = Watch()
        self.segment_done = Event()
        self.ended = Event()  # its results are written, and nothing is left to do for it
        self.interrupted = False
        self.summary: dict[str, Any] | None = None
        self.problem: str | None = None
        self.progress = Progress(self.plan, parts.counted, workers=parts.present)
        self._finishing = RLock()
        self._begun_ns: int | None = None
        self._windows_kept = 0
        self._findings: list[Finding] = []
        first = next(iter(load.lanes.values()))
        self._scraper = open_scraper(settings, first.session(), first.client.secret, self._keep_sample, say)
        self.id = self._new_id()
        self.directory = RunDirectory.create(
            settings.results_dir, self.id, self._stored(), planned=self.plan.planned
        )
        self.scribe = Scribe(self.directory.journal)

    def begin(self) -> None:
        """Load begins."""
        self._begun_ns = unix_now_ns()
        self.watch.direct(self, files.from_json(self.directory.path / "run.json"), self._begun_ns)
        self.plan.begin(self._begun_ns)
        self.note_event("load begins", "start", self._begun_ns)
        self.parts.begin(self)
        self.parts.tell()
        self.watch.start()
        self._scraper.start()
        self.progress.start()

    @property
    def elapsed_s(self) -> float:
        """Since load began."""
        return 0.0 if self._begun_ns is None else (unix_now_ns() - self._begun_ns) / 1e9

    def users_ready(self, users: int) -> None:
        """All users asked for have been started."""
        self.parts.when_up(users, lambda each, open_ns: self._open(users, each, open_ns))

    def hear(self, name: str, tallies: Sequence[Tally]) -> None:
        """A part's word on how far it is, stamps on this process's clock, Unix ns."""
        self.plan.hear(name, tallies)

    def look(self) -> None:
        """What follows from how far the parts are."""
        self.plan.grant()
        segment = self.plan.segment
        if segment is not None and segment.quota is not None:
            if segment.window():
                self._journal_windows()
            if segment.is_done:
                self.segment_done.set()

    def next_segment(self) -> Segment | None:
        """Go on to a sweep's next level."""
        self.segment_done.clear()
        return self.plan.next_segment()

    def event(self, what: str, topic: str = "note") -> None:
        """Something worth knowing afterwards; it is said, too."""
        say(what)
        self.note_event(what, topic)

    def note_event(self, what: str, topic: str, at_ns: int | None = None) -> None:
        """The same, not said. `topic`: start, level, stop, end, worker, guard or note; `at_ns`: Unix ns, now by default."""
        segment = self.plan.segment
        event = {
            "time_ns": unix_now_ns() if at_ns is None else at_ns,
            "what": what,
            "topic": topic,
            "level": None if segment is None or self.plan.is_stopped else segment.level,
        }
        self.scribe.append("event", event)
        self.watch.event(event)

    def note(self, status: str, reason: str) -> None:
        """Something for the verdict that only Locust knows; `status` is suspect or invalid."""
        self._findings.append((status, reason))

    def stop(self) -> None:
        """No further request. What is in flight goes on."""
        if not self.plan.is_stopped:
            self.plan.stop(unix_now_ns())
            self.note_event(
                self.parts.hope.lost or "load is stopped", "guard" if self.parts.hope.lost else "stop"
            )
            self.parts.tell()
            self.segment_done.set()

    def finish(self) -> None:
        """All users are gone: write the results. A second call waits for the first and does nothing."""
        with self._finishing:
            if self.is_over:
                return
            try:
                self._end()
            finally:
                self.ended.set()

    def prepared(self) -> None:
        """The parts are ready, which may have taken a request of each."""
        self._scraper.renew()

    def discard(self) -> None:
        """It will not begin: nothing of it stays."""
        self.scribe.close()
        self.directory.discard()

    @property
    def is_over(self) -> bool:
        """Its results are written, or could not be."""
        return self.summary is not None or self.problem is not None

    @property
    def exit_code(self) -> int | None:
        """Our exit code, or None to leave it to Locust's own rule (`harness.ending`)."""
        return ending.exit_code(
            self.parts.hope, self.problem, self.summary, require_valid=self.settings.require_valid
        )

    def tables(self) -> str:
        """The console's tables: ours, then Maritaca's with their formulas."""
        from harness import rows, tables  # noqa: PLC0415  # pandas is for after the load

        if self.summary is None:
            return ""
        theirs = tables.maritaca(rows.load(self.directory.path / "requests.parquet"), self.summary)
        ours = tables.render(self.summary, self._stored(), run_dir=self.directory.path)
        return f"\n{theirs}\n{ours}"

    def _end(self) -> None:
        self.stop()
        self.parts.drain(at_once=True)
        self.progress.stop()
        self._scraper.stop()
        self._journal_windows()
        self.note_event("nothing is in flight any more", "end")
        self.scribe.close()
        self.watch.drained()
        self._write()
        for line in self.watch.results(self.directory.path, self.summary):
            say(line)
        self.parts.settle()

    def _open(self, users: int, each: Mapping[str, int], open_ns: int) -> None:
        self.plan.users_ready(each, users, unix_now_ns(), open_ns)
        if (segment := self.plan.segment) is not None and segment.open_ns == open_ns:
            self.note_event(f"{users} users", "level", open_ns)
        self._journal_windows()
        self.parts.tell()

    def _keep_sample(self, sample: Sample) -> None:
        self.scribe.append("server", asdict(sample))
        self.watch.sample(sample)

    def _journal_windows(self) -> None:
        """Each window as soon as it has closed: a killed run keeps the rates of the levels it had finished."""
        closed = self.plan.windows()
        for window in closed[self._windows_kept :]:
            self.scribe.append("window", asdict(window))
            self.watch.window(window.level, self.parts.counted())
        self._windows_kept = len(closed)

    def _write(self) -> None:
        try:
            try:
                self.summary = self._finish(self._counter())
            except ConfigError as error:  # a server that counted prompts may be gone by now
                say(f"{error}; uncounted answers are estimated")
                self.summary = self._finish(None)
        except (ConfigError, OSError) as error:
            self.problem = (
                f"{error}; what was measured is in {self.directory.path}: `tokenswarm report` reads it"
            )
            say(self.problem)

    def _finish(self, count_tokens: Callable[[str], int] | None) -> dict[str, Any]:
        statements = self.parts.statements()
        reasons = ending.missing(
            self.parts.hope, statements, interrupted=self.interrupted, planned=self.plan.planned
        )
        return self.directory.finish(
            planned=self.plan.planned,
            incomplete=[
                *reasons,
                *audit.missing(statements, run=str(self.directory.path)),
                *([self.scribe.problem or ""] if self.scribe.dropped else []),
            ],
            findings=[*self._inexact(), *self.parts.findings(), *self._findings],
            count_tokens=count_tokens,
            workers=statements,
            keep=self.parts.unverified(),
            more={"begun_ns": self._begun_ns, **self.watch.stored(statements)},
        )

    def _counter(self) -> Callable[[str], int] | None:
        """What counts the tokens of answers whose server did not; None: they are estimated."""
        sizer = next(iter(self.load.lanes.values())).sizer
        return None if sizer is None or sizer.source is TokenSource.ESTIMATED else sizer.count_output

    def _inexact(self) -> list[Finding]:
        inexact = sum(lane.workload.inexact for lane in self.load.lanes.values())
        if not inexact:
            return []
        return [("suspect", f"{inexact} prompts could not be sized to the exact token count asked for")]

    def _new_id(self) -> str:
        begun = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        lane = next(iter(self.load.lanes.values()))
        name = self.settings.run_name or f"{lane.client.backend.name}-{lane.client.backend.mode}"
        return f"{begun}-{re.sub(r'[^A-Za-z0-9._-]', '-', name)}-{uuid4().hex[:6]}"

    def _stored(self) -> Mapping[str, Any]:
        """The settings and what was learnt of the server, for run.json."""
        users = {user_class.__name__: lane.stored() for user_class, lane in self.load.lanes.items()}
        first = next(iter(self.load.lanes.values()))
        return self.settings.stored() | {
            "backend": first.client.backend.name,
            "api_mode": first.client.backend.mode,
            "model": first.facts.model,
            "users": users,
            "metrics_page": self._scraper.says,
            "anchor_unix_ns": unix_ns(0),
        }


def new_plan(settings: Settings) -> Plan:
    """The plan that settings ask for."""
    if settings.levels:
        return plan.sweep(
            settings.levels,
            settings.repeats,
            settings.requests_per_level,
            settings.warmup,
            requests_per_user=settings.requests_per_user,
        )
    return Plan(warmup=settings.warmup)
