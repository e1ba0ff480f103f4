"""Who looks on while a part sends: each finished request, and each second of the process's own life. What it does with them is its own."""

from typing import Protocol

from harness.exchange import Exchange
from harness.record import RequestRecord
from harness.seconds import Second

__all__ = ["Feed"]


class Feed(Protocol):
    """Who looks on while load runs; neither call may take longer than a moment."""

    def record(self, record: RequestRecord, exchange: Exchange) -> None:
        """A request is over."""

    def second(self, second: Second) -> None:
        """A second of this process's own life is."""
