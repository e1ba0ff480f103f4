"""Journals of any number of processes into one requests.parquet: streamed, every request once, on one clock.

The rule: a table only gains. Rows that were there stay as they are and come first; a record joins them if its
`request_id` is not there yet. So a journal may be merged again, a copy or a beginning of it may have been merged before, and
a merge that a crash cut short is simply done again. The new table takes the old one's place in one step.

Journals are read a megabyte at a time, so the memory that this takes does not grow with them, but for
some 24 bytes a request: the hashes by which doubled ones are found. Damage is counted and never fatal: a torn or garbled line, a
kind that nobody knows, a value that does not fit its field.

What the journals say besides records is handed on in `Told`. Nothing is deleted here.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from harness import columns, files, journal, rows
from harness.shift import Shift
from harness.volume import Line, Volume
from harness.windows import Ints

__all__ = ["Count", "Told", "merge"]

_PIECE: Final = 8 * 1024 * 1024
_CLOCK: Final = b'{"kind":"clock",'

Count = Callable[[Line], Line]  # a record's line with text in, the line with its tokens counted out


@dataclass(slots=True)
class Told:
    """What all of them held."""

    journals: list[Volume] = field(default_factory=list)
    before: int = 0  # rows that were there
    rows: int = 0  # that are there now
    last_ns: int = 0  # when the last request that was read ended, Unix time; 0: none was

    @property
    def garbled(self) -> int:
        """Lines that could not be read."""
        return sum(one.garbled for one in self.journals)


def merge(
    table: Path, paths: Sequence[Path], tails: Mapping[Path, bytes] | None = None, count: Count | None = None
) -> Told:
    """Put all records of these journals into `table`, which may be there or not.

    Args:
        table: requests.parquet.
        paths: journals, in the order in which their records are to stand.
        tails: what a journal's disk could not take; read as its end.
        count: called for each record that still has its text.

    Raises:
        OSError: the disk refused; `table` is as it was.
        ConfigError: `table` is damaged.
    """
    told = Told()
    sources = [(path, (tails or {}).get(path, b"")) for path in paths]
    collects = gc.isenabled()
    gc.disable()  # it would look through every line again and again, and there are no cycles in them
    try:
        told.rows = files.place(table, lambda beside: _write(beside, table, sources, count, told))
    finally:
        if collects:
            gc.enable()
    return told


def _write(
    beside: Path,
    table: Path,
    sources: Sequence[tuple[Path, bytes]],
    count: Count | None,
    told: Told,
) -> int:
    hashes, ends = [np.empty(0, np.int64)], []
    with rows.Writer(beside) as file:
        for group in rows.groups(table) if table.is_file() else ():
            file.add(group)
            hashes.append(_hashes(group))
        told.before = file.written
        ends.append(file.written)
        for path, tail in sources:
            volume = Volume(path, path.stat().st_size)
            told.journals.append(volume)
            for part in _parts(volume, tail, count):
                file.add(part)
                time.sleep(
                    0
                )  # in a master this lets gevent's loop have its turn: workers want to hear something
                hashes.append(_hashes(part))
                told.last_ns = max(told.last_ns, pc.max(part.column("end_ns")).as_py())
            ends.append(file.written)
    doubled = _doubled(beside, np.concatenate(hashes), told.before)
    for volume, (begin, end) in zip(told.journals, pairwise(ends), strict=True):
        volume.records, volume.doubled = end - begin, int(doubled[begin:end].sum())
    if doubled.any():
        files.place(beside, lambda again: _without(doubled, beside, again))
    return file.written - int(doubled.sum())


def _hashes(part: pa.Table) -> Ints:
    ids = part.column("request_id").to_pylist()
    return np.fromiter(map(hash, ids), np.int64, len(ids))


def _doubled(path: Path, hashes: Ints, before: int) -> npt.NDArray[np.bool_]:
    """Which rows repeat an earlier one; of those `before` it, none does.

    Hashes only say which rows to look at: two requests may share one.
    """
    doubled = np.zeros(len(hashes), dtype=bool)
    order = np.argsort(hashes, kind="stable")
    alike = hashes[order[1:]] == hashes[order[:-1]]
    if not alike.any():
        return doubled
    suspect = doubled.copy()
    suspect[order[1:][alike]] = suspect[order[:-1][alike]] = True
    seen, at = set(), 0
    for ids in rows.ids(path):
        for index in np.flatnonzero(suspect[at : at + len(ids)]).tolist():
            name = ids[index]
            doubled[at + index] = name is not None and name in seen and at + index >= before
            seen.add(name)
        at += len(ids)
    return doubled


def _without(doubled: npt.NDArray[np.bool_], source: Path, target: Path) -> None:
    at = 0
    with rows.Writer(target) as file:
        for group in rows.groups(source):
            file.add(group.filter(pa.array(~doubled[at : at + group.num_rows])))
            at += group.num_rows


def _parts(volume: Volume, tail: bytes, count: Count | None) -> Iterator[pa.Table]:
    """The journal's records as rows; what else it says goes to `volume`."""
    shift = Shift.of(_clocks(volume.path, tail))
    for lines in journal.blocks(volume.path, tail):
        pairs, garbled = journal.parse(lines)
        volume.garbled += garbled
        records = [value for kind, value in pairs if kind == "record"]
        if len(records) < len(pairs):
            volume.note(pairs, shift)
        if count is not None:
            records = [count(value) if value.get("text") else value for value in records]
        part, strange = columns.of_lines(records, shift)
        volume.garbled += strange
        if part.num_rows:
            yield part


def _clocks(path: Path, tail: bytes) -> Iterator[Line]:
    """The values of a journal's `clock` lines, found without reading the others."""
    rest = b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            piece += file.readline()
            if not piece.endswith(b"\n"):  # the file's last
                rest = piece[piece.rfind(b"\n") + 1 :]
            yield from _clocks_in(piece)
    yield from _clocks_in(rest + tail)


def _clocks_in(piece: bytes) -> Iterator[Line]:
    """Of whole lines."""
    at = piece.find(_CLOCK)
    while at >= 0:
        end = piece.find(b"\n", at)
        end = len(piece) if end < 0 else end
        whole = at == 0 or piece[at - 1] == ord("\n")  # and not a text that quotes one
        pairs, _ = journal.parse([piece[at:end]] if whole else [])
        yield from (value for _, value in pairs)
        at = piece.find(_CLOCK, end)
