"""Plain-text tables: columns under headings, in as many blocks as the width needs; and what stands in their cells.

Plain characters without colour, so that they read on any background and survive a copy. What came from
outside goes through `clean`, for a server's words must not steer the terminal they are shown on.
"""

import textwrap
from collections.abc import Sequence
from typing import Final

__all__ = ["NULL", "Group", "clean", "columns", "number", "wrap"]

NULL: Final = "\N{EN DASH}"  # not measured
WIDE, NARROW = "   ", "  "  # between groups: the wide one if all of them fit into one block with it

Group = tuple[str, Sequence[str], Sequence[Sequence[str]]]  # heading, column names, one list of cells a row


def columns(groups: Sequence[Group], width: int) -> list[str]:
    """Groups of right-aligned columns under their headings, in as many blocks as the width needs.

    The first group names the rows and is repeated in every block.
    """
    first, *others = groups
    widths = [_group_width(group) for group in groups]
    between = WIDE if sum(widths) + len(WIDE) * len(others) <= width else NARROW
    blocks: list[list[Group]] = [[first]]
    for group in others:
        taken = sum(_group_width(g) + len(between) for g in blocks[-1])
        if taken + _group_width(group) > width and len(blocks[-1]) > 1:
            blocks.append([first])
        blocks[-1].append(group)
    lines: list[str] = []
    for block in blocks:
        lines += [*([""] if lines else []), *_block(block, between)]
    return lines


def number(value: float | None, *, scale: float = 1.0) -> str:
    """At most six characters: one decimal below 1,000, whole below 100,000, then k and M."""
    if value is None:
        return NULL
    value *= scale
    size = abs(value)
    if size < 10 and value != round(value, 1):
        return f"{value:.2f}"
    if size < 999.95:
        return f"{value:.1f}"
    if size < 99_999.5:
        return f"{value:.0f}"
    return f"{value / 1e3:.0f}k" if size < 999_500 else f"{value / 1e6:.1f}M"


def clean(text: object) -> str:
    """One line of printable characters: white space is a space, whatever else steers a terminal `?`."""
    line = " ".join(str(text).split())
    return "".join(character if character.isprintable() else "?" for character in line)


def wrap(text: str, width: int, first: str = "", later: str = "") -> list[str]:
    """Cleaned text in lines of up to `width`, indented by `first` and then `later`."""
    return textwrap.wrap(clean(text), width, initial_indent=first, subsequent_indent=later)


def _block(groups: Sequence[Group], between: str) -> list[str]:
    """Heading line, name line, rule and rows of one block."""
    head, names, rule = [], [], []
    rows: list[list[str]] = [[] for _ in groups[0][2]]
    for group in groups:
        heading, titles, cells = group
        widths = _widths(group)
        total = _group_width(group)
        head.append(heading.center(total))
        names.append(" ".join(name.rjust(w) for name, w in zip(titles, widths, strict=True)).rjust(total))
        rule.append("-" * total)
        for row, line in zip(rows, cells, strict=True):
            row.append(" ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)).rjust(total))
    return [between.join(parts).rstrip() for parts in (head, names, rule, *rows)]


def _widths(group: Group) -> list[int]:
    _, titles, cells = group
    return [max(map(len, column)) for column in zip(titles, *cells, strict=True)]


def _group_width(group: Group) -> int:
    widths = _widths(group)
    return max(sum(widths) + len(widths) - 1, len(group[0]))
