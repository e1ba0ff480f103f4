"""Parcels: bytes that one process of a distributed run offers to another, answered for piece by piece.

What is offered has a name, a size and a SHA-256 (`Offer`), which travel in some message of the run. Whoever
wants the bytes asks for them (`harness.distributed.fetch`), and the `Shelf` of whoever has them answers:

    get    {parcel, at, size, turn}             the bytes [at, at + size) of that parcel, `PIECE` at most
    chunk  {parcel, at, turn, size, crc, data}  these bytes, compressed; `turn` is the get's, as it was
           {parcel, at, turn, error}            one line: no such parcel, no such bytes, the disk's refusal

The rules: a get is answered from nothing but itself, so that one lost, doubled or late does no harm. A name
means the same bytes for as long as it is on the shelf. What takes time (reading, compressing, hashing) is
done in a thread: the hub, and with it heartbeats, never waits. What a peer says is not trusted.

Zstandard at level 1, from pyarrow: on journal lines of streamed requests it took a third to a quarter of the
time of zlib's level 1, either way, and left 15 % fewer bytes. pyarrow is imported here and not at first use,
since that takes a tenth of a second of which the hub should know nothing.

Does not send messages, and does not know who offers what to whom.
"""

import hashlib
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self, TypeGuard

import pyarrow as pa

from harness.aside import aside

PIECE: Final = 256 * 1024  # bytes before compression; what cannot be compressed grows by some ten
_SLICE: Final = 1024 * 1024  # read and hashed at a time; a parcel up to this size needs no thread
_MOST: Final = 1 << 53  # bytes; above, not every reader of a message could hold the number
_NAME_BYTES: Final = 200  # file systems take 255

Chunk = dict[str, int | str | bytes]


class Damaged(ValueError):
    """A chunk that is not what was asked for."""


class Source(Protocol):
    """Bytes that do not change. `read` is called in threads, for several places at a time."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read(self, at: int, size: int) -> bytes:
        """The bytes [at, at + size), all of which are there; OSError if the disk refuses."""


@dataclass(frozen=True, slots=True)
class BytesSource:
    """Bytes in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    def read(self, at: int, size: int) -> bytes:
        """The bytes [at, at + size)."""
        return self.data[at : at + size]


class FileSource:
    """A file that is written no more, then `tail`: lines that never reached it, and continue it."""

    def __init__(self, path: Path, tail: bytes = b"") -> None:
        """The file as it is now; OSError if there is none."""
        self.path, self.tail = path, tail
        self._in_file = path.stat().st_size

    @property
    def size(self) -> int:
        """How many bytes there are, in the file and after it."""
        return self._in_file + len(self.tail)

    def read(self, at: int, size: int) -> bytes:
        """The bytes [at, at + size)."""
        from_file = self._read(at, min(size, self._in_file - at)) if at < self._in_file else b""
        after = max(0, at - self._in_file)
        return from_file + self.tail[after : after + size - len(from_file)]

    def _read(self, at: int, size: int) -> bytes:
        # Opened each time: nothing to close when a run is cut short, and it costs some ten microseconds.
        with self.path.open("rb") as file:
            file.seek(at)
            found = file.read(size)
        if len(found) < size:
            raise OSError(None, f"only {at + len(found)} of {self._in_file} bytes left", str(self.path))
        return found


@dataclass(frozen=True, slots=True)
class Offer:
    """What there is to fetch. Its name is safe as a file's: printable, without slashes, no leading dot."""

    name: str
    size: int  # bytes
    sha256: str  # of all of them, in lower-case hexadecimal

    def __post_init__(self) -> None:
        """Refuse what cannot be an offer, by a ValueError of one line."""
        if not _is_name(self.name):
            raise ValueError(f"offer: name {self.name!r:.80} is not a plain file name")
        if not _is_count(self.size, _MOST):
            raise ValueError(f"offer of {self.name}: size {self.size!r:.80} is not a number of bytes")
        if not isinstance(self.sha256, str) or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"offer of {self.name}: sha256 {self.sha256!r:.80} is not 64 hexadecimal digits")

    def as_dict(self) -> dict[str, int | str]:
        """As it goes into a message."""
        return {"name": self.name, "size": self.size, "sha256": self.sha256}

    @classmethod
    def from_dict(cls, value: object) -> Self:
        """As it came in a message; keys of later versions are passed over.

        Raises:
            ValueError: it is not an offer, in one line.
        """
        if not isinstance(value, Mapping):
            raise ValueError(f"offer: {value!r:.80} is not a mapping")  # noqa: TRY004  # as all that peers get wrong
        if missing := [key for key in ("name", "size", "sha256") if key not in value]:
            raise ValueError(f"offer: {', '.join(missing)} missing")
        return cls(value["name"], value["size"], value["sha256"])


