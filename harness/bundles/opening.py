"""A bundle opened: every byte held against its manifest, and nothing believed before.

Refused are links, folders, devices, names that lead elsewhere, files that the manifest does not list or that are listed
and missing, another size or hash, and what comes behind the end. Headers that would make a reader allocate what they claim
(pax, GNU long names) are refused as well: `tokenswarm bundle` writes none.

Limits: `MOST_FILES` files; `MANIFEST_BYTES` of manifest; unpacked, no more than `RATIO` times the archive's own size and
`FREE_BYTES` beyond. So an archive made to fill a disk ends early.
"""

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from harness import files
from harness.bundles import manifest
from harness.bundles.manifest import Manifest, Member
from harness.errors import ConfigError

__all__ = ["FREE_BYTES", "MANIFEST_BYTES", "MOST_FILES", "RATIO", "check", "unpack"]

MOST_FILES: Final = 10_000
MANIFEST_BYTES: Final = 16 * 1024**2
RATIO: Final = 200
FREE_BYTES: Final = 64 * 1024**2
_BLOCK: Final = tarfile.BLOCKSIZE
_PIECE: Final = 1 << 20
_REGULAR: Final = (tarfile.REGTYPE, tarfile.AREGTYPE)


def check(path: Path) -> Manifest:
    """Read a bundle to its last byte and hold it against its manifest; nothing is written.

    Raises:
        ConfigError: it is not as it was made; the text says in what.
    """
    return _read(path, None)


def unpack(path: Path, folder: Path) -> Manifest:
    """The same, and write its files below `folder`, which is empty and nobody else's.

    Raises:
        ConfigError: as `check`, or the disk refused.
    """
    return _read(path, folder)


def _read(path: Path, folder: Path | None) -> Manifest:
    try:
        raw = path.open("rb")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a bundle") from error
    with raw, _damage(path), gzip.GzipFile(fileobj=raw, mode="rb") as unpacked:
        source = _Source(unpacked, RATIO * path.stat().st_size + FREE_BYTES)
        told, top = _manifest(source)
        left = {member.name: member for member in told.members}
        while (header := source.header()) is not None:
            name = _inside(header, top)
            member = left.pop(name, None)
            if member is None:
                raise _Wrong(f"holds {name[:80]!r}, which its manifest does not list, or holds it twice")
            if header.size != member.bytes:
                raise _Wrong(
                    f"holds {name[:80]!r} with {header.size} bytes where its manifest says {member.bytes}"
                )
            _take(source, member, folder)
        source.end()
    if left:
        raise ConfigError(f"{path}: lacks {min(left)[:80]!r}, which its manifest lists; {_AGAIN}")
    return told


def _manifest(source: "_Source") -> tuple[Manifest, str]:
    header = source.header()
    top, slash, name = (header.name if header else "").partition("/")
    if header is None or not slash or name != manifest.NAME:
        raise _Wrong(f"does not begin with its {manifest.NAME}")
    if header.size > MANIFEST_BYTES:
        raise _Wrong(f"has a {manifest.NAME} of {header.size} bytes, over {MANIFEST_BYTES}")
    told = manifest.read(b"".join(source.pieces(header.size)))
    if told.run_id != top:
        raise _Wrong(f"has the folder {top[:80]!r} where its manifest says {told.run_id[:80]!r}")
    if len(told.members) > MOST_FILES:
        raise _Wrong(f"lists {len(told.members)} files, over {MOST_FILES}")
    return told, top


def _inside(header: tarfile.TarInfo, top: str) -> str:
    folder, slash, name = header.name.partition("/")
    if folder != top or not slash or not manifest.usable(name):
        raise _Wrong(f"holds {header.name[:80]!r}, a name that leads elsewhere")
    return name


def _take(source: "_Source", member: Member, folder: Path | None) -> None:
    made = hashlib.sha256()
    if folder is None:
        for piece in source.pieces(member.bytes):
            made.update(piece)
    else:
        target = folder.joinpath(*member.name.split("/"))
        with files.refusals(target, "free space there, or point TMPDIR elsewhere"):
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("xb")
        with file:
            for piece in source.pieces(member.bytes):
                made.update(piece)
                with files.refusals(target, "free space there, or point TMPDIR elsewhere"):
                    file.write(piece)
    if made.hexdigest() != member.sha256:
        raise _Wrong(f"holds {member.name[:80]!r} with other bytes than its manifest says (SHA-256 differs)")


class _Wrong(Exception):
    """What is wrong with an archive, to be said behind its name."""


_AGAIN: Final = "make or copy it again"


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Whatever a damaged archive raises, in one line."""
    try:
        yield
    except (_Wrong, gzip.BadGzipFile, tarfile.TarError, EOFError, zlib.error) as error:
        what = {gzip.BadGzipFile: "is not a gzip file", EOFError: "ends too early", zlib.error: "is damaged"}
        said = (
            str(error)
            if isinstance(error, _Wrong)
            else what.get(type(error), "is no bundle (not a tar archive)")
        )
        raise ConfigError(f"{path}: {said}; {_AGAIN}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}); {_AGAIN}") from error


class _Source:
    """A tar archive's bytes, so many of them and no more."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, most: int) -> None:
        self._stream, self._left, self._most = stream, most, most

    def header(self) -> tarfile.TarInfo | None:
        """The next file's header; None at the archive's end."""
        block = self._exactly(_BLOCK)
        if block == bytes(_BLOCK):
            return None
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if header.type not in _REGULAR:
            raise _Wrong(
                f"holds {header.name[:80]!r}, which is no plain file (a link, a folder or a long header)"
            )
        return header

    def pieces(self, size: int) -> Iterator[bytes]:
        """So many bytes of a file, and then what fills its last block."""
        left = size
        while left:
            piece = self._exactly(min(left, _PIECE))
            left -= len(piece)
            yield piece
        self._exactly(-size % _BLOCK)

    def end(self) -> None:
        """Read what is behind the last file: zeros, and gzip's own sum of all.

        Raises:
            _Wrong: something else is there.
        """
        while piece := self._stream.read(_PIECE):
            self._count(len(piece))
            if piece.strip(b"\0"):
                raise _Wrong("goes on behind its end")

    def _exactly(self, size: int) -> bytes:
        self._count(size)
        found = self._stream.read(size) if size else b""
        while len(found) < size:
            more = self._stream.read(size - len(found))
            if not more:
                raise EOFError
            found += more
        return found

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _Wrong(
                f"unpacks to more than {self._most} bytes, {RATIO} times its own size: nothing of ours does"
            )
