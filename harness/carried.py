"""Which percentiles so many values can carry, and what stands in a table where they cannot.

    p10, p90   29 values   the smallest n whose extreme lies beyond the true percentile with 95 % certainty:
    p5, p95    59 values   1 - 0.9^29 >= 0.95, 1 - 0.95^59 >= 0.95
    p1, p99    1,000       ten values beyond it, since what makes a p99 (a pause, a full queue) is rare and comes in bursts

Of fewer, a percentile is hardly more than the extreme of what was seen, and the true one may well lie beyond it.

The rule: summary.json keeps every number and names those that are withheld; whatever people look at shows a dash with `*`
in their place, and says why. The mean, the median and the maximum need one value. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from harness.grid import NULL, number
from harness.hearsay import finite

__all__ = ["NEED", "STAR", "carries", "cell", "lacking", "says", "shown", "withheld"]

NEED: Final[Mapping[str, int]] = {"p1": 1000, "p99": 1000, "p5": 59, "p95": 59, "p10": 29, "p90": 29}
STAR: Final = "*"


def carries(key: str, n: int) -> bool:
    """Whether `n` values carry a statistic, by its name in summary.json: `p95`, `median`, `max`."""
    return n >= NEED.get(key, 1)


def shown(part: Mapping[str, Any] | None, key: str) -> float | None:
    """A spread's figure for people; None if it was not measured or is withheld."""
    value = _value(part, key)
    return value if part is not None and carries(key, _n(part)) else None


def withheld(part: Mapping[str, Any] | None, keys: Iterable[str] = tuple(NEED)) -> list[str]:
    """Which of the spread's figures were measured, of too few values to carry them."""
    if part is None:
        return []
    return [key for key in keys if _value(part, key) is not None and not carries(key, _n(part))]


def lacking(parts: Iterable[Mapping[str, Any] | None], keys: Iterable[str] = tuple(NEED)) -> list[str]:
    """Which of these keys are withheld anywhere, in order: those that a footnote has to explain."""
    asked = list(keys)
    found = {key for part in parts for key in withheld(part, asked)}
    return [key for key in asked if key in found]


def says(keys: Iterable[str], what: str = "requests") -> str:
    """The footnote without its star; nothing where nothing is withheld.

    `p95 needs 59 requests, p99 1,000: withheld where there were fewer.`
    """
    needs = sorted({(NEED[key], key) for key in keys if key in NEED})
    if not needs:
        return ""
    (least, first), *others = needs
    told = [f"{first} needs {least:,} {what}", *(f"{key} {need:,}" for need, key in others)]
    return f"{', '.join(told)}: withheld where there were fewer."


def cell(part: Mapping[str, Any] | None, key: str, *, scale: float = 1.0) -> str:
    """What a table shows: the number, a dash with a star where it is withheld, a dash where nothing was measured."""
    value = shown(part, key)
    if value is not None:
        return number(value, scale=scale)
    return f"{NULL}{STAR}" if withheld(part, [key]) else NULL


def _value(part: Mapping[str, Any] | None, key: str) -> float | None:
    return None if part is None else finite(part.get(key))


def _n(part: Mapping[str, Any]) -> int:
    """Of how many; 0 if nobody says so."""
    n = part.get("n")
    return n if isinstance(n, int) else 0
