"""What a comparison says in words and numbers, the same in every form. Pure text; nothing from outside goes through here raw."""

from collections.abc import Iterator
from typing import Final

from harness import carried
from harness.compare.cells import Cell
from harness.compare.comparison import Comparison, clip
from harness.compare.judge import ALPHA, LEAST, LEAST_POINTS, Check, Found, Judged, Word
from harness.compare.welch import MOST
from harness.grid import NULL, number

__all__ = [
    "MIND",
    "WORDS",
    "change",
    "changed",
    "checked",
    "headline",
    "interval",
    "legend",
    "name_of",
    "remarks",
    "told",
    "value",
]

WORDS: Final[dict[Word, str]] = {
    "regression": "WORSE",
    "improvement": "better",
    "same": "no worse",
    "unclear": "unclear",
    "not compared": NULL,
}
MIND: Final = "mind"  # the heading of what a reader should know first
_UNITS: Final = {"ms": ", ms", "share": ""}


def name_of(cell: Cell) -> str:
    """The figure with its unit: `TTFT p50, ms`."""
    return cell.figure.heading + _UNITS.get(cell.figure.unit, "")


def value(cell: Cell, of: float | None) -> str:
    """A value in the figure's unit; shares in per cent."""
    if of is None:
        return NULL
    return f"{100 * of:.2f}%" if cell.figure.is_share else number(of)


def change(cell: Cell, at: float, *, unit: bool = True) -> str:
    """`+5.1%`, of a share `+1.20pp`."""
    if cell.figure.is_share:
        return f"{100 * at:+.2f}{'pp' * unit}"
    per_cent = 100 * at
    if per_cent >= 1000:
        return f"x{number(1 + at)}" if at < 1e6 else "over x1M"
    return f"{per_cent:+.{1 if abs(per_cent) < 99.95 else 0}f}{'%' * unit}"


def changed(cell: Cell) -> str:
    """The estimate."""
    return NULL if cell.why else change(cell, cell.change())


def interval(cell: Cell) -> str:
    """`+4.1 .. +6.0%`; a dash where there is none."""
    ends = None if cell.why else cell.interval()
    return NULL if ends is None else f"{change(cell, ends[0], unit=False)} .. {change(cell, ends[1])}"


def told(one: Judged) -> str:
    """The word of a cell, with the passes that it needs."""
    return (
        WORDS[one.word] if one.word != "unclear" or one.passes is None else f"unclear, {_passes(one.passes)}"
    )


def checked(one: Check) -> str:
    """The word of a check."""
    if one.word != "unclear":
        return "FAILED" if one.word == "beyond" else "within"
    return f"unclear: {one.why}" if one.why else f"unclear, {_passes(one.passes)}"


def headline(found: Comparison) -> Iterator[str]:
    """The verdict and its reasons, a sentence or two, without names from outside."""
    yield found.verdict.upper()
    if found.options.rules:
        yield from _of_rules(found)
    else:
        yield from _of_cells(found)
    if found.verdict != "no regression" or any(one.word == "unclear" for one in found.asked):
        yield from _advice(found)


def _of_cells(found: Comparison) -> Iterator[str]:
    words = [one.word for one in found.found]
    known = len(words) - words.count("not compared")
    if not known:
        yield "nothing could be compared"
        return
    word: Word
    for word, what in (("regression", "worse beyond noise"), ("improvement", "better beyond noise")):
        if count := words.count(word):
            yield f"{count} of {known} figures {what}"
    margin = f"{100 * found.options.margin:g} %"
    if count := words.count("unclear"):
        yield f"{count} of {known} not clear: that they got worse by more than {margin} is not ruled out"
    elif "regression" not in words:
        yield f"none of {known} figures is worse beyond noise, and more than {margin} worse is ruled out for each"


def _of_rules(found: Comparison) -> Iterator[str]:
    words = [one.word for one in found.asked]
    word: Found
    for word, what in (
        ("beyond", "clearly beyond"),
        ("unclear", "cannot be told"),
        ("within", "clearly within"),
    ):
        if count := words.count(word):
            yield f"{count} of {len(words)} limits {what}"
    if not words:
        yield "no limit could be looked at"
    every = [one.word for one in found.found]
    if worse := every.count("regression"):
        yield f"beside the limits, and not judged: {worse} of {len(every)} figures worse beyond noise"


def _advice(found: Comparison) -> Iterator[str]:
    """What would settle it."""
    reasons = [one for one in (found.asked if found.options.rules else found.found) if one.word == "unclear"]
    if any(not one.why for one in reasons):
        needed = found.needed
        if needed is not None and needed <= MOST:
            yield f"about {needed} passes a run would settle the rest in nine of ten cases: --repeats {needed}"
        else:
            yield f"not even {MOST:,} passes would settle all the rest: what is left lies at the limit"
    if any(one.cell.is_bare for one in reasons):
        yield "runs of one pass have no interval: make them with --repeats 10, or judge the bare numbers with --by-point"
    withheld = {one.cell.figure.key or "" for one in reasons if one.cell.why}
    if needs := [carried.NEED[key] for key in withheld if key in carried.NEED]:
        yield f"a percentile of too few requests is not judged: give --requests-per-level {max(needs)} or more"


def _passes(passes: int | None) -> str:
    if passes is None:
        return NULL
    return f"{passes} passes" if passes <= MOST else f"over {MOST:,} passes"


def remarks(found: Comparison) -> Iterator[tuple[str, list[str]]]:
    """(heading, lines) of what stands beside the figures. Lines hold text from outside, of one printable line each."""
    names = found.names
    if found.notes:
        yield MIND, list(found.notes)
    missing = [
        f"{_whose(found, one)}{clip(one.cell.level)}, {one.cell.figure.heading}: {one.cell.why}"
        for one in found.found
        if one.cell.why
    ]
    levels = [
        f"{name}: {line}" if len(names) > 2 else line
        for name, lines in zip(names[1:], found.unpaired, strict=True)
        for line in lines
    ]
    if missing or levels:
        yield "not compared", [*dict.fromkeys(levels), *missing]
    for heading, every in (
        ("allowed to differ, though it shapes the load", found.allowed),
        ("differs", found.differs),
    ):
        lines = [
            f"{f'{name}, ' if len(names) > 2 else ''}{clip(one.name)}: {clip(one.base)} / {clip(one.new)}"
            for name, others in zip(names[1:], every, strict=True)
            for one in others
        ]
        if lines:
            yield heading, lines


def _whose(found: Comparison, one: Judged) -> str:
    return f"{found.names[1 + one.cell.run]}, " if len(found.new) > 1 else ""


def legend(found: Comparison) -> str:
    """What the numbers are."""
    judged = (
        "the rules of --fail-on are judged, nothing else"
        if found.options.rules
        else f"a regression is a worsening by more than {LEAST:.0%} (a share's: {100 * LEAST_POINTS:g} points), beyond noise (family-wise {ALPHA:.0%}, Holm)"
    )
    return (
        "Values are means over passes, geometric but for shares. The change is new against base with its 95 % interval "
        f"(Welch's t over passes, on logarithms but for shares); pp: percentage points; {judged}. docs/compare.md."
    )
