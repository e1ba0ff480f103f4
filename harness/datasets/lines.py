"""Where the entries of a file begin and end, for a file of lines.

A line ends with LF or CR LF and nothing else, so that a text may have any other break in it. Blank lines
are no entries. Never more than one line is in memory.
"""

from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from harness.datasets.entries import Unusable

__all__ = ["ENTRY_BYTES", "Span", "lines", "too_long"]

ENTRY_BYTES: Final = 64_000_000  # images as data URLs included


class Span(NamedTuple):
    """One entry's bytes. `place`: its line or element, from 1 where reading began."""

    begin: int
    place: int
    data: bytes


def lines(file: BinaryIO, begin: int) -> Iterator[Span]:
    """The lines from a byte offset on, without their ends.

    Raises:
        Unusable: one is longer than `ENTRY_BYTES`.
    """
    file.seek(begin)
    place = 0
    while data := file.readline(ENTRY_BYTES + 1):
        place += 1
        if len(data) > ENTRY_BYTES:
            raise too_long(place)
        if not data.isspace():
            yield Span(begin, place, data.rstrip(b"\r\n"))
        begin += len(data)


def too_long(place: int) -> Unusable:
    """For an entry that goes on for too long."""
    return Unusable(
        f"is longer than {ENTRY_BYTES // 10**6} MB; give one entry a line, or a JSON array of them", place
    )
