"""A worker's part in one run, from its briefing to its last word.

    preparing   the briefing comes, key and way to the server are tried, the journal is opened
    ready       its users send, as far as the orders' steps allow
    ended       load is over, nothing is in flight, the journal is closed: the last word can be said
    refused     it cannot do its part; why, is with the report
    settled     the master has everything: nothing of the run is left here

It sends no message of its own but the gets of its briefing; `harness.distributed.worker` talks to the master.
"""

import os
import platform
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.runners import WorkerRunner

from harness import garbage, options
from harness.clock import ANCHOR_NS, unix_now_ns
from harness.distributed import briefing
from harness.distributed.fetch import Fetch
from harness.distributed.notebook import Notebook
from harness.distributed.parcel import Offer, Shelf
from harness.distributed.parcel_sinks import FetchError, MemorySink
from harness.errors import ConfigError
from harness.feed import both
from harness.fired import fire
from harness.influx.watch import Watch, open_watch
from harness.lane import Say, UserClass
from harness.load import Load
from harness.orders import PULSE, Order, Points, Report, Totals, digest
from harness.pulse import Pulse
from harness.ramps import departing
from harness.say import say
from harness.timetable import Timetable
from harness.visitors import Visitors

__all__ = ["Assignment"]

CLOCK_NS: Final = 10_000_000_000  # between two notes on the clock, where it has not changed
SLICE_NS: Final = 5_000_000  # of work on a briefing, before others have their turn
_LOOK_S: Final = 0.01


