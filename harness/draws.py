"""What a seed and a request's number decide, the same in whatever process it is asked for, in about a microsecond."""

import math
import random
from typing import Final

from harness.distributions import Distribution

MASK: Final = (1 << 64) - 1


def mix(base: int, number: int) -> int:
    """64 bits that look random, the same for the same two numbers. Source: Steele et al., SplitMix64 (2014)."""
    bits = (base + (number + 1) * 0x9E3779B97F4A7C15) & MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
    return bits ^ (bits >> 31)


class Draws:
    """What a seed and a request's number decide: small numbers, the same wherever they are asked for."""

    def __init__(self, seed: int) -> None:
        self._prefix, self._template, self._output, self._order, self._words = (
            random.Random(f"{seed} {what} by number").getrandbits(64)
            for what in ("prefix", "template", "output", "order", "words")
        )
        self._rng = random.Random()

    def prefix(self, number: int) -> int:
        """Which prefix, modulo their number."""
        return mix(self._prefix, number)

    def template(self, number: int, templates: int) -> int | None:
        """Which of so many templates; None: there are none."""
        return mix(self._template, number) % templates if templates else None

    def output(self, number: int, outputs: Distribution) -> int:
        """How many tokens to answer."""
        self._rng.seed(mix(self._output, number))
        return outputs.sample(self._rng)

    def words(self, number: int) -> random.Random:
        """For the last words of a prompt; good until the next draw."""
        self._rng.seed(mix(self._words, number))
        return self._rng

    def place(self, number: int, places: int) -> int:
        """In order the first time round; then each round once through in an order of its own."""
        turn, at = divmod(number, places)
        if not turn:
            return at
        step, offset = divmod(mix(self._order, turn), places)
        step = step % places or 1
        while math.gcd(step, places) != 1:
            step += 1
        return (at * step + offset) % places
