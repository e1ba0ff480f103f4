"""A dataset, read as often as wanted, an entry at a time.

Everything in it has been checked before by `opening`, which also knows where its entries begin: one in so many in file
order, each where the order is shuffled. So nothing is checked twice but that the file is the one that was.

A `Dataset` may be read by several at the same time; each reading has its own file. It does not read ahead: that is
`stream`'s.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt
import orjson

from harness.backends.fields import Json
from harness.datasets import images, jsonl, sharegpt
from harness.datasets.entries import Entry, Read, Turn, Unusable, line, shown
from harness.datasets.form import Form, Kind
from harness.datasets.lines import Span
from harness.datasets.order import Numbers, Share
from harness.errors import ConfigError

__all__ = ["Contents", "Dataset", "loaded", "told", "understood"]

_WHOLE: Final = "write whole objects, one a line, or an array of them"


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a dataset."""

    entries: int
    turns: int  # of the user, in all entries
    most_turns: int  # of the user, in one entry
    with_images: int  # entries
    with_output_tokens: int  # entries
    skipped: int  # ShareGPT's conversations in which the user says nothing
    unread: tuple[str, ...]  # keys that entries have and nobody reads, some of them
    extremes: tuple[
        int, ...
    ] = ()  # numbers: most text, with and without a length for the answer; longest answer


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A file of entries. `order` has their numbers as they are gone through; None: as they stand in the file."""

    path: Path
    form: Form
    contents: Contents
    begins: npt.NDArray[np.int64]  # bytes, of the entries 0, `every`, 2 `every`, ...
    every: int
    stamp: tuple[int, int]  # the file's size and time of change, when it was checked
    skipped: frozenset[int] = field(default=frozenset(), repr=False)  # where entries begin that are not used
    order: Numbers | None = None
    numbered: bool = False  # its entries say their numbers

    def __len__(self) -> int:
        return self.contents.entries

    def entries(self, share: Share = Share(), start: int = 0) -> Iterator[Entry]:  # noqa: B008  a constant
        """One pass over a share of it, from position `start` of the whole on. Images are paths or data URLs.

        Raises:
            ConfigError: the file is gone or not the one that was checked.
        """
        nth, of = share.among(len(self))
        first = start + (nth - start) % of
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                if (found.st_size, found.st_mtime_ns) != self.stamp:
                    raise self._changed("its size or time is another")
                if self.order is None:
                    yield from self._in_file(file, first, of)
                else:
                    yield from self._jumping(file, self.order, range(first, len(self), of))
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read any more ({error.strerror or error})") from error
        except Unusable as problem:
            raise self._changed(str(problem)) from problem

    def share(self, share: Share, most: int | None = None) -> Iterator[bytes]:
        """A share as lines without their ends, images and all; `most`: of the first so many positions only.

        Raises:
            ConfigError: as `entries`, or an image is gone.
        """
        cache = images.Cache()
        left = None if most is None else share.size(min(most, len(self))) if most > 0 else 0
        for at, entry in enumerate(self.entries(share)):
            if left is not None and at >= left:
                return
            try:
                yield line(entry._replace(turns=cache.embed(entry.turns)))
            except Unusable as problem:
                raise ConfigError(f"{self.path} entry {entry.number + 1}: {problem}") from problem

    def describe(self) -> str:
        """What it is, in one line."""
        seen = self.contents
        what = "prompts" if seen.most_turns == 1 else "conversations"
        parts = [f"{self.path.name}: {seen.entries:,} {what} ({self.form.kind})"]
        if seen.most_turns > 1:
            parts.append(f"{seen.turns:,} turns of the user")
        if seen.with_images:
            parts.append(f"{seen.with_images:,} with images")
        if seen.with_output_tokens:
            parts.append(f"{seen.with_output_tokens:,} with a length for the answer")
        if seen.skipped:
            parts.append(f"{seen.skipped:,} skipped, in which the user says nothing")
        if seen.unread:
            parts.append(f"keys not read: {', '.join(seen.unread)}")
        return "; ".join(parts)

    def _in_file(self, file: BinaryIO, first: int, of: int) -> Iterator[Entry]:
        """Every `of`-th entry from number `first` on, as they stand in the file."""
        if first >= len(self):
            return
        known = first // self.every
        spans = self.form.spans(file, int(self.begins[known]))
        used = (span for span in spans if span.begin not in self.skipped)
        numbers = range(first, len(self), of)
        mine = islice(used, first - known * self.every, None, of)
        for number in numbers:
            yield self._entry(_there(next(mine, None)), number)

    def _jumping(self, file: BinaryIO, order: Numbers, positions: range) -> Iterator[Entry]:
        """The entries at these positions of an order."""
        for position in positions:
            number = int(order[position])
            span = next(self.form.spans(file, int(self.begins[number])), None)
            yield self._entry(_there(span), number)

    def _entry(self, span: Span, number: int) -> Entry:
        if self.form.kind is Kind.TEXT:
            return Entry(number, told(span.data).turns)
        value = loaded(span.data)
        read = understood(value, self.path.parent)
        if read is None:
            raise Unusable("the user says nothing in an entry any more")
        return Entry(value["number"] if self.numbered else number, *read)

    def _changed(self, why: str) -> ConfigError:
        return ConfigError(
            f"{self.path}: changed after it was checked ({why}); leave a dataset alone while a run reads it"
        )


def _there(span: Span | None) -> Span:
    if span is None:
        raise Unusable("it ends too early")
    return span


def told(data: bytes) -> Read:
    """A line of plain text as a prompt.

    Raises:
        Unusable: it is not UTF-8.
    """
    try:
        return Read((Turn("user", data.decode()),))
    except UnicodeDecodeError as error:
        raise Unusable(
            f"is not UTF-8 (byte {data[error.start]:#04x} at column {error.start + 1}); save the file as UTF-8"
        ) from error


def loaded(data: bytes) -> Json:
    """The object of one line or element.

    Raises:
        Unusable: it is none.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Unusable(
            f"is not JSON: {error.msg} at column {error.pos + 1} of {_head(data)}; {_WHOLE}"
        ) from error
    if not isinstance(value, dict):
        raise Unusable(f"is {shown(value)}, not an object; {_WHOLE}")
    return value


def understood(value: Json, folder: Path) -> Read | None:
    """What an object says, whichever format it is of; None if it is one to be skipped.

    Raises:
        Unusable: what is wrong with it.
    """
    return sharegpt.read(value) if "conversations" in value else jsonl.read(value, folder)


def _head(data: bytes) -> str:
    return shown(data[:200].decode("utf-8", "replace"))
