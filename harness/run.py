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
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import uuid4

from gevent.event import Event
from gevent.lock import RLock

from harness import distributions, plan, sizers, workload
from harness.backends import find
from harness.backends.base import Ask, Backend
from harness.client import Client
from harness.clock import ANCHOR_NS, now_ns, unix_ns
from harness.engine import Engine
from harness.errors import ConfigError, ErrorClass
from harness.health import Health
from harness.journal import pack
from harness.options import Settings, read_secret
from harness.plan import Plan, Segment, Slot
from harness.probe import Facts, probe
from harness.progress import Progress
from harness.record import Outcome, RequestRecord, TokenSource
from harness.results import RunDirectory
from harness.sizers import Sizer
from harness.workload import RequestSpec, Workload

# Nothing will get better by sending more of these.
_HOPELESS = (ErrorClass.AUTH, ErrorClass.NOT_FOUND, ErrorClass.DNS, ErrorClass.CONNECT, ErrorClass.TLS)


class UserClass(Protocol):
    """What a run wants to know of a user class (`harness.users.LLMUser`)."""

    backend: str
    api_mode: str | None
    prompt_tokens: str
    output_tokens: str


@dataclass(frozen=True, slots=True)
class Lane:
    """What one user class sends: its backend, its work, and how to ask."""

    client: Client
    workload: Workload
    sizer: Sizer
    facts: Facts
    settings: Settings

    def spec(self, prompt: str | None, max_tokens: int | None) -> tuple[Ask, int | None]:
        """(what to ask, the tokens its prompt was sized to); a prompt of the user's own is not sized."""
        spec: RequestSpec | None = None
        if prompt is None or max_tokens is None:
            spec = self.workload.take()
        settings = self.settings
        exact = self.facts.forces_length if settings.exact_output is None else settings.exact_output
        ask = Ask(
            prompt=spec.prompt if prompt is None and spec else prompt or "",
            max_tokens=spec.output_tokens if max_tokens is None and spec else max_tokens or 0,
            model=self.facts.model,
            exact_length=exact,
            extra=settings.extra_body,
        )
        return ask, spec.requested_prompt_tokens if prompt is None and spec else None


