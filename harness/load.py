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
from typing import Final

import gevent
from gevent.event import Event

from harness.allowance import Given
from harness.clock import ANCHOR_NS, now_ns
from harness.datasets import use
from harness.distributed.briefing import Share
from harness.exchange import Exchange
from harness.feed import Feed
from harness.guards import Guards
from harness.health import Health
from harness.hope import Hope
from harness.lane import Lane, Say, UserClass
from harness.lanes import join_lanes, open_engine, open_lanes, send_probe
from harness.leave import Leave, Slot, Turn
from harness.live import Live
from harness.open_loop import Arrival, Come, OpenLoop
from harness.orders import Step, Tally, Totals
from harness.prober import Prober
from harness.probing import Due as Probe
from harness.record import Outcome, RequestRecord
from harness.rests import Rests
from harness.scribe import Scribe
from harness.seconds import Second
from harness.settings import Settings
from harness.timetable import Timetable
from harness.traces import Due

__all__ = ["LOCAL", "Load"]

LOCAL = "local"
GUARDED_NS: Final = 200_000_000  # between reports of what a guard looks at


class Load:
    """One part. Its users call `take`, `keep` (through their client) and `finished`."""

    def __init__(
        self, settings: Settings, say: Say, name: str = LOCAL, timetable: Timetable | None = None
    ) -> None:
        self.settings = settings
        self.name = name
        self.changed = Event()
        self.hope = Hope()
        self.live = Live(settings.slos, drop_under=settings.drop_answers_under, anchor_ns=ANCHOR_NS)
        self.rests = Rests(say)
        self.lanes: dict[type[UserClass], Lane] = {}
        self.timetable = timetable  # of an open loop
        self.engine = open_engine(settings, say)
        self._say = say
        self._leave = Leave()
        self.live.is_busy = self._leave.is_busy
        self._prober = Prober(settings.load.probing, self._leave, self._probe)
        self._is_guarded, self._reported_ns = settings.load.guards != Guards(), 0
        self._open_loop: OpenLoop | None = None
        self._timers: list[
            gevent.Greenlet
        ] = []  # of the step to come, and of the end of the one that is taken
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
        self.lanes = open_lanes(
            user_classes,
            self.settings,
            self.engine,
            self.keep,
            name=self.name,
            requests=requests,
            say=self._say,
        )
        for lane in self.lanes.values():
            if self.timetable is not None:
                self.timetable.refuse_beyond(lane.facts.context)

    def join(self, user_classes: Sequence[type[UserClass]], shares: Mapping[str, Share]) -> None:
        """Take a master's word for what the server is and what to send it.

        Raises:
            ConfigError: the server or the key are not what the master has.
        """
        self.lanes = join_lanes(
            user_classes, self.settings, self.engine, self.keep, name=self.name, shares=shares
        )

    def begin(
        self,
        scribe: Scribe,
        *,
        on_record: Callable[[RequestRecord], None],
        on_change: Callable[[], None],
        abort: Callable[[], object],
        come: Come,
        feed: Feed | None = None,
    ) -> None:
        """Load begins.

        Args:
            scribe: of this part's journal.
            on_record: told of every finished request.
            on_change: called when a report would say more than a moment ago.
            abort: called when going on is pointless (`hope`).
            come: starts a user for an arrival of an open loop.
            feed: looks on.
        """
        self._feed = feed
        self._scribe, self._on_record, self._on_change, self._abort = scribe, on_record, on_change, abort
        self._open_loop = OpenLoop(self._leave, come, on_change)
        self._health = Health(self.engine, self._keep_second, self.name)
        self._health.start()

    def obey(self, step: Step | None, *, stopped: bool) -> None:
        """An order; `step.open_ns` is by this process's own Unix time. Until then the last step goes on."""
        if stopped:
            self._forget()
            self._leave.stop()
            if self._open_loop is not None:
                self._open_loop.stop()
            self._prober.stop()
        elif step is not None:
            step = step.shifted(-ANCHOR_NS)
            self._prober.tend(step.probe_ns)
            turn, ahead_s = self._leave.turn, (step.open_ns - now_ns()) / 1e9
            if turn is not None and turn.step.index >= step.index:
                self._leave.obey(step)
                if self._open_loop is not None:
                    self._open_loop.go_on()
            else:
                self._forget()
                if ahead_s > 0:
                    self._timers = [gevent.spawn_later(ahead_s, self._enter, step)]
                    return
                self._enter(step)
        self._wake()

    def take(self) -> tuple[Turn, Slot] | None:
        """Leave to send now, or None: wait for `changed`."""
        return self._leave.take(now_ns())

    def due(self, number: int | None) -> Due | None:
        """What a trace says of an arrival."""
        trace = self.timetable.trace if self.timetable else None
        return None if trace is None or number is None else trace.due(number)

    def again(self, arrival: Arrival) -> tuple[Turn, Slot] | None:
        """Leave for one more request of a visitor's; None: its level is over."""
        return self._leave.again(arrival.turn, now_ns())

    def finished(self, turn: Turn, slot: Slot) -> None:
        """A request that had leave is over."""
        self._leave.finished(turn, slot, now_ns())
        if turn.runs_low or self._leave.runs_low or turn.is_closed or self._leave.is_stopped:
            self._on_change()

    def keep(self, record: RequestRecord, exchange: Exchange) -> None:
        """One record: journal first, then whoever wants to know."""
        if self._scribe is None:
            return
        self._scribe.append("record", record)
        self.live.add(record, self._leave.segment_of(record.level, record.repeat))
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
        if self._is_guarded and record.end_ns - self._reported_ns > GUARDED_NS:
            self._reported_ns = record.end_ns
            self._on_change()

    @property
    def in_flight(self) -> int:
        """Requests that were given leave and are not over, probes among them."""
        return self._leave.in_flight + self._prober.in_flight

    @property
    def given(self) -> Given:
        """Requests that were given leave, probes aside."""
        return Given(self._leave.offered, self._leave.revision)

    @property
    def is_dry(self) -> bool:
        """There is no leave now, but there may be more later (`harness.allowance`)."""
        return self._leave.is_dry and not self._leave.is_stopped

    @property
    def offered(self) -> int:
        """Requests that were given leave, and probes."""
        return self._leave.offered + self._prober.sent

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
            offered=self.offered,
            probes=self._prober.sent,
            sent=self.live.sent,
            prompt_tokens=self.live.prompt_tokens,
            output_tokens=self.live.output_tokens,
            uncounted=self.live.uncounted,
            succeeded=self.live.outcomes[Outcome.OK],
            failed=dict(self.live.errors),
            cancelled=self.live.outcomes[Outcome.CANCELLED],
            dropped=self._scribe.dropped if self._scribe else 0,
            entries=use.taken(lane.menu.streams for lane in self.lanes.values()),
        )

    def findings(self) -> list[tuple[str, str]]:
        """For the verdict: what its users and its probes met with."""
        waits = use.findings(lane.menu.streams for lane in self.lanes.values())
        return [*self.rests.findings(), *self._prober.findings(), *waits]

    def drain(self, limit_s: float) -> None:
        """No further probe; those in flight are given up after so long."""
        self._prober.drain(limit_s)

    def close(self) -> None:
        """Nothing is in flight any more; the scribe is its owner's to close. A second call does nothing."""
        if self._health is not None:
            self._health.stop()
            self._health = None
        for lane in self.lanes.values():
            lane.menu.close()
        self.engine.close()

    def _enter(self, step: Step) -> None:
        """A new step begins."""
        self._leave.obey(step)
        turn = self._leave.turn
        if step.is_open and turn is not None and self._open_loop is not None and self.timetable is not None:
            self._open_loop.enter(turn, self.timetable.offsets(step.level, step.repeat, step.rate))
        elif step.until_ns is not None and turn is not None:
            self._timers = [gevent.spawn_later((step.until_ns - now_ns()) / 1e9, self._close_turn, turn)]
        self._wake()

    def _probe(self, due: Probe, slot: Slot) -> None:
        """Send a probe, of the first user class's kind."""
        self.engine.give_way()
        send_probe(next(iter(self.lanes.values())), due, slot)
        if self._leave.is_stopped:
            self._on_change()

    def _close_turn(self, turn: Turn) -> None:
        """The time of a closed loop's step is over."""
        turn.is_closed = True
        self._on_change()

    def _forget(self) -> None:
        gevent.killall(self._timers, block=False)
        self._timers = []

    def _keep_second(self, second: Second) -> None:
        if self._scribe is not None:
            self._scribe.append("health", asdict(second))
        if self._feed is not None:
            self._feed.second(second)

    def _wake(self) -> None:
        waiting, self.changed = self.changed, Event()
        waiting.set()
