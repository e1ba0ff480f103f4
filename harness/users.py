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
from harness.lane import Lane
from harness.leave import Slot, Turn
from harness.load import Load
from harness.open_loop import Arrival
from harness.record import Outcome, RequestRecord
from harness.rests import MOST_REST_S
from harness.talk import Talk

__all__ = ["LLMUser"]

# A request that fails takes at least so long of its user's time: a server that is down, or refuses at once, fails so
# fast that users would do nothing but knock, thousands of times a second.
FAILURE_S = 0.5


class LLMUser(User):
    """A user that sends one request after another; Locust's `wait_time` is its think time.

    Class attributes a subclass may set: `backend`, `api_mode` and `backend_options` (docs/backends.md),
    `prompt_tokens` and `output_tokens` (a distribution); the options of the same names win over them.
    """

    abstract = True
    wait_time = constant(0)

    serves_for: ClassVar[type["LLMUser"] | None] = (
        None  # a visitor's (`harness.visitors`): whose tasks it does
    )
    arrival: Arrival | None = None  # a visitor's
    _talk: Talk | None = None  # that it is at
    _begun: int = 0  # a visitor's requests and chats

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
        lane = load.lanes[self.serves_for or type(self)]
        load.engine.give_way()
        if self.is_chatting:
            self._think(lane)
        turn, slot, due_ns = self._leave(load)
        try:
            talk = None
            if prompt is None:
                talk = self._next_talk(load, lane, slot.level)
            elif max_tokens is None:
                talk = self._begin(load, lane, slot.level)
            asked = lane.ask(talk, prompt, max_tokens)
            record = lane.client.run(
                asked,
                slot,
                name=name or (talk and talk.name) or lane.client.backend.path,
                scheduled_ns=due_ns,
                prompt_tokens=talk.requested if talk and prompt is None else None,
                session=talk.session if talk and prompt is None else None,
                number=talk.number if talk and prompt is None else None,
                hear=talk.hear if talk and prompt is None else _nobody,
            )
        finally:
            load.finished(turn, slot)
        if self.arrival is not None:
            return record  # the next one comes when it is due
        pause_s = _pause_s(record)
        if record.retry_after_s and lane.settings.retry_after:
            pause_s = min(record.retry_after_s, MOST_REST_S)
            load.rests.add(pause_s)
        if pause_s > 0:
            self._rest(lambda: gevent.sleep(pause_s))
        return record

    @property
    def is_chatting(self) -> bool:
        """It is in the middle of a chat."""
        return self._talk is not None and not self._talk.is_over

    def _next_talk(self, load: Load, lane: Lane, level: int) -> Talk:
        """The chat that goes on, else the next request or chat."""
        talk = self._talk
        if talk is None or talk.is_over or talk.level != level:
            talk = self._talk = self._begin(load, lane, level)
        return talk

    def _begin(self, load: Load, lane: Lane, level: int) -> Talk:
        """The next request or chat; what a trace says holds for an arrival's first."""
        if (arrival := self.arrival) is None:
            return lane.begin(level, None, None)
        nth, self._begun = self._begun, self._begun + 1
        return lane.begin(level, arrival.of_run(nth), None if nth else load.due(arrival.number))

    def _think(self, lane: Lane) -> None:
        """A chat's user reads the answer and thinks of what to say."""
        if (pause_s := lane.menu.pause_s()) > 0:
            self._rest(lambda: gevent.sleep(pause_s))

    def _leave(self, load: Load) -> tuple[Turn, Slot, int]:
        """(leave, when the request was due). A user waits for it; meanwhile Locust may stop it as one that is thinking."""
        if (arrival := self.arrival) is not None:
            if arrival.is_taken:
                while (again := load.again(arrival)) is None:
                    if not load.is_dry:
                        raise StopUser
                    self._rest(load.changed.wait)
                return *again, now_ns()
            arrival.is_taken = True
            return arrival.turn, arrival.slot, arrival.due_ns
        while (leave := load.take()) is None:
            self._rest(load.changed.wait)
        return *leave, now_ns()

    def _rest(self, wait: Callable[[], object]) -> None:
        """Wait in a way that lets Locust stop this user at once."""
        if self._state == LOCUST_STATE_STOPPING:
            raise StopUser
        self._state = LOCUST_STATE_WAITING
        wait()
        self._state = LOCUST_STATE_RUNNING


def _nobody(_record: RequestRecord, _spoken: str) -> None:
    """Nobody listens to the answer to a user's own prompt."""


def _pause_s(record: RequestRecord) -> float:
    """How long a user whose request failed waits before the next."""
    if record.outcome is not Outcome.FAILED:
        return 0.0
    return FAILURE_S if record.sent_ns is None else FAILURE_S - (record.end_ns - record.sent_ns) / 1e9
