"""An endless supply of requests, put together from what was sized before: nothing is tokenized here.

The rule: one call takes microseconds. `take` gives prompts that were counted when they were built, past their number
in another order and with a fresh opening of the same cost. `of_size` and `of_blocks` make prompts of a size that is
known only when the request is due (a trace), from the costs of words and sentences: predicted, not counted, and within
one in a hundred of what the tokenizer says.

A request that is asked for by its number is the same in every process that has all pieces, whichever sends it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from harness.distributions import Distribution
from harness.draws import Draws
from harness.prompts import OPENING, Composer, Costs
from harness.templates import Template

__all__ = ["BLOCK", "LATER", "Around", "Checks", "Draws", "Piece", "RequestSpec", "Sharing", "Workload"]

LATER: Final = 1_000_000  # more requests than one worker sends
BLOCK: Final = 512  # tokens of a block of a trace. Source: Mooncake's traces
_BLOCK_WORDS: Final = 4  # of a block's opening: 400**4 blocks are told apart by them


@dataclass(frozen=True, slots=True)
class RequestSpec:
    """One request to make. `prompt_tokens` is counted, overhead included; `output_tokens` is wanted."""

    prompt: str | tuple[int, ...]  # text, or token ids
    prompt_tokens: int
    requested_prompt_tokens: int
    output_tokens: int


class Sharing(NamedTuple):
    """Which numbers of all prompts are one worker's: `first`, `first + every`, ... after `skipped` of them.

    Those who join later than the run was shared out take the numbers of another from `LATER` on.
    """

    first: int = 0
    every: int = 1
    skipped: int = 0

    @classmethod
    def of(cls, nth: int, workers: int) -> "Sharing":
        """The `nth` of a run that was shared out among `workers`."""
        later, first = divmod(nth, workers)
        return cls(first, workers, later * LATER)

    @property
    def word(self) -> str:
        """Tells this worker's draws from the others'; nothing where there is but one."""
        return "" if self == Sharing() else f" {self.first + self.skipped} of {self.every}"


@dataclass(frozen=True, slots=True)
class Piece:
    """A prompt less its opening of `words` words, its prefix and its template."""

    words: int
    body: str
    tokens: int
    requested: int
    output: int | None = (
        None  # tokens to answer, where they belong to the prompt; None: drawn when it is sent
    )
    template: int | None = None  # which of the templates it was sized for


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around prompts, and what that costs; goes to the workers as it is."""

    prefixes: tuple[str, ...] = ()
    prefix_tokens: int = 0  # of each of them
    templates: tuple[Template, ...] = ()
    template_tokens: tuple[int, ...] = ()  # of each of them

    def inside(self, template: int | None) -> bool:
        """Whether the opening follows a shared prefix, and so begins with a space."""
        return bool(self.prefixes) and not (template is not None and self.templates[template].before)

    def text(self, draw: int, template: int | None, prompt: str) -> str:
        """The whole prompt; `draw` decides which prefix it has."""
        if template is not None:
            prompt = self.templates[template].around(prompt)
        return self.prefixes[draw % len(self.prefixes)] + prompt if self.prefixes else prompt

    def tokens(self, template: int | None) -> int:
        """What prefix and template cost together."""
        return self.prefix_tokens + (0 if template is None else self.template_tokens[template])


@dataclass(frozen=True, slots=True)
class Checks:
    """What `build` found out about its prompts."""

    built: int
    inexact: int  # built prompts that are not of the size asked, though as near as words could get
    raised: int  # sizes that a distribution's tail put below `least` and that were raised to it
    least: int  # tokens of the shortest possible prompt
    recycled: int  # prompts with a fresh opening that were counted ...
    recycled_inexact: int  # ... and of these, those whose count had changed
    distinct: int  # requests until an opening comes again: few only where prompts are of a few tokens


