"""Files below a folder, opened by the names of a request: no name and no link leads out of it.

Every step is taken by the system from the folder before (`openat`), and none follows a link: what is looked at is what is
opened, whatever somebody renames meanwhile.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["folder", "is_plain", "opened", "read"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = (
    os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
)  # a pipe is opened and refused, not waited for


def is_plain(name: str) -> bool:
    """One step downwards: no `..`, no slash, nothing that the system or JSON could not hold."""
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        return False
    try:
        return len(name.encode()) <= 255
    except UnicodeEncodeError:
        return False


def folder(root: Path, parts: Sequence[str]) -> int:
    """A descriptor of a folder below `root`; `root` itself may be a link.

    Raises:
        FileNotFoundError: a part is not a plain name, or a link, or no folder, or not there.
        OSError: the system refused otherwise.
    """
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in parts:
        try:
            if not is_plain(part):
                raise FileNotFoundError(part)
            below = os.open(part, _FOLDER, dir_fd=at)
        except OSError as error:
            raise FileNotFoundError(part) from error
        finally:
            os.close(at)
        at = below
    return at


def opened(root: Path, parts: Sequence[str]) -> tuple[int, os.stat_result]:
    """A descriptor of a regular file below `root`, and what it is. The caller closes it.

    Raises:
        FileNotFoundError: as of `folder`, or the last part is no regular file.
        OSError: the system refused, such as for want of rights.
    """
    *above, name = parts
    if not is_plain(name):
        raise FileNotFoundError(name)
    at = folder(root, above)
    try:
        file = os.open(name, _FILE, dir_fd=at)
    except PermissionError:
        raise
    except OSError as error:  # ELOOP: a link
        raise FileNotFoundError(name) from error
    finally:
        os.close(at)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        os.close(file)
        raise FileNotFoundError(name)
    return file, found


def read(root: Path, parts: Sequence[str], most: int) -> bytes:
    """All of a regular file below `root`.

    Raises:
        ValueError: it has more than `most` bytes.
        FileNotFoundError, OSError: as of `opened`.
    """
    file, found = opened(root, parts)
    with open(file, "rb") as stream:  # noqa: PTH123  of a descriptor
        if found.st_size > most:
            raise ValueError(f"{found.st_size:,} bytes, more than {most:,}")
        return stream.read(most)
