"""Locust's users of an open loop: each comes when an arrival is due, does one task, and goes.

A visitor's class is derived from the locustfile's and has its name, so Locust's number of users is what is in flight. But it
is another type, and so Locust, which starts and stops users to come to the number it was told, which is none, leaves
visitors alone: their coming is the schedule's business, and their going their own.
"""

import traceback
from collections.abc import Callable, Sequence
from typing import Any

import gevent
from locust import User
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import Runner

from harness.lots import Lots
from harness.open_loop import Arrival

__all__ = ["Visitors"]


class Visitors:
    """Starts them. `classes`: the locustfile's LLMUsers; which of them comes is drawn by their weights, seeded."""

    def __init__(
        self, environment: Environment, runner: Runner, classes: Sequence[type[Any]], seed: int
    ) -> None:
        self._environment = environment
        self._runner = runner
        self._kinds = [_visiting(one) for one in classes]
        self._lots = Lots([float(one.weight) for one in classes], seed, "user classes")

    def come(self, arrival: Arrival, gone: Callable[[], None]) -> None:
        """Start a user for an arrival; `gone` is called when it has ended, however. One that cannot be made is gone at once."""
        kind = self._kinds[self._lots.draw(arrival.number)]
        try:
            user: Any = kind(self._environment)
        except Exception as error:  # noqa: BLE001  # of a locustfile's own, which must not end all arrivals
            self._runner.log_exception("visitors", f"{kind.__name__}: {error!r}", traceback.format_exc())
            gevent.spawn(gone)
            return
        user.arrival = arrival
        greenlet = user.start(self._runner.user_greenlets)
        greenlet.link(lambda _: gone())

    def drain(self) -> None:
        """Wait for those who are here, up to Locust's --stop-timeout; then give up what they have in flight."""
        gevent.wait(list(self._runner.user_greenlets), timeout=self.patience_s)
        self._runner.user_greenlets.kill(block=True)

    @property
    def patience_s(self) -> float:
        """Locust's --stop-timeout."""
        return float(self._environment.stop_timeout or 0.0)


def _visiting(user_class: type[User]) -> type[User]:
    return type(user_class.__name__, (user_class,), {"serves_for": user_class, "wait_time": _go})


def _go(self: Any) -> float:  # noqa: ANN401  a visitor; Locust calls it as a method, after each task
    if self.is_chatting:
        return 0.0
    raise StopUser
