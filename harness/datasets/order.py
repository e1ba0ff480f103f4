"""In which order a dataset is gone through, and which of its entries are one worker's.

Pure arithmetic. A shuffled order depends on the seed and the number of entries alone: each entry gets a
64-bit key, splitmix64's value at its place in the sequence of that seed, and the keys are sorted. So it is the same with
any version of anything, on any machine. Every pass has the same order: an entry comes again as late as it can.

Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014), for splitmix64.
"""

import hashlib
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Numbers", "Order", "Share", "shuffled"]

Numbers = npt.NDArray[np.uint32] | npt.NDArray[np.int64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


class Order(StrEnum):
    """As `--dataset-order` names them."""

    FILE = "file"
    SHUFFLED = "shuffled"


class Share(NamedTuple):
    """Positions `nth`, `nth + of`, ... of a pass: one worker's of so many. `Share()`: all."""

    nth: int = 0
    of: int = 1

    def among(self, count: int) -> "Share":
        """This share of so many entries; where there are too few, one entry, which others have too."""
        return self if self.nth < count else Share(self.nth % count, count)

    def size(self, count: int) -> int:
        """How many entries of so many it is."""
        nth, of = self.among(count)
        return len(range(nth, count, of))


def shuffled(count: int, seed: int) -> Numbers:
    """The numbers below `count` in an order that looks like none; 4 bytes each up to 4 billion."""
    begin = int.from_bytes(hashlib.blake2b(f"{seed} dataset order".encode(), digest_size=8).digest(), "big")
    keys = np.arange(1, count + 1, dtype=np.uint64)  # arrays of it wrap around without a warning
    keys *= _GOLDEN
    keys += np.uint64(begin)
    keys ^= keys >> np.uint64(30)
    keys *= _FIRST
    keys ^= keys >> np.uint64(27)
    keys *= _SECOND
    keys ^= keys >> np.uint64(31)
    order = np.argsort(keys, kind="stable")
    return order.astype(np.uint32) if count <= 2**32 else order.astype(np.int64)
