"""One point, its time, and what its makers share.

Pure: no clock.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Final, NamedTuple

__all__ = ["INTERVAL_S", "SECOND", "Json", "Point", "Unique", "Values", "begun_ns", "percent", "started_ns"]

Json = Mapping[str, Any]
Values = dict[str, object]

SECOND: Final = 1_000_000_000
INTERVAL_S: Final = 3  # of percentiles: workers' sketches come so often

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Point(NamedTuple):
    """One point, but for its measurement and the tag `run`."""

    time_ns: int  # Unix time
    values: Values
    tags: dict[str, str] = {}  # noqa: RUF012  nobody changes it


class Unique:
    """Keeps times apart: each is the one asked for, or 1 ns after the last. One for each worker, in journal order."""

    __slots__ = ("_last_ns",)

    def __init__(self) -> None:
        self._last_ns = -(1 << 63)

    def at(self, time_ns: int) -> int:
        """The time to write."""
        self._last_ns = time_ns if time_ns > self._last_ns else self._last_ns + 1
        return self._last_ns


def started_ns(run: Json) -> int:
    """`started_at` of run.json in Unix ns; an exact number, since nothing is rounded on the way.

    Raises:
        ValueError: it is no time.
    """
    started = datetime.fromisoformat(str(run["started_at"]))
    if started.tzinfo is None:
        started = started.replace(tzinfo=UTC)
    return (started - _EPOCH) // timedelta(microseconds=1) * 1_000


def percent(part: float | None, whole: float | None) -> float | None:
    """100 part / whole; None where that is no number."""
    if part is None or not whole:
        return None
    share = 100 * part / whole
    return share if isfinite(share) else None


def begun_ns(run: Json) -> int | None:
    """When load began, Unix ns, by run.json: the time of its event `start`. None where it has none, as older runs have."""
    starts = (event for event in run.get("events") or () if event.get("topic") == "start")
    return next((int(event["time_ns"]) for event in starts), None)
