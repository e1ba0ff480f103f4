"""What `--arrivals` may say: text in, a process and its rates out, and one line that says what is wrong if it is none.

Rates are plain decimals, above 0 and up to 100,000 requests/s: `1e3`, `1_000`, `nan` and signs are none, since a slip
of the pen there is a load of the wrong size. A rate of 0 is a pause among steps, or an end of a ramp, and nothing else.
Times have a unit (`harness.durations`).
"""

import re
from pathlib import Path
from typing import Final, NamedTuple

from harness import durations
from harness.arrival_gaps import LEAST_SHAPE, MOST_SHAPE, Process, text_of
from harness.arrival_rates import Flat, Profile, Ramp, Steps
from harness.errors import ConfigError

RATE_MOST: Final = 100_000.0  # requests/s; a whole schedule is walked by each process that sends a part of it
LENGTH_MOST_S: Final = 30 * 86_400
FORMS: Final = (
    "constant:10, poisson:10, gamma:10,0.5, ramp:1,20,60s, steps:5@30s,10@30s or trace:FILE, or, beside --rates, "
    "constant, poisson or gamma:0.5"
)

# Six decimals at most, so that what is written of a number is read as the same.
_DECIMAL: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?", re.ASCII)


class _Given(NamedTuple):
    """What the user wrote, and where."""

    option: str
    text: str

    def wrong(self, problem: str, example: str) -> ConfigError:
        """One line that says so."""
        return ConfigError(f"{self.option} {self.text!r} {problem}; write for example {example}")


def trace_of(text: str, option: str) -> Path | None:
    """The file of `trace:FILE`; None for any other text.

    Raises:
        ConfigError: no file is named.
    """
    word, colon, path = (part.strip() for part in text.partition(":"))
    if word != "trace":
        return None
    if not colon or not path:
        raise _Given(option, text).wrong("names no file", "trace:azure.csv")
    return Path(path)


def read(text: str, option: str) -> tuple[Process, Profile | None]:
    """The process and its rates; None for a process alone.

    Raises:
        ConfigError: it is no text of that kind.
    """
    word, colon, rest = (part.strip() for part in text.partition(":"))
    parts = [part.strip() for part in rest.split(",")] if colon else []
    given = _Given(option, text)
    match word:
        case "constant" | "poisson":
            return _plain(given, word, parts)
        case "gamma":
            return _gamma(given, parts)
        case "ramp":
            return _ramp(given, parts)
        case "steps":
            return _steps(given, parts)
    raise ConfigError(f"{option} {text!r}: unknown arrivals {word!r}; write {FORMS}")


def rates(text: str, option: str = "--rates") -> tuple[float, ...]:
    """`1,2.5,4`: requests/s, each once, in the order given.

    Raises:
        ConfigError: it is no list of rates.
    """
    found: list[float] = []
    for part in text.split(","):
        rate = _rate(_Given(option, text), part.strip(), "1,2,4")
        if rate in found:
            raise ConfigError(f"{option} {text!r} has {part.strip()} twice; to repeat levels use --repeats")
        found.append(rate)
    return tuple(found)


def _plain(given: _Given, word: str, parts: list[str]) -> tuple[Process, Profile | None]:
    process = Process("constant" if word == "constant" else "poisson")
    if not parts:
        return process, None
    if len(parts) != 1:
        raise given.wrong("must have one number, the rate", f"{word}:10")
    return process, Flat(_rate(given, parts[0], f"{word}:10"))


def _gamma(given: _Given, parts: list[str]) -> tuple[Process, Profile | None]:
    """Rate and burstiness, or burstiness alone."""
    example = "gamma:10,0.5"
    if len(parts) == 1 and parts[0]:
        return Process("gamma", _shape(given, parts[0], example)), None
    if len(parts) != 2:
        raise given.wrong("must have two numbers, the rate and the burstiness", example)
    return Process("gamma", _shape(given, parts[1], example)), Flat(_rate(given, parts[0], example))


def _ramp(given: _Given, parts: list[str]) -> tuple[Process, Profile]:
    example = "ramp:1,20,60s"
    if len(parts) not in {3, 4}:
        raise given.wrong("must have two rates and how long it takes from one to the other", example)
    first, last = (_rate(given, part, example, pause=True) for part in parts[:2])
    if not first and not last:
        raise given.wrong("begins and ends at a rate of 0", example)
    over_s = _length(given, parts[2], example)
    return _process(given, parts[3:], example), Ramp(first, last, over_s)


def _steps(given: _Given, parts: list[str]) -> tuple[Process, Profile]:
    example = "steps:5@30s,10@30s"
    named = parts[-1:] if parts and parts[-1] and "@" not in parts[-1] else []
    written = parts[:-1] if named else parts
    if not written:
        raise given.wrong("has no step", example)
    steps = tuple(_step(given, part, example) for part in written)
    if not any(rate for rate, _ in steps):
        raise given.wrong("has a rate of 0 in every step", example)
    if sum(seconds for _, seconds in steps) > LENGTH_MOST_S:
        raise given.wrong("lasts more than 30 days", example)
    return _process(given, named, example), Steps(steps)


def _step(given: _Given, part: str, example: str) -> tuple[float, float]:
    rate, at, length = (piece.strip() for piece in part.partition("@"))
    if not at:
        raise given.wrong(f"has {part!r} where a rate and its time belong, with an @ between", example)
    return _rate(given, rate, example, pause=True), _length(given, length, example)


def _process(given: _Given, named: list[str], example: str) -> Process:
    """The last word of a ramp or of steps."""
    if not named:
        return Process()
    word, colon, shape = (piece.strip() for piece in named[0].partition(":"))
    if word in {"constant", "poisson"} and not colon:
        return Process("constant" if word == "constant" else "poisson")
    if word == "gamma" and colon:
        return Process("gamma", _shape(given, shape, f"{example},gamma:0.5"))
    raise given.wrong(
        f"ends with {named[0]!r}, which is no process", f"{example},poisson or {example},gamma:0.5"
    )


def _decimal(text: str) -> float | None:
    return float(text) if _DECIMAL.fullmatch(text) else None


def _rate(given: _Given, text: str, example: str, *, pause: bool = False) -> float:
    rate = _decimal(text)
    if rate is None:
        raise given.wrong(f"has {text!r} where a rate belongs, a plain decimal in requests/s", example)
    if rate == 0 and not pause:
        raise given.wrong("has a rate of 0, at which nothing would be sent", example)
    if rate > RATE_MOST:
        raise given.wrong(f"has a rate of {text}, more than {text_of(RATE_MOST)} requests/s", example)
    return rate


def _shape(given: _Given, text: str, example: str) -> float:
    shape = _decimal(text)
    if shape is None:
        raise given.wrong(f"has {text!r} where the burstiness belongs, a plain decimal", example)
    if not LEAST_SHAPE <= shape <= MOST_SHAPE:
        limits = f"{text_of(LEAST_SHAPE)} (very bursty) to {text_of(MOST_SHAPE)} (regular)"
        raise given.wrong(f"has a burstiness of {text}, outside {limits}", example)
    return shape


def _length(given: _Given, text: str, example: str) -> float:
    return durations.seconds(text, given.option, whole=given.text, most_s=LENGTH_MOST_S, example=example)
