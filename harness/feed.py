"""Who looks on while a part sends: each finished request, and each second of the process's own life. What it does with them is its own."""

from typing import Protocol

from harness.exchange import Exchange
from harness.record import RequestRecord
from harness.seconds import Second

__all__ = ["Feed", "both"]


class Feed(Protocol):
    """Who looks on while load runs; neither call may take longer than a moment."""

    def record(self, record: RequestRecord, exchange: Exchange) -> None:
        """A request is over."""

    def second(self, second: Second) -> None:
        """A second of this process's own life is."""


def both(one: Feed | None, other: Feed | None) -> Feed | None:
    """Whichever of the two there is; of two, one that tells each."""
    return _Both(one, other) if one is not None and other is not None else one or other


class _Both:
    def __init__(self, *each: Feed) -> None:
        self._each = each

    def record(self, record: RequestRecord, exchange: Exchange) -> None:
        for feed in self._each:
            feed.record(record, exchange)

    def second(self, second: Second) -> None:
        for feed in self._each:
            feed.second(second)
