"""Prompts of an exact number of tokens, made of words whose cost was measured once.

Most tokenizers cut at spaces, so a word costs the same wherever it stands, and a prompt's count is the
overhead (special tokens, chat template) plus its first word (no space before it) plus the rest (a space
before each). `measure` finds these costs with the tokenizer that will judge them; words whose cost is no
whole number depend on their neighbours and are left out. `Composer` then adds up. It is fast and nearly
always right, but it only predicts: `harness.workload` counts every prompt it builds.

A prompt begins with an opening, drawn by number from all sequences of OPENING words: no two numbers give
the same sequence until all have been used, and numbers in a row differ in the very first word. So a prefix
cache finds nothing beyond the template.
"""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from harness.errors import ConfigError
from harness.sizers import Sizer

OPENING: Final = 8  # words: over 1e20 sequences with the usual lexicon
_ENOUGH_FIRST, _ENOUGH_INNER = 500, 1000  # one-token words wanted; measuring more only costs time
_ENOUGH_CHOICE = 100  # words of one cost, to be preferred over dearer ones
_REPEATS = 4  # a word is measured this many times over, so that a broken cost shows as a remainder
_ANCHOR = "the"


@dataclass(frozen=True, slots=True)
class Costs:
    """Words by their cost in tokens: `first` at a prompt's start, `inner` (with their space) after it."""

    overhead: int  # tokens of a request with an empty prompt
    first: Mapping[int, Sequence[str]]
    inner: Mapping[int, Sequence[str]]


def measure(sizer: Sizer, lexicon: Iterable[str]) -> Costs:
    """Count each word of `lexicon`, until there are plenty that cost one token.

    Raises:
        ConfigError: the tokenizer gives no word a fixed cost.
    """
    words = tuple(lexicon)
    overhead = sizer.count("")
    first: dict[int, list[str]] = {}
    for word in words:
        _note(first, sizer.count(word) - overhead, word)
        if len(first.get(1, ())) >= _ENOUGH_FIRST:
            break
    inner: dict[int, list[str]] = {}
    anchor = sizer.count(_ANCHOR)
    for word in (f" {word}" for word in words):
        cost, remainder = divmod(sizer.count(_ANCHOR + word * _REPEATS) - anchor, _REPEATS)
        _note(inner, 0 if remainder else cost, word)
        if len(inner.get(1, ())) >= _ENOUGH_INNER:
            break
    if not first or not inner:
        raise ConfigError(f"{sizer.describe}: no word has a fixed cost in tokens; give another --tokenizer")
    return Costs(overhead, first, inner)


def _note(by_cost: dict[int, list[str]], cost: int, word: str) -> None:
    if cost > 0:
        by_cost.setdefault(cost, []).append(word)


def _preferred(by_cost: Mapping[int, Sequence[str]]) -> tuple[int, Sequence[str]]:
    """The cheapest cost with a good choice of words, else the one with the most words."""
    plenty = [cost for cost, words in by_cost.items() if len(words) >= _ENOUGH_CHOICE]
    cost = min(plenty) if plenty else max(by_cost, key=lambda cost: len(by_cost[cost]))
    return cost, by_cost[cost]


class Composer:
    """Puts words together to a predicted count. `seed` decides which opening has which number."""

    def __init__(self, costs: Costs, seed: int) -> None:
        self.costs = costs
        self._first_cost, self._first = _preferred(costs.first)
        self._inner_cost, self._inner = _preferred(costs.inner)
        self._cost_of = {word: cost for cost, words in costs.inner.items() for word in words}
        self._radix = (len(self._first), *[len(self._inner)] * (OPENING - 1))
        rng = random.Random(f"{seed} openings")
        space = math.prod(self._radix)
        self._offset, self._step = rng.randrange(space), rng.randrange(1, space + 1)
        while math.gcd(self._step, space) != 1:
            self._step += 1

    @property
    def least(self) -> int:
        """The least size of a prompt, in tokens: the overhead and one word."""
        return self.costs.overhead + min(self.costs.first)

    def openings(self, words: int) -> int:
        """How many openings of so many words there are."""
        return math.prod(self._radix[:words])

    def opening(self, number: int, words: int) -> str:
        """The first `words` (at most OPENING) words of opening `number`; they all cost the same.

        number -> (number * step + offset) is one to one on the digits that pick the words, lowest first,
        because step has no factor in common with any radix.
        """
        digits = number * self._step + self._offset
        text = ""
        for at, radix in enumerate(self._radix[:words]):
            digits, digit = divmod(digits, radix)
            text += self._inner[digit] if at else self._first[digit]
        return text

    def begin(self, tokens: int, rng: random.Random) -> tuple[int, list[str]]:
        """(words of opening, words that follow) for a prompt of `tokens` beyond the overhead.

        Without any word of opening, the first of the words stands at the start.
        """
        for words in range(OPENING, 0, -1):
            rest = tokens - self._first_cost - (words - 1) * self._inner_cost
            if rest >= 0 and self._reach(rest) == rest:
                return words, self.fill(rest, rng)
        affordable = [cost for cost in self.costs.first if cost <= tokens]
        cost = max(affordable, key=lambda cost: (self._reach(tokens - cost) + cost, cost))
        return 0, [rng.choice(self.costs.first[cost]), *self.fill(tokens - cost, rng)]

    def fill(self, tokens: int, rng: random.Random) -> list[str]:
        """Inner words that cost `tokens` together, or as near below as words can."""
        rest = self._reach(tokens)
        bulk = max(0, rest - self._exact_below) // self._inner_cost if self._inner_cost > 1 else rest
        words = rng.choices(self._inner, k=bulk)
        rest -= bulk * self._inner_cost
        while rest > 0:
            fits = [
                cost for cost in self.costs.inner if cost <= rest and self._reach(rest - cost) == rest - cost
            ]
            cost = self._inner_cost if self._inner_cost in fits else max(fits)
            words.append(rng.choice(self.costs.inner[cost]))
            rest -= cost
        return words

    def mend(self, body: list[str], tokens: int, rng: random.Random) -> None:
        """Lengthen (`tokens` > 0) or shorten `body` in place by so many tokens, as nearly as words can."""
        while tokens < 0 and body and body[-1] in self._cost_of:
            tokens += self._cost_of[body.pop()]
        body += self.fill(max(tokens, 0), rng)

    @cached_property
    def _exact_below(self) -> int:
        """Sums of costs are tabled below this; past it they are reachable in steps of their divisor."""
        return 2 * max(self.costs.inner) ** 2

    @cached_property
    def _reachable(self) -> list[int]:
        """For each number of tokens below `_exact_below`, the largest sum of inner costs not above it."""
        sums = [True] + [False] * (self._exact_below - 1)
        for total in range(1, len(sums)):
            sums[total] = any(cost <= total and sums[total - cost] for cost in self.costs.inner)
        table: list[int] = []
        for total, reached in enumerate(sums):
            table.append(total if reached else table[-1])
        return table

    def _reach(self, tokens: int) -> int:
        if tokens < self._exact_below:
            return self._reachable[tokens]
        return tokens - tokens % math.gcd(*self.costs.inner)
