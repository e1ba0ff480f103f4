"""The sockets of the simulator: connections, routing, authorisation, the log.

One request at a time on a connection; what a client sends ahead waits its turn. A client that closes its
side, even only for writing, gives its request up: the slot is free at the next step.
"""

import asyncio
import errno
import os
import socket
import struct
import time
from dataclasses import dataclass, field
from io import FileIO

import orjson

from harness.clock import now_ns
from harness.simulator.batching import Batch, CostModel
from harness.simulator.dialect import (
    Call,
    Dialect,
    Generation,
    Handler,
    Plain,
    Service,
    refused,
    refused_in_stream,
)
from harness.simulator.engine import Engine
from harness.simulator.exchange import Ending, Exchange
from harness.simulator.faults import Fate, Fault
from harness.simulator.fields import Refusal
from harness.simulator.replies import content, plain_reply, request_id
from harness.simulator.speech import SPEECHES
from harness.simulator.tally import Tally
from harness.simulator.wire import CONTINUE, BadHttp, RequestParser, head


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A simulator's whole configuration. `api_key` None: no authorisation.

    `speaks` is a name in `speech.SPEECHES`; for `load_seconds` after the start every request is told that
    the model is still loading; beyond `max_queue` waiting requests it answers with its dialect's overload.
    """

    host: str = "127.0.0.1"
    port: int = 0
    model: str = "simulated"
    context: int = 8192
    seed: int = 0
    mean_output_tokens: float = 128.0
    cost: CostModel = field(default_factory=CostModel)
    api_key: str | None = field(default=None, repr=False)
    speaks: str = "openai"
    load_seconds: float = 0.0
    max_queue: int | None = None
    faults: tuple[Fault, ...] = ()
    tokens_per_chunk: int = 1  # in one event of a stream


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
            tally=Tally(),
        )
        self.speech = SPEECHES[settings.speaks]
        self.connections: set[Connection] = set()
        self.failed: asyncio.Future[OSError] = loop.create_future()  # set when the log cannot be written
        self.fate = Fate(settings.faults, settings.seed)
        self.settings = settings
        self._ready_ns = now_ns() + round(settings.load_seconds * 1e9)
        self._log = log

    def answer(self, call: Call, dialect: Dialect, handler: Handler) -> Plain | Generation:
        """What a request gets. Raises Refusal."""
        key, request = self.settings.api_key, call.request
        if key is not None and dialect.guards(request.method, request.path):
            dialect.authorise(request.headers, key)
        if now_ns() < self._ready_ns:
            return dialect.loading(call)
        answer = handler(call, self.service)
        if isinstance(answer, Generation) and self._full(dialect):
            self.service.tally.turned_away("overloaded")
            if dialect.overload_in_stream and answer.job.stream:
                return refused_in_stream(dialect, dialect.overload(), answer.stream_headers)
            raise dialect.overload()
        return answer

    def _full(self, dialect: Dialect) -> bool:
        batch, most = self.service.batch, self.settings.max_queue
        # A slot that is free now takes its request only when the next step starts: it is no queue.
        free = batch.cost.slots - len(batch.running)
        too_long = most is not None and len(batch.waiting) - free >= most
        at_once = len(batch.waiting) + len(batch.running)
        return too_long or (dialect.permits is not None and at_once >= dialect.permits)

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
            self._answer(Call(request, request_id(request.headers), time.time()), received_ns)

    def _answer(self, call: Call, received_ns: int) -> None:
        dialect, handler = self._simulator.speech.find(call.request)
        try:
            answer = self._simulator.answer(call, dialect, handler)
        except Refusal as refusal:
            refusal.request_id = call.request_id
            answer = refused(dialect, refusal)
        if isinstance(answer, Generation):
            self._generate(call, dialect, answer, received_ns)
        else:
            self._send(plain_reply(answer, call))
            self._close_unless_kept(call)

    def _generate(self, call: Call, dialect: Dialect, generation: Generation, received_ns: int) -> None:
        exchange = Exchange(
            call,
            dialect,
            generation,
            received_ns,
            send=self._send,
            finished=self._finished,
            trouble=self._simulator.fate.draw(generation.job.key, generation.job.output_tokens),
            bundle=self._simulator.settings.tokens_per_chunk,
        )
        self._exchange = exchange
        self._simulator.service.tally.accepted += 1
        if exchange.trouble.latency_ms:
            self._simulator.engine.loop.call_later(exchange.trouble.latency_ms / 1e3, self._begin, exchange)
        else:
            self._begin(exchange)

    def _begin(self, exchange: Exchange) -> None:
        if not exchange.is_over:  # the client may have gone before the latency was over
            exchange.open()
        if not exchange.is_over:  # unless it was refused on purpose
            self._simulator.engine.submit(exchange.sequence, exchange)

    def _finished(self, exchange: Exchange, ending: Ending) -> None:
        self._exchange = None
        if not exchange.sequence.done:
            self._simulator.engine.cancel(exchange.sequence)
        self._simulator.service.tally.ended(exchange.sequence, exchange.finish)
        self._simulator.log(exchange)
        if ending is Ending.RESET:
            self._reset()
            return
        self._close_unless_kept(exchange.call)
        asyncio.get_running_loop().call_soon(self.data_received, b"")  # what was sent ahead

    def _reset(self) -> None:
        """Break the connection so that the client is told of it by a reset, not by an end."""
        if self._transport is not None:
            linger = struct.pack("ii", 1, 0)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()

    def _give_up(self) -> None:
        if self._exchange is not None:
            self._exchange.cancel()

    def _refuse_http(self, error: BadHttp) -> None:
        if self._exchange is not None:  # an error in the middle of another reply would read as part of it
            self.shut()
            return
        answer = refused(self._simulator.speech.dialects[-1], Refusal(error.status, str(error)))
        self._send(head(error.status, [*content(answer), ("Connection", "close")]) + answer.body)
        if self._transport is not None:
            self._transport.close()

    def _close_unless_kept(self, call: Call) -> None:
        if not call.request.keep_alive and self._transport is not None:
            self._transport.close()

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
