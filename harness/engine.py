"""The load engine's edge: all sockets of a process, and the stamps.

What kills the accuracy of a load generator in Python is work between the socket and the clock. So all
connections sit in one private poller that gevent's hub watches with a single watcher. Its callback,
`Engine.drain`, does nothing but read what is ready and append the bytes and their stamp to what was
received before. No greenlet is switched to and nothing is parsed until a response may be complete; then
its own greenlet wakes and parses (`harness.decode`), calling `drain` again between slices.

A greenlet waits for its own response to be parsed before it sends again, so there is never more than
one unparsed response per user: the backlog is bounded by construction.

Connections are kept alive and shared. One that the server closed while it lay idle is noticed at once,
because idle connections stay in the poller, and it is asked before one is used again: llama.cpp promises
keep-alive and yet closes after each streamed response, microseconds after its end. One that breaks after
we wrote a request and before a byte of the answer came is replaced once and counted
(`Exchange.reconnects`): the server never took that request on. The clock starts again with the second
attempt; opening a connection is never inside TTFT.
"""

import ssl
from collections.abc import Collection

import gevent
from gevent.lock import Semaphore

from harness.allowed_hosts import AllowedHosts
from harness.clock import now_ns
from harness.connection import Connection, Opener, reason
from harness.errors import ErrorClass
from harness.exchange import Exchange, Timeouts
from harness.poller import HAVE_EPOLL, EpollPoller, HubPoller, Poller, Ready
from harness.proxy import Proxy
from harness.target import Target
from harness.tls import context
from harness.vitals import Vitals

SWEEP_S = 0.05  # how late a timeout may be noticed
TURN_NS = 5_000_000  # of work, before the hub has its turn
DELAYS = 20_000  # kept in `Vitals`, should nobody take them; a busy second has some thousand


