"""One accepted request while the engine works on it: writes its reply and keeps the truth about it.

The stamps are this process' `perf_counter_ns` just before the bytes were handed to the socket (for a reply
that is not streamed: when the token came into being), so that a client's figures can be held against them.
What goes wrong on purpose goes wrong here, as `faults` settled it; the log tells of it, and of what was true.
"""

from collections.abc import Callable
from enum import Enum
from random import Random

from harness.clock import now_ns
from harness.simulator import tokens
from harness.simulator.batching import Sequence
from harness.simulator.dialect import Call, Dialect, Generation, refused
from harness.simulator.faults import FILLERS, GARBAGE, NO_TROUBLE, Kind, Mishap, Trouble, miscount
from harness.simulator.fields import JsonObject, Refusal
from harness.simulator.wire import LAST_CHUNK, SSE_TYPE, chunk, head


class Ending(Enum):
    """What becomes of the connection."""

    KEPT = "kept"  # if the client wants it kept
    RESET = "reset"


class Exchange:
    """Listens to the engine for one sequence.

    `send` writes; `finished` is called once, at the very end, when the engine may still be at work on the
    sequence. `bundle` is how many tokens an event gets, if neither the client nor a fault says otherwise.
    """

    def __init__(
        self,
        call: Call,
        dialect: Dialect,
        generation: Generation,
        received_ns: int,
        *,
        send: Callable[[bytes], None],
        finished: Callable[["Exchange", Ending], None],
        trouble: Trouble = NO_TROUBLE,
        bundle: int = 1,
    ) -> None:
        job = generation.job
        self.sequence = Sequence(
            prompt_tokens=job.prompt.tokens, output_tokens=job.output_tokens, submitted_ns=received_ns
        )
        self.call = call
        self.trouble = trouble
        self.finish = job.finish
        self._dialect = dialect
        self._generation = generation
        self._rendering = generation.rendering
        self._received_ns = received_ns
        self._first_token_ns: int | None = None
        self._last_token_ns: int | None = None
        self._ended_ns: int | None = None
        self._late_ns = 0
        self._outcome: str | None = None
        self._status = 200
        self._faults: list[str] = [k for k in trouble.hit if job.stream or k is not Kind.BUNDLE]
        self._random = Random(job.key)
        self._words: list[int] = []  # drawn and not yet sent
        self._sent_tokens = self._events = 0
        self._bundle = max(bundle, generation.bundle)
        self._room = self._next_size()
        self._send = send
        self._finished = finished
        self._chunked = call.request.minor == 1

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be sent."""
        return self._outcome is not None

    def open(self) -> None:
        """The engine gets the request now. A stream's status and headers go out, long before its first token."""
        self.sequence.submitted_ns = max(self._received_ns, now_ns() if self.trouble.latency_ms else 0)
        if self.trouble.refusal is not None:
            self._refuse(self.trouble.refusal)
            return
        if self._generation.job.stream:
            framing = [("Transfer-Encoding", "chunked")] if self._chunked else []
            kind = ("Content-Type", self._dialect.stream_type)
            self._send_head([kind, ("Cache-Control", "no-cache"), *self._generation.stream_headers, *framing])
            self._put(self._generation.early)
        self._meet(0)

    def token(self, late_ns: int) -> None:
        """Write one token's event, or keep it."""
        self._late_ns = max(self._late_ns, late_ns)
        self._words.append(tokens.draw(self._random))
        if not self._generation.job.stream:
            self._stamp()
        elif len(self._words) >= self._room or self.sequence.done:
            self._flush()
        self._meet(self.sequence.produced)

    def done(self) -> None:
        """Write the end of the reply."""
        if self._generation.job.stream:
            self._end_stream(self._rendering.closing(self._told()))
            return
        told = self._told()
        body = self._rendering.whole(self._words, told)
        if Kind.GARBAGE in self._faults:
            body = GARBAGE
        whole = Kind.TRUNCATE not in self._faults
        self._send_body(200, body if whole else body[: len(body) // 2], self._generation.whole_headers(told))
        self._sent_tokens = self.sequence.produced
        self._end("ok" if whole else "faulted")

    def cancel(self) -> None:
        """The client went away, or the server stops. The caller frees the slot."""
        self._end("cancelled")

    def log_row(self) -> JsonObject:
        """The line of the log. `id` is what the client sees in the body, else in the header.

        `output_tokens` were produced, `sent_tokens` of them handed to the socket, in `events` if streamed.
        `outcome` is `ok`, `cancelled` (by the client, or by our end) or `faulted` (no whole answer, on purpose).
        """
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
            "sent_tokens": self._sent_tokens,
            "events": self._events,
            "queue_ms": sequence.queue_ms,
            "prefill_ms": sequence.prefill_ms,
            "decode_ms": sequence.decode_ms,
            "max_late_ms": self._late_ns / 1e6,
            "status": self._status,
            "faults": self._faults,
            "outcome": self._outcome,
        }

    def _flush(self) -> None:
        """Send the tokens that wait as one event."""
        if not self._words:
            return
        if self._first_token_ns is None:
            self._put(self._rendering.opening())
        words = tuple(self._words)
        told = self._told() if self.sequence.done else self.sequence
        event = self._frame(self._rendering.event(self.sequence.produced, words, told))
        self._stamp()
        self._send(event)
        self._sent_tokens += len(words)
        self._events += 1
        self._words.clear()
        self._room = self._next_size()

    def _next_size(self) -> int:
        span = self.trouble.bundle
        return self._bundle if span is None else span.draw(self.trouble.random)

    def _told(self) -> Sequence:
        """The sequence as the reply tells of it."""
        counts = self.trouble.counts
        return self.sequence if counts is None else miscount(self.sequence, counts)

    def _meet(self, produced: int) -> None:
        """What goes wrong once so many tokens are there."""
        for mishap in self.trouble.mishaps.get(produced, ()):
            if self._generation.job.stream:
                self._flush()
                self._strike_stream(mishap)
            elif mishap.kind not in FILLERS:
                self._strike(mishap)
                if mishap.kind is Kind.STREAM_ERROR:
                    self._refuse(mishap.refusal)

    def _strike_stream(self, mishap: Mishap) -> None:
        kind = mishap.kind
        if kind in FILLERS:
            if not (filler := self._dialect.filler(FILLERS[kind])):  # a dialect that has none of this kind
                return
            self._put(filler)
        elif kind is Kind.GARBAGE:
            sse = self._dialect.stream_type.startswith(SSE_TYPE.partition(";")[0])
            self._put(b"data: %b\n\n" % GARBAGE if sse else GARBAGE + b"\n")
        self._strike(mishap)
        if kind is Kind.TRUNCATE:
            self._end_stream([], "faulted")
        elif kind is Kind.STREAM_ERROR:
            self._end_stream([self._dialect.stream_error(mishap.refusal)], "faulted")

    def _strike(self, mishap: Mishap) -> None:
        """What a stream and a whole reply have in common."""
        self._faults.append(mishap.kind)
        if mishap.kind is Kind.STALL:
            self.sequence.held_until_ns = now_ns() + mishap.ms * 1_000_000
        elif mishap.kind is Kind.RESET:
            self._end("faulted", Ending.RESET)

    def _refuse(self, refusal: Refusal) -> None:
        answer = refused(self._dialect, refusal)
        self._send_body(answer.status, answer.body, answer.headers)
        self._end("faulted")

    def _end_stream(self, parts: list[bytes], outcome: str = "ok") -> None:
        framed = [self._frame(part) for part in parts]
        if self._chunked:  # with the last part, or a client might see the end of the stream in two reads
            framed[-1:] = [b"".join((*framed[-1:], LAST_CHUNK))]
        for part in framed[:-1]:
            self._send(part)
        ended_ns = now_ns()
        self._send(b"".join(framed[-1:]))
        self._end(outcome, at_ns=ended_ns)

    def _end(self, outcome: str, ending: Ending = Ending.KEPT, at_ns: int | None = None) -> None:
        self._ended_ns, self._outcome = at_ns or now_ns(), outcome
        self._finished(self, ending)

    def _stamp(self) -> None:
        self._last_token_ns = now_ns()
        if self._first_token_ns is None:
            self._first_token_ns = self._last_token_ns

    def _put(self, data: bytes) -> None:
        if data:
            self._send(self._frame(data))

    def _frame(self, data: bytes) -> bytes:
        return chunk(data) if self._chunked else data

    def _send_body(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...]) -> None:
        kind = [("Content-Type", self._dialect.json_type)] if body else []
        self._send_head([*kind, ("Content-Length", str(len(body))), *headers], body, status)

    def _send_head(self, headers: list[tuple[str, str]], body: bytes = b"", status: int = 200) -> None:
        self._status = status
        self._send(head(status, [*headers, *reply_headers(self.call)]) + body)


def reply_headers(call: Call) -> list[tuple[str, str]]:
    """The headers every reply has."""
    connection = "keep-alive" if call.request.keep_alive else "close"
    return [("Server", "tokenswarm-simulator"), ("X-Request-Id", call.request_id), ("Connection", connection)]