class Run:
    """One run. `on_record` is told of every finished request; `abort` is called when going on is pointless."""

    def __init__(self, settings: Settings, user_classes: Sequence[type[UserClass]]) -> None:
        """Prepare a run.

        Raises:
            ConfigError: anything that makes it impossible, one line each. Nothing has been written.
        """
        self.settings = settings
        self.plan = _plan(settings)
        self.changed = Event()
        self.segment_done = Event()
        self.interrupted = False
        self.hopeless: str | None = None
        self.summary: dict[str, Any] | None = None
        self.problem: str | None = None
        self.progress = Progress(self.plan)
        self._health = Health()
        self._finishing = RLock()
        self._said: set[ErrorClass] = set()
        self._on_record: Callable[[RequestRecord], None] = lambda _: None
        self._abort: Callable[[], object] = lambda: None
        self.engine = Engine(settings.target, settings.timeouts)
        self.lanes: dict[type[UserClass], Lane] = {}
        try:
            for user_class in user_classes:
                self.lanes[user_class] = self._lane(user_class, len(user_classes))
            self.directory = RunDirectory.create(settings.results_dir, self._run_id(), self._stored())
        except BaseException:
            self.engine.close()
            raise

    def begin(self, on_record: Callable[[RequestRecord], None], abort: Callable[[], object]) -> None:
        """Load begins. `on_record(record)` is called for each request, `abort()` when load should end early."""
        self._on_record, self._abort = on_record, abort
        self._health.start()
        self.progress.start()

    def take(self) -> tuple[Segment, Slot] | None:
        """Leave to send now, or None: wait for `changed`."""
        return self.plan.take(now_ns())

    def finished(self, segment: Segment, slot: Slot) -> None:
        """A request that had leave is over."""
        self.plan.finished(segment, slot, now_ns())
        if segment.is_done:
            self.segment_done.set()

    def users_ready(self, users: int) -> None:
        """All users asked for are up."""
        self.plan.users_ready(users, now_ns())
        self._wake()

    def next_segment(self) -> Segment | None:
        """Go on to a sweep's next level."""
        self.segment_done.clear()
        return self.plan.next_segment()

    def keep(self, record: RequestRecord) -> None:
        """One record: journal first, then whoever wants to know."""
        self.directory.journal.append("record", pack(record, ANCHOR_NS))
        self.progress.add(record)
        if record.error_class is not None and record.error_class not in self._said:
            self._said.add(record.error_class)
            say(f"first request failed with {record.error_class}: {record.error_message}")
        if record.error_class in _HOPELESS and not self.progress.outcomes[Outcome.OK] and not self.hopeless:
            self.hopeless = f"{record.error_class}: {record.error_message}"
            self._abort()
        self._on_record(record)

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
            self._write()

    @property
    def is_over(self) -> bool:
        """Its results are written, or could not be."""
        return self.summary is not None or self.problem is not None

    @property
    def exit_code(self) -> int | None:
        """Our exit code, or None to leave it to Locust's own rule."""
        if self.hopeless:
            return 2
        if self.problem or (self.summary is not None and not self.summary["complete"]):
            return 5
        return None

    def tables(self) -> str:
        """The console's tables: ours, then Maritaca's with their formulas."""
        from harness import rows, tables  # noqa: PLC0415  # pandas is for after the load

        if self.summary is None:
            return ""
        theirs = tables.maritaca(rows.load(self.directory.path / "requests.parquet"), self.summary)
        ours = tables.render(self.summary, self._stored(), run_dir=self.directory.path)
        return f"\n{theirs}\n{ours}"

    def _write(self) -> None:
        for window in self.plan.windows(ANCHOR_NS):
            self.directory.journal.append(
                "window",
                {
                    "level": window.level,
                    "repeat": window.repeat,
                    "start_ns": window.start_ns,
                    "end_ns": window.end_ns,
                },
            )
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
            incomplete=self._incomplete(),
            findings=[*self._health.findings(), *self._inexact()],
            client=self._health.stored(),
            count_tokens=count_tokens,
        )

    def _counter(self) -> Callable[[str], int] | None:
        """What counts the tokens of answers whose server did not; None: they are estimated."""
        sizer = next(iter(self.lanes.values())).sizer
        return None if sizer.source is TokenSource.ESTIMATED else sizer.count_output

    def _incomplete(self) -> list[str]:
        reasons = []
        if self.hopeless:
            reasons.append(f"stopped early, no request could succeed ({self.hopeless})")
        if self.interrupted:
            reasons.append("interrupted")
        sent = sum(self.progress.outcomes.values())
        if self.plan.planned is not None and sent < self.plan.planned:
            reasons.append(
                f"{self.plan.planned - sent} of {self.plan.planned} planned requests were not sent"
            )
        if cancelled := self.progress.outcomes[Outcome.CANCELLED]:
            reasons.append(f"{cancelled} requests were given up in flight")
        return reasons

    def _inexact(self) -> list[tuple[str, str]]:
        inexact = sum(lane.workload.inexact for lane in self.lanes.values())
        if not inexact:
            return []
        return [("suspect", f"{inexact} prompts could not be sized to the exact token count asked for")]

    def _lane(self, user_class: type[UserClass], classes: int) -> Lane:
        settings = self.settings
        backend = find(user_class.backend, settings.api_mode or user_class.api_mode)
        secret = read_secret(user_class.backend)
        facts = self._facts(backend, secret)
        for note in facts.notes:
            say(f"{settings.target}: {note}")
        sizer, why = sizers.choose(
            tokenizer=settings.tokenizer,
            model=facts.model,
            llama_url=str(settings.target) if facts.has_tokenize else None,
            chat=backend.mode == "chat",
            headers={"Authorization": f"Bearer {secret}"} if secret else None,
        )
        say(why)
        work = workload.build(
            settings.prompt_sizes
            or distributions.parse(user_class.prompt_tokens, f"{user_class.__name__}.prompt_tokens"),
            settings.output_sizes
            or distributions.parse(user_class.output_tokens, f"{user_class.__name__}.output_tokens"),
            sizer,
            seed=settings.seed + len(self.lanes),
            count=self.plan.planned if classes == 1 else None,
            progress=_Building(),
        )
        client = Client(self.engine, backend, "local", secret, self.keep)
        return Lane(client, work, sizer, facts, settings)

    def _facts(self, backend: Backend, secret: str | None) -> Facts:
        settings = self.settings
        is_llama = backend.name == "llamacpp"
        if not settings.preflight:
            notes = ("not asked (--preflight no)",)
            return Facts(settings.model, None, is_llama, has_tokenize=is_llama, notes=notes)
        return probe(backend, settings.target, model=settings.model, secret=secret, say=say)

    def _run_id(self) -> str:
        begun = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        lane = next(iter(self.lanes.values()))
        name = self.settings.run_name or f"{lane.client.backend.name}-{lane.client.backend.mode}"
        return f"{begun}-{re.sub(r'[^A-Za-z0-9._-]', '-', name)}-{uuid4().hex[:6]}"

    def _stored(self) -> Mapping[str, Any]:
        """The settings and what was learnt of the server, for run.json."""
        users = {
            user_class.__name__: {
                "backend": lane.client.backend.name,
                "api_mode": lane.client.backend.mode,
                "path": lane.client.backend.path,
                "prompt_tokens": self.settings.stored()["prompt_tokens"] or user_class.prompt_tokens,
                "output_tokens": self.settings.stored()["output_tokens"] or user_class.output_tokens,
                "sizer": lane.sizer.describe,
                "server": lane.facts.stored(),
            }
            for user_class, lane in self.lanes.items()
        }
        first = next(iter(users.values()))
        return self.settings.stored() | {
            "backend": first["backend"],
            "api_mode": first["api_mode"],
            "model": self.lanes[next(iter(self.lanes))].facts.model,
            "users": users,
            "anchor_unix_ns": unix_ns(0),
        }

    def _wake(self) -> None:
        waiting, self.changed = self.changed, Event()
        waiting.set()


def say(line: str) -> None:
    """Tell the user something, on stderr so that stdout stays for results."""
    print(f"tokenswarm: {line}", file=sys.stderr, flush=True)


class _Building:
    """Says how far the building of prompts is, if it takes long enough to wonder."""

    def __init__(self) -> None:
        self._next_ns = now_ns() + 2_000_000_000

    def __call__(self, done: int, total: int) -> None:
        if now_ns() >= self._next_ns:
            self._next_ns = now_ns() + 2_000_000_000
            say(f"building prompts: {done} of {total}")


def _plan(settings: Settings) -> Plan:
    if settings.levels:
        return plan.sweep(settings.levels, settings.repeats, settings.requests_per_level, settings.warmup)
    return Plan(warmup_per_user=settings.warmup)
