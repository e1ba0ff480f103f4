"""What one user class sends: its backend, its prompts, and how it asks. How one is opened is `harness.lane_opening`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from harness import menus
from harness.asker import Asker
from harness.backends.base import Ask, Backend
from harness.client import Client
from harness.control import Session, session
from harness.conversation import Conversation, session_id
from harness.datasets.dataset import Dataset
from harness.distributed.briefing import Share
from harness.menu import Menu
from harness.server_facts import Facts
from harness.settings import Settings
from harness.sizers import Sizer
from harness.talk import Talk
from harness.traces import Due
from harness.workload import Sharing

__all__ = ["Lane", "Say", "UserClass", "open_session", "share_of"]

Say = Callable[[str], None]


class UserClass(Protocol):
    """What a run wants to know of a user class (`harness.users.LLMUser`)."""

    backend: str
    api_mode: str | None
    backend_options: ClassVar[Mapping[str, str]]
    prompt_tokens: str
    output_tokens: str


@dataclass(frozen=True, slots=True)
class Lane:
    """What one user class sends: its backend, its work, and how to ask."""

    kind: str  # the user class
    client: Client
    menu: Menu
    datasets: Sequence[Dataset | None]  # behind the menu's supplies, in their order; none on a worker
    sizer: Sizer | None  # None on a worker: it sizes nothing
    facts: Facts
    settings: Settings
    prompt_tokens: str  # the distributions in use
    output_tokens: str
    asker: Asker

    def begin(self, level: int, number: int | None, due: Due | None) -> Talk:
        """A user's next request, or chat. `number`: an arrival's in the run; None: this process counts by itself."""
        by_number = number is not None
        number = self.menu.numbers.next() if number is None else number
        supply = self.menu.pick(number, level)
        want = supply.want(number, due, by_number=by_number)
        chat = None
        if want.sizes or want.later or supply.chats or supply.turns:
            whose = self.kind if supply.name is None else f"{self.kind}/{supply.name}"
            chat = Conversation(session_id(whose, number), context=self.facts.context)
        return Talk(level, number, supply, want, chat)

    def ask(self, talk: Talk | None, prompt: str | Sequence[int] | None, max_tokens: int | None) -> Ask:
        """What to send; a prompt of the user's own is not sized. Without a talk, both are the user's own."""
        if talk is None:
            return self.asker.ask(prompt or "", max_tokens or 0)
        asked = talk.ask(self.asker)
        length = asked.max_tokens if max_tokens is None else max_tokens
        return replace(asked, max_tokens=length) if prompt is None else self.asker.ask(prompt, length)

    def session(self) -> Session:
        """A new one, for questions outside the load."""
        return open_session(self.client.backend, self.settings, self.client.secret)

    def stored(self) -> dict[str, object]:
        """What is worth keeping of it in `run.json`."""
        return {
            "backend": self.client.backend.name,
            "api_mode": self.client.backend.mode,
            "path": self.client.backend.path,
            "stream": self.client.backend.stream,
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "sizer": self.sizer and self.sizer.describe,
            "server": self.facts.stored(),
        }


def share_of(lane: Lane, sharing: Sharing) -> Share:
    """What a worker is told of a lane, and its part of the prompts."""
    stocks = menus.stocks(lane.menu, lane.datasets, sharing, whole=lane.settings.load.is_open)
    return Share(facts=lane.facts, sharing=sharing, salt=lane.asker.salt, stocks=stocks)


def open_session(backend: Backend, settings: Settings, secret: str | None) -> Session:
    """With the user's headers, and the key where the backend wants it."""
    opened = session(None, settings.trust, settings.proxy)
    keys = [backend.credentials(secret)] if secret else []
    opened.headers.update([*settings.wording.headers.items(), *keys])
    return opened
