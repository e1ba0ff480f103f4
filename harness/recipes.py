"""What a user class's menu is to hold: a supply for each part of a mixture, and for each level of a sweep over lengths.

The same on a master and on its workers, since it follows from the settings alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from harness import distributions, mix, workload
from harness.distributions import Distribution
from harness.joint import Pairs
from harness.planning import points
from harness.prefixes import SharedPrefixes
from harness.probing import Probing
from harness.prompts import Costs
from harness.settings import Settings
from harness.sizers import Sizer
from harness.templates import Template
from harness.workload import Workload

__all__ = ["PROBES", "Recipe", "recipes"]

PROBES: Final = -1  # the level, of no sweep, under which a menu keeps what probes ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One supply to be."""

    level: int  # whose; 0: any
    name: str | None  # of a part of a mixture
    prompt: Distribution
    output: Distribution
    lengths: str | None
    text: str
    dataset: str | None
    prefixes: SharedPrefixes | None
    called: tuple[str, str] = (
        "--prompt-tokens ",
        "--output-tokens ",
    )  # what options call its sizes, for errors

    def words(
        self,
        sizer: Sizer,
        seed: int,
        count: int | None,
        progress: Callable[[int, int], None],
        *,
        pairs: Pairs | None,
        around: Sequence[Template],
        costs: Costs | None,
    ) -> Workload:
        """Its prompts of words, written and counted (`workload.build`); templates stand around no probe."""
        return workload.build(
            self.prompt,
            self.output,
            sizer,
            seed=seed,
            count=count,
            progress=progress,
            text=self.text,
            pairs=pairs.sample if pairs else None,
            prefixes=self.prefixes,
            templates=() if self.level == PROBES else around,
            costs=costs,
        )


def recipes(settings: Settings, prompt: Distribution, output: Distribution) -> list[Recipe]:
    """All supplies of a user class whose own sizes are these, in order."""
    content = settings.content
    base = Recipe(
        level=0,
        name=None,
        prompt=prompt,
        output=output,
        lengths=content.lengths,
        text=content.text,
        dataset=content.dataset,
        prefixes=content.prefixes,
    )
    found = []
    for level in _by_level(settings, base):
        parts = content.parts or (None,)
        found += [level if part is None else _of_part(level, part) for part in parts]
    if probing := settings.load.probing:
        found.append(_of_probes(base, probing))
    return found


def _of_probes(base: Recipe, probing: Probing) -> Recipe:
    prompt, output = (
        distributions.parse(str(tokens), "--probe-tokens")
        for tokens in (probing.prompt_tokens, probing.output_tokens)
    )
    return replace(
        base,
        level=PROBES,
        prompt=prompt,
        output=output,
        lengths=None,
        dataset=None,
        prefixes=None,
        called=("--probe-tokens: prompts of ", "answers of "),
    )


def _by_level(settings: Settings, base: Recipe) -> Iterator[Recipe]:
    model = settings.load
    keys = [point.key for point in points(settings)]
    prompts, outputs = base.called
    if model.prompt_levels:
        yield from (
            replace(base, level=key, prompt=one, called=("--prompt-levels ", outputs))
            for key, one in zip(keys, model.prompt_levels, strict=True)
        )
    elif model.output_levels:
        yield from (
            replace(base, level=key, output=one, called=(prompts, "--output-levels "))
            for key, one in zip(keys, model.output_levels, strict=True)
        )
    else:
        yield base


def _of_part(base: Recipe, part: mix.Part) -> Recipe:
    own: dict[str, object] = {"prompt": part.prompt, "output": part.output, "lengths": part.lengths, "text": part.text,
           "dataset": part.dataset, "prefixes": part.prefix}  # fmt: skip
    changes: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
    if part.prompt or part.output or part.dataset:
        changes.setdefault("lengths", None)
    if part.prompt or part.lengths or part.text:
        changes.setdefault("dataset", None)
    own_words = ("prompt=", "output=")
    prompts, outputs = (
        said if said.endswith("-levels ") else own for said, own in zip(base.called, own_words, strict=True)
    )
    return replace(base, name=part.name, called=(f"--mix {part.name}: {prompts}", outputs), **changes)
