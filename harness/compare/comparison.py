"""A comparison as a whole: the runs read, refused or paired, their cells judged, and what is to be said beside."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.compare import cells, judge, likeness, runs
from harness.compare.judge import Check, Judged, Options, Verdict
from harness.compare.likeness import Other
from harness.compare.runs import Level, Run
from harness.errors import ConfigError
from harness.grid import clean

if TYPE_CHECKING:
    from harness.compare.cells import Cell

__all__ = ["Comparison", "clip", "compare", "of_runs", "squeeze"]

_LENGTH: Final = 0.02  # beyond which answers or prompts of another length explain other times


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One base and the runs that are held against it."""

    base: Run
    new: tuple[Run, ...]
    options: Options
    found: tuple[Judged, ...]
    asked: tuple[Check, ...]  # of --fail-on
    verdicts: tuple[Verdict, ...]  # one a new run
    allowed: tuple[tuple[Other, ...], ...]  # what shapes the load and differs all the same, by new run
    differs: tuple[tuple[Other, ...], ...]  # the rest
    unpaired: tuple[tuple[str, ...], ...]  # levels of one run only, by new run
    notes: tuple[str, ...] = field(default=())

    @property
    def verdict(self) -> Verdict:
        """The worst of them."""
        return judge.worst(self.verdicts)

    @property
    def code(self) -> int:
        """The exit code."""
        return judge.CODES[self.verdict]

    @property
    def names(self) -> tuple[str, ...]:
        """What the runs are called here, the base first; each name once."""
        every = [clip(run.name) for run in (self.base, *self.new)]
        return tuple(name if every.count(name) == 1 else f"{name} ({at})" for at, name in enumerate(every, 1))

    @property
    def needed(self) -> int | None:
        """Passes a run that would settle what is unclear; None if nothing is, or nobody can tell."""
        found = judge.needed(self.found, self.asked, self.options)
        batch = max((level.batch for run in (self.base, *self.new) for level in run.levels), default=1)
        return found and found * batch

    def of(self, run: int) -> list[Judged]:
        """The cells of one of the new runs."""
        return [one for one in self.found if one.cell.run == run]


def compare(
    paths: Sequence[Path],
    options: Options,
    *,
    accepted: Collection[str] = (),
    allow_invalid: bool = False,
) -> Comparison:
    """Read and compare run directories, the base first.

    Args:
        paths: two or more.
        options: how to judge.
        accepted: settings that shape the load and may differ.
        allow_invalid: runs that are incomplete or invalid are compared all the same.

    Raises:
        ConfigError: a run cannot be read, may not be compared, or has no level in common with the base.
    """
    seen: dict[Path, Path] = {}
    for path in paths:
        if (known := seen.setdefault(_resolved(path), path)) is not path:
            raise ConfigError(f"{path}: the same directory as {known}; give another run")
    return of_runs(
        [runs.load(path) for path in paths], options, accepted=accepted, allow_invalid=allow_invalid
    )


def of_runs(
    loaded: Sequence[Run], options: Options, *, accepted: Collection[str] = (), allow_invalid: bool = False
) -> Comparison:
    """Compare runs that are read, the base first."""
    base, *new = loaded
    for run in loaded if not allow_invalid else ():
        _check(run)
    allowed, differs, unpaired = [], [], []
    every: list[Cell] = []
    for at, run in enumerate(new):
        shaping, other = _unlike(base, run)
        _refuse(base, run, [one for one in shaping if one.name not in accepted])
        pairs, left = _pairs(base, run)
        if not pairs:
            raise ConfigError(
                f"{run.path}: no level in common with {base.path}: "
                f"{_titles(run.levels)} against {_titles(base.levels)}"
            )
        allowed.append(tuple(shaping))
        differs.append(tuple(other))
        unpaired.append(tuple(left))
        names = [rule.figure.name for rule in options.rules]
        slos = any(one.name == "slo" for one in other)
        for one, two in pairs:
            every += cells.cells(at, one.title, one.figures, two.figures, names, slos_differ=slos)
    found, asked = judge.judge(every, options), judge.checks(every, options)
    return Comparison(
        base=base,
        new=tuple(new),
        options=options,
        found=tuple(found),
        asked=tuple(asked),
        verdicts=tuple(
            judge.verdict(
                [one for one in found if one.cell.run == at],
                [one for one in asked if one.cell.run == at],
                options,
            )
            for at in range(len(new))
        ),
        allowed=tuple(allowed),
        differs=tuple(differs),
        unpaired=tuple(unpaired),
        notes=tuple(_notes(base, new)),
    )