class Workload:
    """An endless supply of requests. Not for several threads; greenlets may share it."""

    def __init__(
        self,
        pieces: list[Piece],
        composer: Composer,
        outputs: Distribution,
        *,
        seed: int,
        checks: Checks | None = None,
        sharing: Sharing = Sharing(),  # noqa: B008  # a constant
        around: Around = Around(),
    ) -> None:
        self.checks = checks
        self.around = around
        self._pieces = pieces
        self._composer = composer
        self._outputs = outputs
        self._sharing = sharing
        self._order = random.Random(f"{seed} order{sharing.word}")
        self._output_sizes = random.Random(f"{seed} output sizes{sharing.word}")
        self._draws = Draws(seed)
        self._taken = 0

    @property
    def inexact(self) -> int:
        """Built prompts that missed the requested size; nobody knows on a worker."""
        return self.checks.inexact if self.checks else 0

    @property
    def costs(self) -> Costs:
        """What words cost, for whoever composes prompts elsewhere."""
        return self._composer.costs

    def pieces(self, sharing: Sharing) -> list[Piece]:
        """One worker's share of them, at least one; all of them for `Sharing()`."""
        return self._pieces[sharing.first :: sharing.every] or [
            self._pieces[sharing.first % len(self._pieces)]
        ]

    def take(self, number: int | None = None) -> RequestSpec:
        """The next request, or that of a `number` of the whole run. Tokenizes nothing; microseconds."""
        if number is None:
            own, self._taken = self._taken, self._taken + 1
            first, every, skipped = self._sharing
            piece = self._piece(own)
            number = first + every * (skipped + own)
            output = self._outputs.sample(self._output_sizes) if piece.output is None else piece.output
        else:
            piece = self._pieces[self._draws.place(number, len(self._pieces))]
            output = self._draws.output(number, self._outputs) if piece.output is None else piece.output
        inside = self.around.inside(piece.template)
        opening = self._composer.opening(number, piece.words, inside=inside)
        return RequestSpec(
            prompt=self.around.text(self._draws.prefix(number), piece.template, opening + piece.body),
            prompt_tokens=piece.tokens,
            requested_prompt_tokens=piece.requested,
            output_tokens=output,
        )

    def of_size(self, number: int, tokens: int, output: int | None = None) -> RequestSpec:
        """Request `number` with a prompt of `tokens`, overhead included, that was not built beforehand.

        A size below what one word needs gives the least there is. `output` None: drawn.
        """
        template = self._draws.template(number, len(self.around.templates))
        own = max(tokens - self.around.tokens(template), self._composer.least)
        text = self._composer.run(
            number,
            own - self._composer.costs.overhead,
            self._draws.words(number),
            inside=self.around.inside(template),
        )
        return RequestSpec(
            prompt=self.around.text(self._draws.prefix(number), template, text),
            prompt_tokens=own + self.around.tokens(template),
            requested_prompt_tokens=tokens,
            output_tokens=self._draws.output(number, self._outputs) if output is None else output,
        )

    def of_blocks(
        self, number: int, tokens: int, blocks: Sequence[int], output: int | None = None, size: int = BLOCK
    ) -> RequestSpec:
        """Request `number` with a prompt of `tokens` in blocks of `size`, the first with the overhead in it.

        The text of a block follows from its id, so prompts whose first blocks are the same begin with the same text.
        Blocks beyond `tokens` are left out; tokens beyond the blocks are the request's own. A prefix and
        templates have no place here: what is shared, the blocks say.
        """
        total = max(tokens, self._composer.least)
        left = total - self._composer.costs.overhead
        room = max(1, size - self._composer.costs.overhead)
        text: list[str] = []
        for block in blocks:
            if left <= 0:
                break
            text.append(self._block(block, min(room, left), inside=bool(text)))
            left, room = left - room, size
        if left > 0:
            text.append(self._composer.run(number, left, self._draws.words(number), inside=bool(text)))
        return RequestSpec(
            prompt="".join(text),
            prompt_tokens=total,
            requested_prompt_tokens=tokens,
            output_tokens=self._draws.output(number, self._outputs) if output is None else output,
        )

    def _block(self, block: int, tokens: int, *, inside: bool) -> str:
        rng = self._draws.words(block)
        return self._composer.run(block, tokens, rng, words=_BLOCK_WORDS, inside=inside)

    def text(self, number: int, tokens: int) -> str:
        """Text of about `tokens` with no overhead, for a later message of a chat; unique by its `number`."""
        return self._composer.run(number, max(1, tokens), self._draws.words(number), words=OPENING)

    def _piece(self, number: int) -> Piece:
        """In order the first time round; then each round in a fresh order, shuffled one step at a time."""
        pieces = self._pieces
        turn, at = divmod(number, len(pieces))
        if turn:
            other = self._order.randrange(at, len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        return pieces[at]
