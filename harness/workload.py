"""What a run asks for: prompts of exact size, no two beginning alike, and how many tokens to answer.

The rule: tokenizing happens in `build`, before load. Each prompt is counted there by the sizer, mended
until the count is what was asked, and kept with its count. `Workload.take` (`harness.supply`) only puts strings
together.

A run of known length gets all its prompts built. A timed run gets a pool; past its end, and past the end
of a known count, prompts come back in shuffled order with a fresh opening of the same cost. That they keep
their count is checked on a sample in `build`. A prefix cache finds nothing in them; a cache that reuses
text from the middle of a prompt (llama.cpp's --cache-reuse) may find a sentence. Prompts of `--text numbers` are
all the same.

The same seed and options give the same requests in the same order. Workers of one run share out what one process would
build (`Sharing`). The pool's size depends on sizes, never on how fast this machine is.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from harness.builder import Builder, costs_around
from harness.distributions import Distribution
from harness.draws import Draws
from harness.errors import ConfigError
from harness.prefixes import SharedPrefixes
from harness.prompts import Composer, Costs, measure_text
from harness.sizers import Sizer
from harness.supply import LATER, Around, Checks, Piece, RequestSpec, Sharing, Workload
from harness.templates import Template
from harness.texts import find

__all__ = ["LATER", "POOL", "Around", "Checks", "Piece", "RequestSpec", "Sharing", "Workload", "build"]

POOL: Final = 512  # prompts of a timed run's pool, fewer where they are long:
POOL_TOKENS: Final = 300_000  # tokens in all, some seconds' work for a slow tokenizer
POOL_LEAST: Final = 8

Pairs = Callable[[random.Random], tuple[int, int]]  # draws (prompt, output) tokens that belong together


def build(
    prompt_sizes: Distribution,
    output_sizes: Distribution,
    sizer: Sizer,
    *,
    seed: int,
    count: int | None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    text: str = "en",
    pairs: Pairs | None = None,
    prefixes: SharedPrefixes | None = None,
    templates: Sequence[Template] = (),
    costs: Costs | None = None,
) -> Workload:
    """Build and count the prompts: `count` of them, or a pool where that is None (a timed run).

    `progress(done, total)` is called after each prompt; it may yield to other greenlets. With `pairs`, sizes are drawn
    from them and not from the distributions. `costs`, of the same text and sizer, saves measuring them again.

    Raises:
        ConfigError: a size below what the overhead leaves room for, or the sizer's own failure.
    """
    composer = Composer(costs or measure_text(sizer, find(text)), seed)
    around = _around(composer, sizer, seed, prefixes, tuple(templates))
    builder = Builder(composer, sizer, around, Draws(seed), random.Random(f"{seed} words"), {})
    if pairs is None and prompt_sizes.asked_least < builder.least:
        raise ConfigError(_too_small(prompt_sizes, composer, builder.least, around))
    sizes = random.Random(f"{seed} prompt sizes")
    drawn: list[tuple[int, int | None]]
    if pairs is None:
        total = max(1, _pool(prompt_sizes) if count is None else count)
        drawn = [(prompt_sizes.sample(sizes), None) for _ in range(total)]
    else:
        drawn = list(_pool_of(pairs, sizes) if count is None else _drawn(pairs, sizes, max(1, count)))
    pieces: list[Piece] = []
    for size, output in drawn:
        pieces.append(builder.piece(len(pieces), max(size, builder.least), output))
        progress(len(pieces), len(drawn))
    checks = builder.check(pieces, raised=sum(size < builder.least for size, _ in drawn))
    return Workload(pieces, composer, output_sizes, seed=seed, checks=checks, around=around)


def _pool(sizes: Distribution) -> int:
    return min(POOL, max(POOL_LEAST, int(POOL_TOKENS / sizes.mean)))


def _drawn(pairs: Pairs, rng: random.Random, count: int) -> Iterator[tuple[int, int]]:
    return (pairs(rng) for _ in range(count))


def _pool_of(pairs: Pairs, rng: random.Random) -> Iterator[tuple[int, int]]:
    """A pool's worth; how many follows from the sizes themselves."""
    tokens = 0
    for number, pair in enumerate(_drawn(pairs, rng, POOL)):
        tokens += pair[0]
        if number >= POOL_LEAST and tokens > POOL_TOKENS:
            return
        yield pair


def _too_small(sizes: Distribution, composer: Composer, least: int, around: Around) -> str:
    places = ["special tokens", "the chat template"]
    places += ["--shared-prefix"] if around.prefixes else []
    places += ["--template"] if around.templates else []
    spent = composer.costs.overhead + max(costs_around(around))
    return (
        f"--prompt-tokens {sizes.describe()!r}: {spent} tokens go to {', '.join(places[:-1])} and {places[-1]} "
        f"before the first word, so the least is {least}"
    )


def _around(
    composer: Composer,
    sizer: Sizer,
    seed: int,
    prefixes: SharedPrefixes | None,
    templates: tuple[Template, ...],
) -> Around:
    """Prefixes written, and templates measured around a prompt like those that will be in them."""
    if prefixes and not composer.unique:
        raise ConfigError(
            f"--shared-prefix with --text {composer.costs.text}: such prompts are all the same as it is; give one of both"
        )
    return Around(
        prefixes=prefixes.write(composer, sizer, seed) if prefixes else (),
        prefix_tokens=prefixes.tokens if prefixes else 0,
        templates=templates,
        template_tokens=_template_tokens(composer, sizer, seed, templates),
    )


def _template_tokens(
    composer: Composer, sizer: Sizer, seed: int, templates: tuple[Template, ...]
) -> tuple[int, ...]:
    """What each costs around a prompt like those that will be in it."""
    if not templates:
        return ()
    sample = composer.run(0, 64, random.Random(f"{seed} sample"))
    bare = sizer.count(sample)
    return tuple(sizer.count(template.around(sample)) - bare for template in templates)
