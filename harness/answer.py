"""What one response said, gathered event by event (`harness.decode` reads them)."""

from dataclasses import dataclass, field

from harness.backends.base import Delta
from harness.errors import ErrorClass


@dataclass(slots=True)
class Answer:
    """What one response said. Stamps in ns of the reads' clock; fields as in `RequestRecord`."""

    status: int | None = None
    streamed: bool = True
    ends: list[int] = field(
        default_factory=list
    )  # of each content event: the offset in the body just past it
    times: list[int] = field(default_factory=list)  # of each content event: its arrival, ascending
    first_answer: int | None = None  # which of them was the first with answer text
    first_chunk_tokens: int | None = None
    pieces: list[str] = field(default_factory=list)
    thoughts: dict[int, int] = field(
        default_factory=dict
    )  # which pieces begin with reasoning, and how much of it
    done: bool = False
    finish_reason: str | None = None
    response_id: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    tokens_so_far: int | None = None
    cached_tokens: int | None = None
    queue_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None
    server_ttft_ms: float | None = None
    server_e2e_ms: float | None = None
    server_tokens_per_s: float | None = None
    acceptance_rate: float | None = None
    batch_size: int | None = None
    retry_after_s: float | None = None
    error_class: ErrorClass | None = None
    error_message: str | None = None

    @property
    def text(self) -> str:
        """Reasoning and answer in the order they came."""
        return mended("".join(self.pieces))

    @property
    def spoken(self) -> str:
        """The answer alone, as a chat's history has it."""
        if not self.thoughts:
            return self.text
        return mended("".join(piece[self.thoughts.get(at, 0) :] for at, piece in enumerate(self.pieces)))

    def fail(self, error_class: ErrorClass, message: str) -> None:
        """Keep the first failure: what follows from it explains nothing."""
        if self.error_class is None:
            self.error_class, self.error_message = error_class, message

    def take_count(self) -> int | None:
        """The running count so far, forgotten here."""
        count, self.tokens_so_far = self.tokens_so_far, None
        return count

    @property
    def counted(self) -> int | None:
        """Output tokens. A stream that broke off has no final count, but its last event may have a running one."""
        return self.tokens_so_far if self.output_tokens is None else self.output_tokens

    @property
    def first_answer_ns(self) -> int | None:
        """Arrival of the first answer text."""
        return None if self.first_answer is None else self.times[self.first_answer]

    def add(self, delta: Delta, end: int) -> None:
        """Take in what one event said, and where in the body it ended."""
        if delta.full_text and not self.ends:
            delta = delta._replace(answer=delta.full_text)
        if delta.answer or delta.reasoning:
            if not self.ends:
                self.first_chunk_tokens = delta.tokens_so_far or None
            if delta.answer and self.first_answer is None:
                self.first_answer = len(self.ends)
            self.ends.append(end)
            if delta.reasoning:
                self.thoughts[len(self.pieces)] = len(delta.reasoning)
            self.pieces.append(delta.reasoning + delta.answer)
        if delta.error is not None:
            self.fail(delta.error_class, delta.error)
        self.done = self.done or delta.done
        for name in _LAST_SAID:
            said = getattr(delta, name)
            if said is not None:
                setattr(self, name, said)


def mended(text: str) -> str:
    """Text that can be encoded: halves of a character in two events are one; what is left of halves is U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


_LAST_SAID = (
    "finish_reason",
    "response_id",
    "prompt_tokens",
    "output_tokens",
    "tokens_so_far",
    "cached_tokens",
    "queue_ms",
    "prefill_ms",
    "decode_ms",
    "server_ttft_ms",
    "server_e2e_ms",
    "server_tokens_per_s",
    "acceptance_rate",
    "batch_size",
)
