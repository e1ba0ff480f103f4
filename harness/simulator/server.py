"""The sockets of the simulator: connections, routing, authorisation, the log.

One request at a time on a connection; what a client sends ahead waits its turn. A client that closes its
side, even only for writing, gives its request up: the slot is free at the next step.
"""

import asyncio
import errno
import hmac
import os
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import FileIO

import orjson

from harness.clock import now_ns
from harness.simulator.batching import Batch, CostModel
from harness.simulator.dialect import Call, Dialect, Generation, Handler, Plain, Service
from harness.simulator.engine import Engine
from harness.simulator.exchange import Exchange, reply_headers
from harness.simulator.fields import Refusal
from harness.simulator.llamacpp import LLAMACPP
from harness.simulator.openai import OPENAI
from harness.simulator.wire import CONTINUE, JSON_TYPE, BadHttp, Request, RequestParser, head

DIALECTS = (OPENAI, LLAMACPP)
PUBLIC = frozenset({"/health", "/v1/health"})  # answered without a key
_ID_CHARACTERS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A simulator's whole configuration. `api_key` None: no authorisation."""

    host: str = "127.0.0.1"
    port: int = 0
    model: str = "simulated"
    context: int = 8192
    seed: int = 0
    mean_output_tokens: float = 128.0
    cost: CostModel = field(default_factory=CostModel)
    api_key: str | None = field(default=None, repr=False)


class Simulator:
    """The server's state, shared by its connections."""

    def __init__(self, settings: Settings, log: FileIO | None = None) -> None:
        """Needs a running event loop. `log` gets JSON lines, unbuffered."""
        loop = asyncio.get_running_loop()
        batch = Batch(settings.cost)
        self.engine = Engine(batch, loop)
        self.service = Service(
            model=settings.model,
            context=settings.context,
            seed=settings.seed,
            mean_output_tokens=settings.mean_output_tokens,
            created=int(time.time()),
            batch=batch,
        )
        self.routes = {route: (d, handler) for d in reversed(DIALECTS) for route, handler in d.routes.items()}
        self.connections: set[Connection] = set()
        self.failed: asyncio.Future[OSError] = loop.create_future()  # set when the log cannot be written
        self._api_key = settings.api_key
        self._log = log

    def route(self, request: Request) -> tuple[Dialect, Handler]:
        """Who answers. Raises Refusal: 401, 404 or 405."""
        if self._api_key is not None and request.path not in PUBLIC:
            _authorise(request.headers, self._api_key)
        found = self.routes.get((request.method, request.path))
        if found is not None:
            return found
        allowed = sorted(method for method, path in self.routes if path == request.path)
        if allowed:
            raise Refusal(405, f"{request.path} takes {', '.join(allowed)}, not {request.method}")
        raise Refusal(404, f"no such route: {request.path}")

    def log(self, exchange: Exchange) -> None:
        """Append a request's line. A full disk stops the server: half a truth is none."""
        if self._log is None or self.failed.done():
            return
        line = orjson.dumps(exchange.log_row(), option=orjson.OPT_APPEND_NEWLINE)
        try:
            written = self._log.write(line)
        except OSError as error:
            self.failed.set_result(error)
        else:
            if written != len(line):
                self.failed.set_result(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def shut(self) -> None:
        """Give up every request and close every connection."""
        for connection in tuple(self.connections):
            connection.shut()


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._parser = RequestParser()
        self._exchange: Exchange | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101, a TCP server's always is
        self._transport = transport
        self._simulator.connections.add(self)
        # Each event leaves when it is written, or the client would see tokens in clumps.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        try:
            self._parser.feed(data)
            self._serve()
        except BadHttp as error:
            self._refuse_http(error)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002, why does not matter
        """The client is gone, by its close, its reset or ours."""
        self._simulator.connections.discard(self)
        self._give_up()
        self._transport = None

    def shut(self) -> None:
        """Close at once."""
        self._give_up()
        if self._transport is not None:
            self._transport.abort()

    def _serve(self) -> None:
        while self._exchange is None and self._transport is not None and not self._transport.is_closing():
            request = self._parser.take()
            if request is None:
                if self._parser.awaits_continue:
                    self._send(CONTINUE)
                return
            received_ns = now_ns()
            self._answer(Call(request, _request_id(request.headers), int(time.time())), received_ns)

    def _answer(self, call: Call, received_ns: int) -> None:
        dialect = LLAMACPP  # words the errors of requests that reach no dialect
        try:
            dialect, handler = self._simulator.route(call.request)
            answer = handler(call, self._simulator.service)
        except Refusal as refusal:
            answer = Plain(orjson.dumps(dialect.error(refusal)), status=refusal.status)
        if isinstance(answer, Generation):
            self._generate(call, answer, received_ns)
        else:
            self._send(_plain_reply(answer, call))
            self._close_unless_kept(call)

    def _generate(self, call: Call, generation: Generation, received_ns: int) -> None:
        exchange = Exchange(call, generation, received_ns, send=self._send, finished=self._finished)
        self._exchange = exchange
        exchange.open()
        self._simulator.engine.submit(exchange.sequence, exchange)

    def _finished(self, exchange: Exchange) -> None:
        self._exchange = None
        self._simulator.log(exchange)
        self._close_unless_kept(exchange.call)
        asyncio.get_running_loop().call_soon(self.data_received, b"")  # what was sent ahead

    def _give_up(self) -> None:
        exchange = self._exchange
        if exchange is not None:
            self._simulator.engine.cancel(exchange.sequence)
            exchange.cancel()

    def _refuse_http(self, error: BadHttp) -> None:
        if self._exchange is not None:  # an error in the middle of another reply would read as part of it
            self.shut()
            return
        body = orjson.dumps(LLAMACPP.error(Refusal(error.status, str(error))))
        fields = [("Content-Type", JSON_TYPE), ("Content-Length", str(len(body))), ("Connection", "close")]
        self._send(head(error.status, fields) + body)
        if self._transport is not None:
            self._transport.close()

    def _close_unless_kept(self, call: Call) -> None:
        if not call.request.keep_alive and self._transport is not None:
            self._transport.close()

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _plain_reply(answer: Plain, call: Call) -> bytes:
    fields = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
    body = b"" if call.request.method == "HEAD" else answer.body
    return head(answer.status, [*fields, *answer.headers, *reply_headers(call)]) + body


def _request_id(headers: Mapping[str, str]) -> str:
    """The client's own, if it can stand in a header and in a log."""
    given = headers.get("x-request-id", "")
    if 0 < len(given) <= _ID_CHARACTERS and given.isascii() and given.isprintable():
        return given
    return uuid.uuid4().hex


def _authorise(headers: Mapping[str, str], api_key: str) -> None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    if not hmac.compare_digest(given.encode("latin-1"), api_key.encode()):
        raise Refusal(401, "Invalid API Key", type="authentication_error")
