"""One request, as it happened: the truth from which every other figure is computed.

Four clocks of the client and one of the end, in ns (`harness.clock`), `None` where the thing never
happened:

    scheduled   when the load model wanted the request to go out
    sent        just before the first byte of the request was written, connection already open
    c1 .. cN    arrival of each content event: the read that completed an event with non-empty answer or
                reasoning text. Role-only, usage, ping and comment events never count
    end         the response was complete, or the failure was noticed

    from due: the same with scheduled in place of sent: in an open loop, what a user who came on schedule waited
    TTFT  = c1 - sent                      TTFA = first event with answer (not reasoning) text - sent
    E2E   = cN - sent                      (a response that was not streamed is one event, complete with its
                                           last byte: E2E is there, TTFT is None)
    TPOT  = (cN - c1) / (O - k1)           O = output tokens, k1 = tokens in the first content event if the
                                           server says, else 1. None if O - k1 < 1 or all came in one read
    decode rate  = (O - k1) / (cN - c1)    tokens/s of one stream after its first token
    overall rate = O / E2E                 total rate = (P + O) / E2E, P = prompt tokens
    chunk gaps   = c2 - c1, c3 - c2, ...   gaps between events, not between tokens

A record never raises for what a server did; `None` means not measured, never 0.

Schema history of the stored row
    1  first version
    2  `connect_ms` was the whole set-up of a connection and is now TCP's part; `dns_ms` and `tls_ms` are new;
       `stamp_source` says which clock stamped the reads
    3  what some servers say of a request beside its three times (`server_ttft_ms` to `batch_size`), and
       `retry_after_s` of a refusal; `prompt_token_source`
    4  `clock_offset_ns`: what was taken off all stamps of the row, to bring them to the run's clock
    5  `ttft_scheduled_ms`, `e2e_scheduled_ms`; `session_id` and `turn` of chats; the phase `probe`
    6  `body_sha256`, and of which place in whose sequence the request is: `user_class`, `number`
"""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from harness.errors import ErrorClass

SCHEMA = 6


class Outcome(StrEnum):
    """How a request ended. `cancelled`: we gave it up (a drain deadline, a second Ctrl-C)."""

    OK = "ok"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """What a request is for: warm-up, to be measured, cool-down; or a probe beside the load, reported apart."""

    WARMUP = "warmup"
    MEASURE = "measure"
    DRAIN = "drain"
    PROBE = "probe"


class StampSource(StrEnum):
    """Which clock stamped the reads of a response, and so c1 .. cN."""

    KERNEL = "kernel"  # the kernel's, when the bytes reached this host
    READ = "read"  # our own, right after the read
    MIXED = "mixed"


