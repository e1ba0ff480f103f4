"""The parts of a distributed run, seen from its master: orders out, reports in, nobody forgotten at the end.

    enlist   each worker gets its briefing and says that it is ready, or why not
    tell     the plan has changed: orders go out, at most every `PAUSE_S`; each worker hears something each second
    drain    every worker says its last word, and its journal is brought here (`harness.distributed.collecting`)
    settle   the results are written; workers may clear away

Messages are whole states (`harness.orders`), so nothing depends on one of them. Locust decides who is there: a worker
whose heartbeats have stopped is lost, and its users are spread over the others. A worker that comes back is taken in
again; one that is new gets a briefing.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import gevent
from gevent import monkey
from gevent.event import Event
from locust.runners import MasterRunner

from harness import live, orders
from harness.clock import unix_now_ns
from harness.distributed.collecting import Collecting
from harness.distributed.hand import Hand
from harness.distributed.incidents import Incidents
from harness.distributed.pulses import Pulses
from harness.distributed.relay import Relay
from harness.distributed.roster import Lines, Roster
from harness.errors import ConfigError
from harness.hope import Hope
from harness.orders import Report, Totals
from harness.parts import Director, Finding
from harness.pulse import Said
from harness.record import Outcome

__all__ = ["Crew"]

_SLEEP: Final = monkey.get_original("time", "sleep")

PERIOD_S: Final = 1.0  # between orders that say nothing new
PAUSE_S: Final = 0.02  # between others
LEAD_NS: Final = 100_000_000  # a level opens so long after the order went out
UP_S: Final = 60.0  # for users to be up, after Locust has started them
END_S: Final = 60.0  # for a last word, after the drain's own time
KNOCK_S: Final = 0.5


class Crew:
    """All workers of one master; run after run."""

    def __init__(self, runner: MasterRunner, gone: Callable[[], object]) -> None:
        """`gone` is called when there is nobody left to work, or no use in it."""
        self._runner = runner
        self._gone = gone
        self._changed = Event()
        self._roster = Roster(runner, self._changed.set)
        self._collecting = Collecting(self._send)
        self._run: Director | None = None
        self._incidents: Incidents | None = None  # while there is load
        self._begun_ns = 0
        self._is_over = True
        self._gives_up = self._settled = False
        self._sent: dict[str, tuple[object, int]] = {}
        self._relay = Relay()
        self._beat: gevent.Greenlet | None = None
        self._rising = gevent.Greenlet()  # waits for users to be up
        runner.register_message(orders.REPORT, self._on_report)
        runner.register_message(orders.GET, self._on_get, concurrent=True)
        runner.register_message(
            orders.CHUNK, lambda msg, **_: self._collecting.deliver(msg.node_id, msg.data)
        )
        runner.register_message(orders.SAY, self._on_say)
        self._pulses = Pulses(runner, self._roster)
        runner.environment.events.worker_connect.add_listener(lambda **_: self._changed.set())

    def enlist(self, run: Director, lines: Lines, least: int, wait_s: int) -> None:
        """Have all workers prepare themselves; returns when they are ready.

        Args:
            run: what they are to work for.
            lines: makes what each prepares itself from (`harness.distributed.briefing`).
            least: workers there must be.
            wait_s: how long to wait for them; 0 is for ever.

        Raises:
            ConfigError: they did not come, or what is wrong with which of them.
        """
        roster = self._roster
        roster.assemble(least, wait_s)
        self._run, self._incidents = run, None
        self._sent, self._relay = {}, Relay()
        self._is_over = self._gives_up = self._settled = False
        roster.clear(lines)
        self._beat = gevent.spawn(self._keep_beating, run)
        roster.await_(lambda: roster.is_settled, roster.late)
        if problems := roster.problems:
            self.settle()
            raise ConfigError("\n".join(problems))

    def begin(self, run: Director) -> None:
        """Load begins."""
        self._begun_ns = unix_now_ns()
        self._incidents = Incidents(run, self._roster, self._runner, self._gone)
        for hand in self._roster.hands.values():
            hand.silence_ns, hand.heard_ns = 0, self._begun_ns
        run.event(f"at work: {', '.join(hand.name for hand in self._roster.hands.values())}", "worker")

    def tell(self, *, at_once: bool = False) -> None:
        """The plan has changed. `at_once`: Locust's own messages take the same way, and come after it."""
        self._changed.set()
        if at_once and self._run is not None:
            self._rising.kill(block=False)
            for hand in self._roster.hands.values():
                self._order(hand, self._run)

    def when_up(self, users: int, then: Callable[[Mapping[str, int], int], None]) -> None:
        """Once the workers say that they have them. In an open loop nobody is waited for."""
        self._rising.kill(block=False)
        if not users:
            up = {hand.name: 0 for hand in self._roster.hands.values() if hand.is_counted_on}
            return then(up, unix_now_ns() + LEAD_NS)
        self._rising = gevent.spawn(self._rise, users, then)
        return None

    def drain(self, *, at_once: bool) -> None:
        """Wait for every last word, and for the journals."""
        if self._is_over or self._incidents is None:
            return
        if at_once:
            self.give_up()
        self._changed.set()
        limit_ns = unix_now_ns() + int((self._runner.environment.stop_timeout + END_S) * 1e9)
        while late := [hand for hand in self._roster.hands.values() if hand.is_present]:
            gevent.sleep(PAUSE_S)
            for hand in late if unix_now_ns() > limit_ns else ():
                self._incidents.lose(hand, f"did not come to an end in {END_S:g} s")
        self._collecting.join()
        self._is_over = True

    def give_up(self) -> None:
        """What is in flight is cancelled."""
        self._gives_up = True
        self._changed.set()

    def settle(self) -> None:
        """Tell all that their copies may go. Locust's own messages come after it."""
        self._settled = self._is_over = True
        if self._beat is not None:
            self._beat.kill()
            self._beat = None
        if self._run is not None:
            for hand in self._roster.hands.values():
                self._order(hand, self._run)

    def dismiss(self, *, at_once: bool) -> None:
        """Nothing will be run: have the workers end too; unless `at_once`, also those that are just knocking."""
        if self._beat is not None:
            self._beat.kill(block=False)
        if not at_once:
            gevent.sleep(KNOCK_S)
        self._runner.send_message("quit")
        _SLEEP(0.1)  # for ZeroMQ's thread to send it; this may be called where no greenlet can wait

    @property
    def hope(self) -> Hope:
        """Whether going on is of any use."""
        return self._incidents.hope if self._incidents else Hope()

    @property
    def in_flight(self) -> int:
        """Requests under way, by the last reports."""
        return self._roster.in_flight

    def counted(self) -> live.View:
        """What all of them have counted."""
        segment = self._run.plan.segment if self._run else None
        said = [hand.live for hand in self._roster.hands.values() if hand.live is not None]
        return live.merged(said, None if segment is None else segment.index)

    def said(self) -> list[Said]:
        """What each said last."""
        return self._pulses.said()

    def totals(self) -> list[Totals]:
        """What each has counted over the run, by its last report."""
        return self._roster.totals

    @property
    def names(self) -> list[str]:
        """Workers that are counted on."""
        return self._roster.names

    def end_load(self) -> None:
        """As if there were nobody left."""
        self._gone()

    def present(self) -> tuple[int, int]:
        """(workers heard, workers there were)."""
        return self._roster.present

    def statements(self) -> list[dict[str, Any]]:
        """The last word of each."""
        return self._roster.statements(self._run.id if self._run else "", self._begun_ns)

    def findings(self) -> list[Finding]:
        """What their users met with."""
        return self._roster.findings

    def unverified(self) -> list[str]:
        """Journals that are not known to be whole: their worker may still write them."""
        return self._roster.unverified

    def _keep_beating(self, run: Director) -> None:
        while True:
            self._changed.clear()
            self._look(run)
            gevent.sleep(PAUSE_S)
            self._changed.wait(PERIOD_S / 4)

    def _look(self, run: Director) -> None:
        """Who is there, what follows from what they said, and what they are to hear."""
        incidents = self._incidents
        for hand in [] if self._is_over else self._roster.admit(run.elapsed_s if incidents else 0.0):
            if incidents:
                incidents.joined(hand)
        for hand in list(self._roster.hands.values()):
            if hand.is_present and (how := self._roster.how_lost(hand)):
                hand.is_lost = True
                if incidents:
                    incidents.lose(hand, how)
        if incidents and not self._is_over:
            incidents.settle()
            run.look()
        now_ns = unix_now_ns()
        for hand in self._roster.hands.values():
            news, sent_ns = self._sent.get(hand.id, (None, 0))
            if news != self._news(hand, run) or now_ns - sent_ns >= PERIOD_S * 1e9:
                self._order(hand, run)

    def _news(self, hand: Hand, run: Director) -> object:
        """What of its next order it has to hear at once."""
        step = hand.step(run.plan) if self._incidents else None
        return step, run.plan.is_stopped, self._gives_up, hand.is_taken, hand.offer is not None, hand.is_lost

    def _order(self, hand: Hand, run: Director) -> None:
        now_ns = unix_now_ns()
        self._sent[hand.id] = (self._news(hand, run), now_ns)
        plan, patience_s = run.plan if self._incidents else None, float(self._runner.environment.stop_timeout)
        how = {"give_up": self._gives_up, "settled": self._settled, "watched": self._pulses.are_wanted}
        order = hand.order(run.id, plan, now_ns, drain_s=patience_s, **how)
        self._send(hand.id, orders.ORDER, order.wire())

    def _send(self, client_id: str, kind: str, data: dict[str, Any]) -> None:
        self._runner.send_message(kind, data, client_id)

    def _rise(self, users: int, then: Callable[[Mapping[str, int], int], None]) -> None:
        """Wait until so many are up, and nobody's beside; each order is answered with what is so now."""
        run, limit_ns = self._run, unix_now_ns() + int(UP_S * 1e9)
        while run is not None:
            hands = self._roster.hands.values()
            up = {hand.name: hand.users for hand in hands if hand.is_counted_on}
            here = sum(up.values())
            is_late = unix_now_ns() > limit_ns
            if is_late:
                run.event(f"only {here} of {users} users are up after {UP_S:g} s; going on with them")
            if is_late or (here == users and not any(hand.is_moving for hand in hands)):
                return then(up, unix_now_ns() + LEAD_NS)
            for hand in hands:
                self._order(hand, run)
            gevent.sleep(0.1)
        return None

    def _on_report(self, msg: Any, **_: object) -> None:  # noqa: ANN401  Locust's message
        hand, run, incidents = self._roster.hands.get(msg.node_id), self._run, self._incidents
        try:
            report = Report.read(msg.data)
        except ValueError:
            return
        if hand is None or run is None or report.run_id != run.id:
            return
        before = hand.report
        hand.hear(report, unix_now_ns())
        self._changed.set()
        if report.state != "preparing":
            self._roster.has_it(hand)
        if incidents is None:
            return
        run.hear(hand.name, hand.tallies(), hand.given())
        incidents.follow(hand, report, before, self.counted().outcomes[Outcome.OK] if report.problem else 0)
        if hand.has_ended and not (hand.is_taken or self._is_over) and hand.is_sealed(run.id):
            self._collecting.take(hand, run.directory.path, self._changed.set)

    def _on_get(self, msg: Any, **_: object) -> None:  # noqa: ANN401
        self._send(msg.node_id, orders.CHUNK, self._roster.answer(msg.data))

    def _on_say(self, msg: Any, **_: object) -> None:  # noqa: ANN401
        if hand := self._roster.hands.get(msg.node_id):
            self._relay.pass_on(hand.name, msg.data)
