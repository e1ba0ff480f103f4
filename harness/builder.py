"""Builds prompts: composes each, counts it, and mends it until the count is what was asked."""

import random
from dataclasses import dataclass, replace
from typing import Final

from harness.draws import Draws
from harness.prompts import Composer
from harness.sizers import Sizer
from harness.supply import Around, Checks, Piece
from harness.texts import numbers

__all__ = ["Builder", "costs_around"]

_MENDS: Final = 4  # of one text, before another is drawn
_DRAWS: Final = 3
_SAMPLE: Final = 16  # recycled prompts counted at the end


def costs_around(around: Around) -> list[int]:
    """What prefix and template cost together, for each template."""
    return [around.tokens(at) for at in range(len(around.templates))] or [around.tokens(None)]


@dataclass(frozen=True, slots=True)
class Builder:
    """Composes and counts."""

    composer: Composer
    sizer: Sizer
    around: Around
    draws: Draws
    words: random.Random
    cut: dict[tuple[int, int | None], Piece]  # sequences of numbers, the same for every request of a size

    @property
    def least(self) -> int:
        """Tokens of the shortest prompt that any template and prefix allow."""
        first = self.composer.costs.inner if self.around.prefixes else self.composer.costs.first
        return self.composer.costs.overhead + min(first) + max(costs_around(self.around))

    def count(self, number: int, piece: Piece) -> int:
        """Tokens of a piece with the opening and the prefix of a number."""
        opening = self.composer.opening(number, piece.words, inside=self.around.inside(piece.template))
        return self.sizer.count(
            self.around.text(self.draws.prefix(number), piece.template, opening + piece.body)
        )

    def piece(self, number: int, size: int, output: int | None) -> Piece:
        """A prompt of `size` tokens by the sizer's count, or the nearest that a few tries come to."""
        template = self.draws.template(number, len(self.around.templates))
        if not self.composer.unique:
            return replace(self._cut(size, template), output=output)
        room = size - self.composer.costs.overhead - self.around.tokens(template)
        tries: list[Piece] = []
        for _ in range(_DRAWS):
            words, body = self.composer.begin(room, self.words, inside=self.around.inside(template))
            for _ in range(_MENDS):
                piece = Piece(words, "".join(body), 0, size, output, template)
                tries.append(replace(piece, tokens=self.count(number, piece)))
                if tries[-1].tokens == size:
                    return tries[-1]
                self.composer.mend(body, size - tries[-1].tokens, self.words)
        return min(tries, key=lambda piece: abs(piece.tokens - size))

    def _cut(self, size: int, template: int | None) -> Piece:
        """The sequence of numbers at that size."""
        if (size, template) not in self.cut:
            body = numbers.cut(lambda text: self.sizer.count(self.around.text(0, template, text)), size)
            piece = Piece(0, body, 0, size, None, template)
            self.cut[size, template] = replace(piece, tokens=self.count(0, piece))
        return self.cut[size, template]

    def check(self, pieces: list[Piece], raised: int) -> Checks:
        """Sum up, and count a sample of prompts as they will come back: with openings of later numbers."""
        sample = [piece for piece in pieces[:: max(1, len(pieces) // _SAMPLE)] if piece.words][:_SAMPLE]
        changed = sum(self.count(len(pieces) + at, piece) != piece.tokens for at, piece in enumerate(sample))
        return Checks(
            built=len(pieces),
            inexact=sum(piece.tokens != piece.requested for piece in pieces),
            raised=raised,
            least=self.least,
            recycled=len(sample),
            recycled_inexact=changed,
            distinct=min(self.composer.openings(piece.words) for piece in pieces),
        )
