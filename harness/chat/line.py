"""The way to the server for a chat: a client as a load has one, with what is chosen for this answer.

The settings are a load's: its host, headers, certificates, proxy, timeouts, and the key of the environment. What of them shapes
load alone (exact lengths, cache salts, prompts of token ids) is left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from harness.backends import BACKENDS
from harness.backends.base import Ask, Backend, Learnt, Turn
from harness.chat.choices import Choices, make_ask
from harness.client import Client
from harness.engine import Engine
from harness.errors import ConfigError
from harness.lane import UserClass, open_session
from harness.lane_opening import open_client
from harness.questions import Questions
from harness.secrecy import hide
from harness.settings import Settings

__all__ = ["Facts", "Line", "kind_of", "open_line"]

_NAMED = 100  # models that an error lists


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server says of itself, as far as it does."""

    models: tuple[str, ...]
    learnt: Learnt
    notes: tuple[str, ...]  # what it would not answer


@dataclass(frozen=True, slots=True)
class Line:
    """A client with its choices. Nothing is connected before the first request."""

    client: Client
    settings: Settings
    choices: Choices

    @property
    def backend(self) -> Backend:
        """The dialect that is spoken."""
        return self.client.backend

    @property
    def modes(self) -> list[str]:
        """The dialects that its system has."""
        return [other.mode for other in BACKENDS.get(self.backend.name, ())]

    def facts(self) -> Facts:
        """Ask the server for its models and limits; without a load's patience for one that is loading.

        Raises:
            ConfigError: it cannot be reached, or refuses the key.
        """
        session = open_session(self.backend, self.settings, self.client.secret)
        asked = Questions(session, self.client.target, self.backend)
        try:
            said = asked.get(self.backend.models) if self.backend.models else {}
            learnt = Learnt()
            for route in self.backend.facts:
                found = self.backend.learn(route, asked.get(route))
                learnt = learnt._replace(
                    **{name: value for name, value in found._asdict().items() if value is not None}
                )
        except ConfigError as error:
            raise ConfigError(hide(str(error), [self.client.secret])) from None
        finally:
            session.close()
        models = tuple(str(entry["id"]) for entry in self.backend.listed(said))
        return Facts(models, learnt, tuple(asked.notes))

    def model(self, ask_for: Callable[[], Facts]) -> str | None:
        """The model to name: the chosen one, else the server's only one; None where it need not be named.

        Raises:
            ConfigError: it must be named, and there is not just one; or the server cannot be asked.
        """
        named = self.choices.model or self.settings.model
        if named or self.backend.models is None or not self.backend.needs_model:
            return named
        models = ask_for().models
        if len(models) == 1:
            return models[0]
        listed = ", ".join(map(repr, models[:_NAMED]))
        raise ConfigError(
            f"which model? The server lists {listed}" if models else "which model? The server lists none"
        )

    def ask(self, model: str | None, said: tuple[Turn, ...]) -> Ask:
        """The next request of a conversation, which ends with the user's words."""
        return make_ask(self.backend, model, self.choices, said, self.settings.extra_body)

    def notes(self, ask: Ask) -> list[str]:
        """What the route makes of a choice that it has no place for, and of a conversation."""
        found = []
        if ask.seed is not None and self._body(ask) == self._body(replace(ask, seed=None)):
            found.append(f"{self.backend.name} ({self.backend.mode}) knows no seed: it is not sent")
        if not self.backend.takes_turns and len(ask.turns) > 1:
            found.append(
                f"{self.backend.name} ({self.backend.mode}) knows no roles: the conversation is sent as one text"
            )
        return found

    def _body(self, ask: Ask) -> bytes:
        return self.backend.request(ask).body


def kind_of(backend: str, options: Mapping[str, str]) -> type[UserClass]:
    """A user class where there is no locustfile."""

    class Chat:
        """Its backend, and nothing of load."""

        api_mode: str | None = None
        backend_options: ClassVar[Mapping[str, str]] = options
        prompt_tokens: str = "1"
        output_tokens: str = "1"

    named: Any = type("Chat", (Chat,), {"backend": backend})
    kind: type[UserClass] = named
    return kind


def open_line(kind: type[UserClass], settings: Settings, choices: Choices, engine: Engine) -> Line:
    """The way to the settings' server, as the choices have it.

    Raises:
        ConfigError: the backend cannot do it, or the key cannot be read.
    """
    wording = replace(settings.wording, prompt_ids=None, cache_salt="off")
    chosen = replace(
        settings,
        api_mode=choices.api_mode or settings.api_mode,
        extra_body={**settings.extra_body, **choices.extra},
        exact_output=None,
        wording=wording,
    )
    client = open_client(kind, chosen, engine, lambda *_: None, "chat")
    return Line(replace(client, id_prefix="chat-", user_class=None), chosen, choices)
