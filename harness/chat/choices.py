"""What the user of a chat has chosen, and the texts in which it is chosen: checked, each by its name.

The same for the terminal and for the page, whose texts are a form's: an empty one is the default.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from harness import option_values
from harness.backends.base import Ask, Backend, Sampling, Turn
from harness.errors import ConfigError

__all__ = ["MAX_TOKENS", "NAMES", "Choices", "make_ask", "read"]

MAX_TOKENS: Final = 512  # of an answer, unless chosen
MOST_TOKENS: Final = 131_072
MOST_SYSTEM: Final = 200_000  # characters
NAMES: Final = ("model", "api_mode", "system", "max_tokens", "temperature", "top_p", "seed", "extra_body")
_DECIMAL: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Choices:
    """How answers are asked for."""

    model: str | None = None  # None: the one of the settings, else the one that the server offers
    api_mode: str | None = None  # None: the one of the settings
    system: str = ""
    max_tokens: int = MAX_TOKENS
    temperature: float | None = None  # None, as the next two: not said, so the server's own
    top_p: float | None = None
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)  # fields of the body, over all others

    def turns(self, *said: Turn) -> tuple[Turn, ...]:
        """What was said, after the system prompt."""
        return (Turn("system", self.system), *said) if self.system else said


def read(given: Mapping[str, object], prefix: str = "") -> Choices:
    """The choices of `given`, whose names are among NAMES and whose values are texts or a JSON's numbers.

    Raises:
        ConfigError: a line for each that is none; it has `prefix` before its name.
    """
    problems: list[str] = []
    found: dict[str, Any] = {}
    for name, value in given.items():
        text = "" if value is None else str(value) if name == "system" else str(value).strip()
        if not text:
            continue
        if name not in _READERS:
            problems.append(f"{prefix}{name}: there is no such setting; there are {', '.join(NAMES)}")
            continue
        try:
            key = "extra" if name == "extra_body" else name
            found[key] = _READERS[name](text, f"{prefix}{name.replace('_', '-')}")
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return Choices(**found)


def make_ask(
    backend: Backend, model: str | None, choices: Choices, said: tuple[Turn, ...], extra: Mapping[str, Any]
) -> Ask:
    """The next request. `said`: the conversation, the user's last words at its end; `extra`: the load's own fields."""
    sampling = backend.sampling(Sampling(choices.temperature, choices.top_p))
    return Ask(
        prompt=said[-1].text,
        max_tokens=choices.max_tokens,
        model=model,
        seed=choices.seed,
        extra={**extra, **sampling, **choices.extra},
        turns=choices.turns(*said),
    )


def _number(text: str, name: str, low: float, high: float) -> float:
    if not _DECIMAL.fullmatch(text) or not low <= float(text) <= high:
        raise ConfigError(f"{name} {text[:80]!r}: give a number from {low:g} to {high:g}")
    return float(text)


def _whole(text: str, name: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise ConfigError(f"{name} {text[:80]!r}: give a whole number from {low} to {high}")
    return int(text)


def _word(text: str, name: str) -> str:
    if len(text) > 300 or not text.isprintable():
        raise ConfigError(f"{name} {text[:80]!r}: give up to 300 printable characters")
    return text


def _long(text: str, name: str) -> str:
    if len(text) > MOST_SYSTEM:
        raise ConfigError(f"{name}: {len(text):,} characters are more than {MOST_SYSTEM:,}; make it shorter")
    return text


def _object(text: str, name: str) -> dict[str, Any]:
    try:
        return option_values.json_object(text)
    except ConfigError:
        raise ConfigError(f'{name} {text[:80]!r} is not a JSON object; write e.g. {{"top_k": 40}}') from None


_READERS: Final[Mapping[str, Any]] = {
    "model": _word,
    "api_mode": _word,
    "system": _long,
    "max_tokens": lambda text, name: _whole(text, name, 1, MOST_TOKENS),
    "temperature": lambda text, name: _number(text, name, 0, 5),
    "top_p": lambda text, name: _number(text, name, 0, 1),
    "seed": lambda text, name: _whole(text, name, 0, 2**63 - 1),
    "extra_body": _object,
}
