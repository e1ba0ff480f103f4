"""Prompts of random token ids: their length is exact by construction, and no tokenizer is needed.

Each prompt begins with ids of its own (`OPENING`), so that a prefix cache finds nothing; the rest is a slice of
one long row drawn beforehand, since drawing 20,000 ids for a request would hold up the load. The same seed gives
the same prompts, and a request asked for by its number is the same in every process. Ids are taken from a range that
the user knows to be words of the model's vocabulary: special tokens usually lie at its ends.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

from harness.distributions import Distribution
from harness.draws import mix
from harness.prefixes import SharedPrefixes
from harness.supply import BLOCK, RequestSpec

OPENING: Final = 8  # ids: 30,000 to the 8th prompts before one opening is likely to come again
_ROW: Final = 65_536

Ids = tuple[int, ...]


class IdPrompts:
    """An endless supply of requests whose prompts are ids from `low` to `high`, both included."""

    inexact = 0

    def __init__(
        self,
        prompts: Distribution,
        outputs: Distribution,
        ids: tuple[int, int],
        seed: int | str,
        *,
        common: int | str | None = None,
        pairs: Callable[[random.Random], tuple[int, int]] | None = None,
        prefixes: SharedPrefixes | None = None,
    ) -> None:
        """`seed` is this worker's own, `common` all workers' (what is asked for by number, and prefixes); None: `seed`."""
        low, high = ids
        self._ids = range(low, high + 1)
        self._prompts = prompts
        self._outputs = outputs
        self._pairs = pairs
        self._sizes = random.Random(f"{seed} prompt sizes")
        self._output_sizes = random.Random(f"{seed} output sizes")
        self._draws = random.Random(f"{seed} ids")
        self._row = tuple(self._draws.choices(self._ids, k=_ROW))
        whole = random.Random(f"{seed if common is None else common} ids by number")
        self._base = whole.getrandbits(64)
        self._common_row = tuple(whole.choices(self._ids, k=_ROW))
        self._by_number = random.Random()
        count, tokens = (prefixes.count, prefixes.tokens) if prefixes else (0, 0)
        self._prefixes = [tuple(whole.choices(self._ids, k=tokens)) for _ in range(count)]

    def take(self, number: int | None = None) -> RequestSpec:
        """The next request, or that of a `number` of the whole run; microseconds."""
        if number is None:
            size, output = self._lengths(self._sizes, self._output_sizes)
            return self._spec(size, output, self._draws, self._row)
        self._by_number.seed(mix(self._base, number))
        size, output = self._lengths(self._by_number, self._by_number)
        return self._spec(size, output, self._by_number, self._common_row)

    def of_size(self, number: int, tokens: int, output: int | None = None) -> RequestSpec:
        """Request `number` with a prompt of `tokens`; `output` None: drawn."""
        self._by_number.seed(mix(self._base, number))
        answer = self._outputs.sample(self._by_number) if output is None else output
        return self._spec(tokens, answer, self._by_number, self._common_row)

    def of_blocks(
        self, number: int, tokens: int, blocks: Sequence[int], output: int | None = None, size: int = BLOCK
    ) -> RequestSpec:
        """Request `number` of `tokens` in blocks of `size`, the ids of each following from the block's own id."""
        ids: list[int] = []
        for block in blocks[: -(-tokens // size)]:
            self._by_number.seed(mix(self._base + 1, block))
            ids += self._of(min(size, tokens - len(ids)), self._by_number, self._common_row)
        self._by_number.seed(mix(self._base, number))
        answer = self._outputs.sample(self._by_number) if output is None else output
        ids += self._of(max(0, tokens - len(ids)), self._by_number, self._common_row)
        return RequestSpec(tuple(ids), len(ids), tokens, answer)

    def _lengths(self, sizes: random.Random, outputs: random.Random) -> tuple[int, int]:
        if self._pairs is not None:
            return self._pairs(sizes)
        return self._prompts.sample(sizes), self._outputs.sample(outputs)

    def _spec(self, tokens: int, output: int, rng: random.Random, row: Ids) -> RequestSpec:
        prefix = rng.choice(self._prefixes) if self._prefixes else ()
        size = max(tokens, len(prefix) + 1)  # a prefix alone would be no request of its own
        return RequestSpec((*prefix, *self._of(size - len(prefix), rng, row)), size, tokens, output)

    def _of(self, size: int, rng: random.Random, row: Ids) -> Ids:
        """So many ids: an opening, and a slice of the row."""
        opening = min(OPENING, size)
        start = rng.randrange(len(row))
        body = row[start : start + size - opening]
        while len(body) < size - opening:  # past the row's end, or a prompt longer than the row
            body += row[: size - opening - len(body)]
        return (*rng.choices(self._ids, k=opening), *body)
