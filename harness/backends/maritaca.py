"""Maritaca's cloud at https://chat.maritaca.ai/api: chat as OpenAI has it, and the older `/chat/inference`.

The Responses API is in `harness.backends.responses`. A base URL without a path gets `/api`; one that ends in a
route of another mode is refused with the mode that fits. No route can be made to answer at full length.

`/chat/inference` takes its key as `Authorization: Key K` and is ended by the close of the connection, without
any mark, so that over HTTP/1.0 framing a cut cannot be told from the end. One message of its stream holds `tokens_per_message` tokens, the last one fewer, so a message is no
token: the first of them comes that many tokens late, and token counts are the tokenizer's, since its streams
have no usage. Ask for 1 a message to have times of single tokens.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.backends.base import Ask, Backend, Delta, HttpRequest, Sampling
from harness.backends.fields import Json, count, dumped, error_text, laid_over, mapping, parse_object
from harness.backends.openai import OpenAI
from harness.backends.turns import plain_messages
from harness.errors import ConfigError
from harness.target import Target

KEY_VARIABLES = ("MARITACA_API_KEY", "MARITALK_API_KEY")

# Routes that a pasted URL may end in. That of chat is refused before it comes here.
_ROUTES = {"legacy": "/chat/inference", "responses": "/v1/responses"}


def api_base(mode: str, target: Target) -> Target:
    """Where the API begins, of whichever part of its address the user gave.

    Raises:
        ConfigError: the address is a route of another mode.
    """
    prefix = target.prefix
    for name, route in _ROUTES.items():
        if prefix.endswith(route):
            if name != mode:
                raise ConfigError(
                    f"--host {target} is the route of --api-mode {name}, not of {mode!r}: "
                    f"give --api-mode {name}, or the base URL {str(target).removesuffix(route)}"
                )
            prefix = prefix.removesuffix(route)
    return dataclasses.replace(target, prefix=prefix or "/api")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaritacaChat(OpenAI):
    """`POST /chat/completions`."""

    name: str = "maritaca"
    mode: str = "chat"
    root: str = ""
    forces_length: bool | None = False
    length_fields: str = "none"
    templates: bool = True
    health: str | None = None
    models: str | None = "/models"
    sees: bool = False  # its documentation knows none

    key_variables: ClassVar[tuple[str, ...]] = KEY_VARIABLES

    def at(self, target: Target) -> tuple[Backend, Target]:
        """Below `/api`."""
        return self, api_base(self.mode, target)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaritacaLegacy(Backend):
    """`POST /chat/inference`."""

    name: str = "maritaca"
    mode: str = "legacy"
    ends_on_close: bool = True
    auth_scheme: str = "Key"
    templates: bool = True
    health: str | None = None
    models: str | None = "/models"
    needs_model: bool = True
    tokens_per_message: int = 4

    settable: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "auth_header": (),
        "auth_scheme": (),
        "tokens_per_message": (),
    }
    key_variables: ClassVar[tuple[str, ...]] = KEY_VARIABLES

    @property
    def takes_turns(self) -> bool:
        """Of user and assistant; it has no other roles."""
        return True

    @property
    def path(self) -> str:
        """`/chat/inference`."""
        return "/chat/inference"

    def at(self, target: Target) -> tuple[Backend, Target]:
        """Below `/api`."""
        return self, api_base(self.mode, target)

    def request(self, ask: Ask) -> HttpRequest:
        """The body, with the sampling that Maritaca's own client asks for. There is no seed."""
        body: Json = {
            "model": ask.model,
            "messages": plain_messages(ask),
            "chat_mode": True,
            "do_sample": True,
            "temperature": 0.7,
            "top_p": 0.95,
            "max_tokens": ask.max_tokens,
            "stopping_tokens": [],
            "stream": self.stream,
            "num_tokens_per_message": self.tokens_per_message,
        }
        return HttpRequest("POST", self.path, dumped(laid_over(body, ask.extra)))

    def sampling(self, chosen: Sampling) -> Json:
        """Only where `do_sample` says so."""
        return chosen.switched()

    def read(self, data: bytes) -> Delta:
        """A message of a stream, or a whole answer. Which of three names its text has is not documented."""
        if data.strip() == b"[DONE]":  # not documented either, and no harm
            return Delta(done=True)
        event = parse_object(data)
        found = (event.get(name) for name in ("text", "answer", "content"))
        said = next((value for value in found if isinstance(value, str)), None)
        wrong = event.get("error") or event.get("detail") or event.get("message")
        if event.get("error") or (said is None and (wrong or not self.stream)):
            return Delta(error=error_text(event))
        usage = mapping(event.get("usage"))
        return Delta(
            answer=said or "",
            prompt_tokens=_either(usage, "prompt_tokens", "input_tokens"),
            output_tokens=_either(usage, "completion_tokens", "output_tokens"),
        )

    def plain(self, event: Json) -> str | None:
        """The text of a message that says nothing else."""
        said = event.get("text")
        return said if len(event) == 1 and said and isinstance(said, str) else None


def _either(usage: Json, name: str, other: str) -> int | None:
    found = count(usage.get(name))
    return found if found is not None else count(usage.get(other))
