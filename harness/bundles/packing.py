"""The archive of a bundle: a tar (ustar) under gzip, in which nothing but the files' own bytes has a say.

    RUN-ID/manifest.json, then all others by name; no times, no owners, one mode

The rule: the same files make the same bytes, on the same version of zlib. A file is streamed, and one that has changed since
it was hashed ends it. What is written is beside its name until it is whole.
"""

import gzip
import hashlib
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from harness import files
from harness.bundles import manifest
from harness.bundles.manifest import Manifest, Member
from harness.errors import ConfigError

__all__ = ["MOST_BYTES", "pack"]

MOST_BYTES: Final = 8 * 1024**3 - 1  # of a file: what the tar's header holds
_LEVEL: Final = 3  # of compression: most of it is a Parquet file, which is compressed already


def pack(target: Path, told: Manifest, sources: Mapping[str, Path]) -> int:
    """Write the bundle and return its bytes.

    Args:
        target: the archive.
        told: what goes in.
        sources: where each member lies, by its name.

    Raises:
        ConfigError: a file has changed meanwhile, or cannot be read; nothing is left of the archive.
        OSError: the disk refused.
    """
    with files.refusals(target, "free space, or choose another --output"):
        files.place(target, lambda beside: _write(beside, told, sources))
        return target.stat().st_size


def _write(path: Path, told: Manifest, sources: Mapping[str, Path]) -> None:
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        text = manifest.text(told)
        archive.addfile(_header(told, manifest.NAME, len(text)), BytesIO(text))
        for member in sorted(told.members, key=lambda member: member.name):
            _add(archive, told, member, sources[member.name])


def _add(archive: tarfile.TarFile, told: Manifest, member: Member, source: Path) -> None:
    try:
        with source.open("rb") as file:
            watched = _Watched(file)
            archive.addfile(_header(told, member.name, member.bytes), watched)
            changed = watched.made.hexdigest() != member.sha256 or bool(file.read(1))
    except OSError as error:
        if error.filename is None and "unexpected end of data" not in str(error):
            raise  # of the archive's disk
        changed = True
    if changed:
        raise ConfigError(f"{source}: changed while it was packed; leave it alone and try again")


def _header(told: Manifest, name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(f"{told.run_id}/{name}")
    info.size, info.mode = size, 0o644
    return info


class _Watched:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.made = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self.made.update(piece)
        return piece
