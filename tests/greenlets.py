"""For tests whose own greenlets are at work."""

import time
from collections.abc import Callable

import gevent

__all__ = ["until"]


def until(done: Callable[[], bool], limit_s: float = 20) -> None:
    """Wait for something that will come, and let the other greenlets run meanwhile."""
    deadline = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < deadline, f"did not come in {limit_s} s"
        gevent.sleep(0.005)
