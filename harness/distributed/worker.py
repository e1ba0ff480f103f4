"""A worker process of distributed runs: hears its master's orders, answers each, and knows when to go.

The answers are also how clocks are compared. Who hears nothing for `MASTER_GONE_S` ends its load by itself: nobody may be at
the other end of it any more. Its journal then stays where it is, for `tokenswarm collect`, as it does whenever the master does
not say that it has it.

Ctrl-C or SIGTERM here: this worker stops sending, hands its journal over and leaves; the run goes on without it. A second one gives up
what is in flight. Where `--processes` started it, Ctrl-C is the master's business, which hears it too.
"""

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.event import Event
from locust import argument_parser
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import WorkerRunner

from harness import orders, ramps
from harness.clock import unix_now_ns
from harness.distributed.assignment import Assignment
from harness.distributed.parcel import Shelf
from harness.ending import INCOMPLETE, USAGE
from harness.lane import UserClass
from harness.load import Load
from harness.orders import Order
from harness.say import say

__all__ = ["Worker"]

MASTER_GONE_S: Final = 20.0
PAUSE_S: Final = 0.05  # between reports that nobody asked for
HANDOVER_S: Final = 60.0  # for the master to take the journal of one who leaves
PULSE_NS: Final = 60_000_000  # after the second that it tells of
_LOOK_S: Final = 0.01

Classes = Callable[[], list[type[UserClass]]]


