"""One connection: opened with its steps timed apart, written to, and read with the kernel's stamp.

The stamp is the kernel's (SO_TIMESTAMPNS, which recvmsg returns with the bytes), so that bytes that had
to wait for this process are dated by when they reached the host. Where the kernel gives none, as on
macOS, it is our own clock's, right after the read. If one read takes several segments, the kernel tells
the newest one's time. Under TLS the stamps are those of the encrypted bytes.

Names are resolved here for the load, and connected to are only those of the addresses that `harness.allowed_hosts` permits: the
very ones that were looked at, whatever the name may lead to a moment later.

Through a proxy, `dns_ns` and `connect_ns` are the proxy's, with a tunnel's CONNECT in the latter. The answer to that
has been read to its end before there is a connection to read from.
"""

import contextlib
import os
import ssl
import struct
import sys

from gevent import socket

from harness import allowed_hosts, tunnel
from harness.allowed_hosts import AllowedHosts, HostRefused
from harness.clock import KernelClock, now_ns
from harness.errors import ErrorClass
from harness.exchange import Exchange, SetUp, Timeouts
from harness.proxy import Proxy
from harness.target import Target
from harness.tls import Channel

# Every read of the process goes here first: nothing waits between the read and the copy to its response.
_BUFFER = bytearray(65_536)
_VIEW = memoryview(_BUFFER)
_INTO = (_BUFFER,)

# Python's socket module does not name it. The control message is one `struct timespec` of wall time.
_SO_TIMESTAMPNS = 35 if sys.platform == "linux" else None
_TIMESPEC = struct.Struct("@ll")
_STAMPING_S = 0.5  # how long to wait until the kernel stamps
_CONTROL_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)

Found = list[tuple[int, tuple[object, ...]]]  # address family and socket address


class Connection:
    """One socket, and the exchange it is busy with."""

    __slots__ = ("_clock", "_receive", "exchange", "fd", "reused", "sock", "tls")

    def __init__(self, sock: socket.socket, tls: Channel | None, clock: KernelClock) -> None:
        self.sock = sock
        self.fd: int = sock.fileno()
        self.tls = tls
        self.exchange: Exchange | None = None
        self.reused = False
        self._clock = clock
        self._receive = sock._sock.recvmsg_into  # noqa: SLF001  # gevent's own waits when there is nothing

    def send(self, payload: bytes) -> None:
        """Write a whole request, waiting cooperatively while the socket is full."""
        self.sock.sendall(self.tls.encrypt(payload) if self.tls else payload)

    def read(self) -> int:
        """One read with its stamp, into the exchange. Returns the kernel's stamp, 0 if it gave none."""
        kernel_ns, why = 0, "the server closed the connection"
        try:
            size, control, _, _ = self._receive(_INTO, _CONTROL_BYTES)
            if control:
                seconds, rest_ns = _TIMESPEC.unpack(control[0][2])
                kernel_ns = seconds * 1_000_000_000 + rest_ns - self._clock.shift_ns
            time_ns = kernel_ns or now_ns()
            data: bytes | memoryview = _VIEW[:size]
            closed = not size
            if self.tls and size:
                data, closed = self.tls.decrypt(data)
        except BlockingIOError:
            return 0
        except OSError as error:  # ssl.SSLError is one
            data, closed, why = b"", True, reason(error)
        exchange = self.exchange
        if exchange is not None:
            if data:
                received = exchange.received
                if not kernel_ns:
                    received.own_stamps += 1
                if received.add(data, time_ns):
                    exchange.stir()
            if closed:
                exchange.close(why)
        return kernel_ns


