"""One run from its settings to its results: prepared, begun, stopped, drained, finished.

    prepare   ask the server what it is, size the prompts, make the directory; all before any load
    begin     Locust starts its users
    ...       users take leave to send (`harness.plan`), send (`harness.client`), and `keep` each record
    stop      no further request; what is in flight may finish, up to Locust's --stop-timeout
    finish    the results are written

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

from harness import ending, plan
from harness.clock import ANCHOR_NS, now_ns, unix_ns
from harness.engine import Engine
from harness.errors import ConfigError, ErrorClass
from harness.health import Health
from harness.hope import Hope
from harness.lane import Lane, UserClass, open_lane
from harness.options import Settings
from harness.plan import Plan, Segment, Slot
from harness.progress import Progress
from harness.record import RequestRecord, TokenSource
from harness.rests import Rests
from harness.results import RunDirectory, check_place
from harness.say import say
from harness.scraper import open_scraper
from harness.scribe import Scribe
from harness.seconds import Second
from harness.server_metrics import Sample
from harness.tls import context


class Run:
    """One run. `on_record` is told of every finished request; `abort` is called when going on is pointless."""

    def __init__(self, settings: Settings, user_classes: Sequence[type[UserClass]]) -> None:
        """Prepare a run.

        Raises:
            ConfigError: anything that makes it impossible, one line each. Nothing has been written.
        """
        check_place(settings.results_dir)
        self.settings = settings
        self.plan = _plan(settings)
        self.changed = Event()
        self.segment_done = Event()
        self.interrupted = False
        self.hope = Hope()
        self.summary: dict[str, Any] | None = None
        self.problem: str | None = None
        self.progress = Progress(self.plan)
        self._finishing = RLock()
        self._said: set[ErrorClass] = set()
        self._disk_said = False
        self._windows_kept = 0
        self._findings: list[tuple[str, str]] = []
        self.rests = Rests()
        self._on_record: Callable[[RequestRecord], None] = lambda _: None
        self._abort: Callable[[], object] = lambda: None
        self.engine = _engine(settings)
        self.lanes: dict[type[UserClass], Lane] = {}
        try:
            for user_class in user_classes:
                self.lanes[user_class] = open_lane(
                    user_class,
                    settings,
                    self.engine,
                    self.keep,
                    seed=settings.seed + len(self.lanes),
                    requests=self.plan.planned if len(user_classes) == 1 else None,
                    say=say,
                )
            first = next(iter(self.lanes.values()))
            self._health = Health(self.engine, self._keep_second, first.client.worker)
            self._scraper = open_scraper(
                settings, first.session(), first.client.secret, self._keep_sample, say
            )
            self.directory = RunDirectory.create(
                settings.results_dir, self._run_id(), self._stored(), planned=self.plan.planned
            )
            self._scribe = Scribe(self.directory.journal)
        except BaseException:
            self.engine.close()
            raise

    def begin(self, on_record: Callable[[RequestRecord], None], abort: Callable[[], object]) -> None:
        """Load begins. `on_record(record)` is called for each request, `abort()` when load should end early."""
        self._on_record, self._abort = on_record, abort
        self._health.start()
        self._scraper.start()
        self.progress.start()

    def take(self) -> tuple[Segment, Slot] | None:
        """Leave to send now, or None: wait for `changed`."""
        return self.plan.take(now_ns())

    def finished(self, segment: Segment, slot: Slot) -> None:
        """A request that had leave is over."""
        self.plan.finished(segment, slot, now_ns())
        if segment.end_ns is not None:  # only a level's last few requests get here: this is the load path
            self._journal_windows()
        if segment.is_done:
            self.segment_done.set()

    def users_ready(self, users: int) -> None:
        """All users asked for are up."""
        self.plan.users_ready(users, now_ns())
        self._journal_windows()
        self._wake()

    def next_segment(self) -> Segment | None:
        """Go on to a sweep's next level."""
        self.segment_done.clear()
        return self.plan.next_segment()

    def keep(self, record: RequestRecord) -> None:
        """One record: journal first, then whoever wants to know."""
        self._scribe.append("record", record)
        self.progress.add(record)
        if not self._disk_said and (problem := self._scribe.problem):
            self._disk_said = True
            say(f"{problem}; the run goes on")
        if record.error_class is not None and record.error_class not in self._said:
            self._said.add(record.error_class)
            say(f"first request failed with {record.error_class}: {record.error_message}")
        if self.hope.see(record):
            self._abort()
        self._on_record(record)

    def note(self, status: str, reason: str) -> None:
        """Something for the verdict that only Locust knows; `status` is suspect or invalid."""
        self._findings.append((status, reason))

    def stop(self) -> None:
        """No further request. What is in flight goes on."""
        if not self.plan.is_stopped:
            self.plan.stop(now_ns())
            self._wake()
            self.segment_done.set()

    def finish(self) -> None:
        """All users are gone: write the results. A second call waits for the first and does nothing."""
        with self._finishing:
            if self.is_over:
                return
            self.stop()
            self._health.stop()
            self.progress.stop()
            self.engine.close()
            self._scraper.stop()
            self._journal_windows()
            self._scribe.close()
            self._write()

    @property
    def is_over(self) -> bool:
        """Its results are written, or could not be."""
        return self.summary is not None or self.problem is not None

    @property
    def exit_code(self) -> int | None:
        """Our exit code, or None to leave it to Locust's own rule (`harness.ending`)."""
        return ending.exit_code(
            self.hope, self.problem, self.summary, require_valid=self.settings.require_valid
        )

    def tables(self) -> str:
        """The console's tables: ours, then Maritaca's with their formulas."""
        from harness import rows, tables  # noqa: PLC0415  # pandas is for after the load

        if self.summary is None:
            return ""
        theirs = tables.maritaca(rows.load(self.directory.path / "requests.parquet"), self.summary)
        ours = tables.render(self.summary, self._stored(), run_dir=self.directory.path)
        return f"\n{theirs}\n{ours}"

    def _keep_second(self, second: Second) -> None:
        self._scribe.append("health", asdict(second))

    def _keep_sample(self, sample: Sample) -> None:
        self._scribe.append("server", asdict(sample))

    def _journal_windows(self) -> None:
        """Each window as soon as it has closed: a killed run keeps the rates of the levels it had finished."""
        closed = self.plan.windows(ANCHOR_NS)
        for window in closed[self._windows_kept :]:
            self._scribe.append("window", asdict(window))
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
        return self.directory.finish(
            planned=self.plan.planned,
            incomplete=[
                *ending.missing(
                    self.hope, self.progress.outcomes, interrupted=self.interrupted, planned=self.plan.planned
                ),
                *([self._scribe.problem or ""] if self._scribe.dropped else []),
            ],
            findings=[*self._inexact(), *self.rests.findings(), *self._findings],
            count_tokens=count_tokens,
        )

    def _counter(self) -> Callable[[str], int] | None:
        """What counts the tokens of answers whose server did not; None: they are estimated."""
        sizer = next(iter(self.lanes.values())).sizer
        return None if sizer.source is TokenSource.ESTIMATED else sizer.count_output

    def _inexact(self) -> list[tuple[str, str]]:
        inexact = sum(lane.workload.inexact for lane in self.lanes.values())
        if not inexact:
            return []
        return [("suspect", f"{inexact} prompts could not be sized to the exact token count asked for")]

    def _run_id(self) -> str:
        begun = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        lane = next(iter(self.lanes.values()))
        name = self.settings.run_name or f"{lane.client.backend.name}-{lane.client.backend.mode}"
        return f"{begun}-{re.sub(r'[^A-Za-z0-9._-]', '-', name)}-{uuid4().hex[:6]}"

    def _stored(self) -> Mapping[str, Any]:
        """The settings and what was learnt of the server, for run.json."""
        users = {user_class.__name__: lane.stored() for user_class, lane in self.lanes.items()}
        first = next(iter(self.lanes.values()))
        return self.settings.stored() | {
            "backend": first.client.backend.name,
            "api_mode": first.client.backend.mode,
            "model": first.facts.model,
            "users": users,
            "metrics_page": self._scraper.says,
            "anchor_unix_ns": unix_ns(0),
        }

    def _wake(self) -> None:
        waiting, self.changed = self.changed, Event()
        waiting.set()


def _engine(settings: Settings) -> Engine:
    tls = context(settings.trust) if settings.target.tls else None
    if proxy := settings.proxy:
        say(f"{settings.target} is reached through the proxy {proxy} ({proxy.variable})")
    return Engine(settings.target, settings.timeouts, tls=tls, proxy=proxy)


def _plan(settings: Settings) -> Plan:
    if settings.levels:
        return plan.sweep(
            settings.levels,
            settings.repeats,
            settings.requests_per_level,
            settings.warmup,
            requests_per_user=settings.requests_per_user,
        )
    return Plan(warmup_per_user=settings.warmup)
