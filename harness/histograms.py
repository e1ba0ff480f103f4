"""Empirical distributions of token counts: what was counted somewhere, drawn again as often.

    hist:100@5,500@3,2000@1     tokens@weight
    file:lengths.txt            a count a line
    file:lengths.csv            tokens,weight a line; that header may stand above

Blank lines and lines that begin with # are passed over; a gzipped file is unpacked. A count that comes several
times has the sum of its weights, so a file of any length takes no more memory than its distinct counts, 1,000,000 at
most. The order of lines does not matter to what is drawn.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from math import fsum
from typing import Final

from harness.counts import whole, wrong
from harness.length_files import MOST, LengthFile, Line, mass, share, tokens

__all__ = ["Empirical", "inline", "of", "read"]

_INLINE: Final = "hist:100@5,500@3"
_LINES: Final = "write a count a line, e.g. 550, or tokens,weight, e.g. 550,2.5"
_HEAD: Final = ["tokens", "weight"]


@dataclass(frozen=True, slots=True)
class Empirical:
    """Counts drawn by their weights; made by `of`."""

    tokens: tuple[int, ...] = field(repr=False)  # ascending, each once
    weights: tuple[float, ...] = field(repr=False)  # one a count, all above 0
    bounds: tuple[float, ...] = field(repr=False)  # the weights, summed up to each
    path: str | None = None  # None: written in the option itself

    @property
    def mean(self) -> float:
        """The weighted mean."""
        return fsum(map(float.__mul__, self.weights, map(float, self.tokens))) / fsum(self.weights)

    @property
    def asked_least(self) -> float:
        """The least count: whoever lists counts means each of them."""
        return self.tokens[0]

    def sample(self, rng: random.Random) -> int:
        """One count."""
        at = bisect_right(self.bounds, rng.random() * self.bounds[-1])
        return self.tokens[min(at, len(self.tokens) - 1)]

    def describe(self) -> str:
        """`file:PATH` or `hist:100@5,500@3`."""
        return self.inline() if self.path is None else f"file:{self.path}"

    def inline(self) -> str:
        """The same distribution as text alone, for a machine that does not have the file; draws the same counts."""
        return "hist:" + ",".join(f"{count}@{_text(weight)}" for count, weight in self._pairs())

    def _pairs(self) -> Iterator[tuple[int, float]]:
        return zip(self.tokens, self.weights, strict=True)


def of(weights: Mapping[int, float], path: str | None = None) -> Empirical | None:
    """The distribution of counts and their weights, those of weight 0 left out; None if nothing is left."""
    kept = sorted((count, weight) for count, weight in weights.items() if weight > 0)
    if not kept:
        return None
    tokens, masses = zip(*kept, strict=True)
    return Empirical(tokens, masses, tuple(accumulate(masses)), path)


def inline(numbers: str, option: str, text: str) -> Empirical:
    """What follows `hist:`.

    Raises:
        ConfigError: naming the option, its text, what is wrong and what would be right.
    """
    weights: dict[int, float] = {}
    for part in numbers.split(","):
        count, at, weight = (word.strip() for word in part.partition("@"))
        if not at:
            raise wrong(option, text, f"has {part.strip()!r} where tokens@weight belongs", _INLINE)
        number, value = whole(count, option, text, _INLINE), mass(weight)
        if value is None or not 0 <= value <= MOST:
            raise wrong(option, text, f"has {weight!r} where a weight from 0 to {MOST:g} belongs", _INLINE)
        weights[number] = weights.get(number, 0.0) + value
    found = of(weights)
    if found is None:
        raise wrong(option, text, "has weights that sum to nothing", _INLINE)
    if found.bounds[-1] > MOST:
        raise wrong(option, text, f"has weights that sum to more than {MOST:g}", _INLINE)
    return found


def read(path: str, option: str, text: str) -> Empirical:
    """The file that follows `file:`.

    Raises:
        ConfigError: naming the option, the file, the line, what is wrong there and what would be right.
    """
    file = LengthFile(path, f"{option} {text!r}")
    if not path:
        raise file.wrong("names no file", "write for example file:lengths.csv")
    weights: dict[int, float] = {}
    columns = 0
    for number, line in file.lines():
        if not line or line[0] == "#":
            continue
        parts = [part.strip() for part in line.split(",")]
        first, columns = not columns, columns or len(parts)
        if len(parts) != columns or columns > 2:
            raise file.wrong(f"has {len(parts)} columns{'' if first else f', not {columns}'}", _LINES, number)
        if first and [part.lower() for part in parts] == _HEAD[:columns]:
            continue
        where = Line(file, number)
        count = tokens(parts[0], where)
        weights[count] = weights.get(count, 0.0) + (share(parts[1], where) if columns == 2 else 1.0)
    found = of(weights, path)
    if found is None:
        raise file.wrong("has weights that sum to nothing" if weights else "is empty", _LINES)
    if found.bounds[-1] > MOST:
        raise file.wrong(f"has weights that sum to more than {MOST:g}", "write smaller ones")
    return found


def _text(weight: float) -> str:
    """The shortest text that is read as the same number."""
    return repr(weight).removesuffix(".0")
