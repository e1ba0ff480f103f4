"""What one user class sends: its backend, its prompts, and how it asks. Everything here is before load."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from harness import distributions, sizers, workload
from harness.api_key import read_secret
from harness.backends import find
from harness.backends.base import Ask, Backend
from harness.client import Client
from harness.clock import now_ns
from harness.control import Session, session
from harness.distributions import Distribution
from harness.engine import Engine
from harness.errors import ConfigError
from harness.options import Settings
from harness.probe import Facts, probe
from harness.record import RequestRecord
from harness.sizers import Sizer
from harness.workload import RequestSpec, Workload

_TELL_EVERY_NS = 2_000_000_000

Say = Callable[[str], None]


class UserClass(Protocol):
    """What a run wants to know of a user class (`harness.users.LLMUser`)."""

    backend: str
    api_mode: str | None
    prompt_tokens: str
    output_tokens: str


@dataclass(frozen=True, slots=True)
class Lane:
    """What one user class sends: its backend, its work, and how to ask."""

    client: Client
    workload: Workload
    sizer: Sizer
    facts: Facts
    settings: Settings
    prompt_tokens: str  # the distributions in use
    output_tokens: str

    def spec(self, prompt: str | None, max_tokens: int | None) -> tuple[Ask, int | None]:
        """(what to ask, the tokens its prompt was sized to); a prompt of the user's own is not sized."""
        spec: RequestSpec | None = None
        if prompt is None or max_tokens is None:
            spec = self.workload.take()
        settings = self.settings
        exact = self.facts.forces_length if settings.exact_output is None else settings.exact_output
        ask = Ask(
            prompt=spec.prompt if prompt is None and spec else prompt or "",
            max_tokens=spec.output_tokens if max_tokens is None and spec else max_tokens or 0,
            model=self.facts.model,
            exact_length=exact,
            extra=settings.extra_body,
        )
        return ask, spec.requested_prompt_tokens if prompt is None and spec else None

    def stored(self) -> dict[str, object]:
        """What is worth keeping of it in `run.json`."""
        return {
            "backend": self.client.backend.name,
            "api_mode": self.client.backend.mode,
            "path": self.client.backend.path,
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "sizer": self.sizer.describe,
            "server": self.facts.stored(),
        }


def open_lane(
    user_class: type[UserClass],
    settings: Settings,
    engine: Engine,
    keep: Callable[[RequestRecord], None],
    *,
    seed: int,
    requests: int | None,
    say: Say,
) -> Lane:
    """Ask the server what it is and build the prompts: `requests` of them, or a pool for None.

    Raises:
        ConfigError: it cannot be done; the text says what to change.
    """
    backend = find(user_class.backend, settings.api_mode or user_class.api_mode)
    prompts = _sizes(settings.prompt_sizes, user_class, "prompt_tokens")
    outputs = _sizes(settings.output_sizes, user_class, "output_tokens")
    secret = read_secret(user_class.backend)
    asked = session(secret, settings.trust)
    facts = _facts(backend, settings, asked, say)
    if facts.context and prompts.mean + outputs.mean > facts.context:
        raise ConfigError(
            f"--prompt-tokens {prompts.describe()} and --output-tokens {outputs.describe()} do not fit: "
            f"the server takes {facts.context} tokens a request, prompt and answer together"
        )
    for note in facts.notes:
        say(f"{settings.target}: {note}")
    sizer, why = sizers.choose(
        tokenizer=settings.tokenizer,
        model=facts.model,
        llama_url=str(settings.target) if facts.has_tokenize else None,
        chat=backend.mode == "chat",
        asked=asked,
    )
    say(why)
    work = workload.build(prompts, outputs, sizer, seed=seed, count=requests, progress=_Building(say))
    client = Client(engine, backend, "local", secret, keep)
    return Lane(client, work, sizer, facts, settings, prompts.describe(), outputs.describe())


def _sizes(given: Distribution | None, user_class: type[UserClass], name: str) -> Distribution:
    """The option's distribution, else the class's own."""
    return given or distributions.parse(getattr(user_class, name), f"{user_class.__name__}.{name}")


def _facts(backend: Backend, settings: Settings, asked: Session, say: Say) -> Facts:
    if settings.preflight:
        return probe(backend, settings.target, model=settings.model, asked=asked, say=say)
    is_llama = backend.name == "llamacpp"
    notes = ("not asked (--preflight no)",)
    return Facts(settings.model, None, is_llama, has_tokenize=is_llama, notes=notes)


class _Building:
    """Says how far the building of prompts is, if it takes long enough to wonder."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._next_ns = now_ns() + _TELL_EVERY_NS

    def __call__(self, done: int, total: int) -> None:
        if now_ns() >= self._next_ns:
            self._next_ns = now_ns() + _TELL_EVERY_NS
            self._say(f"building prompts: {done} of {total}")