class Assignment:
    """One run on this worker."""

    def __init__(
        self, order: Order, environment: Environment, runner: WorkerRunner, changed: Callable[[], None]
    ) -> None:
        """`changed` is called when a report would say more than a moment ago."""
        self.run_id = order.run_id
        self.name = order.name
        self.state = "preparing"
        self.load: Load | None = None
        self.notebook: Notebook | None = None
        self.leaving: str | None = None
        self.gives_up = False
        self.is_taken = False  # the master has the journal
        self.is_prepared = Event()
        self._order = order
        self._environment = environment
        self._runner = runner
        self._changed = changed
        self._fetch: Fetch | None = None
        self._problem: str | None = None
        self._has_begun = self._is_ending = False
        self._totals = Totals()
        self._visitors: Visitors
        self._watch = Watch()
        self._pulse: Pulse | None = None
        self._points: Points | None = None
        self._offer: Offer | None = None
        self._clock_noted = (0, 0)  # when, and which offset

    @property
    def was_refused(self) -> bool:
        """It could not do its part."""
        return self._problem is not None

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self.load.in_flight if self.load else 0

    @property
    def drain_s(self) -> float:
        """What they get to finish when load is over."""
        return self._order.drain_s

    def prepare(
        self, ask: Callable[[dict[str, int | str]], None], classes: list[type[UserClass]], tell: Say
    ) -> None:
        """Fetch the briefing with `ask` and make ready what it says; `tell` tells the master's user. Never raises."""
        if self._fetch is not None or self._order.briefing is None:
            return
        sink = MemorySink()
        try:
            self._fetch = Fetch(Offer.from_dict(self._order.briefing), ask, sink)
            self._fetch.run()
            told = briefing.read(sink.data.splitlines(keepends=True), _Pause())
            self._take_in(told, classes, tell)
        except (ConfigError, FetchError, ValueError, KeyError) as error:
            self.state, self._problem = "refused", str(error) or repr(error)
            for line in self._problem.splitlines():
                say(f"error: {line}")
        self.is_prepared.set()
        self._changed()

    def deliver(self, chunk: object) -> None:
        """A piece of the briefing has come."""
        if self._fetch is not None:
            self._fetch.deliver(chunk)

    def obey(self, order: Order, now_ns: int, shelf: Shelf) -> None:
        """What the master wants, heard at `now_ns` of this process's Unix time."""
        self._order = order
        self.is_taken = self.is_taken or order.taken
        self.gives_up = self.gives_up or order.give_up
        load, notebook = self.load, self.notebook
        if self.state != "ready" or load is None or notebook is None:
            return
        if self.gives_up:
            self._watch.hurry()
        self._note_clock(order, now_ns, notebook)
        load.live.anchor_ns = ANCHOR_NS - order.offset_ns
        if order.step is not None and not self._has_begun:
            self._has_begun = True
            if order.watched:
                self._pulse = Pulse(
                    now_ns - ANCHOR_NS, ANCHOR_NS - order.offset_ns, lambda: load.engine.flying
                )
            known = order.uncertainty_ns is not None and abs(order.offset_ns) > order.uncertainty_ns
            load.begin(
                notebook.scribe,
                on_record=partial(fire, self._environment),
                on_change=self._changed,
                abort=self._changed,
                come=self._visitors.come,
                feed=both(
                    self._watch.send(
                        load, self.run_id, lambda: self._runner.user_count, order.offset_ns if known else 0
                    ),
                    self._pulse,
                ),
            )
            self._watch.start()
        if order.step is not None and self.leaving is None:
            load.obey(order.step.shifted(order.offset_ns), stopped=order.stopped)
        if order.stopped:
            gevent.spawn(self.end, shelf)

    def end(self, shelf: Shelf) -> None:
        """Stop, wait for what is in flight or give it up, close the journal and put it on the shelf."""
        load, notebook = self.load, self.notebook
        if self._is_ending or self.state != "ready" or load is None or notebook is None:
            return
        self._is_ending = True
        load.obey(None, stopped=True)
        limit_ns = unix_now_ns() + int(self.drain_s * 1e9)
        while load.in_flight and not self.gives_up and unix_now_ns() < limit_ns:
            gevent.sleep(_LOOK_S)
        if load.in_flight:
            self._runner.user_greenlets.kill(block=True)
        load.drain(0.0)
        load.close()
        source, self._offer = notebook.close()
        shelf.put(self._offer, source)
        self._totals = replace(load.totals(), dropped=notebook.dropped)
        self._points = self._watch.drained()
        self._watch.close()
        if pulse := self.pulse(is_over=True):
            self._runner.send_message(PULSE, pulse)
        # Locust's own statistics go first: the master's are whole when it hears our last word.
        data: dict[str, Any] = {}
        self._environment.events.report_to_master.fire(client_id=self._runner.client_id, data=data)
        self._runner.send_message("stats", data)
        # Users are idle by now; Locust would wait as long as this before it is ready for another run.
        self._environment.stop_timeout = 0
        self.state = "ended"
        self._changed()

    def settle(self, shelf: Shelf) -> None:
        """The results are written, or nothing will be: what is left here is cleared away if the master has it."""
        if self.state in ("ready", "preparing") and self.load is not None:
            self.load.close()
        if self.notebook is not None and self._offer is None:
            self.notebook.close()
        if self.notebook is not None and (self.is_taken or not self._has_begun):
            self.notebook.remove(unused=not self._has_begun)
        if self._offer is not None:
            shelf.drop(self._offer.name)
        self.state = "settled"
        self.is_prepared.set()

    def pulse(self, *, is_over: bool = False) -> dict[str, Any] | None:
        """How its last seconds were; None where nobody wants to know, or has heard the last of it."""
        pulse = self._pulse
        if is_over:
            self._pulse = None
        return None if pulse is None else pulse.stored(unix_now_ns() - ANCHOR_NS, is_over=is_over)

    def live(self) -> dict[str, Any] | None:
        """What is counted so far, for the master's live view."""
        return self.load.live.stored() if self.load is not None and self._has_begun else None

    def report(self, echo_ns: int | None, got_ns: int | None) -> Report:
        """How it stands, as the answer to the order that was sent at `echo_ns` and came at `got_ns`."""
        load, notebook = self.load, self.notebook
        has_ended = self._offer is not None and self.state == "ended"
        totals = self._totals if has_ended or load is None else load.totals()
        journal = self._offer.as_dict() if has_ended and self._offer else None
        return Report(
            run_id=self.run_id,
            state=self.state,
            sent_ns=unix_now_ns(),
            echo_ns=echo_ns,
            got_ns=got_ns,
            host=platform.node(),
            pid=os.getpid(),
            users=self._runner.user_count,
            departing=0 if load is None or load.timetable else len(departing(self._runner)),
            in_flight=self.in_flight,
            tallies=load.tallies() if load else (),
            totals=totals,
            problem=self._problem or (load.hope.lost if load else None),
            nothing_worked=load is not None and load.hope.nothing_worked,
            disk=load.disk if load else None,
            leaving=self.leaving,
            journal=journal,
            place=notebook.place if notebook else "",
            in_place=notebook is not None and notebook.in_place,
            digest=digest(self.run_id, self.name, totals, journal) if has_ended else None,
            notes=tuple(load.findings()) if load else (),
            points=self._points,
            revision=load.given.revision if load else 0,
        )

    def _take_in(self, told: briefing.Briefing, classes: list[type[UserClass]], tell: Say) -> None:
        names = {user_class.__name__ for user_class in classes}
        if names != set(told.shares):
            raise ConfigError(
                f"its locustfile has the user classes {', '.join(sorted(names)) or 'none'}, the master's "
                f"{', '.join(sorted(told.shares))}: give both the same locustfile (or the worker `-f -`)"
            )
        told.options.results_dir = getattr(self._environment.parsed_options, "results_dir", None)
        settings = options.read(told.options, None)
        arrivals = settings.load.arrivals
        timetable = None if arrivals is None else Timetable(arrivals, settings.seed, told.trace)
        load = Load(settings, tell, self.name, timetable)
        try:
            load.join(classes, told.shares)
            self._visitors = Visitors(self._environment, self._runner, classes, settings.seed)
            if self.state == "settled":  # another worker could not, and so nothing will be run
                load.engine.close()
                return
            self.notebook = Notebook.open(settings.results_dir, told.run, self.name)
            folder = self.notebook.path.parent
            self._watch = open_watch(os.environ, self.run_id, self.name, folder, tell)
        except BaseException:
            load.engine.close()
            raise
        garbage.put_by()  # or the first order would be obeyed after it, when the first arrivals have been due
        self.load, self.state = load, "ready"

    def _note_clock(self, order: Order, now_ns: int, notebook: Notebook) -> None:
        when_ns, offset_ns = self._clock_noted
        is_due = offset_ns != order.offset_ns or now_ns - when_ns > CLOCK_NS
        if order.uncertainty_ns is not None and is_due:
            self._clock_noted = (now_ns, order.offset_ns)
            notebook.note_clock(now_ns, order.offset_ns, order.uncertainty_ns)


class _Pause:
    """Lets others have their turn every `SLICE_NS` of work."""

    def __init__(self) -> None:
        self._due_ns = unix_now_ns() + SLICE_NS

    def __call__(self) -> None:
        if unix_now_ns() > self._due_ns:
            gevent.sleep(0)
            self._due_ns = unix_now_ns() + SLICE_NS
