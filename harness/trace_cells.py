"""The values in a trace's lines: times to whole nanoseconds, token counts to whole numbers.

The rule: decimals are read digit by digit, never through a float, since a Unix time in one is off by 100 ns. JSON's
numbers are floats already where they have a point.

Every function raises `Unreadable` for what is none; its text says what stands there and what should. The caller knows
the file and the line.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

NOT_SAID: Final = -1  # a length that the trace does not have
TOKENS_MOST: Final = 1_000_000
SECOND: Final = 1_000_000_000  # in ns
MS: Final = 1_000_000

_NUMBER: Final = re.compile(r"[0-9]{0,20}(?:[0-9]|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_WHOLE: Final = re.compile(r"([0-9]{1,12})(?:\.0{1,6})?", re.ASCII)  # a table may have 472 as 472.0
_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}):([0-5][0-9])(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)
_DATE: Final = re.compile(r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class Unreadable(Exception):
    """A line, or a value in it, is not what it should be. The text says how."""


def cut(text: str) -> str:
    """A text short enough to be shown."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def is_number(text: str) -> bool:
    """Whether a cell is a number, of whichever sign."""
    return _NUMBER.fullmatch(text.strip().removeprefix("-")) is not None or text.strip().lower() == "nan"


def is_zero(text: str) -> bool:
    """Whether a cell is the count 0."""
    shape = _WHOLE.fullmatch(text.strip())
    return shape is not None and int(shape[1]) == 0


def time(text: str, unit: int) -> int:
    """A cell in units of so many ns."""
    plain = text.strip()
    if plain.isdigit() and plain.isascii() and len(plain) <= 20:
        return int(plain) * unit
    if not _NUMBER.fullmatch(plain):
        raise _no_time(plain, unit)
    return round(Decimal(plain) * unit)


def _no_time(text: str, unit: int) -> Unreadable:
    words = "milliseconds" if unit == MS else "seconds"
    if not text:
        return Unreadable(f"has no time; give {words}, e.g. 12.5")
    if text.startswith("-") and is_number(text):
        return Unreadable(f"has the time {text}, which is negative; give {words} from 0 on")
    hint = "; of dates we read those of Azure's traces" if _DATE.match(text) else ""
    return Unreadable(f"has the time {cut(text)}; give {words}, e.g. 12.5{hint}")


def tokens(text: str, name: str, *, may_lack: bool = False) -> int:
    """A cell with a count of tokens; `NOT_SAID` if it is empty and may be."""
    plain = text.strip()
    if not plain and may_lack:
        return NOT_SAID
    shape = _WHOLE.fullmatch(plain)
    count = 0 if shape is None else int(shape[1])
    if not 1 <= count <= TOKENS_MOST:
        raise _no_count(name, cut(plain))
    return count


def _no_count(name: str, shown: str) -> Unreadable:
    return Unreadable(f"has {name} {shown}; give a whole number of tokens from 1 to {TOKENS_MOST}")


def json_time(found: Mapping[str, Any], name: str, unit: int) -> int:
    """A time of a JSON object in units of so many ns."""
    value = found.get(name)
    if type(value) is int:
        if value < 0:
            raise _no_time(str(value), unit)
        return value * unit
    if type(value) is not float:
        raise _no_time("" if value is None else str(value), unit)
    if value < 0 or not math.isfinite(value * unit):
        raise _no_time(repr(value), unit)
    return round(value * unit)


def json_tokens(found: Mapping[str, Any], name: str | None, *, may_lack: bool = False) -> int:
    """A count of tokens of a JSON object; `NOT_SAID` if it is not there, or null, and may be."""
    value = None if name is None else found.get(name)
    if value is None:
        if may_lack:
            return NOT_SAID
        raise _no_count(str(name), "missing")
    if type(value) not in (int, float) or not 1 <= value <= TOKENS_MOST or value != int(value):
        raise _no_count(str(name), cut(str(value)))
    return int(value)


class Moments:
    """Dates with a time of day, in ns since 1970. Remembers the last minute, which the next row mostly shares."""

    __slots__ = ("_minute", "_minute_ns")

    def __init__(self) -> None:
        self._minute: tuple[str, str, str] | None = None
        self._minute_ns = 0

    def read(self, text: str) -> int:
        """`2023-11-16 18:17:03.9799600`, with T for the blank and a zone if you like; UTC without one."""
        shape = _MOMENT.fullmatch(text.strip())
        if shape is None:
            raise _no_moment(text)
        day, minute, seconds, fraction, zone = shape.groups("")
        if self._minute != (day, minute, zone):
            try:
                moment = datetime.fromisoformat(f"{day}T{minute}{zone or '+00:00'}")
            except ValueError:  # the 31st of June
                raise _no_moment(text) from None
            since = moment - datetime(1970, 1, 1, tzinfo=UTC)
            self._minute_ns = (since.days * 86_400 + since.seconds) * SECOND
            self._minute = (day, minute, zone)
        moment_ns = self._minute_ns + int(seconds) * SECOND + int(fraction.ljust(9, "0"))
        if moment_ns < 0:
            raise _no_moment(text)
        return moment_ns


def _no_moment(text: str) -> Unreadable:
    return Unreadable(f"has the time {cut(text.strip())}; give e.g. 2024-05-10 00:00:00.009930+00:00")


def show_seconds(time_ns: int) -> str:
    """`12.5 s`."""
    return f"{Decimal(time_ns) / SECOND:f} s"


def show_ms(time_ns: int) -> str:
    """`12.5 ms`."""
    return f"{Decimal(time_ns) / MS:f} ms"


def show_moment(time_ns: int) -> str:
    """`2024-05-10 00:00:00.009930000 UTC`."""
    seconds, rest = divmod(time_ns, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest:09d} UTC"