class TokenSource(StrEnum):
    """Who counted tokens."""

    SERVER = "server"
    TOKENIZER = "tokenizer"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request. Field units are in their names; stamps are monotonic ns of one process."""

    request_id: str
    name: str
    worker: str
    level: int  # what the load model held when the request went out (`harness.loadpoint`)
    repeat: int  # 1 for the first pass over the levels
    phase: Phase
    outcome: Outcome
    scheduled_ns: int
    end_ns: int
    sent_ns: int | None = None
    first_content_ns: int | None = None
    first_answer_ns: int | None = None
    last_content_ns: int | None = None
    chunk_gaps_us: tuple[float, ...] = ()
    chunks: int = 0
    first_chunk_tokens: int | None = None
    requested_prompt_tokens: int | None = None
    requested_output_tokens: int | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    token_source: TokenSource | None = None  # of the output tokens
    prompt_token_source: TokenSource | None = None
    stamp_source: StampSource = StampSource.READ
    streamed: bool = True
    http_status: int | None = None
    response_id: str | None = None
    error_class: ErrorClass | None = None
    error_message: str | None = None
    finish_reason: str | None = None
    server_queue_ms: float | None = None
    server_prefill_ms: float | None = None
    server_decode_ms: float | None = None
    server_ttft_ms: float | None = None  # by the server's own clock; where it begins is the server's business
    server_e2e_ms: float | None = None
    server_tokens_per_s: float | None = None  # output tokens of this request, by the server's formula
    acceptance_rate: float | None = None  # speculative decoding: share of draft tokens kept
    batch_size: int | None = None  # requests in the server's batch with this one
    retry_after_s: float | None = None  # a refusal's own word for when to come back
    dns_ms: float | None = None  # None, as the next two: it was not done for this request
    # The TCP handshake and, through a proxy, a tunnel's CONNECT. None: a kept-alive connection was used.
    connect_ms: float | None = None
    tls_ms: float | None = None
    reconnects: int = 0
    session_id: str | None = None  # of the chat that it is a turn of
    turn: int | None = None  # 1 for a chat's first
    user_class: str | None = None  # whose sequence of requests it is of; None: nobody's, as a trial is
    number: int | None = (
        None  # its place there, from 0; of a chat's requests that of the first. None: it has none
    )
    body_sha256: str | None = None  # of the body's bytes as they were sent, hex; None: nothing was sent
    text: str | None = None  # kept only until the tokens are counted; never stored with the results

    @property
    def ttft_ms(self) -> float | None:
        """Time to first token: first content event, answer or reasoning."""
        return _ms(self.sent_ns, self.first_content_ns) if self.streamed else None

    @property
    def ttft_scheduled_ms(self) -> float | None:
        """From when the request was due to its first content: what a user waited who came on schedule."""
        return _ms(self.scheduled_ns, self.first_content_ns) if self.streamed else None

    @property
    def e2e_scheduled_ms(self) -> float | None:
        """From when the request was due to its last content."""
        return _ms(self.scheduled_ns, self.last_content_ns)

    @property
    def ttfa_ms(self) -> float | None:
        """Time to first answer token, reasoning excluded."""
        return _ms(self.sent_ns, self.first_answer_ns) if self.streamed else None

    @property
    def e2e_ms(self) -> float | None:
        """Request sent to last content; the end mark and the close of the stream come later."""
        return _ms(self.sent_ns, self.last_content_ns)

    @property
    def _decode(self) -> tuple[int, int] | None:
        """(tokens, ns) after the first content event, where both are more than nothing."""
        if not self.streamed or self.output_tokens is None:
            return None
        if self.first_content_ns is None or self.last_content_ns is None:
            return None
        tokens = self.output_tokens - (self.first_chunk_tokens or 1)
        elapsed = self.last_content_ns - self.first_content_ns
        return (tokens, elapsed) if tokens >= 1 and elapsed > 0 else None

    @property
    def tpot_ms(self) -> float | None:
        """Time per output token after the first content event."""
        if self._decode is None:
            return None
        tokens, elapsed = self._decode
        return elapsed / tokens / 1e6

    @property
    def output_tokens_per_s(self) -> float | None:
        """This stream's decode rate after its first content event."""
        if self._decode is None:
            return None
        tokens, elapsed = self._decode
        return tokens * 1e9 / elapsed

    @property
    def total_tokens_per_s(self) -> float | None:
        """Prompt and output tokens over E2E; None if either count is missing."""
        if self.e2e_ms is None or self.prompt_tokens is None or self.output_tokens is None:
            return None
        return (self.prompt_tokens + self.output_tokens) * 1e3 / self.e2e_ms if self.e2e_ms > 0 else None

    def row(self, anchor_ns: int, clock_offset_ns: int = 0) -> dict[str, Any]:
        """The stored row: every field but `text`, the derived figures, stamps shifted to the run's Unix time.

        Args:
            anchor_ns: makes Unix time of the stamps, by the sender's own clock.
            clock_offset_ns: by how much that clock is ahead of the run's; taken off the stamps, and noted.
        """
        row: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "text"}
        for stamp in STAMPS:
            if row[stamp] is not None:
                row[stamp] += anchor_ns - clock_offset_ns
        row["clock_offset_ns"] = clock_offset_ns
        for figure in FIGURES:
            row[figure] = getattr(self, figure)
        return row


STAMPS = ("scheduled_ns", "sent_ns", "first_content_ns", "first_answer_ns", "last_content_ns", "end_ns")
FIGURES = (
    *("ttft_ms", "ttfa_ms", "tpot_ms", "e2e_ms", "output_tokens_per_s", "total_tokens_per_s"),
    *("ttft_scheduled_ms", "e2e_scheduled_ms"),
)


def _ms(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else (end - start) / 1e6
