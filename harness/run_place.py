"""Where a run directory is to be made: looked at before there is anything to keep, refused in one line."""

import errno
import os
from pathlib import Path

from harness.errors import ConfigError

__all__ = ["check_place", "unwritable"]


def check_place(results_dir: Path) -> None:
    """See, without making anything, that a run directory could be made there.

    Raises:
        ConfigError: the place is not a directory or not writable, in the words of `RunDirectory.create`.
    """
    place = results_dir.absolute()
    try:
        while not _is_there(place):
            place = place.parent
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise unwritable(results_dir, error.strerror) from error
    if not place.is_dir():
        if place == results_dir.absolute() or not place.exists():  # it, or a link to nowhere
            raise ConfigError(f"--results-dir {str(results_dir)!r}: not a folder; choose another")
        raise unwritable(results_dir, os.strerror(errno.ENOTDIR))
    if not os.access(place, os.W_OK | os.X_OK):
        raise unwritable(results_dir, os.strerror(errno.EACCES))


def unwritable(results_dir: Path, reason: str | None) -> ConfigError:
    """The line for a place that refuses."""
    return ConfigError(f"--results-dir {str(results_dir)!r}: cannot write there ({reason}); choose another")


def _is_there(place: Path) -> bool:
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
