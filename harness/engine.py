"""The load engine's edge: all sockets of a process, and the stamps.

What kills the accuracy of a load generator in Python is work between the socket and the clock. So all
connections sit in one private poller that gevent's hub watches with a single watcher. Its callback,
`Engine.drain`, does nothing but read what is ready, stamp the read, and append the bytes to the
`Exchange` they belong to. No greenlet is switched to and nothing is parsed until a response is complete;
then its own greenlet wakes and parses (`harness.decode`), calling `drain` again between slices.

A greenlet waits for its own response to be parsed before it sends again, so there is never more than
one unparsed response per user: the backlog is bounded by construction.

Connections are kept alive and shared. One that the server closed while it lay idle is noticed at once,
because idle connections stay in the poller, and it is asked before one is used again: llama.cpp promises
keep-alive and yet closes after each streamed response, microseconds after its end. One that breaks after
we wrote a request and before a byte of the answer came is replaced once and counted
(`Exchange.reconnects`): the server never took that request on. The clock starts again with the second
attempt; opening a connection is never inside TTFT.
"""

import os
import ssl

import gevent
from gevent import socket

from harness.clock import now_ns
from harness.errors import ErrorClass
from harness.exchange import Exchange, Timeouts
from harness.poller import HAVE_EPOLL, EpollPoller, HubPoller, Poller
from harness.target import Target
from harness.tls import Channel

READ_BYTES = 65_536
SWEEP_S = 0.05  # how late a timeout may be noticed


class Connection:
    """One socket, and the exchange it is busy with."""

    __slots__ = ("exchange", "fd", "reused", "sock", "tls")

    def __init__(self, sock: socket.socket, tls: Channel | None) -> None:
        self.sock = sock
        self.fd: int = sock.fileno()
        self.tls = tls
        self.exchange: Exchange | None = None
        self.reused = False

    def send(self, payload: bytes) -> None:
        """Write a whole request, waiting cooperatively while the socket is full."""
        self.sock.sendall(self.tls.encrypt(payload) if self.tls else payload)

    def read(self) -> None:
        """One read, stamped, into the exchange. Called when the poller says there is something."""
        why = "the server closed the connection"
        closed = False
        try:
            data = os.read(self.fd, READ_BYTES)
            time_ns = now_ns()
            closed = not data
            if data and self.tls:
                data, closed = self.tls.decrypt(data)
        except BlockingIOError:
            return
        except OSError as error:  # ssl.SSLError is one
            data, time_ns, closed, why = b"", 0, True, _reason(error)
        exchange = self.exchange
        if exchange is not None:
            if data:
                exchange.take(data, time_ns)
            if closed:
                exchange.close(why)


class Engine:
    """All connections of this process to one target. Use from greenlets of one thread only."""

    def __init__(self, target: Target, timeouts: Timeouts, *, portable: bool = False) -> None:
        """`portable` forces the poller for platforms without epoll."""
        self.target = target
        self.timeouts = timeouts
        self._tls = ssl.create_default_context() if target.tls else None
        self._poller: Poller = (
            EpollPoller(self.drain) if HAVE_EPOLL and not portable else HubPoller(self._ready)
        )
        self._connections: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._active: set[Exchange] = set()
        self._addresses: list[tuple[int, tuple[object, ...]]] = []
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
            if not (exchange.unanswered and connection.reused and not retried):
                return
            retried = True
            exchange.reconnects += 1
            exchange.sent_ns = None

    def drain(self) -> None:
        """Read and stamp everything that is ready now."""
        for fd in self._poller.ready():
            self._ready(fd)

    def close(self) -> None:
        """Close every connection."""
        self._timer.stop()
        for connection in list(self._connections.values()):
            self._discard(connection)
        self._poller.close()

    def _ready(self, fd: int) -> None:
        connection = self._connections.get(fd)
        if connection is None:
            return
        if connection.exchange is None:  # idle: all a server can say now is goodbye
            self._idle.remove(connection)
            self._discard(connection)
        else:
            connection.read()

    def _converse(self, connection: Connection, exchange: Exchange) -> None:
        connection.exchange = exchange
        self._active.add(exchange)
        exchange.start()
        keep = False
        try:
            try:
                connection.send(exchange.payload)
            except OSError as error:
                # A server may answer and close before it has read all of a request: then that is the answer.
                connection.read()
                exchange.close(_reason(error))
            exchange.done.wait()
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

    def _discard(self, connection: Connection) -> None:
        if self._connections.pop(connection.fd, None) is not None:
            self._poller.remove(connection.fd)
        connection.sock.close()

    def _connect(self, exchange: Exchange) -> Connection | None:
        """A new connection, or None with the exchange's failure set."""
        begin = now_ns()
        try:
            if not self._addresses:
                self._addresses = _resolve(self.target)
            sock = self._open()
        except socket.gaierror as error:
            exchange.finish((ErrorClass.DNS, f"{self.target.host} does not resolve: {_reason(error)}"))
            return None
        except TimeoutError:
            limit = self.timeouts.connect_s
            exchange.finish((ErrorClass.CONNECT_TIMEOUT, f"{self.target} did not accept in {limit:g} s"))
            return None
        except OSError as error:
            exchange.finish((ErrorClass.CONNECT, f"{self.target}: {_reason(error)}"))
            return None
        try:
            tls = Channel(self._tls, self.target.host) if self._tls else None
            if tls:
                tls.handshake(sock)
        except OSError as error:
            sock.close()
            exchange.finish((ErrorClass.TLS, f"{self.target}: {_reason(error)}"))
            return None
        except BaseException:  # the greenlet was killed
            sock.close()
            raise
        sock.settimeout(self.timeouts.idle_s)
        connection = Connection(sock, tls)
        self._connections[connection.fd] = connection
        self._poller.add(connection.fd)
        exchange.connect_ns = now_ns() - begin
        return connection

    def _open(self) -> socket.socket:
        """A connected socket to the first address that accepts."""
        last: OSError = OSError("no address")
        for family, address in self._addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(self.timeouts.connect_s)
                sock.connect(address)
            except OSError as error:
                sock.close()
                last = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise last

    def _sweep(self) -> None:
        now = now_ns()
        for exchange in tuple(self._active):
            exchange.expire(now, self.timeouts)


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


def _resolve(target: Target) -> list[tuple[int, tuple[object, ...]]]:
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def _reason(error: OSError) -> str:
    """An error in a few words, without Python's numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS error ({error.reason or error})"
    return (error.strerror or str(error) or type(error).__name__).lower()