def offer(name: str, source: Source) -> Offer:
    """Offer a source under a name. Reads all of it.

    Raises:
        OSError: the source cannot be read.
        ValueError: the name is none that an `Offer` may have.
    """
    digest = aside(_digest, source) if source.size > _SLICE else _digest(source)
    return Offer(name, source.size, digest)


class Shelf:
    """What this process has to give. From greenlets of one thread."""

    def __init__(self) -> None:
        self._parcels: dict[str, Source] = {}

    def put(self, offer: Offer, source: Source) -> None:
        """Have a parcel answered for, in place of any of its name.

        Raises:
            ValueError: the offer is not of this source.
        """
        if offer.size != source.size:
            raise ValueError(f"parcel {offer.name}: offered with {offer.size} bytes and has {source.size}")
        self._parcels[offer.name] = source

    def drop(self, name: str) -> None:
        """Forget a parcel, if it is there."""
        self._parcels.pop(name, None)

    def answer(self, message: object) -> Chunk:
        """The chunk for a get. Lets other greenlets run meanwhile; never raises."""
        get = message if isinstance(message, Mapping) else {}
        name, at, size, turn = (get.get(key) for key in ("parcel", "at", "size", "turn"))
        head: Chunk = {  # what was no name or number is not sent back
            "parcel": name if isinstance(name, str) else "",
            "at": at if _is_count(at, _MOST) else -1,
            "turn": turn if _is_count(turn, _MOST) else -1,
        }
        source = self._parcels.get(name) if isinstance(name, str) else None
        if source is None or not isinstance(name, str):
            return {**head, "error": f"no parcel {name!r:.220} is offered here"}
        if not _is_count(at, source.size) or not _is_count(size, min(PIECE, source.size - at)) or size == 0:
            return {
                **head,
                "error": f"{size!r:.30} bytes at {at!r:.30} of {source.size} cannot be had at once",
            }
        try:
            crc, data = aside(_packed, source, name, at, size)
        except OSError as error:
            where = error.filename or "its source"
            return {**head, "error": f"{where} cannot be read ({error.strerror or error})"}
        return {**head, "size": size, "crc": crc, "data": data}


def opened(chunk: Mapping[str, object], name: str, at: int, size: int) -> bytes:
    """The bytes of a chunk, if it is the one for these.

    Raises:
        Damaged: it is not, or some bit of it is another than was sent.
    """
    data, crc = chunk.get("data"), chunk.get("crc")
    if chunk.get("size") != size or not isinstance(data, bytes) or not isinstance(crc, int):
        raise Damaged("not the chunk that was asked for")
    try:  # exactly `size` bytes or an error: nothing small becomes something huge here
        found = bytes(_codec().decompress(data, decompressed_size=size, asbytes=True))
    except (OSError, ValueError) as error:
        raise Damaged("cannot be decompressed") from error
    if _crc(found, name, at) != crc:
        raise Damaged("its CRC is another")
    return found


def _packed(source: Source, name: str, at: int, size: int) -> tuple[int, bytes]:
    found = source.read(at, size)
    return _crc(found, name, at), bytes(_codec().compress(found, asbytes=True))


def _codec() -> pa.Codec:
    return pa.Codec("zstd", compression_level=1)  # one a call: some microseconds, and no thread shares it


def _crc(data: bytes, name: str, at: int) -> int:
    """Of the bytes and of where they belong, so that good bytes in the wrong place are found too."""
    return zlib.crc32(data, zlib.crc32(f"{at} {name}".encode()))


def _digest(source: Source) -> str:
    digest = hashlib.sha256()
    for at in range(0, source.size, _SLICE):
        digest.update(source.read(at, min(_SLICE, source.size - at)))
    return digest.hexdigest()


def _is_count(value: object, most: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _is_name(value: object) -> bool:
    if not isinstance(value, str) or not value.isprintable():
        return False
    return 0 < len(value.encode()) <= _NAME_BYTES and value[0] != "." and not {"/", "\\"} & set(value)
