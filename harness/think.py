"""How long a user of a chat thinks between an answer and its next turn, as `--think-time` names it.

    2s                  always so long; 0s: no pause
    uniform:1s,3s       anything from 1 to 3 s
    normal:2s,1s        mean and standard deviation
    lognormal:2s,1s     mean and standard deviation of the time itself, not of its logarithm
    exponential:2s      mean; many short pauses and a few long ones

The rule: every sample is from 0 to `MOST_S`; what falls outside is brought to the nearer end, not drawn again, and
`mean` is the mean after that. The same `rng` gives the same pauses on every Python: they are made from `random()`
alone, one or two calls a sample. Nothing sleeps here, and token counts are elsewhere (`harness.distributions`).
"""

import math
import random
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Protocol

from harness import durations
from harness.errors import ConfigError

__all__ = ["FORMS", "MOST_S", "Constant", "Exponential", "Lognormal", "Normal", "Think", "Uniform", "parse"]

MOST_S: Final = durations.HOUR_S
FORMS: Final = "2s, uniform:1s,3s, normal:2s,1s, lognormal:2s,1s or exponential:2s"


class Think(Protocol):
    """A distribution of pauses."""

    @property
    def mean(self) -> float:
        """Expected seconds, clipping included."""

    def sample(self, rng: random.Random) -> float:
        """One pause, seconds."""

    def describe(self) -> str:
        """The text that `parse` turns into this distribution."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same pause."""

    length_s: float

    @property
    def mean(self) -> float:
        """The pause."""
        return self.length_s

    def sample(self, rng: random.Random) -> float:  # noqa: ARG002 - the protocol's signature
        """Return the pause; draws nothing from `rng`."""
        return self.length_s

    def describe(self) -> str:
        """`2s`."""
        return durations.text(self.length_s)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any pause between two, each as likely as the other."""

    least_s: float
    most_s: float

    @property
    def mean(self) -> float:
        """The middle."""
        return (self.least_s + self.most_s) / 2

    def sample(self, rng: random.Random) -> float:
        """One pause, seconds."""
        return min(self.least_s + (self.most_s - self.least_s) * rng.random(), self.most_s)

    def describe(self) -> str:
        """`uniform:1s,3s`."""
        return f"uniform:{durations.text(self.least_s)},{durations.text(self.most_s)}"


@dataclass(frozen=True, slots=True)
class Normal:
    """A bell around `centre_s` with deviation `spread_s`, before clipping."""

    centre_s: float
    spread_s: float

    @property
    def mean(self) -> float:
        """Mean of the clipped bell."""
        if self.spread_s == 0:
            return self.centre_s
        bell = NormalDist(self.centre_s, self.spread_s)
        inside = bell.cdf(MOST_S) - bell.cdf(0)
        pull = self.spread_s**2 * (bell.pdf(0) - bell.pdf(MOST_S))
        return MOST_S * (1 - bell.cdf(MOST_S)) + self.centre_s * inside + pull

    def sample(self, rng: random.Random) -> float:
        """One pause, seconds."""
        return _clip(self.centre_s + self.spread_s * _bell(rng))

    def describe(self) -> str:
        """`normal:2s,1s`."""
        return f"normal:{durations.text(self.centre_s)},{durations.text(self.spread_s)}"


@dataclass(frozen=True, slots=True)
class Lognormal:
    """A pause whose logarithm is normal; `centre_s` and `spread_s` are its own mean and deviation.

    With m and s for them: sigma^2 = ln(1 + s^2/m^2), mu = ln m - sigma^2/2.
    """

    centre_s: float
    spread_s: float

    @property
    def _log(self) -> tuple[float, float]:
        sigma = math.sqrt(math.log1p((self.spread_s / self.centre_s) ** 2))
        return math.log(self.centre_s) - sigma**2 / 2, sigma

    @property
    def mean(self) -> float:
        """Mean of the clipped pause."""
        mu, sigma = self._log
        if sigma == 0:
            return self.centre_s
        top = math.log(MOST_S)
        below = NormalDist(mu + sigma**2, sigma).cdf(top)
        return MOST_S * (1 - NormalDist(mu, sigma).cdf(top)) + self.centre_s * below

    def sample(self, rng: random.Random) -> float:
        """One pause, seconds."""
        mu, sigma = self._log
        return _clip(math.exp(min(mu + sigma * _bell(rng), math.log(MOST_S) + 1)))  # which has no end

    def describe(self) -> str:
        """`lognormal:2s,1s`."""
        return f"lognormal:{durations.text(self.centre_s)},{durations.text(self.spread_s)}"


@dataclass(frozen=True, slots=True)
class Exponential:
    """Pauses without memory: however long one has lasted, what is left of it is distributed alike."""

    centre_s: float

    @property
    def mean(self) -> float:
        """Mean of the clipped pause."""
        return -self.centre_s * math.expm1(-MOST_S / self.centre_s)

    def sample(self, rng: random.Random) -> float:
        """One pause, seconds."""
        return _clip(-self.centre_s * math.log1p(-rng.random()))

    def describe(self) -> str:
        """`exponential:2s`."""
        return f"exponential:{durations.text(self.centre_s)}"


def parse(text: str, option: str = "--think-time") -> Think:
    """Read a distribution of pauses; blanks around its parts are allowed.

    Raises:
        ConfigError: naming the option, the value, what is wrong with it and what would be right.
    """
    kind, colon, times = (part.strip() for part in text.partition(":"))
    if not colon and (not kind or kind[0].isdigit() or kind[0] in "+-."):
        return Constant(durations.seconds(text, option, most_s=MOST_S, zero=True, example="2s"))
    match kind.lower():
        case "uniform":
            least, most = _times(times, option, text, "uniform:1s,3s", 2)
            if least > most:
                turned = f"uniform:{durations.text(most)},{durations.text(least)}"
                raise _wrong(option, text, "has its ends the wrong way round", turned)
            return Uniform(least, most)
        case "normal" | "lognormal" as bell:
            centre, spread = _times(times, option, text, f"{bell}:2s,1s", 2)
            _above_zero(centre, option, text, f"{bell}:2s,1s")
            return Normal(centre, spread) if bell == "normal" else Lognormal(centre, spread)
        case "exponential":
            (centre,) = _times(times, option, text, "exponential:2s", 1)
            _above_zero(centre, option, text, "exponential:2s")
            return Exponential(centre)
        case _:
            raise ConfigError(f"{option} {text!r}: unknown distribution {kind!r}; known are {FORMS}")


def _clip(length_s: float) -> float:
    return min(max(length_s, 0.0), float(MOST_S))


def _bell(rng: random.Random) -> float:
    """One value of the standard bell, by Box and Muller: two calls of `random()`, of which Python says they last."""
    return math.sqrt(-2 * math.log1p(-rng.random())) * math.cos(math.tau * rng.random())


def _times(times: str, option: str, text: str, example: str, number: int) -> list[float]:
    parts = [part.strip() for part in times.split(",")]
    if len(parts) != number or not all(parts):
        wanted = "one time" if number == 1 else "two times with one comma between them"
        raise _wrong(option, text, f"must have {wanted}", example)
    return [
        durations.seconds(part, option, whole=text, most_s=MOST_S, zero=True, example="2s") for part in parts
    ]


def _above_zero(centre_s: float, option: str, text: str, example: str) -> None:
    if centre_s == 0:
        raise _wrong(option, text, "has a mean of nothing (0s alone is no pause)", example)


def _wrong(option: str, text: str, problem: str, example: str) -> ConfigError:
    return ConfigError(f"{option} {text!r} {problem}; write for example {example}")
