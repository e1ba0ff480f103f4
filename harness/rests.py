"""Users that rest because a server asked for it (Retry-After), and what that does to a level."""

from collections.abc import Callable
from typing import Final

__all__ = ["MOST_REST_S", "Rests"]

MOST_REST_S: Final = 60.0  # however long a server's Retry-After says


class Rests:
    """Counts the rests of one run's users."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._seconds: list[float] = []

    def add(self, seconds: float) -> None:
        """A user rests for so long. Said the first time."""
        if not self._seconds:
            self._say(
                "the server asks to be left alone for a while (Retry-After); refused users rest as it says"
            )
        self._seconds.append(seconds)

    def findings(self) -> list[tuple[str, str]]:
        """For the verdict: while users rest, a level is not what its name says."""
        if not self._seconds:
            return []
        times = "once" if len(self._seconds) == 1 else f"{len(self._seconds)} times"
        said = f"users refused with Retry-After rested {times}, {sum(self._seconds):.3g} s in all"
        return [("suspect", f"{said}: fewer than the level's users were at work (see --retry-after)")]
