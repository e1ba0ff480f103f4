"""A user class's menu, from its recipes: built once by the process that asks the server, and put together again by workers.

    build     prompts are sized and files read
    stocks    what of it goes to a worker: words with their costs, prompts, entries of a dataset; small or in lines
    join      the same menu from these, without a tokenizer and without asking anybody

A dataset travels if it is small; a large one has to lie under the same path on the worker's host, which reads its own share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from harness import joint, known_costs, menu_parts, templates
from harness.content_options import longest
from harness.datasets import fits as dataset_fits
from harness.datasets.dataset import Dataset
from harness.datasets.order import Share
from harness.datasets.stream import Stream
from harness.errors import ConfigError
from harness.joint import Pairs
from harness.menu import Menu, Numbers, Supply
from harness.menu_parts import Progress, assemble, dataset_of, fits, ids_of, own_seed, shared, supply_of
from harness.prompts import Composer, Costs
from harness.recipes import PROBES, Recipe
from harness.record import TokenSource
from harness.settings import Settings
from harness.sizers import Sizer
from harness.supply import Around, Piece, Sharing, Workload
from harness.templates import Template
from harness.texts import find

__all__ = ["Stock", "build", "join", "stocks"]

_FEW: Final = 8  # prompts that are built where a trace says how long each is
_SHORT: Final = 64  # requests of a run for which several supplies have as many prompts each, and no pool
PROBE_PROMPTS: Final = 32  # after them they come again, each with a fresh opening


@dataclass(slots=True, kw_only=True)
class Stock:
    """What a worker needs for one supply."""

    costs: Costs | None = None  # None: ids, or a dataset
    around: Around = field(default_factory=Around)
    pieces: list[Piece] = field(default_factory=list)
    pairs: Pairs | None = None  # of lengths, for ids
    entries: list[bytes] | None = None  # of a dataset that travels; none where another supply has them
    size: int = 0  # of a dataset that does not, bytes


def build(
    settings: Settings,
    wanted: Sequence[Recipe],
    sizer: Sizer,
    *,
    seed: int,
    requests: int | None,
    context: int | None,
    progress: Progress,
) -> tuple[Menu, list[Dataset | None]]:
    """The menu of a process that sends by itself, and the datasets behind it.

    Args:
        settings: the run's.
        wanted: what `recipes` gave.
        sizer: counts prompts.
        seed: of everything that is drawn.
        requests: how many there will be; None: nobody knows.
        context: tokens that the server takes, prompt and answer together; None: not known.
        progress: told of prompts built, or of bytes of a dataset checked.

    Raises:
        ConfigError: it cannot be built; the text says what to change.
    """
    around = templates.read(settings.content.template) if settings.content.template else ()
    count = _prompts(settings, requests, sum(recipe.level != PROBES for recipe in wanted))
    builder = _Builder(settings, sizer, seed, context, count, around, progress)
    datasets = [builder.add(recipe) for recipe in wanted]
    return assemble(settings, builder.made, Numbers(Sharing()), seed, builder.streams), datasets


@dataclass(slots=True)
class _Builder:
    """Supplies that are made one after the other, and share what they can."""

    settings: Settings
    sizer: Sizer
    seed: int
    context: int | None
    count: int | None  # of prompts; None: a pool
    around: Sequence[Template]
    progress: Progress
    made: list[tuple[Recipe, Supply]] = field(default_factory=list)
    streams: dict[str, Stream] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    costs: dict[str, Costs] = field(default_factory=dict)  # of each text's words

    def add(self, recipe: Recipe) -> Dataset | None:
        """Make one; the dataset behind it, if no other supply has it."""
        supply = supply_of(self.settings, recipe, self.seed, self.context)
        self.made.append((recipe, supply))
        if recipe.dataset is not None:
            return self._read(recipe.dataset, recipe, supply)
        pairs = joint.read(recipe.lengths) if recipe.lengths else None
        fits(pairs, self.context, recipe)
        if ids := self.settings.wording.prompt_ids:
            supply.pairs = pairs
            supply.work = ids_of(ids, recipe, self.seed, Sharing(), pairs)
        else:
            supply.work = self._words(recipe, pairs)
        return None

    def _read(self, name: str, recipe: Recipe, supply: Supply) -> Dataset | None:
        supply.templates = tuple(self.around)
        if name in self.streams:
            self._fit(self.datasets[name], recipe)
            supply.entries = self.streams[name]
            return None
        dataset = self.datasets[name] = dataset_of(self.settings, recipe, self.seed, self.progress)
        self._fit(dataset, recipe)
        supply.entries = self.streams[name] = Stream(dataset)
        supply.entries.fill()
        return dataset

    def _fit(self, dataset: Dataset, recipe: Recipe) -> None:
        if self.context is not None:
            output = longest(recipe.output) or recipe.output.mean
            count = None if self.sizer.source is TokenSource.ESTIMATED else self.sizer.count
            is_chat = self.settings.content.turns is not None
            dataset_fits.refuse_beyond(dataset, self.context, output, count, is_chat=is_chat)

    def _words(self, recipe: Recipe, pairs: Pairs | None) -> Workload:
        made = recipe.words(
            self.sizer,
            own_seed(self.seed, recipe),
            PROBE_PROMPTS if recipe.level == PROBES else self.count,
            self.progress,
            pairs=pairs,
            around=self.around,
            costs=self.costs.get(recipe.text) or known_costs.of(self.sizer, find(recipe.text)),
        )
        self.costs[recipe.text] = made.costs
        return made


def stocks(menu: Menu, datasets: Sequence[Dataset | None], sharing: Sharing, *, whole: bool) -> list[Stock]:
    """What a worker needs for each supply, in order. `whole`: it may have to send any request, not only its share's."""
    found = []
    for supply, dataset in zip(menu.every(), datasets, strict=True):
        stock = Stock(pairs=supply.pairs, around=Around(templates=supply.templates))
        if isinstance(supply.work, Workload):
            stock = Stock(
                costs=supply.work.costs,
                around=supply.work.around,
                pieces=supply.work.pieces(Sharing() if whole else sharing),
            )
        elif dataset is not None:
            stock.size = dataset.path.stat().st_size
            if stock.size <= menu_parts.TRAVELS:
                stock.entries = list(dataset.share(Share(sharing.first, sharing.every)))
        found.append(stock)
    return found


