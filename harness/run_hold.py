"""Whose a run directory is while its run goes on: nobody else makes its results then.

Results made from a journal that still grows would be kept by the run's own end as if they were whole, with token counts that were
only estimated. So the process of a run holds its directory (`flock`, which ends with the process, however that
ends), and whoever would make results from what a run left asks first. A file system that has no such locks refuses nobody.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from harness.errors import ConfigError

__all__ = ["Hold", "refuse_held"]


class Hold:
    """Holds a run directory until it is let go, forgotten, or this process ends."""

    def __init__(self, directory: Path) -> None:
        self._fd: int | None = None
        with suppress(OSError):
            self._fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def let_go(self) -> None:
        """Its run is over."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()

    def __del__(self) -> None:
        self.let_go()


def refuse_held(directory: Path) -> None:
    """See that the run is over.

    Raises:
        ConfigError: it goes on, here or in another process.
    """
    asked = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(asked, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(
            f"{directory}: its run is still going on; its results are made when it ends"
        ) from None
    except OSError:
        pass
    finally:
        os.close(asked)
