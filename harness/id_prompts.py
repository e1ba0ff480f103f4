"""Prompts of random token ids: their length is exact by construction, and no tokenizer is needed.

Each prompt begins with ids of its own (`OPENING`), so that a prefix cache finds nothing; the rest is a slice of
one long row drawn beforehand, since drawing 20,000 ids for a request would hold up the load. The same seed gives
the same prompts. Ids are taken from a range that the user knows to be words of the model's vocabulary: special
tokens usually lie at its ends.
"""

import random
from typing import Final

from harness.distributions import Distribution
from harness.workload import RequestSpec

OPENING: Final = 8  # ids: 30,000 to the 8th prompts before one opening is likely to come again
_ROW: Final = 65_536


class IdPrompts:
    """An endless supply of requests whose prompts are ids from `low` to `high`, both included."""

    inexact = 0

    def __init__(
        self, prompts: Distribution, outputs: Distribution, ids: tuple[int, int], seed: int | str
    ) -> None:
        low, high = ids
        self._ids = range(low, high + 1)
        self._prompts = prompts
        self._outputs = outputs
        self._sizes = random.Random(f"{seed} prompt sizes")
        self._output_sizes = random.Random(f"{seed} output sizes")
        self._draws = random.Random(f"{seed} ids")
        self._row = tuple(self._draws.choices(self._ids, k=_ROW))

    def take(self) -> RequestSpec:
        """The next request; microseconds."""
        size = self._prompts.sample(self._sizes)
        opening = min(OPENING, size)
        start = self._draws.randrange(len(self._row))
        body = self._row[start : start + size - opening]
        while len(body) < size - opening:  # past the row's end, or a prompt longer than the row
            body += self._row[: size - opening - len(body)]
        return RequestSpec(
            prompt=(*self._draws.choices(self._ids, k=opening), *body),
            prompt_tokens=size,
            requested_prompt_tokens=size,
            output_tokens=self._outputs.sample(self._output_sizes),
        )
