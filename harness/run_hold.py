"""Whose a run directory is while its run goes on: nobody else makes its results then.

Results made from a journal that still grows would be kept by the run's own end as if they were whole, with token counts that were
only estimated. So the process of a run holds its directory (`flock`, which ends with the process, however that
ends), and whoever would make results from what a run left asks first. A file system that has no such locks refuses nobody.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from harness.errors import ConfigError

__all__ = ["Hold", "refuse_held"]


class Hold:
    """Holds a run directory until it is let go, forgotten, or this process ends."""

    def __init__(self, directory: Path) -> None:
        self._fd: int | None = None
        with suppress(OSError):
            self._fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX)  # it is new: at most somebody is just asking

    def let_go(self) -> None:
        """Its run is over."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def __del__(self) -> None:
        self.let_go()


def refuse_held(directory: Path) -> None:
    """See that the run is over.

    Raises:
        ConfigError: it goes on, here or in another process.
    """
    try:
        asked = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # whoever reads it next will say why
        return
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
