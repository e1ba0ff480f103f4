"""Distributions of token counts, as `--prompt-tokens` and `--output-tokens` name them.

    550                 always 550
    normal:550,150      mean and standard deviation, in tokens
    lognormal:550,150   mean and standard deviation of the count itself, in tokens, not of its logarithm
    gamma:550,300       the same of a gamma: as skewed as it is wide, with a lighter tail than the lognormal's
    uniform:100,900     whole numbers from 100 to 900, both included
    hist:100@5,900@1    counts with weights: 100 five times as often as 900
    file:lengths.csv    counts with weights, or a count a line, from a file

Every sample is a whole number from LOW to HIGH. What has no such bounds is clipped to them (`harness.bells`). Numbers
are plain (`harness.counts`). Files are read by `parse` (`harness.histograms`) and never again. Nothing here knows a
tokenizer or a clock; the caller brings the randomness.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from harness import histograms
from harness.bells import Gamma, Lognormal, Normal
from harness.counts import HIGH, LOW, decimal, whole, wrong
from harness.errors import ConfigError
from harness.histograms import Empirical

__all__ = [  # bounds and forms are named here too, for who has but one module to look at
    "FORMS",
    "HIGH",
    "LOW",
    "Constant",
    "Distribution",
    "Empirical",
    "Gamma",
    "Lognormal",
    "Normal",
    "Uniform",
    "parse",
    "portable",
]

FORMS: Final = "550, normal:550,150, lognormal:550,150, gamma:550,300, uniform:100,900, hist:100@5,900@1 or file:lengths.csv"
_BELLS: Final[Mapping[str, type[Normal | Lognormal | Gamma]]] = {
    "normal": Normal,
    "lognormal": Lognormal,
    "gamma": Gamma,
}


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


def parse(text: str, option: str) -> Distribution:
    """Read a distribution given as `option`; blanks around its parts are allowed.

    Raises:
        ConfigError: naming the option, the value, what is wrong with it and what would be right.
    """
    kind, colon, numbers = (part.strip() for part in text.partition(":"))
    if not kind and not colon:
        raise wrong(option, text, "is empty", FORMS)
    if not colon and (kind[0].isdigit() or kind[0] in "+-."):
        return Constant(whole(kind, option, text, "550"))
    match kind:
        case "normal" | "lognormal" | "gamma":
            return _bell(kind, numbers, option, text)
        case "uniform":
            example = "uniform:100,900"
            least, most = (
                whole(number, option, text, example) for number in _two(numbers, option, text, example)
            )
            if least > most:
                raise wrong(option, text, "has its ends the wrong way round", f"uniform:{most},{least}")
            return Uniform(least, most)
        case "hist":
            return histograms.inline(numbers, option, text)
        case "file":
            return histograms.read(numbers, option, text)
        case _:
            raise ConfigError(f"{option} {text!r}: unknown distribution {kind!r}; known are {FORMS}")


def portable(distribution: Distribution) -> str:
    """Text that `parse` turns into one that draws the same, on a machine that has none of this one's files."""
    return distribution.inline() if isinstance(distribution, Empirical) else distribution.describe()


def _bell(kind: str, numbers: str, option: str, text: str) -> Distribution:
    example = f"{kind}:550,150"
    mean, spread = (decimal(number, option, text, example) for number in _two(numbers, option, text, example))
    if mean < LOW:
        raise wrong(option, text, f"has a mean below {LOW} token", example)
    return _BELLS[kind](mean, spread)


def _two(numbers: str, option: str, text: str, example: str) -> list[str]:
    parts = [part.strip() for part in numbers.split(",")]
    if len(parts) != 2 or not all(parts):
        raise wrong(option, text, "must have two numbers with one comma between them", example)
    return parts
