"""What menus are put together of, by the process that directs a run and by its workers alike (`harness.menus`).

Supplies without what they give, prompts of ids, datasets and what of them is a worker's.
"""

import atexit
import os
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from harness import mix
from harness.conversation import Chats
from harness.datasets.dataset import Dataset
from harness.datasets.opening import from_lines, open_dataset
from harness.datasets.order import Order, Share
from harness.datasets.stream import Stream
from harness.errors import ConfigError
from harness.id_prompts import IdPrompts
from harness.joint import Pairs
from harness.menu import Menu, Numbers, Supply
from harness.recipes import PROBES, Recipe
from harness.settings import Settings
from harness.supply import Sharing

__all__ = [
    "TRAVELS",
    "Progress",
    "assemble",
    "dataset_of",
    "fits",
    "ids_of",
    "own_seed",
    "shared",
    "supply_of",
]

TRAVELS: Final = 64_000_000  # bytes of a dataset

Progress = Callable[[int, int], None]


def assemble(
    settings: Settings,
    made: Sequence[tuple[Recipe, Supply]],
    numbers: Numbers,
    seed: int,
    streams: Mapping[str, Stream],
) -> Menu:
    """The menu of these supplies."""
    supplies: dict[int, tuple[Supply, ...]] = {}
    for recipe, supply in made:
        supplies[recipe.level] = (*supplies.get(recipe.level, ()), supply)
    content = settings.content
    return Menu(
        supplies,
        numbers,
        seed,
        mix.mixture(content.parts) if content.parts else None,
        content.think,
        random.Random(f"{seed} think {numbers.first}"),
        streams,
    )


def supply_of(settings: Settings, recipe: Recipe, seed: int, context: int | None) -> Supply:
    """A supply that has nothing to give yet.

    Raises:
        ConfigError: its chats outgrow the server.
    """
    content = settings.content
    chats = None
    if content.turns is not None and recipe.dataset is None and recipe.level != PROBES:
        chats = Chats(content.turns, content.turn_sizes or recipe.prompt, own_seed(seed, recipe))
        chats.check(recipe.prompt, recipe.output, context)
    return Supply(
        outputs=recipe.output,
        seed=own_seed(seed, recipe),
        name=recipe.name,
        chats=chats,
        turns=content.turns if recipe.dataset else None,
        busts_cache=content.busts_cache,
    )


def own_seed(seed: int, recipe: Recipe) -> int:
    """Parts and levels draw for themselves; where there is one of each, as ever."""
    if recipe.name is None and not recipe.level:
        return seed
    return random.Random(f"{seed} {recipe.level} {recipe.name}").getrandbits(63)


def ids_of(
    ids: tuple[int, int], recipe: Recipe, seed: int, sharing: Sharing, pairs: Pairs | None
) -> IdPrompts:
    """Prompts of ids, this worker's own; the same in all where they are asked for by number."""
    own = own_seed(seed, recipe)
    return IdPrompts(
        recipe.prompt,
        recipe.output,
        ids,
        f"{own}{sharing.word}" if sharing.word else own,
        common=own,
        pairs=pairs.sample if pairs else None,
        prefixes=recipe.prefixes,
    )


def dataset_of(settings: Settings, recipe: Recipe, seed: int, progress: Progress) -> Dataset:
    """A recipe's dataset, checked.

    Raises:
        ConfigError: it is no good, or does not go with the sweep.
    """
    order = Order.SHUFFLED if settings.content.is_shuffled else Order.FILE
    path = Path(str(recipe.dataset)).expanduser()
    found = open_dataset(path, order=order, seed=seed, progress=progress)
    if (said := found.contents.with_output_tokens) and settings.load.output_levels:
        raise ConfigError(
            f"--dataset {recipe.dataset} and --output-levels exclude each other: {said:,} of its entries say how long "
            "answers are; drop one, or take output_tokens out of the file"
        )
    return found


def shared(
    settings: Settings, recipe: Recipe, seed: int, sharing: Sharing, *, entries: list[bytes] | None, size: int
) -> Stream:
    """A worker's share: `entries` that came with its bundle, else a file of `size` bytes that has to be here.

    Raises:
        ConfigError: it is not, or is another.
    """
    if entries is not None:
        handle, name = tempfile.mkstemp(prefix="tokenswarm-dataset-", suffix=".jsonl")
        path = Path(name)
        atexit.register(path.unlink, missing_ok=True)
        with os.fdopen(handle, "wb") as file:
            file.writelines(line + b"\n" for line in entries)
        return Stream(from_lines(path))
    path = Path(str(recipe.dataset)).expanduser()
    if not path.is_file() or path.stat().st_size != size:
        raise ConfigError(
            f"--dataset {recipe.dataset}: has more than {TRAVELS // 1_000_000} MB, so it does not travel; put the same "
            f"file of {size:,} bytes under that path on this worker's host"
        )
    dataset = dataset_of(settings, recipe, seed, lambda _done, _all: None)
    return Stream(dataset, Share(sharing.first, sharing.every))


def fits(pairs: Pairs | None, context: int | None, recipe: Recipe) -> None:
    """See that each pair fits into the server's context.

    Raises:
        ConfigError: some do not.
    """
    if pairs is None or context is None:
        return
    both = [sum(pair) for pair in zip(pairs.prompts, pairs.outputs, strict=True)]
    longest = max(both)
    if longest > context:
        raise ConfigError(
            f"--lengths {recipe.lengths}: {sum(one > context for one in both):,} of its {len(both):,} pairs do not fit, the "
            f"longest with {longest:,} tokens: the server takes {context:,} a request, prompt and answer together; "
            "leave these pairs out, or raise the server's context"
        )
