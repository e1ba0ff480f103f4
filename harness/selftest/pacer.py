"""A server that streams on a plan and logs when it really sent: the truth a worker's stamps are held against.

    python -m harness.selftest.pacer --first-ms 300 --gap-ms 20 --tokens 80 [--core N] [--certificate FILE]

Rules it keeps
1. What counts is what was logged: the clock just before each send, and the kernel's stamp of the request's
   arrival. So its own lateness is no error of the client's; only its top rate limits what it can show.
2. Times are absolute: when an event is due follows from its request's arrival, never from the event before.
3. One event, one send. Gaps vary by ±20 %, so that streams do not march in step.
4. A send that the socket does not take whole ends the connection: a client that far behind has failed.

It prints `{"port": ...}`, then for every line on stdin one of what it has logged since the last
(`harness.selftest.steps` reads it), and ends when stdin does. It speaks just enough HTTP for
`harness.client`, and of a request it reads `max_tokens` only. Python's own library is all it needs.
"""

import argparse
import gc
import json
import os
import resource
import select
import selectors
import socket
import ssl
import sys
from array import array
from collections.abc import Sequence
from contextlib import suppress
from heapq import heappop, heappush, heapreplace
from random import Random
from typing import Final

from harness.clock import now_ns
from harness.selftest.stream import SO_TIMESTAMPNS, Row, Stream

JITTER: Final = 0.2  # of a gap, either way
VARIANTS: Final = 97  # plans to choose from; a prime, so that no stream meets the same one again and again
BURST: Final = 16  # sends before requests are looked for again
SPIN_NS: Final = 100_000  # closer than this to the next send, a wait in the kernel could make it late
SEND_BUFFER: Final = 1 << 20


class Pacer:
    """The server. `plans`: of each variant, when its events are due, in ns after the request."""

    def __init__(
        self, listener: socket.socket, plans: Sequence[Sequence[int]], tls: ssl.SSLContext | None = None
    ) -> None:
        self._listener = listener
        self._plans = plans
        self._tls = tls
        self._selector = selectors.DefaultSelector()
        self._queue: list[tuple[int, int, Stream]] = []  # a heap: (due, number of the stream, stream)
        self._rows: list[Row] = []
        self._accepted = self._requests = self._blocked = 0
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, None)

    def serve(self, control: int) -> None:
        """Until `control`, a descriptor, ends. Each line on it is answered on stdout with the log."""
        self._selector.register(control, selectors.EVENT_READ, control)
        while self._poll():
            self._send_due()

    def _poll(self) -> bool:
        """See to what can be read, waiting for it until the next send is near. False: the end."""
        near_ns = self._queue[0][0] - now_ns() - SPIN_NS if self._queue else 1_000_000_000
        for key, _ in _ready(self._selector, max(0, near_ns) / 1e9):
            if isinstance(key.data, Stream):
                self._receive(key.data)
            elif key.data is None:
                self._accept()
            elif os.read(key.data, 65_536):
                self._report()
            else:
                return False
        return True

    def _send_due(self) -> None:
        queue = self._queue
        for _ in range(BURST):
            if not queue:
                return
            due, number, stream = queue[0]
            now = now_ns()
            if now < due:
                return
            row = stream.row
            row.sends.append(now)
            sent = self._send(stream, stream.chunk)
            row.lates.append(now - due)
            stream.left -= 1
            if sent and stream.left:
                heapreplace(queue, (row.read_ns + stream.plan[len(row.sends)], number, stream))
            else:
                heappop(queue)
                if sent:
                    self._send(stream, stream.tail)

    def _send(self, stream: Stream, data: bytes) -> bool:
        """One send; False if the connection is at its end."""
        try:
            whole = stream.sock.send(data) == len(data)
        except (BlockingIOError, ssl.SSLWantWriteError):
            whole = False
        except OSError:  # it has gone, or was closed here
            return False
        if not whole:
            self._blocked += 1
            self._drop(stream)
        return whole

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                if sys.platform == "linux":
                    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                if self._tls:
                    sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                self._accepted += 1
                self._selector.register(sock, selectors.EVENT_READ, Stream(sock, self._accepted))

    def _receive(self, stream: Stream) -> None:
        try:
            data, arrival_ns = stream.receive()
            request = stream.take(data) if data else None
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except (OSError, ValueError):
            data, request = b"", None
        if not data:
            self._drop(stream)
        if request:
            self._requests += 1
            stream.begin(*request, self._plans[self._requests % len(self._plans)], arrival_ns)
            self._rows.append(stream.row)
            if self._send(stream, stream.head):
                heappush(self._queue, (arrival_ns + stream.plan[0], stream.number, stream))

    def _drop(self, stream: Stream) -> None:
        if stream.sock.fileno() >= 0:
            self._selector.unregister(stream.sock)
            stream.sock.close()  # its next event in the queue fails to be sent, and was the last

    def _report(self) -> None:
        rows = [[row.request_id, row.read_ns, row.sends.tolist(), row.lates.tolist()] for row in self._rows]
        print(json.dumps({"rows": rows, "blocked": self._blocked}), flush=True)
        self._rows, self._blocked = [], 0


def plans(first_ns: int, gap_ns: int, tokens: int) -> "list[array[int]]":
    """Of each variant, when its events are due, in ns after the request, ascending.

    The first comes exactly `first_ns` after; the nth `n` gaps later, give or take `JITTER` of a gap.
    """
    source = Random(1)

    def nth(n: int) -> int:
        return first_ns + round((n + source.uniform(-JITTER, JITTER)) * gap_ns)

    return [array("q", [first_ns, *map(nth, range(1, tokens))]) for _ in range(VARIANTS)]


def allow_many_files() -> None:
    """Thousands of connections need more descriptors than the usual soft limit of 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> int:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(description="The pacing server of `tokenswarm selftest`.")
    parser.add_argument("--first-ms", type=float, required=True)
    parser.add_argument("--gap-ms", type=float, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--core", type=int)
    parser.add_argument("--certificate")
    args = parser.parse_args()
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    allow_many_files()
    tls = None
    if args.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(args.certificate)
    variants = plans(round(args.first_ms * 1e6), round(args.gap_ms * 1e6), args.tokens)
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        pacer = Pacer(listener, variants, tls)
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        gc.collect()
        gc.freeze()
        gc.disable()  # it makes no cycles, and a collection would make its sends late
        pacer.serve(sys.stdin.fileno())
    return 0


def _ready(selector: selectors.BaseSelector, wait_s: float) -> list[tuple[selectors.SelectorKey, int]]:
    """What can be read. epoll_wait counts in ms and rounds up; select, to which an epoll is a file, in µs."""
    if sys.platform == "linux" and wait_s > 0 and isinstance(selector, selectors.EpollSelector):
        select.select((selector.fileno(),), (), (), wait_s)
        wait_s = 0
    return selector.select(wait_s)


if __name__ == "__main__":
    sys.exit(main())
