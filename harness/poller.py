"""Which sockets can be read now: a private epoll inside gevent's hub, or gevent's own watchers.

gevent takes epoll out of `select`, since waiting in it would block every greenlet. We never wait in it:
the hub waits for the epoll's own descriptor, and then it is only asked what is ready.
"""

from collections.abc import Callable
from typing import Protocol

import gevent
from gevent import monkey

try:
    _epoll = monkey.get_original("select", "epoll")
    HAVE_EPOLL = True
except AttributeError:  # not Linux
    HAVE_EPOLL = False


class Poller(Protocol):
    """What tells which sockets can be read: `ready` returns their descriptors, if asked."""

    def add(self, fd: int) -> None:
        """Watch a descriptor for reading."""

    def remove(self, fd: int) -> None:
        """Forget a descriptor that is about to be closed."""

    def ready(self) -> list[int]:
        """The descriptors that can be read now, without waiting."""

    def close(self) -> None:
        """Let go of everything."""


class EpollPoller:
    """A private epoll whose own descriptor is the one thing gevent's hub watches."""

    def __init__(self, drain: Callable[[], None]) -> None:
        self._epoll = _epoll()
        self._watcher = gevent.get_hub().loop.io(self._epoll.fileno(), 1)
        self._watcher.start(drain)

    def add(self, fd: int) -> None:
        """Watch a descriptor for reading."""
        self._epoll.register(fd, 1)

    def remove(self, fd: int) -> None:
        """Forget a descriptor that is about to be closed."""
        self._epoll.unregister(fd)

    def ready(self) -> list[int]:
        """The descriptors that can be read now, without waiting."""
        return [fd for fd, _ in self._epoll.poll(0)]

    def close(self) -> None:
        """Let go of everything."""
        self._watcher.stop()
        self._watcher.close()
        self._epoll.close()


class HubPoller:
    """One watcher a socket, for platforms without epoll. Same stamps, more work per read."""

    def __init__(self, on_ready: Callable[[int], None]) -> None:
        self._on_ready = on_ready
        self._watchers: dict[int, object] = {}

    def add(self, fd: int) -> None:
        """Watch a descriptor for reading."""
        watcher = gevent.get_hub().loop.io(fd, 1)
        watcher.start(self._on_ready, fd)
        self._watchers[fd] = watcher

    def remove(self, fd: int) -> None:
        """Forget a descriptor that is about to be closed."""
        watcher = self._watchers.pop(fd)
        watcher.stop()  # type: ignore[attr-defined]  # gevent's watchers have no common type
        watcher.close()  # type: ignore[attr-defined]

    def ready(self) -> list[int]:
        """None: the watchers have been told already."""
        return []

    def close(self) -> None:
        """Let go of everything."""
        for fd in list(self._watchers):
            self.remove(fd)
