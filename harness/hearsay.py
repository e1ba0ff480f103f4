"""What another process said, read without trust: whoever says anything else than it should is not believed at all.

    mapping   exactly the keys there should be
    number    a count, as large as msgpack holds
    amount    a finite number that is not negative
    finite    a finite number of JSON's, or None

Readers of messages raise `Malformed`; what follows from it is theirs to say. Pure.
"""

import math
from collections.abc import Mapping
from typing import Final

__all__ = ["MOST", "Malformed", "amount", "finite", "mapping", "number"]

MOST: Final = 2**63 - 1  # msgpack's own limit is just above


class Malformed(ValueError):
    """What a part said cannot be read."""


def mapping(value: object, keys: frozenset[str], *, some: bool = False) -> Mapping[str, object]:
    """A mapping of these keys; with `some`, of no others.

    Raises:
        Malformed: it is none.
    """
    if not isinstance(value, Mapping) or not (value.keys() <= keys if some else value.keys() == keys):
        raise Malformed("not the keys there should be")
    return value


def number(value: object) -> int:
    """A count.

    Raises:
        Malformed: it is none.
    """
    if type(value) is not int or not 0 <= value <= MOST:
        raise Malformed("not a count")
    return value


def amount(value: object) -> float:
    """An amount, in whatever unit.

    Raises:
        Malformed: it is none.
    """
    if type(value) is not float or not math.isfinite(value) or value < 0:
        raise Malformed("not an amount")
    return value


def finite(value: object) -> float | None:
    """A number as a file or a page has it; None for whatever else stands there, truths, NaN and what no float holds among it."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer beyond all floats
        return None
