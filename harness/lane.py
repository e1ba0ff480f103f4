"""What one user class sends: its backend, its prompts, and how it asks. Everything here is before load."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Protocol

from harness import backend_choice, content_options, distributions, menus, sizers, trial
from harness.api_key import read_secret
from harness.asker import Asker
from harness.backends import find, refuse_images
from harness.backends.base import Ask, Backend
from harness.client import Client
from harness.clock import now_ns
from harness.control import Session, session
from harness.conversation import Conversation, session_id
from harness.datasets.dataset import Dataset
from harness.distributed.bundle import Share
from harness.distributions import Distribution
from harness.engine import Engine
from harness.errors import ConfigError
from harness.exchange import Exchange
from harness.menu import Menu
from harness.options import Settings
from harness.probe import Facts, probe
from harness.recipes import recipes
from harness.record import RequestRecord
from harness.secrecy import hide
from harness.server_sizer import ServerSizer
from harness.sizers import Sizer
from harness.talk import Talk
from harness.target import Target
from harness.traces import Due
from harness.workload import Sharing

_TELL_EVERY_NS = 2_000_000_000

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


def open_lane(
    user_class: type[UserClass],
    settings: Settings,
    engine: Engine,
    keep: Callable[[RequestRecord, Exchange], object],
    *,
    name: str,
    seed: int,
    requests: int | None,
    say: Say,
) -> Lane:
    """Ask the server what it is and build the prompts: `requests` of them, or a pool for None.

    Raises:
        ConfigError: it cannot be done; the text says what to change.
    """
    client = open_client(user_class, settings, engine, keep, name)
    with _hidden(client.secret):
        return _open(
            user_class,
            settings,
            client,
            seed=seed,
            requests=requests,
            say=lambda said: say(hide(said, [client.secret])),
        )


def join_lane(
    user_class: type[UserClass],
    settings: Settings,
    engine: Engine,
    keep: Callable[[RequestRecord, Exchange], object],
    *,
    name: str,
    seed: int,
    share: Share,
) -> Lane:
    """A worker's lane: what the server is and the prompts come from the master; key and way are tried here.

    Raises:
        ConfigError: they do not work.
    """
    client = open_client(user_class, settings, engine, keep, name)
    prompts = _sizes(settings.prompt_sizes, user_class, "prompt_tokens")
    outputs = _sizes(settings.output_sizes, user_class, "output_tokens")
    asker = replace(
        Asker.of(settings, share.facts.model, can_force=share.facts.forces_length), salt=share.salt
    )
    with _hidden(client.secret):
        if settings.preflight:
            trial.judge(client, asker.ask(_trial_prompt(settings), trial.TOKENS), lambda _: None)
    menu = menus.join(
        settings,
        recipes(settings, prompts, outputs),
        share.stocks,
        seed=seed,
        sharing=share.sharing,
        context=share.facts.context,
    )
    sizes = (prompts.describe(), outputs.describe())
    return Lane(user_class.__name__, client, menu, (), None, share.facts, settings, *sizes, asker)


def share_of(lane: Lane, sharing: Sharing) -> Share:
    """What a worker is told of a lane, and its part of the prompts."""
    stocks = menus.stocks(lane.menu, lane.datasets, sharing, whole=lane.settings.load.is_open)
    return Share(facts=lane.facts, sharing=sharing, salt=lane.asker.salt, stocks=stocks)


def open_client(
    user_class: type[UserClass],
    settings: Settings,
    engine: Engine,
    keep: Callable[[RequestRecord, Exchange], object],
    name: str,
) -> Client:
    """What sends one user class's requests, each record going to `keep`. Nothing is connected yet; raises `ConfigError`."""
    backend, target = backend_choice.choose(
        user_class.backend, user_class.api_mode, user_class.backend_options, settings
    )
    secret = read_secret(backend.key_variables, target)
    headers, kind = tuple(settings.wording.headers.items()), user_class.__name__
    return Client(engine, backend, name, secret, keep, target, headers, user_class=kind)


