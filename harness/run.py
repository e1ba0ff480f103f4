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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gevent.event import Event
from gevent.lock import RLock

from harness import audit, by_hand, ending, export, files, loadpoint, provenance, run_facts
from harness.allowance import Given
from harness.aside import aside
from harness.choosing import Choosing
from harness.clock import unix_now_ns
from harness.datasets import use
from harness.errors import ConfigError
from harness.guarding_run import Guard
from harness.influx.watch import Watch
from harness.load import Load
from harness.orders import Tally
from harness.parts import Finding, Parts
from harness.plan import Plan, Segment
from harness.progress import Progress
from harness.results import RunDirectory
from harness.say import say
from harness.scraper import open_scraper
from harness.scribe import Scribe
from harness.server_metrics import Sample
from harness.settings import Settings

__all__ = ["Run"]


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
        self.progress = Progress(a_plan, parts.counted, workers=parts.present, search=a_plan.brief)
        self.choosing = Choosing(settings, a_plan, parts.counted, self.event)
        self._finishing = RLock()
        self._begun_ns: int | None = None
        self._windows_kept: set[tuple[int, int]] = set()  # level and pass of those in the journal
        self._findings: list[Finding] = []
        first = next(iter(load.lanes.values()))
        self._scraper = open_scraper(settings, first.session(), first.client.secret, self._keep_sample, say)
        self.guard = Guard(settings.load.guards, a_plan, parts)
        self.id = run_facts.new_id(settings, load)
        self.directory = RunDirectory.create(
            settings.results_dir,
            self.id,
            self._stored(),
            planned=self.plan.planned,
            origin=aside(provenance.gather, settings),
        )
        self.scribe = Scribe(self.directory.journal)

    def begin(self) -> None:
        """Load begins."""
        self._begun_ns = unix_now_ns()
        self.watch.direct(self, files.from_json(self.directory.path / "run.json"), self._begun_ns)
        self.plan.begin(self._begun_ns)
        self.note_event("load begins", "start", self._begun_ns)
        self.parts.begin(self)
        self.plan.deal(self.parts.names)
        self.parts.tell()
        self.guard.begin(self)
        self.watch.start()
        self._scraper.start()
        self.choosing.start()
        self.progress.start()

    @property
    def elapsed_s(self) -> float:
        """Since load began."""
        return 0.0 if self._begun_ns is None else (unix_now_ns() - self._begun_ns) / 1e9

    def users_ready(self, users: int) -> None:
        """All users asked for have been started."""
        self.parts.when_up(users, lambda each, open_ns: self._open(users, each, open_ns))

    def users_asked(self, before: int, users: int, by: str) -> None:
        """So many users are to be up; `by` whom. Before the first of them comes or goes, all parts know."""
        if said := self.plan.users_asked(before, users, by, unix_now_ns()):
            self.parts.tell(at_once=True)
            self.event(said, "level")

    def hear(self, name: str, tallies: Sequence[Tally], given: Given | None = None) -> None:
        """A part's word on how far it is, stamps on this process's clock, Unix ns."""
        self.plan.hear(name, tallies, given)

    def look(self) -> None:
        """What follows from how far the parts are."""
        self.plan.grant()
        self.plan.deal(self.parts.names)
        segment = self.plan.segment
        if segment is not None and self.plan.is_sweep:
            if segment.window():
                self.journal_windows()
            if segment.is_done:
                self.segment_done.set()

    def next_segment(self) -> Segment | None:
        """Go on to a sweep's next level."""
        self.choosing.decide()
        self.segment_done.clear()
        return None if self.plan.is_stopped else self.plan.next_segment()

    def event(self, what: str, topic: str = "note") -> None:
        """Something worth knowing afterwards; it is said, too."""
        say(what)
        self.note_event(what, topic)

    def note_event(self, what: str, topic: str, at_ns: int | None = None) -> None:
        """The same, not said. `topic`: start, level, stop, end, worker, guard or note; `at_ns`: Unix ns, now by default."""
        time_ns = unix_now_ns() if at_ns is None else at_ns
        event = by_hand.event(what, topic, time_ns, self.plan.segment, is_stopped=self.plan.is_stopped)
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
                self.directory.held.let_go()
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
        """The console's tables: Maritaca's, where the run is for those, then ours."""
        from harness import maritaca_says, tables  # noqa: PLC0415  # pandas is for after the load

        if self.summary is None:
            return ""
        place, settings = self.directory.path, self._stored()
        theirs = f"{maritaca_says.of_run(place, self.summary)}\n" if maritaca_says.is_asked(settings) else ""
        return f"\n{theirs}{tables.render(self.summary, settings, run_dir=place)}"

    def last_words(self) -> list[str]:
        """What a user has to know of the end, below all tables."""
        return [*ending.last_words(self.parts.hope, self.exit_code), *self.guard.words()]

    def _end(self) -> None:
        self.stop()
        self.parts.drain(at_once=True)
        self.progress.stop()
        self.choosing.stop()
        self.guard.stop()
        self._scraper.stop()
        self.journal_windows()
        self.note_event("nothing is in flight any more", "end")
        for line in use.lines(run_facts.datasets(self.load, self.parts.statements())):
            self.event(line)
        self.scribe.close()
        self.watch.drained()
        self._write()
        for line in self.watch.results(self.directory.path, self.summary):
            say(line)
        self.parts.settle()
        for line in export.outcome(self.directory.path, self.settings.outlets, self.summary):
            say(line)

    def _open(self, users: int, each: Mapping[str, int], open_ns: int) -> None:
        self.plan.users_ready(each, users, unix_now_ns(), open_ns)
        if (segment := self.plan.segment) is not None and segment.open_ns == open_ns:
            self.note_event(segment.point.title, "level", open_ns)
        self.journal_windows()
        self.plan.deal(self.parts.names)
        self.parts.tell()

    def _keep_sample(self, sample: Sample) -> None:
        self.scribe.append("server", asdict(sample))
        self.watch.sample(sample)

    def journal_windows(self) -> None:
        """Each window as soon as it has closed: a killed run keeps the rates of the levels it had finished."""
        for window in self.plan.windows():
            if (window.level, window.repeat) not in self._windows_kept:
                self._windows_kept.add((window.level, window.repeat))
                self.scribe.append("window", asdict(window))
                self.watch.window(window.level, self.parts.counted())

    def _write(self) -> None:
        try:
            try:
                self.summary = self._finish(run_facts.counter(self.load))
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
            unsent=self.plan.unsent,
            incomplete=[
                *reasons,
                *self.guard.incomplete(),
                *audit.missing(statements, run=str(self.directory.path)),
                *([self.scribe.problem or ""] if self.scribe.dropped else []),
            ],
            findings=[
                *run_facts.inexact(self.load),
                *self.parts.findings(),
                *self.guard.findings(),
                *self._findings,
            ],
            count_tokens=count_tokens,
            workers=statements,
            keep=self.parts.unverified(),
            more={
                "begun_ns": self._begun_ns,
                "points": loadpoint.stored(self.plan.points()),
                **self.choosing.stored(),
                **self.guard.stored(),
                "datasets": run_facts.datasets(self.load, statements),
                **self.watch.stored(statements),
            },
        )

    def _stored(self) -> dict[str, Any]:
        return run_facts.stored(self.settings, self.load, self._scraper.says)
