"""By how much the stamps of one journal are off the run's clock, from the estimates that its `clock` lines hold.

An estimate holds for the moment at which it was made; between two of them the offset is drawn as a straight line,
before the first and after the last it stays. Where no estimate differs from 0 by more than its own uncertainty, the clocks are
taken for the same one, as they are for processes of one host, and nothing is shifted.

All stamps of a request are shifted by one amount, that of its end, so that no duration ever changes.

Pure: numbers in, numbers out. The estimates themselves are made elsewhere, while load runs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np

from harness.windows import Ints

__all__ = ["FAR_NS", "Shift"]

FAR_NS: Final = 2**62  # the year 2116; stamps and offsets beyond it are damage


def _none() -> Ints:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Shift:
    """What is to be subtracted from stamps of a journal; `Shift()` leaves them as they are."""

    times_ns: Ints = field(default_factory=_none)  # on the journal's own clock, ascending
    offsets_ns: Ints = field(default_factory=_none)

    @classmethod
    def of(cls, lines: Iterable[Mapping[str, Any]]) -> Self:
        """From `clock` lines in any order; those that make no sense are passed over."""
        known = sorted(
            (line["time_ns"], line["offset_ns"], line["uncertainty_ns"])
            for line in lines
            if all(_sound(line.get(name)) for name in ("time_ns", "offset_ns", "uncertainty_ns"))
        )
        if all(abs(offset) <= uncertainty for _, offset, uncertainty in known):
            return cls()
        times, offsets, _ = zip(*known, strict=True)
        return cls(np.array(times, np.int64), np.array(offsets, np.int64))

    def at(self, own_ns: Ints) -> Ints:
        """The offset at each of these times of the journal's own clock; they are within `FAR_NS`."""
        if not len(self.times_ns):
            return np.zeros(len(own_ns), np.int64)
        # Against the first ones: as floats, Unix ns would be off by up to 128.
        begin, least = self.times_ns[0], self.offsets_ns[0]
        drawn = np.interp(
            (own_ns - begin).astype(np.float64),
            (self.times_ns - begin).astype(np.float64),
            (self.offsets_ns - least).astype(np.float64),
        )
        shifts: Ints = least + np.rint(drawn).astype(np.int64)
        return shifts

    def at_one(self, own_ns: int) -> int:
        """`at` for a single time.

        Raises:
            ValueError: the time is no sound stamp.
        """
        if not _sound(own_ns):
            raise ValueError(f"{own_ns!r} is no time")
        return int(self.at(np.array([own_ns], np.int64))[0])


def _sound(value: object) -> bool:
    return type(value) is int and abs(value) < FAR_NS
