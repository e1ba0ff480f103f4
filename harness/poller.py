"""Which sockets can be read now: a private epoll inside gevent's hub, or gevent's own watchers.

gevent takes epoll out of `select`, since waiting in it would block every greenlet. We never wait in it:
the hub waits for the epoll's own descriptor, and then it is only asked what is ready.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import gevent
from gevent import monkey

try:
    _epoll = monkey.get_original("select", "epoll")
    HAVE_EPOLL = True
except AttributeError:  # not Linux
    HAVE_EPOLL = False
_poll = monkey.get_original("select", "poll")

CROWD = 4
REST_S = 0.001  # libev's epoll cannot wait for less

_IN = 1  # EPOLLIN, POLLIN and libev's READ are all 1

Ready = Sequence[tuple[int, int]]


class Poller(Protocol):
    """What tells which sockets can be read."""

    def add(self, fd: int) -> None:
        """Watch a descriptor for reading."""

    def remove(self, fd: int) -> None:
        """Forget a descriptor that is about to be closed."""

    def ready(self) -> Ready:
        """(descriptor, event) of each that can be read now, without waiting."""

    def pace(self, found: int) -> None:
        """So many were found ready since the last call: is it worth being woken for each?"""

    def close(self) -> None:
        """Let go of everything."""


class EpollPoller:
    """A private epoll whose own descriptor is the one thing gevent's hub watches.

    Where the kernel stamps what comes in, there is no need to be woken for every segment: from `CROWD` found
    at once on, the epoll is looked at every `REST_S` instead, until a look finds fewer. What arrives is
    dated no worse for it, unless one stream sends several events within that time: these are read together
    and share the last one's stamp. A response's end is seen up to `REST_S` late, and so the next request of
    a closed loop goes out that much later; that is why this is only done under load.
    """

    def __init__(self, drain: Callable[[], None], *, may_rest: bool) -> None:
        self._epoll = _epoll()
        loop = gevent.get_hub().loop
        self._drain = drain
        self._may_rest = may_rest
        self._watcher = loop.io(self._epoll.fileno(), _IN)
        self._timer = loop.timer(REST_S, REST_S)
        self._resting = False
        self._watcher.start(drain)

    def add(self, fd: int) -> None:
        """Watch a descriptor for reading."""
        self._epoll.register(fd, _IN)

    def remove(self, fd: int) -> None:
        """Forget a descriptor that is about to be closed."""
        self._epoll.unregister(fd)

    def ready(self) -> Ready:
        """(descriptor, event) of each that can be read now, without waiting."""
        found: Ready = self._epoll.poll(0)
        return found

    def pace(self, found: int) -> None:
        """So many were found ready since the last call: is it worth being woken for each?"""
        crowded = found >= CROWD and self._may_rest
        if crowded and not self._resting:
            self._watcher.stop()
            self._timer.start(self._drain)
        elif self._resting and not crowded:
            self._timer.stop()
            self._watcher.start(self._drain)
        self._resting = crowded

    def close(self) -> None:
        """Let go of everything."""
        for watcher in (self._watcher, self._timer):
            watcher.stop()
            watcher.close()
        self._epoll.close()


class HubPoller:
    """One watcher a socket, for platforms without epoll (macOS). Same stamps, more work per read.

    Between slices of parsing nobody runs the hub, so `ready` asks poll(2), which is everywhere.
    """

    def __init__(self, on_ready: Callable[[int], None]) -> None:
        self._on_ready = on_ready
        self._watchers: dict[int, object] = {}
        self._poll = _poll()

    def add(self, fd: int) -> None:
        """Watch a descriptor for reading."""
        watcher = gevent.get_hub().loop.io(fd, _IN)
        watcher.start(self._on_ready, fd)
        self._watchers[fd] = watcher
        self._poll.register(fd, _IN)

    def remove(self, fd: int) -> None:
        """Forget a descriptor that is about to be closed."""
        self._poll.unregister(fd)
        watcher = self._watchers.pop(fd)
        watcher.stop()  # type: ignore[attr-defined]  # gevent's watchers have no common type
        watcher.close()  # type: ignore[attr-defined]

    def ready(self) -> Ready:
        """(descriptor, event) of each that can be read now, without waiting."""
        found: Ready = self._poll.poll(0)
        return found

    def pace(self, found: int) -> None:
        """A watcher each is woken for each."""

    def close(self) -> None:
        """Let go of everything."""
        for fd in list(self._watchers):
            self.remove(fd)
