"""What kind of file a dataset is: told by how it begins, never by its name, but for plain text in *.txt."""

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from harness.datasets.arrays import elements
from harness.datasets.entries import shown
from harness.datasets.lines import Span, lines
from harness.errors import ConfigError

__all__ = ["Form", "Kind", "sniff"]

_LOOK: Final = 65_536  # bytes
_BOM: Final = b"\xef\xbb\xbf"
_MAKE: Final = "give JSONL (one object a line) or a JSON array of objects"

# What people hand over by mistake, by its first bytes.
_OTHERS: Final = (
    (b"\x1f\x8b", f"is compressed with gzip; gunzip it: {_MAKE}"),
    (b"\x28\xb5\x2f\xfd", f"is compressed with zstd; unpack it: {_MAKE}"),
    (b"PK\x03\x04", f"is a zip archive; unpack it: {_MAKE}"),
    (b"PAR1", f"is a Parquet file; {_MAKE}, e.g. by pandas' to_json(orient='records', lines=True)"),
    (b"\xff\xfe", "is UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16; save it as UTF-8"),
)
# JSON in a *.txt all the same; other texts may well begin with a bracket, as in "[INST] Hi".
_JSON_LINES: Final = re.compile(rb'\s*\{\s*"(prompt|messages|conversations|[\w-]{1,40})"\s*:')
_JSON_ARRAY: Final = re.compile(rb'\s*\[\s*\{\s*"')


class Kind(StrEnum):
    """How a file is cut into entries."""

    LINES = "JSONL"
    ARRAY = "JSON array"
    TEXT = "plain text"


class Form(NamedTuple):
    """A file's kind, and the byte at which its entries begin."""

    kind: Kind
    begin: int

    @property
    def unit(self) -> str:
        """What an entry is called in an error."""
        return "element" if self.kind is Kind.ARRAY else "line"

    def spans(self, file: BinaryIO, begin: int | None = None) -> Iterator[Span]:
        """Its entries from the first on, or from the one that begins at that byte.

        Raises:
            Unusable: the file is not cut as it should be.
        """
        cut = elements if self.kind is Kind.ARRAY else lines
        return cut(file, self.begin if begin is None else begin)


def sniff(path: Path) -> Form:
    """What this file is.

    Raises:
        ConfigError: it cannot be read, is empty, or nothing that we know.
    """
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is not a file; a dataset is read more than once, so give a plain file")
    try:
        with path.open("rb") as file:
            head = file.read(_LOOK)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read ({reason}); give the path of a dataset") from error
    for begin, problem in _OTHERS:
        if head.startswith(begin):
            raise ConfigError(f"{path}: {problem}")
    skipped = len(_BOM) if head.startswith(_BOM) else 0
    return _told(path, head[skipped:], skipped)


def _told(path: Path, head: bytes, begin: int) -> Form:
    first = head.lstrip()[:1]
    if not first:
        raise ConfigError(f"{path}: is empty; {_MAKE}")
    is_text = path.suffix.lower() == ".txt"
    if is_text and not _JSON_LINES.match(head) and not _JSON_ARRAY.match(head):
        return Form(Kind.TEXT, begin)
    if first == b"[":
        return Form(Kind.ARRAY, begin + head.index(b"[") + 1)
    if first == b"{":
        return Form(Kind.LINES, begin)
    said = shown(head.lstrip()[:40].split(b"\n")[0].decode("utf-8", "replace"))
    raise ConfigError(f"{path}: begins with {said}; {_MAKE}, or one prompt a line in a file named *.txt")
