"""Sentences from a grammar of our own: templates with slots, and lists of words that go into them.

A slot `{name}` is filled from the shapes of that name, each as likely as the others, or from the words of that
name. Words are drawn with the first of a list far more often than the last, as in any language; so lists begin
with what is frequent. What agrees in gender or number does so because its slot says which, never by a rule here.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

SKEW: Final = 2.0  # the r-th of n words comes with a probability that falls as the square root of r
_SLOT: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Grammar:
    """Shapes by name, and words by name; a name is in one of them only."""

    shapes: Mapping[str, Sequence[str]]
    words: Mapping[str, Sequence[str]]

    def write(self, rng: random.Random, start: str = "sentence") -> str:
        """One text of the shape `start`."""
        words = self.words.get(start)
        if words is not None:
            return words[int(len(words) * rng.random() ** SKEW)]
        return _SLOT.sub(lambda slot: self.write(rng, slot[1]), rng.choice(self.shapes[start]))

    def unknown(self) -> set[str]:
        """Slots that nothing fills: none, in a grammar that is whole."""
        slots = {slot for shapes in self.shapes.values() for shape in shapes for slot in _SLOT.findall(shape)}
        return slots - self.shapes.keys() - self.words.keys()


def capital(sentence: str) -> str:
    """With a capital at its beginning, and the rest as it is."""
    return sentence[:1].upper() + sentence[1:]


def shapes(text: str) -> tuple[str, ...]:
    """One shape a line."""
    return tuple(line.strip() for line in text.strip().splitlines())


def unlike(*lists: Sequence[str]) -> tuple[str, ...]:
    """The words of all lists in turn, each once."""
    longest = max(map(len, lists))
    return tuple(dict.fromkeys(words[at] for at in range(longest) for words in lists if at < len(words)))
