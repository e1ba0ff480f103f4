"""An HTTP proxy in real threads: tunnels (CONNECT) and whole-URL requests, with a login if it is given one.

The names it is asked for are its own business: `names` says which port of this machine each stands for, so that a
test's target has a name that nobody else can resolve.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socket import IPPROTO_TCP as _TCP
from socket import SHUT_RDWR, SHUT_WR
from socket import TCP_NODELAY as _NODELAY
from typing import Any
from urllib.parse import urlsplit

from gevent import monkey

# Whatever another test's import has patched: a real thread must not touch gevent's hub.
_socket: Any = monkey.get_original("socket", "socket")
_start: Callable[..., object] = monkey.get_original("_thread", "start_new_thread")


@dataclass
class Relay:
    """What it is asked, and how to reach it."""

    names: Mapping[str, int]
    login: str | None
    port: int = 0
    heads: list[bytes] = field(default_factory=list)  # of every request, as it came
    sockets: list[Any] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it is, without a login."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[bytes]:
        """The request lines."""
        return [head.split(b"\r\n")[0] for head in self.heads]


class _Talk:
    """One connection to it."""

    def __init__(self, relay: Relay, sock: Any) -> None:
        self._relay = relay
        self._sock = sock
        self._server: Any = None

    def run(self) -> None:
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                data = self._sock.recv(65_536)
                if not data:
                    return
                buffer += data
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            self._relay.heads.append(head)
            if (refusal := self._refusal(head)) is not None:
                self._sock.sendall(refusal)
                return
            if head.startswith(b"CONNECT "):
                self._sock.sendall(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 relay\r\n\r\n")
                _start(self._pump, (self._server, self._sock))
                self._pump(self._sock, self._server)
                return
            buffer = self._pass_on(head, buffer)

    def _refusal(self, head: bytes) -> bytes | None:
        """What it says instead of doing what it is asked; None once there is a connection to the server."""
        relay = self._relay
        if relay.login:
            proof = b64encode(relay.login.encode())
            if b"\r\nProxy-Authorization: Basic " + proof not in head:
                return b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
        where = head.split(b" ")[1].decode()
        host = urlsplit(where if "://" in where else f"//{where}").hostname or ""
        if self._server is None:
            port = relay.names.get(host)
            if port is None:
                return b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 11\r\n\r\nno such one"
            self._server = _socket()
            self._server.connect(("127.0.0.1", port))
            self._server.setsockopt(_TCP, _NODELAY, 1)
            relay.sockets.append(self._server)
            if not head.startswith(b"CONNECT "):
                _start(self._pump, (self._server, self._sock))
        return None

    def _pass_on(self, head: bytes, body: bytes) -> bytes:
        """One request in the form that servers want; what came after it."""
        method, url, rest = head.split(b" ", 2)
        lines = [line for line in rest.split(b"\r\n") if not line.lower().startswith(b"proxy-")]
        lengths = [line.split(b":")[1] for line in lines if line.lower().startswith(b"content-length:")]
        size = int(lengths[0]) if lengths else 0
        while len(body) < size:
            body += self._sock.recv(65_536)
        path = b"/" + url.split(b"/", 3)[3]
        self._server.sendall(b" ".join((method, path, b"\r\n".join(lines))) + b"\r\n\r\n" + body[:size])
        return body[size:]

    @staticmethod
    def _pump(source: Any, sink: Any) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(SHUT_WR)


@contextmanager
def relaying(names: Mapping[str, int], login: str | None = None) -> Iterator[Relay]:
    """A proxy that knows these names."""
    relay = Relay(names, login)
    listener = _socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    relay.port = listener.getsockname()[1]

    def handle(sock: Any) -> None:
        with suppress(OSError):
            _Talk(relay, sock).run()
        sock.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sock.setsockopt(_TCP, _NODELAY, 1)
                relay.sockets.append(sock)
                _start(handle, (sock,))

    _start(accept, ())
    try:
        yield relay
    finally:
        for sock in (listener, *relay.sockets):
            with suppress(OSError):
                sock.shutdown(SHUT_RDWR)  # wakes the thread that waits in it
        listener.close()
        for sock in relay.sockets:
            sock.close()
