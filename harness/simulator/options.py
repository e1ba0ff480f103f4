"""The options of `tokenswarm simulate` and the settings they make.

Values are checked here, not by argparse, so that each bad one is a single line. An option that is not given
has no value of its own: a profile may bring one before the default does.
"""

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from harness.errors import ConfigError
from harness.simulator import fault_options, profile
from harness.simulator.costs import CostModel
from harness.simulator.faults import Fault
from harness.simulator.server import Settings
from harness.simulator.speech import SPEECHES

T = TypeVar("T", int, float)

_DEFAULTS: Final = Settings()
_COST: Final = _DEFAULTS.cost
_RATES: Final = ("prefill-rate", "step-base-ms", "step-per-seq-ms")  # what a profile's table stands in for


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options, as text; `read_settings` checks them."""
    for option, metavar, default, text in (
        ("--host", "HOST", _DEFAULTS.host, "address to listen on"),
        ("--port", "PORT", _DEFAULTS.port, "port; 0 takes a free one"),
        ("--model", "NAME", _DEFAULTS.model, "the model id it serves"),
        ("--speak", "NAME", _DEFAULTS.speaks, f"whose API it speaks: {', '.join(SPEECHES)}"),
        ("--load-seconds", "S", _DEFAULTS.load_seconds, "for so long it says that it is loading its model"),
        ("--slots", "N", _COST.slots, "requests in the batch at once; more wait"),
        ("--max-queue", "N", "no limit", "so many may wait; more get the API's own overload answer"),
        ("--prefill-rate", "TOKENS/S", _COST.prefill_tokens_per_s, "speed of reading prompts"),
        ("--prefill-chunk", "TOKENS", _COST.prefill_chunk, "most prompt tokens in one step"),
        ("--step-base-ms", "MS", _COST.step_base_ms, "a decode step's fixed cost"),
        ("--step-per-seq-ms", "MS", _COST.step_per_seq_ms, "its cost for each running request"),
        ("--gather-ms", "MS", _COST.gather_ms, "what an idle engine waits before its first step"),
        ("--jitter", "PERCENT", _COST.jitter_percent, "standard deviation of a step's duration"),
        ("--tokens-per-chunk", "N", _DEFAULTS.tokens_per_chunk, "tokens in one event of a stream"),
        ("--context", "TOKENS", _DEFAULTS.context, "most tokens of a request, prompt and output"),
        ("--mean-output-tokens", "TOKENS", _DEFAULTS.mean_output_tokens, "where answers end by themselves"),
        ("--seed", "N", _DEFAULTS.seed, "same seed, same answers"),
    ):
        parser.add_argument(option, metavar=metavar, help=f"{text} (default {_shown(default)})")
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="answer as fast as a published system did; other options overrule it. `list` shows them all",
    )
    parser.add_argument(
        fault_options.OPTION,
        metavar="KIND:RATE[,KEY=VALUE...]",
        action="append",
        default=[],
        help=f"hit this share of the requests (repeatable): {fault_options.summary()}",
    )
    for option, metavar, text in (
        ("--log", "FILE", "write one JSON line a request; an old file is replaced"),
        ("--tls-cert", "FILE", "serve HTTPS with this certificate (PEM, a chain may follow it)"),
        ("--tls-key", "FILE", "its private key, without a passphrase (default: in --tls-cert's file)"),
        ("--api-key-env", "NAME", "ask for the API key held by this environment variable"),
    ):
        parser.add_argument(option, metavar=metavar, help=text)


def read_settings(args: argparse.Namespace) -> Settings:
    """Check the options. Raises ConfigError for the first bad one."""
    given, base = _Given(args), _base(args.profile)
    seed = given.whole("seed", base.seed, -(2**63), 2**63 - 1)
    return Settings(
        host=base.host if args.host is None else args.host,
        port=given.whole("port", base.port, 0, 65535),
        model=_model(base.model if args.model is None else args.model),
        speaks=_speaks(base.speaks if args.speak is None else args.speak, args.speak is None),
        load_seconds=given.number("load-seconds", base.load_seconds, 0, 1e6),
        context=given.whole("context", base.context, 2, 10**9),
        seed=seed,
        mean_output_tokens=given.number("mean-output-tokens", base.mean_output_tokens, 1, 1e9),
        max_queue=None if args.max_queue is None else given.whole("max-queue", 0, 0, 10**9),
        cost=_cost(args, given, base.cost, seed),
        tokens_per_chunk=given.whole("tokens-per-chunk", base.tokens_per_chunk, 1, 10**6),
        faults=_faults(args.fault),
        api_key=_api_key(args.api_key_env),
    )


def profile_list() -> str:
    """What `--profile list` says: a line a profile."""
    found = [profile.load(name) for name in profile.names()]
    width = max(len(one.name) for one in found)
    return "".join(f"{one.name:{width}}  {one.title}\n" for one in found)


def _shown(default: str | float) -> str:
    return default if isinstance(default, str) else f"{default:g}"


def _base(name: str | None) -> Settings:
    """What holds where no option says otherwise."""
    if name is None:
        return _DEFAULTS
    found = profile.load(name)
    return replace(
        _DEFAULTS,
        speaks=found.speaks,
        model=found.model,
        context=found.context,
        mean_output_tokens=found.mean_output_tokens,
        cost=found.cost,
    )


def _cost(args: argparse.Namespace, given: "_Given", base: CostModel, seed: int) -> CostModel:
    for name in _RATES if args.profile is not None else ():
        if (text := given.text(name)) is not None:
            raise ConfigError(
                f"--{name} {text}: --profile {args.profile} brings a table of costs; leave one of the two out"
            )
    jitter = given.number("jitter", base.jitter_percent, 0, 100)
    return replace(
        base,
        slots=given.whole("slots", base.slots, 1, 100_000),
        prefill_tokens_per_s=given.number("prefill-rate", base.prefill_tokens_per_s, 1e-3, 1e12),
        prefill_chunk=given.whole("prefill-chunk", base.prefill_chunk, 1, 10**9),
        step_base_ms=given.number("step-base-ms", base.step_base_ms, 0, 1e7),
        step_per_seq_ms=given.number("step-per-seq-ms", base.step_per_seq_ms, 0, 1e7),
        gather_ms=given.number("gather-ms", base.gather_ms, 0, 1e6),
        jitter_percent=jitter,
        jitter_seed=seed if jitter else 0,
    )


def _faults(texts: list[str]) -> tuple[Fault, ...]:
    return tuple(fault_options.read(text) for text in texts)


class _Given:
    """The options that were given; each getter checks one or falls back."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args

    def text(self, name: str) -> str | None:
        """As it was typed; None if it was not."""
        text: str | None = getattr(self._args, name.replace("-", "_"))
        return text

    def whole(self, name: str, fallback: int, least: int, most: int) -> int:
        """A whole number. Raises ConfigError."""
        return self._read(name, fallback, int, (least, most))

    def number(self, name: str, fallback: float, least: float, most: float) -> float:
        """A finite number. Raises ConfigError."""
        return self._read(name, fallback, float, (least, most))

    def _read(self, name: str, fallback: T, kind: Callable[[str], T], within: tuple[T, T]) -> T:
        text = self.text(name)
        if text is None:
            return fallback
        what, shape = ("a whole number", "d") if kind is int else ("a number", "g")
        try:
            value = kind(text)
        except ValueError:
            raise ConfigError(f"--{name} {text}: give {what}") from None
        least, most = within
        if not (math.isfinite(value) and least <= value <= most):
            raise ConfigError(f"--{name} {text}: give {what} from {least:{shape}} to {most:{shape}}")
        return value


def _model(name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise ConfigError(f"--model {name!r}: give a name of printable characters")
    return name


def _speaks(name: str, by_profile: bool) -> str:
    if name not in SPEECHES:
        option = f"--profile: speaks = {name!r}" if by_profile else f"--speak {name}"
        raise ConfigError(f"{option}: not known; give one of {', '.join(SPEECHES)}")
    return name


def _api_key(name: str | None) -> str | None:
    if name is None:
        return None
    key = os.environ.get(name, "")
    if not key.strip():
        raise ConfigError(f"--api-key-env {name}: this environment variable is not set; put the key in it")
    return key.strip()
