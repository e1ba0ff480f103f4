"""The axes of a campaign file: lists that multiply. An axis is an option's name, or a `{name}` in targets' texts.

What a value means is not known here, nor in which order runs are made of them (`harness.campaign.matrix`).
"""

import re
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from harness.campaign.placeholders import PORT
from harness.campaign.values import Given, Problems, options
from harness.option_table import OPTIONS

__all__ = ["ORDERS", "Axis", "check_axes", "read_axes"]

ORDERS: Final = ("interleaved", "grouped")
_LOCUSTS: Final = ("users", "spawn-rate", "run-time", "processes")
_AXIS: Final = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Axis:
    """One list that multiplies. An option of this name takes its values; any other is for `{name}` in texts."""

    name: str
    values: tuple[Given, ...]
    is_option: bool


def read_axes(table: Mapping[str, Any], problems: Problems) -> tuple[tuple[Axis, ...], str]:
    """The axes of a file, in its order, and the order of the runs."""
    order = problems.word(table, "order", "axes.", ORDERS)
    ours = {name for name, *_ in OPTIONS} | set(_LOCUSTS)
    axes: list[Axis] = []
    for key, listed in table.items():
        where = f"axes.{key}"
        if key == "order":
            continue
        if key == PORT or not _AXIS.fullmatch(key):
            problems.add(f"{where}: give an option's name without dashes, or a word of small letters")
        elif not isinstance(listed, list) or not listed:
            problems.add(f'{where} = {listed!r}: give a list of values, e.g. {key} = ["a", "b"]')
        else:
            given = [options({key: value}, where, problems).get(key) for value in listed]
            known = tuple(value for value in given if value is not None)
            if len(set(known)) < len(known):
                problems.add(f"{where} = {listed!r}: a value stands there twice; rounds repeat runs")
            axes.append(Axis(key, known, key in ours))
    return tuple(axes), order


def check_axes(
    axes: Sequence[Axis],
    named: AbstractSet[str],
    own: Sequence[Collection[str]],
    problems: Problems,
) -> None:
    """Every axis must be of use: `named` in some target's text, or an option that not all targets have of their `own`."""
    for axis in axes:
        if axis.is_option:
            if axis.name not in named and all(axis.name in names for names in own):
                problems.add(
                    f"axes.{axis.name}: every target has its own {axis.name} in its options, so there is nothing to "
                    "multiply; give it in one place"
                )
        elif axis.name not in named:
            problems.add(
                f"axes.{axis.name}: neither an option of tokenswarm nor in any target's text as {{{axis.name}}}; "
                f'write it there, e.g. serve = "... --flag {{{axis.name}}}"'
            )
        elif any(isinstance(value, bool) for value in axis.values):
            problems.add(f"axes.{axis.name}: true and false have no text here; write them in quotes")
