"""A relay between the load and a server that keeps what the server said, untouched by the program under test."""

import json
import re
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

Event = dict[str, Any]  # JSON
Streams = dict[str, list[Event]]

_EVENT = re.compile(rb"^data: (\{.*\})\r?$", re.MULTILINE)  # llama.cpp writes each event in one piece
_ID = re.compile(rb"^X-Request-Id: ([\w-]+)\r$", re.MULTILINE)


class Tap(socketserver.ThreadingTCPServer):
    """Relays every connection to `upstream` and keeps the bytes of both directions."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.upstream = upstream
        self.conversations: list[tuple[bytearray, bytearray]] = []  # what the client and the server said
        super().__init__(("127.0.0.1", 0), _Relay)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def streams(self) -> Streams:
        """The JSON events of each streamed answer, by our request id."""
        found: Streams = {}
        for asked, answered in self.conversations:
            ids = [match.decode() for match in _ID.findall(asked)]
            if ids and answered:  # a second request, sent before the close was seen, went nowhere
                assert answered.count(b"HTTP/1.1 200 OK\r\n") == 1, "llama.cpp closes after each stream"
                found[ids[0]] = [json.loads(event) for event in _EVENT.findall(answered)]
        return found


class _Relay(socketserver.BaseRequestHandler):
    server: Tap

    def handle(self) -> None:
        kept = (bytearray(), bytearray())
        self.server.conversations.append(kept)
        with socket.create_connection(self.server.upstream) as upstream, suppress(ConnectionError):
            ends = (self.request, upstream)
            for end in ends:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                for end in select.select(ends, (), ())[0]:
                    if not (data := end.recv(65_536)):
                        return
                    said_by = ends.index(end)
                    kept[said_by].extend(data)
                    ends[1 - said_by].sendall(data)


@contextmanager
def tapped(url: str) -> Iterator[Tap]:
    """A tap in front of the server at `url`."""
    address = urlsplit(url)
    with Tap((str(address.hostname), int(address.port or 80))) as tap:
        threading.Thread(target=tap.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield tap
        finally:
            tap.shutdown()
