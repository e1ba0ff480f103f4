"""A server that says exactly what a test tells it to, over a real socket in the test's own event loop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import gevent
from gevent import socket
from gevent.server import StreamServer

from harness.target import Target

Script = Callable[["Conversation"], None]


class Conversation:
    """One connection, seen from the server."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number  # 1 for the first connection
        self.requests: list[bytes] = []
        self._buffer = b""

    def request(self) -> bytes:
        """The next request's body; b"" when the client is gone."""
        while b"\r\n\r\n" not in self._buffer:
            data = self.sock.recv(65_536)
            if not data:
                return b""
            self._buffer += data
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        length = int(
            next(
                line.split(b":")[1]
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
        )
        while len(rest) < length:
            rest += self.sock.recv(65_536)
        self._buffer = rest[length:]
        self.requests.append(head)
        return rest[:length]

    def say(self, *parts: bytes, pause_s: float = 0) -> None:
        """Send parts, each in a segment of its own, with a pause before each."""
        for part in parts:
            if pause_s:
                gevent.sleep(pause_s)
            self.sock.sendall(part)

    def reset(self) -> None:
        """Break the connection with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


@contextmanager
def serving(script: Script) -> Iterator[tuple[Target, list[Conversation]]]:
    """A server that runs `script` on every connection; yields its address and the conversations so far."""
    conversations: list[Conversation] = []

    def handle(sock: socket.socket, _address: object) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conversation = Conversation(sock, len(conversations) + 1)
        conversations.append(conversation)
        with suppress(OSError):  # the client went away, as some tests mean it to
            script(conversation)

    server = StreamServer(("127.0.0.1", 0), handle)
    server.start()
    try:
        yield Target(tls=False, host="127.0.0.1", port=server.server_port), conversations
    finally:
        server.stop(timeout=0)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(data: str) -> bytes:
    """One server-sent event in a chunk of its own."""
    return chunk(f"data: {data}\n\n".encode())


def content(text: str) -> bytes:
    """A chat chunk that carries text."""
    return event(f'{{"choices":[{{"delta":{{"content":"{text}"}}}}]}}')


USAGE = event('{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}')
DONE = event("[DONE]")
ANSWER = (HEAD, content("a"), content("b"), USAGE, DONE, END)