class Opener:
    """Opens connections to one target or its proxy, whose name it resolves once."""

    def __init__(
        self,
        target: Target,
        timeouts: Timeouts,
        tls: ssl.SSLContext | None,
        *,
        kernel_stamps: bool,
        proxy: Proxy | None = None,
        allowed: AllowedHosts | None = None,
    ) -> None:
        """`allowed`: where connections may be opened to; None: what the environment says."""
        self._allowed = allowed_hosts.read(os.environ) if allowed is None else allowed
        self.clock = KernelClock()
        self._target = target
        self._proxy = proxy
        self._first = f"the proxy {proxy}" if proxy else str(target)  # who is connected to
        self._last = f"{target} through the proxy {proxy}" if proxy else str(target)
        self._timeouts = timeouts
        self._tls = tls
        self._kernel_stamps = kernel_stamps
        self._stamping = _begin_stamping() if kernel_stamps else ()
        self._addresses: Found = []

    def close(self) -> None:
        """No more connections."""
        for sock in self._stamping:
            sock.close()

    def forget(self) -> None:
        """Look the address up again for the next connection."""
        self._addresses = []

    def open(self, exchange: Exchange) -> Connection | None:
        """A new connection, or None with the exchange's failure set."""
        took = exchange.set_up = SetUp()
        begin = now_ns()
        try:
            if not self._addresses:
                self._addresses = _permitted(self._target, self._proxy, self._allowed)
                took.dns_ns, begin = now_ns() - begin, now_ns()
            sock = self._socket()
            if self._proxy and self._target.tls:
                self._tunnel(sock, self._proxy)
            took.connect_ns = now_ns() - begin
        except tunnel.Refused as refused:
            exchange.finish((refused.error_class, str(refused)))
            return None
        except socket.gaierror as error:
            name = self._first if self._proxy else self._target.host
            exchange.finish((ErrorClass.DNS, f"{name} does not resolve: {reason(error)}"))
            return None
        except HostRefused as refused:
            exchange.finish((ErrorClass.CONNECT, str(refused)))
            return None
        except TimeoutError:
            limit = self._timeouts.connect_s
            exchange.finish((ErrorClass.CONNECT_TIMEOUT, f"{self._first} did not accept in {limit:g} s"))
            return None
        except OSError as error:
            exchange.finish((ErrorClass.CONNECT, f"{self._first}: {reason(error)}"))
            return None
        return self._secure(sock, exchange, took)

    def _secure(self, sock: socket.socket, exchange: Exchange, took: SetUp) -> Connection | None:
        """The connection over an open socket, TLS shaken hands; or None with the exchange's failure set."""
        tls: Channel | None = None
        begin = now_ns()
        try:
            if self._tls:
                tls = Channel(self._tls, self._target.host)
                tls.handshake(sock)
                took.tls_ns = now_ns() - begin
        except OSError as error:
            sock.close()
            exchange.finish((ErrorClass.TLS, f"{self._last}: {reason(error)}"))
            return None
        except BaseException:  # the greenlet was killed
            sock.close()
            raise
        sock.settimeout(self._timeouts.idle_s)
        return Connection(sock, tls, self.clock)

    def _tunnel(self, sock: socket.socket, proxy: Proxy) -> None:
        """Have the proxy connect an open socket to the target; it is closed if that fails."""
        try:
            sock.sendall(tunnel.connect(proxy, self._target))
            self._await_tunnel(sock, proxy)
        except TimeoutError:
            sock.close()
            raise tunnel.kept_silent(proxy, self._timeouts.connect_s) from None
        except BaseException:  # the greenlet may have been killed
            sock.close()
            raise
        sock.settimeout(self._timeouts.connect_s)

    def _await_tunnel(self, sock: socket.socket, proxy: Proxy) -> None:
        """Read its answer to the last byte, however it comes, in the time there is to open a connection."""
        answer = b""
        end_ns = now_ns() + int(self._timeouts.connect_s * 1e9)
        while not tunnel.is_open(proxy, self._target, answer):
            sock.settimeout(max(end_ns - now_ns(), 1) / 1e9)  # 0 would mean not to wait at all
            data = sock.recv(4096)
            if not data:
                raise tunnel.hung_up(proxy)
            answer += data

    def _socket(self) -> socket.socket:
        """A connected socket to the first address that accepts."""
        last: OSError = OSError("no address")
        for family, address in self._addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._kernel_stamps:
                    _ask_for_stamps(sock)
                sock.settimeout(self._timeouts.connect_s)
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


def _ask_for_stamps(sock: socket.socket) -> None:
    """Have the kernel stamp what it receives on this socket, if it can."""
    if _SO_TIMESTAMPNS is not None:
        with contextlib.suppress(OSError):  # then there will be none, and our own clock's are used
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def _begin_stamping() -> tuple[socket.socket, ...]:
    """Sockets that keep the kernel stamping while they are open.

    The kernel begins to stamp some time after the first socket of the machine asked for it (net_enable_timestamp
    hands it to a work queue) and ends with the last; without these a run's first bytes would come without a stamp.
    """
    if _SO_TIMESTAMPNS is None:
        return ()
    sockets: list[socket.socket] = []
    with contextlib.suppress(OSError):  # no IPv4 loopback: the first stamps may be our own
        with socket.create_server(("127.0.0.1", 0)) as listener:
            sockets.append(socket.create_connection(listener.getsockname(), timeout=_STAMPING_S))
            sockets.append(listener.accept()[0])
        sender, receiver = sockets
        _ask_for_stamps(receiver)
        receiver.settimeout(_STAMPING_S)
        end_ns = now_ns() + int(_STAMPING_S * 1e9)
        stamped = False
        while not stamped and now_ns() < end_ns:
            sender.send(b"?")
            stamped = bool(receiver.recvmsg(1, _CONTROL_BYTES)[1])
    return tuple(sockets)


def refusal(target: Target, proxy: Proxy | None, allowed: AllowedHosts) -> str | None:
    """Why no connection to a target will be opened, in a line; None if one may be, or its name does not resolve."""
    try:
        _permitted(target, proxy, allowed)
    except HostRefused as refused:
        return str(refused)
    except OSError:  # that is told by whoever asks the server first
        return None
    return None


def _permitted(target: Target, proxy: Proxy | None, allowed: AllowedHosts) -> Found:
    """Where to connect to, for connections to a target. A proxy is its user's own choice; it resolves the target's name.

    Raises:
        HostRefused: nothing may be sent there.
        OSError: the name does not resolve.
    """
    if why := allowed.refusal(target.host, target.port, () if proxy else None):
        raise HostRefused(why)
    found = _resolve(proxy or target)
    if proxy:
        return found
    kept = allowed.permitted(target.host, target.port, [str(address[0]) for _, address in found])
    return [one for one in found if one[1][0] in kept]


def _resolve(place: Target | Proxy) -> Found:
    found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def reason(error: OSError) -> str:
    """An error in a few words, without Python's numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS error ({error.reason or error})"
    return (error.strerror or str(error) or type(error).__name__).lower()
