"""A comparison for a terminal."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from harness.compare.best import best
from harness.compare.comparison import Comparison, clip, squeeze
from harness.compare.judge import Judged
from harness.compare.wording import (
    changed,
    checked,
    headline,
    interval,
    legend,
    name_of,
    remarks,
    told,
    value,
)
from harness.grid import NULL, Group, columns, wrap

__all__ = ["render"]

_WIDTH: Final = 110
_HEADS: Final = ("", "base", "new", "change", "95% interval", "")


def render(found: Comparison, width: int = _WIDTH) -> str:
    """All of it, without a final newline."""
    lines = list(_runs(found))
    if len(found.new) == 1:
        for title in dict.fromkeys(one.cell.level for one in found.found):
            lines += ["", *_level(title, [one for one in found.found if one.cell.level == title])]
    else:
        lines += ["", *columns(_groups(found), width), "", *wrap(_MARKS, width)]
    if found.asked:
        lines += ["", *_checks(found)]
    for heading, told_ in remarks(found):
        lines += ["", f"{heading}:", *(line for one in told_ for line in wrap(one, width, "  - ", "    "))]
    lines += ["", *_wrapped(legend(found), width)]
    first, *rest = headline(found)
    said = f"{first}: {'; '.join(rest)}"
    return "\n".join([*lines, "", *_wrapped(said, width)])


_MARKS: Final = (
    "* the best at this level, or not told from it; ! worse than the base beyond noise; ? not clear."
)


def _wrapped(text: str, width: int) -> list[str]:
    """Our own sentences, in which options stay whole."""
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _runs(found: Comparison) -> Iterator[str]:
    every = (found.base, *found.new)
    for at, (run, name) in enumerate(zip(every, found.names, strict=True)):
        what = [clip(run.settings[key], 60) for key in ("backend", "model", "host") if run.settings.get(key)]
        role = ("base", "new ")[at > 0]
        yield f"{role}  {name}: {', '.join(what)}; {run.verdict}"


def _level(title: str, rows: Sequence[Judged]) -> Iterator[str]:
    cells = [
        [
            name_of(one.cell),
            value(one.cell, one.cell.base),
            value(one.cell, one.cell.new),
            changed(one.cell),
            interval(one.cell),
            told(one),
        ]
        for one in rows
        if not one.cell.why
    ]
    yield clip(title)
    yield from _table([list(_HEADS), *cells])


def _checks(found: Comparison) -> Iterator[str]:
    several = len(found.new) > 1
    rows = [
        [
            one.rule.text,
            *([squeeze(found.names[1 + one.cell.run], 32)] if several else []),
            clip(one.cell.level, 30),
            changed(one.cell),
            interval(one.cell),
            checked(one),
        ]
        for one in found.asked
    ]
    heads = ["--fail-on", *(["run"] if several else []), "level", "change", "95% interval", ""]
    yield from _table([heads, *rows])


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """First and last columns to the left, numbers to the right."""
    last = len(rows[0]) - 1
    widths = [max(len(row[at]) for row in rows) for at in range(last + 1)]
    for row in rows:
        cells = [
            cell.ljust(width) if at in {0, last} else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield ("  " + "  ".join(cells)).rstrip()


def _groups(found: Comparison) -> list[Group]:
    """A row for each run at each level, a group of columns for each figure."""
    table = best(found)
    names = found.names
    groups: list[Group] = [
        ("", ("level", "run"), [[clip(row.level, 24), squeeze(names[row.run], 32)] for row in table.rows])
    ]
    for heading, cells in table.columns:
        told_ = [
            [f"{cell.value}{'*' if cell.is_best else ' '}", f"{cell.change}{_mark(cell.word)}", cell.interval]
            for cell in cells
        ]
        groups.append((heading, ("", "change", "95% interval"), told_))
    return groups


def _mark(word: str) -> str:
    return {"regression": "!", "unclear": "?"}.get(word, " ") if word != NULL else " "
