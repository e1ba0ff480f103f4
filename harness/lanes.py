"""The lanes of all user classes of a process, and the engine that they share.

What one lane is made of is `harness.lane`. Everything here but `send_probe` is before load.
"""

from collections.abc import Callable, Mapping, Sequence

from harness.distributed.bundle import Share
from harness.engine import Engine
from harness.exchange import Exchange
from harness.lane import Lane, Say, UserClass, join_lane, open_lane
from harness.leave import Slot
from harness.options import Settings
from harness.prober import NAME
from harness.probing import Due
from harness.recipes import PROBES
from harness.record import RequestRecord
from harness.tls import context

__all__ = ["join_lanes", "open_engine", "open_lanes", "send_probe"]

Keep = Callable[[RequestRecord, Exchange], object]
Lanes = dict[type[UserClass], Lane]


def open_engine(settings: Settings, say: Say) -> Engine:
    """What sends requests to the target, through the proxy that the environment names."""
    tls = context(settings.trust) if settings.target.tls else None
    if proxy := settings.proxy:
        say(f"{settings.target} is reached through the proxy {proxy} ({proxy.variable})")
    return Engine(settings.target, settings.timeouts, tls=tls, proxy=proxy)


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
