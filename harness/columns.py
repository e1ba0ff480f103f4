"""Requests of a journal as rows of the table, thousands at once.

The rule: what comes out holds, value for value, what `journal.unpack` and `RequestRecord.row` make of each line by
itself. These stay the definition; here the same is computed for whole columns, because a million requests one by one take
most of a minute. A block in which anything is out of the ordinary (a word nobody knows, a number that a float does not
hold exactly, damage) is left to the definition, one request at a time, and what it refuses is counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness import rows
from harness.journal import ENUMS, FIELDS, INTEGERS, unpack
from harness.record import STAMPS
from harness.shift import FAR_NS, Shift
from harness.windows import Floats, Ints

__all__ = ["of_lines"]

Lines = Sequence[Mapping[str, Any]]

EXACT: Final = 2**53  # floats hold every integer below it

_STORED: Final = {name: default for name, default in FIELDS.items() if name != "text"}
_ALWAYS: Final = frozenset(name for name, default in _STORED.items() if default is not None)
_WORDS: Final = {name: frozenset((*words, None)) for name, words in ENUMS.items()}
_REFUSED: Final = (TypeError, ValueError, OverflowError, pa.ArrowException)


class _Unusual(Exception):
    """A block that is not to be computed here."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A column of integers, and where there is one; 0 stands elsewhere."""

    values: Ints
    there: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, column: pa.Array) -> Self:
        values = column.fill_null(0).to_numpy(zero_copy_only=False)
        return cls(values, column.is_valid().to_numpy(zero_copy_only=False))

    def within(self, limit: int) -> Self:
        if len(self.values) and max(-int(self.values.min()), int(self.values.max())) >= limit:
            raise _Unusual
        return self


def of_lines(lines: Lines, shift: Shift) -> tuple[pa.Table, int]:
    """The rows of those lines that are records, in order, stamps shifted; and how many are none."""
    try:
        return _together(lines, shift), 0
    except (*_REFUSED, _Unusual):
        return _one_by_one(lines, shift)


def _together(lines: Lines, shift: Shift) -> pa.Table:
    columns = {name: _column(name, values, len(lines)) for name, values in _values(lines).items()}
    stamps = {name: _Known.of(columns[name]).within(FAR_NS) for name in STAMPS}
    columns |= _figures(stamps, columns)
    offsets = shift.at(stamps["end_ns"].values)
    columns["clock_offset_ns"] = pa.array(offsets)
    if offsets.any():
        columns |= {
            name: pa.array(stamp.values - offsets, mask=~stamp.there) for name, stamp in stamps.items()
        }
    return pa.table([columns[name] for name in rows.COLUMNS], schema=rows.ARROW)


def _values(lines: Lines) -> dict[str, Sequence[Any] | None]:
    """Each stored field of all lines; None where it is null in all."""
    some = frozenset[str]().union(*lines)
    shared = some.intersection(*lines)
    every = [name for name in _STORED if name in shared]
    # What every line has is taken out of it in one call: asked field by field, this was a fifth of the whole merge.
    taken = zip(*map(itemgetter(*every), lines), strict=True) if len(every) > 1 else ()
    found = dict(zip(every, taken, strict=False))
    return {
        name: found.get(name) or _asked(lines, name, default) if name in some or default is not None else None
        for name, default in _STORED.items()
    }


def _asked(lines: Lines, name: str, default: object) -> list[Any]:
    return [line.get(name, default) for line in lines]


def _column(name: str, values: Sequence[Any] | None, length: int) -> pa.Array:
    """One field of all lines, sound."""
    kind = rows.ARROW.field(name).type
    if values is None:
        return pa.nulls(length, kind)
    if name in INTEGERS:
        column = pa.array(values)  # as what they are: told to make integers of them, it would round 5.5
        column = pa.nulls(length, kind) if pa.types.is_null(column.type) else column
    else:
        column = pa.array(values, kind)
    if column.type != kind or (name in _ALWAYS and column.null_count):
        raise _Unusual
    if name in _WORDS and not _WORDS[name].issuperset(values):
        raise _Unusual
    return column


def _figures(stamps: Mapping[str, _Known], columns: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """The derived figures; `RequestRecord`'s properties of the same names say what they are."""
    streamed = columns["streamed"].to_numpy(zero_copy_only=False)
    due = stamps["scheduled_ns"]
    sent, first, last = (stamps[f"{name}_ns"] for name in ("sent", "first_content", "last_content"))
    output, prompt, of_first = (
        _Known.of(columns[name]).within(EXACT)
        for name in ("output_tokens", "prompt_tokens", "first_chunk_tokens")
    )
    ttft, ttft_there = _ms(sent, first)
    ttfa, ttfa_there = _ms(sent, stamps["first_answer_ns"])
    e2e, e2e_there = _ms(sent, last)
    late_ttft, late_ttft_there = _ms(due, first)
    late_e2e, late_e2e_there = _ms(due, last)
    tokens = output.values - np.where(of_first.values == 0, 1, of_first.values)
    elapsed, both = _apart(first, last)
    decoded = streamed & output.there & both & (tokens >= 1) & (elapsed > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "ttft_ms": _floats(ttft, ttft_there & streamed),
            "ttfa_ms": _floats(ttfa, ttfa_there & streamed),
            "e2e_ms": _floats(e2e, e2e_there),
            "ttft_scheduled_ms": _floats(late_ttft, late_ttft_there & streamed),
            "e2e_scheduled_ms": _floats(late_e2e, late_e2e_there),
            "tpot_ms": _floats(elapsed / tokens / 1e6, decoded),
            "output_tokens_per_s": _floats(tokens * 1e9 / elapsed, decoded),
            "total_tokens_per_s": _floats(
                (prompt.values + output.values) * 1e3 / e2e,
                e2e_there & prompt.there & output.there & (e2e > 0),
            ),
        }


def _apart(start: _Known, end: _Known) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """End - start in ns where both are there, 0 elsewhere."""
    there = start.there & end.there
    apart = np.where(there, end.values - start.values, 0)
    _Known(apart, there).within(EXACT)
    return apart, there


def _ms(start: _Known, end: _Known) -> tuple[Floats, npt.NDArray[np.bool_]]:
    apart, there = _apart(start, end)
    return apart / 1e6, there


def _floats(values: Floats, there: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array(values, pa.float64(), mask=~there)


def _one_by_one(lines: Lines, shift: Shift) -> tuple[pa.Table, int]:
    made = []
    for line in lines:
        try:
            record = unpack(line)
            made.append(record.row(0, shift.at_one(record.end_ns)))
        except _REFUSED:
            continue
    tables = _fitting(made)
    table = pa.concat_tables([rows.ARROW.empty_table(), *tables])
    return table, len(lines) - table.num_rows


def _fitting(made: list[dict[str, Any]]) -> list[pa.Table]:
    """As many of the rows as the schema takes."""
    if not made:
        return []
    try:
        return [rows.of_rows(made)]
    except _REFUSED:
        half = len(made) // 2
        return [] if not half else [*_fitting(made[:half]), *_fitting(made[half:])]
