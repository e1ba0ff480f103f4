"""Work that takes long enough to be in the way, done aside: in a thread of the hub's pool.

Meanwhile other greenlets run. It helps where Python lets go of its lock: files, hashing, compression.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gevent

P = ParamSpec("P")
T = TypeVar("T")


def aside(do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it in a thread and wait; raises what it raises. A greenlet killed meanwhile leaves it to end alone."""
    # gevent prints the traceback of what is raised in a thread, even where somebody expects it.
    result, error = gevent.get_hub().threadpool.apply(_caught, (do, *args), kwargs)
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]  # gevent's pool is untyped


def _caught(do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T | None, Exception | None]:
    try:
        return do(*args, **kwargs), None
    except Exception as error:  # noqa: BLE001  # raised again in the greenlet that asked
        return None, error
