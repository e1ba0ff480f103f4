"""Prompts of an exact number of tokens, made of words and sentences whose cost was measured once.

Most tokenizers cut at spaces and punctuation, so a word or a sentence costs the same wherever it stands, and a
prompt's count is the overhead (special tokens, chat template) plus its first word (nothing before it) plus the rest
(a space or the like before each). `measure` finds these costs with the tokenizer that will judge them; words whose cost
is no whole number depend on their neighbours and are left out, sentences are counted in quarters. `Composer` then adds
up. It is fast and nearly always right, but it only predicts: `harness.workload` counts every prompt it builds.

A prompt is an opening, sentences (`harness.passages`) and some words that make up the last few tokens. The opening is
drawn by number from all sequences of OPENING words: no two numbers give the same sequence until all have been
used, and numbers in a row differ in the very first word. So a prefix cache finds nothing beyond the template.
"""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from harness.draws import MASK, mix
from harness.errors import ConfigError
from harness.passages import QUARTERS, Passages
from harness.record import TokenSource
from harness.sizers import Sizer
from harness.texts import Text, find

OPENING: Final = 8  # words: over 1e20 sequences with the usual lexicon
_ENOUGH: Final = 400  # one-token words wanted; measuring more only costs time
_ENOUGH_CHOICE: Final = 100  # words of one cost, to be preferred over dearer ones
_SPARE: Final = 8  # words that may be taken off to reach a size from below


@dataclass(frozen=True, slots=True)
class Costs:
    """What words and sentences cost: all that composing needs, and small enough to be sent to a worker."""

    overhead: int  # tokens of a request with an empty prompt
    first: Mapping[int, Sequence[str]]  # words by their cost in tokens at a prompt's start ...
    inner: Mapping[int, Sequence[str]]  # ... and with their space after it
    text: str = "en"  # `harness.texts`: whose sentences they are
    sentences: tuple[int, ...] = ()  # quarter tokens of each; none: prompts are of words alone


def measure_text(sizer: Sizer, text: Text) -> Costs:
    """Count the words and the sentences of a text: some 1,600 short counts.

    Raises:
        ConfigError: the tokenizer gives no word a fixed cost.
    """
    costs = measure(sizer, text.lexicon, text.joint)
    anchor = text.lexicon[0]
    base = sizer.count(anchor)
    # An estimate has fractions of a token; a tokenizer has none where a sentence ends and the next begins.
    times = QUARTERS if sizer.source is TokenSource.ESTIMATED else 1

    def cost(sentence: str) -> int:
        begins = sentence[0].isalnum()  # a text's very first, that nothing stands before
        tokens = sizer.count(("" if begins else anchor) + sentence * times)
        return (tokens - (costs.overhead if begins else base)) * QUARTERS // times

    sentences = tuple(map(cost, text.sentences()))
    return replace(costs, text=text.name, sentences=sentences if min(sentences) > 0 else ())


