"""Opening a lane, all of it before load: the server asked what it is, prompts sized, key and way tried; or by a master's word.

What comes of it is `harness.lane.Lane`, one for each user class (`harness.lanes`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from harness import backend_choice, content_options, distributions, menus, sizers, trial
from harness.api_key import read_secret
from harness.asker import Asker
from harness.backends import find, refuse_images
from harness.backends.base import Backend
from harness.client import Client
from harness.clock import now_ns
from harness.control import Session
from harness.distributed.briefing import Share
from harness.distributions import Distribution
from harness.engine import Engine
from harness.errors import ConfigError
from harness.exchange import Exchange
from harness.lane import Lane, Say, UserClass, open_session
from harness.recipes import recipes
from harness.record import RequestRecord
from harness.secrecy import hide
from harness.server_facts import Facts, ask_server
from harness.server_sizer import ServerSizer
from harness.settings import Settings
from harness.sizers import Sizer
from harness.target import Target

__all__ = ["join_lane", "open_client", "open_lane"]

_TELL_EVERY_NS: Final = 2_000_000_000


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
        return ask_server(
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
