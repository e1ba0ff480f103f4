"""The options of one process as they are now, and whether they make a sweep.

Locust starts as many users as `-u` says, or asks a load shape. A sweep or an open loop needs the shape, and sets the users
itself; the web UI's form sends a number of users all the same, and Locust's defaults fill one in. So what of `-u`, `-r` and
`-t` was meant is kept here, apart from what Locust's parsed options hold by now.
"""

from argparse import Namespace
from typing import Final

from harness import options
from harness.errors import ConfigError
from harness.settings import Settings

__all__ = ["ANY_HOST", "ProcessOptions", "makes_sweep", "refuse_both", "sets_users"]

ANY_HOST: Final = "http://127.0.0.1"  # where only the other options are looked at
_LOADS: Final = ("levels", "rates", "search", "arrivals")  # each says how many users there are
_LENGTHS: Final = ("prompt_levels", "output_levels")  # levels of as many users as -u says


def makes_sweep(parsed: Namespace) -> bool:
    """Whether options ask for levels, or for an open loop: the load is not Locust's own -u."""
    return any(_text(parsed, name) for name in (*_LOADS, *_LENGTHS))


def sets_users(parsed: Namespace) -> bool:
    """Whether they also say how many users there are."""
    return any(_text(parsed, name) for name in _LOADS)


def refuse_both(parsed: Namespace, shape: object | None) -> None:
    """See that options and a load shape of the locustfile do not both say how many users there are.

    Raises:
        ConfigError: they do.
    """
    if shape is not None and makes_sweep(parsed):
        raise ConfigError(
            f"the locustfile's load shape {type(shape).__name__} and a sweep or open loop exclude each other: both say how "
            "many users there are; drop the shape, or --levels, --rates, --search, --arrivals and the like"
        )


class ProcessOptions:
    """Those of one process. `is_sweep`: the run that is prepared next is one."""

    def __init__(self, parsed: Namespace) -> None:
        """`parsed` is Locust's own, which is changed in place: others keep it too."""
        self.parsed = parsed
        self.is_sweep = False
        self.given: tuple[int | None, int | None] = (None, None)  # of a sweep: -u and -t

    def sweep(self) -> None:
        """The options as they are now make a sweep: -u and -t are kept aside, since Locust would act on them."""
        self.is_sweep = True
        self.given, self.parsed.run_time = (self.parsed.num_users, self.parsed.run_time), None

    def now(self) -> Namespace:
        """A copy of the options as they were meant."""
        meant = Namespace(**vars(self.parsed))
        if self.is_sweep:
            meant.spawn_rate = None
            meant.num_users, meant.run_time = self.given
        return meant

    def settings(self, default_host: str | None) -> Settings:
        """The settings that the options, as they are now, make.

        Raises:
            ConfigError: one line for each thing that is wrong.
        """
        meant = self.now()
        settings = options.read(meant, default_host)
        self.parsed.num_users, self.parsed.spawn_rate = meant.num_users, meant.spawn_rate
        return settings

    def take(self, wanted: Namespace) -> None:
        """From here on these are the options. A sweep's own end is exact: Locust hears of no -t."""
        vars(self.parsed).update(vars(wanted))
        self.is_sweep = makes_sweep(wanted)
        if self.is_sweep:
            self.sweep()


def _text(parsed: Namespace, name: str) -> str:
    return str(getattr(parsed, name, None) or "").strip()
