"""Where a fetched parcel goes: to memory, or to a file that gets its name only when it is whole.

The rule: a sink holds the beginning of its parcel, nothing else, at any time; so a fetch that was cut short,
be it by the end of the process, is continued from there. What its bytes should be, a sink does not know.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

_SLICE: Final = 1024 * 1024


class FetchError(Exception):
    """A parcel that did not come. The text is one line and names it, or the file that refused it."""


class Sink(Protocol):
    """Where a parcel goes. All of it is called in threads, one call at a time; each may raise FetchError."""

    def kept(self) -> Iterator[bytes]:
        """What is here of it from an earlier try, from its beginning; called first."""

    def write(self, at: int, data: bytes) -> None:
        """Keep these bytes, which follow what is kept."""

    def drop(self) -> None:
        """Throw away what is kept."""

    def finish(self, size: int) -> None:
        """All `size` bytes are there and are the right ones."""


class MemorySink:
    """Keeps the parcel as `data`."""

    def __init__(self) -> None:
        self._kept = bytearray()

    @property
    def data(self) -> bytes:
        """What has come so far."""
        return bytes(self._kept)

    def kept(self) -> Iterator[bytes]:
        """What is here of it."""
        yield bytes(self._kept)

    def write(self, at: int, data: bytes) -> None:
        """Keep these bytes."""
        self._kept[at : at + len(data)] = data

    def drop(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def finish(self, size: int) -> None:
        """Nothing more to do."""


class FileSink:
    """Keeps the parcel in `path` + `.part`, and renames that to `path` when it is whole and on the disk.

    The file is opened for each piece: a fetch may be cut short at any time, its thread finishing a write that
    the next fetch repeats, in the same place, with the same bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(f"{path.name}.part")

    def kept(self) -> Iterator[bytes]:
        """What is in the part, which is there from now on."""
        with self._refusals(), self.part.open("a+b") as file:
            file.seek(0)
            while found := file.read(_SLICE):
                yield found

    def write(self, at: int, data: bytes) -> None:
        """Write to the part; what the disk takes before it refuses stays."""
        with self._refusals(), self.part.open("r+b", buffering=0) as file:
            file.seek(at)
            while data:
                data = data[file.write(data) :]

    def drop(self) -> None:
        """Remove the part."""
        with self._refusals():
            self.part.unlink(missing_ok=True)

    def finish(self, size: int) -> None:
        """Have the disk hold all of it, then give it its name."""
        with self._refusals():
            with self.part.open("r+b") as file:
                if (found := os.fstat(file.fileno()).st_size) != size:
                    raise OSError(None, f"has {found} bytes and should have {size}; does another run use it?")
                os.fsync(file.fileno())
            self.part.replace(self.path)
        with suppress(OSError):  # not every system opens a directory
            directory = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)  # the sender deletes its own: the new name must outlive a power cut
            finally:
                os.close(directory)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FetchError(
                f"{self.part}: cannot keep what was fetched ({error.strerror or error}); mend that and fetch "
                "again: what has come so far stays"
            ) from error
