"""A server in real threads with real sockets: a client under test that is late or busy cannot make it late too."""

import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import IPPROTO_TCP as _TCP
from socket import SHUT_RDWR
from socket import TCP_NODELAY as _NODELAY
from typing import Any

from gevent import monkey
from scripted import Conversation

from harness.clock import now_ns
from harness.target import Target

# Whatever another test's import has patched: a real thread must not touch gevent's hub.
_socket: Any = monkey.get_original("socket", "socket")
_start: Callable[..., object] = monkey.get_original("_thread", "start_new_thread")
sleep: Callable[[float], None] = monkey.get_original("time", "sleep")


class Talk(Conversation):
    """One connection, seen from a thread of its own."""

    def __init__(self, sock: Any, number: int) -> None:
        super().__init__(sock, number)
        self.sent: list[tuple[int, int]] = []

    def say(self, *parts: bytes, pause_s: float = 0) -> None:
        """Send parts, each by itself, with a pause before each; `sent` keeps when: just before, and after."""
        for part in parts:
            if pause_s:
                sleep(pause_s)
            before = now_ns()
            self.sock.sendall(part)
            self.sent.append((before, now_ns()))

    def wait(self) -> None:
        """Until the client is gone."""
        while self.sock.recv(65_536):
            pass


Script = Callable[[Talk], None]


@contextmanager
def standing(script: Script, *, certificate: Path | None = None) -> Iterator[tuple[Target, list[Talk]]]:
    """A server that runs `script` on every connection; yields its address and the conversations so far."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    talks: list[Talk] = []
    listener = _socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)

    def handle(sock: Any) -> None:
        with suppress(OSError):  # the client went away, or does not trust us, as some tests mean it to
            talk = Talk(context.wrap_socket(sock, server_side=True) if context else sock, len(talks) + 1)
            talks.append(talk)
            try:
                script(talk)
            finally:
                talk.sock.close()
        sock.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sock.setsockopt(_TCP, _NODELAY, 1)
                _start(handle, (sock,))

    _start(accept, ())
    host = "localhost" if certificate else "127.0.0.1"
    try:
        yield Target(tls=context is not None, host=host, port=listener.getsockname()[1]), talks
    finally:
        for sock in (listener, *(talk.sock for talk in talks)):
            with suppress(OSError):
                sock.shutdown(SHUT_RDWR)  # wakes the thread that waits in it
        listener.close()


def self_signed(folder: Path, host: str) -> Path:
    """A certificate for `host` that signs itself, and its key, in one file."""
    key, certificate, both = folder / f"{host}.key", folder / f"{host}.crt", folder / f"{host}.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    kind = "IP" if host[0].isdigit() else "DNS"
    names = ["-days", "2", "-subj", f"/CN={host}", "-addext", f"subjectAltName={kind}:{host}"]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both
