"""Those who send, as a run sees them; and the one part of a local run.

A run says what its plan is now (`tell`), its parts say how far they are (`Director.hear`). A distributed run's parts
are on its workers (`harness.distributed.crew`).
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from os import getpid
from typing import Any, Protocol

from harness import live
from harness.allowance import Given
from harness.clock import ANCHOR_NS, now_ns, unix_now_ns
from harness.feed import Feed, both
from harness.hope import Hope
from harness.level_doubts import Finding
from harness.load import LOCAL, Load
from harness.open_loop import Arrival
from harness.orders import Tally, Totals
from harness.plan import Plan
from harness.pulse import Pulse, Said
from harness.record import RequestRecord
from harness.results import RunDirectory
from harness.scribe import Scribe

__all__ = ["Alone", "Director", "Finding", "Parts"]


class Onlooker(Protocol):
    """Whoever wants to see what is sent (`harness.influx.watch`)."""

    def send(self, load: Load, run_id: str, users: Callable[[], int]) -> Feed | None:
        """`load` sends from now on, with so many users."""


class Director(Protocol):
    """A run, as its parts see it (`harness.run`)."""

    id: str
    plan: Plan
    scribe: Scribe
    directory: RunDirectory
    users: Callable[[], int]

    @property
    def watch(self) -> Onlooker:
        """Looks on."""

    @property
    def elapsed_s(self) -> float:
        """Since load began."""

    def users_ready(self, users: int) -> None:
        """All users asked for have been started; none in an open loop."""

    def hear(self, name: str, tallies: Sequence[Tally], given: Given | None = None) -> None:
        """How far a part is, stamps on this process's clock, Unix ns."""

    def look(self) -> None:
        """What follows from that."""

    def event(self, what: str, topic: str = "note") -> None:
        """Something worth knowing afterwards; `topic` as in `Run.note_event`."""


class Parts(Protocol):
    """Those who send, as a run sees them."""

    def begin(self, run: Director) -> None:
        """Load begins."""

    def tell(self, *, at_once: bool = False) -> None:
        """The plan has changed. `at_once`: all hear of it before Locust tells them anything; no `when_up` goes on."""

    def when_up(self, users: int, then: Callable[[Mapping[str, int], int], None]) -> None:
        """Call `then(users of each part, when to open in Unix ns)` once all `users` are known to be up."""

    def drain(self, *, at_once: bool) -> None:
        """Load is stopped: wait for the last word of each part; `at_once` gives up what is in flight."""

    def settle(self) -> None:
        """The results are written."""

    @property
    def hope(self) -> Hope:
        """Whether going on is of any use."""

    @property
    def in_flight(self) -> int:
        """Requests under way."""

    def give_up(self) -> None:
        """What is in flight is cancelled."""

    def counted(self) -> live.View:
        """What all of them have counted."""

    def said(self) -> list[Said]:
        """What each said last, for whoever looks on."""

    def totals(self) -> list[Totals]:
        """What each has counted over the run; those of a distributed run come with reports."""

    @property
    def names(self) -> list[str]:
        """Those that are there, in the order they came."""

    def end_load(self) -> None:
        """Have the run ended the way Locust ends it by itself."""

    @property
    def present(self) -> Callable[[], tuple[int, int]] | None:
        """Gives (workers heard, workers there were); None in a local run."""

    def statements(self) -> list[dict[str, Any]]:
        """The last word of each, for run.json."""

    def findings(self) -> list[Finding]:
        """Doubts that only they know of."""

    def unverified(self) -> list[str]:
        """Journals in the run directory that may not be whole."""


class Guests(Protocol):
    """Users of an open loop (`harness.visitors`)."""

    def come(self, arrival: Arrival, gone: Callable[[], None]) -> None:
        """Start one, and call `gone` when it has ended."""

    def drain(self) -> None:
        """Wait for those that are here, as long as the run allows; then give them up."""

    @property
    def patience_s(self) -> float:
        """How long that is."""


