"""Lengths of time as options name them: `30s`, `2m`, `1h30m`, `500ms`.

The rule: a number says its unit, since `--warmup 30` are requests and `--warmup 30s` are seconds. Only an option that
stands beside Locust's own `-t 60` takes a bare number for seconds too. Numbers are plain decimals: no sign, exponent or
separator. What is read is a whole number of nanoseconds, and `text` gives back what `seconds` reads to the last bit.

Pure. Timeouts (`--connect-timeout 10`) are bare seconds and read elsewhere (`harness.option_values`).
"""

import re
from decimal import Decimal
from typing import Final

from harness.errors import ConfigError

__all__ = ["HOUR_S", "WEEK_S", "seconds", "text"]

HOUR_S: Final = 3_600
WEEK_S: Final = 604_800

_UNITS: Final = ("h", "m", "s", "ms", "us")  # in the order in which a text may have them
_NS: Final = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "us": 1_000}
_NUMBER: Final = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_PART: Final = re.compile(rf"({_NUMBER})\s*(ms|us|h|m|s)\s*", re.ASCII)
_BARE: Final = re.compile(_NUMBER, re.ASCII)
_NAMED: Final = ((HOUR_S, "h"), (60, "m"), (1, "s"))


def seconds(
    value: str,
    option: str,
    *,
    whole: str | None = None,
    most_s: int = WEEK_S,
    zero: bool = False,
    bare: bool = False,
    example: str = "30s",
) -> float:
    """A length of time in seconds, to the nanosecond.

    Args:
        value: the text; blanks around it, between its parts and before a unit do not matter, nor do capitals.
        option: who asks, e.g. `--max-time`.
        whole: all that the option was given, if the value is only a part of it.
        most_s: the longest that is allowed.
        zero: whether 0 is allowed too.
        bare: whether a number without a unit is seconds.
        example: a value that would be right.

    Raises:
        ConfigError: it is none, or outside the limits.
    """
    given = f"{option} {(value if whole is None else whole).strip()!r}"
    about = given if whole is None else f"{given}: {value.strip()!r}"
    plain = value.strip().lower()
    if not plain:
        raise ConfigError(f"{about} is empty; write for example {example}")
    found = _ns(f"{plain}s" if bare and _BARE.fullmatch(plain) else plain)
    if found is None:
        if _BARE.fullmatch(plain):
            raise ConfigError(f"{about} has no unit; write for example {plain}s or {plain}ms")
        raise ConfigError(
            f"{about} is no length of time; write for example {example}, with h, m, s, ms or us"
        )
    if found > most_s * _NS["s"] or (found == 0 and not zero):
        low = "from 0s" if zero else "above 0"
        raise ConfigError(
            f"{about} is outside the limits; give {low}{'' if zero else ' and'} up to {text(most_s)}"
        )
    return found / _NS["s"]


def text(length_s: float) -> str:
    """A length of time as `seconds` reads it, in one unit: `1h`, `90s`, `500ms`, `1.25s`. To the nanosecond."""
    found = round(length_s * _NS["s"])
    for unit_s, unit in _NAMED:
        if found and found % (unit_s * _NS["s"]) == 0:
            return f"{found // (unit_s * _NS['s'])}{unit}"
    if 0 < found < _NS["s"] and found % _NS["us"] == 0:
        unit = "ms" if found % _NS["ms"] == 0 else "us"
        return f"{found // _NS[unit]}{unit}"
    return f"{Decimal(found) / _NS['s']:.9f}".rstrip("0").rstrip(".") + "s"


def _ns(plain: str) -> int | None:
    """Nanoseconds of `1h30m`, each unit once and the largest first; None if it is not that."""
    parts = list(_PART.finditer(plain))
    places = [_UNITS.index(part[2]) for part in parts]
    if sum(len(part[0]) for part in parts) != len(plain) or not parts or places != sorted(set(places)):
        return None
    return round(sum(Decimal(part[1]) * _NS[part[2]] for part in parts))
