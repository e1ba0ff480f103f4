"""TLS over a socket that we read ourselves.

Python's SSL socket hides the moment at which bytes arrive and, under gevent, blocks the greenlet that
reads it. So the socket stays plain, with the kernel's stamps, and an `ssl.SSLObject` turns bytes into
bytes. The certificate and the host name are verified unless the user switched that off.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose certificates are accepted: the system's authorities', those of `ca_file` alone, or (`insecure`) anybody's."""

    ca_file: Path | None = None
    insecure: bool = False


KNOWN = Trust()


def context(trust: Trust = KNOWN) -> ssl.SSLContext:
    """What connections are made with.

    Raises:
        ConfigError: `ca_file` cannot be read, or holds no certificate.
    """
    path = trust.ca_file
    try:
        made = ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise ConfigError(f"--ca-file {str(path)!r}: no certificate in it; give a PEM file") from None
    except OSError as error:
        raise ConfigError(
            f"--ca-file {str(path)!r}: {(error.strerror or 'cannot be read').lower()}"
        ) from None
    if trust.insecure:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


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

    def decrypt(self, data: bytes | memoryview) -> tuple[bytes, bool]:
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
                break
            except ssl.SSLZeroReturnError:
                return b"".join(plain), True
            if not piece:
                return b"".join(plain), True
            plain.append(piece)
            if not self._incoming.pending and not self._tls.pending():  # spares the exception, nearly always
                break
        return (plain[0] if len(plain) == 1 else b"".join(plain)), False
