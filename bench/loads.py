"""What is asked of the truth server: how many streams, how fast, for how long.

Streams ask again as soon as they have their answer, `seconds` long, and their starts are spread evenly over
`spread_s` so that they do not march in step. Figures are of the steady part, from the last start to the stop.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

__all__ = ["LOADS", "QUICK", "SOAK", "Load"]


@dataclass(frozen=True, slots=True)
class Load:
    """One load. Times of one answer in µs, as the server's model names have them (truth_server.c)."""

    name: str
    streams: int
    events: int
    gap_us: int
    first_us: int
    jitter_percent: int
    spread_s: float
    seconds: float

    @property
    def paced(self) -> bool:
        """Events come on a schedule, not as fast as the socket takes them."""
        return self.gap_us > 0

    @property
    def model(self) -> str:
        """The schedule as the server is told."""
        return f"gt:t0={self.first_us},k={self.events},d={self.gap_us},j={self.jitter_percent}"

    @property
    def title(self) -> str:
        """For people."""
        streams = f"{self.streams:,} stream{'s' if self.streams > 1 else ''}"
        return f"{streams} x {1e6 / self.gap_us:.0f} events/s" if self.paced else f"{streams}, unlimited rate"

    def lasting(self, seconds: float) -> "Load":
        """The same for another time."""
        return replace(self, seconds=seconds)


def _paced(streams: int, seconds: float) -> Load:
    # Starts spread over one answer's length: 300 ms and 79 gaps of 20 ms.
    return Load(f"{streams}x50", streams, 80, 20_000, 300_000, 20, spread_s=1.9, seconds=seconds)


def _unlimited(streams: int, seconds: float) -> Load:
    return Load(f"max{streams}", streams, 200, 0, 0, 0, spread_s=0.2, seconds=seconds)


LOADS: Final[Mapping[str, Load]] = {
    load.name: load
    for load in (
        *(_paced(200, 6.0), _paced(500, 6.0), _paced(1000, 7.0)),
        *(_unlimited(1, 3.0), _unlimited(10, 3.0), _unlimited(100, 12.0), _unlimited(1000, 4.0)),
    )
}
# Small enough for a test on a busy machine.
QUICK: Final = Load("40x50", 40, 25, 20_000, 100_000, 20, spread_s=0.5, seconds=1.5)
SOAK: Final = _paced(300, 1800.0)