class Worker:
    """This process, run after run."""

    def __init__(self, environment: Environment, runner: WorkerRunner, classes: Classes) -> None:
        """`classes` gives the locustfile's LLMUsers."""
        self._environment = environment
        self._runner = runner
        self._classes = classes
        self._shelf = Shelf()
        self._now: Assignment | None = None
        self._heard_ns = unix_now_ns()
        self._parent = os.getppid()
        self._dirty = Event()
        self._came = Event()  # a first assignment

    def listen(self) -> None:
        """Follow the master's messages, Locust's events and signals from here on."""
        # For each option of each spawn message Locust builds its parser anew: 100 ms in which this process does nothing else.
        argument_parser.default_args_dict = functools.cache(argument_parser.default_args_dict)
        self._runner.register_message(orders.ORDER, self._on_order)
        self._runner.register_message(orders.CHUNK, self._on_chunk)
        self._runner.register_message(orders.GET, self._on_get, concurrent=True)
        on = self._environment.events
        on.report_to_master.add_listener(self._on_report_to_master)
        on.spawning_complete.add_listener(lambda **_: self._dirty.set())
        on.quitting.add_listener(self._quitting)
        gevent.signal_handler(signal.SIGINT, self._interrupt)
        ramps.follow_worker(self._runner)
        gevent.spawn(self._keep_reporting)
        gevent.spawn(self._keep_pulsing)
        gevent.spawn(self._watch)

    @property
    def load(self) -> Load:
        """What this process's users work for; waits until there is something to do.

        Raises:
            StopUser: there will be nothing.
        """
        self._came.wait()
        now = self._now
        if now is not None:
            now.is_prepared.wait()
        if now is None or now.load is None or now.state not in ("ready", "ended"):
            raise StopUser
        return now.load

    def _on_order(self, msg: Any, **_: object) -> None:  # noqa: ANN401  Locust's message
        got_ns = unix_now_ns()
        try:
            order = Order.read(msg.data)
        except ValueError as error:
            say(f"the master's order cannot be read ({error}); is it of the same version?")
            return
        self._heard_ns = got_ns
        now = self._now
        if now is None or now.run_id != order.run_id:
            if order.settled or (now is not None and now.in_flight):
                return
            now = self._now = Assignment(order, self._environment, self._runner, self._dirty.set)
            self._came.set()
        now.obey(order, got_ns, self._shelf)
        if order.settled and now.state != "settled":
            now.settle(self._shelf)
        elif now.state == "preparing":
            gevent.spawn(now.prepare, self._ask, self._classes(), self._tell)
        self._report(now, order.sent_ns, got_ns)

    def _report(self, now: Assignment, echo_ns: int | None = None, got_ns: int | None = None) -> None:
        self._runner.send_message(orders.REPORT, now.report(echo_ns, got_ns).wire())

    def _keep_reporting(self) -> None:
        """Changes are worth a report, but not each its own."""
        while True:
            self._dirty.wait()
            self._dirty.clear()
            if self._now is not None:
                self._report(self._now)
            gevent.sleep(PAUSE_S)

    def _keep_pulsing(self) -> None:
        """Just after each second of Unix time, where somebody may look on."""
        while True:
            gevent.sleep((PULSE_NS - unix_now_ns()) % 1_000_000_000 / 1e9)
            if self._now is not None and (pulse := self._now.pulse()):
                self._runner.send_message(orders.PULSE, pulse)
            gevent.sleep(0.1)

    def _watch(self) -> None:
        """Is the master still there?"""
        while True:
            gevent.sleep(1)
            now, silent_s = self._now, (unix_now_ns() - self._heard_ns) / 1e9
            if now is None or now.state != "ready" or silent_s <= MASTER_GONE_S:
                continue
            say(f"the master has not been heard for {silent_s:.0f} s: this worker ends its load")
            now.leaving = f"had not heard the master for {silent_s:.0f} s"
            now.end(self._shelf)
            if self._is_child:
                self._runner.quit()

    @property
    def _is_orphan(self) -> bool:
        """Its master is gone with the process that started it."""
        return self._is_child and os.getppid() != self._parent

    @property
    def _is_child(self) -> bool:
        """A master with `--processes` started it: whoever stops that stops this."""
        own = "--worker" in sys.argv or "LOCUST_MODE_WORKER" in os.environ
        return bool(getattr(self._environment.parsed_options, "processes", None)) and not own

    def _interrupt(self) -> None:
        """Ctrl-C, the first, the second and the third time."""
        now = self._now
        is_at_work = now is not None and now.state == "ready"
        if self._is_child and is_at_work:
            return
        if now is None or not is_at_work:
            self._runner.quit()
        elif now.leaving is None:
            say(
                f"leaving: {now.in_flight} requests in flight get {now.drain_s:g} s to finish, and the run goes on "
                "without this worker; Ctrl-C again gives them up"
            )
            gevent.spawn(self._leave, now, "was stopped by Ctrl-C")
        elif not now.gives_up:
            now.gives_up = True
        else:
            self._tell_where(now)
            os._exit(130)

    def _leave(self, now: Assignment, why: str) -> None:
        self._hand_over(now, why)
        self._runner.quit()

    def _hand_over(self, now: Assignment, why: str) -> None:
        """End this worker's part, and wait for the master to have its journal."""
        now.leaving = now.leaving or why
        self._report(now)
        now.end(self._shelf)
        waited_s = 0.0
        while not now.is_taken and waited_s < HANDOVER_S and now.state in ("ready", "ended"):
            if self._is_orphan:
                break
            gevent.sleep(_LOOK_S)
            waited_s += _LOOK_S
        if now.state == "ended" and now.is_taken:
            now.settle(self._shelf)

    def _quitting(self, **_: object) -> None:
        """Locust ends this process: by the master's word, or on SIGTERM."""
        now = self._now
        if now is None:
            return
        if now.state == "ready" and self._runner.greenlet:  # nobody hears anything without its greenlets
            self._hand_over(now, "was told to end (SIGTERM)")
        elif now.state in ("ready", "preparing"):
            now.end(self._shelf)
        if now.state == "ended" and not now.is_taken:
            self._tell_where(now)
            self._environment.process_exit_code = INCOMPLETE
        elif now.was_refused:
            self._environment.process_exit_code = USAGE

    def _tell_where(self, now: Assignment) -> None:
        if now.notebook is not None:
            path = now.notebook.path
            say(
                f"this worker's journal is kept: `tokenswarm collect RUN {path}` merges it into the run's results"
            )

    def _on_chunk(self, msg: Any, **_: object) -> None:  # noqa: ANN401
        if self._now is not None:
            self._now.deliver(msg.data)

    def _on_get(self, msg: Any, **_: object) -> None:  # noqa: ANN401
        self._runner.send_message(orders.CHUNK, self._shelf.answer(msg.data))

    def _ask(self, get: dict[str, int | str]) -> None:
        self._runner.send_message(orders.GET, get)

    def _tell(self, line: str) -> None:
        """To whoever looks at the master; and here, where that is another terminal."""
        if not self._is_child:
            say(line)
        self._runner.send_message(orders.SAY, {"line": line})

    def _on_report_to_master(self, data: dict[str, Any], **_: object) -> None:
        if self._now is not None and (live := self._now.live()):
            data["tokenswarm"] = live
