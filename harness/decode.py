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
from itertools import accumulate

import orjson

from harness import received as receive
from harness import sse
from harness.answer import Answer
from harness.backends.base import Backend, Framing
from harness.backends.fields import body_error, printable
from harness.errors import ErrorClass, MalformedChunk, ProtocolError
from harness.http1 import Head, no_breath
from harness.received import Received
from harness.target import bare

BREATH = 64
MAX_EVENT_BYTES = 1024 * 1024  # a token is some hundred bytes, with its log probabilities perhaps 100 kB
MAX_WHOLE_BYTES = 16 * 1024 * 1024
Breath = Callable[[], None]
_ERROR_EVENTS = ("error", "error_event")  # the second is SambaStudio's
_ID_HEADERS = ("x-request-id", "request-id", "x-correlation-id")


def decode(backend: Backend, received: Received, breathe: Callable[[], None] = no_breath) -> Answer:
    """Read one response, whole or broken off."""
    return _decode(backend, received, breathe, only_first=False)


def has_content(backend: Backend, received: Received) -> bool:
    """Has a first token come in what has been received so far of a response? Reads no further than that."""
    return bool(_decode(backend, received, no_breath, only_first=True).ends)


def is_streamed(backend: Backend, head: Head) -> bool:
    """Whether a response with this head is read as a stream: then `read_part` makes sense of its parts."""
    return head.status == 200 and not _is_whole(backend, head)


def read_part(backend: Backend, part: bytes, answer: Answer, *, complete: bool) -> bool:
    """Read whole events of a stream, the next ones of `answer`'s. False if what follows says no more.

    For those who look on while it comes: the text is what `decode` will find, and nothing is judged. The offsets in
    `answer.ends` are the part's own. `complete`: it is the stream's last part, which may lack its end.
    """
    return _read_events(backend, part, answer, no_breath, complete=complete, only_first=False)


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
    complete = received.framer.end is not None
    if head.status != 200:
        answer.fail(backend.class_of_status(head.status), _status_text(head, body.data))
        answer.retry_after_s = _seconds(head.headers.get("retry-after", ""))
    else:
        answer.add(backend.read_headers(head.headers), 0)
        if _is_whole(backend, head):
            _read_whole(backend, body.data, answer, complete=complete)
        else:
            is_named = "event-stream" in _content_type(head)
            _read_events(backend, body.data, answer, breathe, complete=complete, only_first=only_first)
            _judge_end(backend, answer, complete=complete, is_named=is_named)
            if not answer.ends and not is_named:
                _explain(answer, _content_type(head), body.data)
    answer.response_id, answer.finish_reason = _word(answer.response_id), _word(answer.finish_reason)
    answer.times = body.arrivals_ns(answer.ends)
    return answer


def _content_type(head: Head) -> str:
    return head.headers.get("content-type", "").lower()


def _is_whole(backend: Backend, head: Head) -> bool:
    """Was the response not streamed? A server may do the one where the other was asked."""
    kind = _content_type(head)
    if "event-stream" in kind:
        return False
    return not backend.stream or (backend.framing is Framing.SSE and "json" in kind and "stream" not in kind)


def _seconds(said: str) -> float | None:
    """Retry-After in seconds; its other form, a date, nobody uses here."""
    plain = said.isascii() and said.replace(".", "", 1).isdigit() and len(said) < 8
    return float(said) if plain else None


def _judge_end(backend: Backend, answer: Answer, *, complete: bool, is_named: bool) -> None:
    """Of a stream, which `Content-Type` has called one (`is_named`) or not."""
    closed = complete and backend.ends_on_close and (is_named or bool(answer.ends))  # a login page closes too
    has_said = bool(answer.ends or answer.finish_reason) or answer.output_tokens is not None
    if (answer.done or closed) and not has_said:
        why = "the stream ended with nothing in it: no text, no count, no reason"
        answer.fail(ErrorClass.BAD_STREAM, why)
    if not (answer.done or closed or (complete and answer.finish_reason)):
        # [DONE] is a convention some servers leave out; a finish reason in a body that ended as HTTP says
        # it should is an end mark too.
        answer.fail(ErrorClass.TRUNCATED, "the stream ended without its end mark")


