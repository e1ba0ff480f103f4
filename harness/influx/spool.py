"""Batches of lines, compressed as they are sent, and the file where they wait while InfluxDB is away.

The rule: a batch that was appended comes back whole and in order, or the caller is told how many lines are gone. A write that
fails leaves nothing half written.

Everything here takes its time, so it is called in a thread, by one at a time. No retries, no counting of what was delivered.
"""

import os
import struct
import zlib
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["SPOOL_BYTES", "Batch", "Spool", "halves", "pack"]

SPOOL_BYTES: Final = 1_000_000_000  # some 15 million requests, compressed
_LEVEL: Final = 1  # of zlib: half the size of none, for a fifth of the time that its default takes
_GZIP: Final = 31  # zlib's name for the format
_HEAD: Final = struct.Struct("<III")  # bytes of `sizes`, bytes of `body`, crc32 of both
_SIZE: Final = "I"


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines as one body. `sizes`: bytes of each line, packed, since a line may have line breaks in it."""

    body: bytes  # gzip
    sizes: bytes

    @property
    def count(self) -> int:
        """How many lines."""
        return len(self.sizes) // array(_SIZE).itemsize

    @property
    def length(self) -> int:
        """Bytes of the lines, before compression."""
        return sum(array(_SIZE, self.sizes)) + self.count - 1


def pack(lines: Sequence[bytes]) -> Batch:
    """Lines, without their line breaks, as they are sent."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    body = packer.compress(b"\n".join(lines))  # Python lets go of its lock in here
    return Batch(body + packer.flush(), array(_SIZE, map(len, lines)).tobytes())


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """A batch of two lines or more as two."""
    text = zlib.decompress(batch.body, _GZIP)
    lines, at = [], 0
    for size in array(_SIZE, batch.sizes):
        lines.append(text[at : at + size])
        at += size + 1
    middle = len(lines) // 2
    return pack(lines[:middle]), pack(lines[middle:])


class Spool:
    """A file of batches, first in, first out. It is made when the first comes and gone after `close`."""

    def __init__(self, path: Path, limit: int = SPOOL_BYTES) -> None:
        self.path = path
        self._limit = limit
        self._file: int | None = None
        self._read = self._end = 0  # where the oldest batch begins, where the newest ends

    def append(self, batch: Batch) -> None:
        """Keep a batch.

        Raises:
            OSError: there is no room, on the disk or by our own limit, or the file cannot be written.
        """
        content = batch.sizes + batch.body
        frame = _HEAD.pack(len(batch.sizes), len(batch.body), zlib.crc32(content)) + content
        if self._end + len(frame) > self._limit:
            raise OSError(None, f"over {self._limit // 10**6} MB wait there")
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            written = 0
            while written < len(frame):
                written += os.pwrite(self._file, frame[written:], self._end + written)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise
        self._end += len(frame)

    def take(self) -> Batch:
        """The oldest batch, which is here no more. There must be one.

        Raises:
            OSError: it cannot be read, nor can what came after it.
        """
        sizes_length, body_length, crc = _HEAD.unpack(self._part(_HEAD.size))
        content = self._part(sizes_length + body_length)
        if zlib.crc32(content) != crc:
            raise OSError(None, "it is not as it was left")
        batch = Batch(content[sizes_length:], content[:sizes_length])
        if self._read == self._end:
            self.clear()
        return batch

    def clear(self) -> None:
        """Forget all batches and give back their room."""
        self._read = self._end = 0
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Remove the file, with what is in it."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            with suppress(OSError):
                self.path.unlink()
            self._file = None

    def _part(self, length: int) -> bytes:
        part = b""
        if (
            self._file is not None and length <= self._end - self._read
        ):  # a damaged length could ask for gigabytes
            part = os.pread(self._file, length, self._read)
        if len(part) < length:
            raise OSError(None, "it is shorter than it was left")
        self._read += length
        return part