def clip(text: object, most: int = 80) -> str:
    """One printable line of at most so many characters: a name may be a megabyte."""
    line = clean(str(text)[: 4 * most])
    return line if len(line) <= most else f"{line[: most - 3]}..."


def squeeze(text: object, most: int) -> str:
    """The same, from the middle: run ids differ in their ends."""
    line = clip(text, 1000)
    half = (most - 3) // 2
    return line if len(line) <= most else f"{line[: most - 3 - half]}...{line[-half:]}"


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):  # a loop of links, a NUL: `runs.load` says so
        return path


def _check(run: Run) -> None:
    if not run.complete:
        raise ConfigError(
            f"{run.path}: the run is incomplete; run it again, or compare what there is with --allow-invalid"
        )
    if run.verdict == "invalid":
        why = f" ({clip(run.reasons[0], 160)})" if run.reasons else ""
        raise ConfigError(
            f"{run.path}: its verdict is invalid{why}; run it again, or compare it all the same with --allow-invalid"
        )


def _unlike(base: Run, new: Run) -> tuple[list[Other], list[Other]]:
    shaping, other = likeness.differences(base.settings, new.settings, (base.sources, new.sources))
    return shaping, [*other, *likeness.told(base.facts, new.facts)]


def _refuse(base: Run, new: Run, unlike: Sequence[Other]) -> None:
    if not unlike:
        return
    told = "; ".join(f"{one.name}: {clip(one.base, 60)} / {clip(one.new, 60)}" for one in unlike)
    names = " ".join(f"--allow-different {one.name}" for one in unlike)
    raise ConfigError(
        f"{new.path}: not of the same load as {base.path}: {told}; run it alike, or allow it with {names}"
    )


def _pairs(base: Run, new: Run) -> tuple[list[tuple[Level, Level]], list[str]]:
    """The levels that both held, in the base's order, and what is left of either."""
    there = {level.key: level for level in new.levels}
    pairs = [(level, there[level.key]) for level in base.levels if level.key in there]
    paired = {level.key for level, _ in pairs}
    left = [f"{clip(level.title)}: in the base only" for level in base.levels if level.key not in paired]
    left += [
        f"{clip(level.title)}: in {clip(new.name)} only" for level in new.levels if level.key not in paired
    ]
    return pairs, left


def _titles(levels: Sequence[Level]) -> str:
    return ", ".join(clip(level.title, 30) for level in levels[:8]) or "none"


def _notes(base: Run, new: Sequence[Run]) -> Iterator[str]:
    """What a reader should know before believing it."""
    for run in (base, *new):
        if not run.complete:
            yield f"{clip(run.name)} is incomplete"
        if run.verdict != "valid":
            yield f"{clip(run.name)} is {run.verdict}: {clip('; '.join(run.reasons[:5]), 300)}"
    for run in new:
        if run.run_id == base.run_id:
            yield f"{clip(run.name)}: base and new are copies of the same run"
        yield from _lengths(base, run)


def _lengths(base: Run, new: Run) -> Iterator[str]:
    for one, two in _pairs(base, new)[0]:
        for name, length in one.lengths.items():
            other = two.lengths[name]
            if length and other and abs(other / length - 1) > _LENGTH:
                yield (
                    f"{clip(one.title)}: {name.replace('_', ' ')} of a request were {length:.4g} in the base and "
                    f"{other:.4g} in {clip(new.name)}: other lengths make other times"
                )
