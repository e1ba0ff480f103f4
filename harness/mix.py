"""Mixtures: a share of requests of one kind, a share of another, each under a name of its own (`--mix`, repeatable).

    chat:70 prompt=lognormal:300,150 output=150
    rag:30 lengths=pairs.csv prefix=4x1000 text=pt

A part is NAME:WEIGHT and then words as in a shell, quoted where they have blanks. Weights are relative: 70 and 30 are 7
and 3. One text may hold several parts with `;` between, which is how the environment variable gives them. What a part
does not say it has from the options for all requests. Its files are named here and read elsewhere, but those of
distributions, which are read as these are.

The rule: which part a request belongs to follows from the run's seed and the request's number alone, so it is the same
whatever the number of workers, who is lost, and in which order requests are made.
"""

import re
import shlex
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import fsum
from typing import Final

from harness import distributions, texts
from harness.counts import text_of
from harness.distributions import Distribution
from harness.errors import ConfigError
from harness.lots import uniform
from harness.prefixes import SharedPrefixes

__all__ = ["KEYS", "Mixture", "Part", "mixture", "parse"]

KEYS: Final = ("prompt", "output", "lengths", "text", "dataset", "prefix")
_APART: Final = (  # words that say the same twice
    ("lengths", "prompt", "the file has the prompts' lengths"),
    ("lengths", "output", "the file has the answers' lengths"),
    ("dataset", "prompt", "the dataset has prompts of their own length"),
    ("dataset", "lengths", "the dataset has prompts of their own length"),
    ("dataset", "text", "the dataset has prompts of its own"),
)
_NAME_LENGTH: Final = 60
_WEIGHT: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_EXAMPLE: Final = "--mix 'chat:70 prompt=lognormal:300,150 output=150'"
# So that another draw by the same seed and number, of a template say, does not go with this one.
_PURPOSE: Final = int.from_bytes(b"mix part")


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of request. None: as the options for all requests have it."""

    name: str
    weight: float
    prompt: Distribution | None = None
    output: Distribution | None = None
    lengths: str | None = None  # a file of pairs, instead of the two
    text: str | None = None  # one of `harness.texts`
    dataset: str | None = None  # a file of prompts
    prefix: SharedPrefixes | None = None

    def describe(self) -> str:
        """The text that `parse` turns into this part."""
        return self._text(lambda sizes: sizes.describe())

    def portable(self) -> str:
        """The same with the distributions' files written out, for a machine that does not have them."""
        return self._text(distributions.portable)

    def _text(self, tell: Callable[[Distribution], str]) -> str:
        said = {
            "prompt": self.prompt and tell(self.prompt),
            "output": self.output and tell(self.output),
            "lengths": self.lengths,
            "text": self.text,
            "dataset": self.dataset,
            "prefix": self.prefix and self.prefix.describe(),
        }
        words = (shlex.quote(f"{key}={value}") for key, value in said.items() if value is not None)
        return " ".join((f"{self.name}:{text_of(self.weight)}", *words))


@dataclass(frozen=True, slots=True)
class Mixture:
    """Parts, at least one of which has a weight; made by `mixture`."""

    parts: tuple[Part, ...]
    bounds: tuple[float, ...]  # up to which share each part goes; the last is 1

    @property
    def shares(self) -> tuple[float, ...]:
        """Each part's share of all requests, from 0 to 1."""
        return tuple(high - low for low, high in zip((0.0, *self.bounds), self.bounds, strict=False))

    def pick(self, number: int, seed: int) -> Part:
        """The part that request `number` of a run belongs to; about a microsecond."""
        return self.parts[bisect_right(self.bounds, uniform(seed ^ _PURPOSE, number))]


def mixture(parts: tuple[Part, ...]) -> Mixture:
    """What `parse` gave, at least one part, ready to be picked from."""
    total = fsum(part.weight for part in parts)
    sums = accumulate(part.weight for part in parts)
    last = max(at for at, part in enumerate(parts) if part.weight)
    # From the last part with a weight on it is 1 exactly, which no pick reaches.
    return Mixture(parts, tuple(1.0 if at >= last else sum_ / total for at, sum_ in enumerate(sums)))


def parse(values: Iterable[str]) -> tuple[Part, ...]:
    """The parts that the values of `--mix` name, in their order; none for no text.

    Raises:
        ConfigError: naming the option, the value, what is wrong and what would be right.
    """
    parts = tuple(_part(words, text) for text in values for words in _split(text))
    twice = [name for name, times in Counter(part.name for part in parts).items() if times > 1]
    if twice:
        raise ConfigError(f"--mix has two parts named {twice[0]!r}; give each a name of its own")
    if parts and not any(part.weight for part in parts):
        raise ConfigError(f"--mix has weights that sum to nothing; write for example {_EXAMPLE}")
    return parts


def _split(text: str) -> Iterator[list[str]]:
    """The words of each part of a text."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";")
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        for word in lexer:
            if word.strip(";"):
                words.append(word)
            elif words:
                yield words
                words = []
    except ValueError:
        raise _wrong(text, "has a quote that is not closed") from None
    if words:
        yield words


def _part(words: list[str], text: str) -> Part:
    name, colon, weight = words[0].rpartition(":")
    if not colon or "=" in name:
        raise _wrong(text, f"has {words[0]!r} where NAME:WEIGHT belongs")
    if len(name) > _NAME_LENGTH or not re.sub(r"[._-]", "", name).isalnum():
        raise _wrong(
            text, f"has {name!r} as a name; use up to {_NAME_LENGTH} letters, digits, dots, dashes and _"
        )
    said: dict[str, str] = {}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals or key not in KEYS:
            raise _wrong(text, f"has {word!r}; known are {', '.join(f'{known}=' for known in KEYS)}")
        if key in said:
            raise _wrong(text, f"has {key}= twice; give it once")
        if not value.strip():
            raise _wrong(text, f"has nothing behind {key}=")
        said[key] = value.strip()
    for one, other, why in _APART:
        if one in said and other in said:
            raise _wrong(text, f"has both {one}= and {other}=, but {why}; leave one out")
    option = f"--mix {name}:"
    return Part(
        name,
        _weight(weight, text),
        prompt=_sizes(said, "prompt", option),
        output=_sizes(said, "output", option),
        lengths=said.get("lengths"),
        text=texts.find(said["text"], f"{option} text").name if "text" in said else None,
        dataset=said.get("dataset"),
        prefix=SharedPrefixes.parse(said["prefix"], f"{option} prefix") if "prefix" in said else None,
    )


def _weight(value: str, text: str) -> float:
    if not _WEIGHT.fullmatch(value):
        raise _wrong(text, f"has weight {value!r} where a plain number belongs, 0 or more")
    return float(value)


def _sizes(said: dict[str, str], key: str, option: str) -> Distribution | None:
    return distributions.parse(said[key], f"{option} {key}") if key in said else None


def _wrong(text: str, problem: str) -> ConfigError:
    return ConfigError(f"--mix {text!r} {problem}; write for example {_EXAMPLE}")
