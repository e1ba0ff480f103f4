"""One accepted request while the engine works on it: writes its reply and keeps the truth about it.

The stamps are this process' `perf_counter_ns` just before the bytes were handed to the socket (for a reply
that is not streamed: when the token came into being), so that a client's figures can be held against them.
"""

from collections.abc import Callable
from random import Random

from harness.clock import now_ns
from harness.simulator import tokens
from harness.simulator.batching import Sequence
from harness.simulator.dialect import Call, Generation
from harness.simulator.fields import JsonObject
from harness.simulator.wire import JSON_TYPE, LAST_CHUNK, chunk, head


class Exchange:
    """Listens to the engine for one sequence. `send` writes, `finished` is called once, at the very end."""

    def __init__(
        self,
        call: Call,
        generation: Generation,
        received_ns: int,
        *,
        send: Callable[[bytes], None],
        finished: Callable[["Exchange"], None],
    ) -> None:
        job = generation.job
        self.sequence = Sequence(
            prompt_tokens=job.prompt.tokens, output_tokens=job.output_tokens, submitted_ns=received_ns
        )
        self.call = call
        self._generation = generation
        self._rendering = generation.rendering
        self._received_ns = received_ns
        self._first_token_ns: int | None = None
        self._last_token_ns: int | None = None
        self._ended_ns: int | None = None
        self._late_ns = 0
        self._outcome: str | None = None
        self._random = Random(job.key)
        self._words: list[int] = []
        self._send = send
        self._finished = finished
        self._chunked = call.request.minor == 1

    def open(self) -> None:
        """A stream's status and headers go out at once, long before its first token."""
        if self._generation.job.stream:
            framing = [("Transfer-Encoding", "chunked")] if self._chunked else []
            kind = ("Content-Type", self._generation.stream_type)
            self._send_head([kind, ("Cache-Control", "no-cache"), *self._generation.stream_headers, *framing])

    def token(self, late_ns: int) -> None:
        """Write one token's event, or keep it."""
        self._late_ns = max(self._late_ns, late_ns)
        word = tokens.draw(self._random)
        if not self._generation.job.stream:
            self._words.append(word)
            self._stamp()
            return
        if self._first_token_ns is None:
            opening = self._rendering.opening()
            if opening:
                self._send(self._frame(opening))
        event = self._frame(self._rendering.event(self.sequence.produced, word, self.sequence))
        self._stamp()
        self._send(event)

    def done(self) -> None:
        """Write the end of the reply."""
        if self._generation.job.stream:
            *others, last = (self._frame(part) for part in self._rendering.closing(self.sequence))
            for part in others:
                self._send(part)
            ended_ns = now_ns()
            self._send(last + LAST_CHUNK if self._chunked else last)
        else:
            body = self._rendering.whole(self._words, self.sequence)
            ended_ns = now_ns()
            fields = [("Content-Type", JSON_TYPE), ("Content-Length", str(len(body)))]
            self._send_head([*fields, *self._generation.whole_headers(self.sequence)], body)
        self._ended_ns, self._outcome = ended_ns, "ok"
        self._finished(self)

    def cancel(self) -> None:
        """The client went away, or the server stops. The caller frees the slot."""
        self._ended_ns, self._outcome = now_ns(), "cancelled"
        self._finished(self)

    def log_row(self) -> JsonObject:
        """The line of the log. `id` is what the client sees in the body, else in the header."""
        sequence = self.sequence
        return {
            "id": self._generation.response_id,
            "request_id": self.call.request_id,
            "route": self.call.request.path,
            "stream": self._generation.job.stream,
            "received_ns": self._received_ns,
            "first_token_ns": self._first_token_ns,
            "last_token_ns": self._last_token_ns,
            "finished_ns": self._ended_ns,
            "prompt_tokens": sequence.prompt_tokens,
            "output_tokens": sequence.produced,
            "queue_ms": sequence.queue_ms,
            "prefill_ms": sequence.prefill_ms,
            "decode_ms": sequence.decode_ms,
            "max_late_ms": self._late_ns / 1e6,
            "outcome": self._outcome,
        }

    def _stamp(self) -> None:
        self._last_token_ns = now_ns()
        if self._first_token_ns is None:
            self._first_token_ns = self._last_token_ns

    def _frame(self, data: bytes) -> bytes:
        return chunk(data) if self._chunked else data

    def _send_head(self, headers: list[tuple[str, str]], body: bytes = b"") -> None:
        self._send(head(200, [*headers, *reply_headers(self.call)]) + body)


def reply_headers(call: Call, *, keep_alive: bool = True) -> list[tuple[str, str]]:
    """The headers every reply has."""
    alive = keep_alive and call.request.keep_alive
    connection = "keep-alive" if alive else "close"
    return [("Server", "tokenswarm-simulator"), ("X-Request-Id", call.request_id), ("Connection", connection)]
