"""The Locust user that talks to a language model.

Subclass it in a locustfile:

    from locust import task
    from harness.users import LLMUser

    class Chat(LLMUser):
        backend = "openai"
        prompt_tokens = "lognormal:550,300"

        @task
        def talk(self):
            self.ask()

Importing this module plugs tokenswarm into Locust: its options, its runs, its results.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import gevent
from locust import User, constant
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from harness import plugin
from harness.clock import now_ns
from harness.leave import Slot, Turn
from harness.load import Load
from harness.record import Outcome, RequestRecord

__all__ = ["LLMUser"]

# A request that fails takes at least so long of its user's time: a server that is down, or refuses at once, fails so
# fast that users would do nothing but knock, thousands of times a second.
FAILURE_S = 0.5
MOST_REST_S = 60.0  # however long a server's Retry-After says


class LLMUser(User):
    """A user that sends one request after another; Locust's `wait_time` is its think time.

    Class attributes a subclass may set: `backend`, `api_mode` and `backend_options` (docs/backends.md),
    `prompt_tokens` and `output_tokens` (a distribution); the options of the same names win over them.
    """

    abstract = True
    wait_time = constant(0)

    backend: str = "openai"
    api_mode: str | None = None
    backend_options: ClassVar[Mapping[str, str]] = {}
    prompt_tokens: str = "550"
    output_tokens: str = "150"

    def ask(
        self,
        prompt: str | Sequence[int] | None = None,
        *,
        max_tokens: int | None = None,
        name: str | None = None,
    ) -> RequestRecord:
        """Send one request, wait for its end, and return what happened; it never raises for the server's fault.

        Args:
            prompt: your own text, or token ids, instead of a generated prompt of the configured size.
            max_tokens: your own limit instead of a drawn output size.
            name: the name it counts under in Locust's statistics; the route by default.
        """
        load = plugin.current(self.environment)
        load.engine.give_way()
        turn, slot = self._leave(load)
        try:
            lane = load.lanes[type(self)]
            asked, prompt_tokens = lane.spec(prompt, max_tokens)
            record = lane.client.run(
                asked,
                slot,
                name=name or lane.client.backend.path,
                scheduled_ns=now_ns(),
                prompt_tokens=prompt_tokens,
            )
        finally:
            load.finished(turn, slot)
        pause_s = _pause_s(record)
        if record.retry_after_s and lane.settings.retry_after:
            pause_s = min(record.retry_after_s, MOST_REST_S)
            load.rests.add(pause_s)
        if pause_s > 0:
            self._rest(lambda: gevent.sleep(pause_s))
        return record

    def _leave(self, load: Load) -> tuple[Turn, Slot]:
        """Wait for leave to send. Meanwhile Locust may stop this user as it does one that is thinking."""
        while (leave := load.take()) is None:
            self._rest(load.changed.wait)
        return leave

    def _rest(self, wait: Callable[[], object]) -> None:
        """Wait in a way that lets Locust stop this user at once."""
        if self._state == LOCUST_STATE_STOPPING:
            raise StopUser
        self._state = LOCUST_STATE_WAITING
        wait()
        self._state = LOCUST_STATE_RUNNING


def _pause_s(record: RequestRecord) -> float:
    """How long a user whose request failed waits before the next."""
    if record.outcome is not Outcome.FAILED:
        return 0.0
    return FAILURE_S if record.sent_ns is None else FAILURE_S - (record.end_ns - record.sent_ns) / 1e9
