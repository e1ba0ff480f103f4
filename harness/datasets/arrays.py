"""Where the entries of a file begin and end, for one JSON array of objects, as ShareGPT's files are.

Brackets are counted outside strings, block by block, so that never more than one element and a block are in
memory. What is between an element's brackets is looked at by nobody here: whether it is JSON shows when it is read.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from harness.datasets.entries import Unusable, shown
from harness.datasets.lines import ENTRY_BYTES, Span, too_long

__all__ = ["elements"]

BLOCK: Final = 65_536  # bytes; a block more than doubles what an unfinished element has so far

_BLANK: Final = re.compile(rb"[ \t\r\n]*+")
# Everything up to the next bracket outside a string. The group is that bracket; the quote of a string whose end is
# not here yet; or empty where nothing came. Possessive throughout: it never goes back, however long a string is.
_PLAIN: Final = rb"[\x00-!#-\[\]-\xff]*+"  # neither quote nor backslash; as [^"\\] it is slower by half
_SKIP: Final = re.compile(
    rb'(?:[^"\[\]{}]++|"' + _PLAIN + rb"(?:\\." + _PLAIN + rb')*+")*+([\[\]{}"]?)', re.DOTALL
)


def elements(file: BinaryIO, begin: int) -> Iterator[Span]:
    """The elements from a byte offset on: after the array's `[`, or where an element begins.

    Raises:
        Unusable: the array is not one of objects, or ends too early or too late.
    """
    window = _Window(file, begin)
    place = 1
    after = b""
    while (head := window.head()) != b"]" or after == b",":
        if head != b"{":
            raise Unusable(_odd(head), place)
        yield window.element(place)
        after = window.head()
        if after not in (b",", b"]"):
            raise Unusable(_unparted(after), place)
        if after == b",":
            window.pass_one()
            place += 1
    window.pass_one()
    if rest := window.head():
        raise Unusable(
            f"the array ends after it, but {shown(_text(rest))} follows; remove what follows", place
        )


class _Window:
    """The part of a file that is looked at. `at`: how far, in the buffer."""

    def __init__(self, file: BinaryIO, begin: int) -> None:
        self._file = file
        self._file.seek(begin)
        self._buffer = b""
        self._base = begin  # of the buffer's first byte, in the file
        self._at = 0

    def head(self) -> bytes:
        """The next byte that is not white space, which stays; nothing at the file's end."""
        while True:
            blank = _BLANK.match(self._buffer, self._at)
            self._at = blank.end() if blank else self._at
            if self._at < len(self._buffer) or not self._more():
                return self._buffer[self._at : self._at + 1]

    def pass_one(self) -> None:
        """Go on by a byte."""
        self._at += 1

    def element(self, place: int) -> Span:
        """What begins here with a bracket, up to the bracket that closes it.

        Raises:
            Unusable: there is none.
        """
        depth, look = 0, self._at
        while True:
            found = _SKIP.match(self._buffer, look)
            bracket = found[1] if found else b""
            look = found.end() if found else look
            if bracket in (b"{", b"["):
                depth += 1
            elif bracket in (b"}", b"]"):
                depth -= 1
                if depth == 0:
                    return self._taken(look, place)
            else:  # an open string is looked at again from its quote
                look -= len(bracket) + self._at
                if len(self._buffer) - self._at > ENTRY_BYTES:
                    raise too_long(place)
                if not self._more():
                    raise Unusable("is not complete: the file ends in it; restore the file", place)

    def _taken(self, end: int, place: int) -> Span:
        span = Span(self._base + self._at, place, self._buffer[self._at : end])
        self._at = end
        return span

    def _more(self) -> bool:
        """Read on, and forget what has been passed; False at the file's end. `at` is 0 afterwards."""
        rest = self._buffer[self._at :]
        block = self._file.read(max(BLOCK, len(rest)))
        self._base += self._at
        self._buffer, self._at = rest + block, 0
        return bool(block)


def _odd(head: bytes) -> str:
    if not head:
        return "is missing: the file ends before it, without the array's ]; restore the file"
    return f"begins with {shown(_text(head))}, so it is not an object; give objects, with commas between them"


def _unparted(after: bytes) -> str:
    if not after:
        return "is the last, but the array has no ]; restore the file"
    return f"is followed by {shown(_text(after))}; put a comma between elements, and ] after the last"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
