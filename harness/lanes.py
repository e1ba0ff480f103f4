"""The lanes of all user classes of a process, and the engine that they share.

What one lane is made of is `harness.lane`. Everything here but `send_probe` is before load.
"""

import os
from collections.abc import Callable, Mapping, Sequence

from harness import allowed_hosts, backend_choice, connection, key_origin, target
from harness.api_key import check_home
from harness.distributed.briefing import Share
from harness.engine import Engine
from harness.errors import ConfigError
from harness.exchange import Exchange
from harness.lane import Lane, Say, UserClass
from harness.lane_opening import join_lane, open_lane
from harness.leave import Slot
from harness.prober import NAME
from harness.probing import Due
from harness.recipes import PROBES
from harness.record import RequestRecord
from harness.settings import Settings
from harness.tls import context

__all__ = ["check_environment", "check_keys", "join_lanes", "open_engine", "open_lanes", "send_probe"]

Keep = Callable[[RequestRecord, Exchange], object]
Lanes = dict[type[UserClass], Lane]


def open_engine(settings: Settings, say: Say) -> Engine:
    """What sends requests to the target, through the proxy that the environment names.

    Raises:
        ConfigError: this process may send nothing there.
    """
    allowed = allowed_hosts.read(os.environ)
    if why := connection.refusal(settings.target, settings.proxy, allowed):
        raise ConfigError(f"--host {settings.target}: {why}")
    tls = context(settings.trust) if settings.target.tls else None
    if proxy := settings.proxy:
        say(f"{settings.target} is reached through the proxy {proxy} ({proxy.variable})")
    return Engine(settings.target, settings.timeouts, tls=tls, proxy=proxy, allowed=allowed)


def check_environment() -> None:
    """See that what the environment says of hosts and origins can be understood.

    Raises:
        ConfigError: it cannot.
    """
    allowed_hosts.read(os.environ)
    key_origin.read(os.environ)


def check_keys(classes: Sequence[type[UserClass]], settings: Settings, home: str | None) -> None:
    """See that the keys that user classes bring may go where the settings say.

    `home` is the host that the process was started with: its keys are for that one, whatever a form says later.

    Raises:
        ConfigError: they may not; the text says how to allow it.
    """
    for kind in classes:
        backend, place = backend_choice.choose(kind.backend, kind.api_mode, kind.backend_options, settings)
        check_home(backend.key_variables, place, target.parse(home) if home else None)


def open_lanes(
    classes: Sequence[type[UserClass]],
    settings: Settings,
    engine: Engine,
    keep: Keep,
    *,
    name: str,
    requests: int | None,
    say: Say,
) -> Lanes:
    """Ask the server what it is and build the prompts of `requests` requests, or a pool for None.

    Raises:
        ConfigError: it cannot be done.
    """
    return {
        user_class: open_lane(
            user_class,
            settings,
            engine,
            keep,
            name=name,
            seed=settings.seed + place,
            requests=requests if len(classes) == 1 else None,
            say=say,
        )
        for place, user_class in enumerate(classes)
    }


def join_lanes(
    classes: Sequence[type[UserClass]],
    settings: Settings,
    engine: Engine,
    keep: Keep,
    *,
    name: str,
    shares: Mapping[str, Share],
) -> Lanes:
    """The same by a master's word for what the server is and what to send it.

    Raises:
        ConfigError: the server or the key are not what the master has.
    """
    return {
        user_class: join_lane(
            user_class,
            settings,
            engine,
            keep,
            name=name,
            seed=settings.seed + place,
            share=shares[user_class.__name__],
        )
        for place, user_class in enumerate(classes)
    }


def send_probe(lane: Lane, due: Due, slot: Slot) -> RequestRecord:
    """One small request beside the load, and its end; its prompt follows from its number, whoever sends it."""
    want = lane.menu.supplies[PROBES][0].want(due.number, None, by_number=True)
    return lane.client.run(
        lane.asker.ask(want.prompt, want.output_tokens),
        slot,
        name=NAME,
        scheduled_ns=due.at_ns,
        prompt_tokens=want.requested_prompt_tokens,
        number=due.number,
    )
