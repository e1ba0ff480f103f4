"""What a comparison says: a word for each cell, one for each new run, and an exit code.

Without `--fail-on`, of every figure at every level, with 95 % intervals:

    regression     it got worse by more than `LEAST`, beyond noise: family-wise at 5 % over all that is looked at (Holm,
                   two-sided). Runs of the very same thing differ by about so much, which passes of one run do not tell
    improvement    the same, for the better
    same           else, if its interval rules out that it got worse by more than the margin
    unclear        else: more passes are needed

With `--fail-on`, each rule is a limit, and it is asked at each level whether the worsening is beyond it:

    beyond         clearly: a one-sided test against the limit falls, family-wise at 2.5 % over all rules and levels (Holm)
    within         clearly: the 95 % interval ends before the limit
    unclear        else, also where the figure cannot be compared

The run: any regression (beyond) makes a regression, exit 3; else any unclear makes it inconclusive, exit 6; else there is no
regression, exit 0. Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from harness.compare.cells import Cell
from harness.compare.figures import Figure
from harness.compare.rules import Rule
from harness.compare.welch import holm

__all__ = [
    "ALPHA",
    "CODES",
    "Check",
    "Judged",
    "Options",
    "Verdict",
    "Word",
    "checks",
    "judge",
    "needed",
    "verdict",
    "worst",
]

Word = Literal["regression", "improvement", "same", "unclear", "not compared"]
Found = Literal["beyond", "within", "unclear"]
Verdict = Literal["no regression", "inconclusive", "regression"]

ALPHA: Final = 0.05  # family-wise, two-sided
LEAST: Final = 0.01  # of a time or a rate: what runs of the same thing may differ by
LEAST_POINTS: Final = 0.001  # of a share
CODES: Final[dict[Verdict, int]] = {"no regression": 0, "inconclusive": 6, "regression": 3}
_ONE_PASS: Final = "one pass has no interval"


@dataclass(frozen=True, slots=True)
class Options:
    """How to judge."""

    margin: float = 0.05
    rules: tuple[Rule, ...] = ()
    by_point: bool = False  # bare numbers are judged where there is no interval


@dataclass(frozen=True, slots=True)
class Judged:
    """A cell and what is to be said of it."""

    cell: Cell
    word: Word
    passes: int | None = None  # that would settle what is unclear, if known
    why: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A rule at a level."""

    rule: Rule
    cell: Cell
    word: Found
    passes: int | None = None
    why: str = ""


def judge(cells: Sequence[Cell], options: Options) -> list[Judged]:
    """The words of all cells together, which are one family."""
    known = [cell.difference.p_other(_least(cell.figure)) for cell in cells if cell.difference is not None]
    fallen = iter(holm(known, ALPHA))
    return [
        _judged(cell, options, len(known), cell.difference is not None and next(fallen)) for cell in cells
    ]


def _judged(cell: Cell, options: Options, family: int, is_beyond_noise: bool) -> Judged:
    figure, worse = cell.figure, cell.worsening
    if cell.why:
        return Judged(cell, "not compared", None, cell.why)
    if worse is None:
        return _by_point(cell, options)
    if is_beyond_noise:
        return Judged(cell, "regression" if worse.estimate > 0 else "improvement")
    room = figure.size(options.margin) - worse.estimate
    if worse.interval()[1] <= figure.size(options.margin):
        return Judged(cell, "same")
    # Either it becomes clear that it is worse, or that it is not worse by the margin.
    over = worse.estimate - _least(figure)
    settled = worse.passes_for(over, ALPHA / 2 / family), worse.passes_for(room, ALPHA / 2)
    return Judged(cell, "unclear", min(settled))


def _least(figure: Figure) -> float:
    """The change that is none, on the scale on which the figure is compared."""
    return figure.size(LEAST_POINTS if figure.is_share else LEAST)


def _by_point(cell: Cell, options: Options) -> Judged:
    """Of two numbers without an interval."""
    if not options.by_point:
        return Judged(cell, "unclear", None, _ONE_PASS)
    if cell.bare > cell.figure.size(options.margin):
        return Judged(cell, "regression")
    return Judged(cell, "improvement" if cell.bare < cell.figure.size(-options.margin) else "same")


def checks(cells: Sequence[Cell], options: Options) -> list[Check]:
    """Every rule at every level at which its figure is looked at; one family."""
    asked = [(rule, cell) for rule in options.rules for cell in cells if cell.figure == rule.figure]
    known = [
        cell.worsening.p_above(rule.figure.size(rule.worsening))
        for rule, cell in asked
        if cell.worsening is not None
    ]
    fallen = iter(holm(known, ALPHA / 2))
    return [
        _checked(rule, cell, options, len(known), cell.worsening is not None and next(fallen))
        for rule, cell in asked
    ]


def _checked(rule: Rule, cell: Cell, options: Options, family: int, is_beyond: bool) -> Check:
    limit, worse = rule.figure.size(rule.worsening), cell.worsening
    if cell.why:
        return Check(rule, cell, "unclear", None, cell.why)
    if worse is None:
        if not options.by_point:
            return Check(rule, cell, "unclear", None, _ONE_PASS)
        return Check(rule, cell, "beyond" if cell.bare > limit else "within")
    if is_beyond:
        return Check(rule, cell, "beyond")
    if worse.interval()[1] <= limit:
        return Check(rule, cell, "within")
    over = worse.estimate - limit
    return Check(rule, cell, "unclear", worse.passes_for(abs(over), ALPHA / 2 / (family if over > 0 else 1)))


def verdict(found: Sequence[Judged], asked: Sequence[Check], options: Options) -> Verdict:
    """Of one new run, from its cells and its checks."""
    words = [one.word for one in asked] if options.rules else [one.word for one in found]
    if "regression" in words or "beyond" in words:
        return "regression"
    if "unclear" in words or not any(word != "not compared" for word in words):
        return "inconclusive"
    return "no regression"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Of several new runs: a regression before what is not known."""
    order: tuple[Verdict, ...] = ("no regression", "inconclusive", "regression")
    return max(verdicts, key=order.index)


def needed(found: Sequence[Judged], asked: Sequence[Check], options: Options) -> int | None:
    """Passes a run that would settle all that is unclear; over `MOST` if none would, None where it cannot be told."""
    told: Sequence[Judged | Check] = asked if options.rules else found
    known = [one.passes for one in told if one.word == "unclear" and one.passes is not None]
    return max(known, default=None)
