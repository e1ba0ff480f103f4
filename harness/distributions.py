"""Distributions of token counts, as `--prompt-tokens` and `--output-tokens` name them.

    550                 always 550
    normal:550,150      mean and standard deviation, in tokens
    lognormal:550,150   mean and standard deviation of the count itself, in tokens, not of its logarithm
    uniform:100,900     whole numbers from 100 to 900, both included

Every sample is a whole number from LOW to HIGH. Normal and lognormal samples are rounded and then clipped
to these bounds, not drawn again, so a wide normal has a heap at LOW; `mean` is the mean after clipping.
Numbers are plain decimals: no sign, exponent, separator (`1_000`) or unit, since a slip of the pen there
is a run of the wrong size. Nothing here knows a tokenizer or a clock; the caller brings the randomness.
"""

import math
import random
import re
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Protocol

from harness.errors import ConfigError

LOW: Final = 1
HIGH: Final = 1_000_000
FORMS: Final = "550, normal:550,150, lognormal:550,150 or uniform:100,900"

# Six decimals at most, so that `describe` gives every number back digit for digit.
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,12}", re.ASCII)


class Distribution(Protocol):
    """A distribution of token counts."""

    @property
    def mean(self) -> float:
        """Expected tokens, clipping included, rounding to whole tokens left out."""

    @property
    def asked_least(self) -> float:
        """The least size the user named: what must be feasible. Tails of a bell may be clipped instead."""

    def sample(self, rng: random.Random) -> int:
        """One token count."""

    def describe(self) -> str:
        """The text that `parse` turns into this distribution."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same count."""

    tokens: int

    @property
    def mean(self) -> float:
        """The count."""
        return float(self.tokens)

    @property
    def asked_least(self) -> float:
        """The count."""
        return self.tokens

    def sample(self, rng: random.Random) -> int:  # noqa: ARG002 - the protocol's signature
        """Return the count; draws nothing from `rng`."""
        return self.tokens

    def describe(self) -> str:
        """`550`."""
        return str(self.tokens)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Whole numbers from `least` to `most`, both included, each as likely as the other."""

    least: int
    most: int

    @property
    def mean(self) -> float:
        """The middle."""
        return (self.least + self.most) / 2

    @property
    def asked_least(self) -> float:
        """The lower end."""
        return self.least

    def sample(self, rng: random.Random) -> int:
        """One count."""
        return rng.randint(self.least, self.most)

    def describe(self) -> str:
        """`uniform:100,900`."""
        return f"uniform:{self.least},{self.most}"


@dataclass(frozen=True, slots=True)
class Normal:
    """A bell around `centre` with deviation `spread`, in tokens, before clipping."""

    centre: float
    spread: float

    @property
    def mean(self) -> float:
        """Mean of the clipped bell."""
        if self.spread == 0:
            return self.centre
        bell = NormalDist(self.centre, self.spread)
        inside = bell.cdf(HIGH) - bell.cdf(LOW)
        pull = self.spread**2 * (bell.pdf(LOW) - bell.pdf(HIGH))
        return LOW * bell.cdf(LOW) + HIGH * (1 - bell.cdf(HIGH)) + self.centre * inside + pull

    @property
    def asked_least(self) -> float:
        """The centre."""
        return self.centre

    def sample(self, rng: random.Random) -> int:
        """One count."""
        return _clip(rng.gauss(self.centre, self.spread))

    def describe(self) -> str:
        """`normal:550,150`."""
        return f"normal:{_text(self.centre)},{_text(self.spread)}"


@dataclass(frozen=True, slots=True)
class Lognormal:
    """A count whose logarithm is normal; `centre` and `spread` are its own mean and deviation, in tokens.

    With m and s for them: sigma^2 = ln(1 + s^2/m^2), mu = ln m - sigma^2/2.
    """

    centre: float
    spread: float

    @property
    def _log(self) -> tuple[float, float]:
        sigma = math.sqrt(math.log1p((self.spread / self.centre) ** 2))
        return math.log(self.centre) - sigma**2 / 2, sigma

    @property
    def mean(self) -> float:
        """Mean of the clipped count."""
        if self.spread == 0:
            return self.centre
        mu, sigma = self._log
        log, tilted = NormalDist(mu, sigma), NormalDist(mu + sigma**2, sigma)
        inside = tilted.cdf(math.log(HIGH)) - tilted.cdf(math.log(LOW))
        return LOW * log.cdf(math.log(LOW)) + HIGH * (1 - log.cdf(math.log(HIGH))) + self.centre * inside

    @property
    def asked_least(self) -> float:
        """The mean as named."""
        return self.centre

    def sample(self, rng: random.Random) -> int:
        """One count."""
        mu, sigma = self._log
        return _clip(math.exp(min(rng.gauss(mu, sigma), math.log(HIGH))))

    def describe(self) -> str:
        """`lognormal:550,150`."""
        return f"lognormal:{_text(self.centre)},{_text(self.spread)}"


def parse(text: str, option: str) -> Distribution:
    """Read a distribution given as `option`; blanks around its parts are allowed.

    Raises:
        ConfigError: naming the option, the value, what is wrong with it and what would be right.
    """
    kind, colon, numbers = (part.strip() for part in text.partition(":"))
    if not kind and not colon:
        raise _wrong(option, text, "is empty", FORMS)
    if not colon and (kind[0].isdigit() or kind[0] in "+-."):
        return Constant(_whole(kind, option, text, "550"))
    match kind:
        case "normal" | "lognormal":
            example = f"{kind}:550,150"
            mean, spread = (
                _decimal(number, option, text, example) for number in _two(numbers, option, text, example)
            )
            if mean < LOW:
                raise _wrong(option, text, f"has a mean below {LOW} token", example)
            return Normal(mean, spread) if kind == "normal" else Lognormal(mean, spread)
        case "uniform":
            example = "uniform:100,900"
            least, most = (
                _whole(number, option, text, example) for number in _two(numbers, option, text, example)
            )
            if least > most:
                raise _wrong(option, text, "has its ends the wrong way round", f"uniform:{most},{least}")
            return Uniform(least, most)
        case _:
            raise _unknown(option, text, kind)


def _clip(tokens: float) -> int:
    return min(max(round(tokens), LOW), HIGH)


def _text(number: float) -> str:
    return f"{number:.6f}".rstrip("0").rstrip(".")


def _two(numbers: str, option: str, text: str, example: str) -> list[str]:
    parts = [part.strip() for part in numbers.split(",")]
    if len(parts) != 2 or not all(parts):
        raise _wrong(option, text, "must have two numbers with one comma between them", example)
    return parts


def _decimal(number: str, option: str, text: str, example: str) -> float:
    if not _DECIMAL.fullmatch(number):
        raise _wrong(option, text, f"has {number!r} where a plain positive number belongs", example)
    if float(number) > HIGH:
        raise _wrong(option, text, f"has {number}, more than {HIGH} tokens", example)
    return float(number)


def _whole(number: str, option: str, text: str, example: str) -> int:
    if not _WHOLE.fullmatch(number):
        raise _wrong(option, text, f"has {number!r} where a plain whole number belongs", example)
    if not LOW <= int(number) <= HIGH:
        raise _wrong(option, text, f"has {number}, outside {LOW} to {HIGH} tokens", example)
    return int(number)


def _wrong(option: str, text: str, problem: str, example: str) -> ConfigError:
    return ConfigError(f"{option} {text!r} {problem}; write for example {example}")


def _unknown(option: str, text: str, kind: str) -> ConfigError:
    return ConfigError(f"{option} {text!r}: unknown distribution {kind!r}; known are {FORMS}")
