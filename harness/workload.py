"""What a run asks for: prompts of exact size, no two beginning alike, and how many tokens to answer.

The rule: tokenizing happens in `build`, before load. Each prompt is counted there by the sizer, mended
until the count is what was asked, and kept with its count. `Workload.take` only puts strings together.

A run of known length gets all its prompts built. A timed run gets a pool; past its end, and past the end
of a known count, prompts come back in shuffled order with a fresh opening of the same cost. That they keep
their count is checked on a sample in `build`. A prefix cache finds nothing in them; a cache that reuses
text from the middle of a prompt (llama.cpp's --cache-reuse) would.

The same seed and options give the same requests in the same order. Workers of one run share out what one process would
build (`Sharing`). The pool's size depends on sizes, never on how fast this machine is.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from harness.distributions import Distribution
from harness.errors import ConfigError
from harness.prompts import Composer, Costs, measure
from harness.sizers import Sizer
from harness.words import LEXICON

POOL: Final = 512  # prompts of a timed run's pool, fewer where they are long:
POOL_TOKENS: Final = 300_000  # tokens in all, some seconds' work for a slow tokenizer
POOL_LEAST: Final = 8
LATER: Final = 1_000_000  # more requests than one worker sends
_MENDS: Final = 4  # of one text, before another is drawn
_DRAWS: Final = 3
_SAMPLE: Final = 16  # recycled prompts counted in `build`


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
    """A prompt less its opening of `words` words."""

    words: int
    body: str
    tokens: int
    requested: int


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
    ) -> None:
        self.checks = checks
        self._pieces = pieces
        self._composer = composer
        self._outputs = outputs
        self._sharing = sharing
        self._order = random.Random(f"{seed} order{sharing.word}")
        self._output_sizes = random.Random(f"{seed} output sizes{sharing.word}")
        self._taken = 0

    @property
    def inexact(self) -> int:
        """Built prompts whose count is not what was asked."""
        return self.checks.inexact if self.checks else 0

    @property
    def costs(self) -> Costs:
        """What words cost, for those who put the same prompts together elsewhere."""
        return self._composer.costs

    def pieces(self, sharing: Sharing) -> list[Piece]:
        """One worker's share of them, at least one."""
        return self._pieces[sharing.first :: sharing.every] or [
            self._pieces[sharing.first % len(self._pieces)]
        ]

    def take(self) -> RequestSpec:
        """The next request. Tokenizes nothing; microseconds."""
        number, self._taken = self._taken, self._taken + 1
        piece = self._piece(number)
        first, every, skipped = self._sharing
        opening = self._composer.opening(first + every * (skipped + number), piece.words)
        return RequestSpec(
            prompt=opening + piece.body,
            prompt_tokens=piece.tokens,
            requested_prompt_tokens=piece.requested,
            output_tokens=self._outputs.sample(self._output_sizes),
        )

    def _piece(self, number: int) -> Piece:
        """In order the first time round; then each round in a fresh order, shuffled one step at a time."""
        pieces = self._pieces
        turn, at = divmod(number, len(pieces))
        if turn:
            other = self._order.randrange(at, len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        return pieces[at]


def build(
    prompt_sizes: Distribution,
    output_sizes: Distribution,
    sizer: Sizer,
    *,
    seed: int,
    count: int | None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Workload:
    """Build and count the prompts: `count` of them, or a pool where that is None (a timed run).

    `progress(done, total)` is called after each prompt; it may yield to other greenlets.

    Raises:
        ConfigError: a size below what the overhead leaves room for, or the sizer's own failure.
    """
    composer = Composer(measure(sizer, LEXICON), seed)
    if prompt_sizes.asked_least < composer.least:
        raise ConfigError(
            f"--prompt-tokens {prompt_sizes.describe()!r}: {composer.costs.overhead} tokens go to special tokens "
            f"and the chat template before the first word, so the least is {composer.least}"
        )
    sizes, words = random.Random(f"{seed} prompt sizes"), random.Random(f"{seed} words")
    total = max(1, _pool(prompt_sizes) if count is None else count)
    pieces: list[Piece] = []
    raised = 0
    for number in range(total):
        drawn = prompt_sizes.sample(sizes)
        raised += drawn < composer.least
        pieces.append(_piece(composer, sizer, number, max(drawn, composer.least), words))
        progress(number + 1, total)
    checks = _check(pieces, composer, sizer, raised)
    return Workload(pieces, composer, output_sizes, seed=seed, checks=checks)


def _pool(sizes: Distribution) -> int:
    return min(POOL, max(POOL_LEAST, int(POOL_TOKENS / sizes.mean)))


def _piece(composer: Composer, sizer: Sizer, number: int, size: int, rng: random.Random) -> Piece:
    """A prompt of `size` tokens by the sizer's count, or the nearest that a few tries come to."""
    tries: list[Piece] = []
    for _ in range(_DRAWS):
        words, body = composer.begin(size - composer.costs.overhead, rng)
        opening = composer.opening(number, words)
        for _ in range(_MENDS):
            text = "".join(body)
            tries.append(Piece(words, text, sizer.count(opening + text), size))
            if tries[-1].tokens == size:
                return tries[-1]
            composer.mend(body, size - tries[-1].tokens, rng)
    return min(tries, key=lambda piece: abs(piece.tokens - size))


def _check(pieces: list[Piece], composer: Composer, sizer: Sizer, raised: int) -> Checks:
    """Sum up, and count a sample of prompts as they will come back: with openings of later numbers."""
    sample = [piece for piece in pieces[:: max(1, len(pieces) // _SAMPLE)] if piece.words][:_SAMPLE]
    changed = sum(
        sizer.count(composer.opening(len(pieces) + at, piece.words) + piece.body) != piece.tokens
        for at, piece in enumerate(sample)
    )
    return Checks(
        built=len(pieces),
        inexact=sum(piece.tokens != piece.requested for piece in pieces),
        raised=raised,
        least=composer.least,
        recycled=len(sample),
        recycled_inexact=changed,
        distinct=min(composer.openings(piece.words) for piece in pieces),
    )
