"""Ctrl-C (or SIGTERM, or a closed terminal) on the process that directs a run.

The first stops load, waits for what is in flight up to --stop-timeout, and has the results written; a second gives up what is
in flight; a third ends the process.
"""

import os
import signal
from typing import TYPE_CHECKING

import gevent

from harness.say import say

if TYPE_CHECKING:
    from harness.session import Session

__all__ = ["Interrupts"]


class Interrupts:
    """Counts them, and does what each asks for."""

    def __init__(self, session: "Session") -> None:
        self.count = 0
        self._session = session

    def listen(self) -> None:
        """Answer these signals from here on."""
        session = self._session
        gevent.signal_handler(signal.SIGINT, self._interrupt)
        gevent.signal_handler(signal.SIGHUP, self._interrupt)  # a closed terminal
        if session.web_ui is None and (session.environment.shape_class is not None or session.is_master):
            # Locust answers SIGTERM by itself (`quitting`), but in a headless sweep only when that is over, and on a master
            # that is starting users only when the run's time is.
            gevent.signal_handler(signal.SIGTERM, self._interrupt)

    def _interrupt(self) -> None:
        """The first, the second and the third time."""
        self.count += 1
        run = self._session.run
        if self.count > 2:
            say(
                "killed; what was measured stays in the run directory's journal: `tokenswarm report` reads it"
            )
            os._exit(130)
        flying, limit = (0 if run is None else run.parts.in_flight), self._session.environment.stop_timeout
        if run is not None and self.count == 1 and (flying or not run.plan.is_stopped):
            # In the drain of a run that had come to its end there is nothing left to cut short.
            run.interrupted = not run.plan.is_stopped
            say(
                f"stopping: {flying} requests in flight get {limit:g} s to finish; Ctrl-C again gives them up"
            )
        elif run is not None:
            run.watch.hurry()  # nothing is waited for any longer
            run.parts.give_up()
        if self.count == 2 and not self._session.is_master:
            self._session.runner.user_greenlets.kill(block=False)
        gevent.spawn(self._session.end_load)
