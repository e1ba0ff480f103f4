"""The options that say when requests are sent, and how a sweep goes: the load model.

Values out, or one line for each thing that is wrong. What requests are made of is `harness.content_options`.
"""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from harness import arrivals, distributions, durations, guards, option_values, probing, search, search_options
from harness.arrivals import Arrivals
from harness.distributions import Distribution
from harness.errors import ConfigError
from harness.guards import Guards
from harness.probing import Probing
from harness.search import Search

__all__ = ["LEVEL_S", "LoadModel", "read"]

T = TypeVar("T")
Check = Callable[[Callable[[], T], T], T]

LEVEL_S: Final = 60.0  # of a level of `--rates` that has no other end
_GUARDS: Final = (
    *("max_requests", "max_time", "max_tokens", "max_cost", "price_in", "price_out"),
    "max_error_rate",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadModel:
    """When requests are sent."""

    arrivals: Arrivals | None = None  # None: a closed loop
    rates: tuple[float, ...] = ()  # of a sweep
    speed_up: float = 1.0  # of a trace
    cap: int | None = None  # open loop: in flight at once, over all parts
    level_s: float | None = None  # a level's length, where it is not a number of requests
    waves: bool = False  # all users at once, and all awaited before the next
    warmup_s: float | None = None  # None: `Settings.warmup` counts requests
    cooldown_s: float = 0.0
    prompt_levels: tuple[Distribution, ...] = ()
    output_levels: tuple[Distribution, ...] = ()
    search: Search | None = None  # for the highest load that meets the SLOs
    stops_saturated: bool = False  # a sweep ends when more load no longer gives more
    warmup_auto: bool = False  # measured from where steady state begins, as the records tell
    guards: Guards = field(default_factory=Guards)  # what the whole run may cost
    probing: Probing | None = None  # small requests beside the load

    @property
    def is_open(self) -> bool:
        """Requests come by a schedule."""
        return self.arrivals is not None

    @property
    def is_trace(self) -> bool:
        """A file says when requests come, and mostly how long they are."""
        return self.arrivals is not None and self.arrivals.trace is not None

    @property
    def is_timed(self) -> bool:
        """Its levels end by the clock."""
        return self.is_open or self.level_s is not None

    @property
    def has_levels(self) -> bool:
        """It is a sweep over something that is not the number of users."""
        return bool(self.rates or self.prompt_levels or self.output_levels or self.search)

    @property
    def first_rate(self) -> float | None:
        """Of a sweep over rates, or a search for one."""
        if self.search is not None and self.search.kind == "rate":
            return self.search.low
        return self.rates[0] if self.rates else None

    def stored(self) -> dict[str, Any]:
        """For `run.json`."""
        return {
            "arrivals": self.arrivals and self.arrivals.describe(),
            "rates": list(self.rates),
            "speed_up": self.speed_up,
            "max_concurrency": self.cap,
            "seconds_per_level": self.level_s,
            "refill": "waves" if self.waves else "steady",
            "warmup_s": self.warmup_s,
            "cooldown_s": self.cooldown_s,
            "prompt_levels": [one.describe() for one in self.prompt_levels],
            "output_levels": [one.describe() for one in self.output_levels],
            "search": self.search and self.search.describe(),
            "stop_when_saturated": self.stops_saturated,
            "warmup_auto": self.warmup_auto,
            **self.guards.stored(),
            **(self.probing.stored() if self.probing else {"probe_every_s": None, "probe_tokens": None}),
        }


def read(options: Namespace, text: Callable[[str], str], check: Callable[..., Any]) -> LoadModel:
    """The load model that the options make; `text` gives an option's, `check` collects what is wrong."""
    rates = check(lambda: arrivals.rates(text("rates")) if text("rates") else (), ())
    sought = check(lambda: search.parse(text("search")) if text("search") else None, None)
    is_open = bool(rates) or (sought is not None and sought.kind == "rate")
    asked = text("arrivals") or ("poisson" if is_open else "")
    found = check(lambda: arrivals.parse(asked, "--arrivals") if asked else None, None)
    warmup = text("warmup")
    return LoadModel(
        arrivals=found,
        rates=rates,
        speed_up=check(lambda: _factor(text("speed_up")), 1.0),
        cap=check(lambda: _cap(text("max_concurrency")), None),
        level_s=check(lambda: _length(text("seconds_per_level"), "--seconds-per-level"), None),
        waves=check(lambda: option_values.word(text("refill"), "refill", ("steady", "waves")), "") == "waves",
        warmup_s=None
        if not warmup[-1:].isalpha() or warmup == "auto"
        else check(lambda: durations.seconds(warmup, "--warmup", zero=True), None),
        cooldown_s=check(lambda: _length(text("cooldown"), "--cooldown"), None) or 0.0,
        prompt_levels=check(lambda: _sizes(text("prompt_levels"), "--prompt-levels"), ()),
        output_levels=check(lambda: _sizes(text("output_levels"), "--output-levels"), ()),
        guards=check(lambda: guards.read(**{name: text(name) for name in _GUARDS}), Guards()),
        probing=check(lambda: probing.read(text("probe_every"), text("probe_tokens")), None),
        search=sought,
        stops_saturated=bool(getattr(options, "stop_when_saturated", False)),
        warmup_auto=warmup == "auto",
    )


def problems(model: LoadModel, options: Namespace, levels: str, per_level: str) -> list[str]:
    """What does not go together, a line each."""
    found = []
    sweeps = {
        "--levels": bool(levels),
        "--rates": bool(model.rates),
        "--prompt-levels": bool(model.prompt_levels),
        "--output-levels": bool(model.output_levels),
        "--search": model.search is not None,
    }
    several = [name for name, given in sweeps.items() if given]
    if len(several) > 1:
        found.append(
            f"{' and '.join(several)} exclude each other: a run sweeps over one thing; drop all but one"
        )
    found += _of_arrivals(model, options, levels, per_level)
    if model.level_s is not None and not several:
        found.append(
            "--seconds-per-level needs a sweep, e.g. --levels 1,2,4 or --rates 1,2,4; else -t says how long"
        )
    if model.level_s is not None and per_level:
        found.append(
            "--seconds-per-level and --requests-per-level exclude each other: both end a level; drop one"
        )
    if model.waves and not levels:
        found.append("--refill waves needs --levels, e.g. --levels 1,2,4,8")
    if model.waves and (per_level or model.level_s is not None):
        found.append(
            "--refill waves sends each user's one request a wave; --repeats says how many waves, so drop the other"
        )
    if model.cooldown_s and not model.is_timed:
        found.append(
            "--cooldown needs levels that end by the clock: --seconds-per-level, or --arrivals with -t"
        )
    if model.warmup_s is not None and not model.is_timed and (several or not options.run_time):
        found.append(
            "--warmup in seconds needs --seconds-per-level, --arrivals or -t; a plain number counts requests"
        )
    if model.stops_saturated:
        found += search_options.of_saturation(levels=levels, has_rates=bool(model.rates))
    if model.search is not None:
        found += search_options.of_search(
            model.search,
            options,
            arrivals=str(getattr(options, "arrivals", None) or "").strip(),
            per_level=per_level,
            is_auto=model.warmup_auto,
        )
    return found


def _of_arrivals(model: LoadModel, options: Namespace, levels: str, per_level: str) -> list[str]:
    arriving = model.arrivals
    if arriving is None:
        closed = (
            (
                model.cap is not None,
                "--max-concurrency needs --arrivals or --rates; in a closed loop -u or --levels say it",
            ),
            (model.speed_up != 1.0, "--speed-up needs --arrivals trace:FILE"),
        )
        return [said for wrong, said in closed if wrong]
    bring = "exclude each other: arrivals bring their users; --max-concurrency caps them"
    warmup = str(options.warmup or "0").strip()
    several = (
        (options.num_users, f"-u and --arrivals {bring}"),
        (options.spawn_rate, f"-r and --arrivals {bring}"),
        (levels, "--levels and --arrivals exclude each other: --rates 1,2,4 sweeps over arrivals"),
        (
            model.rates and options.run_time,
            "-t and --rates exclude each other: --seconds-per-level says how long each is held; drop -t",
        ),
        (
            model.speed_up != 1.0 and arriving.trace is None,
            "--speed-up needs --arrivals trace:FILE; other processes have a rate of their own",
        ),
        (
            warmup.isascii() and warmup.isdigit() and len(warmup) < 6 and int(warmup),
            f"--warmup {warmup} counts requests of a user, and arrivals have none that stay; give a time, e.g. 10s",
        ),
        (
            per_level[-1:] in {"x", "X"},
            f"--requests-per-level {per_level} is per user, and arrivals have none that stay; give a number, e.g. 100",
        ),
    )
    return [said for wrong, said in several if wrong] + _of_process(model, arriving)


def _of_process(model: LoadModel, arriving: Arrivals) -> list[str]:
    """Whether its rate is said once."""
    try:
        if (rate := model.first_rate) is not None:
            arriving.scaled(rate)
        elif arriving.trace is None and not arriving.has_rate:
            arriving.offsets(1)
    except ConfigError as error:
        return [str(error)]
    return []


def _factor(value: str) -> float:
    plain = value.isascii() and value.replace(".", "", 1).isdigit() and len(value) < 13
    if not plain or not 0 < float(value) <= 1e6:
        raise ConfigError(f"--speed-up {value!r}: give a factor above 0, e.g. 2 for twice as fast")
    return float(value)


def _cap(value: str) -> int | None:
    return option_values.whole(value, "max_concurrency", 1, 1_000_000) if value else None


def _length(value: str, option: str) -> float | None:
    return durations.seconds(value, option, bare=True) if value else None


def _sizes(value: str, option: str) -> tuple[Distribution, ...]:
    """`128,1024` or distributions separated by blanks or semicolons."""
    parts = value.replace(";", " ").split() if set(":;") & set(value) else value.split(",")
    found = tuple(distributions.parse(part, option) for part in parts) if value else ()
    if len({one.describe() for one in found}) < len(found):
        raise ConfigError(f"{option} {value!r}: a length stands there twice; to repeat levels use --repeats")
    return found
