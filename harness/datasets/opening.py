"""Opening a dataset: one pass over all of it, before load, so that whatever is wrong is said with its line.

The rule: an entry is at fault or usable, and the first fault ends it. Memory does not grow with the file but for
where entries begin: 8 bytes for one in `SPARSE`, or for each where the order is to be shuffled.
"""

from array import array
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from harness.backends.fields import Json, printable
from harness.datasets import images, jsonl, sharegpt
from harness.datasets.dataset import Contents, Dataset, loaded, told, understood
from harness.datasets.entries import Read, Unusable
from harness.datasets.form import Form, Kind, sniff
from harness.datasets.lines import ENTRY_BYTES, Span
from harness.datasets.order import Order, shuffled
from harness.errors import ConfigError

__all__ = ["SPARSE", "Progress", "from_lines", "open_dataset"]

SPARSE: Final = 1_024
_TELL_BYTES: Final = 4_000_000
_SEEN: Final = 100_000  # images remembered, so that they are not looked at again
_NAMED: Final = 12  # keys
_KEYS: Final = jsonl.KEYS | sharegpt.KEYS

Progress = Callable[[int, int], None]
"""Told of the bytes that are checked, and of all."""


def _quiet(_done: int, _total: int) -> None:
    """For those who need not be told."""


def open_dataset(
    path: Path, *, order: Order = Order.FILE, seed: int = 0, progress: Progress = _quiet
) -> Dataset:
    """Check a file of prompts or conversations.

    It takes some seconds a gigabyte, so a process that has more to do calls it in a thread.

    Raises:
        ConfigError: the file, the line or element, what is wrong and what would be right.
    """
    survey = _Survey(path, sniff(path), 1 if order is Order.SHUFFLED else SPARSE, images.check)
    return survey.dataset(progress, seed if order is Order.SHUFFLED else None)


def from_lines(path: Path) -> Dataset:
    """A share that `Dataset.share` made, from the file that it was kept in, in its order.

    Raises:
        ConfigError: it is not as it was made.
    """
    survey = _Survey(path, Form(Kind.LINES, 0), SPARSE, lambda _: 0, numbered=True)
    return survey.dataset(_quiet, None)


class _Survey:
    """What is found on the way through a file."""

    def __init__(
        self, path: Path, form: Form, every: int, check: Callable[[str], int], *, numbered: bool = False
    ) -> None:
        self._path, self._form, self._every, self._check = path, form, every, check
        self._numbered = numbered
        self._begins = array("q")
        self._skipped: set[int] = set()
        self._entries = self._turns = self._most_turns = self._with_images = self._with_lengths = 0
        self._extremes: dict[str, tuple[int, int]] = {}  # (characters or tokens, number of the first)
        self._unread: dict[str, None] = {}  # in the order of their coming
        self._seen: dict[str, int] = {}

    def dataset(self, progress: Progress, seed: int | None) -> Dataset:
        """Go through it. A seed: for a shuffled order.

        Raises:
            ConfigError: something is wrong.
        """
        try:
            with self._path.open("rb") as file:
                found = self._path.stat()
                self._go_through(file, found.st_size, progress)
        except OSError as error:
            raise ConfigError(
                f"{self._path}: cannot be read ({error.strerror or error}); restore it"
            ) from error
        if not self._entries:
            why = "no conversation in which the user says anything" if self._skipped else "no entries"
            raise ConfigError(f"{self._path}: has {why}; give at least one")
        return Dataset(
            path=self._path,
            form=self._form,
            contents=self._contents,
            begins=np.frombuffer(self._begins, np.int64),
            every=self._every,
            stamp=(found.st_size, found.st_mtime_ns),
            skipped=frozenset(self._skipped),
            order=None if seed is None else shuffled(self._entries, seed),
            numbered=self._numbered,
        )

    @property
    def _contents(self) -> Contents:
        return Contents(
            entries=self._entries,
            turns=self._turns,
            most_turns=self._most_turns,
            with_images=self._with_images,
            with_output_tokens=self._with_lengths,
            skipped=len(self._skipped),
            unread=tuple(self._unread),
            extremes=tuple(sorted({number for _, number in self._extremes.values()})),
        )

    def _go_through(self, file: BinaryIO, size: int, progress: Progress) -> None:
        place, tell = 0, _TELL_BYTES
        try:
            for span in self._form.spans(file):
                place = span.place
                self._take(span)
                if span.begin >= tell:
                    tell = span.begin + _TELL_BYTES
                    progress(span.begin, size)
        except Unusable as problem:
            where = f"{self._form.unit} {problem.place or place}"
            raise ConfigError(f"{self._path} {where}: {problem}") from problem
        progress(size, size)

    def _take(self, span: Span) -> None:
        """Check one entry and count it.

        Raises:
            Unusable: what is wrong with it.
        """
        read = told(span.data) if self._form.kind is Kind.TEXT else self._read(loaded(span.data))
        if read is None:
            self._skipped.add(span.begin)
            return
        if self._entries % self._every == 0:
            self._begins.append(span.begin)
        self._note(read)
        self._entries += 1
        turns = sum(turn.role == "user" for turn in read.turns)
        self._turns += turns
        self._most_turns = max(self._most_turns, turns)
        self._with_lengths += read.output_tokens is not None
        pictures = [image for turn in read.turns for image in turn.images]
        self._with_images += bool(pictures)
        if (size := len(span.data) + sum(map(self._size, pictures))) > ENTRY_BYTES:
            raise Unusable(
                f"has {size // 10**6} MB with its images, over {ENTRY_BYTES // 10**6}; scale them down"
            )

    def _note(self, read: Read) -> None:
        """Whether an entry, which is not counted yet, is the longest so far of its kind, or wants the longest answer."""
        size = sum(len(turn.text) for turn in read.turns)
        if read.output_tokens is None:
            sizes = {"without": size}
        else:
            sizes = {"with": size, "answer": read.output_tokens}
        for what, much in sizes.items():
            if much > self._extremes.get(what, (-1, 0))[0]:
                self._extremes[what] = (much, self._entries)

    def _read(self, value: Json) -> Read | None:
        if self._numbered:
            if type(value.get("number")) is not int:
                raise Unusable("has no number, so it is not of a dataset's share; hand it out anew")
        elif len(self._unread) < _NAMED:
            unread = (printable(key)[:60] for key in value if key not in _KEYS)
            self._unread.update(dict.fromkeys(islice(unread, _NAMED - len(self._unread))))
        return understood(value, self._path.parent)

    def _size(self, image: str) -> int:
        """Of an image file, as a data URL; one in the file itself is in the entry's size.

        Raises:
            Unusable: it cannot be sent.
        """
        if image.startswith(jsonl.DATA):
            self._check(image)
            return 0
        if image not in self._seen:
            if len(self._seen) >= _SEEN:
                self._seen.clear()
            self._seen[image] = self._check(image)
        return self._seen[image]
