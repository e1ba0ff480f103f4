"""From the bytes of one response and their arrival times to what the server said, and when.

Runs after the response has ended (`harness.engine` only collects). `breathe` is called every
`BREATH` events, so that reading a long response cannot hold up reads of the others. Never raises for
what a server sent: a response that breaks off or is malformed is an `Answer` with an error class and
everything that was understood before.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from harness import http1, sse
from harness.backends.base import Backend, Delta, body_error, printable
from harness.errors import ErrorClass, MalformedChunk, class_of_status

BREATH = 256
_ID_HEADERS = ("x-request-id", "request-id", "x-correlation-id")


@dataclass(slots=True)
class Answer:
    """What one response said. Stamps in ns of the reads' clock; fields as in `RequestRecord`."""

    status: int | None = None
    streamed: bool = True
    times: list[int] = field(default_factory=list)  # arrival of each content event, ascending
    first_answer_ns: int | None = None
    first_chunk_tokens: int | None = None
    pieces: list[str] = field(default_factory=list)
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
    error_class: ErrorClass | None = None
    error_message: str | None = None

    @property
    def text(self) -> str:
        """Reasoning and answer in the order they came."""
        whole = "".join(self.pieces)
        try:
            whole.encode()
        except UnicodeEncodeError:  # halves of a character in two events; together they are one
            whole = whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole

    def fail(self, error_class: ErrorClass, message: str) -> None:
        """Keep the first failure: what follows from it explains nothing."""
        if self.error_class is None:
            self.error_class, self.error_message = error_class, message

    def add(self, delta: Delta, arrival_ns: int) -> None:
        """Take in what one event said, and when it was complete."""
        if delta.answer or delta.reasoning:
            if not self.times:
                self.first_chunk_tokens = delta.tokens_so_far or None
            if delta.answer and self.first_answer_ns is None:
                self.first_answer_ns = arrival_ns
            self.times.append(arrival_ns)
            self.pieces.append(delta.reasoning + delta.answer)
        if delta.error is not None:
            self.fail(ErrorClass.STREAM_ERROR, delta.error)
        self.done = self.done or delta.done
        for name in _LAST_SAID:
            said = getattr(delta, name)
            if said is not None:
                setattr(self, name, said)


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
)


def decode(backend: Backend, received: http1.Received, breathe: Callable[[], None] = lambda: None) -> Answer:
    """Read one response, whole or broken off."""
    answer = Answer()
    head = received.framer.head
    if head is None:
        return answer
    answer.status = head.status
    answer.response_id = next((head.headers[name] for name in _ID_HEADERS if name in head.headers), None)
    body = http1.body(received, head)
    content_type = head.headers.get("content-type", "")
    if head.status != 200:
        answer.fail(class_of_status(head.status), _status_text(head, body.data))
    elif "json" in content_type and "stream" not in content_type:
        _read_whole(backend, body, answer, complete=received.framer.end is not None)
    else:
        _read_stream(backend, body, answer, breathe, complete=received.framer.end is not None)
        if not answer.times and "event-stream" not in content_type:
            _explain(answer, content_type, body.data)
    return answer


def has_content(backend: Backend, received: http1.Received) -> bool:
    """Has a first token come in what has been received so far of a response?"""
    return bool(decode(backend, received).times)


def _read_whole(backend: Backend, body: http1.Body, answer: Answer, *, complete: bool) -> None:
    """A response that was not streamed: one event, whose first token cannot be told apart from its last."""
    answer.streamed = False
    if not complete:
        answer.fail(ErrorClass.TRUNCATED, "the connection closed in the middle of the body")
        return
    try:
        answer.add(backend.read(body.data), body.arrival_ns(len(body.data)))
    except MalformedChunk as error:
        answer.fail(ErrorClass.BAD_STREAM, str(error))


def _read_stream(
    backend: Backend, body: http1.Body, answer: Answer, breathe: Callable[[], None], *, complete: bool
) -> None:
    for number, event in enumerate(sse.events(body.data), 1):
        if number % BREATH == 0:
            breathe()
        try:
            delta = backend.read(event.data)
        except MalformedChunk as error:
            # The last event of a stream that was cut is half an event: that is truncation, not garbage.
            if complete or event.end < len(body.data):
                answer.fail(ErrorClass.BAD_STREAM, str(error))
            break
        if event.name == "error" and delta.error is None:
            answer.fail(ErrorClass.STREAM_ERROR, body_error(event.data))
            continue
        answer.add(delta, body.arrival_ns(event.end))
    if not answer.done and not (answer.finish_reason and complete):
        # [DONE] is a convention some servers leave out; a finish reason in a body that ended as HTTP says
        # it should is an end mark too.
        answer.fail(ErrorClass.TRUNCATED, "the stream ended without its end mark")


def _explain(answer: Answer, content_type: str, data: bytes) -> None:
    """A body that is no stream at all, a login page perhaps, is not just one without an end."""
    if answer.error_class is ErrorClass.TRUNCATED and data:
        answer.error_message = printable(f"a body of type {content_type!r} and no stream: {body_error(data)}")


def _status_text(head: http1.Head, data: bytes) -> str:
    """What a response other than 200 says, and where it points to."""
    said = body_error(data)
    if where := head.headers.get("location"):
        said = f"{said} (to {where})"
    return printable(said) or f"HTTP status {head.status}"
