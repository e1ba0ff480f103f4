"""What can happen to workers while load runs, and what follows from it: a line said and kept, and load set right again.

leaves     it was told to go: what it had not given out goes to others
is lost    Locust does not hear it any more: so too, and its users are started elsewhere
came back  it is counted on again; Locust starts users there
hopeless   no request of it can succeed: the run ends
"""

from collections.abc import Callable
from typing import Final

import gevent
from locust.runners import STATE_RUNNING, MasterRunner

from harness.clock import unix_now_ns
from harness.distributed.hand import Hand
from harness.distributed.roster import Roster
from harness.hope import Hope
from harness.orders import Report
from harness.parts import Director

__all__ = ["Incidents"]

TRIES: Final = 10  # users that end by themselves are not started again for ever
BETWEEN_NS: Final = 3_000_000_000


class Incidents:
    """Those of one run whose load has begun."""

    def __init__(
        self, run: Director, roster: Roster, runner: MasterRunner, gone: Callable[[], object]
    ) -> None:
        """`gone` is called when there is nobody left to work, or no use in it."""
        self.hope = Hope()
        self._run = run
        self._roster = roster
        self._runner = runner
        self._gone = gone
        self._unsettled = 0
        self._due_ns = 0

    def follow(self, hand: Hand, report: Report, before: Report | None, succeeded: int) -> None:
        """See what is new in a report; `succeeded`: requests of all workers that did."""
        if hand.is_lost and not hand.has_ended:
            self._regain(hand)
        if report.leaving and not (before and before.leaving):
            hand.events.append(report.leaving)
            self._run.event(f"worker {hand.name} leaves: {report.leaving}", "worker")
            self._run.plan.lose(hand.name, unix_now_ns())
            self._roster.spare(hand)
            self._unsettled = TRIES
        if report.disk and not (before and before.disk):
            self._run.event(f"worker {hand.name}: {report.disk}", "worker")
        if report.problem and self.hope.lost is None:
            nothing = report.nothing_worked and not succeeded
            self.hope = Hope(lost=f"worker {hand.name}: {report.problem}", nothing_worked=nothing)
            self._gone()

    def joined(self, hand: Hand) -> None:
        """A worker has come after load began."""
        hand.events.append(f"joined {hand.joined_s:.1f} s after load began")
        self._run.event(f"worker {hand.name} joined {hand.joined_s:.1f} s after load began", "worker")
        self._unsettled = TRIES

    def lose(self, hand: Hand, how: str) -> None:
        """A worker `how`: nothing is expected of it."""
        hand.is_lost = True
        hand.events.append(f"{how}, {self._run.elapsed_s:.1f} s after load began")
        self._run.event(f"worker {hand.name} is lost: it {how}", "worker")
        self._run.plan.lose(hand.name, hand.heard_ns)
        self._unsettled = TRIES
        if not self._run.plan.is_stopped and not any(
            other.is_present and not other.is_leaving for other in self._roster.hands.values()
        ):
            self._gone()

    def settle(self) -> None:
        """After something has happened: have Locust start users until there are as many as there should be.

        Locust does so by itself when a worker quits, but not when one is missing, nor when the second of two goes while it
        deals with the first.
        """
        if not self._unsettled or self._run.plan.is_stopped or unix_now_ns() < self._due_ns:
            return
        self._due_ns = unix_now_ns() + BETWEEN_NS
        if not self._runner.target_user_count:  # an open loop: its arrivals are dealt out anew
            self._unsettled -= 1
            self._run.users_ready(0)
            return
        users = sum(hand.users for hand in self._roster.hands.values())
        if users == self._runner.target_user_count:
            self._unsettled = 0
        elif self._runner.state == STATE_RUNNING and self._roster.clients():
            self._unsettled -= 1
            gevent.spawn(self._runner.start, self._runner.target_user_count, self._runner.spawn_rate)

    def _regain(self, hand: Hand) -> None:
        hand.is_lost = False
        hand.events.append(f"came back {self._run.elapsed_s:.1f} s after load began")
        self._run.event(f"worker {hand.name} came back", "worker")
        self._run.plan.regain(hand.name)
        self._unsettled = TRIES