def measure(sizer: Sizer, lexicon: Iterable[str], joint: str = " ") -> Costs:
    """Count each word of `lexicon`, until there are plenty that cost one token.

    Raises:
        ConfigError: the tokenizer gives no word a fixed cost.
    """
    words = tuple(lexicon)
    overhead = sizer.count("")
    first: dict[int, list[str]] = {}
    for word in words:
        _note(first, sizer.count(word) - overhead, word)
        if len(first.get(1, ())) >= _ENOUGH:
            break
    inner: dict[int, list[str]] = {}
    anchor = sizer.count(words[0])
    for word in (f"{joint}{word}" for word in words):
        # Measured four times over, so that a broken cost shows as a remainder.
        cost, remainder = divmod(sizer.count(words[0] + word * QUARTERS) - anchor, QUARTERS)
        _note(inner, 0 if remainder else cost, word)
        if len(inner.get(1, ())) >= _ENOUGH:
            break
    if not first or not inner:
        other = "" if sizer.source is TokenSource.ESTIMATED else "another "
        raise ConfigError(f"{sizer.describe}: no word has a fixed cost in tokens; give {other}--tokenizer")
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
    """Puts words and sentences together to a predicted count. `seed` decides which opening has which number."""

    def __init__(self, costs: Costs, seed: int) -> None:
        self.costs = costs
        self._first_cost, self._first = _preferred(costs.first)
        self._inner_cost, self._inner = _preferred(costs.inner)
        self._radix = (len(self._first), *[len(self._inner)] * (OPENING - 1))
        rng = random.Random(f"{seed} openings")
        space = len(self._inner) * math.prod(self._radix)  # of openings inside a text as well
        self._offset, self._step = rng.randrange(space), rng.randrange(1, space + 1)
        while math.gcd(self._step, space) != 1:
            self._step += 1

    @property
    def least(self) -> int:
        """The least size of a prompt, in tokens: the overhead and one word."""
        return self.costs.overhead + min(self.costs.first)

    @property
    def unique(self) -> bool:
        """Whether prompts begin with an opening of their own."""
        return find(self.costs.text).unique

    def openings(self, words: int) -> int:
        """How many openings of so many words there are."""
        return math.prod(self._radix[:words])

    def opening(self, number: int, words: int, *, inside: bool = False) -> str:
        """The first `words` (at most OPENING) words of opening `number`; they all cost the same.

        number -> (number * step + offset) is one to one on the digits that pick the words, lowest first,
        because step has no factor in common with any radix. `inside`: it follows a text, not a prompt's start.
        """
        digits = number * self._step + self._offset
        text = ""
        for at in range(words):
            pool = self._inner if at or inside else self._first
            digits, digit = divmod(digits, len(pool))
            text += pool[digit]
        return text

    def begin(self, tokens: int, rng: random.Random, *, inside: bool = False) -> tuple[int, list[str]]:
        """(words of opening, sentences and words that follow) for a prompt of `tokens` beyond the overhead.

        Without any word of opening, the first of the words stands at the start, or after a text if `inside`.
        """
        words, rest = self._share(tokens, inside=inside)
        if words:
            return words, self._body(rest, rng)
        if inside:
            return 0, self.fill(tokens, rng)
        affordable = [cost for cost in self.costs.first if cost <= tokens] or [min(self.costs.first)]
        cost = max(affordable, key=lambda cost: (self._reach(max(0, tokens - cost)) + cost, cost))
        return 0, [rng.choice(self.costs.first[cost]), *self.fill(max(0, tokens - cost), rng)]

    def run(
        self, number: int, tokens: int, rng: random.Random, *, words: int = OPENING, inside: bool = False
    ) -> str:
        """A whole text of about `tokens`, the same for the same number and draws; microseconds.

        Its sentences are a slice of the text's, put between the opening of that number and the last few words.
        """
        words, rest = self._share(tokens, inside=inside, most=words) if self.unique else (0, tokens)
        if words == 0 and self.unique:
            return "".join(self.begin(tokens, rng, inside=inside)[1])
        opening = self.opening(number, words, inside=inside)
        if self._passages is None:
            return opening + "".join(self.fill(rest, rng))
        start = mix(self._offset & MASK, number) % len(self._passages) if self.unique else 0
        text, room = self._passages.slice(start, QUARTERS * rest, lambda left: self._reach(left) == left)
        return opening + text + "".join(self.fill(room // QUARTERS, rng))

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
        spare = _SPARE
        while (
            body and body[-1] in self._cost_of and (tokens < 0 or (spare and self._reach(tokens) != tokens))
        ):
            spare -= tokens >= 0
            tokens += self._cost_of[body.pop()]
        body += self.fill(max(tokens, 0), rng)

    def _share(self, tokens: int, *, inside: bool, most: int = OPENING) -> tuple[int, int]:
        """(words of opening, tokens left for the rest): as many words as leave a rest that words can reach."""
        first = self._inner_cost if inside else self._first_cost
        for words in range(most, 0, -1):
            rest = tokens - first - (words - 1) * self._inner_cost
            if rest >= 0 and self._reach(rest) == rest:
                return words, rest
        return 0, tokens

    def _body(self, tokens: int, rng: random.Random) -> list[str]:
        """Sentences as long as they fit, and words for what is left."""
        if self._passages is None:
            return self.fill(tokens, rng)
        sentences, room = self._passages.draw(QUARTERS * tokens, rng, lambda left: self._reach(left) == left)
        return [*sentences, *self.fill(room // QUARTERS, rng)]

    @cached_property
    def _passages(self) -> Passages | None:
        if not self.costs.sentences:
            return None
        return Passages(find(self.costs.text).sentences(), self.costs.sentences)

    @cached_property
    def _cost_of(self) -> dict[str, int]:
        words = {word: cost for cost, words in self.costs.inner.items() for word in words}
        return words if self._passages is None else words | self._passages.tokens

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
