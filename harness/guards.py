"""Guards over a whole run: what it may cost at most, in requests, time, tokens, money or failures.

    --max-requests 1000                               exactly: leaves to send are dealt out (`harness.allowance`)
    --max-time 10m                                    since load began
    --max-tokens 1000000                              prompt and output tokens together, of any phase and outcome
    --max-cost 5 --price-in 0.5 --price-out 1.5       prices per million tokens, in whatever currency
    --max-error-rate 5%                               of the recent requests (`harness.breaker` says which)

The rule: what was asked is a plain number above 0, and a limit on costs has both its prices. Amounts have no suffix,
sign, exponent or separator, since a slip of the pen there is a bill. This is what was asked; `harness.guarding` looks at a run.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar

from harness import durations
from harness.errors import ConfigError

__all__ = ["Guards", "plain", "read"]

MILLION: Final = 1_000_000
_MOST: Final = 10**15
_DECIMAL: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Guards:
    """What was asked for; None: no such guard."""

    max_requests: int | None = None
    max_time_s: float | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    price_in: float | None = None  # per million prompt tokens
    price_out: float | None = None  # per million output tokens
    max_error_rate: float | None = None  # a share, above 0 and up to 1

    def stored(self) -> dict[str, Any]:
        """For run.json."""
        return asdict(self)

    def cost(self, prompt_tokens: float | None, output_tokens: float | None) -> float | None:
        """What so many tokens cost; None without prices, or where tokens that cost something were not counted."""
        if self.price_in is None or self.price_out is None:
            return None
        total = 0.0
        for tokens, price in ((prompt_tokens, self.price_in), (output_tokens, self.price_out)):
            if price and tokens is None:
                return None
            total += (tokens or 0) * price / MILLION
        return total


def read(
    *,
    max_requests: str = "",
    max_time: str = "",
    max_tokens: str = "",
    max_cost: str = "",
    price_in: str = "",
    price_out: str = "",
    max_error_rate: str = "",
) -> Guards:
    """The guards that the options' texts ask for; an empty text asks for none.

    Raises:
        ConfigError: one line for each thing that is wrong.
    """
    problems: list[str] = []

    def check(reader: Callable[[str, str], T], text: str, option: str) -> T | None:
        try:
            return reader(text.strip(), option) if text.strip() else None
        except ConfigError as error:
            problems.append(str(error))
            return None

    guards = Guards(
        max_requests=check(_whole, max_requests, "--max-requests"),
        max_time_s=check(_time, max_time, "--max-time"),
        max_tokens=check(_whole, max_tokens, "--max-tokens"),
        max_cost=check(_cost, max_cost, "--max-cost"),
        price_in=check(_price, price_in, "--price-in"),
        price_out=check(_price, price_out, "--price-out"),
        max_error_rate=check(_share, max_error_rate, "--max-error-rate"),
    )
    problems += [] if problems else _unpriced(guards)
    if problems:
        raise ConfigError("\n".join(problems))
    return guards


def _whole(text: str, option: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 17 and 0 < int(text) <= _MOST):
        raise ConfigError(f"{option} {text!r}: give a plain whole number above 0, e.g. 1000000")
    return int(text)


def _time(text: str, option: str) -> float:
    return durations.seconds(text, option, bare=True, example="10m")


def _cost(text: str, option: str) -> float:
    if not _DECIMAL.fullmatch(text) or float(text) == 0:
        raise ConfigError(
            f"{option} {text!r}: give a plain amount above 0, without a currency, e.g. 5 or 0.25"
        )
    return float(text)


def _price(text: str, option: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise ConfigError(
            f"{option} {text!r}: give a plain amount per million tokens, 0 or above, without a currency, e.g. 0.5"
        )
    return float(text)


def _share(text: str, option: str) -> float:
    number, is_percent = text.removesuffix("%").strip(), text.endswith("%")
    if not _DECIMAL.fullmatch(number) or float(number) == 0:
        raise ConfigError(f"{option} {text!r}: give a share above 0 and up to 100%, e.g. 5% or 0.05")
    if float(number) > 100 if is_percent else float(number) >= 1:
        raise ConfigError(
            f"{option} {text!r}: give a share up to 100%, or a bare number below 1, e.g. 5% or 0.05"
        )
    return float(Decimal(number) / 100 if is_percent else Decimal(number))


def _unpriced(guards: Guards) -> list[str]:
    """Prices that are missing, or say nothing."""
    prices = (guards.price_in, guards.price_out)
    both = "give --price-in and --price-out per million tokens, e.g. --price-in 0.5 --price-out 1.5"
    if guards.max_cost is not None and prices == (None, None):
        return [f"--max-cost {plain(guards.max_cost)} without prices: {both}"]
    for option, price, other in zip(("--price-in", "--price-out"), prices, reversed(prices), strict=True):
        if price is None and other is not None:
            return [f"{option} is missing beside the other price: {both}, or 0 for what is free"]
    if guards.max_cost is not None and not any(prices):
        return [
            f"--max-cost {plain(guards.max_cost)} with prices of 0: nothing would ever cost anything; {both}"
        ]
    return []


def plain(number: float) -> str:
    """An amount as it may be given: `5`, `0.25`."""
    return f"{number:.9f}".rstrip("0").rstrip(".")