@contextmanager
def _hidden(secret: str | None) -> Iterator[None]:
    """An error may repeat what the server said, and that may be the key."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(hide(str(error), [secret])) from None


def _open(
    user_class: type[UserClass],
    settings: Settings,
    client: Client,
    *,
    seed: int,
    requests: int | None,
    say: Say,
) -> Lane:
    backend, target = client.backend, client.target
    prompts = _sizes(settings.prompt_sizes, user_class, "prompt_tokens")
    outputs = _sizes(settings.output_sizes, user_class, "output_tokens")
    asked = open_session(backend, settings, client.secret)
    facts = _facts(backend, target, settings, asked, say)
    wanted = recipes(settings, prompts, outputs)
    for recipe in wanted:
        if recipe.dataset is None and recipe.lengths is None and not settings.load.is_trace:
            content_options.refuse_beyond(facts.context, recipe.prompt, recipe.output, recipe.called)
    for note in facts.notes:
        say(f"{settings.target}: {note}")
    asker = Asker.of(settings, facts.model, can_force=facts.forces_length)
    if settings.preflight:
        trial.judge(client, asker.ask(_trial_prompt(settings), trial.TOKENS), say)
    sizer, why = sizers.choose(
        tokenizer=settings.tokenizer,
        model=facts.model,
        llama_url=str(target) if facts.has_tokenize else None,
        chat=backend.templates,
        asked=asked,
        server=_server_sizer(backend, target, facts, asked),
    )
    if ids := settings.wording.prompt_ids:
        say(f"prompts are of random token ids from {ids[0]} to {ids[1]}, as --prompt-ids asks")
    elif any(recipe.dataset is None for recipe in wanted):
        say(why)
    menu, datasets = menus.build(
        settings, wanted, sizer, seed=seed, requests=requests, context=facts.context, progress=_Building(say)
    )
    for dataset in {one.path: one for one in datasets if one is not None}.values():
        if dataset.contents.with_images:
            refuse_images(backend, f"--dataset {dataset.path}")
        say(dataset.describe())
    sizes = (prompts.describe(), outputs.describe())
    return Lane(user_class.__name__, client, menu, datasets, sizer, facts, settings, *sizes, asker)


def open_session(backend: Backend, settings: Settings, secret: str | None) -> Session:
    """With the user's headers, and the key where the backend wants it."""
    opened = session(None, settings.trust, settings.proxy)
    keys = [backend.credentials(secret)] if secret else []
    opened.headers.update([*settings.wording.headers.items(), *keys])
    return opened


def _trial_prompt(settings: Settings) -> str | tuple[int, ...]:
    ids = settings.wording.prompt_ids
    return trial.PROMPT if ids is None else (ids[0],) * trial.TOKENS


def _server_sizer(
    backend: Backend, target: Target, facts: Facts, asked: Session
) -> Callable[[], Sizer] | None:
    """What asks the server for its own counts; None where it has no route for it."""
    if backend.name == "openai" and facts.server == "vLLM":
        backend = find("vllm", backend.mode)
    if backend.counting("", None, prompt=False) is None:
        return None
    return partial(ServerSizer, backend, target, facts.model, asked)


def _sizes(given: Distribution | None, user_class: type[UserClass], name: str) -> Distribution:
    """The option's distribution, else the class's own."""
    return given or distributions.parse(getattr(user_class, name), f"{user_class.__name__}.{name}")


def _facts(backend: Backend, target: Target, settings: Settings, asked: Session, say: Say) -> Facts:
    if settings.preflight:
        return probe(
            backend,
            target,
            model=settings.model,
            asked=asked,
            ready_timeout_s=settings.ready_timeout_s,
            say=say,
        )
    forces = bool(backend.forces_length)
    notes = ("not asked (--preflight no)",)
    return Facts(settings.model, None, forces, has_tokenize=backend.name == "llamacpp", notes=notes)


class _Building:
    """Says how far the building of prompts is, if it takes long enough to wonder."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._next_ns = now_ns() + _TELL_EVERY_NS

    def __call__(self, done: int, total: int) -> None:
        if now_ns() >= self._next_ns:
            self._next_ns = now_ns() + _TELL_EVERY_NS
            self._say(f"building prompts: {done} of {total}")
