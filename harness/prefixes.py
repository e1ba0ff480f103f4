"""Shared prefixes: `--shared-prefix 4x1000`, four texts of a thousand tokens, one of which begins each prompt.

What follows a prefix is as unique as any prompt, so a prefix cache finds the prefix and no more. Prefixes are part of a
prompt's size: of 1,500 tokens with a prefix of 1,000, 500 are the request's own. Which prefix a request has
follows from the seed and its number, whatever process sends it.
"""

import random
import re
from dataclasses import dataclass
from typing import Final, Self

from harness.errors import ConfigError
from harness.prompts import Composer
from harness.sizers import Sizer

MOST_COUNT: Final = 10_000
MOST_TOKENS: Final = 1_000_000
MOST_IN_ALL: Final = 10_000_000  # tokens: some 40 MB of text, which every worker is sent
_FORM: Final = re.compile(r"([0-9]{1,9})[xX]([0-9]{1,9})", re.ASCII)
_MENDS: Final = 6


@dataclass(frozen=True, slots=True)
class SharedPrefixes:
    """So many prefixes of so many tokens each."""

    count: int
    tokens: int

    @classmethod
    def parse(cls, text: str, option: str = "--shared-prefix") -> Self:
        """`4x1000`: four of a thousand tokens each.

        Raises:
            ConfigError: it is no such text, or beyond what can be built.
        """
        found = _FORM.fullmatch(text.strip())
        count, tokens = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= count <= MOST_COUNT or not 1 <= tokens <= MOST_TOKENS:
            raise ConfigError(
                f"{option} {text!r} is not COUNTxTOKENS, as 4x1000: "
                f"1 to {MOST_COUNT} prefixes of 1 to {MOST_TOKENS} tokens each"
            )
        if count * tokens > MOST_IN_ALL:
            raise ConfigError(
                f"{option} {text!r} is {count * tokens} tokens in all, and at most {MOST_IN_ALL} can be built; "
                "give fewer or shorter prefixes"
            )
        return cls(count, tokens)

    def describe(self) -> str:
        """The text that `parse` turns into this."""
        return f"{self.count}x{self.tokens}"

    def write(
        self, composer: Composer, sizer: Sizer, seed: int, option: str = "--shared-prefix"
    ) -> tuple[str, ...]:
        """The prefixes, each of exactly `tokens` by the sizer's count, the overhead not among them.

        Raises:
            ConfigError: words cannot make up that size.
        """
        rng = random.Random(f"{seed} prefixes")
        return tuple(self._one(composer, sizer, number, rng, option) for number in range(self.count))

    def _one(self, composer: Composer, sizer: Sizer, number: int, rng: random.Random, option: str) -> str:
        nearest = 0
        for _ in range(_MENDS):
            # From the far end of the numbers, so that no request of the same run has this opening.
            words, body = composer.begin(self.tokens, rng) if self._fits(composer) else (0, [""])
            opening = composer.opening(-1 - number, words)
            for _ in range(_MENDS):
                text = opening + "".join(body)
                nearest = sizer.count(text) - composer.costs.overhead
                if nearest == self.tokens:
                    return text
                composer.mend(body, self.tokens - nearest, rng)
        raise ConfigError(
            f"{option} {self.describe()!r}: words of this text make {nearest} tokens, not {self.tokens}; "
            "give another length"
        )

    def _fits(self, composer: Composer) -> bool:
        return self.tokens + composer.costs.overhead >= composer.least
