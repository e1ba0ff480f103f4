"""What is compared: one figure at one level of the base and of a new run, paired by what the level held. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness import carried
from harness.compare.figures import FIGURES, MAIN, Figure, Measured
from harness.compare.welch import Difference, Mean, mean_of_logs, mean_of_shares

__all__ = ["Cell", "Figures", "cells", "mean_of", "shown"]


Figures = Mapping[str, Measured]  # by name, of one level


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure at one level."""

    run: int  # which of the new runs, from 0
    level: str
    figure: Figure
    base: float | None  # as shown: over passes their mean, geometric for times and rates
    new: float | None
    difference: Difference | None  # on the scale of `welch`; None: there is no interval
    passes: tuple[int, int]
    why: str = ""  # why it is not compared at all

    @property
    def worsening(self) -> Difference | None:
        """The difference, positive for the worse."""
        if self.difference is None or self.figure.toward > 0:
            return self.difference
        return Difference(self.difference.new, self.difference.base)

    @property
    def is_bare(self) -> bool:
        """Two numbers without an interval."""
        return not self.why and self.difference is None

    @property
    def bare(self) -> float:
        """The bare numbers' worsening, on the scale of `Figure.size`."""
        if self.base is None or self.new is None:
            return 0.0
        if self.figure.is_share:
            return self.figure.toward * (self.new - self.base)
        return self.figure.toward * (math.log(self.new) - math.log(self.base))

    def change(self, at: float | None = None) -> float:
        """The change in the figure's own direction: a ratio - 1, or a difference of shares.

        Args:
            at: a difference on the scale of `welch`; the estimate if None.
        """
        if at is None:
            at = self.figure.toward * self.bare if self.difference is None else self.difference.estimate
        if self.figure.is_share:
            return at
        return math.expm1(at) if at < 700 else math.inf

    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of `change`; of a share it ends where shares do."""
        if self.difference is None:
            return None
        low, high = map(self.change, self.difference.interval())
        return (max(-1.0, low), min(1.0, high)) if self.figure.is_share else (low, high)


def cells(
    run: int, level: str, base: Figures, new: Figures, names: Sequence[str], *, slos_differ: bool
) -> Iterator[Cell]:
    """The cells of a pair of levels; none for what neither run measured.

    Args:
        run: which of the new runs.
        level: its title.
        base: the base's figures by name.
        new: the new run's.
        names: what `--fail-on` asks for beside the main figures.
        slos_differ: then goodput is of two different things.
    """
    for name in dict.fromkeys((*MAIN, *names)):
        figure = FIGURES[name]
        sides = base[name], new[name]
        if all(side.whole.value is None for side in sides) and name not in names:
            continue
        count = len(sides[0].known), len(sides[1].known)
        why = _why_not(figure, sides)
        if name == "goodput" and slos_differ:
            why = "the runs' SLOs differ"
        if why:
            yield Cell(run, level, figure, None, None, None, count, why)
            continue
        means = mean_of(figure, sides[0]), mean_of(figure, sides[1])
        difference = None if means[0] is None or means[1] is None else Difference(means[0], means[1])
        values = [
            shown(figure, side, mean if difference else None) for side, mean in zip(sides, means, strict=True)
        ]
        yield Cell(run, level, figure, values[0], values[1], difference, count)


def mean_of(figure: Figure, side: Measured) -> Mean | None:
    """The mean over a run's passes; None with fewer than two."""
    known = side.known
    if len(known) < 2:
        return None
    values = [part.value for part in known if part.value is not None]
    if figure.is_share:
        return mean_of_shares(values, [part.requests for part in known])
    return mean_of_logs(values) if min(values) > 0 else None


def shown(figure: Figure, side: Measured, mean: Mean | None) -> float | None:
    """What a table has for it: the mean over passes, or the level's own figure where there is one pass."""
    if mean is None:
        return side.whole.value
    return mean.value if figure.is_share else math.exp(mean.value)


def _why_not(figure: Figure, sides: tuple[Measured, Measured]) -> str:
    """Why the two cannot be compared; empty if they can."""
    for side, other in ((0, 1), (1, 0)):
        if sides[side].whole.value is None:
            return (
                "not measured"
                if sides[other].whole.value is None
                else f"measured in {('base', 'new')[other]} only"
            )
    return _withheld(figure, sides) or _not_positive(figure, sides)


def _withheld(figure: Figure, sides: tuple[Measured, Measured]) -> str:
    """A percentile needs its number of requests in every pass, since a pass is what the noise is told from."""
    if figure.key is None or figure.key not in carried.NEED:
        return ""
    need = carried.NEED[figure.key]
    several = all(len(side.known) > 1 for side in sides)
    parts = [part for side in sides for part in (side.known if several else [side.whole])]
    least = min(part.n or 0 for part in parts)
    if carried.carries(figure.key, least):
        return ""
    return f"{figure.key} needs {need:,} requests{' in every pass' * several}; there are {least:,}"


def _not_positive(figure: Figure, sides: tuple[Measured, Measured]) -> str:
    values = [part.value for side in sides for part in (side.whole, *side.known) if part.value is not None]
    return "" if figure.is_share or min(values) > 0 else "a value of 0 has no ratio"