class Engine:
    """All connections of this process to one target. Use from greenlets of one thread only."""

    def __init__(
        self,
        target: Target,
        timeouts: Timeouts,
        *,
        tls: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
        allowed: AllowedHosts | None = None,
        portable: bool = False,
        kernel_stamps: bool = True,
    ) -> None:
        """An engine without connections.

        Args:
            target: where every request goes.
            timeouts: what is too long.
            tls: how to meet an https target; the system's authorities by default.
            proxy: through which every connection goes.
            allowed: where connections may be opened to; None: what the environment says.
            portable: the poller for platforms without epoll, wherever we are.
            kernel_stamps: off, every read is stamped by our own clock.
        """
        self.target = target
        self.forward = (
            None if target.tls else proxy
        )  # who is to be asked, with the whole URL, to pass requests on
        self.timeouts = timeouts
        self.vitals = Vitals()
        secure = (tls or context()) if target.tls else None
        self._opener = Opener(
            target, timeouts, secure, kernel_stamps=kernel_stamps, proxy=proxy, allowed=allowed
        )
        self._poller: Poller = (
            EpollPoller(self._arrived, may_rest=kernel_stamps)
            if HAVE_EPOLL and not portable
            else HubPoller(self._ready)
        )
        self._found = 0
        self._turned_ns = now_ns()
        self._turnstile = Semaphore()
        self._connections: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._active: set[Exchange] = set()
        self._timer = gevent.get_hub().loop.timer(SWEEP_S, SWEEP_S, ref=False)
        self._timer.start(self._sweep)

    def perform(self, exchange: Exchange) -> None:
        """Send a request and wait until its response is complete or has failed. Never raises for either."""
        retried = False
        while True:
            connection = self._connect(exchange) if retried else (self._reuse() or self._connect(exchange))
            if connection is None:
                return
            self._converse(connection, exchange)
            self.give_way()
            if not (exchange.unanswered and connection.reused and not retried):
                return
            retried = True
            exchange.reconnects += 1
            exchange.sent_ns = None

    def give_way(self) -> None:
        """Before a request is put together or a response parsed: if the hub has not had its turn for a while, let it.

        gevent runs 50 greenlets before it looks at the time. When hundreds of users start or hundreds of responses end at
        once, these would work for 100 ms in a row, and no heartbeat would go out and nothing be read.
        """
        with (
            self._turnstile
        ):  # one at a time, so that those behind wait here and not each in a timer of its own
            if now_ns() - self._turned_ns > TURN_NS:
                gevent.sleep(1e-6)  # a timer, and not 0, which would stay among those 50
                self._turned_ns = now_ns()

    @property
    def flying(self) -> Collection[Exchange]:
        """The requests that are out, or going out."""
        return self._active

    def drain(self) -> None:
        """Read and stamp everything that is ready now."""
        if ready := self._poller.ready():
            self._take(ready)

    def hang_up(self) -> None:
        """Close the connections that nobody uses, and forget the server's address: the next begins anew."""
        while self._idle:
            self._discard(self._idle.pop())
        self._opener.forget()

    def close(self) -> None:
        """Close every connection."""
        self._timer.stop()
        for connection in list(self._connections.values()):
            self._discard(connection)
        self._poller.close()
        self._opener.close()

    def _arrived(self) -> None:
        """The poller says that something can be read."""
        self._turned_ns = now_ns()
        self.drain()
        self._poller.pace(self._found)
        self._found = 0

    def _ready(self, fd: int) -> None:
        """One watched socket can be read, where there is a watcher for each."""
        self._turned_ns = now_ns()
        self._take(((fd, 0),))

    def _take(self, ready: Ready) -> None:
        kernel_reads = newest_ns = 0
        connections = self._connections
        for fd, _ in ready:
            connection = connections.get(fd)
            if connection is None:
                continue
            if connection.exchange is None:
                self._part(connection)
            elif kernel_ns := connection.read():
                kernel_reads += 1
                newest_ns = kernel_ns
        self._found += len(ready)
        vitals = self.vitals
        vitals.reads += len(ready)
        vitals.kernel_reads += kernel_reads
        vitals.most_ready = max(vitals.most_ready, len(ready))
        if newest_ns and len(vitals.delays_ns) < DELAYS:
            vitals.delays_ns.append(now_ns() - newest_ns)

    def _part(self, connection: Connection) -> None:
        """An idle connection has something to say, and all a server can say now is goodbye."""
        if connection in self._idle:
            self._idle.remove(connection)
            self._discard(connection)

    def _converse(self, connection: Connection, exchange: Exchange) -> None:
        connection.exchange = exchange
        self._active.add(exchange)
        exchange.start()
        keep = False
        try:
            try:
                connection.send(exchange.payload)
            except TimeoutError:
                limit = self.timeouts.idle_s
                exchange.finish((ErrorClass.IDLE_TIMEOUT, f"the request was not taken in {limit:g} s"))
            except OSError as error:
                # A server may answer and close before it has read all of a request: then that is the answer.
                connection.read()
                exchange.close(reason(error))
            exchange.settle(self.drain)
            keep = _may_keep(exchange)
        finally:  # also when the greenlet is killed while it waits
            self._active.discard(exchange)
            connection.exchange = None
            if keep:
                connection.reused = True
                self._idle.append(connection)
            else:
                self._discard(connection)

    def _reuse(self) -> Connection | None:
        self.drain()  # which lets go of those that the server has closed by now
        return self._idle.pop() if self._idle else None

    def _connect(self, exchange: Exchange) -> Connection | None:
        """A new connection, or None with the exchange's failure set."""
        connection = self._opener.open(exchange)
        if connection is not None:
            self._connections[connection.fd] = connection
            self._poller.add(connection.fd)
        return connection

    def _discard(self, connection: Connection) -> None:
        if self._connections.pop(connection.fd, None) is not None:
            self._poller.remove(connection.fd)
        connection.sock.close()

    def _sweep(self) -> None:
        now = now_ns()
        stirred = 0
        for exchange in tuple(self._active):
            exchange.expire(now, self.timeouts)
            stirred += exchange.is_stirred
        self.vitals.unparsed = max(self.vitals.unparsed, stirred)
        if self._opener.clock.follow():
            self.vitals.clock_steps += 1


def _may_keep(exchange: Exchange) -> bool:
    """May the connection serve another request? Only after a response that ended where it said."""
    framer = exchange.received.framer
    return (
        exchange.failure is None
        and framer.head is not None
        and framer.head.keep_alive
        and (framer.head.chunked or framer.head.length is not None)
        and framer.end == len(exchange.received.raw)
    )
