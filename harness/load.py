"""One process's part of a run: its users' requests, from the leave to send to the record in the journal.

    open | join   what to send, and how: by asking the server, or as a master has found out
    begin         users may come
    obey          an order: a step to take, or that load is over
    take, keep, finished   what each request goes through
    close         the journal is complete

It decides nothing about the run. A local run has one part, named `local`; a distributed one has one on each worker.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Protocol

import gevent
from gevent.event import Event

from harness.clock import ANCHOR_NS, now_ns
from harness.distributed.bundle import Share
from harness.engine import Engine
from harness.exchange import Exchange
from harness.health import Health
from harness.hope import Hope
from harness.lane import Lane, Say, UserClass, join_lane, open_lane
from harness.leave import Leave, Slot, Turn
from harness.live import Live
from harness.options import Settings
from harness.orders import Step, Tally, Totals
from harness.record import Outcome, RequestRecord
from harness.rests import Rests
from harness.scribe import Scribe
from harness.seconds import Second
from harness.tls import context

__all__ = ["LOCAL", "Feed", "Load"]

LOCAL = "local"


class Feed(Protocol):
    """Who looks on while load runs; neither call may take longer than a moment."""

    def record(self, record: RequestRecord, exchange: Exchange) -> None:
        """A request is over."""

    def second(self, second: Second) -> None:
        """A second of this process's own life is."""


class Load:
    """One part. Its users call `take`, `keep` (through their client) and `finished`."""

    def __init__(self, settings: Settings, say: Say, name: str = LOCAL) -> None:
        self.settings = settings
        self.name = name
        self.changed = Event()
        self.hope = Hope()
        self.live = Live()
        self.rests = Rests(say)
        self.lanes: dict[type[UserClass], Lane] = {}
        self.engine = _engine(settings, say)
        self._say = say
        self._leave = Leave()
        self._next: gevent.Greenlet | None = None
        self._scribe: Scribe | None = None
        self._health: Health | None = None
        self._feed: Feed | None = None
        self._said: set[str] = set()
        self._disk_said = False
        self._on_record: Callable[[RequestRecord], None] = lambda _: None
        self._on_change: Callable[[], None] = lambda: None
        self._abort: Callable[[], object] = lambda: None

    def open(self, user_classes: Sequence[type[UserClass]], requests: int | None) -> None:
        """Ask the server what it is and build the prompts of `requests` requests, or a pool for None.

        Raises:
            ConfigError: it cannot be done.
        """
        for user_class in user_classes:
            self.lanes[user_class] = open_lane(
                user_class,
                self.settings,
                self.engine,
                self.keep,
                name=self.name,
                seed=self.settings.seed + len(self.lanes),
                requests=requests if len(user_classes) == 1 else None,
                say=self._say,
            )

    def join(self, user_classes: Sequence[type[UserClass]], shares: Mapping[str, Share]) -> None:
        """Take a master's word for what the server is and what to send it.

        Raises:
            ConfigError: the server or the key are not what the master has.
        """
        for user_class in user_classes:
            self.lanes[user_class] = join_lane(
                user_class,
                self.settings,
                self.engine,
                self.keep,
                name=self.name,
                seed=self.settings.seed + len(self.lanes),
                share=shares[user_class.__name__],
            )

    def begin(
        self,
        scribe: Scribe,
        *,
        on_record: Callable[[RequestRecord], None],
        on_change: Callable[[], None],
        abort: Callable[[], object],
        feed: Feed | None = None,
    ) -> None:
        """Load begins.

        Args:
            scribe: of this part's journal.
            on_record: told of every finished request.
            on_change: called when a report would say more than a moment ago.
            abort: called when going on is pointless (`hope`).
            feed: looks on.
        """
        self._feed = feed
        self._scribe, self._on_record, self._on_change, self._abort = scribe, on_record, on_change, abort
        self._health = Health(self.engine, self._keep_second, self.name)
        self._health.start()

    def obey(self, step: Step | None, *, stopped: bool) -> None:
        """An order; `step.open_ns` is by this process's own Unix time. Until then the last step goes on."""
        if self._next is not None:
            self._next.kill(block=False)
            self._next = None
        if stopped:
            self._leave.stop()
        elif step is not None:
            ahead_s = (step.open_ns - ANCHOR_NS - now_ns()) / 1e9
            turn = self._leave.turn
            if ahead_s > 0 and (turn is None or turn.step.index != step.index):
                self._next = gevent.spawn_later(ahead_s, self._enter, step)
                return
            self._leave.obey(step)
        self._wake()

    def take(self) -> tuple[Turn, Slot] | None:
        """Leave to send now, or None: wait for `changed`."""
        return self._leave.take(now_ns())

    def finished(self, turn: Turn, slot: Slot) -> None:
        """A request that had leave is over."""
        self._leave.finished(turn, slot, now_ns())
        if turn.runs_low or self._leave.is_stopped:
            self._on_change()

    def keep(self, record: RequestRecord, exchange: Exchange) -> None:
        """One record: journal first, then whoever wants to know."""
        if self._scribe is None:
            return
        self._scribe.append("record", record)
        turn = self._leave.turn
        whose = turn is not None and (turn.step.level, turn.step.repeat) == (record.level, record.repeat)
        self.live.add(record, turn.step.index if turn is not None and whose else -1)
        if not self._disk_said and (problem := self._scribe.problem):
            self._disk_said = True
            self._say(f"{problem}; the run goes on")
        if record.error_class is not None and record.error_class not in self._said:
            self._said.add(record.error_class)
            self._say(f"first request failed with {record.error_class}: {record.error_message}")
        if self.hope.see(record):
            self._abort()
        if self._feed is not None:
            self._feed.record(record, exchange)
        self._on_record(record)

    @property
    def in_flight(self) -> int:
        """Requests that were given leave and are not over."""
        return self._leave.in_flight

    @property
    def offered(self) -> int:
        """Requests that were given leave."""
        return self._leave.offered

    @property
    def disk(self) -> str | None:
        """What is wrong with the journal, or None."""
        return None if self._scribe is None else self._scribe.problem

    def tallies(self) -> tuple[Tally, ...]:
        """How far it is with its last steps, stamps in Unix ns."""
        return tuple(turn.tally(ANCHOR_NS) for turn in self._leave.turns)

    def totals(self) -> Totals:
        """What it has counted so far."""
        return Totals(
            offered=self._leave.offered,
            sent=self.live.sent,
            succeeded=self.live.outcomes[Outcome.OK],
            failed=dict(self.live.errors),
            cancelled=self.live.outcomes[Outcome.CANCELLED],
            dropped=self._scribe.dropped if self._scribe else 0,
        )

    def close(self) -> None:
        """Nothing is in flight any more; the scribe is its owner's to close. A second call does nothing."""
        if self._health is not None:
            self._health.stop()
            self._health = None
        self.engine.close()

    def _enter(self, step: Step) -> None:
        self._next = None
        self._leave.obey(step)
        self._wake()

    def _keep_second(self, second: Second) -> None:
        if self._scribe is not None:
            self._scribe.append("health", asdict(second))
        if self._feed is not None:
            self._feed.second(second)

    def _wake(self) -> None:
        waiting, self.changed = self.changed, Event()
        waiting.set()


def _engine(settings: Settings, say: Say) -> Engine:
    tls = context(settings.trust) if settings.target.tls else None
    if proxy := settings.proxy:
        say(f"{settings.target} is reached through the proxy {proxy} ({proxy.variable})")
    return Engine(settings.target, settings.timeouts, tls=tls, proxy=proxy)
