"""TLS over a socket that we read ourselves.

Python's SSL socket hides the moment at which bytes arrive and, under gevent, blocks the greenlet that
reads it. So the socket stays plain and an `ssl.SSLObject` turns bytes into bytes. The certificate and
the host name are verified.
"""

import ssl
from typing import Protocol


class Wire(Protocol):
    """The two calls of a socket that a handshake needs."""

    def sendall(self, data: bytes, /) -> object:
        """Send all of `data`."""

    def recv(self, size: int, /) -> bytes:
        """Receive up to `size` bytes; b"" at the end of the stream."""


class Channel:
    """One TLS connection's two directions."""

    __slots__ = ("_incoming", "_outgoing", "_tls")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def handshake(self, wire: Wire) -> None:
        """Shake hands over a connected socket.

        Raises:
            ssl.SSLError: the certificate does not verify, or there is no common protocol.
            OSError: the connection broke.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                wire.sendall(self._outgoing.read())
                data = wire.recv(65_536)
                if not data:
                    raise ConnectionResetError("the connection closed during the TLS handshake") from None
                self._incoming.write(data)
            else:
                wire.sendall(self._outgoing.read())
                return

    def encrypt(self, data: bytes) -> bytes:
        """The records to send for `data`."""
        self._tls.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> tuple[bytes, bool]:
        """(plain bytes, whether the peer said it is done); no bytes where `data` held only control records.

        Raises:
            ssl.SSLError: a record that does not decrypt.
        """
        self._incoming.write(data)
        plain: list[bytes] = []
        while True:
            try:
                piece = self._tls.read(65_536)
            except ssl.SSLWantReadError:
                return b"".join(plain), False
            except ssl.SSLZeroReturnError:
                return b"".join(plain), True
            if not piece:
                return b"".join(plain), True
            plain.append(piece)