def _read_events(
    backend: Backend, data: bytes, answer: Answer, breathe: Breath, *, complete: bool, only_first: bool
) -> bool:
    """Read a stream, or a part of one. False if what follows cannot be read, or need not be."""
    if backend.framing is Framing.LINES:
        return _read_lines(backend, data, answer, breathe, complete=complete, only_first=only_first)
    for window in sse.windows(data):
        if not _read_window(backend, data, window, answer, breathe, complete=complete, only_first=only_first):
            return False
        breathe()
    return True


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
        return
    if not (answer.ends or answer.done or answer.finish_reason or answer.error_class):
        answer.fail(
            ErrorClass.BAD_STREAM,
            printable(f"JSON that is no answer: {data[:200].decode('utf-8', 'replace')}"),
        )


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
        running = backend.read(last.partition(b":")[2]).tokens_so_far
        answer.tokens_so_far = answer.tokens_so_far if running is None else running
    return readable


def _read_lines(
    backend: Backend, data: bytes, answer: Answer, breathe: Breath, *, complete: bool, only_first: bool
) -> bool:
    """Read a stream of one JSON object a line, up to the end mark. False if the rest cannot be read, or need not be."""
    start = number = 0
    while start < len(data) and not answer.done:
        found = data.find(b"\n", start)
        end = len(data) if found < 0 else found + 1
        event = sse.SseEvent("message", data[start:end].strip(), end)
        if event.data and not _read_event(backend, data, event, answer, complete=complete):
            return False
        if only_first and answer.ends:
            return False
        start, number = end, number + 1
        if number % BREATH == 0:
            breathe()
    return not answer.done


def _plain(backend: Backend, blocks: list[bytes], cut: bytes) -> list[str | None]:
    """For each of the first blocks the piece of an answer that is all it says; None: it must be read in full."""
    while len(blocks) > 1 and not blocks[-1].startswith(sse.USUAL):
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
        if not _read_event(backend, data, event, answer, complete=complete):
            return False
    return True


def _read_event(
    backend: Backend, data: bytes, event: sse.SseEvent, answer: Answer, *, complete: bool
) -> bool:
    """Read one event of the body `data` in full. False if the rest of the stream cannot be read."""
    if len(event.data) > MAX_EVENT_BYTES:
        answer.fail(ErrorClass.TOO_LARGE, f"one event of more than {MAX_EVENT_BYTES} bytes")
        return False
    try:
        delta = backend.read(event.data)
    except MalformedChunk as error:
        if event.name in _ERROR_EVENTS:  # in whatever words
            answer.fail(ErrorClass.STREAM_ERROR, body_error(event.data))
            return True
        # The last event of a stream that was cut is half an event: that is truncation, not garbage.
        if complete or event.end < len(data):
            answer.fail(ErrorClass.BAD_STREAM, str(error))
        return False
    if event.name in _ERROR_EVENTS and delta.error is None:
        answer.fail(ErrorClass.STREAM_ERROR, body_error(event.data))
        return True
    answer.add(delta, event.end)
    return not answer.done  # what comes after the end mark is no part of the answer


def _explain(answer: Answer, content_type: str, data: bytes) -> None:
    """A body that is no stream at all, a login page perhaps, is not just one without an end."""
    if answer.error_class is ErrorClass.TRUNCATED and data:
        answer.error_message = printable(f"a body of type {content_type!r} and no stream: {body_error(data)}")


def _status_text(head: Head, data: bytes) -> str:
    """What a response other than 200 says, and where it points to."""
    said = body_error(data)
    if (where := head.headers.get("location")) and 300 <= head.status < 400:
        said = f"{said} (a redirect to {bare(where)}, which is not followed)"
    return printable(said) or f"HTTP status {head.status}"
