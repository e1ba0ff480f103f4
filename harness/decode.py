"""From the bytes of one response and their arrival times to what the server said, and when.

Runs after the response has ended (`harness.engine` only collects). `breathe` is called every `BREATH`
blocks, so that reading a long response cannot hold up reads of the others; one event may be
`MAX_EVENT_BYTES` long and an answer that is no stream `MAX_WHOLE_BYTES`, since they cannot be read in
slices. Never raises for what a server sent: a response
that breaks off or is malformed is an `Answer` with an error class and everything understood before.

Nearly all events of a stream say one thing, a piece of the answer. These take the short way: one line,
one JSON object, `Backend.plain`. Every other event, and the first with content, is read in full.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

import orjson

from harness import received as receive
from harness import sse
from harness.backends.base import Backend, Delta, body_error, printable
from harness.errors import ErrorClass, MalformedChunk, ProtocolError, class_of_status
from harness.http1 import Head, no_breath
from harness.received import Received

BREATH = 64
MAX_EVENT_BYTES = 1024 * 1024  # a token is some hundred bytes, with its log probabilities perhaps 100 kB
MAX_WHOLE_BYTES = 16 * 1024 * 1024
_ID_HEADERS = ("x-request-id", "request-id", "x-correlation-id")


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

    def take_count(self) -> int | None:
        """The running count so far, forgotten here."""
        count, self.tokens_so_far = self.tokens_so_far, None
        return count

    @property
    def first_answer_ns(self) -> int | None:
        """Arrival of the first answer text."""
        return None if self.first_answer is None else self.times[self.first_answer]

    def add(self, delta: Delta, end: int) -> None:
        """Take in what one event said, and where in the body it ended."""
        if delta.answer or delta.reasoning:
            if not self.ends:
                self.first_chunk_tokens = delta.tokens_so_far or None
            if delta.answer and self.first_answer is None:
                self.first_answer = len(self.ends)
            self.ends.append(end)
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


def decode(backend: Backend, received: Received, breathe: Callable[[], None] = no_breath) -> Answer:
    """Read one response, whole or broken off."""
    return _decode(backend, received, breathe, only_first=False)


def has_content(backend: Backend, received: Received) -> bool:
    """Has a first token come in what has been received so far of a response? Reads no further than that."""
    return bool(_decode(backend, received, no_breath, only_first=True).ends)


def _decode(backend: Backend, received: Received, breathe: Callable[[], None], *, only_first: bool) -> Answer:
    answer = Answer()
    with contextlib.suppress(ProtocolError):  # the engine has said so already; what came before still counts
        received.look(breathe)
    head = received.framer.head
    if head is None:
        return answer
    answer.status = head.status
    answer.response_id = next((head.headers[name] for name in _ID_HEADERS if name in head.headers), None)
    body = receive.body(received, head)
    content_type = head.headers.get("content-type", "").lower()
    complete = received.framer.end is not None
    if head.status != 200:
        answer.fail(class_of_status(head.status), _status_text(head, body.data))
    elif "json" in content_type and "stream" not in content_type:
        _read_whole(backend, body.data, answer, complete=complete)
    else:
        for window in sse.windows(body.data):
            if not _read_window(
                backend, body.data, window, answer, breathe, complete=complete, only_first=only_first
            ):
                break
            breathe()
        if not answer.done and not (answer.finish_reason and complete):
            # [DONE] is a convention some servers leave out; a finish reason in a body that ended as HTTP says
            # it should is an end mark too.
            answer.fail(ErrorClass.TRUNCATED, "the stream ended without its end mark")
        if not answer.ends and "event-stream" not in content_type:
            _explain(answer, content_type, body.data)
    answer.response_id, answer.finish_reason = _word(answer.response_id), _word(answer.finish_reason)
    answer.times = body.arrivals_ns(answer.ends)
    return answer


def _word(said: str | None) -> str | None:
    return printable(said) or None if said else None


def _read_whole(backend: Backend, data: bytes, answer: Answer, *, complete: bool) -> None:
    """A response that was not streamed: one event, whose first token cannot be told apart from its last."""
    answer.streamed = False
    if not complete:
        answer.fail(ErrorClass.TRUNCATED, "the connection closed in the middle of the body")
        return
    if len(data) > MAX_WHOLE_BYTES:
        answer.fail(ErrorClass.TOO_LARGE, f"an answer of {len(data)} bytes, over {MAX_WHOLE_BYTES}")
        return
    try:
        answer.add(backend.read(data), len(data))
    except MalformedChunk as error:
        answer.fail(ErrorClass.BAD_STREAM, str(error))


def _read_window(
    backend: Backend,
    data: bytes,
    window: sse.Window,
    answer: Answer,
    breathe: Callable[[], None],
    *,
    complete: bool,
    only_first: bool,
) -> bool:
    """Read the events of one window. False if the rest of the stream cannot be read, or need not be."""
    start, blocks, cut = window
    stops = [*accumulate((len(block) + len(cut) for block in blocks), initial=start)]
    stops[-1] = min(stops[-1], len(data))  # the stream's last block may lack its cut
    last: bytes | None = None  # read the short way, and no count came after it
    at, readable = 0, True
    while readable and at < len(blocks):
        stop = at - at % BREATH + BREATH
        if answer.first_answer is not None:
            said = _plain(backend, blocks[at:stop], cut)
        else:  # a body may be nothing but line ends
            said = [None] if blocks[at] else []
        for number, piece in enumerate(said, at):
            if piece is not None:
                last = blocks[number]
                answer.ends.append(stops[number + 1])
                answer.pieces.append(piece)
                continue
            count = answer.take_count()
            span = stops[number], stops[number + 1]
            readable = _read_block(backend, data, span, answer, breathe, complete=complete)
            if answer.tokens_so_far is None:
                answer.tokens_so_far = count
            else:
                last = None
            if not readable:
                break
        at += len(said) or 1
        if at == stop:
            breathe()
        if only_first and answer.ends:
            return False
    if last is not None:  # a final count may never come; a running one may be in the last piece
        running = backend.read(last[6:]).tokens_so_far
        answer.tokens_so_far = answer.tokens_so_far if running is None else running
    return readable


def _plain(backend: Backend, blocks: list[bytes], cut: bytes) -> list[str | None]:
    """For each of the first blocks the piece of an answer that is all it says; None: it must be read in full."""
    while len(blocks) > 1 and not blocks[-1].startswith(b"data: {"):
        blocks.pop()  # [DONE], and what is left after the last cut
    data = sse.as_list(blocks, cut)
    if data is None or len(data) > MAX_EVENT_BYTES:
        return [None] * len(blocks)
    try:
        events = sse.apart(orjson.loads(data), len(blocks))
    except orjson.JSONDecodeError:
        return [None] * len(blocks)
    return [None] * len(blocks) if events is None else [*map(backend.plain, events)]


def _read_block(
    backend: Backend,
    data: bytes,
    span: tuple[int, int],
    answer: Answer,
    breathe: Callable[[], None],
    *,
    complete: bool,
) -> bool:
    """Read the events of one block in full. False if the rest of the stream cannot be read."""
    for event in sse.events(data, *span, limit=MAX_EVENT_BYTES, breathe=breathe):
        if len(event.data) > MAX_EVENT_BYTES:
            answer.fail(ErrorClass.TOO_LARGE, f"one event of more than {MAX_EVENT_BYTES} bytes")
            return False
        try:
            delta = backend.read(event.data)
        except MalformedChunk as error:
            # The last event of a stream that was cut is half an event: that is truncation, not garbage.
            if complete or event.end < len(data):
                answer.fail(ErrorClass.BAD_STREAM, str(error))
            return False
        if event.name == "error" and delta.error is None:
            answer.fail(ErrorClass.STREAM_ERROR, body_error(event.data))
            continue
        answer.add(delta, event.end)
    return True


def _explain(answer: Answer, content_type: str, data: bytes) -> None:
    """A body that is no stream at all, a login page perhaps, is not just one without an end."""
    if answer.error_class is ErrorClass.TRUNCATED and data:
        answer.error_message = printable(f"a body of type {content_type!r} and no stream: {body_error(data)}")


def _status_text(head: Head, data: bytes) -> str:
    """What a response other than 200 says, and where it points to."""
    said = body_error(data)
    if where := head.headers.get("location"):
        said = f"{said} (to {where})"
    return printable(said) or f"HTTP status {head.status}"