def join(
    settings: Settings,
    wanted: Sequence[Recipe],
    given: Sequence[Stock],
    *,
    seed: int,
    sharing: Sharing,
    context: int | None,
) -> Menu:
    """A worker's menu.

    Raises:
        ConfigError: a dataset that did not travel is not here, or the master sent something else than is needed.
    """
    if len(given) != len(wanted):
        raise ConfigError(
            "the master has sent other prompts than these options ask for; are both the same version?"
        )
    made = []
    streams: dict[str, Stream] = {}
    whole = settings.load.is_open
    for recipe, stock in zip(wanted, given, strict=True):
        supply = supply_of(settings, recipe, seed, context)
        supply.templates = stock.around.templates if recipe.dataset else ()
        if recipe.dataset in streams:
            supply.entries = streams[recipe.dataset]
        elif recipe.dataset is not None:
            supply.entries = streams[recipe.dataset] = shared(
                settings, recipe, seed, sharing, entries=stock.entries, size=stock.size
            )
            stock.entries = None
            supply.entries.fill()
        elif ids := settings.wording.prompt_ids:
            supply.work = ids_of(ids, recipe, seed, sharing, stock.pairs)
        elif stock.costs is None:
            raise ConfigError("the master has sent no prompts; is --prompt-ids set there and not here?")
        else:
            own = own_seed(seed, recipe)
            supply.work = Workload(
                stock.pieces,
                Composer(stock.costs, own),
                recipe.output,
                seed=own,
                sharing=Sharing() if whole else sharing,
                around=stock.around,
            )
        made.append((recipe, supply))
    return assemble(settings, made, Numbers(sharing), seed, streams)


def _prompts(settings: Settings, requests: int | None, supplies: int) -> int | None:
    """How many to build for each of so many supplies; None: a pool."""
    if settings.load.arrivals is not None and settings.load.arrivals.trace:
        return _FEW
    is_short = requests is not None and requests <= _SHORT
    return requests if supplies == 1 or is_short else None
