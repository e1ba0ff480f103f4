"""What synthetic prompts are made of: `--text en|pt|zh|code|numbers`.

A text is a list of words, what stands between two of them, and a supply of sentences. All of it is our own:
word lists and grammars, nothing downloaded. Sentences are always the same (`SENTENCES` of them, from a seed of their
own), so that what each costs in tokens is measured once, and whoever is told the costs has the sentences.

A sentence begins with what ends the one before it (". The station ...") and ends with a word, so that any of them
may stand after a word or after another, and words may follow.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

from harness.errors import ConfigError
from harness.texts import code, en, numbers, pt, zh
from harness.words import LEXICON

__all__ = ["SENTENCES", "TEXTS", "Text", "find"]

SENTENCES: Final = 811  # a prime: stepping through them by any step meets all before one comes again


@dataclass(frozen=True, slots=True)
class Text:
    """One kind of text."""

    name: str
    lexicon: tuple[
        str, ...
    ]  # for openings and for the last few tokens; in the order in which they are measured
    joint: str  # before each of these but the first
    sentences: Callable[[], tuple[str, ...]]  # SENTENCES of them, always the same
    unique: bool = True  # False: all prompts of a size are one, and a prefix cache finds it


@cache
def _written(name: str, write: Callable[[random.Random], str]) -> tuple[str, ...]:
    """Different ones: a short sentence may be drawn twice."""
    rng = random.Random(f"{name} sentences")
    found: dict[str, None] = {}
    while len(found) < SENTENCES:
        found[write(rng)] = None
    return tuple(found)


def _text(name: str, lexicon: tuple[str, ...], joint: str, write: Callable[[random.Random], str]) -> Text:
    return Text(name, lexicon, joint, partial(_written, name, write))


TEXTS: Final[Mapping[str, Text]] = {
    text.name: text
    for text in (
        _text("en", LEXICON, " ", en.write),
        _text("pt", pt.LEXICON, " ", pt.write),
        _text("zh", zh.LEXICON, zh.COMMA, zh.write),
        _text("code", code.LEXICON, ".", code.write),
        Text("numbers", numbers.LEXICON, " ", partial(numbers.groups, SENTENCES), unique=False),
    )
}


def find(name: str, option: str = "--text") -> Text:
    """The text of that name.

    Raises:
        ConfigError: there is none; the text names those there are.
    """
    if name not in TEXTS:
        raise ConfigError(f"{option} {name!r} is not known; give one of {', '.join(TEXTS)}")
    return TEXTS[name]
