"""The sentences of a text with what each costs, drawn or sliced to a number of tokens.

Costs are in quarters of a token, since an estimate of four characters a token has no whole ones. What is given back as
`room` is what the sentences leave; the caller puts words there. Nothing is tokenized here.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Final

QUARTERS: Final = 4
_MISSES: Final = 3  # sentences tried that are too long for what is left
_TRIES: Final = 60  # sentences looked at for one that leaves whole tokens

Fills = Callable[[int], bool]  # can words make up exactly so many tokens?


class Passages:
    """Sentences and their costs, in quarter tokens, all above nothing."""

    def __init__(self, sentences: Sequence[str], costs: Sequence[int]) -> None:
        if len(sentences) != len(costs):
            raise ValueError(f"{len(sentences)} sentences and {len(costs)} costs")
        self._sentences = sentences
        self._costs = costs

    def __len__(self) -> int:
        return len(self._sentences)

    @cached_property
    def tokens(self) -> dict[str, int]:
        """Whole tokens that a sentence is sure to cost."""
        return {
            sentence: cost // QUARTERS for sentence, cost in zip(self._sentences, self._costs, strict=True)
        }

    def draw(self, room: int, rng: random.Random, fills: Fills) -> tuple[list[str], int]:
        """(sentences, quarter tokens left), each sentence once before any comes again.

        The number of sentences is a prime, so that steps of any length meet all of them. The last one is such
        that whole tokens are left, which words can make up, or there is none.
        """
        count, costs = len(self._sentences), self._costs
        at, step = rng.randrange(count), rng.randrange(1, max(2, count))
        chosen: list[int] = []
        misses = 0
        while misses < _MISSES:
            if costs[at] <= room:
                chosen.append(at)
                room -= costs[at]
            else:
                misses += 1
            at = (at + step) % count
        while chosen and not (room % QUARTERS == 0 and fills(room // QUARTERS)):
            room += costs[chosen.pop()]
            other = self._closing(at, step, room, fills)
            if other is not None:
                chosen.append(other)
                room -= costs[other]
        return [self._sentences[each] for each in chosen], room

    def _closing(self, at: int, step: int, room: int, fills: Fills) -> int | None:
        """A sentence that leaves whole tokens of `room`."""
        for _ in range(_TRIES):
            left = room - self._costs[at]
            if left >= 0 and left % QUARTERS == 0 and fills(left // QUARTERS):
                return at
            at = (at + step) % len(self._sentences)
        return None

    def slice(self, start: int, room: int, fills: Fills) -> tuple[str, int]:
        """(sentences in their order from number `start` on, quarter tokens left); from the first again after the last."""
        ends, costs = self._cumulated
        rounds, begin = 0, costs[start]
        if costs[-1] - begin <= room:
            rounds, room_left = divmod(room - (costs[-1] - begin), costs[-1])
            last = bisect_right(costs, room_left) - 1
            while last and not fills((room_left - costs[last]) // QUARTERS):
                last -= 1
            text = self._joined[ends[start] :] + self._joined * rounds + self._joined[: ends[last]]
            return text, room_left - costs[last]
        last = bisect_right(costs, begin + room) - 1
        while last > start and not fills((begin + room - costs[last]) // QUARTERS):
            last -= 1
        return self._joined[ends[start] : ends[last]], begin + room - costs[last]

    @cached_property
    def _joined(self) -> str:
        return "".join(self._sentences)

    @cached_property
    def _cumulated(self) -> tuple[list[int], list[int]]:
        """(where each sentence begins in the whole, in characters; what all before it cost), with the end of all."""
        return (
            list(accumulate(map(len, self._sentences), initial=0)),
            list(accumulate(self._costs, initial=0)),
        )