class Alone:
    """The one part of a local run."""

    def __init__(
        self,
        load: Load,
        on_record: Callable[[RequestRecord], None],
        abort: Callable[[], object],
        guests: Guests,
        *,
        is_watched: bool = False,
    ) -> None:
        """`is_watched`: somebody may look on."""
        self._load = load
        self._is_watched = is_watched
        self._pulse: Pulse | None = None
        self._guests = guests
        self._on_record = on_record
        self._abort = abort
        self._run: Director | None = None

    def begin(self, run: Director) -> None:
        """Load begins, here."""
        self._run = run
        if self._is_watched:
            self._pulse = Pulse(now_ns(), ANCHOR_NS, lambda: self._load.engine.flying)
        feed = both(run.watch.send(self._load, run.id, run.users), self._pulse)
        self._load.begin(
            run.scribe,
            on_record=self._on_record,
            on_change=self._changed,
            abort=self._abort,
            come=self._guests.come,
            feed=feed,
        )

    def tell(self, *, at_once: bool = False) -> None:
        """As a call; its answer is how far it is."""
        del at_once
        if self._run is None:
            return
        a_plan = self._run.plan
        self._load.obey(a_plan.step(LOCAL), stopped=a_plan.is_stopped)
        self._hear(self._run)

    def when_up(self, users: int, then: Callable[[Mapping[str, int], int], None]) -> None:
        """At once: Locust has just started them."""
        self._changed()
        then({LOCAL: users}, unix_now_ns())

    def drain(self, *, at_once: bool) -> None:
        """Locust has waited for its users, and they are gone; nobody has for an open loop's."""
        del at_once
        self._guests.drain()
        self._load.drain(self._guests.patience_s)
        self._load.close()
        self._changed()

    def settle(self) -> None:
        """There is nothing to clear away."""

    @property
    def hope(self) -> Hope:
        """The part's own."""
        return self._load.hope

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self._load.in_flight

    def give_up(self) -> None:
        """Its users are gone already, or Locust is told to end them; probes are not Locust's."""
        self._load.drain(0.0)

    def counted(self) -> live.View:
        """What it has counted; the plan's counts are brought up to date with it."""
        if self._run is None:
            return live.merged([self._load.live.stored()])
        self._hear(self._run)
        segment = self._run.plan.segment
        return live.merged([self._load.live.stored()], None if segment is None else segment.index)

    def said(self) -> list[Said]:
        """What it has to say now."""
        load, run = self._load, self._run
        if run is None:
            return []
        self._hear(run)
        is_over = run.plan.is_stopped and not load.in_flight
        pulse = None if self._pulse is None else self._pulse.stored(now_ns(), is_over=is_over)
        state = "ended" if is_over else "ready"
        return [Said(LOCAL, state, run.users(), load.in_flight, load.live.stored(), pulse, not is_over)]

    def totals(self) -> list[Totals]:
        """What it has counted over the run."""
        return [self._load.totals()]

    @property
    def names(self) -> list[str]:
        """There is but one."""
        return [LOCAL]

    def end_load(self) -> None:
        """As if there were no use in going on."""
        self._abort()

    @property
    def present(self) -> None:
        """There are no workers."""

    def statements(self) -> list[dict[str, Any]]:
        """Its last word."""
        elapsed_s = self._run.elapsed_s if self._run else 0.0
        return [
            {
                "name": LOCAL,
                "host": platform.node(),
                "pid": getpid(),
                "state": "ended",
                "joined_s": 0.0,
                "last_heard_s": elapsed_s,
                "longest_silence_s": 0.0,
                "clock": None,
                "totals": asdict(self._load.totals()),
                "signed": True,
                "journal": None,
                "metrics": None,  # the run's own are those of this process
                "events": [],
            }
        ]

    def findings(self) -> list[Finding]:
        """What its users met with."""
        return self._load.findings()

    def unverified(self) -> list[str]:
        """Its journal is the run's own."""
        return []

    def _changed(self) -> None:
        if self._run is not None:
            self._hear(self._run)
            self._run.look()

    def _hear(self, run: Director) -> None:
        run.hear(LOCAL, self._load.tallies(), self._load.given)
