"""One request from start to finish: bytes out, bytes in, one `RequestRecord`.

Never raises for a server's fault; a request that fails is data. The only thing that gets through is
the greenlet being killed, and then the record has been handed over before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import uuid4

from harness import __version__, tunnel
from harness.answer import Answer
from harness.backends.base import Ask, Backend, HttpRequest
from harness.clock import now_ns
from harness.decode import decode, has_content
from harness.engine import Engine
from harness.errors import ErrorClass
from harness.exchange import Exchange
from harness.leave import Slot
from harness.received import Received
from harness.record import Outcome, RequestRecord, StampSource, TokenSource
from harness.secrecy import hide
from harness.target import Target

_HELD = (
    2047  # bytes; hashlib lets go of Python's lock for more, and a thread that has it then keeps it for 5 ms
)
_LARGE = 65_536  # bytes; images. They take long enough for others to want the lock

_AFTER_THE_END = (
    ErrorClass.RESET,
    ErrorClass.IDLE_TIMEOUT,
    ErrorClass.TOTAL_TIMEOUT,
    ErrorClass.BAD_HTTP,
)


class _Labels(NamedTuple):
    """What is known of a request before it is sent."""

    request_id: str
    name: str
    worker: str
    slot: Slot
    scheduled_ns: int
    prompt_tokens: int | None
    max_tokens: int
    session: tuple[str, int] | None
    number: int | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Client:
    """Sends requests of one backend through the process's engine and hands each record to `keep`."""

    engine: Engine
    backend: Backend
    worker: str
    secret: str | None
    keep: Callable[[RequestRecord, Exchange], object]  # what happened, and what it was read from
    at: Target | None = None  # where the backend's routes begin, if not at the engine's own target
    headers: tuple[tuple[str, str], ...] = ()  # the user's own
    id_prefix: str = ""  # of request ids, for a server's log
    user_class: str | None = None  # whose requests these are

    @property
    def target(self) -> Target:
        """Where its routes begin."""
        return self.at or self.engine.target

    def run(
        self,
        ask: Ask,
        slot: Slot,
        *,
        name: str,
        scheduled_ns: int,
        prompt_tokens: int | None,
        session: tuple[str, int] | None = None,
        number: int | None = None,
        hear: Callable[[RequestRecord, str], object] = lambda _record, _spoken: None,
        watch: Callable[[Exchange], object] = lambda _exchange: None,
    ) -> RequestRecord:
        """Send one request and wait for its end.

        Args:
            ask: what to ask.
            slot: the leave to do so.
            name: what it counts under.
            scheduled_ns: when it was due.
            prompt_tokens: what the prompt was sized to.
            session: id of the chat that it is a turn of, and which.
            number: its place in the sequence of its user class.
            hear: told what came of it, and the answer without reasoning.
            watch: given the exchange before it begins, to look on; it must leave it as it is.
        """
        request_id = self.id_prefix + uuid4().hex
        request = self.backend.request(ask)
        exchange = Exchange(self._payload(request, request_id), self._has_content)
        watch(exchange)
        try:
            self.engine.perform(exchange)
        finally:  # also when the greenlet is killed in mid-request: what was measured is kept
            about = (scheduled_ns, prompt_tokens, ask.max_tokens, session, number, request.body)
            answer = decode(self.backend, exchange.received, self.engine.drain)
            record = self._record(_Labels(request_id, name, self.worker, slot, *about), exchange, answer)
            self.keep(record, exchange)
        hear(record, answer.spoken)
        return record

    def _record(self, labels: _Labels, exchange: Exchange, answer: Answer) -> RequestRecord:
        outcome, error_class, message = _judge(exchange, answer)
        return RequestRecord(
            request_id=labels.request_id,
            name=labels.name,
            worker=labels.worker,
            level=labels.slot.level,
            repeat=labels.slot.repeat,
            phase=labels.slot.phase,
            outcome=outcome,
            scheduled_ns=labels.scheduled_ns,
            end_ns=exchange.end_ns or now_ns(),
            sent_ns=exchange.sent_ns,
            first_content_ns=answer.times[0] if answer.times else None,
            first_answer_ns=answer.first_answer_ns,
            last_content_ns=answer.times[-1] if answer.times else None,
            chunk_gaps_us=tuple((after - before) / 1e3 for before, after in pairwise(answer.times)),
            chunks=len(answer.times),
            first_chunk_tokens=answer.first_chunk_tokens,
            requested_prompt_tokens=labels.prompt_tokens,
            requested_output_tokens=labels.max_tokens,
            prompt_tokens=answer.prompt_tokens,
            output_tokens=answer.counted,
            cached_tokens=answer.cached_tokens,
            token_source=None if answer.counted is None else TokenSource.SERVER,
            prompt_token_source=None if answer.prompt_tokens is None else TokenSource.SERVER,
            stamp_source=_stamp_source(exchange.received),
            streamed=answer.streamed,
            http_status=answer.status,
            response_id=self._without_key(answer.response_id),
            error_class=error_class,
            error_message=self._scrub(message, exchange),
            finish_reason=answer.finish_reason,
            server_queue_ms=answer.queue_ms,
            server_prefill_ms=answer.prefill_ms,
            server_decode_ms=answer.decode_ms,
            server_ttft_ms=answer.server_ttft_ms,
            server_e2e_ms=answer.server_e2e_ms,
            server_tokens_per_s=answer.server_tokens_per_s,
            acceptance_rate=answer.acceptance_rate,
            batch_size=answer.batch_size,
            retry_after_s=answer.retry_after_s,
            dns_ms=_ms(exchange.set_up.dns_ns),
            connect_ms=_ms(exchange.set_up.connect_ns),
            tls_ms=_ms(exchange.set_up.tls_ns),
            reconnects=exchange.reconnects,
            text=answer.text or None,
            **self._place(labels, was_sent=exchange.sent_ns is not None),
        )

    def _place(self, labels: _Labels, *, was_sent: bool) -> dict[str, Any]:
        """The fields that say which request of whose sequence it is."""
        return {
            "session_id": labels.session and labels.session[0],
            "turn": labels.session and labels.session[1],
            "user_class": self.user_class,
            "number": labels.number,
            "body_sha256": _digest(labels.body) if was_sent else None,
        }

    def _payload(self, request: HttpRequest, request_id: str) -> bytes:
        """The whole request as it goes on the wire."""
        target, proxy = self.target, self.engine.forward
        path = target.url(request.path) if proxy else target.path(request.path)
        lines = [
            f"{request.method} {path} HTTP/1.1",
            f"Host: {target.authority}",
            f"User-Agent: tokenswarm/{__version__}",
            "Content-Type: application/json",
            f"Content-Length: {len(request.body)}",
            "Accept: text/event-stream, application/json",
            "Accept-Encoding: identity",
            f"X-Request-Id: {request_id}",
        ]
        fields = [*self.headers, *([self.backend.credentials(self.secret)] if self.secret else [])]
        lines += [f"{name}: {value}" for name, value in fields]
        if proxy:
            lines += [f"{name}: {value}" for name, value in proxy.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body

    def _has_content(self, received: Received) -> bool:
        # An answer that is not streamed has no first token to wait for: its limit is the one of a whole request.
        return not self.backend.stream or has_content(self.backend, received)

    def _without_key(self, said: str | None) -> str | None:
        return said.replace(self.secret, "***") if said and self.secret else said

    def _scrub(self, message: str | None, exchange: Exchange) -> str | None:
        """Servers and proxies like to quote what they refuse; which of them said it is not for the user to guess."""
        head = exchange.received.framer.head
        message = tunnel.told(self.engine.forward, self.target.host, head, message)
        return hide(message, (self.secret,)) if message else message


def _digest(body: bytes) -> str:
    """SHA-256 in hex. Asked for when the answer is there, so that no request waits for it: 3 us for 550 tokens."""
    if len(body) > _LARGE:
        return sha256(body).hexdigest()
    view, made = memoryview(body), sha256()
    for begin in range(0, len(body), _HELD):
        made.update(view[begin : begin + _HELD])
    return made.hexdigest()


def _stamp_source(received: Received) -> StampSource:
    own = received.own_stamps
    if own == len(received.read_times):
        return StampSource.READ
    return StampSource.MIXED if own else StampSource.KERNEL


def _ms(duration_ns: int | None) -> float | None:
    return None if duration_ns is None else duration_ns / 1e6


def _judge(exchange: Exchange, answer: Answer) -> tuple[Outcome, ErrorClass | None, str | None]:
    """How the request ended, from how the connection did and what the response said."""
    if exchange.end_ns is None:
        return Outcome.CANCELLED, None, "given up while it was in flight"
    if exchange.failure is not None:
        error_class, message = exchange.failure
        if error_class in _AFTER_THE_END and answer.done and answer.error_class is None:
            return Outcome.OK, None, None  # the end mark had come; only HTTP's own goodbye is missing
        if answer.error_class in (None, ErrorClass.TRUNCATED):
            if error_class is ErrorClass.RESET and answer.times:
                error_class = ErrorClass.TRUNCATED
            return Outcome.FAILED, error_class, message
    if answer.error_class is not None:
        return Outcome.FAILED, answer.error_class, answer.error_message
    return Outcome.OK, None, None
